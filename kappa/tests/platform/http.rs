//! Worker processes that make their calls by HTTP, as lambdas do: everything the platform promises, and what happens when that way is bad or gone.

use crate::conformance;
use crate::process::options;
use crate::proxy::Proxy;
use crate::tasks::{self, Yes, invocation};
use kappa::link::http::{HttpOptions, HttpServer};
use kappa::platform::Platform;
use kappa::platform::chaos::{Chaos, Spec};
use kappa::platform::process::{Process, ProcessOptions};
use kappa::prelude::*;
use kappa::protocol::{Call, InvocationOutcome};
use kappa::runtime::{RunStats, Tuning};
use kappa::store::{FileStore, Store};
use kappa::{Kappa, RunHandle};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;

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

#[kappa::task]
async fn producing(cx: &mut Context, queue: Queue<u64>, from: u64, to: u64) {
    for number in from..to {
        cx.enqueue(&queue, number).await;
    }
}

#[kappa::task]
async fn taking(cx: &mut Context, queue: Queue<u64>) -> Vec<u64> {
    let mut items = Vec::new();
    while let Some(item) = cx.dequeue(&queue).await {
        items.push(item);
    }
    items
}

/// Spawns, waits, and sends every number from 0 to 2 x `each` through a queue; gives their sum and what came out of the queue, sorted.
#[kappa::task]
pub(crate) async fn program(cx: &mut Context, each: u64) -> Result<(u64, Vec<u64>)> {
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

/// Nothing lost, nothing twice.
fn expected(each: u64) -> (u64, Vec<u64>) {
    ((0..2 * each).sum(), (0..2 * each).collect())
}

/// A task that needs a moment.
#[kappa::task]
pub(crate) async fn resting(_cx: &mut Context, milliseconds: u64) -> u64 {
    tokio::time::sleep(Duration::from_millis(milliseconds)).await;
    milliseconds
}

#[kappa::task]
async fn waiting(cx: &mut Context, milliseconds: u64) -> Result<u64> {
    let task = cx.spawn(resting(milliseconds)).await;
    Ok(cx.wait(&task).await?)
}

/// Workers whose calls go by HTTP.
fn platform(server: &Arc<HttpServer>, workers: usize) -> (Arc<dyn Platform>, Arc<dyn Store>, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let store: Arc<dyn Store> = Arc::new(FileStore::open(folder.path()).unwrap());
    let options = ProcessOptions {
        workers,
        http: Some(server.clone()),
        ..options()
    };
    (Arc::new(Process::new(options, &store).unwrap()), store, folder)
}

fn server(options: HttpOptions) -> Arc<HttpServer> {
    Arc::new(HttpServer::start(options).unwrap())
}

/// Patience for tests in which it runs out.
const SHORT: Duration = Duration::from_millis(300);

async fn start(server: &Arc<HttpServer>, chaos: Option<Spec>, each: u64) -> (RunHandle<(u64, Vec<u64>)>, TempDir) {
    let (mut platform, store, folder) = platform(server, 3);
    if let Some(spec) = chaos {
        platform = Arc::new(Chaos::new(platform, spec));
    }
    let tuning = Tuning {
        grace: Duration::from_millis(5),
        ..Tuning::default()
    };
    let kappa = Kappa::builder().platform(platform).store(store).tuning(tuning);
    let kappa = kappa.build().await.unwrap();
    (kappa.start(program(each)).await.unwrap(), folder)
}

/// Waits for the run, whose result must be right.
pub(crate) async fn finish(handle: RunHandle<(u64, Vec<u64>)>, each: u64) -> RunStats {
    let result = tokio::time::timeout(Duration::from_secs(150), handle.wait())
        .await
        .expect("it goes on, however slowly");
    assert_eq!(result.unwrap(), expected(each));
    let stats = handle.stats();
    assert_eq!(stats.crashed, 0, "no failure of the program: {stats:?}");
    stats
}

#[tokio::test(flavor = "multi_thread")]
async fn the_process_platform_conforms_with_calls_by_http() {
    let (platform, _store, folder) = platform(&server(HttpOptions::default()), 2);
    conformance::check(platform).await;
    assert!(folder.path().join("conformance/seen=").exists());
}

#[tokio::test]
async fn calls_really_go_by_http_and_the_socket_s_bound_is_not_theirs() {
    let server = server(HttpOptions::default());
    let folder = tempfile::tempdir().unwrap();
    let store: Arc<dyn Store> = Arc::new(FileStore::open(folder.path()).unwrap());
    let options = ProcessOptions {
        message_limit: 100_000,
        http: Some(server),
        ..options()
    };
    let platform: Arc<dyn Platform> = Arc::new(Process::new(options, &store).unwrap());
    let link = Arc::new(Yes::default());
    let outcome = platform
        .invoke(invocation(tasks::fanning_out(40, 50_000)), link.clone())
        .await;
    assert_eq!(outcome, InvocationOutcome::Returned);
    assert_eq!(link.value::<usize>(), 40);
}

#[tokio::test]
async fn r12_the_secret_is_neither_in_the_environment_nor_in_the_arguments_of_a_worker() {
    let server = server(HttpOptions::default());
    let (platform, _store, _folder) = platform(&server, 1);
    let link = Arc::new(Yes::default());
    let asked = invocation(tasks::process_id());
    // The same run's secret, to look for it.
    let mut other = asked.clone();
    other.incarnation = 77;
    let opened = server.open(&other, link.clone()).unwrap();
    let secret = postcard::to_stdvec(&opened.access().secret).unwrap();
    let hexadecimal: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(platform.invoke(asked, link.clone()).await, InvocationOutcome::Returned);
    let worker = link.value::<u32>();
    for file in ["environ", "cmdline"] {
        let seen = std::fs::read(format!("/proc/{worker}/{file}")).unwrap();
        assert!(!seen.is_empty());
        assert!(!seen.windows(secret.len()).any(|window| window == secret), "{file}");
        assert!(!String::from_utf8_lossy(&seen).contains(&hexadecimal), "{file}");
    }
}

#[tokio::test]
async fn a_worker_that_cannot_reach_the_coordinator_ends_with_its_request_and_stays_warm() {
    let server = server(HttpOptions {
        patience: SHORT,
        ..HttpOptions::default()
    });
    server.stop().await;
    let (platform, _store, _folder) = platform(&server, 1);
    for number in 0..3 {
        let link = Arc::new(Yes::default());
        let outcome = platform
            .invoke(tasks::numbered(number, tasks::process_id()), link.clone())
            .await;
        let InvocationOutcome::Unlinked(request) = outcome else {
            panic!("{outcome:?}")
        };
        assert_eq!((request.task.0, request.incarnation, request.sequence), (number, 0, 1));
        let Call::Exit(Ok(kappa::protocol::Payload::Inline(value))) = request.call else {
            panic!("{:?}", request.call)
        };
        let worker: u32 = postcard::from_bytes(&value).unwrap();
        assert!(std::path::Path::new(&format!("/proc/{worker}")).exists());
        assert_eq!(link.count(), 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_whose_calls_go_by_http_gives_the_same_result_while_workers_are_killed() {
    let server = server(HttpOptions::default());
    let mut killed = 0;
    for seed in 0..6 {
        let (handle, _folder) = start(&server, Some(Spec { kill: 0.3, seed }), 15).await;
        killed += finish(handle, 15).await.killed;
    }
    assert!(killed > 10, "only {killed} were killed");
}

#[tokio::test(flavor = "multi_thread")]
async fn several_runs_share_a_server_and_do_not_hear_each_other() {
    let server = server(HttpOptions::default());
    let (one, two, three) = tokio::join!(
        start(&server, None, 10),
        start(&server, None, 20),
        start(&server, None, 5)
    );
    tokio::join!(finish(one.0, 10), finish(two.0, 20), finish(three.0, 5));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_whose_server_is_switched_off_goes_on_without_it() {
    let server = server(HttpOptions {
        patience: SHORT,
        ..HttpOptions::default()
    });
    let (handle, _folder) = start(&server, Some(Spec { kill: 0.1, seed: 3 }), 10).await;
    while handle.stats().checkpoints < 15 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(handle.stats().unlinked, 0, "as long as it is there, it is used");
    server.stop().await;
    let stats = finish(handle, 10).await;
    assert!(stats.unlinked > 10, "{stats:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_whose_server_never_accepts_a_connection_goes_on_without_it() {
    let (proxy, _listener) = Proxy::bind();
    let server = server(HttpOptions {
        patience: SHORT,
        advertise: Some(proxy.url()),
        ..HttpOptions::default()
    });
    let (handle, _folder) = start(&server, Some(Spec { kill: 0.1, seed: 5 }), 4).await;
    let stats = finish(handle, 4).await;
    assert!(stats.unlinked > 20, "{stats:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_way_that_freezes_and_thaws_again_and_again_changes_no_result() {
    let (proxy, listener) = Proxy::bind();
    let server = server(HttpOptions {
        patience: SHORT,
        advertise: Some(proxy.url()),
        ..HttpOptions::default()
    });
    proxy.begin(listener, server.address());
    let (handle, _folder) = start(&server, Some(Spec { kill: 0.1, seed: 6 }), 15).await;
    let freezing = async {
        let mut frozen = false;
        loop {
            frozen = !frozen;
            proxy.freeze(frozen);
            // Longer than the patience of a worker, and shorter.
            tokio::time::sleep(if frozen { SHORT * 2 } else { SHORT / 2 }).await;
        }
    };
    let stats = tokio::select! {
        stats = finish(handle, 15) => stats,
        () = freezing => unreachable!("it never ends"),
    };
    assert!(stats.unlinked > 0, "{stats:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn replies_that_are_cut_in_the_middle_are_asked_for_again_and_nothing_happens_twice() {
    let (proxy, listener) = Proxy::bind();
    let server = server(HttpOptions {
        advertise: Some(proxy.url()),
        ..HttpOptions::default()
    });
    proxy.begin(listener, server.address());
    // A reply with its head is a little over a hundred bytes: a cut falls into every few of them, each time elsewhere.
    proxy.cut_after(487);
    let (handle, _folder) = start(&server, Some(Spec { kill: 0.1, seed: 7 }), 15).await;
    let stats = finish(handle, 15).await;
    assert!(proxy.cuts() > 10, "{} cuts", proxy.cuts());
    assert_eq!(stats.unlinked, 0, "trying again was enough: {stats:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_starts_late_is_waited_for() {
    let (proxy, listener) = Proxy::bind();
    let server = server(HttpOptions {
        patience: Duration::from_secs(60),
        advertise: Some(proxy.url()),
        ..HttpOptions::default()
    });
    let (handle, _folder) = start(&server, None, 5).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(handle.stats().checkpoints, 0);
    proxy.begin(listener, server.address());
    let stats = finish(handle, 5).await;
    assert_eq!(stats.unlinked, 0, "{stats:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blocked_task_is_answered_within_its_grace_by_the_same_invocation() {
    // Longer than a worker bears silence: signs of life keep it.
    let server = server(HttpOptions {
        patience: Duration::from_millis(400),
        ..HttpOptions::default()
    });
    let (platform, store, _folder) = platform(&server, 2);
    let tuning = Tuning {
        grace: Duration::from_secs(30),
        ..Tuning::default()
    };
    let kappa = Kappa::builder().platform(platform).store(store).tuning(tuning);
    let handle = kappa.build().await.unwrap().start(waiting(1500)).await.unwrap();
    assert_eq!(handle.wait().await.unwrap(), 1500);
    let stats = handle.stats();
    assert_eq!(
        (stats.invocations, stats.suspended, stats.unlinked),
        (2, 0, 0),
        "{stats:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_is_blocked_beyond_its_grace_is_sent_away() {
    let (platform, store, _folder) = platform(&server(HttpOptions::default()), 2);
    let tuning = Tuning {
        grace: Duration::from_millis(20),
        ..Tuning::default()
    };
    let kappa = Kappa::builder().platform(platform).store(store).tuning(tuning);
    let handle = kappa.build().await.unwrap().start(waiting(800)).await.unwrap();
    assert_eq!(handle.wait().await.unwrap(), 800);
    let stats = handle.stats();
    assert_eq!(
        (stats.invocations, stats.suspended, stats.unlinked),
        (3, 1, 0),
        "{stats:?}"
    );
}

/// Not a check but a measurement: run it alone, with `--run-ignored all --no-capture`.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement"]
async fn measure_the_latency_of_calls_by_socket_and_by_http() {
    const CALLS: u32 = 20_000;
    let server = server(HttpOptions::default());
    let folder = tempfile::tempdir().unwrap();
    let store: Arc<dyn Store> = Arc::new(FileStore::open(folder.path()).unwrap());
    let mut medians = Vec::new();
    for http in [None, Some(server)] {
        let platform = Process::new(ProcessOptions { http, ..options() }, &store).unwrap();
        let mut means = Vec::new();
        for _ in 0..7 {
            let link = Arc::new(Yes::default());
            let started = Instant::now();
            let outcome = platform.invoke(invocation(tasks::well_behaved(CALLS)), link).await;
            assert_eq!(outcome, InvocationOutcome::Returned);
            means.push(started.elapsed() / CALLS);
        }
        means.sort_unstable();
        medians.push(means[3]);
    }
    println!(
        "a call: {:?} by socket, {:?} by HTTP over loopback",
        medians[0], medians[1]
    );
}
