//! Orders that are lost at a cut are made again.
//!
//! ```text
//!   before                                after
//!
//!   SortMergeJoin: a = b                  SortMergeJoin: a = b
//!     ShuffleReader: Hash([a], n)           SortExec: [a], preserve_partitioning=true
//!     ...                                     ShuffleReader: Hash([a], n)
//!                                           ...
//! ```
//!
//! An operator that needs an order and does not get it drops or doubles rows, silently. So whenever [`super::cut`] gives
//! an operator new children, what it required of the old ones is checked against what the new ones advertise. Sorting
//! within each partition once more is always right.

use std::sync::Arc;

use datafusion::common::{Result, internal_err};
use datafusion::physical_expr::{LexOrdering, PhysicalSortExpr};
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties, replace_children_if_necessary};

/// `node` with these children, sorted where `node` needs it.
///
/// # Errors
/// If the node does not accept the children.
pub(super) fn with_children(
    node: &Arc<dyn ExecutionPlan>,
    children: Vec<Arc<dyn ExecutionPlan>>,
) -> Result<Arc<dyn ExecutionPlan>> {
    let children = as_required(node, children)?;
    replace_children_if_necessary(Arc::clone(node), children)
}

/// The children, sorted where `node` needs it.
///
/// # Errors
/// If a requirement cannot be turned into a sort.
pub(super) fn as_required(
    node: &Arc<dyn ExecutionPlan>,
    children: Vec<Arc<dyn ExecutionPlan>>,
) -> Result<Vec<Arc<dyn ExecutionPlan>>> {
    let mut sorted = Vec::with_capacity(children.len());
    for (child, required) in children.into_iter().zip(node.required_input_ordering()) {
        let Some(required) = required else {
            sorted.push(child);
            continue;
        };
        let required = required.into_single();
        if child
            .equivalence_properties()
            .ordering_satisfy_requirement(required.clone())?
        {
            sorted.push(child);
            continue;
        }
        let Some(ordering) = LexOrdering::new(required.into_iter().map(PhysicalSortExpr::from)) else {
            return internal_err!("{} requires an order without keys", node.name());
        };
        sorted.push(Arc::new(
            SortExec::new(ordering, child).with_preserve_partitioning(true),
        ));
    }
    Ok(sorted)
}
