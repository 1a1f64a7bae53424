//! What the state machine hears and what it says.

use super::{RunEvent, Tuning};
use crate::ids::{Incarnation, Sequence, TaskId};
use crate::protocol::{Invocation, InvocationOutcome, Payload, Reply, Request, TaskSpec};
use crate::usage::Spent;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// A moment: microseconds since 1970. Handed in by the driver, so that timers survive the coordinator.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// The moment so much later.
    pub fn after(self, duration: Duration) -> Self {
        let microseconds = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        Timestamp(self.0.saturating_add(microseconds))
    }

    /// How much later this is than `earlier`; nothing if it is not.
    pub fn since(self, earlier: Timestamp) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

/// What the run runs on. It may differ after a recovery.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Environment {
    /// How many invocations may run at once; at least one does.
    pub concurrency: u64,
    /// How long an invocation may run; `None` is without limit.
    pub time_limit: Option<Duration>,
    /// So far above those that the journal knows of, numbers of invocations begin after a recovery. What the journal knows may be less than what was: without
    /// `--sync` a loss of power takes its end, and other lives of the coordinator with it.
    pub incarnations_ahead: Incarnation,
    /// What identifies the build of the coordinator's program; empty if that is not known.
    pub program: String,
}

impl Default for Environment {
    fn default() -> Self {
        Environment {
            concurrency: 1,
            time_limit: None,
            incarnations_ahead: 0,
            program: String::new(),
        }
    }
}

/// What happened. This is what the journal records.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Event {
    /// The run begins, with its first task.
    Started {
        /// The first task.
        root: TaskSpec,
        /// Limits and delays, for the whole of the run.
        tuning: Tuning,
        /// What it runs on.
        environment: Environment,
    },
    /// A worker makes a call.
    Requested(Request),
    /// The platform saw an invocation end. Reported exactly once for each [`Action::Invoke`], also after [`Action::Kill`].
    InvocationEnded {
        /// The invocation's task.
        task: TaskId,
        /// The invocation's number.
        incarnation: Incarnation,
        /// How it ended.
        outcome: InvocationOutcome,
        /// What it used, and what the coordinator did meanwhile.
        spent: Spent,
    },
    /// Time has passed; due timers are served.
    Ticked,
    /// The coordinator was gone and is back. Whatever was running is fenced and started anew.
    Recovered(Environment),
    /// The user cancels the run.
    Cancelled,
    /// An [`Action::Publish`] has been performed.
    Published {
        /// The task that waits for it.
        task: TaskId,
        /// Its call.
        sequence: Sequence,
        /// Why there is no object at that place, if there is none.
        outcome: Result<(), String>,
    },
    /// The run's result has been brought where it stays: it is given here inline, or under a key of the run's results.
    ResultCollected(Payload),
    /// The coordinator asks the journal whether the run is still its own. If this is recorded, it is; nothing changes.
    Confirmed,
}

/// Why nothing can be done for a run before somebody resumes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Halt {
    /// This program is not the one that can go on with it: what does not fit.
    WrongProgram(String),
    /// Something outside of the program has to be mended before: what.
    NeedsRepair(String),
}

/// What is to be done, once the event that led to it is recorded.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Start an invocation.
    Invoke {
        /// The work order.
        invocation: Invocation,
        /// On the coordinator's own machine, whatever the platform is.
        on_coordinator: bool,
    },
    /// Copy an object to an external place, and then report [`Event::Published`]. Asked again after a recovery if it has not been reported.
    Publish {
        /// The task that waits for it.
        task: TaskId,
        /// Its call.
        sequence: Sequence,
        /// The place.
        url: String,
        /// The object.
        content: Payload,
    },
    /// Take away what earlier lives of the coordinator have begun of an object that nobody wants any more, and then report [`Event::Published`].
    Forget {
        /// The task that has put it.
        task: TaskId,
        /// Its call.
        sequence: Sequence,
        /// The place.
        url: String,
    },
    /// Answer a request.
    Reply {
        /// Who asked.
        task: TaskId,
        /// In which invocation.
        incarnation: Incarnation,
        /// By which call.
        sequence: Sequence,
        /// The answer.
        reply: Reply,
    },
    /// End an invocation by force.
    Kill {
        /// The invocation's task.
        task: TaskId,
        /// The invocation's number.
        incarnation: Incarnation,
    },
    /// Delete this object of the store.
    Delete {
        /// Its key.
        key: String,
        /// Its length in bytes.
        length: u64,
    },
    /// Tell whoever watches.
    Observed(RunEvent),
    /// Stop working on the run, which has not ended.
    Halt {
        /// The task that nobody can go on with here and now.
        task: TaskId,
        /// Why.
        cause: Halt,
    },
    /// Stop working on the run, because its state cannot be: a fault of Kappa's own, which is said here. The event that led to it must not be recorded.
    Broken(String),
    /// The run has ended: collect its result, then delete all its objects.
    Ended,
}
