use kappa::prelude::*;
use std::time::Duration;

#[kappa::task]
async fn part(cx: &mut Context, n: u64) -> u64 {
    cx.checkpoint().await;
    n
}

#[kappa::task]
async fn first(cx: &mut Context, queue: Queue<u64>) -> u64 {
    tokio::select! {
        item = cx.dequeue(&queue) => item.unwrap_or(0),
        _ = tokio::time::sleep(Duration::from_secs(1)) => 7,
    }
}

#[kappa::task]
async fn limited(cx: &mut Context, queue: Queue<u64>) -> Option<u64> {
    tokio::time::timeout(Duration::from_secs(1), cx.dequeue(&queue)).await.unwrap_or(None)
}

#[kappa::task]
async fn both(cx: &mut Context) -> u64 {
    let (a, b) = futures::join!(cx.call(part(1)), cx.call(part(2)));
    let c = futures::future::join_all(vec![cx.call(part(1))]).await;
    a + b + c[0]
}

fn main() {}
