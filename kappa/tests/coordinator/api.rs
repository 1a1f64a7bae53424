use crate::programs::*;
use kappa::platform::in_process::{InProcess, InProcessOptions};
use kappa::runtime::{BackOff, Tuning};
use kappa::store::Memory;
use kappa::{Failure, Kappa, RunError, RunEvent};
use std::sync::Arc;
use std::time::Duration;

async fn kappa() -> Kappa {
    Kappa::builder().build().await.expect("a place to run things")
}

/// One that does not back off for long.
async fn impatient() -> Kappa {
    let back_off = BackOff {
        immediate: 0,
        first: Duration::from_millis(1),
        cap: Duration::from_millis(1),
    };
    let tuning = Tuning {
        after_crash: back_off,
        ..Tuning::default()
    };
    Kappa::builder()
        .tuning(tuning)
        .build()
        .await
        .expect("a place to run things")
}

fn failure<V: std::fmt::Debug>(result: Result<V, RunError>) -> kappa::TaskError {
    match result {
        Err(RunError::Failed(error)) => error,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_program_of_many_tasks_gives_its_result() {
    let kappa = kappa().await;
    assert_eq!(kappa.run(sum_of_squares(100)).await.expect("a result"), 328_350);
    assert_eq!(kappa.run(sum_of_squares(0)).await.expect("a result"), 0);
}

#[tokio::test]
async fn items_go_through_queues_once_each() {
    let all = kappa().await.run(pipeline(50)).await.expect("a result");
    assert_eq!(all, (0..150).collect::<Vec<_>>());
}

#[tokio::test]
async fn r14_a_childs_failure_can_be_handled() {
    let text = kappa().await.run(handles_a_failure()).await.expect("a result");
    assert_eq!(
        text,
        "an error: task 1 (coordinator::programs::fails) failed: no such file: x"
    );
}

#[tokio::test]
async fn r23_the_failure_of_the_first_task_says_what_happened_and_where() {
    let kappa = impatient().await;
    let error = failure(kappa.run(fails("out of luck".to_string())).await);
    assert_eq!(
        error.to_string(),
        "task 0 (coordinator::programs::fails) failed: out of luck"
    );
    match failure(kappa.run(panics()).await).kind {
        Failure::Crashed { attempts: 4, last } => {
            assert!(last.contains("as it should") && last.contains("programs.rs"), "{last}");
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn r09_a_run_in_which_everybody_waits_fails_as_a_deadlock() {
    match failure(kappa().await.run(waits_for_ever()).await).kind {
        Failure::Deadlock(text) => assert_eq!(
            text,
            "task 0 (coordinator::programs::waits_for_ever) waits to take from queue 0, which is empty and not closed"
        ),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn r11_long_arguments_checkpoints_and_results_go_through_the_store_and_leave_nothing_there() {
    let store = Arc::new(Memory::new());
    let platform = InProcess::new(InProcessOptions::default(), store.clone()).expect("threads");
    let kappa = Kappa::builder()
        .store(store.clone())
        .platform(Arc::new(platform))
        .build()
        .await
        .expect("a place");
    let text = vec![1; 5_000_000];
    let back = kappa.run(length(text.clone())).await.expect("a result");
    assert_eq!(back.len(), 5_000_001);
    assert_eq!(back[..5_000_000], text);
    assert_eq!(store.usage(), (0, 0));
}

#[tokio::test]
async fn a_handle_watches_and_cancels() {
    let kappa = kappa().await;
    let handle = kappa.start(sleepy()).await.expect("a run");
    let mut events = handle.events();
    let seen = async {
        loop {
            if let Ok(RunEvent::Checkpoint { sequence: 10, .. }) = events.recv().await {
                return;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(10), seen)
        .await
        .expect("ten checkpoints");
    assert!(handle.stats().checkpoints >= 10);
    handle.cancel();
    assert_eq!(failure(handle.wait().await).kind, Failure::Cancelled);
    assert_eq!(failure(handle.wait().await).kind, Failure::Cancelled);
}

#[tokio::test]
async fn an_interrupted_run_says_whether_it_can_be_resumed() {
    let kappa = kappa().await;
    let handle = kappa.start(sleepy()).await.expect("a run");
    handle.interrupt().await;
    let message = handle.wait().await.expect_err("interrupted").to_string();
    assert!(message.contains("no state directory"), "{message}");
    let message = match kappa.resume::<()>(handle.id()).await {
        Err(error) => error.to_string(),
        Ok(_) => panic!("resumed nothing"),
    };
    assert!(message.contains("there is no run"), "{message}");
}

#[tokio::test]
async fn a_run_with_a_state_directory_is_interrupted_resumed_listed_asked_again_and_removed() {
    let folder = tempfile::tempdir().expect("a folder");
    let build = || Kappa::builder().state_dir(folder.path()).build();
    let kappa = build().await.expect("a place");
    let handle = kappa.start(long(2, 400)).await.expect("a run");
    let run = handle.id();
    tokio::time::sleep(Duration::from_millis(60)).await;
    match build().await.expect("a place").resume::<u64>(run).await {
        Err(error) => assert!(error.to_string().contains("in use by another process"), "{error}"),
        Ok(_) => panic!("two coordinators of one run"),
    }
    handle.interrupt().await;
    let message = handle.wait().await.expect_err("interrupted").to_string();
    assert_eq!(
        message,
        format!("run {run} was interrupted; go on with it by `resume {run}`")
    );
    drop(handle);

    let kappa = build().await.expect("a place");
    assert_eq!(kappa.runs().expect("the runs"), vec![run]);
    let handle = kappa.resume::<u64>(run).await.expect("resumed");
    assert_eq!(handle.wait().await.expect("a result"), expected_long(2, 400));
    assert_eq!(handle.stats().recoveries, 1);
    let invocations = handle.stats().invocations;
    drop(handle);

    // It has ended; asking again starts nothing.
    let again = kappa.resume::<u64>(run).await.expect("resumed");
    assert_eq!(again.wait().await.expect("a result"), expected_long(2, 400));
    assert_eq!(again.stats().invocations, invocations);
    let wrong = kappa.remove(run).await.expect_err("somebody has it open").to_string();
    assert!(wrong.contains("in use"), "{wrong}");
    drop(again);
    let erased = kappa.resume_erased(run).await.expect("resumed");
    assert!(!erased.wait_bytes().await.expect("bytes").is_empty());
    drop(erased);

    kappa.remove(run).await.expect("removed");
    assert_eq!(kappa.runs().expect("the runs"), vec![]);
    assert!(kappa.resume::<u64>(run).await.is_err());
    kappa.remove(run).await.expect("removing twice is fine");
}

#[tokio::test]
async fn the_result_of_another_program_is_an_error_that_says_so() {
    let folder = tempfile::tempdir().expect("a folder");
    let kappa = kappa_in(folder.path()).await;
    let handle = kappa.start(square(3)).await.expect("a run");
    let run = handle.id();
    assert_eq!(handle.wait().await.expect("a result"), 9);
    drop(handle);
    let handle = kappa.resume::<String>(run).await.expect("resumed");
    let message = handle.wait().await.expect_err("not a string").to_string();
    assert!(message.contains("cannot be read as alloc::string::String"), "{message}");
}

#[tokio::test]
async fn a_state_directory_that_cannot_be_made_is_named() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    let path = file.path().join("state");
    let message = match Kappa::builder().state_dir(&path).build().await {
        Err(error) => error.to_string(),
        Ok(_) => panic!("a folder in a file"),
    };
    assert!(message.contains(&path.display().to_string()), "{message}");
}

#[tokio::test]
async fn dropping_a_handle_stops_the_run() {
    let folder = tempfile::tempdir().expect("a folder");
    let kappa = kappa_in(folder.path()).await;
    let handle = kappa.start(sleepy()).await.expect("a run");
    let run = handle.id();
    tokio::time::sleep(Duration::from_millis(20)).await;
    drop(handle);
    // Nobody works on it any more: it can be taken over at once.
    let handle = kappa.resume::<()>(run).await.expect("resumed");
    let checkpoints = handle.stats().checkpoints;
    let goes_on = async {
        while handle.stats().checkpoints <= checkpoints {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), goes_on)
        .await
        .expect("it goes on");
    handle.cancel();
    assert_eq!(failure(handle.wait().await).kind, Failure::Cancelled);
}

#[tokio::test]
async fn what_a_run_has_put_into_another_store_is_removed_with_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let (state, elsewhere) = (folder.path().join("state"), folder.path().join("elsewhere"));
    let store = kappa::store::open(&format!("file:{}", elsewhere.display())).expect("a store");
    let build = |store| kappa::Kappa::builder().state_dir(&state).store(store).build();
    let kappa = build(store.clone()).await.expect("a place");
    let handle = kappa.start(square(7)).await.expect("a run");
    handle.wait().await.expect("a result");
    let run = handle.id();
    let key = format!("{}/left", run.results());
    store.put(&key, "a result".into()).await.expect("put");
    drop(handle);
    kappa.shutdown().await;
    drop(kappa);
    let kappa = kappa_in(&state).await;
    kappa.remove(run).await.expect("removed");
    assert!(store.get(&key).await.is_err(), "it is still in the run's store");
    assert_eq!(kappa.runs().expect("runs"), []);
}
