//! From an optimised DataFusion plan to a checked [`StageGraph`].
//!
//! DataFusion plans the query as for one machine with [`SessionOptions::partitions`](crate::session::SessionOptions)
//! threads; what it does between threads (repartition, coalesce, merge, collect a build side) becomes an exchange
//! between stages. The passes, in this order:
//!
//! 1. `supported`: refuses plans with nodes that cannot run in stages, before anything runs.
//! 2. `local_exchanges`: takes out exchanges that only exist between threads.
//! 3. `joins`: joins that keep a build side's flags in memory shared by partitions get partitions that share nothing.
//! 4. `shifts`: windows that DataFusion computes wrongly row by row are computed whole.
//! 5. `series`: series that are only counted keep their column.
//! 6. `split_scans`: scans get small units.
//! 7. `cut`: exchanges become stage boundaries (build sides and scalar subqueries too); orders lost there are restored.
//! 8. `merge_equal`: stages that compute the same become one.
//! 9. [`validate`]: proves that every stage is what it claims, also as bytes and back, or refuses the graph.
//!
//! Before that, among DataFusion's own logical rules, `window_filters` makes conditions of window aggregates arguments, and `join_order`
//! puts chains of joins in a better order.
//!
//! No rule of DataFusion runs on a fragment: its statistics describe whole files, and its filters are already pushed.

mod ctes;
mod cut;
mod join_order;
mod joins;
mod local_exchanges;
mod merge_equal;
mod order;
mod series;
mod shifts;
mod split_scans;
mod statement;
mod supported;
pub mod validate;
mod window_filters;

use std::sync::Arc;

use datafusion::execution::TaskContext;
use datafusion::physical_plan::ExecutionPlan;

pub(crate) use join_order::{JoinOrder, RowCounts};
pub use statement::Prepared;
pub(crate) use window_filters::WindowFilters;

use crate::error::{QueryError, Result};
use crate::plan::codec::Encoded;
use crate::session::Session;
use crate::stage::StageGraph;

/// Cuts an optimised plan into stages and checks them.
///
/// # Errors
/// If the plan has a part that cannot run in stages, or the result does not pass the validator.
pub fn stages(plan: Arc<dyn ExecutionPlan>, session: &Session) -> Result<StageGraph> {
    supported::check(&plan)?;
    let plan = local_exchanges::remove(plan)?;
    let plan = joins::isolate(plan)?;
    let plan = shifts::whole(plan)?;
    let plan = series::whole(plan)?;
    let plan = split_scans::split(plan, session.options())?;
    let graph = cut::cut(&plan)?;
    let graph = merge_equal::merge(graph)?;
    // Through bytes, so that stages share no state with one another, nor with the plan: what is checked and run
    // here is what a worker gets.
    let bytes = graph.to_bytes()?;
    let worker = session.worker_context()?;
    let read = match StageGraph::from_bytes(&bytes, &worker) {
        Ok(read) => read,
        Err(error) => return Err(unknown_function(&graph, &worker)?.unwrap_or(error)),
    };
    let written = StageGraph::from_bytes_as_written(&bytes, &worker)?;
    validate::validate_read(&graph, &bytes, &written, &read)?;
    Ok(read)
}

/// Which function of the graph workers do not know, if there is one.
fn unknown_function(graph: &StageGraph, worker: &TaskContext) -> Result<Option<QueryError>> {
    for stage in &graph.stages {
        let functions = Encoded::of(&stage.fragment)?.functions;
        let is_unknown = |name: &String| {
            !worker.scalar_functions().contains_key(name)
                && !worker.aggregate_functions().contains_key(name)
                && !worker.window_functions().contains_key(name)
        };
        if let Some(name) = functions.into_iter().find(is_unknown) {
            return Ok(Some(QueryError::unsupported(
                format!("the function {name}"),
                "it was registered in this session only, and workers do not know it; write it out in SQL",
            )));
        }
    }
    Ok(None)
}
