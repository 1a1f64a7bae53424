//! Identifiers: small, copyable, ordered, and the same on the wire, in the journal and in messages.

use serde::{Deserialize, Serialize};
use std::fmt;
use uuid::Uuid;

/// One execution of a program: a tree of tasks. Sorts by the time of its start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RunId(Uuid);

impl RunId {
    /// A new id, unique everywhere.
    pub fn generate() -> Self {
        RunId(Uuid::now_v7())
    }

    /// Reads the form that [`fmt::Display`] writes.
    pub fn parse(text: &str) -> Option<Self> {
        Uuid::try_parse(text).ok().map(RunId)
    }

    /// First segments of the keys of the objects that the run itself needs while it goes on. They are deleted at its end.
    pub fn objects(self) -> String {
        format!("runs/{self}")
    }

    /// First segments for the keys of objects that a program leaves as the run's result. They stay at its end, and are deleted when the run is
    /// removed.
    pub fn results(self) -> String {
        format!("results/{self}")
    }

    /// When it was generated: microseconds since 1970, to the millisecond. The id itself says so.
    pub fn generated_at(self) -> u64 {
        let (seconds, nanoseconds) = self.0.get_timestamp().map_or((0, 0), |time| time.to_unix());
        seconds
            .saturating_mul(1_000_000)
            .saturating_add(u64::from(nanoseconds) / 1000)
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_simple().fmt(f)
    }
}

/// One logical thread of control within a run; numbered in the order of spawning, the run's first task is 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TaskId(pub u64);

impl TaskId {
    /// The task that a run starts with.
    pub const ROOT: TaskId = TaskId(0);
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "task {}", self.0)
    }
}

/// One FIFO queue within a run; numbered in the order of creation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct QueueId(pub u64);

impl fmt::Display for QueueId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "queue {}", self.0)
    }
}

/// The number of a task's invocation: 0, 1, 2, ... Requests of any but the current one are fenced. After the coordinator was gone the numbers go on further up,
/// above all that may have been given before: a journal that lost its end does not know the latest ones.
pub type Incarnation = u64;

/// The number of a call within its task: 1, 2, 3, ... over all incarnations; 0 stands for the task's start.
pub type Sequence = u64;
