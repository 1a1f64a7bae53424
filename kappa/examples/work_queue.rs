//! Work dealt out through a queue: one producer, several consumers, and two ways to tell them that there is no more.
//!
//! ```text
//! cargo run --release -p kappa --example work_queue -- run --input '{"items": 1000, "workers": 4, "ending": "close"}'
//! cargo run --release -p kappa --example work_queue -- run --input '{"items": 1000, "workers": 4, "ending": "sentinel"}'
//! ```
//!
//! Both print how many items the workers took in all, and their sum: each item is taken once, whoever is killed meanwhile.

use kappa::prelude::*;
use serde::{Deserialize, Serialize};

/// How workers hear that there is no more work.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Ending {
    /// The queue is closed: whoever asks for an item gets none.
    Close,
    /// One item for each worker says so.
    Sentinel,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
enum Item {
    Work(u64),
    Stop,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Taken {
    items: u64,
    sum: u64,
}

#[kappa::task]
async fn work(cx: &mut Context, queue: Queue<Item>) -> Taken {
    let mut taken = Taken::default();
    while let Some(item) = cx.dequeue(&queue).await {
        match item {
            Item::Work(number) => {
                taken.items += 1;
                taken.sum += number;
            }
            Item::Stop => break,
        }
    }
    taken
}

#[kappa::task]
async fn work_queue(cx: &mut Context, items: u64, workers: usize, ending: Ending) -> Result<Taken> {
    if workers == 0 {
        return Err(Error::msg(
            "without workers nobody would take the items; `workers` is at least 1",
        ));
    }
    // Fewer places than items: the producer waits while the queue is full.
    let queue = cx.queue(16).await;
    let tasks = cx.spawn_all((0..workers).map(|_| work(queue))).await;
    for first in (0..items).step_by(100) {
        let batch = first..items.min(first + 100);
        cx.enqueue_all(&queue, batch.map(Item::Work)).await;
    }
    match ending {
        Ending::Close => cx.close(&queue).await,
        Ending::Sentinel => cx.enqueue_all(&queue, (0..workers).map(|_| Item::Stop)).await,
    }
    let mut total = Taken::default();
    for taken in cx.wait_all(&tasks).await? {
        total.items += taken.items;
        total.sum += taken.sum;
    }
    Ok(total)
}

fn main() -> kappa::ExitCode {
    kappa::main(work_queue)
}
