//! One line of the file `events`.

use crate::coordinator::state::RunEvent;
use serde::{Deserialize, Serialize};

/// An event as it is written: `{"n":7,"at":1764000000000000,"event":"checkpoint","task":3,...}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Line {
    /// The event's number in the run.
    pub n: u64,
    /// When: microseconds since 1970.
    pub at: u64,
    /// What happened.
    #[serde(flatten)]
    pub event: RunEvent,
    /// What this invocation did that was not written, since its last line.
    #[serde(default, skip_serializing_if = "Skipped::is_nothing")]
    pub skipped: Skipped,
}

/// The sums of what was left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skipped {
    /// Checkpoints.
    pub checkpoints: u64,
    /// The sum of their lengths in bytes.
    pub bytes: u64,
    /// Those of them that did not fit a message and went to the store.
    pub stored: u64,
    /// Waits.
    pub waits: u64,
    /// How long they were, in microseconds.
    pub waited: u64,
}

impl Skipped {
    /// Whether nothing was left out.
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }
}

impl Line {
    /// The line, with its end.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = serde_json::to_vec(self).unwrap_or_default();
        bytes.push(b'\n');
        bytes
    }

    /// Reads a line; `None` if it is damaged, or torn, or from a later version that knows more events.
    pub fn parse(line: &[u8]) -> Option<Self> {
        serde_json::from_slice(line).ok()
    }
}
