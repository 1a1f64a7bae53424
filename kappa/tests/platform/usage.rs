//! What a run uses is counted exactly, on every platform, and nothing twice.

use crate::process::options;
use async_trait::async_trait;
use bytes::Bytes;
use kappa::link::http::{HttpOptions, HttpServer};
use kappa::metrics::Metrics;
use kappa::platform::Platform;
use kappa::platform::chaos::{Chaos, Spec};
use kappa::platform::in_process::{InProcess, InProcessOptions};
use kappa::platform::process::{Process, ProcessOptions};
use kappa::record::cost::{Cost, Prices, Terms};
use kappa::record::{Records, StateFolder, history};
use kappa::store::{FileStore, Memory, Store, StoreError};
use kappa::usage::Operations;
use kappa::{Context, Kappa, Result, RunStats};
use prometheus_client::registry::Registry;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tempfile::TempDir;

/// Does the same few things in the store in each step, under keys that no other attempt uses.
#[kappa::task]
async fn storing(cx: &mut Context, steps: u64) -> Result<u64> {
    let mut step = 0;
    while step < steps {
        let key = format!(
            "{}/{}-{}-{step}",
            cx.run_id().results(),
            cx.task_id().0,
            cx.incarnation()
        );
        do_a_step(cx.store().as_ref(), &key).await?;
        step += 1;
        cx.checkpoint().await;
    }
    Ok(step)
}

async fn do_a_step(store: &dyn Store, key: &str) -> Result<(), StoreError> {
    store.put(key, Bytes::from_static(b"0123456789")).await?;
    store.get(key).await?;
    store.get_ranges(key, &[0..1, 2..5]).await?;
    store.delete(key).await
}

/// What so many steps are.
fn steps(count: u64) -> Operations {
    Operations {
        puts: count,
        gets: count,
        ranges: 2 * count,
        deletes: count,
        lists: 0,
        bytes_up: 10 * count,
        bytes_down: (10 + 1 + 3) * count,
    }
}

/// Several tasks that do it at the same time.
#[kappa::task]
async fn together(cx: &mut Context, tasks: u64, steps: u64) -> Result<u64> {
    let tasks = cx.spawn_all((0..tasks).map(|_| storing(steps))).await;
    let done = cx.wait_all(&tasks).await?;
    Ok(done.into_iter().sum())
}

#[kappa::task]
async fn repeating(_cx: &mut Context, text: String) -> String {
    text
}

/// A platform with its store.
struct Place {
    platform: Arc<dyn Platform>,
    store: Arc<dyn Store>,
    _folder: TempDir,
}

fn in_process(store: Arc<dyn Store>) -> Arc<dyn Platform> {
    Arc::new(InProcess::new(InProcessOptions { workers: 2 }, store).unwrap())
}

/// All platforms; with worker processes that call through the socket, and by HTTP.
fn places() -> Vec<(&'static str, Place)> {
    let memory: Arc<dyn Store> = Arc::new(Memory::new());
    let within = Place {
        platform: in_process(memory.clone()),
        store: memory,
        _folder: tempfile::tempdir().unwrap(),
    };
    let server = Arc::new(HttpServer::start(HttpOptions::default()).unwrap());
    vec![
        ("in-process", within),
        ("process", processes(options())),
        (
            "process by HTTP",
            processes(ProcessOptions {
                http: Some(server),
                ..options()
            }),
        ),
    ]
}

fn processes(options: ProcessOptions) -> Place {
    let folder = tempfile::tempdir().unwrap();
    let store: Arc<dyn Store> = Arc::new(FileStore::open(folder.path()).unwrap());
    Place {
        platform: Arc::new(Process::new(options, &store).unwrap()),
        store,
        _folder: folder,
    }
}

impl Place {
    async fn kappa(&self) -> Kappa {
        let builder = Kappa::builder().platform(self.platform.clone());
        builder.store(self.store.clone()).build().await.unwrap()
    }
}

