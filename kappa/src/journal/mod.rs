//! The durable record of everything the coordinator decided.

#[cfg(test)]
mod conformance;
pub mod file;
pub mod memory;
mod records;
pub(crate) mod redis;

pub use file::{Durability, FileJournal};
pub use memory::MemoryJournal;

use async_trait::async_trait;

/// An append-only record of one run, with a snapshot that stands for everything before it.
///
/// The driver appends each batch of events *before* any of their actions is performed (group commit).
#[async_trait]
pub trait Journal: Send + Sync {
    /// Appends records in order, all or none; when it returns they survive the death of this process
    /// (and, where the journal was opened so, of the machine).
    async fn append(&self, records: Vec<Vec<u8>>) -> Result<(), JournalError>;

    /// Replaces everything appended so far by a snapshot, atomically.
    async fn snapshot(&self, snapshot: Vec<u8>) -> Result<(), JournalError>;

    /// The latest snapshot, and the records appended since, in order.
    async fn load(&self) -> Result<(Option<Vec<u8>>, Vec<Vec<u8>>), JournalError>;

    /// True if `append` neither blocks nor waits, so that the driver may complete a call without changing threads.
    fn is_immediate(&self) -> bool {
        false
    }

    /// True if `append` may block the thread that polls it (a file); false if it only waits (a network). Of no interest if it is immediate.
    fn is_blocking(&self) -> bool {
        true
    }

    /// The runtime on which `append` does its work, if it has one of its own: whoever appends from there changes no threads for it. Of no interest if it blocks.
    fn runtime(&self) -> Option<tokio::runtime::Handle> {
        None
    }

    /// Makes everything that was appended so far survive the death of the machine, if it does not already.
    async fn sync(&self) -> Result<(), JournalError>;

    /// Whether the death of the machine can take what was appended last. (No default: a journal that has such a limit, or the next, must not forget to say so.)
    fn may_lose_its_end(&self) -> bool;

    /// No snapshot, and no single record, is longer than this many bytes.
    fn longest_snapshot(&self) -> usize;

    /// Below this many bytes of records a snapshot in their place is not worth it.
    fn snapshot_floor(&self) -> usize {
        4 << 20
    }
}

/// Why a journal could not do what was asked.
#[derive(Clone, Debug, thiserror::Error)]
pub enum JournalError {
    /// Another coordinator has it open.
    #[error("journal {place} is in use by another process; wait for it, or end it")]
    InUse {
        /// Where the journal lies.
        place: String,
    },
    /// Nothing there.
    #[error("no journal at {place}: nothing to resume")]
    NotFound {
        /// Where it was looked for.
        place: String,
    },
    /// The place failed: full, forbidden, damaged.
    #[error("journal {place}: cannot {action}: {cause}")]
    Unavailable {
        /// Where the journal lies.
        place: String,
        /// What was tried.
        action: String,
        /// What the system said.
        cause: String,
    },
}
