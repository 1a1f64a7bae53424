//! Pass 2: takes out exchanges that exist only between the threads of one process.
//!
//! ```text
//!   before                              after
//!
//!   RepartitionExec: RoundRobin(8)      child
//!     child
//!
//!   RepartitionExec: Hash([a], 8),      SortExec: [a], preserve_partitioning=true
//!     preserve_order=true, sort=[a]       RepartitionExec: Hash([a], 8)
//!     child                                 child
//!
//!   CooperativeExec, BufferExec         child
//!     child
//! ```
//!
//! A round robin spreads rows over threads; units are spread by whoever runs them. A shuffle keeps no order (a merge in
//! every reader could, at the price of a stream per unit), so the order is made again above it.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::physical_plan::buffer::BufferExec;
use datafusion::physical_plan::coop::CooperativeExec;
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties, Partitioning};

use crate::error::Result;

/// # Errors
/// If a node refuses its new children, which would be a defect of DataFusion.
pub(super) fn remove(plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    let plan = plan.transform_up(|node| {
        if node.is::<CooperativeExec>() || node.is::<BufferExec>() {
            return Ok(Transformed::yes(Arc::clone(node.children()[0])));
        }
        let Some(repartition) = node.downcast_ref::<RepartitionExec>() else {
            return Ok(Transformed::no(node));
        };
        let input = Arc::clone(repartition.input());
        match repartition.partitioning() {
            Partitioning::RoundRobinBatch(_) => Ok(Transformed::yes(input)),
            partitioning if repartition.preserve_order() => {
                let unordered = Arc::new(RepartitionExec::try_new(input, partitioning.clone())?);
                Ok(Transformed::yes(match node.output_ordering() {
                    Some(order) => Arc::new(SortExec::new(order.clone(), unordered).with_preserve_partitioning(true)),
                    None => unordered,
                }))
            }
            _ => Ok(Transformed::no(node)),
        }
    });
    Ok(plan.data()?)
}
