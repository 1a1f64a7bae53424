//! Errors that cross tasks: [`Error`] for the bodies of tasks, [`TaskError`] for those who wait for them.

use crate::ids::TaskId;
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
    /// It was cancelled.
    #[error("was cancelled")]
    Cancelled,
}
