//! A run is resumed by another program than the one that has worked on it: nothing of it is harmed, and the right program ends it.

use async_trait::async_trait;
use kappa::link::Link;
use kappa::platform::Platform;
use kappa::platform::in_process::{InProcess, InProcessOptions};
use kappa::prelude::*;
use kappa::protocol::{Invocation, InvocationOutcome, Payload, Start};
use kappa::store::Memory;
use kappa::{Kappa, RunError, RunEvent, RunHandle};
use std::sync::Arc;
use std::time::Duration;

#[kappa::task]
async fn changes(cx: &mut Context, to: u64) -> u64 {
    let mut n = 0;
    while n < to {
        cx.sleep(Duration::from_millis(2)).await;
        n += 1;
    }
    n
}

#[kappa::task]
async fn stays(cx: &mut Context, to: u64) -> u64 {
    let mut n = 0;
    while n < to {
        tokio::time::sleep(Duration::from_millis(1)).await;
        n += 1;
        cx.checkpoint().await;
    }
    n
}

/// Tasks of a function that will have changed, and others that are still running then.
#[kappa::task]
async fn both(cx: &mut Context, to: u64) -> Result<u64> {
    let changing = cx.spawn_all((0..2).map(|_| changes(to))).await;
    let staying = cx.spawn_all((0..2).map(|_| stays(2 * to))).await;
    let mut sum = 0;
    for task in changing.into_iter().chain(staying) {
        sum += cx.wait(&task).await?;
    }
    Ok(sum)
}

const TO: u64 = 100;

/// What another program does with an invocation.
#[derive(Clone, Copy)]
enum Difference {
    None,
    /// Its source of `changes` is another: its fingerprint is not the one that the frame has.
    Changed,
    /// It has no `changes`.
    Gone,
}

/// This program, or another one.
struct Program {
    platform: InProcess,
    difference: Difference,
}

#[async_trait]
impl Platform for Program {
    async fn invoke(&self, mut invocation: Invocation, link: Arc<dyn Link>) -> InvocationOutcome {
        if invocation.function.ends_with("::changes") {
            match self.difference {
                Difference::None => {}
                Difference::Changed => change_fingerprint(&mut invocation),
                Difference::Gone => invocation.function.push_str("_as_it_was"),
            }
        }
        self.platform.invoke(invocation, link).await
    }

    async fn shutdown(&self) {
        self.platform.shutdown().await;
    }

    fn concurrency(&self) -> usize {
        self.platform.concurrency()
    }
}

fn change_fingerprint(invocation: &mut Invocation) {
    if let Start::Resume {
        continuation: Payload::Inline(bytes),
        ..
    } = &mut invocation.start
    {
        let mut changed = bytes.to_vec();
        // Behind the format, the keys, and the name with its length.
        changed[1 + 8 + 2 + invocation.function.len()] ^= 1;
        *bytes = changed.into();
    }
}

async fn place(difference: Difference, folder: &std::path::Path) -> Kappa {
    let store = Arc::new(Memory::new());
    let platform = InProcess::new(InProcessOptions { workers: 2 }, store.clone()).expect("threads");
    let platform = Arc::new(Program { platform, difference });
    let builder = Kappa::builder().platform(platform).store(store).state_dir(folder);
    builder.build().await.expect("a place")
}

/// Interrupts the run when it is well under way.
async fn interrupted(handle: RunHandle<u64>) {
    let mut events = handle.events();
    let seen = async {
        loop {
            if let Ok(RunEvent::Checkpoint { sequence: 10, .. }) = events.recv().await {
                return;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(20), seen)
        .await
        .expect("ten calls of some task");
    handle.interrupt().await;
}

async fn is_refused_and_then_ended_by_the_old_program(other: Difference, what: &str) {
    let folder = tempfile::tempdir().expect("a folder");
    let kappa = place(Difference::None, folder.path()).await;
    let handle = kappa.start(both(TO)).await.expect("a run");
    let run = handle.id();
    interrupted(handle).await;
    // However often it is tried.
    for _ in 0..3 {
        let changed = place(other, folder.path()).await;
        let handle = changed.resume::<u64>(run).await.expect("resumed");
        let error = tokio::time::timeout(Duration::from_secs(20), handle.wait()).await;
        let error = error.expect("it stops").expect_err("it is another program");
        let RunError::WrongProgram { resumable: true, .. } = error else {
            panic!("{error}")
        };
        let message = error.to_string();
        for part in [
            "coordinator::changed::changes",
            what,
            &format!("resume {run}"),
            "kappa cancel",
        ] {
            assert!(message.contains(part), "{message}");
        }
        assert_eq!(handle.stats().tasks_failed, 0);
    }
    let handle = kappa.resume::<u64>(run).await.expect("resumed");
    let ended = tokio::time::timeout(Duration::from_secs(20), handle.wait()).await;
    assert_eq!(ended.expect("it ends").expect("a result"), 2 * TO + 4 * TO);
    assert_eq!(handle.stats().tasks_failed, 0);
}

#[tokio::test]
async fn a_changed_program_stops_the_run_and_the_old_one_ends_it() {
    is_refused_and_then_ended_by_the_old_program(Difference::Changed, "has changed since").await;
}

#[tokio::test]
async fn a_program_without_one_of_the_task_functions_stops_the_run_and_the_old_one_ends_it() {
    is_refused_and_then_ended_by_the_old_program(Difference::Gone, "has no task function").await;
}

#[tokio::test]
async fn without_a_state_the_error_says_that_the_run_is_lost() {
    let store = Arc::new(Memory::new());
    let platform = InProcess::new(InProcessOptions::default(), store.clone()).expect("threads");
    let difference = Difference::Gone;
    let platform = Arc::new(Program { platform, difference });
    let kappa = Kappa::builder().platform(platform).store(store).build().await;
    let error = kappa
        .expect("a place")
        .run(both(TO))
        .await
        .expect_err("it has no such function");
    let message = error.to_string();
    assert!(
        message.contains("cannot be resumed") && message.contains("changes_as_it_was"),
        "{message}"
    );
}
