//! What workers and the coordinator say to each other. Every message is plain data (`postcard` on the wire and in the journal).
//!
//! A task waits for one call at a time. Each [`Request`] carries the continuation from which the task can go on once the call is
//! answered, so a call is a checkpoint: committed together, or not at all. Besides, one checkpoint may be under way in the background, and calls
//! for whose answer nobody waits travel with the next request.

use crate::error::TaskError;
use crate::ids::{Incarnation, QueueId, RunId, Sequence, TaskId};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Bytes that travel in a message, or a name under which the store has them.
///
/// Workers put everything above [`Payload::INLINE_LIMIT`] into the store *before* they name it in a request; the coordinator deletes it when
/// nobody can need it any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Payload {
    /// The bytes themselves.
    Inline(Bytes),
    /// A key of the run's store, unique to this payload, and the length of the object in bytes.
    Stored {
        /// The object's key.
        key: String,
        /// Its length in bytes.
        length: u64,
    },
}

impl Payload {
    /// Largest payload in bytes that is sent inside a message. A little more than 64 KiB, so that a state of that size needs no object of its own: with the
    /// store elsewhere that would be a second round trip.
    pub const INLINE_LIMIT: usize = 72 * 1024;

    /// Length of the content in bytes, wherever it is kept.
    pub fn length(&self) -> u64 {
        match self {
            Payload::Inline(bytes) => bytes.len() as u64,
            Payload::Stored { length, .. } => *length,
        }
    }
}

/// A task to be created.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskSpec {
    /// The task function's full name (`crate::module::function`), as in the registry.
    pub function: String,
    /// Its arguments: a `postcard` tuple.
    pub arguments: Payload,
    /// How it is to be run.
    pub options: TaskOptions,
}

impl TaskSpec {
    /// A task without options.
    pub fn new(function: impl Into<String>, arguments: Payload) -> Self {
        TaskSpec {
            function: function.into(),
            arguments,
            options: TaskOptions::default(),
        }
    }
}

/// How a task is to be run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskOptions {
    /// A name for those who watch, beside its function's.
    pub name: Option<String>,
    /// It begins only when these have ended. If one of them has failed, it fails too, with [`Failure::Dependency`](crate::Failure::Dependency).
    pub after: Vec<TaskId>,
    /// What happens when it fails.
    pub retry: Option<Retry>,
    /// How long each of its invocations may run, if that is less than what the platform allows.
    pub time_limit: Option<Duration>,
    /// It runs on the coordinator's own machine, whatever the platform is.
    pub on_coordinator: bool,
}

/// How often a task that fails is begun again, from its beginning and with the same arguments. What the failed attempt had spawned is cancelled.
///
/// This is about tasks that *fail*: invocations that are killed or crash go on from the last checkpoint without it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retry {
    /// How many attempts there are, the first included; 0 counts as 1.
    pub attempts: u32,
    /// The delay before the second attempt; it doubles with each further one.
    pub first_delay: Duration,
    /// No delay is longer.
    pub longest_delay: Duration,
}

impl Retry {
    /// So many attempts, the first included, with delays from a tenth of a second up to ten.
    pub fn attempts(attempts: u32) -> Self {
        Retry {
            attempts,
            first_delay: Duration::from_millis(100),
            longest_delay: Duration::from_secs(10),
        }
    }
}

/// What a task asks of the coordinator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Call {
    /// Store the continuation; answered by [`Answer::Done`].
    Checkpoint,
    /// Create tasks, all or none; answered by [`Answer::Spawned`] with their ids in the same order. None at all is fine.
    Spawn(Vec<TaskSpec>),
    /// Wait until all have ended; answered by [`Answer::Results`], in the order asked. None at all is answered at once.
    WaitAll(Vec<TaskId>),
    /// Wait until one has ended; answered by [`Answer::First`]. The lowest index wins among several. None at all is refused.
    WaitAny(Vec<TaskId>),
    /// Create a queue that holds at most so many items (at least 1); answered by [`Answer::Queue`].
    CreateQueue(u64),
    /// Append items in order, waiting while the queue is full (an item at a time: a batch may be larger than the queue).
    /// Answered by [`Answer::Done`] when the last is in; refused once the queue is closed.
    Enqueue(QueueId, Vec<Payload>),
    /// Take the first item, waiting while there is none; answered by [`Answer::Item`], `None` once the queue is closed and drained.
    Dequeue(QueueId),
    /// No further items; those inside can still be taken. Closing twice is fine. Answered by [`Answer::Done`].
    Close(QueueId),
    /// End a task and all its descendants; those that have ended stay as they are. Answered by [`Answer::Done`]. The caller may not be among them.
    Cancel(TaskId),
    /// Answered by [`Answer::Done`] after so long. No invocation runs meanwhile.
    Sleep(Duration),
    /// Write an object to an external place, exactly once. Answered by [`Answer::Done`] when it is there.
    PutObject {
        /// `file:` and an absolute path, or `s3://BUCKET/KEY`.
        url: String,
        /// The object.
        content: Payload,
    },
    /// The task has ended. Its last call; answered by [`Answer::Done`]. Carries no continuation.
    Exit(TaskResult),
}

