//! Pass 1: refuses what cannot run in stages, with a message for whoever wrote the query.
//!
//! The list is of what is *known* to fail, so that the message can say what it is; that nothing else slips through is
//! the validator's business, which knows what is *allowed*.

use std::sync::Arc;

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::physical_plan::execution_plan::Boundedness;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};

use crate::error::{QueryError, Result};

/// # Errors
/// [`QueryError::Unsupported`] for the first node that cannot run in stages.
pub(super) fn check(plan: &Arc<dyn ExecutionPlan>) -> Result<()> {
    let mut refused = None;
    plan.apply(|node| {
        refused = refusal(node);
        Ok(if refused.is_some() {
            TreeNodeRecursion::Stop
        } else {
            TreeNodeRecursion::Continue
        })
    })?;
    refused.map_or(Ok(()), Err)
}

fn refusal(node: &Arc<dyn ExecutionPlan>) -> Option<QueryError> {
    let (what, reason) = match node.name() {
        "RecursiveQueryExec" | "WorkTableExec" => (
            "a recursive query (WITH RECURSIVE)",
            "its steps share a table in memory; write the steps out, or run it on one machine with DataFusion",
        ),
        "DataSinkExec" => (
            "INSERT or COPY",
            "a stage only computes rows; run the query and write its result",
        ),
        "PartialSortExec" | "SymmetricHashJoinExec" | "StreamingTableExec" => (
            "a query over an unbounded source",
            "a unit must end; use bounded tables",
        ),
        "PartitionedTopKExec" | "PiecewiseMergeJoinExec" => (
            node.name(),
            "it has no serialised form; leave the session's settings as they are",
        ),
        "AnalyzeExec" | "ExplainExec" => ("EXPLAIN inside a query", "it must be the whole statement"),
        _ if matches!(node.boundedness(), Boundedness::Unbounded { .. }) => (
            "a query over an unbounded source",
            "a unit must end; use bounded tables",
        ),
        _ => return None,
    };
    Some(QueryError::unsupported(what, reason))
}
