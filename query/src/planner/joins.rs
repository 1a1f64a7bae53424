//! Pass 3: joins whose partitions share memory get partitions that share nothing.
//!
//! A join that collects its left side keeps, in memory shared by all its partitions, which left rows found a partner; the
//! last partition to finish emits the others. Alone in a process, every partition is the last one: left rows are lost or
//! come once per partition. Joins that emit only rows of the right side (and pairs) are not concerned.
//!
//! ```text
//!   before                                      after
//!
//!   HashJoin: CollectLeft, Left|Semi|Anti|      HashJoin: Partitioned
//!             Mark|Full                           Repartition: Hash([l], n)
//!     CoalescePartitions                            left
//!       left                                      Repartition: Hash([r], n)
//!     right (n partitions)                          right
//!
//!   the same, null-aware (NOT IN): one NULL     HashJoin: CollectLeft
//!   anywhere decides about every row              CoalescePartitions
//!                                                   left
//!   NestedLoopJoin: Left|Semi|Anti|Mark|Full      CoalescePartitions
//!     left                                          right
//!     right (n partitions)
//! ```
//!
//! Operators above may rely on how the join's rows were partitioned: if they were hash partitioned and no longer are, a
//! repartition by the same keys is put on top.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::common::{JoinType, Result as DataFusionResult};
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::joins::{HashJoinExec, NestedLoopJoinExec, PartitionMode};
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties, Partitioning, replace_children_if_necessary};

use crate::error::Result;

/// # Errors
/// If a join refuses its new children, which would be a defect of the pass.
pub(super) fn isolate(plan: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    Ok(plan.transform_up(isolate_one).data()?)
}

/// Whether the join emits rows of its left (build) side at its end, from flags that all partitions set.
pub(super) fn emits_build_rows(join_type: JoinType) -> bool {
    match join_type {
        JoinType::Left | JoinType::Full | JoinType::LeftSemi | JoinType::LeftAnti | JoinType::LeftMark => true,
        JoinType::Inner | JoinType::Right | JoinType::RightSemi | JoinType::RightAnti | JoinType::RightMark => false,
    }
}

fn isolate_one(node: Arc<dyn ExecutionPlan>) -> DataFusionResult<Transformed<Arc<dyn ExecutionPlan>>> {
    let (join_type, right) = if let Some(join) = node.downcast_ref::<HashJoinExec>() {
        if *join.partition_mode() != PartitionMode::CollectLeft {
            return Ok(Transformed::no(node));
        }
        (*join.join_type(), join.right())
    } else if let Some(join) = node.downcast_ref::<NestedLoopJoinExec>() {
        (*join.join_type(), join.right())
    } else {
        return Ok(Transformed::no(node));
    };
    let partitions = right.output_partitioning().partition_count();
    if partitions <= 1 || !emits_build_rows(join_type) {
        return Ok(Transformed::no(node));
    }

    let isolated = match node.downcast_ref::<HashJoinExec>() {
        Some(join) if !join.null_aware => partition_both_sides(join, partitions)?,
        _ => {
            let left = Arc::clone(node.children()[0]);
            let right = Arc::new(CoalescePartitionsExec::new(Arc::clone(right)));
            replace_children_if_necessary(Arc::clone(&node), vec![left, right])?
        }
    };
    Ok(Transformed::yes(with_partitioning(
        isolated,
        node.output_partitioning(),
    )?))
}

fn partition_both_sides(join: &HashJoinExec, partitions: usize) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
    let (left_keys, right_keys) = join.on().iter().cloned().unzip();
    let left = match join.left().downcast_ref::<CoalescePartitionsExec>() {
        Some(coalesce) if coalesce.fetch().is_none() => coalesce.input(),
        _ => join.left(),
    };
    let left = RepartitionExec::try_new(Arc::clone(left), Partitioning::Hash(left_keys, partitions))?;
    let right = RepartitionExec::try_new(Arc::clone(join.right()), Partitioning::Hash(right_keys, partitions))?;
    join.builder()
        .with_new_children(vec![Arc::new(left), Arc::new(right)])?
        .with_partition_mode(PartitionMode::Partitioned)
        .recompute_properties()
        .build_exec()
}

/// Puts a repartition on top if rows had a hash partitioning and have another one now.
fn with_partitioning(plan: Arc<dyn ExecutionPlan>, before: &Partitioning) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
    match before {
        Partitioning::Hash(..) if plan.output_partitioning() != before => {
            Ok(Arc::new(RepartitionExec::try_new(plan, before.clone())?))
        }
        _ => Ok(plan),
    }
}
