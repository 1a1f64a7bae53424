//! What the runtime's operations cost in one process: tasks, queues, checkpoints. Each line is the median of several rounds.
//!
//! Conditions: platform `in-process` with its defaults; store and state in memory unless a line says otherwise. `cargo bench -p kappa --bench runtime`.

#![allow(missing_docs, unreachable_pub)] // tasks of a program, not of a library

use kappa::Kappa;
use kappa::prelude::*;
use std::time::{Duration, Instant};

/// Rounds of each measurement.
const ROUNDS: usize = 5;

#[kappa::task]
pub async fn nothing(_cx: &mut Context) {}

#[kappa::task]
pub async fn one_after_the_other(cx: &mut Context, times: u64) -> Result<()> {
    for _ in 0..times {
        let task = cx.spawn(nothing()).await;
        cx.wait(&task).await?;
    }
    Ok(())
}

#[kappa::task]
pub async fn all_at_once(cx: &mut Context, times: u64) -> Result<()> {
    let tasks = cx.spawn_all((0..times).map(|_| nothing())).await;
    cx.wait_all(&tasks).await?;
    Ok(())
}

#[kappa::task]
pub async fn produce(cx: &mut Context, queue: Queue<Vec<u8>>, items: u64, batch: u64) {
    for _ in 0..items / batch {
        if batch == 1 {
            cx.enqueue(&queue, vec![7; 100]).await;
        } else {
            cx.enqueue_all(&queue, (0..batch).map(|_| vec![7; 100])).await;
        }
    }
    cx.close(&queue).in_background().await;
}

#[kappa::task]
pub async fn consume(cx: &mut Context, queue: Queue<Vec<u8>>) -> u64 {
    let mut items = 0;
    while cx.dequeue(&queue).await.is_some() {
        items += 1;
    }
    items
}

#[kappa::task]
pub async fn through_a_queue(cx: &mut Context, items: u64, batch: u64) -> Result<u64> {
    let queue = cx.queue::<Vec<u8>>(1000).await;
    let consumer = cx.spawn(consume(queue)).await;
    let producer = cx.spawn(produce(queue, items, batch)).await;
    cx.wait(&producer).await?;
    let items = cx.wait(&consumer).await?;
    Ok(items)
}

#[kappa::task]
pub async fn checkpoints(cx: &mut Context, times: u64, bytes: usize, in_background: bool) -> usize {
    let state = vec![7u8; bytes];
    for _ in 0..times {
        if in_background {
            cx.checkpoint().in_background().await;
        } else {
            cx.checkpoint().await;
        }
    }
    state.len()
}

/// The median time of several rounds.
async fn median(mut round: impl AsyncFnMut()) -> Duration {
    let mut times = Vec::new();
    for _ in 0..ROUNDS {
        let started = Instant::now();
        round().await;
        times.push(started.elapsed());
    }
    times.sort_unstable();
    times[ROUNDS / 2]
}

fn say(what: &str, times: u64, took: Duration) {
    let each = took.as_secs_f64() / times as f64;
    println!("{what:<58} {:>9.2} us {:>12.0} per second", each * 1e6, 1.0 / each);
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let kappa = Kappa::builder().build().await?;
    let took = median(async || {
        kappa.run(one_after_the_other(2000)).await.expect("a result");
    })
    .await;
    say("spawn and wait, one after the other", 2000, took);
    let took = median(async || {
        kappa.run(all_at_once(50_000)).await.expect("a result");
    })
    .await;
    say("spawn, 50 000 at once, and wait for all", 50_000, took);
    for (batch, what) in [
        (1, "queue, item by item of 100 bytes"),
        (100, "queue, 100 items of 100 bytes at once"),
    ] {
        let took = median(async || {
            kappa.run(through_a_queue(50_000, batch)).await.expect("a result");
        })
        .await;
        say(what, 50_000, took);
    }
    let folder = tempfile::tempdir()?;
    let durable = Kappa::builder().state_dir(folder.path()).build().await?;
    for (place, kappa) in [("memory", &kappa), ("file", &durable)] {
        for in_background in [false, true] {
            let took = median(async || {
                kappa
                    .run(checkpoints(20_000, 1000, in_background))
                    .await
                    .expect("a result");
            })
            .await;
            let how = if in_background { "in background" } else { "waited for" };
            say(&format!("checkpoint of 1 KB, {place}, {how}"), 20_000, took);
        }
    }
    Ok(())
}
