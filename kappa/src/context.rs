//! The operations a task can ask for.
//!
//! Guarantees that every operation is one committed call: its request carries the continuation from which the task goes on with the answer, so
//! an operation either happened together with its checkpoint, or not at all. With `.in_background()` the task does not wait for that.
//!
//! `cx.<operation>(..)` only describes what is wanted, as an [`Operation`]; nothing of `cx` or of the handles stays borrowed. The code that
//! `#[kappa::task]` generates around `.await` gives it to [`Context::perform`] with the frame of the suspended function.

mod background;
mod calls;
mod coarse;
mod deep;
mod due;
mod operation;
mod options;
mod shared;
mod watch;

#[doc(hidden)]
pub use operation::{AwaitedInATask, Performing, Request as CallKind};
pub use operation::{Kind, Operation};
pub use shared::Shared;
pub(crate) use watch::Watch;

use crate::continuation::{Continuation, Frame, SavedFrame, Writer, encode};
use crate::error::{Failed, Failure, TaskError};
use crate::ids::{Incarnation, RunId, Sequence, TaskId};
use crate::link::Link;
use crate::protocol::{Answer, Call, Invocation, Payload, Reply, Request};
use crate::store::{Store, StoreError};
use background::Background;
use bytes::Bytes;
use deep::Depth;
use due::Due;
use futures::{StreamExt, TryStreamExt, stream};
use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// A call carries so many bytes of payloads itself; the rest goes through the store, except what is [`SHORT`].
const MOST_INLINE: usize = 16 << 20;

/// What is always sent in the message, in bytes: an object of its own would cost more than it saves.
const SHORT: usize = 1 << 10;

/// How many payloads of one call are stored at once.
const AT_ONCE: usize = 32;

/// What a task sees of the system: its operations, and who it is.
pub struct Context {
    run: RunId,
    task: TaskId,
    incarnation: Incarnation,
    /// The number of the last call that was made.
    sequence: Sequence,
    link: Arc<dyn Link>,
    store: Arc<dyn Store>,
    watch: Watch,
    time_limit: Option<Duration>,
    /// From then on the invocation ends with its next committed call, so that the time limit finds nothing to destroy.
    leave_at: Option<Instant>,
    due: Due,
    /// How many idempotency keys this task has handed out, over all incarnations.
    keys: AtomicU64,
    /// How many bytes of payloads the call that is being made carries itself.
    inline: usize,
    /// Length of the last continuation: the next one will be about as long.
    last_length: usize,
    /// What is left of the stack that is being rebuilt, and the answer for its innermost frame.
    rebuilding: Option<(Continuation, Answer)>,
    stop: Option<oneshot::Sender<Stop>>,
    background: Background,
    depth: Depth,
}

/// Why an invocation ends before its task does, seen from inside.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The coordinator said so; somebody else goes on.
    Leave,
    /// The time is up, and everything up to here is committed.
    OutOfTime,
    /// The task has failed for good.
    Fail(Failed),
    /// Only another program can go on: what does not fit.
    WrongProgram(String),
    /// Nobody can go on before something outside of the program is mended: what.
    NeedsRepair(String),
    /// This invocation cannot go on, another may.
    Break(String),
}

impl Stop {
    /// What becomes of an invocation that cannot read a value of its run.
    pub(crate) fn of_reading(key: &str, cause: &StoreError) -> Self {
        match cause {
            // Nobody deletes what an invocation that is still heard may need.
            StoreError::NotFound { .. } => Stop::NeedsRepair(format!("a value of the run is lost: {cause}")),
            cause if cause.needs_repair() => Stop::NeedsRepair(cause.to_string()),
            cause => Stop::Break(format!("cannot read {key}: {cause}")),
        }
    }
}

impl Context {
    pub(crate) fn new(
        invocation: &Invocation,
        link: Arc<dyn Link>,
        store: Arc<dyn Store>,
        watch: Watch,
        leave_at: Option<Instant>,
    ) -> (Self, oneshot::Receiver<Stop>) {
        let (stop, stopped) = oneshot::channel();
        let context = Context {
            run: invocation.run,
            task: invocation.task,
            incarnation: invocation.incarnation,
            sequence: invocation.last_sequence,
            link,
            store,
            time_limit: invocation.time_limit,
            leave_at,
            due: Due::new(watch.clone(), invocation.time_limit, leave_at),
            watch,
            keys: AtomicU64::new(0),
            inline: 0,
            last_length: 0,
            rebuilding: None,
            stop: Some(stop),
            background: Background::default(),
            depth: Depth::default(),
        };
        (context, stopped)
    }

    /// The id of this task within the run.
    pub fn task_id(&self) -> TaskId {
        self.task
    }

    /// The id of the run.
    pub fn run_id(&self) -> RunId {
        self.run
    }

    /// The number of this invocation of the task.
    pub fn incarnation(&self) -> Incarnation {
        self.incarnation
    }