impl Call {
    /// Whether it may be deferred: nobody waits for its answer, because there is only one.
    pub fn is_deferrable(&self) -> bool {
        matches!(self, Call::Close(_) | Call::Cancel(_))
    }
}

/// How a task ended: its result as `postcard`, or why there is none.
pub type TaskResult = Result<Payload, TaskError>;

/// One call to the coordinator, with the checkpoint that goes with it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// Who calls.
    pub task: TaskId,
    /// In which invocation; any but the task's current one is [`Reply::Fenced`].
    pub incarnation: Incarnation,
    /// The call's number: greater than that of the task's last committed call. (Not always one more: a checkpoint in the background may have been
    /// superseded.) The last committed one again is a duplicate and gets the recorded answer. A checkpoint with a smaller number comes too late, is
    /// answered by [`Answer::Done`] and changes nothing.
    pub sequence: Sequence,
    /// Calls that the task made before this one without waiting for their answers, each with its own number, as far as they are not known to be
    /// committed. Those above the last committed number take effect together with this one, all or none.
    pub deferred: Vec<(Sequence, Call)>,
    /// Where the task goes on when the call has been answered. Empty only for [`Call::Exit`].
    pub continuation: Payload,
    /// What is asked.
    pub call: Call,
}

/// The coordinator's answer to a committed call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// It is done.
    Done,
    /// Ids of the new tasks, in the order of the specs.
    Spawned(Vec<TaskId>),
    /// Results in the order of the tasks waited for.
    Results(Vec<TaskResult>),
    /// The index (into the tasks waited for) and result of the first task that ended.
    First(u64, TaskResult),
    /// The new queue.
    Queue(QueueId),
    /// The item; `None` if the queue is closed and drained.
    Item(Option<Payload>),
    /// An answer that is too long for a message: its encoding, cut into objects of the store.
    Stored(Vec<Payload>),
    /// The call makes no sense (an unknown queue, an item for a closed one); the task fails with this message.
    Refused(String),
}

/// What a worker hears back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reply {
    /// Go on with this.
    Answer(Answer),
    /// The call is committed but its answer will take a while: leave. A new invocation starts with the answer when it is there.
    Suspend,
    /// This invocation is no longer the task's current one: stop at once, without further effects.
    Fenced,
}

/// Where an invocation starts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Start {
    /// At the beginning of the function, with these arguments.
    Begin(Payload),
    /// Inside: at the suspension points of this continuation, whose innermost operation has this answer.
    Resume {
        /// The stack, as the last committed request carried it.
        continuation: Payload,
        /// The answer of that request.
        answer: Answer,
    },
}

/// One lambda's work order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invocation {
    /// Of this run.
    pub run: RunId,
    /// Of this task.
    pub task: TaskId,
    /// Its number.
    pub incarnation: Incarnation,
    /// The task function's full name.
    pub function: String,
    /// Where to start.
    pub start: Start,
    /// The sequence number of the last committed call (0: none yet); the next calls' are greater.
    pub last_sequence: Sequence,
    /// How long the platform lets it run; `None` is without limit.
    pub time_limit: Option<Duration>,
}

/// How an invocation ended, as the platform saw it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum InvocationOutcome {
    /// The worker left by itself: the task exited, was suspended, or was fenced.
    Returned,
    /// The program broke: a panic, an abort, an exit in the middle.
    Crashed(String),
    /// Killed from outside (SIGKILL, chaos, a lost machine): not the program's fault.
    Killed(String),
    /// The time limit took it.
    TimedOut,
    /// The memory limit took it.
    OutOfMemory(String),
    /// The platform has no room at present; nothing was started.
    Throttled(String),
    /// The worker could not reach the coordinator, and left with the request that it could not deliver. The platform has checked that the request is one
    /// of this invocation.
    Unlinked(Box<Request>),
    /// The platform cannot start it and never will (for example: the executable is gone).
    Unstartable(String),
    /// The store could not be reached for so long that the worker left: not the program's fault. It is tried again as long as it takes.
    StoreAway(String),
    /// The program that the worker is made of cannot go on with the task: its code is another than what the task was begun with, or it has no such
    /// function. The run stops, and nothing has failed: another program can go on with it.
    WrongProgram(String),
    /// Nobody can go on with the task before something outside of the program is mended: a store or a disk that is full, not to be written, or damaged.
    /// The run stops, and nothing has failed.
    NeedsRepair(String),
}
