//! Errors that cross tasks: [`Error`] for the bodies of tasks, [`TaskError`] for those who wait for them.

use crate::ids::TaskId;
use crate::store::StoreError;
use serde::{Deserialize, Serialize};

/// Any error, with its chain of causes; what `?` makes of the errors in a task's body.
pub type Error = anyhow::Error;

/// The usual result of a task function.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a task has no result. It can be stored, sent, and handled by whoever waits for the task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{task} ({function}) {kind}")]
pub struct TaskError {
    /// The task that failed.
    pub task: TaskId,
    /// Its function's full name.
    pub function: String,
    /// What happened.
    pub kind: Failure,
    /// The tasks whose failures led to this one, nearest first: it returned the error of the first, which had returned the error of the second, and
    /// so on. The last is where it began. At most [`TaskError::LONGEST_TRACE`].
    pub trace: Vec<Culprit>,
}

/// A task whose failure made another one fail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Culprit {
    /// The task.
    pub task: TaskId,
    /// Its function's full name.
    pub function: String,
}

impl TaskError {
    /// How many tasks a trace holds at most.
    pub const LONGEST_TRACE: usize = 64;

    /// An error that no other task's is the cause of.
    pub fn new(task: TaskId, function: impl Into<String>, kind: Failure) -> Self {
        TaskError {
            task,
            function: function.into(),
            kind,
            trace: Vec::new(),
        }
    }

    /// The trace of a task that fails because of this error.
    pub(crate) fn passed_on(&self) -> Vec<Culprit> {
        let this = Culprit {
            task: self.task,
            function: self.function.clone(),
        };
        let before = self.trace.iter().take(Self::LONGEST_TRACE - 1).cloned();
        std::iter::once(this).chain(before).collect()
    }
}

/// Why a task fails, while its error is still being made: what happened, and the trace of other tasks' failures that led to it.
#[doc(hidden)]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failed {
    /// What happened.
    pub kind: Failure,
    /// As in [`TaskError::trace`].
    pub trace: Vec<Culprit>,
    /// It does not fail after all, since the cause is outside of the program and can be mended: what.
    pub needs_repair: Option<String>,
}

/// Says that something outside of the program has to be mended before a task can go on, such as a full disk. A task that returns it, or an error
/// that it is a cause of, does not fail: the run stops, and whoever has mended that can resume it.
///
/// A disk that is full, and a quota that is used up, mean the same without this, if the `std::io::Error` is among the causes.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub struct NeedsRepair(pub String);

/// What has to be mended before anybody can go on, if that is why there is this error.
fn needs_repair(error: &Error) -> Option<String> {
    let concerns = |cause: &(dyn std::error::Error + 'static)| {
        let is_full = |cause: &std::io::Error| {
            matches!(
                cause.kind(),
                std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded
            )
        };
        cause.is::<NeedsRepair>()
            || cause.downcast_ref::<StoreError>().is_some_and(StoreError::needs_repair)
            || cause.downcast_ref().is_some_and(is_full)
    };
    error.chain().any(concerns).then(|| format!("{error:#}"))
}

impl From<Failure> for Failed {
    fn from(kind: Failure) -> Self {
        Failed {
            kind,
            trace: Vec::new(),
            needs_repair: None,
        }
    }
}

impl From<Error> for Failed {
    /// An error that a task's body returned: its message with all causes, and the trace if one of them is another task's error.
    fn from(error: Error) -> Self {
        let of_another = error.chain().find_map(|cause| cause.downcast_ref::<TaskError>());
        Failed {
            trace: of_another.map(TaskError::passed_on).unwrap_or_default(),
            needs_repair: needs_repair(&error),
            kind: Failure::Returned(format!("{error:#}")),
        }
    }
}

/// The ways in which a task fails for good.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Failure {
    /// It returned `Err`: the error's message and its causes, outermost first. The trace of failed children is part of the message.
    #[error("failed: {0}")]
    Returned(String),
    /// It panicked or aborted, again and again without progress in between.
    #[error("crashed {attempts} times without progress; the last time: {last}")]
    Crashed {
        /// How many times.
        attempts: u32,
        /// What the platform saw last.
        last: String,
    },
    /// Its time limit ran out, again and again without progress in between.
    #[error(
        "ran out of time {attempts} times without a checkpoint in between (limit {limit_ms} ms); put a checkpoint into the long part, or raise the limit"
    )]
    OutOfTime {
        /// How many times.
        attempts: u32,
        /// The limit in milliseconds.
        limit_ms: u64,
    },
    /// Its memory limit was hit, again and again.
    #[error("ran out of memory {attempts} times without progress: {last}")]
    OutOfMemory {
        /// How many times.
        attempts: u32,
        /// What the platform saw last.
        last: String,
    },
    /// A call made no sense to the coordinator.
    #[error("made a call that was refused: {0}")]
    Refused(String),
    /// Its continuation or a message could not be stored, read or decoded: changed code, a value that cannot be serialised.
    #[error("cannot be continued: {0}")]
    Unusable(String),
    /// It can never go on: everyone waits. The message names who waits for what.
    #[error("is in a deadlock: {0}")]
    Deadlock(String),
    /// It was to begin after a task that failed, and so never began. The message is that task's error.
    #[error("did not begin, because {0}")]
    Dependency(String),
    /// It was cancelled.
    #[error("was cancelled")]
    Cancelled,
}
