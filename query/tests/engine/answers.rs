//! The engine's answers are DataFusion's, and nothing stays behind.

use crate::support::{engine, expected, shown, tables};
use kappa::runtime::Kappa;
use kappa::store::Memory;
use kappa_query::Execution;
use std::sync::Arc;
use std::time::Duration;

const JOIN: &str = "select c.name, o.kind, count(*) as n, sum(o.amount) as total, avg(o.amount) as mean \
                    from orders o join customers c on o.customer = c.id where o.id > 500 \
                    group by c.name, o.kind having count(*) > 3 order by total desc, c.name, o.kind limit 50";

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
