//! How objects are kept where bytes may change: in blocks, each with a checksum.
//!
//! Guarantees that [`Store::get`](super::Store::get) and [`Store::get_ranges`](super::Store::get_ranges) give what
//! [`Store::put`](super::Store::put) was given, or [`StoreError::Damaged`]: whatever bytes of an object are changed, missing, added, or another
//! object's. A range is verified without reading more than the blocks in which it begins and ends.
//!
//! ```text
//! 4096 bytes of content | seal | 4096 bytes of content | seal | .. | the rest, 0 to 4096 bytes | seal
//!
//! seal: mark (4 bytes), length of the whole content (u64), CRC-32 of: key, length, number of the block, content of the block
//! ```
//!
//! Numbers are little-endian. Each seal has the length, so that one read of any block tells how long the object is.

use super::StoreError;
use bytes::{Bytes, BytesMut};
use crc32fast::Hasher;
use std::ops::Range;

/// Bytes of content in each block but the last. Ranges are read in whole blocks, so they are short.
const BLOCK: u64 = 4096;

/// Bytes of a seal.
const SEAL: u64 = 16;

/// What each seal begins with; it names the version of this format.
const MARK: [u8; 4] = *b"KAP1";

/// How often an object is read that does not come as it was written: the transport may be to blame.
const READINGS: u32 = 2;

/// By how many bytes what is stored is longer than the content.
pub(super) fn overhead(length: u64) -> u64 {
    blocks(length) * SEAL
}

/// So many blocks hold so many bytes.
fn blocks(length: u64) -> u64 {
    length.div_ceil(BLOCK).max(1)
}

/// What the checksums of an object begin with.
fn hasher(key: &str, length: u64) -> Hasher {
    let mut hasher = Hasher::new();
    hasher.update(key.as_bytes());
    hasher.update(&length.to_le_bytes());
    hasher
}

fn checksum(mut of_object: Hasher, number: u64, content: &[u8]) -> u32 {
    of_object.update(&number.to_le_bytes());
    of_object.update(content);
    of_object.finalize()
}

/// What is stored for this content.
pub(super) fn seal(key: &str, content: &[u8]) -> Bytes {
    let length = content.len() as u64;
    let of_object = hasher(key, length);
    let mut stored = Vec::with_capacity(content.len() + overhead(length) as usize);
    for number in 0..blocks(length) {
        let start = (number * BLOCK) as usize;
        let block = &content[start..content.len().min(start + BLOCK as usize)];
        stored.extend_from_slice(block);
        stored.extend_from_slice(&MARK);
        stored.extend_from_slice(&length.to_le_bytes());
        stored.extend_from_slice(&checksum(of_object.clone(), number, block).to_le_bytes());
    }
    stored.into()
}

/// Consecutive blocks that were verified.
#[derive(Debug)]
struct Verified {
    content: Bytes,
    /// Of the whole object.
    length: u64,
}

/// Verifies blocks, of which the first has this number, and gives their content.
fn unseal(key: &str, first: u64, stored: Bytes) -> Result<Verified, String> {
    let mut known: Option<(u64, Hasher)> = None;
    for (block, number) in stored.chunks((BLOCK + SEAL) as usize).zip(first..) {
        let wrong = |what: &str| Err(format!("its block {number} {what}"));
        let Some((content, seal)) = block.split_last_chunk::<{ SEAL as usize }>() else {
            return wrong("is cut off");
        };
        let (mark, numbers) = seal.split_at(MARK.len());
        let (length, sum) = numbers.split_at(size_of::<u64>());
        // Both have the lengths of the numbers that they are made into, so neither is replaced by zero.
        let length = u64::from_le_bytes(length.try_into().unwrap_or_default());
        let sum = u32::from_le_bytes(sum.try_into().unwrap_or_default());
        let of_object = match &known {
            Some((expected, _)) if *expected != length => return wrong("is of an object of another length"),
            Some((_, of_object)) => of_object.clone(),
            None => {
                let of_object = hasher(key, length);
                known = Some((length, of_object.clone()));
                of_object
            }
        };
        if mark != MARK || checksum(of_object, number, content) != sum {
            return wrong("does not fit its checksum");
        }
        let belongs = length.saturating_sub(number * BLOCK).min(BLOCK);
        if content.len() as u64 != belongs || number >= blocks(length) {
            return wrong("is followed by what does not belong to it");
        }
    }
    let Some((length, _)) = known else {
        return Err("nothing is left of it".to_string());
    };
    Ok(Verified {
        content: without_seals(stored),
        length,
    })
}

