//! Two tasks that talk through two queues.
//!
//! ```text
//! cargo run --release -p kappa --example ping_pong -- run --input 1000
//! cargo run --release -p kappa --example ping_pong -- run --input 100 --platform process --chaos kill=0.3,seed=7
//! ```
//!
//! prints the number of the last pong. Each message is sent and received once, whoever of the two is killed between sending and receiving.

use kappa::prelude::*;

#[kappa::task]
async fn player(cx: &mut Context, receive: Queue<u64>, send: Queue<u64>) {
    while let Some(ping) = cx.dequeue(&receive).await {
        cx.enqueue(&send, ping + 1).await;
    }
    cx.close(&send).await;
}

#[kappa::task]
async fn ping_pong(cx: &mut Context, rounds: u64) -> Result<u64> {
    let pings = cx.queue(1).await;
    let pongs = cx.queue(1).await;
    let player = cx.spawn(player(pings, pongs)).await;
    let mut number = 0;
    for _ in 0..rounds {
        cx.enqueue(&pings, number).await;
        number = match cx.dequeue(&pongs).await {
            Some(pong) => pong,
            None => return Err(Error::msg("the other player left")),
        };
    }
    cx.close(&pings).await;
    cx.wait(&player).await?;
    Ok(number)
}

fn main() -> kappa::ExitCode {
    kappa::main(ping_pong)
}
