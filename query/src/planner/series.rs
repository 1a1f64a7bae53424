//! Pass 5: a series of which only the number of rows is wanted keeps its column.
//!
//! ```text
//!   before                               after
//!
//!   LazyMemory: generate_series, []      Projection: []
//!                                          LazyMemory: generate_series, [value]
//! ```
//!
//! DataFusion's protocol makes a series of the columns that are left, and without any there are no rows.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::physical_plan::memory::LazyMemoryExec;
use datafusion::physical_plan::projection::{ProjectionExec, ProjectionExpr};

use crate::error::Result;

/// # Errors
/// If a series cannot be made.
pub(super) fn whole(plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    Ok(plan
        .transform_up(|node| {
            let Some(series) = node.downcast_ref::<LazyMemoryExec>() else {
                return Ok(Transformed::no(node));
            };
            let ([generator], true) = (series.generators().as_slice(), node.schema().fields().is_empty()) else {
                return Ok(Transformed::no(node));
            };
            let fresh = generator.read().reset_state();
            let first = fresh.write().generate_next_batch()?;
            let whole: Arc<dyn ExecutionPlan> = match first {
                Some(rows) => {
                    let series = LazyMemoryExec::try_new(rows.schema(), vec![generator.read().reset_state()])?;
                    let no_columns: [ProjectionExpr; 0] = [];
                    Arc::new(ProjectionExec::try_new(no_columns, Arc::new(series))?)
                }
                None => Arc::new(EmptyExec::new(node.schema())),
            };
            Ok(Transformed::yes(whole))
        })
        .data()?)
}
