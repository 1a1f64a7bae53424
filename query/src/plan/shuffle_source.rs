//! Where a [`ShuffleReaderExec`](crate::plan::ShuffleReaderExec) gets its data.
//!
//! The plan knows stages and buckets; what a bucket is stored in, it does not. Whoever runs a fragment puts a
//! [`Shuffle`] into the session configuration of the `TaskContext`:
//!
//! ```ignore
//! let config = session.config().with_extension(Arc::new(Shuffle(source)));
//! ```

use std::fmt::Debug;
use std::sync::Arc;

use datafusion::common::Result;
use datafusion::execution::SendableRecordBatchStream;

use crate::stage::StageId;

/// What part of every unit's output is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Bucket {
    /// One hash bucket, counted from zero.
    One(usize),
    /// The whole output: the stage has a single bucket.
    All,
}

/// Reads the shuffle output of closed stages.
pub trait ShuffleSource: Send + Sync + Debug {
    /// One stream for each unit of `stage`, in unit order, also for units that wrote nothing.
    ///
    /// # Errors
    /// If the stage is unknown or not closed, or its output cannot be opened.
    fn read(&self, stage: StageId, bucket: Bucket) -> Result<Vec<SendableRecordBatchStream>>;
}

/// The session configuration extension that holds the [`ShuffleSource`] of a task.
#[derive(Debug, Clone)]
pub struct Shuffle(pub Arc<dyn ShuffleSource>);
