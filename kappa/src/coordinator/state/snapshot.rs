//! The state and the events as bytes, for the journal.
//!
//! The first byte is the format's version: a journal of another version is refused by name, never misread.

use super::{Event, State, Timestamp};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Goes up with every change of what is written.
const VERSION: u8 = 4;

/// Why bytes of a journal could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RestoreError {
    /// Written by another version of Kappa.
    #[error(
        "written in format {found}, but this program reads format {VERSION}: resume with the program that started the run"
    )]
    Version {
        /// The version found.
        found: u8,
    },
    /// Not what was written.
    #[error("damaged: {0}")]
    Damaged(String),
}

impl State {
    /// The whole state as bytes.
    pub fn snapshot(&self) -> Vec<u8> {
        encode(self)
    }

    /// The state that [`State::snapshot`] wrote.
    ///
    /// # Errors
    /// If the bytes are damaged or of another version.
    pub fn restore(bytes: &[u8]) -> Result<Self, RestoreError> {
        decode(bytes)
    }
}

/// One event, with its time, as bytes.
pub fn encode_record(at: Timestamp, event: &Event) -> Vec<u8> {
    encode(&(at, event))
}

/// What [`encode_record`] wrote.
///
/// # Errors
/// If the bytes are damaged or of another version.
pub fn decode_record(bytes: &[u8]) -> Result<(Timestamp, Event), RestoreError> {
    decode(bytes)
}

fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    // Plain data with known lengths, into memory: postcard has no reason to fail.
    #[expect(clippy::expect_used, reason = "plain data into memory cannot fail")]
    postcard::to_extend(value, vec![VERSION]).expect("plain data can be written into memory")
}

fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, RestoreError> {
    match bytes.split_first() {
        Some((&VERSION, rest)) => postcard::from_bytes(rest).map_err(|e| RestoreError::Damaged(e.to_string())),
        Some((&found, _)) => Err(RestoreError::Version { found }),
        None => Err(RestoreError::Damaged("nothing there".to_string())),
    }
}