/// The content of verified blocks, in the same memory if nobody else has it.
fn without_seals(stored: Bytes) -> Bytes {
    let sealed = (BLOCK + SEAL) as usize;
    if stored.len() <= sealed {
        return stored.slice(..stored.len() - SEAL as usize);
    }
    let mut content = stored
        .try_into_mut()
        .unwrap_or_else(|shared| BytesMut::from(&shared[..]));
    let (mut to, mut from) = (0, 0);
    while from < content.len() {
        let end = content.len().min(from + sealed);
        let block = from..end - SEAL as usize;
        let length = block.len();
        content.copy_within(block, to);
        to += length;
        from = end;
    }
    content.truncate(to);
    content.freeze()
}

/// Reads a whole object. `read` gives what is stored of it. Errors call the store by `name`.
pub(super) async fn get<F>(name: &str, key: &str, read: impl Fn() -> F) -> Result<Bytes, StoreError>
where
    F: Future<Output = Result<Bytes, StoreError>>,
{
    let mut readings = 1;
    loop {
        let stored = read().await?;
        let whole = unseal(key, 0, stored).and_then(|Verified { content, length }| match content.len() as u64 {
            there if there == length => Ok(content),
            there => Err(format!("of its {length} bytes only {there} are there")),
        });
        match whole {
            Ok(content) => return Ok(content),
            Err(_) if readings < READINGS => readings += 1,
            Err(cause) => return Err(damaged(name, key, cause)),
        }
    }
}

/// Reads ranges of an object's content, in the order asked. `read` gives ranges of what is stored, each as far as there is something.
pub(super) async fn get_ranges<F>(
    name: &str,
    key: &str,
    ranges: &[Range<u64>],
    read: impl Fn(Vec<Range<u64>>) -> F,
) -> Result<Vec<Bytes>, StoreError>
where
    F: Future<Output = Result<Vec<Bytes>, StoreError>>,
{
    let mut readings = 1;
    loop {
        match verified_ranges(key, ranges, &read).await? {
            Ok(Ok(parts)) => return Ok(parts),
            Ok(Err(Range { start, end })) => {
                return Err(StoreError::OutOfRange {
                    store: name.to_string(),
                    key: key.to_string(),
                    start,
                    end,
                });
            }
            Err(_) if readings < READINGS => readings += 1,
            Err(cause) => return Err(damaged(name, key, cause)),
        }
    }
}

fn damaged(name: &str, key: &str, cause: String) -> StoreError {
    StoreError::Damaged {
        store: name.to_string(),
        key: key.to_string(),
        cause,
    }
}

/// The ranges' bytes; or which of them is not there; or what is damaged.
type Ranges = Result<Result<Vec<Bytes>, Range<u64>>, String>;

async fn verified_ranges<F>(
    key: &str,
    ranges: &[Range<u64>],
    read: &impl Fn(Vec<Range<u64>>) -> F,
) -> Result<Ranges, StoreError>
where
    F: Future<Output = Result<Vec<Bytes>, StoreError>>,
{
    let wanted = ranges.iter().map(|range| stored_range(&covering(range)));
    let stored = read(wanted.collect()).await?;
    let mut parts = Vec::with_capacity(ranges.len());
    for (range, stored) in ranges.iter().zip(stored) {
        if range.start > range.end {
            return Ok(Ok(Err(range.clone())));
        }
        let blocks = covering(range);
        let verified = match stored.is_empty() {
            false => unseal(key, blocks.start, stored).map(Some),
            true => Ok(None),
        };
        let (content, length) = match verified {
            Ok(Some(Verified { content, length })) => (content, length),
            Err(cause) => return Ok(Err(cause)),
            // Nothing is there: how long the object is, its first block says.
            Ok(None) => {
                let first = read(vec![stored_range(&(0..1))]).await?;
                match unseal(key, 0, first.into_iter().next().unwrap_or_default()) {
                    Ok(Verified { length, .. }) => (Bytes::new(), length),
                    Err(cause) => return Ok(Err(cause)),
                }
            }
        };
        if range.end > length {
            return Ok(Ok(Err(range.clone())));
        }
        // The blocks that cover a range start before it; their content is in memory, so all of this fits `usize`.
        let from = (range.start - blocks.start * BLOCK) as usize;
        let to = (range.end - blocks.start * BLOCK) as usize;
        if to > content.len() {
            return Ok(Err(format!("it ends before byte {} of {length}", range.end)));
        }
        parts.push(content.slice(from..to));
    }
    Ok(Ok(Ok(parts)))
}

/// The blocks in which a range is; of an empty one, that before it, if there is one.
fn covering(range: &Range<u64>) -> Range<u64> {
    let last = range.end.max(range.start).saturating_sub(1) / BLOCK;
    (range.start / BLOCK).min(last)..last + 1
}

/// Where blocks are in what is stored.
fn stored_range(blocks: &Range<u64>) -> Range<u64> {
    let at = |number: u64| number.saturating_mul(BLOCK + SEAL);
    at(blocks.start)..at(blocks.end)
}

#[cfg(test)]
mod tests;
