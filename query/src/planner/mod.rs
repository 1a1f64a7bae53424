//! From an optimised DataFusion plan to a checked [`StageGraph`].
//!
//! DataFusion plans the query as for one machine with [`SessionOptions::partitions`](crate::session::SessionOptions)
//! threads; what it does between threads (repartition, coalesce, merge, collect a build side) becomes an exchange
//! between stages. The passes, in this order:
//!
//! 1. `supported`: refuses plans with nodes that cannot run in stages, before anything runs.
//! 2. `local_exchanges`: takes out exchanges that only exist between threads.
//! 3. `joins`: joins that keep a build side's flags in memory shared by partitions get partitions that share nothing.
//! 4. `split_scans`: scans get small units.
//! 5. `cut`: exchanges become stage boundaries (build sides and scalar subqueries too); orders lost there are restored.
//! 6. `merge_equal`: stages that compute the same become one.
//! 7. [`validate`]: proves that every stage is what it claims, or refuses the graph.
//!
//! Before that, among DataFusion's own logical rules, `join_order` puts chains of joins in a better order.
//!
//! No rule of DataFusion runs on a fragment: its statistics describe whole files, and its filters are already pushed.

mod cut;
mod join_order;
mod joins;
mod local_exchanges;
mod merge_equal;
mod order;
mod split_scans;
mod statement;
mod supported;
pub mod validate;

use std::sync::Arc;

use datafusion::physical_plan::ExecutionPlan;

pub(crate) use join_order::{JoinOrder, RowCounts};
pub use statement::Prepared;

use crate::error::Result;
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
    let plan = split_scans::split(plan, session.options())?;
    let graph = cut::cut(&plan)?;
    let graph = merge_equal::merge(graph)?;
    // Through bytes, so that stages share no state with one another, nor with the plan: what is checked and run
    // here is what a worker gets.
    let graph = StageGraph::from_bytes(&graph.to_bytes()?, &session.task_context())?;
    validate::validate(&graph, &session.task_context())?;
    Ok(graph)
}