#[tokio::test]
async fn the_operations_of_a_program_are_counted_exactly_on_every_platform() {
    for (name, place) in places() {
        let kappa = place.kappa().await;
        for _ in 0..2 {
            // The second run uses the workers of the first: nothing of that is counted again.
            let handle = kappa.start(together(3, 5)).await.unwrap();
            assert_eq!(handle.wait().await.unwrap(), 15);
            let RunStats { used, invocations, .. } = handle.stats();
            assert_eq!(used.workers, steps(15), "{name}");
            let at_the_end = Operations {
                lists: 1,
                ..Operations::default()
            };
            assert_eq!(used.coordinator, at_the_end, "{name}");
            assert_eq!(
                (used.invocations, used.on_coordinator, used.cut_off),
                (invocations, 0, 0),
                "{name}"
            );
            assert!(used.billed_ms >= invocations, "{name}: each takes time: {used:?}");
            assert_eq!(used.journal_writes, 0, "{name}: there is no journal");
        }
        kappa.shutdown().await;
    }
}

#[tokio::test]
async fn what_the_runtime_itself_stores_counts_too() {
    for (name, place) in places() {
        let kappa = place.kappa().await;
        let text = "x".repeat(200_000);
        let handle = kappa.start(repeating(text.clone())).await.unwrap();
        assert_eq!(handle.wait().await.unwrap(), text);
        let used = handle.stats().used;
        let of = |operations: Operations| (operations.puts, operations.gets);
        assert_eq!(
            of(used.coordinator),
            (1, 1),
            "{name}: the arguments go, the result comes"
        );
        assert_eq!(of(used.workers), (1, 1), "{name}: the other way round");
        assert!(
            used.store().bytes_up > 400_000 && used.store().bytes_down > 400_000,
            "{name}: {used:?}"
        );
        kappa.shutdown().await;
    }
}

#[tokio::test]
async fn memory_is_what_the_platform_gives() {
    let place = processes(ProcessOptions {
        memory_limit: Some(768 << 20),
        ..options()
    });
    let kappa = place.kappa().await;
    let handle = kappa.start(storing(2)).await.unwrap();
    handle.wait().await.unwrap();
    let used = handle.stats().used;
    assert_eq!(used.limited_ms, used.billed_ms);
    assert_eq!(used.mib_ms, 768 * used.billed_ms);
    let cost = handle.cost();
    assert_eq!((cost.memory, cost.is_hypothetical), (768 << 20, true));
    kappa.shutdown().await;
}

/// A store that keeps a count of its own.
#[derive(Debug, Default)]
struct Witness {
    objects: Memory,
    puts: AtomicU64,
}

#[async_trait]
impl Store for Witness {
    async fn put(&self, key: &str, bytes: Bytes) -> Result<(), StoreError> {
        self.puts.fetch_add(1, Ordering::SeqCst);
        self.objects.put(key, bytes).await
    }

    async fn get(&self, key: &str) -> Result<Bytes, StoreError> {
        self.objects.get(key).await
    }

    async fn get_ranges(&self, key: &str, ranges: &[Range<u64>]) -> Result<Vec<Bytes>, StoreError> {
        self.objects.get_ranges(key, ranges).await
    }

    async fn delete(&self, key: &str) -> Result<(), StoreError> {
        self.objects.delete(key).await
    }

    async fn delete_prefix(&self, prefix: &str) -> Result<(), StoreError> {
        self.objects.delete_prefix(prefix).await
    }

    fn is_shared(&self) -> bool {
        false
    }

    fn url(&self) -> String {
        "memory:".to_string()
    }
}

fn chaotic(platform: Arc<dyn Platform>, spec: &str) -> Arc<dyn Platform> {
    Arc::new(Chaos::new(platform, spec.parse::<Spec>().unwrap()))
}

#[tokio::test]
async fn what_was_killed_in_this_process_counts_with_what_it_had_done() {
    let witness = Arc::new(Witness::default());
    let store: Arc<dyn Store> = witness.clone();
    let platform = chaotic(in_process(store.clone()), "kill=0.6,seed=5");
    let kappa = Kappa::builder().platform(platform).store(store).build().await.unwrap();
    let handle = kappa.start(together(4, 6)).await.unwrap();
    assert_eq!(handle.wait().await.unwrap(), 24);
    let stats = handle.stats();
    let (counted, done) = (stats.used.store().puts, witness.puts.load(Ordering::SeqCst));
    assert!(stats.killed > 4, "{stats:?}");
    assert!(counted >= 24, "what was committed had been done: {stats:?}");
    // Whoever is killed may be about to begin one, on its own thread.
    assert!(counted <= done && done <= counted + stats.killed, "{done} {stats:?}");
    assert_eq!(stats.used.cut_off, stats.killed);
    assert_eq!(stats.used.invocations, stats.invocations);
    kappa.shutdown().await;
}

