//! What a worker does about calls for which its task does not wait, whatever the coordinator is like.

use crate::harness::MemoryStore;
use async_trait::async_trait;
use bytes::Bytes;
use kappa::ids::{QueueId, RunId, TaskId};
use kappa::link::Link;
use kappa::prelude::*;
use kappa::protocol::{Answer, Call, Invocation, Payload, Reply, Request, Start};
use kappa::store::{Store, StoreError};
use kappa::task::{TaskCall, TaskFunction};
use kappa::worker::{WorkerEnd, run_invocation};
use kappa::{Failure, TaskError};
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use tokio::sync::Semaphore;

/// A coordinator that keeps checkpoints waiting, and answers everything else at once.
struct Slow {
    /// How many checkpoints may be answered.
    permits: Semaphore,
    reply: Reply,
    requests: Mutex<Vec<Request>>,
    under_way: AtomicUsize,
    most: AtomicUsize,
}

impl Slow {
    fn new(permits: usize, reply: Reply) -> Arc<Self> {
        Arc::new(Slow {
            permits: Semaphore::new(permits),
            reply,
            requests: Mutex::default(),
            under_way: AtomicUsize::new(0),
            most: AtomicUsize::new(0),
        })
    }

    fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }

    fn sequences(&self) -> Vec<u64> {
        self.requests().iter().map(|request| request.sequence).collect()
    }
}

#[async_trait]
impl Link for Slow {
    async fn send(&self, request: Request) -> Reply {
        let call = request.call.clone();
        self.requests.lock().unwrap().push(request);
        match call {
            Call::Checkpoint => {
                let under_way = self.under_way.fetch_add(1, Ordering::SeqCst) + 1;
                self.most.fetch_max(under_way, Ordering::SeqCst);
                self.permits.acquire().await.unwrap().forget();
                self.under_way.fetch_sub(1, Ordering::SeqCst);
                self.reply.clone()
            }
            Call::CreateQueue(_) => Reply::Answer(Answer::Queue(QueueId(0))),
            Call::Exit(_) => {
                self.permits.add_permits(1000);
                Reply::Answer(Answer::Done)
            }
            _ => Reply::Answer(Answer::Done),
        }
    }
}

async fn invoke<F: TaskFunction>(call: TaskCall<F>, link: Arc<Slow>, store: Arc<dyn Store>) -> WorkerEnd {
    let (function, arguments) = call.into_spec_bytes().unwrap();
    let invocation = Invocation {
        run: RunId::generate(),
        task: TaskId(3),
        incarnation: 2,
        function: function.into(),
        start: Start::Begin(Payload::Inline(arguments.into())),
        last_sequence: 0,
        time_limit: None,
    };
    run_invocation(invocation, link, store).await
}

fn memory() -> Arc<dyn Store> {
    Arc::new(MemoryStore::default())
}

fn done() -> Reply {
    Reply::Answer(Answer::Done)
}

fn exit(request: &Request) -> Result<u64, TaskError> {
    match &request.call {
        Call::Exit(Ok(Payload::Inline(bytes))) => Ok(postcard::from_bytes(bytes).unwrap()),
        Call::Exit(Err(error)) => Err(error.clone()),
        other => panic!("expected an exit, not {other:?}"),
    }
}

#[kappa::task]
async fn closing(cx: &mut Context) -> u64 {
    let queue = cx.queue::<u64>(1).await;
    cx.close(&queue).in_background().await;
    cx.checkpoint().in_background().await;
    cx.cancel(TaskId(9)).in_background().await;
    7
}

#[tokio::test]
async fn r06_the_exit_carries_everything_that_is_not_acknowledged() {
    let link = Slow::new(0, done());
    assert_eq!(invoke(closing(), link.clone(), memory()).await, WorkerEnd::Returned);
    let requests = link.requests();
    let close = (2, Call::Close(QueueId(0)));
    let cancel = (4, Call::Cancel(TaskId(9)));
    let seen: Vec<_> = requests.iter().map(|r| (r.sequence, r.deferred.clone())).collect();
    let expected = vec![(1, vec![]), (3, vec![close.clone()]), (5, vec![close, cancel])];
    assert_eq!(seen, expected);
    assert_eq!(exit(&requests[2]), Ok(7));
}

