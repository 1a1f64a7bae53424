//! What those who watch a run are told: events as they happen, and their sums.

use super::task::Wait;
use crate::error::TaskError;
use crate::ids::{Incarnation, QueueId, Sequence, TaskId};
use crate::protocol::{Call, InvocationOutcome};
use crate::usage::{Spent, Totals};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::time::Duration;

/// How many of the tasks that a task waits for are named.
const NAMED_IN_WAIT: usize = 16;

/// One thing that happened in a run. As JSON it is what a run's record holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum RunEvent {
    /// A task was created.
    TaskSpawned {
        /// The new task.
        task: TaskId,
        /// Who created it; `None` for the run's first task.
        parent: Option<TaskId>,
        /// Its function's full name.
        function: String,
        /// The name it was given.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<String>,
    },
    /// An invocation was handed to the platform.
    InvocationStarted {
        /// Of this task.
        task: TaskId,
        /// Its number.
        incarnation: Incarnation,
    },
    /// A call was committed, and with it a checkpoint.
    Checkpoint {
        /// Of this task.
        task: TaskId,
        /// The call's number.
        sequence: Sequence,
        /// Length of the continuation in bytes.
        bytes: u64,
        /// Which call it was: `checkpoint`, `spawn`, `wait`, ...
        call: Cow<'static, str>,
    },
    /// A call cannot be answered yet: the task waits.
    Blocked {
        /// The waiting task.
        task: TaskId,
        /// For what.
        waits_for: WaitsFor,
    },
    /// What a task waited for is there.
    Unblocked {
        /// The task.
        task: TaskId,
    },
    /// An invocation was sent away because its task has to wait.
    Suspended {
        /// The waiting task.
        task: TaskId,
    },
    /// The platform saw an invocation end.
    InvocationEnded {
        /// Of this task.
        task: TaskId,
        /// Its number.
        incarnation: Incarnation,
        /// How it ended.
        outcome: InvocationOutcome,
        /// What it used, and what the coordinator did meanwhile.
        #[serde(
            default,
            skip_serializing_if = "Spent::is_nothing",
            serialize_with = "Spent::without_zeros"
        )]
        spent: Spent,
    },
    /// An invocation ended before its task did; another one follows.
    Retried {
        /// The task.
        task: TaskId,
        /// After this back-off.
        delay: Duration,
    },
    /// A task has begun to sleep.
    Sleeping {
        /// The task.
        task: TaskId,
        /// For so long.
        duration: Duration,
    },
    /// An object is at its external place.
    Published {
        /// Put there by this task.
        task: TaskId,
        /// The place.
        url: String,
        /// Its length in bytes.
        bytes: u64,
    },
    /// A task was cancelled by another one, with all its descendants; the ends of those that were alive follow.
    Cancelled {
        /// The task.
        task: TaskId,
        /// Who cancelled it.
        by: TaskId,
    },
    /// A task failed and is begun again, from its beginning.
    BegunAgain {
        /// The task.
        task: TaskId,
        /// The number of the new attempt: 2, 3, ...
        attempt: u32,
        /// After this delay.
        delay: Duration,
        /// Why the attempt before failed.
        error: TaskError,
    },
    /// A task ended.
    TaskEnded {
        /// The task.
        task: TaskId,
        /// Why it has no result, if it has none.
        error: Option<TaskError>,
    },
    /// The coordinator was gone and is back: whatever was running when it went is gone too.
    Recovered,
    /// The coordinator stopped working on the run before its end. It can be resumed.
    Interrupted,
    /// The run ended; nothing follows.
    Ended,
}

/// What a task waits for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WaitsFor {
    /// The ends of all these tasks.
    All {
        /// The first of them.
        first: Vec<TaskId>,
        /// How many there are.
        count: u64,
    },
    /// The end of any of these tasks.
    Any {
        /// The first of them.
        first: Vec<TaskId>,
        /// How many there are.
        count: u64,
    },
    /// Room in a queue.
    Room(QueueId),
    /// An item of a queue.
    Item(QueueId),
    /// Its turn: the ends of all these tasks, before which it does not begin.
    Turn {
        /// The first of them.
        first: Vec<TaskId>,
        /// How many there are.
        count: u64,
    },
    /// A moment: it sleeps.
    Time {
        /// Until then.
        until: super::Timestamp,
    },
    /// An object to be at its place outside.
    Object(String),
}

