//! Where bytes are kept: checkpoints that do not fit a message, shuffle data, large values.
//!
//! A key is written once. Whoever holds a key may read it from anywhere; nobody lists.
//!
//! [`open()`] makes a store of its URL: [`Memory`] (`memory:`), [`FileStore`] (`file:DIR`), [`RedisStore`] (`redis://HOST[,HOST2..]`) or
//! `S3Store` (`s3://BUCKET[/PREFIX]`, with the feature `aws`). A new backend is done when [`conformance`] passes on it.

pub mod conformance;
pub mod counted;
mod file;
pub mod key;
mod memory;
mod open;
mod redis;
#[cfg(feature = "aws")]
pub(crate) mod s3;
mod sealed;
mod temporary;

pub use counted::Counted;
pub use file::FileStore;
pub use memory::Memory;
pub use open::open;
pub use redis::RedisStore;
#[cfg(feature = "aws")]
pub use s3::{S3Access, S3Credentials, S3Place, S3Store};
pub use temporary::Temporary;

use async_trait::async_trait;
use bytes::Bytes;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

/// A place for objects that are written once, read often and deleted once. Keys are `/`-separated segments of `[A-Za-z0-9._-]`.
///
/// What `put` was given, `get` and `get_ranges` give, or [`StoreError::Damaged`]: a store from which bytes may come that are not those that were
/// written (a disk, a server) has to notice that by itself.
#[async_trait]
pub trait Store: Send + Sync + fmt::Debug {
    /// Writes an object; when it returns, the object is as durable as this store makes anything.
    ///
    /// # Errors
    /// [`StoreError::AlreadyExists`] if there is one under this key already: an object is never replaced.
    async fn put(&self, key: &str, bytes: Bytes) -> Result<(), StoreError>;

    /// Reads a whole object.
    async fn get(&self, key: &str) -> Result<Bytes, StoreError>;

    /// Reads several byte ranges of one object, in the order asked.
    async fn get_ranges(&self, key: &str, ranges: &[Range<u64>]) -> Result<Vec<Bytes>, StoreError>;

    /// Deletes an object; one that is not there counts as deleted.
    async fn delete(&self, key: &str) -> Result<(), StoreError>;

    /// Deletes every object whose key starts with the segments of `prefix` (`runs/7` takes `runs/7/x`, not `runs/70`).
    async fn delete_prefix(&self, prefix: &str) -> Result<(), StoreError>;

    /// Whether another process can open the same store by [`Store::url`].
    fn is_shared(&self) -> bool;

    /// The text from which a worker process opens the same store.
    fn url(&self) -> String;

    /// The store that this one only passes on to, if it does nothing but that.
    fn inner(&self) -> Option<&Arc<dyn Store>> {
        None
    }
}

/// Why a store could not do what was asked.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// `put` under a key that is taken.
    #[error("{store}: object {key} exists already and is never replaced")]
    AlreadyExists {
        /// The store's URL.
        store: String,
        /// The key.
        key: String,
    },
    /// No such object.
    #[error("{store}: no object {key}; it was deleted, or the store was emptied while the run was going on")]
    NotFound {
        /// The store's URL.
        store: String,
        /// The key.
        key: String,
    },
    /// A range that reaches past the object's end.
    #[error("{store}: object {key} has no bytes {start}..{end}")]
    OutOfRange {
        /// The store's URL.
        store: String,
        /// The key.
        key: String,
        /// First byte asked for.
        start: u64,
        /// One past the last byte asked for.
        end: u64,
    },
    /// What is there is not what was put there.
    #[error(
        "{store}: object {key} is not what was written there: {cause}; the disk or the server has changed it, or somebody has written there. \
         Bring the object back from a copy of the store, and look after the disk, before anything is read from it again"
    )]
    Damaged {
        /// The store's URL.
        store: String,
        /// The key.
        key: String,
        /// What does not fit.
        cause: String,
    },
    /// An object that is longer than any that this store takes.
    #[error(
        "{store}: object {key} has {length} bytes, and the store takes at most {limit}; split it, or use another store"
    )]
    TooLong {
        /// The store's URL.
        store: String,
        /// The key.
        key: String,
        /// The object's length in bytes.
        length: u64,
        /// The longest that is taken, in bytes.
        limit: u64,
    },
    /// A key or URL that is not well formed.
    #[error("{0}")]
    Invalid(String),
    /// The place itself failed: full, forbidden, gone.
    #[error("{store}: cannot {action}: {cause}")]
    Unavailable {
        /// The store's URL.
        store: String,
        /// What was tried, for example `write runs/7/checkpoints/3`.
        action: String,
        /// What the system said.
        cause: String,
        /// Whether trying again later may help (a full disk and a missing permission do not count).
        retryable: bool,
    },
}

impl StoreError {
    /// Whether trying again later may help.
    pub fn is_retryable(&self) -> bool {
        matches!(self, StoreError::Unavailable { retryable: true, .. })
    }

    /// Whether somebody has to do something about the store before anything that needs it can go on: it is full, read-only, forbidden or gone, or
    /// what it holds is damaged. A program cannot mend that, and is not to blame for it.
    pub fn needs_repair(&self) -> bool {
        match self {
            StoreError::Damaged { .. } => true,
            StoreError::Unavailable { retryable, .. } => !retryable,
            StoreError::AlreadyExists { .. }
            | StoreError::NotFound { .. }
            | StoreError::OutOfRange { .. }
            | StoreError::TooLong { .. }
            | StoreError::Invalid(_) => false,
        }
    }
}
