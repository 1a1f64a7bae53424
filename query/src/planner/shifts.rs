//! Pass 4: `lag` and `lead` that pass over NULLs are computed over whole partitions of a window.
//!
//! ```text
//!   before                                            after
//!
//!   BoundedWindowAgg: lead(x) IGNORE NULLS OVER w     WindowAgg: lead(x) IGNORE NULLS OVER w
//!     input, sorted as that needs it                    Sort, if that is needed
//!                                                         input
//! ```
//!
//! DataFusion computes bounded windows row by row, and keeps the distances between the values that are not NULL; over gaps it loses count
//! of them. Over a whole partition it does not.

use std::sync::Arc;

use datafusion::common::Result as DataFusionResult;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::physical_expr::{LexOrdering, PhysicalSortExpr};
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::windows::{BoundedWindowAggExec, WindowAggExec, WindowExpr};
use datafusion::physical_plan::{ExecutionPlan, InputOrderMode};

use super::order;
use crate::error::Result;
use crate::plan::windows::{ignores_nulls, window_function};

/// # Errors
/// If a window refuses its input, which would be a defect of the pass.
pub(super) fn whole(plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    let is_concerned = |node: &Arc<dyn ExecutionPlan>| match node.downcast_ref::<BoundedWindowAggExec>() {
        Some(bounded) => any_passes_over_nulls(bounded.window_expr()),
        None => Ok(false),
    };
    if !plan.exists(is_concerned)? {
        return Ok(plan);
    }
    Ok(plan
        .transform_up(|node| {
            let children = node.children().into_iter().cloned().collect();
            // Below may be another order than the node was planned for.
            let node = order::with_children(&node, children)?;
            let Some(bounded) = node.downcast_ref::<BoundedWindowAggExec>() else {
                return Ok(Transformed::yes(node));
            };
            Ok(Transformed::yes(match any_passes_over_nulls(bounded.window_expr())? {
                true => whole_window(bounded)?,
                false => node,
            }))
        })
        .data()?)
}

fn any_passes_over_nulls(exprs: &[Arc<dyn WindowExpr>]) -> DataFusionResult<bool> {
    for expr in exprs {
        if let Some(function) = window_function(expr)
            && matches!(function.fun().name(), "lag" | "lead")
            && ignores_nulls(function)?
        {
            return Ok(true);
        }
    }
    Ok(false)
}

fn whole_window(bounded: &BoundedWindowAggExec) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
    let exprs = bounded.window_expr().to_vec();
    let can_repartition = !bounded.partition_keys().is_empty();
    let input = match bounded.input_order_mode {
        InputOrderMode::Sorted => Arc::clone(bounded.input()),
        // Rows of a partition may lie apart.
        InputOrderMode::Linear | InputOrderMode::PartiallySorted(_) => sorted(&exprs, bounded.input())?,
    };
    let window: Arc<dyn ExecutionPlan> = Arc::new(WindowAggExec::try_new(exprs, input, can_repartition)?);
    let children = window.children().into_iter().cloned().collect();
    order::with_children(&window, children)
}

/// The input sorted by the window's partition and, within it, by its order.
fn sorted(exprs: &[Arc<dyn WindowExpr>], input: &Arc<dyn ExecutionPlan>) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
    let Some(first) = exprs.first() else {
        return Ok(Arc::clone(input));
    };
    let partition = first.partition_by().iter().cloned().map(PhysicalSortExpr::new_default);
    let Some(ordering) = LexOrdering::new(partition.chain(first.order_by().iter().cloned())) else {
        return Ok(Arc::clone(input));
    };
    let sort = SortExec::new(ordering, Arc::clone(input)).with_preserve_partitioning(true);
    Ok(Arc::new(sort))
}
