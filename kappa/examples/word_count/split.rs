//! Text files in ranges of bytes, and ranges in chunks of whole words.
//!
//! A word belongs to the range in which it begins: so every word is counted once, wherever the borders are.

use crate::MOST_TASKS;
use kappa::prelude::*;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// Bytes that are read at once.
const CHUNK: u64 = 256 << 10;

/// A part of a file.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Split {
    /// The file.
    pub(crate) file: PathBuf,
    /// Its first byte.
    pub(crate) start: u64,
    /// One past its last byte.
    pub(crate) end: u64,
}

/// Cuts files into ranges of so many bytes.
pub(crate) fn plan(files: &[PathBuf], bytes: u64) -> Result<Vec<Split>> {
    let mut splits = Vec::new();
    for file in files {
        let file = std::path::absolute(file).unwrap_or_else(|_| file.clone());
        let length = std::fs::metadata(&file).and_then(|about| {
            if about.is_file() {
                Ok(about.len())
            } else {
                Err(io::ErrorKind::IsADirectory.into())
            }
        });
        let length = length.map_err(|cause| cannot_read(&file, cause))?;
        let count = length.div_ceil(bytes);
        if splits.len() as u64 + count > u64::from(MOST_TASKS) {
            return Err(Error::msg(format!(
                "splits of {bytes} bytes give more than {MOST_TASKS} map tasks; set a larger `split_bytes`"
            )));
        }
        let starts = (0..count).map(|n| n * bytes);
        splits.extend(starts.map(|start| Split {
            file: file.clone(),
            start,
            end: length.min(start + bytes),
        }));
    }
    Ok(splits)
}

/// The bytes of the words that begin at `position` and after, about a chunk of them, and the position behind; `None` at the split's end.
pub(crate) fn chunk(split: &Split, position: u64) -> Result<Option<(Vec<u8>, u64)>> {
    if position >= split.end {
        return Ok(None);
    }
    read_chunk(split, position)
        .map(Some)
        .map_err(|cause| cannot_read(&split.file, cause))
}

fn read_chunk(split: &Split, position: u64) -> io::Result<(Vec<u8>, u64)> {
    // One byte more in front tells whether a word that began in the split before goes on here.
    let from = position.saturating_sub(1);
    let mut file = BufReader::new(File::open(&split.file)?);
    file.seek(SeekFrom::Start(from))?;
    let mut bytes = Vec::new();
    file.by_ref()
        .take(split.end.min(position + CHUNK) - from)
        .read_to_end(&mut bytes)?;
    // The last word may go on behind the border.
    let mut rest = file.bytes();
    while bytes.last().is_some_and(|byte| !is_space(*byte)) {
        match rest.next() {
            Some(byte) => bytes.push(byte?),
            None => break,
        }
    }
    let next = from + bytes.len() as u64;
    if position > 0 {
        let begun_before = bytes.iter().position(|byte| is_space(*byte)).unwrap_or(bytes.len());
        bytes.drain(..begun_before);
    }
    Ok((bytes, next))
}

/// What separates words: `[:space:]` of the C locale.
pub(crate) fn is_space(byte: u8) -> bool {
    byte == b' ' || (b'\t'..=b'\r').contains(&byte)
}

fn cannot_read(file: &Path, cause: io::Error) -> Error {
    Error::from(cause).context(format!("cannot read {}", file.display()))
}
