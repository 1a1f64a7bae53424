//! What is known of one task.

use crate::ids::{Incarnation, QueueId, Sequence, TaskId};
use crate::protocol::{Payload, TaskResult};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeSet, VecDeque};

/// One task, from its spawning to the end of the run.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Task {
    pub(super) function: String,
    pub(super) position: Position,
    pub(super) phase: Phase,
    /// Number of the last committed call; 0 before the first.
    pub(super) last: Sequence,
    /// The invocation that made it.
    pub(super) last_by: Incarnation,
    /// The number that its next invocation will have.
    pub(super) next_incarnation: Incarnation,
    pub(super) attempts: Attempts,
    /// The tasks that wait for this one's end.
    pub(super) waiters: BTreeSet<TaskId>,
}

/// Where the task goes on if its invocation is lost now.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Position {
    /// At its beginning, with these arguments.
    Beginning(Payload),
    /// After its last committed call.
    Checkpoint {
        /// The continuation that came with the call.
        continuation: Payload,
        /// What was answered; `None` while the task is blocked. Held until the next call is committed, so that whoever resumes gets the same.
        answer: Option<Recorded>,
    },
    /// Nowhere: it has ended.
    Over,
}

/// An answer as it is kept. Results are kept by their tasks and are only named here.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Recorded {
    Done,
    /// Ids from the first on, so many.
    Spawned(TaskId, u64),
    Results(Vec<TaskId>),
    First(u64, TaskId),
    Queue(QueueId),
    Item(Option<Payload>),
    Refused(String),
}

/// What the task is doing.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Phase {
    /// It could run, and is in the queue for a free slot.
    Ready,
    /// It will be tried again at this time.
    BackOff(super::Timestamp),
    /// This invocation works on it.
    Running(Incarnation),
    /// Its last call is committed but cannot be answered yet.
    Blocked {
        /// For what it waits.
        wait: Wait,
        /// The invocation that made the call and has not been sent away, and the end of its grace.
        holding: Option<(Incarnation, super::Timestamp)>,
    },
    /// It has ended.
    Ended {
        /// With this.
        result: TaskResult,
        /// The invocation that made the last call, until the platform reports its end: it may ask again whether the call was committed.
        leaving: Option<Incarnation>,
    },
}

/// What a blocked task waits for.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Wait {
    /// The ends of all these tasks, of which so many distinct ones are still to come.
    All { tasks: Vec<TaskId>, remaining: usize },
    /// The end of any of these tasks.
    Any { tasks: Vec<TaskId> },
    /// Room for the rest of its items.
    Enqueue { queue: QueueId, rest: VecDeque<Payload> },
    /// An item.
    Dequeue { queue: QueueId },
}

/// Failures since the last progress.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Attempts {
    pub(super) crashed: u32,
    pub(super) out_of_memory: u32,
    pub(super) timed_out: u32,
    pub(super) killed: u32,
    pub(super) throttled: u32,
}

impl Phase {
    /// The invocation that is entitled to speak for the task.
    pub(super) fn current(&self) -> Option<Incarnation> {
        match self {
            Phase::Running(incarnation) => Some(*incarnation),
            Phase::Blocked { holding, .. } => holding.map(|(incarnation, _)| incarnation),
            Phase::Ended { leaving, .. } => *leaving,
            Phase::Ready | Phase::BackOff(_) => None,
        }
    }

    /// Whether the task can go on by itself.
    pub(super) fn is_active(&self) -> bool {
        matches!(self, Phase::Ready | Phase::BackOff(_) | Phase::Running(_))
    }
}

impl Task {
    pub(super) fn new(function: String, arguments: Payload) -> Self {
        Task {
            function,
            position: Position::Beginning(arguments),
            phase: Phase::Ready,
            last: 0,
            last_by: 0,
            next_incarnation: 0,
            attempts: Attempts::default(),
            waiters: BTreeSet::new(),
        }
    }

    pub(super) fn result(&self) -> Option<&TaskResult> {
        match &self.phase {
            Phase::Ended { result, .. } => Some(result),
            _ => None,
        }
    }
}

impl Position {
    /// The objects that only this position needs.
    pub(super) fn into_payloads(self) -> impl Iterator<Item = Payload> {
        let (place, item) = match self {
            Position::Beginning(arguments) => (Some(arguments), None),
            Position::Checkpoint { continuation, answer } => {
                let item = match answer {
                    Some(Recorded::Item(item)) => item,
                    _ => None,
                };
                (Some(continuation), item)
            }
            Position::Over => (None, None),
        };
        place.into_iter().chain(item)
    }
}
