//! What a durable checkpoint costs whose state is on two Redis servers, beside what it costs to write as many bytes to the same two servers with the same
//! client. Both in turn, in one process, against servers that this starts (with `appendonly`, as a durable state has it).
//!
//! The other columns say where the time goes: the same checkpoint with everything in memory (the continuation is made, the request passes through the
//! coordinator), and putting an object of that size into the store.

#![allow(missing_docs)]

#[path = "../tests/redis/servers.rs"]
mod servers;

use bytes::Bytes;
use futures::future::try_join_all;
use kappa::Kappa;
use kappa::prelude::*;
use kappa::store::{RedisStore, Store};
use redis::aio::MultiplexedConnection;
use servers::Servers;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// When the checkpoint that is going on began, and how long each took.
static STARTED: Mutex<Option<Instant>> = Mutex::new(None);
static TOOK: Mutex<Vec<Duration>> = Mutex::new(Vec::new());

fn start() {
    *STARTED.lock().expect("no holder of this lock panics") = Some(Instant::now());
}

fn stop() {
    let started = STARTED.lock().expect("no holder of this lock panics").take();
    if let Some(started) = started {
        TOOK.lock()
            .expect("no holder of this lock panics")
            .push(started.elapsed());
    }
}

#[kappa::task]
async fn checkpoints(cx: &mut Context, size: u64, count: u64) -> u64 {
    // Not a `Vec<u8>`: `serde` takes that byte by byte, which costs more than sending it.
    let live: Bytes = (0..size).map(|byte| byte as u8).collect();
    let mut done = 0;
    while done < count {
        start();
        cx.checkpoint().await;
        stop();
        done += 1;
    }
    live.len() as u64
}

async fn measure_checkpoints(kappa: &Kappa, size: usize, count: usize, into: &mut Vec<Duration>) {
    let ended = kappa.run(checkpoints(size as u64, count as u64)).await;
    assert_eq!(ended.expect("the run ends"), size as u64);
    into.append(&mut TOOK.lock().expect("no holder of this lock panics"));
}

async fn measure_writes(connections: &[MultiplexedConnection], size: usize, count: usize, into: &mut Vec<Duration>) {
    let value: Vec<u8> = (0..size).map(|byte| byte as u8).collect();
    for number in 0..count {
        let started = Instant::now();
        let mut set = redis::cmd("SET");
        set.arg(format!("raw:{}", number % 4)).arg(&value[..]);
        let writes = connections.iter().map(|connection| {
            let (mut connection, set) = (connection.clone(), &set);
            async move { connection.send_packed_command(set).await }
        });
        try_join_all(writes).await.expect("written");
        into.push(started.elapsed());
    }
}

async fn measure_puts(store: &RedisStore, size: usize, count: usize, into: &mut Vec<Duration>) {
    let value: Bytes = (0..size).map(|byte| byte as u8).collect();
    for number in 0..count {
        let started = Instant::now();
        store.put(&format!("bench/{number}"), value.clone()).await.expect("put");
        into.push(started.elapsed());
    }
    store.delete_prefix("bench").await.expect("deleted");
}

fn quantile(sorted: &[Duration], share: f64) -> Duration {
    let index = (sorted.len() as f64 * share) as usize;
    sorted[index.min(sorted.len() - 1)]
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
    let servers = Servers::start(2);
    let mut connections = Vec::new();
    for server in &servers.0 {
        let client = redis::Client::open(format!("redis://{}", server.address())).expect("an address");
        // The machine may be busy; how long it takes is what is asked.
        let config = redis::AsyncConnectionConfig::new().set_response_timeout(None);
        let connection = client.get_multiplexed_async_connection_with_config(&config).await;
        let connection = connection.expect("a connection");
        connections.push(connection);
    }
    let store = RedisStore::open(&servers.url()).expect("a store");
    let kappa = Kappa::builder().state(servers.url()).build().await.expect("a place");
    let in_memory = Kappa::builder().build().await.expect("a place");

    println!("durable checkpoints to two Redis servers; medians, in turn, in one process");
    println!(
        "{:>8} {:>11} {:>11} {:>11} {:>11} | {:>6} {:>11} {:>7} | {:>11} {:>11}",
        "size", "raw write", "raw p99", "checkpoint", "p99", "ratio", "(target)", "p99/p50", "in memory", "store put"
    );
    for (name, size, rounds, count) in [
        ("1 KB", 1000, 20, 200),
        ("60 KB", 60_000, 20, 100),
        ("64 KB", 64 << 10, 20, 100),
        ("1 MB", 1_000_000, 10, 20),
        ("16 MB", 16_000_000, 5, 8),
    ] {
        let rounds = if is_short { 1 } else { rounds };
        let [mut raw, mut durable, mut memory, mut put] = [const { Vec::new() }; 4];
        for round in 0..=rounds {
            measure_writes(&connections, size, count, &mut raw).await;
            measure_checkpoints(&kappa, size, count, &mut durable).await;
            measure_checkpoints(&in_memory, size, count, &mut memory).await;
            measure_puts(&store, size, count, &mut put).await;
            if round == 0 && !is_short {
                // To warm up.
                [&mut raw, &mut durable, &mut memory, &mut put]
                    .into_iter()
                    .for_each(Vec::clear);
            }
        }
        [&mut raw, &mut durable, &mut memory, &mut put]
            .into_iter()
            .for_each(|times| times.sort_unstable());
        let median = |times: &[Duration]| quantile(times, 0.5);
        let p99 = |times: &[Duration]| quantile(times, 0.99);
        println!(
            "{name:>8} {:>11} {:>11} {:>11} {:>11} | {:>6.2} {:>11} {:>7.2} | {:>11} {:>11}",
            shown(median(&raw)),
            shown(p99(&raw)),
            shown(median(&durable)),
            shown(p99(&durable)),
            median(&durable).as_secs_f64() / median(&raw).as_secs_f64(),
            "1.3 / 3",
            p99(&durable).as_secs_f64() / median(&durable).as_secs_f64(),
            shown(median(&memory)),
            shown(median(&put)),
        );
    }
}
