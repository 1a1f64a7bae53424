//! What a durable checkpoint costs whose state is on two Redis servers, with where the time goes: beside the raw write, the same checkpoint with everything in
//! memory, and putting an object of that size into the store. The lines that have a target are also part of the bench `runtime`.

#![allow(missing_docs)]

#[path = "runtime/redis.rs"]
mod redis_checkpoints;

use redis_checkpoints::measure;
use std::time::Duration;

fn quantile(times: &[Duration], share: f64) -> Duration {
    let mut times = times.to_vec();
    times.sort_unstable();
    let index = (times.len() as f64 * share) as usize;
    times[index.min(times.len() - 1)]
}

fn shown(duration: Duration) -> String {
    match duration.as_secs_f64() * 1e6 {
        micros @ ..10_000.0 => format!("{micros:.0} us"),
        micros => format!("{:.1} ms", micros / 1e3),
    }
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    // `cargo test` runs benches too, to see that they work.
    let is_short = !std::env::args().any(|argument| argument == "--bench");
    let rounds = |rounds| if is_short { 1 } else { rounds };
    println!("durable checkpoints to two Redis servers; medians, in turn, in one process");
    println!(
        "{:>8} {:>11} {:>11} {:>11} {:>11} | {:>6} {:>11} {:>7} | {:>11} {:>11}",
        "size", "raw write", "raw p99", "checkpoint", "p99", "ratio", "(target)", "p99/p50", "in memory", "store put"
    );
    let sizes = [
        ("1 KB", 1000, rounds(20), 200),
        // Just below what a message takes, and above it.
        ("60 KB", 60_000, rounds(20), 100),
        ("64 KB", 64 << 10, rounds(20), 100),
        ("80 KB", 80_000, rounds(20), 100),
        ("1 MB", 1_000_000, rounds(10), 20),
        ("16 MB", 16_000_000, rounds(5), 8),
    ];
    for size in sizes {
        for measured in measure(&[size]).await {
            let (raw, durable) = (&measured.raw, &measured.durable);
            println!(
                "{:>8} {:>11} {:>11} {:>11} {:>11} | {:>6.2} {:>11} {:>7.2} | {:>11} {:>11}",
                measured.size,
                shown(quantile(raw, 0.5)),
                shown(quantile(raw, 0.99)),
                shown(quantile(durable, 0.5)),
                shown(quantile(durable, 0.99)),
                quantile(durable, 0.5).as_secs_f64() / quantile(raw, 0.5).as_secs_f64(),
                "1.3 / 3",
                quantile(durable, 0.99).as_secs_f64() / quantile(durable, 0.5).as_secs_f64(),
                shown(quantile(&measured.memory, 0.5)),
                shown(quantile(&measured.put, 0.5)),
            );
        }
    }
}
