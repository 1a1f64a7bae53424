//! What a plan fragment is made of beside DataFusion's own nodes, and how it becomes bytes.
//!
//! * [`ShuffleReaderExec`]: the leaf that reads what another stage wrote, through a [`ShuffleSource`].
//! * [`codec`]: fragments, stages and stage graphs to bytes and back.

pub mod codec;
mod converter;
mod equivalences;
pub(crate) mod filtered;
pub(crate) mod meaning;
mod nodes;
#[cfg(test)]
mod sabotage;
pub(crate) mod scans;
mod shuffle_reader;
mod shuffle_source;
mod text_scan;
pub(crate) mod windows;
mod wire;

pub use equivalences::Equivalences;
pub use shuffle_reader::ShuffleReaderExec;
pub use shuffle_source::{Bucket, Shuffle, ShuffleSource};
pub(crate) use text_scan::TextScan;