/// A [`RunEvent`] with its number and its time.
#[derive(Clone, Debug, PartialEq)]
pub struct Observation {
    /// The run's events are numbered 1, 2, 3, ...; a recovery that applies them again gives them the same numbers.
    pub number: u64,
    /// When it took effect.
    pub at: super::Timestamp,
    /// What happened.
    pub event: RunEvent,
}

impl Wait {
    /// As those who watch are told.
    pub(super) fn observed(&self) -> WaitsFor {
        let first = |tasks: &[TaskId]| tasks.iter().take(NAMED_IN_WAIT).copied().collect();
        match self {
            Wait::All { tasks, .. } => WaitsFor::All {
                first: first(tasks),
                count: tasks.len() as u64,
            },
            Wait::Any { tasks } => WaitsFor::Any {
                first: first(tasks),
                count: tasks.len() as u64,
            },
            Wait::Enqueue { queue, .. } => WaitsFor::Room(*queue),
            Wait::Dequeue { queue, .. } => WaitsFor::Item(*queue),
            Wait::Sleep { until } => WaitsFor::Time { until: *until },
            Wait::Publish { url, .. } => WaitsFor::Object(url.clone()),
            Wait::After { tasks, .. } => WaitsFor::Turn {
                first: first(tasks),
                count: tasks.len() as u64,
            },
        }
    }
}

/// The name by which those who watch know a call.
pub(super) fn name_of(call: &Call) -> Cow<'static, str> {
    Cow::Borrowed(match call {
        Call::Checkpoint => "checkpoint",
        Call::Spawn(_) => "spawn",
        Call::WaitAll(_) | Call::WaitAny(_) => "wait",
        Call::CreateQueue(_) => "queue",
        Call::Enqueue(..) => "enqueue",
        Call::Dequeue(_) => "dequeue",
        Call::Close(_) => "close",
        Call::Cancel(_) => "cancel",
        Call::Sleep(_) => "sleep",
        Call::PutObject { .. } => "put_object",
        Call::Exit(_) => "exit",
    })
}

/// What happened in a run so far, in numbers. They go on counting after a recovery.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RunStats {
    /// Tasks created.
    pub tasks: u64,
    /// Tasks that ended without a result, cancelled ones included.
    pub tasks_failed: u64,
    /// Invocations handed to the platform.
    pub invocations: u64,
    /// Invocations killed from outside.
    pub killed: u64,
    /// Invocations taken by the time limit.
    pub timed_out: u64,
    /// Invocations taken by the memory limit.
    pub out_of_memory: u64,
    /// Invocations that broke by themselves.
    pub crashed: u64,
    /// Invocations for which the platform had no room.
    pub throttled: u64,
    /// Invocations that were sent away because their task had to wait.
    pub suspended: u64,
    /// Invocations that were not their task's first: they went on from a checkpoint, or began again.
    pub resumed: u64,
    /// Committed calls, each of which is a checkpoint.
    pub checkpoints: u64,
    /// Sum of the lengths of their continuations, in bytes.
    pub checkpoint_bytes: u64,
    /// How many times the coordinator came back.
    pub recoveries: u64,
    /// Invocations whose worker could not reach the coordinator, so that its call came with its end.
    pub unlinked: u64,
    /// Calls for whose answers nobody waited, and which were committed together with a later one.
    pub deferred: u64,
    /// Checkpoints that came too late, because a later call of the same task had been committed.
    pub superseded: u64,
    /// How many times a task slept.
    pub sleeps: u64,
    /// Objects put to external places.
    pub published: u64,
    /// Tasks cancelled by other tasks; they count as failed too.
    pub cancelled: u64,
    /// How many times a failed task was begun again.
    pub begun_again: u64,
    /// Time, memory and operations of what has ended.
    pub used: Totals,
    /// Invocations that left because the store could not be reached.
    pub store_away: u64,
}

impl RunStats {
    pub(super) fn count(&mut self, outcome: &InvocationOutcome) {
        match outcome {
            InvocationOutcome::Returned
            | InvocationOutcome::Unstartable(_)
            | InvocationOutcome::WrongProgram(_)
            | InvocationOutcome::NeedsRepair(_) => {}
            InvocationOutcome::Crashed(_) => self.crashed += 1,
            InvocationOutcome::Killed(_) => self.killed += 1,
            InvocationOutcome::TimedOut => self.timed_out += 1,
            InvocationOutcome::OutOfMemory(_) => self.out_of_memory += 1,
            InvocationOutcome::Throttled(_) => self.throttled += 1,
            InvocationOutcome::Unlinked(_) => self.unlinked += 1,
            InvocationOutcome::StoreAway(_) => self.store_away += 1,
        }
    }
}