/// Makes so many calls of every kind with so many bytes on its stack.
#[kappa::task]
async fn laden(cx: &mut Context, bytes: Vec<u8>, rounds: u64) -> u64 {
    for _ in 0..rounds {
        cx.checkpoint().await;
        cx.checkpoint().in_background().await;
        cx.cancel(TaskId(9)).in_background().await;
    }
    bytes.len() as u64
}

#[tokio::test]
async fn r18_a_call_is_as_long_as_what_is_live_and_one_that_is_deferred_is_no_message_at_all() {
    let (live, rounds) = (30_000, 20);
    let link = Slow::new(1000, done());
    let call = laden(vec![255; live], rounds);
    assert_eq!(invoke(call, link.clone(), memory()).await, WorkerEnd::Returned);
    let requests = link.requests();
    // One for each checkpoint, and the exit.
    assert_eq!(requests.len() as u64, 2 * rounds + 1);
    for request in &requests[..requests.len() - 1] {
        let length = postcard::to_stdvec(request).unwrap().len();
        assert!((live..live + 300).contains(&length), "a message of {length} bytes");
    }
}

#[tokio::test]
async fn r06_what_is_acknowledged_is_not_sent_again() {
    let link = Slow::new(1000, done());
    assert_eq!(invoke(closing(), link.clone(), memory()).await, WorkerEnd::Returned);
    assert_eq!(link.requests()[2].deferred, [(4, Call::Cancel(TaskId(9)))]);
}

#[kappa::task]
async fn hurrying(cx: &mut Context, checkpoints: u64, bytes: usize) -> u64 {
    let mut text = "x".repeat(bytes);
    for i in 0..checkpoints {
        text.push('x');
        cx.checkpoint().in_background().await;
        if i == checkpoints / 2 {
            GO.add_permits(1);
        }
        tokio::task::yield_now().await;
    }
    text.len() as u64
}

/// Given when the task is half way.
static GO: Semaphore = Semaphore::const_new(0);

#[tokio::test]
async fn r07_checkpoints_that_are_made_faster_than_they_are_acknowledged_neither_pile_up_nor_stop_the_task() {
    let link = Slow::new(0, done());
    let slow = link.clone();
    let coordinator = tokio::spawn(async move {
        GO.acquire().await.unwrap().forget();
        // Half of the checkpoints have been made, and not one has been acknowledged.
        assert_eq!(slow.sequences(), [1]);
        slow.permits.add_permits(1);
    });
    assert_eq!(
        invoke(hurrying(1000, 10), link.clone(), memory()).await,
        WorkerEnd::Returned
    );
    coordinator.await.unwrap();
    let sequences = link.sequences();
    // The first; the newest when that was acknowledged; the exit.
    assert_eq!(sequences.len(), 3, "{sequences:?}");
    assert_eq!(sequences[0], 1);
    assert!((500..1000).contains(&sequences[1]), "{sequences:?}");
    assert_eq!(sequences[2], 1001);
    assert_eq!(link.most.load(Ordering::SeqCst), 1, "at most one is under way");
    assert_eq!(exit(link.requests().last().unwrap()), Ok(1010));
}

#[kappa::task]
async fn going_on(cx: &mut Context, test: usize) -> u64 {
    cx.checkpoint().in_background().await;
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
    REACHED[test].fetch_add(1, Ordering::SeqCst);
    cx.sleep(std::time::Duration::from_secs(1)).await;
    REACHED[test].fetch_add(1000, Ordering::SeqCst);
    1
}

/// How far the tasks of these tests have come.
static REACHED: [AtomicUsize; 3] = [const { AtomicUsize::new(0) }; 3];

/// Lets one checkpoint be answered as soon as the task awaits something.
fn answer_later(link: &Arc<Slow>) {
    let link = link.clone();
    tokio::spawn(async move { link.permits.add_permits(1) });
}

