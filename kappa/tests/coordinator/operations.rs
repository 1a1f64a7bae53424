//! Operations beyond spawning and waiting, as a user sees them.

use crate::programs::*;
use async_trait::async_trait;
use kappa::journal::Durability;
use kappa::link::Link;
use kappa::platform::Platform;
use kappa::platform::in_process::{InProcess, InProcessOptions};
use kappa::protocol::{Invocation, InvocationOutcome};
use kappa::runtime::Tuning;
use kappa::store::{Memory, Store};
use kappa::{Failure, Kappa, RunError, RunEvent, TaskError};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

async fn kappa() -> Kappa {
    Kappa::builder().build().await.expect("a place to run things")
}

fn failure<V: std::fmt::Debug>(result: Result<V, RunError>) -> TaskError {
    match result {
        Err(RunError::Failed(error)) => error,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn r07_a_hundred_thousand_checkpoints_in_the_background_change_nothing_and_leave_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    // One that waits for the disk acknowledges more slowly than they are made.
    let kappa = Kappa::builder()
        .state_dir(folder.path())
        .durability(Durability::Machine)
        .build()
        .await
        .expect("a place");
    let handle = kappa.start(hurry(100_000)).await.expect("a run");
    assert_eq!(handle.wait().await.expect("a result"), (0..100_000).sum::<u64>());
    let stats = handle.stats();
    assert!(
        (2..50_000).contains(&stats.checkpoints),
        "newer ones take the place of older ones: {stats:?}"
    );
    assert_eq!(stats.invocations, 1, "it was not stopped");
    drop((handle, kappa));
    let left = bytes_below(folder.path());
    assert!(left < 100_000, "{left} bytes are left");
}

/// What goes while it is looked at counts nothing.
fn bytes_below(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.metadata() {
            Ok(kind) if kind.is_dir() => bytes_below(&entry.path()),
            Ok(file) => file.len(),
            Err(_) => 0,
        })
        .sum()
}

#[tokio::test]
async fn r17_a_task_that_checkpoints_a_hundred_thousand_times_leaves_the_disk_as_it_was() {
    let folder = tempfile::tempdir().expect("a folder");
    let kappa = kappa_in(folder.path()).await;
    let handle = kappa.start(counts(100_000)).await.expect("a run");
    let waiting = handle.wait();
    tokio::pin!(waiting);
    let mut most = 0;
    let result = loop {
        tokio::select! {
            ended = &mut waiting => break ended.expect("a result"),
            () = tokio::time::sleep(Duration::from_millis(5)) => most = most.max(bytes_below(folder.path())),
        }
    };
    assert_eq!(result, 100_000);
    assert!((1..1 << 20).contains(&most), "{most} bytes at once");
    let left = bytes_below(folder.path());
    assert!(left < 100_000, "{left} bytes are left");
}

#[tokio::test]
async fn r17_large_checkpoints_in_the_background_do_not_pile_up_in_the_store() {
    let store = Arc::new(Memory::new());
    let platform = InProcess::new(InProcessOptions::default(), store.clone()).expect("threads");
    let kappa = Kappa::builder()
        .platform(Arc::new(platform))
        .store(store.clone())
        .build()
        .await
        .expect("a place");
    let handle = kappa.start(hurry_with_luggage(1500)).await.expect("a run");
    let mut most = 0;
    let result = loop {
        tokio::select! {
            result = handle.wait() => break result,
            () = tokio::time::sleep(Duration::from_millis(1)) => most = most.max(store.usage().0),
        }
    };
    assert_eq!(result.expect("a result"), 100_000);
    assert!(most < 300, "{most} objects at once");
    assert_eq!(store.usage().0, 0);
}

#[tokio::test]
async fn a_task_that_fails_is_begun_again_as_often_as_it_was_said() {
    let folder = tempfile::tempdir().expect("a folder");
    let kappa = kappa().await;
    let handle = kappa
        .start(retries(folder.path().join("a"), 2, 3))
        .await
        .expect("a run");
    assert_eq!(handle.wait().await.expect("a result"), 2);
    assert_eq!(handle.stats().begun_again, 2);
    let error = failure(kappa.run(retries(folder.path().join("b"), 3, 3)).await);
    assert!(error.to_string().ends_with("failed: attempt 2 failed"), "{error}");
}

