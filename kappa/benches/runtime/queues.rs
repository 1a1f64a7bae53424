//! Items of 100 bytes from one producer to one consumer, each exactly once.

use crate::Line;
use kappa::prelude::*;
use kappa::runtime::Kappa;
use std::time::Instant;

const ITEM: usize = 100;

#[kappa::task]
async fn take_all(cx: &mut Context, queue: Queue<Vec<u8>>) -> usize {
    let mut taken = 0;
    while let Some(item) = cx.dequeue(&queue).await {
        taken += item.len() / ITEM;
    }
    taken
}

/// Sends so many items in batches of so many; gives how many were taken.
#[kappa::task]
async fn send(cx: &mut Context, items: usize, batch: usize) -> Result<usize> {
    let queue = cx.queue(1000).await;
    let consumer = cx.spawn(take_all(queue)).await;
    for _ in 0..items / batch {
        if batch == 1 {
            cx.enqueue(&queue, vec![7; ITEM]).await;
        } else {
            cx.enqueue_all(&queue, (0..batch).map(|_| vec![7; ITEM])).await;
        }
    }
    cx.close(&queue).await;
    Ok(cx.wait(&consumer).await?)
}

pub(crate) fn one_by_one_and_in_batches() -> kappa::Result<Vec<Line>> {
    let runtime = tokio::runtime::Runtime::new()?;
    let kappa = runtime.block_on(Kappa::builder().build())?;
    let mut lines = Vec::new();
    for (what, items, batch, least) in [
        ("one by one", 50_000, 1, 10_000.0),
        ("by enqueue_all of 100", 500_000, 100, 300_000.0),
    ] {
        let started = Instant::now();
        let taken = runtime.block_on(kappa.run(send(items, batch)))?;
        let total = started.elapsed();
        if taken != items {
            return Err(Error::msg(format!("{taken} of {items} items were taken")));
        }
        lines.push(Line::rate(
            format!("items of {ITEM} bytes through a queue, {what}"),
            items as u64,
            total,
            Some(least),
        ));
    }
    Ok(lines)
}