    /// How long this invocation may still run; `None` is without limit.
    pub fn time_left(&self) -> Option<Duration> {
        let elapsed = self.watch.now() - self.watch.started();
        self.time_limit.map(|limit| limit.saturating_sub(elapsed))
    }

    /// The run's store, for large data. Not a suspension point.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// A text for requests to external services, so that they can recognise a repetition: different for each call of this method within the run, the
    /// same when the code around it is executed again after a crash.
    pub fn idempotency_key(&self) -> String {
        let key = self.keys.fetch_add(1, Ordering::Relaxed);
        format!("{}-{}-{key}", self.run, self.task.0)
    }

    /// Hands an operation to the coordinator. `None` stands for the operation that the saved frame was suspended in. Generated code calls this.
    #[doc(hidden)]
    pub fn perform<'a, K: Kind>(
        &'a mut self,
        operation: Option<Operation<K>>,
        frame: &'a Frame<'a>,
    ) -> Performing<'a, K::Output> {
        K::perform(operation.map(|operation| operation.0), self, frame)
    }

    /// Sets what a resumed task starts from.
    pub(crate) fn rebuild(&mut self, continuation: Continuation, answer: Answer) {
        *self.keys.get_mut() = continuation.keys;
        self.rebuilding = Some((continuation, answer));
    }

    /// The frame that will be resumed next.
    pub(crate) fn next_frame(&self) -> Option<&SavedFrame> {
        self.rebuilding
            .as_ref()
            .and_then(|(continuation, _)| continuation.frames.front())
    }

    /// Takes the frame of the function that is being resumed. Generated code calls this.
    #[doc(hidden)]
    pub async fn take_frame(&mut self) -> SavedFrame {
        match self
            .rebuilding
            .as_mut()
            .and_then(|(continuation, _)| continuation.frames.pop_front())
        {
            Some(frame) => frame,
            None => {
                self.wrong_program("the continuation ends before its innermost function".to_string())
                    .await
            }
        }
    }

    /// Ends the invocation because the saved frame does not fit the code. Generated code calls this.
    #[doc(hidden)]
    pub async fn unusable<T>(&mut self, function: &str, cause: impl std::fmt::Display) -> T {
        self.wrong_program(format!("{function}: {cause}")).await
    }

    /// Ends the invocation, because only another program can go on; never returns.
    async fn wrong_program<T>(&mut self, cause: String) -> T {
        self.end(Stop::WrongProgram(cause)).await
    }

    /// The answer for the innermost frame, once all frames are rebuilt.
    async fn recorded_answer(&mut self) -> Answer {
        match self.rebuilding.take() {
            Some((continuation, answer)) if continuation.frames.is_empty() => answer,
            Some((continuation, _)) => {
                let first = continuation.frames.front();
                let function = first.map(|frame| frame.function.clone()).unwrap_or_default();
                self.wrong_program(format!(
                    "the checkpoint continues in {function}, and this program makes no call there"
                ))
                .await
            }
            None => {
                self.wrong_program("the checkpoint has no answer for its innermost function".to_string())
                    .await
            }
        }
    }

    /// Ends the task with a failure; never returns.
    async fn fail<T>(&mut self, failure: Failure) -> T {
        self.end(Stop::Fail(failure.into())).await
    }

    /// Ends the invocation; never returns, because whoever polls the task drops it.
    async fn end<T>(&mut self, stop: Stop) -> T {
        if let Some(sender) = self.stop.take() {
            // The receiver is gone only if the task is being dropped already.
            let _ = sender.send(stop);
        }
        pending().await
    }

    /// The stack whose innermost function is at this frame.
    async fn encoded(&mut self, frame: &Frame<'_>) -> Vec<u8> {
        let mut writer = Writer::onto(Vec::with_capacity(self.last_length + 64));
        if let Err(cause) = encode(frame, self.keys.load(Ordering::Relaxed), &mut writer) {
            return self.fail(Failure::Unusable(cause.to_string())).await;
        }
        self.last_length = writer.bytes.len();
        writer.bytes
    }

    /// Sends a call with the continuation of this frame, and waits for the answer.
    async fn request(&mut self, call: Call, frame: &Frame<'_>) -> Answer {
        self.heed().await;
        let continuation = self.encoded(frame).await;
        let continuation = self.payload("checkpoint", continuation).await;
        match self.send(call, continuation).await {
            Reply::Answer(answer) => {
                self.background.acknowledge(self.sequence);
                self.due.renew();
                let answer = match whole(answer, &*self.store).await {
                    Ok(answer) => answer,
                    Err((key, cause)) => self.end(Stop::of_reading(&key, &cause)).await,
                };
                match answer {
                    Answer::Refused(reason) => self.fail(Failure::Refused(reason)).await,
                    // The next invocation is given the same answer.
                    _ if self.is_time_up() => self.end(Stop::OutOfTime).await,
                    answer => answer,
                }
            }
            Reply::Suspend | Reply::Fenced => self.end(Stop::Leave).await,
        }
    }

    /// Whether the invocation is to end with its next committed call.
    fn is_time_up(&self) -> bool {
        self.leave_at.is_some_and(|moment| self.watch.now() >= moment)
    }

    async fn send(&mut self, call: Call, continuation: Payload) -> Reply {
        self.sequence += 1;
        self.background.supersede(self.sequence);
        let request = Request {
            task: self.task,
            incarnation: self.incarnation,
            sequence: self.sequence,
            deferred: self.background.deferred(),
            continuation,
            call,
        };
        self.link.send(request).await
    }

    /// A new way to be stopped, after the first has been used.
    pub(crate) fn rearm(&mut self) -> oneshot::Receiver<Stop> {
        let (stop, stopped) = oneshot::channel();
        self.stop = Some(stop);
        stopped
    }

    /// Tells the coordinator how the task ended.
    pub(crate) async fn exit(&mut self, result: Result<Vec<u8>, Failed>, function: &str) {
        let result = match result {
            Ok(value) => Ok(self.payload("result", value).await),
            Err(Failed { kind, trace, .. }) => Err(TaskError {
                task: self.task,
                function: function.to_string(),
                kind,
                trace,
            }),
        };
        // Whatever the reply is, there is nothing left to do.
        self.send(Call::Exit(result), Payload::Inline(Bytes::new())).await;
    }

    /// Bytes as they are sent: those that are too long for a message go into the store.
    async fn payload(&mut self, what: &str, bytes: impl Into<Bytes>) -> Payload {
        let bytes = bytes.into();
        let longest = self.longest_inline(bytes.len());
        match put(&*self.store, self.run, self.task, what, bytes, longest).await {
            Ok(payload) => payload,
            Err(cause) => self.end(Stop::Break(cause)).await,
        }
    }

    /// The same for many, of which several are stored at once.
    async fn payloads(&mut self, what: &str, all: impl IntoIterator<Item = Vec<u8>>) -> Vec<Payload> {
        let all: Vec<_> = all
            .into_iter()
            .map(|bytes| (self.longest_inline(bytes.len()), bytes))
            .collect();
        let (store, run, task) = (self.store.clone(), self.run, self.task);
        let stored = stream::iter(all).map(|(longest, bytes)| {
            let store = store.clone();
            async move { put(&*store, run, task, what, bytes, longest).await }
        });
        match stored.buffered(AT_ONCE).try_collect().await {
            Ok(payloads) => payloads,
            Err(cause) => self.end(Stop::Break(cause)).await,
        }
    }

    /// Up to how many bytes a payload of this length may be sent in the message. If it may, it is counted.
    fn longest_inline(&mut self, length: usize) -> usize {
        let left = MOST_INLINE.saturating_sub(self.inline);
        let longest = left.clamp(SHORT, Payload::INLINE_LIMIT);
        if length <= longest {
            self.inline += length;
        }
        longest
    }

    /// The content of a payload, from the message or from the store.
    async fn content(&mut self, payload: Payload) -> Bytes {
        match payload {
            Payload::Inline(bytes) => bytes,
            Payload::Stored { key, .. } => match self.store.get(&key).await {
                Ok(bytes) => bytes,
                Err(cause) => self.end(Stop::of_reading(&key, &cause)).await,
            },
        }
    }
}

