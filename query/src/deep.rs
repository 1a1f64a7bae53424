//! Recursions that are as deep as a query: thousands of joins or conditions are no mistake of the user's, and must not overflow a stack.
//!
//! Planning has a thread with a large stack (`engine::planning`), but a worker's threads are a runtime's, and a plan is walked, read, run and
//! dropped there.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::Result;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::execution::{RecordBatchStream, SendableRecordBatchStream};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::ExecutionPlan;
use futures::{Stream, StreamExt};

/// Runs a step of a recursion, of which every step is run so.
pub(crate) fn deep<T>(step: impl FnOnce() -> T) -> T {
    const LEFT_AT_LEAST: usize = 256 << 10;
    const MORE: usize = 8 << 20;
    stacker::maybe_grow(LEFT_AT_LEAST, MORE, step)
}

/// Runs what needs so many bytes of a stack.
pub(crate) fn with<T>(stack: usize, walk: impl FnOnce() -> T) -> T {
    stacker::maybe_grow(stack, 2 * stack, walk)
}

/// Runs what goes through a whole plan that is this deep, by a recursion that is not ours.
pub(crate) fn through<T>(depth: usize, walk: impl FnOnce() -> T) -> T {
    /// Bytes for each operator: several calls, in a build without optimisation too.
    const EACH: usize = 64 << 10;
    with(depth.saturating_mul(EACH).min(1 << 30), walk)
}

/// How many operators there are, at most, above one another, with the expressions of one of them above those.
pub(crate) fn depth_of(plan: &Arc<dyn ExecutionPlan>) -> usize {
    /// Of expressions; a call of one takes less of a stack than that of an operator.
    const OF_AN_OPERATOR: usize = 4;
    let (mut deepest, mut deepest_expr, mut pending) = (0, 0, vec![(plan, 1)]);
    while let Some((plan, depth)) = pending.pop() {
        deepest = deepest.max(depth);
        // Nothing fails in it.
        let _ = plan.apply_expressions(&mut |expr| {
            deepest_expr = deepest_expr.max(depth_of_expr(expr));
            Ok(TreeNodeRecursion::Continue)
        });
        pending.extend(plan.children().into_iter().map(|child| (child, depth + 1)));
    }
    deepest + deepest_expr / OF_AN_OPERATOR
}

fn depth_of_expr(expr: &Arc<dyn PhysicalExpr>) -> usize {
    let (mut deepest, mut pending) = (0, vec![(expr, 1)]);
    while let Some((expr, depth)) = pending.pop() {
        deepest = deepest.max(depth);
        pending.extend(expr.children().into_iter().map(|child| (child, depth + 1)));
    }
    deepest
}

/// The rows of a plan that is this deep, whose operators ask one another.
pub(crate) fn rows(
    depth: usize,
    start: impl FnOnce() -> Result<SendableRecordBatchStream>,
) -> Result<SendableRecordBatchStream> {
    let inner = through(depth, start)?;
    Ok(Box::pin(Rows {
        schema: inner.schema(),
        inner: Some(inner),
        depth,
    }))
}

struct Rows {
    schema: SchemaRef,
    /// Always there, until it is dropped.
    inner: Option<SendableRecordBatchStream>,
    depth: usize,
}

impl Stream for Rows {
    type Item = Result<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let depth = self.depth;
        match &mut self.inner {
            Some(inner) => through(depth, || inner.poll_next_unpin(cx)),
            None => Poll::Ready(None),
        }
    }
}

impl RecordBatchStream for Rows {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }
}

impl Drop for Rows {
    fn drop(&mut self) {
        let inner = self.inner.take();
        through(self.depth, || drop(inner));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count_down(from: u64) -> u64 {
        // Enough that ten thousand of them are more than a thread has.
        let filled = [from; 256];
        std::hint::black_box(&filled);
        deep(|| if from == 0 { 0 } else { 1 + count_down(from - 1) })
    }

    #[test]
    fn a_recursion_may_be_deeper_than_the_stack() {
        assert_eq!(count_down(20_000), 20_000);
    }
}
