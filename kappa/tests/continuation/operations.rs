//! Resuming at the suspension points of every operation and option, and in between.

use crate::twin::{same, twins};
use kappa::prelude::*;
use std::future::{Future, Ready};
use std::time::Duration;

/// The plain twin's `.in_background()`.
trait InBackground: Sized {
    fn in_background(self) -> Self {
        self
    }
}

impl InBackground for Ready<()> {}

/// The plain twin's options of spawned tasks.
#[allow(unused_variables)]
trait Options: Future + Sized {
    fn after<T>(self, tasks: &[T]) -> Self {
        self
    }

    fn named(self, name: impl Into<String>) -> Self {
        self
    }

    fn retry(self, retry: Retry) -> Self {
        self
    }

    fn time_limit(self, limit: Duration) -> Self {
        self
    }

    fn on_coordinator(self) -> Self {
        self
    }
}

impl<F: Future> Options for F {}

twins! {
    async fn checkpoints(cx, n: i64) -> i64 {
        let mut sum = 0;
        for i in 0..n {
            sum += i;
            cx.checkpoint().in_background().await;
            if i % 3 == 0 { cx.checkpoint_if_due().in_background().await; }
            sum *= 2;
        }
        sum
    }

    async fn square(cx, n: i64) -> i64 {
        cx.checkpoint().in_background().await;
        n * n
    }

    async fn deferred(cx, n: i64) -> Vec<i64> {
        let q = cx.queue::<i64>(3).await;
        cx.enqueue_all(&q, 0..n).await;
        cx.close(&q).in_background().await;
        let mut items = vec![];
        while let Some(item) = cx.dequeue(&q).await {
            items.push(item);
            let task = cx.spawn(square(item)).await;
            cx.cancel(&task).in_background().await;
            items.push(cx.wait(&task).await.unwrap_or(-1));
            cx.cancel(&task).await;
        }
        let q = cx.queue::<i64>(1).await;
        cx.close(&q).in_background().await;
        items
    }

    async fn optional(cx, n: i64) -> Result<i64> {
        let first = cx.spawn(square(n)).named(format!("first of {n}")).await;
        let second = cx.spawn(square(n + 1)).after(&[&first]).retry(Retry::attempts(n as u32)).await;
        let all = cx.spawn_all((0..n).map(|i| square(i))).after(&[first.clone(), second.clone()]).time_limit(Duration::from_secs(n as u64)).on_coordinator().await;
        let mut sum = cx.wait(&first).await? + cx.wait(&second).await?;
        for value in cx.wait_all(&all).await? { sum += value; }
        Ok(sum)
    }

    async fn outside(cx, n: i64) -> i64 {
        let mut text = String::new();
        for i in 0..n {
            cx.sleep(Duration::from_secs(i as u64)).await;
            text.push_str(&format!("{i},"));
            cx.put_object(format!("file:/nowhere/{i}"), text.clone()).await;
        }
        text.len() as i64
    }

    async fn in_expressions(cx, n: i64) -> (i64, i64) {
        let a = n + { cx.sleep(Duration::ZERO).await; 1 };
        let b = match cx.checkpoint().in_background().await { () => a * 2 };
        (a, b)
    }
}

#[test]
fn checkpoints_in_the_background() {
    same!(checkpoints(5), 5);
    same!(square(3), 1);
}

#[test]
fn deferred_calls() {
    same!(deferred(3), 10);
    same!(deferred(0), 2);
}

#[test]
fn options_of_spawned_tasks() {
    same!(optional(3), 6);
}

#[test]
fn the_clock_and_objects_outside() {
    same!(outside(3), 6);
    same!(in_expressions(4), 2);
}