#[tokio::test]
async fn of_a_killed_process_is_known_what_it_had_done_up_to_its_last_call() {
    let mut place = processes(options());
    place.platform = chaotic(place.platform, "kill=0.5,seed=11");
    let kappa = place.kappa().await;
    let handle = kappa.start(together(3, 6)).await.unwrap();
    assert_eq!(handle.wait().await.unwrap(), 18);
    let stats = handle.stats();
    assert!(stats.killed > 2, "{stats:?}");
    // Every step that is committed was told with the call that committed it.
    assert!(stats.used.workers.puts >= 18, "{stats:?}");
    assert!(stats.used.workers.puts <= 18 + stats.killed, "{stats:?}");
    assert_eq!(
        (stats.used.cut_off, stats.used.invocations),
        (stats.killed, stats.invocations)
    );
    kappa.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_interrupted_and_resumed_counts_nothing_twice() {
    let state = tempfile::tempdir().unwrap();
    let witness = Arc::new(Witness::default());
    let mut run = None;
    let mut before = Operations::default();
    for life in [Some(10), Some(25), Some(40), None] {
        let store: Arc<dyn Store> = witness.clone();
        let builder = Kappa::builder().platform(in_process(store.clone())).store(store);
        let kappa = builder.state_dir(state.path()).build().await.unwrap();
        let handle = match run {
            None => kappa.start(together(4, 2000)).await.unwrap(),
            Some(run) => kappa.resume(run).await.unwrap(),
        };
        run = Some(handle.id());
        let after_load = handle.stats().used.store();
        assert!(after_load.puts >= before.puts, "what was recorded is not forgotten");
        match life {
            Some(life) => {
                tokio::time::sleep(std::time::Duration::from_millis(life)).await;
                handle.interrupt().await;
                before = handle.stats().used.store();
            }
            None => {
                assert_eq!(handle.wait().await.unwrap(), 8000);
                let used = handle.stats().used;
                let done = witness.puts.load(Ordering::SeqCst);
                // What those did who went with their coordinator is known to nobody.
                assert!(used.store().puts <= done, "{used:?}, {done} in truth");
                assert!(used.store().puts > 0 && used.journal_writes > 0, "{used:?}");
                assert!(used.coordinator.lists >= 1);
                check_record(&state, handle.id(), &handle.stats());
            }
        }
        kappa.shutdown().await;
    }
}

/// The record knows the same, from its lines as from its last word.
fn check_record(state: &TempDir, run: kappa::ids::RunId, stats: &RunStats) {
    let folder = StateFolder::open(state.path()).unwrap();
    let about = folder.about(run).unwrap();
    assert_eq!(about.stats.used, stats.used);
    let lines = history::sums(&folder, run).unwrap().used;
    assert_eq!(lines.workers, stats.used.workers);
    assert_eq!(
        (lines.invocations, lines.cut_off),
        (stats.used.invocations, stats.used.cut_off)
    );
    let terms = Terms::of(&about.platform, &about.store);
    let cost = Cost::of_run(&about, terms, Prices::default());
    assert_eq!(cost, Cost::of(&stats.used, terms, Prices::default()));
    assert!(cost.total > 0.0 && cost.is_hypothetical);
}

#[tokio::test]
async fn the_metrics_count_the_same_operations() {
    let metrics = Metrics::default();
    let kappa = Kappa::builder()
        .observer(Arc::new(metrics.clone()))
        .build()
        .await
        .unwrap();
    let handle = kappa.start(together(2, 3)).await.unwrap();
    handle.wait().await.unwrap();
    let mut registry = Registry::default();
    metrics.register(&mut registry);
    let mut page = String::new();
    prometheus_client::encoding::text::encode(&mut page, &registry).unwrap();
    for line in [
        "kappa_store_operations_total{operation=\"put\",by=\"worker\"} 6",
        "kappa_store_operations_total{operation=\"get_range\",by=\"worker\"} 12",
        "kappa_store_operations_total{operation=\"delete\",by=\"worker\"} 6",
        "kappa_store_operations_total{operation=\"delete_prefix\",by=\"coordinator\"} 1",
        "kappa_store_bytes_total{direction=\"up\",by=\"worker\"} 60",
        "kappa_store_bytes_total{direction=\"down\",by=\"worker\"} 84",
    ] {
        assert!(page.lines().any(|found| found == line), "{line} is not in\n{page}");
    }
    kappa.shutdown().await;
}
