//! What every platform does about requests for which a task does not wait.

use crate::tasks::invocation;
use async_trait::async_trait;
use kappa::Context;
use kappa::ids::QueueId;
use kappa::link::Link;
use kappa::platform::Platform;
use kappa::protocol::{Answer, Call, InvocationOutcome, Payload, Reply, Request};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;

pub(crate) async fn check(platform: &Arc<dyn Platform>) {
    a_checkpoint_is_under_way_while_the_task_computes(platform).await;
    replies_may_come_in_another_order_than_their_requests(platform).await;
    what_was_cut_short_does_not_disturb_the_next_invocation(platform).await;
}

/// Computes, without awaiting anything, until the file is there.
#[kappa::task]
pub(crate) async fn computing(cx: &mut Context, file: PathBuf) -> bool {
    cx.checkpoint().in_background().await;
    let until = Instant::now() + Duration::from_secs(20);
    while !file.exists() && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(1));
    }
    file.exists()
}

#[kappa::task]
pub(crate) async fn mixed(cx: &mut Context, rounds: u64) -> Vec<u64> {
    let mut queues = Vec::new();
    for _ in 0..rounds {
        cx.checkpoint().in_background().await;
        let queue = cx.queue::<u64>(1).await;
        queues.push(queue.id().0);
    }
    queues
}

/// Holds the reply to each checkpoint back, and makes a file when one has come.
struct Backwards {
    file: Option<PathBuf>,
    other_calls: Semaphore,
    requests: Mutex<Vec<Request>>,
}

impl Backwards {
    fn new(file: Option<PathBuf>) -> Arc<Self> {
        Arc::new(Backwards {
            file,
            other_calls: Semaphore::new(0),
            requests: Mutex::default(),
        })
    }

    fn value<T: serde::de::DeserializeOwned>(&self) -> T {
        match self.requests.lock().unwrap().last().map(|request| request.call.clone()) {
            Some(Call::Exit(Ok(Payload::Inline(bytes)))) => postcard::from_bytes(&bytes).unwrap(),
            other => panic!("the last call was {other:?}"),
        }
    }
}

#[async_trait]
impl Link for Backwards {
    async fn send(&self, request: Request) -> Reply {
        let call = request.call.clone();
        let sequence = request.sequence;
        self.requests.lock().unwrap().push(request);
        match call {
            Call::Checkpoint => {
                if let Some(file) = &self.file {
                    std::fs::write(file, "").unwrap();
                }
                self.other_calls.acquire().await.unwrap().forget();
                Reply::Answer(Answer::Done)
            }
            Call::CreateQueue(_) => {
                self.other_calls.add_permits(1);
                Reply::Answer(Answer::Queue(QueueId(sequence)))
            }
            _ => {
                self.other_calls.add_permits(100);
                Reply::Answer(Answer::Done)
            }
        }
    }
}

async fn a_checkpoint_is_under_way_while_the_task_computes(platform: &Arc<dyn Platform>) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("seen");
    let link = Backwards::new(Some(file.clone()));
    let outcome = platform.invoke(invocation(computing(file)), link.clone()).await;
    assert_eq!(outcome, InvocationOutcome::Returned);
    assert!(
        link.value::<bool>(),
        "the checkpoint had to wait until the task was done"
    );
}

async fn replies_may_come_in_another_order_than_their_requests(platform: &Arc<dyn Platform>) {
    let link = Backwards::new(None);
    let outcome = platform.invoke(invocation(mixed(20)), link.clone()).await;
    assert_eq!(outcome, InvocationOutcome::Returned);
    let expected: Vec<u64> = (1..=20).map(|round| round * 2).collect();
    assert_eq!(
        link.value::<Vec<u64>>(),
        expected,
        "each queue has the number of its call"
    );
}

/// Sends everyone away, but answers no checkpoint.
struct Silent;

#[async_trait]
impl Link for Silent {
    async fn send(&self, request: Request) -> Reply {
        if matches!(request.call, Call::Checkpoint) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Reply::Suspend
    }
}

/// Has a checkpoint under way that is longer than a socket takes at once, and is sent away.
#[kappa::task]
pub(crate) async fn bulky(cx: &mut Context) -> usize {
    let bytes = vec![vec![7u8; 60_000]];
    cx.checkpoint().in_background().await;
    cx.sleep(Duration::from_secs(1)).await;
    bytes.len()
}

async fn what_was_cut_short_does_not_disturb_the_next_invocation(platform: &Arc<dyn Platform>) {
    for _ in 0..20 {
        let outcome = platform.invoke(invocation(bulky()), Arc::new(Silent)).await;
        assert_eq!(outcome, InvocationOutcome::Returned);
        let link = Backwards::new(None);
        let outcome = platform.invoke(invocation(mixed(1)), link.clone()).await;
        assert_eq!(outcome, InvocationOutcome::Returned);
        assert_eq!(link.value::<Vec<u64>>(), [2]);
    }
}