#[tokio::test]
async fn r15_a_zombie_stops_at_its_next_operation_when_a_checkpoint_in_the_background_was_fenced() {
    for (test, reply) in [Reply::Fenced, Reply::Suspend].into_iter().enumerate() {
        let link = Slow::new(0, reply);
        answer_later(&link);
        assert_eq!(
            invoke(going_on(test), link.clone(), memory()).await,
            WorkerEnd::Returned
        );
        assert_eq!(
            link.sequences(),
            [1],
            "neither the next operation nor the exit was sent"
        );
        let reached = REACHED[test].load(Ordering::SeqCst);
        assert!(reached <= 1, "it computed as far as its next operation, and no further");
    }
}

#[tokio::test]
async fn a_group_that_is_refused_in_the_background_fails_the_task_at_its_next_operation() {
    let link = Slow::new(0, Reply::Answer(Answer::Refused("no such queue".into())));
    answer_later(&link);
    assert_eq!(invoke(going_on(2), link.clone(), memory()).await, WorkerEnd::Returned);
    let requests = link.requests();
    let failed = exit(requests.last().unwrap()).unwrap_err();
    assert_eq!(failed.kind, Failure::Refused("no such queue".into()));
    assert_eq!(requests.len(), 2);
}

#[kappa::task]
async fn closing_often(cx: &mut Context, times: u64) -> u64 {
    let queue = cx.queue::<u64>(1).await;
    for _ in 0..times {
        cx.close(&queue).in_background().await;
    }
    times
}

#[tokio::test]
async fn a_group_never_grows_too_long_to_be_sent() {
    let link = Slow::new(0, done());
    assert_eq!(
        invoke(closing_often(3000), link.clone(), memory()).await,
        WorkerEnd::Returned
    );
    let requests = link.requests();
    let carried: Vec<_> = requests.iter().map(|request| request.deferred.len()).collect();
    assert_eq!(
        carried,
        [0, 1024, 1024, 950],
        "two were waited for, and took the others along"
    );
    assert_eq!(requests[3].sequence, 3002);
}

/// A store in which writing takes until somebody allows it.
#[derive(Debug)]
struct SlowStore(MemoryStore, Semaphore);

#[async_trait]
impl Store for SlowStore {
    async fn put(&self, key: &str, bytes: Bytes) -> Result<(), StoreError> {
        self.1.acquire().await.unwrap().forget();
        self.0.put(key, bytes).await
    }

    async fn get(&self, key: &str) -> Result<Bytes, StoreError> {
        self.0.get(key).await
    }

    async fn get_ranges(&self, key: &str, ranges: &[Range<u64>]) -> Result<Vec<Bytes>, StoreError> {
        self.0.get_ranges(key, ranges).await
    }

    async fn delete(&self, key: &str) -> Result<(), StoreError> {
        self.0.delete(key).await
    }

    async fn delete_prefix(&self, prefix: &str) -> Result<(), StoreError> {
        self.0.delete_prefix(prefix).await
    }

    fn is_shared(&self) -> bool {
        false
    }

    fn url(&self) -> String {
        "memory:".into()
    }
}

#[kappa::task]
async fn large(cx: &mut Context) -> u64 {
    let text = "x".repeat(100_000);
    cx.checkpoint().in_background().await;
    text.len() as u64
}

#[tokio::test]
async fn a_large_checkpoint_that_is_overtaken_while_it_is_stored_is_never_sent_and_leaves_nothing() {
    let link = Slow::new(1000, done());
    let store = Arc::new(SlowStore(MemoryStore::default(), Semaphore::new(0)));
    let invoked = tokio::spawn(invoke(large(), link.clone(), store.clone()));
    while link.sequences() != [2] {
        tokio::task::yield_now().await;
    }
    // The exit has come before the checkpoint is in the store.
    store.1.add_permits(1);
    assert_eq!(invoked.await.unwrap(), WorkerEnd::Returned);
    assert_eq!(link.sequences(), [2]);
    assert_eq!(store.0.objects(), 0);
}
