//! Recursion through `cx.call` that is deeper than any thread's stack.

use crate::harness::everywhere;
use kappa::prelude::*;

#[kappa::task]
async fn sum(cx: &mut Context, n: u64) -> u64 {
    if n == 0 {
        cx.checkpoint().await;
        return 0;
    }
    n + cx.call(sum(n - 1)).await
}

/// Fails at the bottom: everything above is dropped while it is suspended.
#[kappa::task]
async fn closes_twice(cx: &mut Context, n: u64, queue: Queue<u64>) -> u64 {
    if n == 0 {
        cx.enqueue(&queue, 1).await;
        return 0;
    }
    n + cx.call(closes_twice(n - 1, queue)).await
}

#[kappa::task]
async fn given_up(cx: &mut Context, n: u64) -> u64 {
    let queue = cx.queue(1).await;
    cx.close(&queue).await;
    cx.call(closes_twice(n, queue)).await
}

#[kappa::task]
async fn endless(cx: &mut Context, n: u64) -> u64 {
    cx.call(endless(n + 1)).await
}

const DEEP: u64 = 100_000;

#[test]
fn a_hundred_thousand_functions_inside_of_one_another_run_and_are_resumed_on_an_ordinary_thread() {
    assert_eq!(everywhere(sum(DEEP)), (Ok(DEEP * (DEEP + 1) / 2), 1));
}

#[test]
fn a_hundred_thousand_functions_inside_of_one_another_can_be_given_up() {
    let (end, _) = everywhere(given_up(DEEP));
    assert!(end.unwrap_err().contains("the queue is closed"));
}

#[test]
fn recursion_without_an_end_fails_its_task_with_the_limit() {
    let (end, checkpoints) = everywhere(endless(0));
    let said = end.unwrap_err();
    assert!(said.contains("by `cx.call`, and 250000 is the limit"), "{said}");
    assert_eq!(checkpoints, 0);
}
