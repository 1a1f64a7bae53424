//! The suite that every platform passes.

use crate::tasks::{self, Yes, invocation};
use async_trait::async_trait;
use kappa::link::Link;
use kappa::platform::Platform;
use kappa::protocol::{Call, Invocation, InvocationOutcome, Payload, Reply, Request};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

pub(crate) async fn check(platform: Arc<dyn Platform>) {
    an_invocation_finishes_and_its_requests_come_first(&platform).await;
    a_panic_is_a_crash_with_message_and_place(&platform).await;
    the_time_limit_ends_an_invocation(&platform).await;
    after_a_time_out_the_next_invocation_runs(&platform).await;
    a_dropped_invocation_makes_no_further_request(&platform).await;
    invocations_run_at_the_same_time(&platform).await;
    an_invocation_that_is_sent_away_returns(&platform, Reply::Suspend).await;
    an_invocation_that_is_sent_away_returns(&platform, Reply::Fenced).await;
    large_arguments_and_values_go_through(&platform).await;
    a_program_without_the_function_is_the_wrong_one(&platform).await;
    a_program_that_takes_other_arguments_is_the_wrong_one(&platform).await;
    the_store_is_the_same_inside_and_outside(&platform).await;
    recursion_is_deeper_than_a_stack(&platform).await;
    crate::background::check(&platform).await;
    a_shut_down_platform_starts_nothing(&platform).await;
}

async fn an_invocation_finishes_and_its_requests_come_first(platform: &Arc<dyn Platform>) {
    let link = Arc::new(Yes::default());
    let outcome = platform.invoke(invocation(tasks::well_behaved(3)), link.clone()).await;
    assert_eq!(outcome, InvocationOutcome::Returned);
    assert_eq!(link.count(), 4, "three checkpoints and the exit");
    assert_eq!(link.value::<u32>(), 3);
}

async fn a_panic_is_a_crash_with_message_and_place(platform: &Arc<dyn Platform>) {
    let link = Arc::new(Yes::default());
    let outcome = platform
        .invoke(invocation(tasks::panicking("out of luck".into())), link.clone())
        .await;
    let InvocationOutcome::Crashed(message) = outcome else {
        panic!("{outcome:?}")
    };
    assert!(
        message.contains("out of luck") && message.contains("tasks.rs:"),
        "r23: {message}"
    );
    assert_eq!(link.count(), 1, "it made one call before, and none after");
}

async fn the_time_limit_ends_an_invocation(platform: &Arc<dyn Platform>) {
    let link = Arc::new(Yes::default());
    let mut limited = invocation(tasks::endless(10));
    limited.time_limit = Some(Duration::from_millis(300));
    let started = Instant::now();
    let outcome = platform.invoke(limited, link.clone()).await;
    assert_eq!(outcome, InvocationOutcome::TimedOut);
    assert!(started.elapsed() < Duration::from_secs(20), "{:?}", started.elapsed());
    let before = link.count();
    assert!(before > 2, "it worked before its end: {before}");
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(link.count(), before, "it worked after its end");
}

async fn after_a_time_out_the_next_invocation_runs(platform: &Arc<dyn Platform>) {
    for _ in 0..3 {
        let mut limited = invocation(tasks::endless(60_000));
        limited.time_limit = Some(Duration::from_millis(20));
        assert_eq!(
            platform.invoke(limited, Arc::new(Yes::default())).await,
            InvocationOutcome::TimedOut
        );
    }
    let link = Arc::new(Yes::default());
    let outcome = platform.invoke(invocation(tasks::well_behaved(1)), link.clone()).await;
    assert_eq!(outcome, InvocationOutcome::Returned);
}

