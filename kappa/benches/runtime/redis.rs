//! Durable checkpoints whose state is on two Redis servers, beside writing as many bytes to the same two servers with the same client: both in turn, in one
//! process, against servers that this starts (with `appendonly`, as a durable state has it).

#[path = "../../tests/redis/servers.rs"]
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

/// What was measured for values of one size: how long each of its operations took.
#[allow(dead_code, reason = "the bench `runtime` shows raw writes and checkpoints alone")]
pub(crate) struct Measured {
    pub(crate) size: &'static str,
    pub(crate) raw: Vec<Duration>,
    pub(crate) durable: Vec<Duration>,
    /// The same checkpoint with everything in memory: the continuation is made, the request passes through the coordinator.
    pub(crate) memory: Vec<Duration>,
    /// Putting an object of that size into the store.
    pub(crate) put: Vec<Duration>,
}

/// Measures the sizes: the name of each, its bytes, how many rounds, and how many operations of each kind in a round. A first round warms up, and does not
/// count.
pub(crate) async fn measure(sizes: &[(&'static str, usize, usize, usize)]) -> Vec<Measured> {
    let servers = Servers::start(2);
    let mut connections = Vec::new();
    for server in &servers.0 {
        let client = redis::Client::open(format!("redis://{}", server.address())).expect("an address");
        // The machine may be busy; how long it takes is what is asked.
        let config = redis::AsyncConnectionConfig::new().set_response_timeout(None);
        let connection = client.get_multiplexed_async_connection_with_config(&config).await;
        connections.push(connection.expect("a connection"));
    }
    let store = RedisStore::open(&servers.url()).expect("a store");
    let kappa = Kappa::builder().state(servers.url()).build().await.expect("a place");
    let in_memory = Kappa::builder().build().await.expect("a place");
    let mut all = Vec::new();
    for &(name, size, rounds, count) in sizes {
        let [mut raw, mut durable, mut memory, mut put] = [const { Vec::new() }; 4];
        for round in 0..=rounds {
            if round == 1 {
                [&mut raw, &mut durable, &mut memory, &mut put]
                    .into_iter()
                    .for_each(Vec::clear);
            }
            measure_writes(&connections, size, count, &mut raw).await;
            measure_checkpoints(&kappa, size, count, &mut durable).await;
            measure_checkpoints(&in_memory, size, count, &mut memory).await;
            measure_puts(&store, size, count, &mut put).await;
        }
        all.push(Measured {
            size: name,
            raw,
            durable,
            memory,
            put,
        });
    }
    all
}
