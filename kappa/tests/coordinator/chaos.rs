//! Whole programs while their invocations are killed, run out of time and their coordinator is interrupted.

use crate::programs::*;
use kappa::platform::Platform;
use kappa::platform::chaos::{Chaos, Spec};
use kappa::platform::in_process::{InProcess, InProcessOptions};
use kappa::runtime::Tuning;
use kappa::store::{Memory, Store};
use kappa::{Kappa, RunError};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

async fn place(seed: u64, state: Option<&Path>) -> Kappa {
    let store: Arc<dyn Store> = match state {
        Some(folder) => kappa::store::open(&format!("file:{}", folder.join("store").display())).expect("a store"),
        None => Arc::new(Memory::new()),
    };
    let inner: Arc<dyn Platform> =
        Arc::new(InProcess::new(InProcessOptions { workers: 2 }, store.clone()).expect("threads"));
    let chaos = Chaos::new(inner, Spec { kill: 0.4, seed });
    let tuning = Tuning {
        grace: Duration::from_millis(2),
        ..Tuning::default()
    };
    let mut builder = Kappa::builder().platform(Arc::new(chaos)).store(store).tuning(tuning);
    if let Some(folder) = state {
        builder = builder.state_dir(folder);
    }
    builder
        .time_limit(Duration::from_millis(150))
        .build()
        .await
        .expect("a place to run things")
}

#[tokio::test]
async fn killed_and_timed_out_invocations_change_no_result() {
    let (mut killed, mut timed_out) = (0, 0);
    for seed in 0..4 {
        let kappa = place(seed, None).await;
        let handle = kappa.start(long(3, 60)).await.expect("a run");
        assert_eq!(
            handle.wait().await.expect("a result"),
            expected_long(3, 60),
            "seed {seed}"
        );
        killed += handle.stats().killed;
        timed_out += handle.stats().timed_out;
        assert_eq!(
            kappa.run(pipeline(20)).await.expect("a result"),
            (0..60).collect::<Vec<_>>(),
            "seed {seed}"
        );
    }
    assert!(killed > 10, "only {killed} were killed");
    assert!(timed_out > 0, "none ran out of time");
}

#[tokio::test]
async fn neither_do_they_change_what_is_in_the_background_deferred_asleep_or_on_its_way_outside() {
    let mut killed = 0;
    for seed in 0..4 {
        let folder = tempfile::tempdir().expect("a folder");
        let kappa = place(seed, None).await;
        let handle = kappa
            .start(everything(folder.path().into(), 3, 8))
            .await
            .expect("a run");
        let result = handle.wait().await.expect("a result");
        assert_eq!(result, expected_everything(3, 8), "seed {seed}");
        check_objects(folder.path(), 3, 8);
        let stats = handle.stats();
        killed += stats.killed;
        assert_eq!(stats.published, 3 * 8);
        assert!(stats.cancelled >= 1 && stats.deferred >= 2, "{stats:?}");
    }
    assert!(killed > 10, "only {killed} were killed");
}

#[tokio::test]
async fn neither_does_interrupting_and_resuming_at_the_same_time() {
    let folder = tempfile::tempdir().expect("a folder");
    let kappa = place(7, Some(folder.path())).await;
    let mut handle = kappa.start(long(2, 60)).await.expect("a run");
    let mut resumes = 0;
    let result = loop {
        if let Ok(result) = tokio::time::timeout(Duration::from_millis(40), handle.wait()).await {
            break result;
        }
        handle.interrupt().await;
        match handle.wait().await {
            Err(RunError::Interrupted { .. }) => resumes += 1,
            ended => break ended,
        }
        let run = handle.id();
        drop(handle);
        handle = kappa.resume(run).await.expect("resumed");
    };
    assert_eq!(result.expect("a result"), expected_long(2, 60));
    assert!(resumes >= 2, "only {resumes} resumes");
}