#[tokio::test]
async fn r14_an_error_says_which_task_failed_because_which_other_one_did() {
    let error = failure(kappa().await.run(passes_on(3)).await);
    let trace: Vec<_> = error.trace.iter().map(|culprit| culprit.task.0).collect();
    assert_eq!((error.task.0, trace), (0, vec![1, 2, 3]));
    assert!(
        error
            .trace
            .iter()
            .all(|culprit| culprit.function == "coordinator::programs::passes_on")
    );
    let function = "(coordinator::programs::passes_on) failed";
    assert_eq!(
        error.to_string(),
        format!("task 0 {function}: task 1 {function}: task 2 {function}: task 3 {function}: no such file: x")
    );
}

#[tokio::test]
async fn a_cancelled_task_takes_its_descendants_with_it() {
    for in_background in [false, true] {
        let kappa = kappa().await;
        let handle = kappa.start(cancels(in_background)).await.expect("a run");
        assert_eq!(handle.wait().await.expect("a result"), "was cancelled");
        let stats = handle.stats();
        // The task, two children and four grandchildren, as far as they had been spawned.
        assert!(
            (1..=7).contains(&stats.cancelled) && stats.cancelled == stats.tasks - 1,
            "{stats:?}"
        );
    }
}

#[tokio::test]
async fn a_sleeper_occupies_no_lambda() {
    let kappa = kappa().await;
    let started = Instant::now();
    let handle = kappa.start(naps(300)).await.expect("a run");
    let mut events = handle.events();
    assert_eq!(handle.wait().await.expect("a result"), 300);
    assert!(started.elapsed() >= Duration::from_millis(300));
    assert_eq!((handle.stats().suspended, handle.stats().invocations), (1, 2));
    let mut seen = Vec::new();
    while let Ok(event) = events.try_recv() {
        seen.push(event);
    }
    let sleeps = seen
        .iter()
        .any(|event| matches!(event, RunEvent::Sleeping { duration, .. } if duration.as_millis() == 300));
    assert!(sleeps || seen.is_empty(), "{seen:?}");
}

#[tokio::test]
async fn a_sleep_goes_on_while_the_coordinator_is_gone() {
    let folder = tempfile::tempdir().expect("a folder");
    let build = || Kappa::builder().state_dir(folder.path()).build();
    let started = Instant::now();
    let handle = build().await.expect("a place").start(naps(1500)).await.expect("a run");
    let run = handle.id();
    while handle.stats().sleeps == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    handle.interrupt().await;
    drop(handle);
    tokio::time::sleep(Duration::from_millis(800)).await;
    let resumed = Instant::now();
    let handle = build()
        .await
        .expect("a place")
        .resume::<u64>(run)
        .await
        .expect("resumed");
    assert_eq!(handle.wait().await.expect("a result"), 1500);
    assert!(started.elapsed() >= Duration::from_millis(1500), "too early");
    assert!(
        resumed.elapsed() < Duration::from_millis(1500),
        "it slept all over again"
    );
}

#[tokio::test]
async fn tasks_begin_after_others_and_see_what_these_have_done() {
    let folder = tempfile::tempdir().expect("a folder");
    let values = kappa()
        .await
        .run(in_order(folder.path().into()))
        .await
        .expect("a result");
    assert_eq!(values, [20, 4, 1]);
}

#[tokio::test]
async fn a_task_whose_predecessor_failed_does_not_begin_and_says_why() {
    let error = failure(kappa().await.run(after_a_failure()).await);
    let trace: Vec<_> = error.trace.iter().map(|culprit| culprit.task.0).collect();
    assert_eq!(trace, [3, 2, 1]);
    let origin = "task 1 (coordinator::programs::fails) failed: no such file: x";
    assert!(
        error.to_string().contains(&format!("did not begin, because {origin}")),
        "{error}"
    );
}

#[tokio::test]
async fn a_tasks_own_time_limit_counts() {
    let error = failure(kappa().await.run(too_slow()).await);
    assert!(error.to_string().contains("limit 5 ms"), "{error}");
    assert!(matches!(error.kind, Failure::Returned(_)));
}

/// Counts the invocations of another platform.
struct Counting(InProcess, AtomicUsize);

#[async_trait]
impl Platform for Counting {
    async fn invoke(&self, invocation: Invocation, link: Arc<dyn Link>) -> InvocationOutcome {
        self.1.fetch_add(1, Ordering::SeqCst);
        self.0.invoke(invocation, link).await
    }

    async fn shutdown(&self) {
        self.0.shutdown().await;
    }

