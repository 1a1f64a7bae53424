//! Whole runs on lambdas, while everything goes wrong that can: the results are right, and everything happens once.

use crate::emulator::{MARK, http, inside_with, platform, store};
use crate::inside;
use crate::proxy::Proxy;
use crate::twice::Twice;
use kappa::link::http::{HttpOptions, HttpServer};
use kappa::platform::Platform;
use kappa::prelude::*;
use kappa::runtime::{RunStats, Tuning};
use kappa::{Kappa, RunHandle};
use kappa_test_servers::Server;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::sync::Arc;
use std::time::Duration;

/// Sends these numbers through the queue. Where it checkpoints, and what it does meanwhile, is another thing each time it runs.
#[kappa::task]
async fn producing(cx: &mut Context, queue: Queue<u64>, from: u64, to: u64) {
    for number in from..to {
        if rand::random() {
            cx.checkpoint().await;
        }
        if rand::random() {
            cx.checkpoint().in_background().await;
        }
        cx.enqueue(&queue, number).await;
    }
}

#[kappa::task]
async fn taking(cx: &mut Context, queue: Queue<u64>) -> Vec<u64> {
    let mut items = Vec::new();
    while let Some(item) = cx.dequeue(&queue).await {
        if rand::random() {
            cx.checkpoint().await;
        }
        items.push(item);
    }
    items
}

/// Adds up numbers, one checkpoint for each.
#[kappa::task]
async fn adding(cx: &mut Context, from: u64, to: u64) -> u64 {
    let mut sum = 0;
    for number in from..to {
        sum += number;
        cx.checkpoint().await;
    }
    sum
}

/// Spawns, waits, and sends every number from 0 to 2 x `each` through a queue; gives their sum and what came out of the queue, sorted.
#[kappa::task]
async fn program(cx: &mut Context, each: u64) -> Result<(u64, Vec<u64>)> {
    let queue = cx.queue::<u64>(3).await;
    let producers = cx
        .spawn_all((0..2).map(|part| producing(queue.clone(), part * each, (part + 1) * each)))
        .await;
    let taker = cx.spawn(taking(queue.clone())).await;
    let sum = cx.spawn(adding(0, 2 * each)).await;
    for producer in producers {
        cx.wait(&producer).await?;
    }
    cx.close(&queue).await;
    let mut items = cx.wait(&taker).await?;
    items.sort_unstable();
    let sum = cx.wait(&sum).await?;
    Ok((sum, items))
}

async fn kappa(platform: Arc<dyn Platform>) -> Kappa {
    let tuning = Tuning {
        grace: Duration::from_millis(20),
        ..Tuning::default()
    };
    let kappa = Kappa::builder().platform(platform).store(store()).tuning(tuning);
    kappa.build().await.unwrap()
}

async fn start(platform: Arc<dyn Platform>, each: u64) -> RunHandle<(u64, Vec<u64>)> {
    kappa(platform).await.start(program(each)).await.unwrap()
}

/// Waits for the run, whose result must be right: nothing lost, nothing twice.
async fn finish(handle: RunHandle<(u64, Vec<u64>)>, each: u64) -> RunStats {
    let result = tokio::time::timeout(Duration::from_secs(150), handle.wait())
        .await
        .expect("it goes on, however slowly");
    assert_eq!(result.unwrap(), ((0..2 * each).sum(), (0..2 * each).collect()));
    handle.stats()
}

inside! {
    async fn a_run_without_any_way_back_is_slower_and_not_wrong(emulator: Emulator) {
        emulator.make_this("f", 60).await;
        let stats = finish(start(platform("f", 8, None).await, 6).await, 6).await;
        assert!(stats.unlinked > 20 && stats.crashed == 0, "{stats:?}");
    }
}

inside! {
    async fn a_way_back_that_is_cut_in_the_middle_changes_nothing(emulator: Emulator) {
        emulator.make_this("f", 60).await;
        let (proxy, listener) = Proxy::bind();
        let options = HttpOptions {
            advertise: Some(proxy.url()),
            ..HttpOptions::default()
        };
        let server = Arc::new(HttpServer::start(options).unwrap());
        proxy.begin(listener, server.address());
        proxy.cut_after(487);
        let stats = finish(start(platform("f", 8, Some(server)).await, 15).await, 15).await;
        assert!(proxy.cuts() > 10, "{} cuts", proxy.cuts());
        assert_eq!(stats.crashed, 0, "{stats:?}");
    }
}

inside! {
    async fn a_way_back_that_freezes_again_and_again_changes_nothing(emulator: Emulator) {
        const PATIENCE: Duration = Duration::from_millis(400);
        emulator.make_this("f", 60).await;
        let (proxy, listener) = Proxy::bind();
        let options = HttpOptions {
            patience: PATIENCE,
            advertise: Some(proxy.url()),
            ..HttpOptions::default()
        };
        let server = Arc::new(HttpServer::start(options).unwrap());
        proxy.begin(listener, server.address());
        let handle = start(platform("f", 8, Some(server)).await, 12).await;
        let freezing = async {
            let mut frozen = false;
            loop {
                frozen = !frozen;
                proxy.freeze(frozen);
                tokio::time::sleep(if frozen { PATIENCE * 2 } else { PATIENCE / 2 }).await;
            }
        };
        let stats = tokio::select! {
            stats = finish(handle, 12) => stats,
            () = freezing => unreachable!("it never ends"),
        };
        assert!(stats.unlinked > 0, "{stats:?}");
    }
}

