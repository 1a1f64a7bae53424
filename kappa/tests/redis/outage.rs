//! The store's servers are away for seconds while the state is elsewhere: no task fails because of it.

use crate::servers::Servers;
use kappa::platform::Platform;
use kappa::platform::in_process::{InProcess, InProcessOptions};
use kappa::platform::process::{Process, ProcessOptions};
use kappa::prelude::*;
use kappa::store::Store;
use kappa::{Kappa, RunHandle};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Too long for a message: whatever is made of it goes to the store.
const LONG: usize = 100_000;

/// Counts, with a continuation that has to go to the store each time.
#[kappa::task]
async fn count(cx: &mut Context, to: u64) -> Result<u64> {
    let ballast = vec![7_u8; LONG];
    let mut done = 0;
    while done < to {
        tokio::time::sleep(Duration::from_millis(10)).await;
        done += 1;
        cx.checkpoint().await;
    }
    match ballast.iter().all(|byte| *byte == 7) {
        true => Ok(done),
        false => Err(Error::msg("the ballast has changed")),
    }
}

/// Uses the store by itself too.
#[kappa::task]
async fn keep(cx: &mut Context, number: u64, rounds: u64) -> Result<u64> {
    let mut sum = 0;
    for round in 0..rounds {
        let key = format!("{}/kept/{number}-{round}-{}", cx.run_id().objects(), cx.incarnation());
        let bytes = vec![1_u8; 1000 + round as usize];
        cx.store().put(&key, bytes.into()).await?;
        tokio::time::sleep(Duration::from_millis(10)).await;
        sum += cx.store().get(&key).await?.len() as u64;
        cx.checkpoint().await;
    }
    Ok(sum)
}

#[kappa::task]
async fn all(cx: &mut Context, rounds: u64) -> Result<u64> {
    let counters = cx.spawn_all((0..3).map(|_| count(rounds))).await;
    let keepers = cx.spawn_all((0..2).map(|number| keep(number, rounds))).await;
    let mut sum = 0;
    for task in counters.into_iter().chain(keepers) {
        sum += cx.wait(&task).await?;
    }
    Ok(sum)
}

fn expected(rounds: u64) -> u64 {
    3 * rounds + 2 * (0..rounds).map(|round| 1000 + round).sum::<u64>()
}

fn worker_processes(store: &Arc<dyn Store>) -> Arc<dyn Platform> {
    let options = ProcessOptions {
        workers: 3,
        arguments: ["--exact", "runs::serving", "--nocapture"].map(String::from).to_vec(),
        ..ProcessOptions::default()
    };
    Arc::new(Process::new(options, store).expect("a platform"))
}

fn in_process(store: &Arc<dyn Store>) -> Arc<dyn Platform> {
    Arc::new(InProcess::new(InProcessOptions { workers: 2 }, store.clone()).expect("a platform"))
}

/// Store in Redis, state in a folder; an invocation has so long.
async fn place(
    servers: &Servers,
    platform: fn(&Arc<dyn Store>) -> Arc<dyn Platform>,
    folder: &std::path::Path,
    limit: Duration,
) -> Kappa {
    let store: Arc<dyn Store> = kappa::store::open(&servers.url()).expect("a store");
    let builder = Kappa::builder()
        .platform(platform(&store))
        .store(store)
        .state_dir(folder);
    builder.time_limit(limit).build().await.expect("a place")
}

const ROUNDS: u64 = 60;

async fn until_under_way(handle: &RunHandle<u64>) {
    let started = Instant::now();
    while handle.stats().checkpoints < 30 {
        assert!(started.elapsed() < Duration::from_secs(30), "it does not begin");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn survives(
    platform: fn(&Arc<dyn Store>) -> Arc<dyn Platform>,
    limit: Duration,
    outage: impl Fn(&mut Servers) + Send,
) -> kappa::RunStats {
    let folder = tempfile::tempdir().expect("a folder");
    let mut servers = Servers::start(2);
    let kappa = place(&servers, platform, folder.path(), limit).await;
    let handle = kappa.start(all(ROUNDS)).await.expect("a run");
    until_under_way(&handle).await;
    tokio::task::block_in_place(|| outage(&mut servers));
    let ended = tokio::time::timeout(Duration::from_secs(100), handle.wait()).await;
    let stats = handle.stats();
    let result = ended.unwrap_or_else(|_| panic!("it does not end: {stats:?}"));
    assert_eq!(result.expect("a result"), expected(ROUNDS), "{stats:?}");
    assert_eq!((stats.tasks_failed, stats.crashed), (0, 0), "{stats:?}");
    kappa.shutdown().await;
    stats
}

fn killed_for_seconds(servers: &mut Servers) {
    for server in &mut servers.0 {
        server.kill();
    }
    std::thread::sleep(Duration::from_secs(6));
    for server in &mut servers.0 {
        server.restart();
    }
}

fn paused_for_seconds(servers: &mut Servers) {
    for server in &servers.0 {
        server.pause();
    }
    std::thread::sleep(Duration::from_secs(12));
    for server in &servers.0 {
        server.go_on();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn worker_processes_wait_for_killed_servers_within_one_invocation() {
    survives(worker_processes, Duration::from_secs(60), killed_for_seconds).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn worker_processes_come_back_again_and_again_while_servers_that_are_killed_stay_away_longer_than_an_invocation_lasts()
 {
    let stats = survives(worker_processes, Duration::from_secs(1), killed_for_seconds).await;
    assert!(stats.store_away > 0, "{stats:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn tasks_in_this_process_wait_for_killed_servers() {
    survives(in_process, Duration::from_secs(60), killed_for_seconds).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_that_keep_silent_for_many_time_limits_use_up_no_attempts() {
    // Each invocation would be taken by its limit before it hears anything: far more often than a task may be without progress.
    let stats = survives(worker_processes, Duration::from_millis(600), paused_for_seconds).await;
    assert!(stats.store_away > 8, "{stats:?}");
    let stats = survives(in_process, Duration::from_millis(600), paused_for_seconds).await;
    assert!(stats.store_away > 8, "{stats:?}");
}