/// An answer that came through the store, or any other as it is.
///
/// # Errors
/// The key that cannot be read, and why.
pub(crate) async fn whole(answer: Answer, store: &dyn Store) -> Result<Answer, (String, StoreError)> {
    let Answer::Stored(pieces) = answer else {
        return Ok(answer);
    };
    let mut encoded = Vec::new();
    for piece in pieces {
        match piece {
            Payload::Inline(bytes) => encoded.extend_from_slice(&bytes),
            Payload::Stored { key, .. } => match store.get(&key).await {
                Ok(bytes) => encoded.extend_from_slice(&bytes),
                Err(cause) => return Err((key, cause)),
            },
        }
    }
    let unreadable = |cause| {
        (
            "of an answer".to_string(),
            StoreError::Invalid(format!("it is none: {cause}")),
        )
    };
    postcard::from_bytes(&encoded).map_err(unreadable)
}

/// Puts bytes that are too long for a message into the store, under a key that nobody else has.
async fn put(
    store: &dyn Store,
    run: RunId,
    task: TaskId,
    what: &str,
    bytes: impl Into<Bytes>,
    longest: usize,
) -> Result<Payload, String> {
    let bytes = bytes.into();
    if bytes.len() <= longest {
        return Ok(Payload::Inline(bytes));
    }
    let length = bytes.len() as u64;
    let key = format!(
        "{}/{what}/{}-{}",
        run.objects(),
        task.0,
        uuid::Uuid::new_v4().as_simple()
    );
    match store.put(&key, bytes).await {
        Ok(()) => Ok(Payload::Stored { key, length }),
        Err(cause) => Err(format!("cannot store a {what} of {length} bytes: {cause}")),
    }
}

impl std::fmt::Debug for Context {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "Context({} of run {}, incarnation {}, call {})",
            self.task, self.run, self.incarnation, self.sequence
        )
    }
}
