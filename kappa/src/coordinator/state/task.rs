//! What is known of one task.

use crate::ids::{Incarnation, QueueId, Sequence, TaskId};
use crate::protocol::{Call, Payload, Request, Retry, TaskResult, TaskSpec};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

/// One task, from its spawning to the end of the run.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Task {
    pub(super) function: String,
    /// Who spawned it.
    pub(super) parent: Option<TaskId>,
    /// What it has spawned and nobody has cancelled: ranges of task numbers, without their ends. Numbers of one call are consecutive.
    pub(super) children: Vec<(u64, u64)>,
    /// What few tasks have.
    pub(super) special: Option<Box<Special>>,
    pub(super) position: Position,
    pub(super) phase: Phase,
    /// Number of the last committed call; 0 before the first.
    pub(super) last: Sequence,
    /// The invocation that made it.
    pub(super) last_by: Incarnation,
    /// The number that its next invocation will have.
    pub(super) next_incarnation: Incarnation,
    /// Whether it has had an invocation.
    pub(super) was_invoked: bool,
    pub(super) attempts: Attempts,
    /// The tasks that wait for this one's end.
    pub(super) waiters: BTreeSet<TaskId>,
}

/// What was said about a task when it was spawned.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Special {
    pub(super) name: Option<String>,
    pub(super) time_limit: Option<Duration>,
    pub(super) on_coordinator: bool,
    pub(super) retrying: Option<Retrying>,
}

/// A task that is begun again when it fails.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Retrying {
    pub(super) policy: Retry,
    /// How many attempts have failed.
    pub(super) failed: u32,
    /// Its arguments, kept as long as there may be another attempt.
    pub(super) arguments: Payload,
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
    Enqueue {
        queue: QueueId,
        /// Its place among those who wait there.
        place: u64,
        rest: VecDeque<Payload>,
    },
    /// An item.
    Dequeue { queue: QueueId, place: u64 },
    /// This moment.
    Sleep { until: super::Timestamp },
    /// An object to be at its place.
    Publish { url: String, content: Payload },
    /// Its turn: it has not begun, and so many distinct ones of these tasks have not ended.
    After { tasks: Vec<TaskId>, remaining: usize },
}

/// Failures since the last progress.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Attempts {
    pub(super) crashed: u32,
    pub(super) out_of_memory: u32,
    pub(super) timed_out: u32,
    pub(super) killed: u32,
    pub(super) throttled: u32,
    pub(super) store_away: u32,
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
    pub(super) fn new(spec: TaskSpec, parent: Option<TaskId>, first: Incarnation) -> Self {
        let options = spec.options;
        let retrying = options.retry.filter(|retry| retry.attempts > 1).map(|policy| Retrying {
            policy,
            failed: 0,
            arguments: spec.arguments.clone(),
        });
        let is_special =
            options.name.is_some() || options.time_limit.is_some() || options.on_coordinator || retrying.is_some();
        let special = is_special.then(|| {
            Box::new(Special {
                name: options.name,
                time_limit: options.time_limit,
                on_coordinator: options.on_coordinator,
                retrying,
            })
        });
        Task {
            function: spec.function,
            parent,
            children: Vec::new(),
            special,
            position: Position::Beginning(spec.arguments),
            phase: Phase::Ready,
            last: 0,
            last_by: 0,
            next_incarnation: first,
            was_invoked: false,
            attempts: Attempts::default(),
            waiters: BTreeSet::new(),
        }
    }

    /// Whether this invocation is entitled to speak for the task.
    pub(super) fn is_current(&self, incarnation: Incarnation) -> bool {
        self.phase.current() == Some(incarnation)
    }

    /// Whether the request is a checkpoint that comes too late: a later call of the same invocation has been committed.
    pub(super) fn has_superseded(&self, request: &Request) -> bool {
        request.sequence < self.last && request.incarnation == self.last_by && matches!(request.call, Call::Checkpoint)
    }

    /// Tasks of these numbers are its children.
    pub(super) fn adopt(&mut self, first: u64, end: u64) {
        match self.children.last_mut() {
            Some((_, last)) if *last == first => *last = end,
            _ if first < end => self.children.push((first, end)),
            _ => {}
        }
    }

    pub(super) fn name(&self) -> Option<&str> {
        self.special.as_ref()?.name.as_deref()
    }

    pub(super) fn retrying(&self) -> Option<&Retrying> {
        self.special.as_ref()?.retrying.as_ref()
    }

    /// Puts the task to another place, and gives the objects that only the old one needed.
    pub(super) fn move_to(&mut self, position: Position) -> impl Iterator<Item = Payload> + use<> {
        let old = std::mem::replace(&mut self.position, position);
        let is_kept = matches!(old, Position::Beginning(_)) && self.retrying().is_some();
        old.into_payloads().filter(move |_| !is_kept)
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
    fn into_payloads(self) -> impl Iterator<Item = Payload> {
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
