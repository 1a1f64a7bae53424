//! The engine's answers are DataFusion's, and nothing stays behind.

use crate::support::{engine, expected, shown, tables};
use kappa::platform::chaos::{Chaos, Spec};
use kappa::platform::in_process::{InProcess, InProcessOptions};
use kappa::runtime::Kappa;
use kappa::store::Memory;
use kappa_query::Execution;
use kappa_query::session::SessionOptions;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

const JOIN: &str = "select c.name, o.kind, count(*) as n, sum(o.amount) as total, avg(o.amount) as mean \
                    from orders o join customers c on o.customer = c.id where o.id > 500 \
                    group by c.name, o.kind having count(*) > 3 order by total desc, c.name, o.kind limit 50";

#[tokio::test(flavor = "multi_thread")]
async fn queries_give_what_datafusion_gives_and_leave_nothing_in_the_store() {
    let folder = tables().await;
    let store = Arc::new(Memory::new());
    let kappa = Kappa::builder().store(store.clone()).build().await.unwrap();
    let engine = engine(kappa, folder.path(), false).await;
    for sql in [
        JOIN,
        "select count(*) from orders where id < 0",
        "select id from orders where id < 0",
        "select sum(amount) from orders where customer = (select max(id) from customers where id < 90)",
        "select name from customers where id not in (select customer from orders where customer is not null) order by name",
        "select kind, rank() over (order by count(*) desc, kind) as r from orders group by kind order by r",
        "select id from orders order by id limit 5 offset 3",
        "select 1 as one, 'x' as text",
    ] {
        let result = engine.sql(sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
        assert_eq!(shown(&result), expected(folder.path(), sql).await, "{sql}");
        assert!(
            result.stats.unwrap().invocations >= 2,
            "a driver and at least one stage task"
        );
    }
    assert_eq!(store.usage().0, 0, "objects left in the store");
}

#[tokio::test(flavor = "multi_thread")]
async fn explain_shows_the_stages_and_a_failing_query_says_why_and_leaves_nothing() {
    let folder = tables().await;
    let store = Arc::new(Memory::new());
    let kappa = Kappa::builder().store(store.clone()).build().await.unwrap();
    let engine = engine(kappa, folder.path(), false).await;

    let stages = shown(&engine.sql(&format!("explain {JOIN}")).await.unwrap());
    assert!(
        stages.contains("stage 0") && stages.contains("ShuffleReaderExec"),
        "{stages}"
    );

    let did = shown(&engine.sql(&format!("explain analyze {JOIN}")).await.unwrap());
    assert!(
        did.contains("stage 0: 2 units, Broadcast") && did.contains("= 2 tasks put out 121 rows, "),
        "all 121 customers are read: {did}"
    );
    let used = did.lines().find(|line| line.contains("run: ")).unwrap_or_default();
    assert!(
        used.contains("GB-seconds") && used.contains("reads of the store; on AWS it would have cost 0.00"),
        "{did}"
    );

    let error = engine
        .sql("select (select id from orders) from customers")
        .await
        .unwrap_err()
        .to_string();
    assert!(error.contains("more than one row"), "{error}");
    let error = engine
        .sql("select 10 / (id - 1) from orders")
        .await
        .unwrap_err()
        .to_string();
    assert!(error.to_lowercase().contains("divide by zero"), "{error}");
    assert_eq!(store.usage().0, 0, "objects left in the store");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_whose_coordinator_is_gone_is_resumed_from_the_state_directory() {
    let (folder, state) = (tables().await, tempfile::tempdir().unwrap());
    let kappa = || async {
        Kappa::builder()
            .state_dir(state.path().to_owned())
            .build()
            .await
            .unwrap()
    };
    let want = expected(folder.path(), JOIN).await;

    let first = engine(kappa().await, folder.path(), true).await;
    let statement = first.parse(JOIN).unwrap().remove(0);
    let Execution::Running(query) = first.start(statement).await.unwrap() else {
        panic!("a query runs")
    };
    let run = query.run_id();
    query.interrupt().await;
    drop((query, first));

    // Whoever resumes needs no table: everything is in the run.
    for _ in 0..2 {
        let again = kappa_query::Engine::on(kappa().await, Default::default(), 2, true).unwrap();
        let result = again.resume(run).await.unwrap().wait().await.unwrap();
        assert_eq!(shown(&result), want);
    }
    kappa().await.remove(run).await.unwrap();
    assert_eq!(files_below(&state.path().join("store")), 0, "objects of a removed run");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_that_would_take_for_ever_stops_when_it_is_cancelled_and_gives_its_threads_back() {
    let folder = tables().await;
    let engine = engine(Kappa::builder().build().await.unwrap(), folder.path(), false).await;
    let endless = "select count(*) from orders a cross join orders b cross join orders c where a.id + b.id > c.id";
    for _ in 0..3 {
        let statement = engine.parse(endless).unwrap().remove(0);
        let Execution::Running(query) = engine.start(statement).await.unwrap() else {
            panic!("a query runs")
        };
        tokio::time::sleep(Duration::from_secs(1)).await;
        query.cancel();
        let error = query.wait().await.unwrap_err().to_string();
        assert!(error.contains("cancelled"), "{error}");
    }
    let next = tokio::time::timeout(Duration::from_secs(20), engine.sql("select count(*) from customers"));
    assert_eq!(next.await.expect("the threads are free again").unwrap().rows(), 1);
}

fn files_below(folder: &Path) -> usize {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries
        .map(|path| if path.is_dir() { files_below(&path) } else { 1 })
        .sum()
}

/// An engine whose operators may hold this many bytes.
async fn small_engine(folder: &Path, memory: usize) -> kappa_query::Engine {
    let options = SessionOptions {
        partitions: 2,
        memory,
        ..SessionOptions::default()
    };
    let kappa = Kappa::builder().build().await.unwrap();
    let engine = kappa_query::Engine::on(kappa, options, 2, false).unwrap();
    engine.register_folder(folder).await.unwrap();
    engine
}

#[tokio::test(flavor = "multi_thread")]
async fn q12_of_all_attempts_of_a_unit_exactly_one_is_seen_by_everybody() {
    let folder = tables().await;
    // Each attempt of a unit draws other numbers, so its rows go to other buckets: two attempts that were mixed would lose rows or double them.
    let sql =
        "select sum(n), count(*) from (select x, count(*) as n from (select id, random() as x from orders) group by x)";
    let mut killed = 0;
    for seed in 0..6 {
        let store = Arc::new(Memory::new());
        let inner = InProcess::new(InProcessOptions::default(), store.clone()).unwrap();
        let chaos = Chaos::new(Arc::new(inner), Spec { kill: 0.6, seed });
        let kappa = Kappa::builder().platform(Arc::new(chaos)).store(store.clone());
        let engine = engine(kappa.build().await.unwrap(), folder.path(), false).await;
        let result = engine.sql(sql).await.unwrap();
        assert!(shown(&result).contains("| 20000  | 20000    |"), "{}", shown(&result));
        killed += result.stats.unwrap().killed;
        assert_eq!(store.usage().0, 0, "objects of killed attempts are left");
    }
    assert!(killed > 10, "only {killed} invocations were killed");
}

#[tokio::test(flavor = "multi_thread")]
async fn q21_a_join_that_does_not_fit_fails_with_the_numbers_and_gives_its_memory_back() {
    let folder = tables().await;
    let engine = small_engine(folder.path(), 40 << 20).await;
    // 160 MB of text in two units: a build side of 80 MB, which cannot be spilled.
    let joined = "select count(*) from (select id, repeat('x', 8000) as t from orders) a \
                  join (select id, repeat('x', 8000) as t from orders) b on a.t = b.t and a.id = b.id";
    let error = engine.sql(joined).await.unwrap_err().to_string();
    assert!(error.contains("HashJoin") && error.contains("MB"), "{error}");
    // What failed holds no memory any more.
    assert_eq!(engine.sql("select count(*) from orders").await.unwrap().rows(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_query_does_in_the_store_is_counted_for_each_invocation_though_they_share_fragments() {
    let folder = tables().await;
    // A stage of one unit reads every object of the stage before it.
    let sql = "select customer, count(*) from orders group by customer order by customer";
    let mut counted = Vec::new();
    for _ in 0..2 {
        let kappa = Kappa::builder().build().await.unwrap();
        let engine = engine(kappa, folder.path(), false).await;
        let used = engine.sql(sql).await.unwrap().stats.unwrap().used;
        assert!(used.workers.puts > 4 && used.workers.ranges > 4, "{used:?}");
        assert!(used.workers.bytes_down > 0 && used.coordinator.puts > 0, "{used:?}");
        counted.push((used.workers.puts, used.workers.ranges, used.coordinator.puts));
        engine.shutdown().await;
    }
    assert_eq!(counted[0], counted[1], "the same query does the same");
}