/// Computes for a while, with checkpoints when they are due; gives how often it did.
#[kappa::task]
async fn long(cx: &mut Context, steps: u64) -> u64 {
    let mut done = 0;
    while done < steps {
        std::thread::sleep(Duration::from_millis(10));
        done += 1;
        cx.checkpoint_if_due().await;
    }
    done
}

inside! {
    async fn a_task_that_takes_longer_than_a_lambda_goes_on_in_the_next(emulator: Emulator) {
        emulator.make_this("f", 2).await;
        let kappa = kappa(platform("f", 2, Some(http())).await).await;
        let handle = kappa.start(long(600)).await.unwrap();
        assert_eq!(handle.wait().await.unwrap(), 600);
        let stats = handle.stats();
        assert!(stats.invocations >= 4 && stats.crashed == 0, "{stats:?}");
    }
}

/// A short task, whose number comes back.
#[kappa::task]
async fn short(_cx: &mut Context, number: u64) -> u64 {
    tokio::time::sleep(Duration::from_millis(50)).await;
    number
}

#[kappa::task]
async fn many(cx: &mut Context, tasks: u64) -> Result<Vec<u64>> {
    let tasks = cx.spawn_all((0..tasks).map(short)).await;
    Ok(cx.wait_all(&tasks).await?)
}

inside! {
    async fn r19_with_room_for_two_twenty_tasks_are_throttled_and_all_of_them_run(emulator: Emulator) {
        emulator.make_this("f", 60).await;
        let kappa = kappa(platform("f", 100, Some(http())).await).await;
        emulator.reserve("f", 2).await;
        let handle = kappa.start(many(20)).await.unwrap();
        let result = tokio::time::timeout(Duration::from_secs(120), handle.wait()).await;
        assert_eq!(result.expect("in time").unwrap(), (0..20).collect::<Vec<_>>());
        let stats = handle.stats();
        assert!(stats.throttled > 5 && stats.crashed == 0, "{stats:?}");
    }
}

/// The lambdas of an emulator.
fn bootstraps(endpoint: &str) -> Vec<Pid> {
    let mark = format!("{MARK}={endpoint}");
    let is_one = |environment: &str| {
        let mut variables = environment.split('\0');
        environment.contains("AWS_LAMBDA_RUNTIME_API=") && variables.any(|variable| variable == mark)
    };
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let environment = std::fs::read(entry.path().join("environ")).unwrap_or_default();
        if is_one(&String::from_utf8_lossy(&environment)) {
            found.extend(entry.file_name().to_string_lossy().parse().ok().map(Pid::from_raw));
        }
    }
    found
}

/// Kills one of them, if there is one.
pub(crate) fn kill_a_lambda(endpoint: &str) -> bool {
    let lambdas = bootstraps(endpoint);
    let chosen = lambdas.get(rand::random_range(0..lambdas.len().max(1)));
    chosen.is_some_and(|lambda| kill(*lambda, Signal::SIGKILL).is_ok())
}

inside! {
    async fn a_run_whose_lambdas_are_killed_all_the_time_ends_with_the_right_result(emulator: Emulator) {
        emulator.make_this("f", 60).await;
        let handle = start(platform("f", 8, Some(http())).await, 400).await;
        let killing = async {
            let mut killed = 0;
            while killed < 12 {
                tokio::time::sleep(Duration::from_millis(100)).await;
                killed += u32::from(kill_a_lambda(emulator.endpoint()));
            }
            std::future::pending::<()>().await;
        };
        let stats = tokio::select! {
            stats = finish(handle, 400) => stats,
            () = killing => unreachable!("it never ends"),
        };
        assert!(stats.killed + stats.crashed > 0, "{stats:?}");
    }
}

/// Lambda, or something on the way to it, delivers each invocation to two sandboxes.
#[test]
fn a03_a_run_whose_invocations_are_all_delivered_twice_has_every_effect_once() {
    let name = concat!(
        module_path!(),
        "::a03_a_run_whose_invocations_are_all_delivered_twice_has_every_effect_once"
    );
    let mut twice = None;
    let by_the_proxy = |server: &Server| {
        let proxy = twice.insert(Twice::before(&server.endpoint()));
        vec![("AWS_ENDPOINT_URL_LAMBDA", proxy.url())]
    };
    inside_with(name, by_the_proxy, async |emulator| {
        emulator.make_this("f", 60).await;
        finish(start(platform("f", 20, Some(http())).await, 20).await, 20).await;
    });
    if let Some(twice) = twice {
        assert!(twice.doubled() > 4, "{}", twice.doubled());
    }
}