async fn a_dropped_invocation_makes_no_further_request(platform: &Arc<dyn Platform>) {
    for _ in 0..5 {
        let link = Arc::new(Yes::default());
        {
            let invoked = platform.invoke(invocation(tasks::endless(1)), link.clone());
            let waited = async {
                while link.count() < 3 {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            };
            tokio::select! {
                outcome = invoked => panic!("it ended by itself: {outcome:?}"),
                () = waited => {}
            }
        }
        let before = link.count();
        tokio::time::sleep(Duration::from_millis(30)).await;
        // One may have been under way in a thread.
        assert!(
            link.count() <= before + 1,
            "{} requests after the end",
            link.count() - before
        );
    }
}

/// Holds all requests until enough invocations have made theirs.
struct Together {
    wanted: usize,
    there: AtomicUsize,
}

#[async_trait]
impl Link for Together {
    async fn send(&self, request: Request) -> Reply {
        if matches!(request.call, Call::Checkpoint) {
            self.there.fetch_add(1, Ordering::SeqCst);
            while self.there.load(Ordering::SeqCst) < self.wanted {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
        Reply::Answer(kappa::protocol::Answer::Done)
    }
}

async fn invocations_run_at_the_same_time(platform: &Arc<dyn Platform>) {
    let wanted = platform.concurrency();
    let link = Arc::new(Together {
        wanted,
        there: AtomicUsize::new(0),
    });
    let all = (0..wanted).map(|n| platform.invoke(tasks::numbered(n as u64, tasks::well_behaved(1)), link.clone()));
    let outcomes = tokio::time::timeout(Duration::from_secs(60), futures::future::join_all(all)).await;
    let outcomes = outcomes.expect("as many as `concurrency` says run at the same time");
    assert_eq!(outcomes, vec![InvocationOutcome::Returned; wanted]);
}

/// Gives every request the same reply.
struct Always(Reply, AtomicUsize);

#[async_trait]
impl Link for Always {
    async fn send(&self, _: Request) -> Reply {
        self.1.fetch_add(1, Ordering::SeqCst);
        self.0.clone()
    }
}

async fn an_invocation_that_is_sent_away_returns(platform: &Arc<dyn Platform>, reply: Reply) {
    let link = Arc::new(Always(reply, AtomicUsize::new(0)));
    let outcome = platform.invoke(invocation(tasks::well_behaved(5)), link.clone()).await;
    assert_eq!(outcome, InvocationOutcome::Returned);
    assert_eq!(link.1.load(Ordering::SeqCst), 1, "nothing runs after it was sent away");
}

async fn large_arguments_and_values_go_through(platform: &Arc<dyn Platform>) {
    // r11: what goes through `argv` is limited to 128 KiB.
    let text = "long ".repeat(40_000);
    let outcome = platform
        .invoke(invocation(tasks::panicking(text.clone())), Arc::new(Yes::default()))
        .await;
    assert!(matches!(&outcome, InvocationOutcome::Crashed(message) if message.contains(&text)));
    let link = Arc::new(Yes::default());
    let outcome = platform
        .invoke(invocation(tasks::fanning_out(200, 50_000)), link.clone())
        .await;
    assert_eq!(outcome, InvocationOutcome::Returned);
    assert_eq!(link.value::<usize>(), 200);
}

async fn a_program_without_the_function_is_the_wrong_one(platform: &Arc<dyn Platform>) {
    let mut unknown = invocation(tasks::well_behaved(1));
    unknown.function = "nowhere::nothing".into();
    is_the_wrong_program(platform, unknown, "nowhere::nothing").await;
}

async fn a_program_that_takes_other_arguments_is_the_wrong_one(platform: &Arc<dyn Platform>) {
    let mut damaged = invocation(tasks::panicking("x".into()));
    damaged.start = kappa::protocol::Start::Begin(Payload::Inline(vec![0xff; 9].into()));
    is_the_wrong_program(platform, damaged, "panicking").await;
}

/// It says so by the function's name, and tells the coordinator nothing: the task has not failed.
async fn is_the_wrong_program(platform: &Arc<dyn Platform>, invocation: Invocation, function: &str) {
    let link = Arc::new(Yes::default());
    match platform.invoke(invocation, link.clone()).await {
        InvocationOutcome::WrongProgram(cause) => assert!(cause.contains(function), "{cause}"),
        other => panic!("{other:?}"),
    }
    assert_eq!(link.count(), 0);
}

async fn the_store_is_the_same_inside_and_outside(platform: &Arc<dyn Platform>) {
    let link = Arc::new(Yes::default());
    let outcome = platform
        .invoke(invocation(tasks::storing("conformance/seen".into())), link.clone())
        .await;
    assert_eq!(outcome, InvocationOutcome::Returned);
    assert_eq!(link.value::<u64>(), 13);
}

async fn recursion_is_deeper_than_a_stack(platform: &Arc<dyn Platform>) {
    const DEEP: u64 = 100_000;
    // Sent away at the bottom, it is dropped as deep as it is.
    let outcome = platform
        .invoke(
            invocation(tasks::sum(DEEP)),
            Arc::new(Always(Reply::Suspend, AtomicUsize::new(0))),
        )
        .await;
    assert_eq!(outcome, InvocationOutcome::Returned);
    let link = Arc::new(Yes::default());
    let outcome = platform.invoke(invocation(tasks::sum(DEEP)), link.clone()).await;
    assert_eq!(outcome, InvocationOutcome::Returned);
    assert_eq!(link.value::<u64>(), DEEP * (DEEP + 1) / 2);
}

async fn a_shut_down_platform_starts_nothing(platform: &Arc<dyn Platform>) {
    let link = Arc::new(Yes::default());
    let running = {
        let (platform, link) = (platform.clone(), link.clone());
        tokio::spawn(async move { platform.invoke(invocation(tasks::endless(5)), link).await })
    };
    while link.count() == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    platform.shutdown().await;
    let ended = tokio::time::timeout(Duration::from_secs(10), running)
        .await
        .expect("what is running ends")
        .unwrap();
    assert!(matches!(ended, InvocationOutcome::Killed(_)), "{ended:?}");
    let after = platform
        .invoke(invocation(tasks::well_behaved(1)), Arc::new(Yes::default()))
        .await;
    assert!(matches!(after, InvocationOutcome::Killed(_)), "{after:?}");
    platform.shutdown().await;
}