    fn concurrency(&self) -> usize {
        self.0.concurrency()
    }
}

#[tokio::test]
async fn a_task_on_the_coordinator_runs_on_no_lambda_and_not_among_the_coordinators_threads() {
    let store: Arc<dyn Store> = Arc::new(Memory::new());
    let inner = InProcess::new(InProcessOptions::default(), store.clone()).expect("threads");
    let platform = Arc::new(Counting(inner, AtomicUsize::new(0)));
    let kappa = Kappa::builder()
        .platform(platform.clone())
        .store(store)
        .build()
        .await
        .expect("a place");
    let handle = kappa.start(on_coordinator()).await.expect("a run");
    assert_eq!(handle.wait().await.expect("a result").as_deref(), Some("kappa-task"));
    let everywhere = handle.stats().invocations as usize;
    assert_eq!(platform.1.load(Ordering::SeqCst), everywhere - 1);
}

#[tokio::test]
async fn an_object_that_cannot_be_put_to_its_place_fails_the_task_and_leaves_nothing() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    let kappa = kappa().await;
    let inside_a_file = file.path().join("outside");
    match failure(kappa.run(publish(inside_a_file, 0, 1)).await).kind {
        Failure::Refused(text) => assert!(text.contains("cannot put an object to file:/"), "{text}"),
        other => panic!("{other:?}"),
    }
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::create_dir_all(folder.path().join("0/0/in the way")).expect("a folder");
    assert!(matches!(
        failure(kappa.run(publish(folder.path().into(), 0, 1)).await).kind,
        Failure::Refused(_)
    ));
    assert_eq!(
        std::fs::read_dir(folder.path().join("0")).expect("a folder").count(),
        1,
        "a draft is left"
    );
}

/// With one thread for all, so many invocations at once, and no second chance for whoever is out of time.
async fn strict(invocations: usize, limit: Duration) -> Kappa {
    let store: Arc<dyn Store> = Arc::new(Memory::new());
    let options = InProcessOptions { workers: 1 };
    let platform = InProcess::new(options, store.clone())
        .expect("threads")
        .at_most(invocations);
    let tuning = Tuning {
        time_out_limit: 1,
        ..Tuning::default()
    };
    let builder = Kappa::builder().platform(Arc::new(platform)).store(store);
    builder.tuning(tuning).time_limit(limit).build().await.expect("a place")
}

#[tokio::test]
async fn a_task_is_not_out_of_time_because_others_do_not_yield() {
    let kappa = strict(12, Duration::from_millis(450)).await;
    // Ten times a third of a second, on one thread.
    assert_eq!(kappa.run(is_innocent(10)).await.expect("nobody is out of time"), 20);
}

#[tokio::test]
async fn a_thread_that_never_comes_back_is_not_waited_for_for_ever_and_its_task_is_named() {
    let kappa = strict(2, Duration::from_millis(100)).await;
    let first = kappa.run(never_yields());
    let error = match tokio::time::timeout(Duration::from_secs(60), first)
        .await
        .expect("it ends")
    {
        Err(RunError::Failed(error)) => error,
        other => panic!("{other:?}"),
    };
    assert!(matches!(error.kind, Failure::OutOfTime { .. }), "{error}");
    // The thread is gone all the same.
    let second = tokio::time::timeout(Duration::from_secs(90), kappa.run(square(3)));
    let message = second
        .await
        .expect("it ends")
        .expect_err("there is no thread")
        .to_string();
    assert!(
        message.contains("never_yields") && message.contains("does not yield"),
        "{message}"
    );
}

#[tokio::test]
async fn at_most_so_many_invocations_run_at_once_as_were_asked_for() {
    let kappa = strict(2, Duration::from_secs(600)).await;
    let handle = kappa.start(sum_of_squares(30)).await.expect("started");
    let mut events = handle.events();
    let (mut running, mut most) = (1i64, 1);
    let watching = async {
        while let Ok(event) = events.recv().await {
            running += match event {
                RunEvent::InvocationStarted { .. } => 1,
                RunEvent::InvocationEnded { .. } => -1,
                _ => 0,
            };
            most = most.max(running);
        }
    };
    tokio::select! {
        value = handle.wait() => assert_eq!(value.expect("a result"), (0..30).map(|n| n * n).sum::<u64>()),
        () = watching => {}
    }
    assert!(most <= 3, "{most} at once"); // The first may have been counted twice.
}
