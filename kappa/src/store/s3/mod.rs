//! Objects in Amazon S3, or in whatever speaks its language: `s3://BUCKET[/PREFIX][?endpoint=URL]`.
//!
//! Guarantees that an object is there whole or not at all, and that of all who put one under the same key exactly one succeeds: S3 decides that at one
//! moment (`If-None-Match: *`); nobody looks first and writes then. Long objects are written and read in parts, several at once. What a killed writer
//! has uploaded of one goes with the prefix above it, as at the end of every run.
//!
//! An object has checksums in it ([`super::sealed`]). The object `runs/7/x` has the key `PREFIX/runs/7/x=`: some servers keep folders, where the objects `a` and `a/b` would meet.
//!
//! Region, credentials and, unless the URL names it, the endpoint come from [where every AWS tool looks](crate::aws). With an endpoint, the bucket
//! is part of the path and not of the host's name.

mod access;
pub(crate) mod address;
pub(crate) mod bucket;
#[cfg(test)]
mod tests;
pub(crate) mod trouble;
pub(crate) mod upload;

use super::{Store, StoreError, key, sealed};
pub use access::{S3Access, S3Credentials, S3Place};
use address::Address;
use async_trait::async_trait;
use bucket::{Bucket, Part};
use bytes::{Bytes, BytesMut};
use futures::{StreamExt, TryStreamExt, stream};
use std::fmt;
use std::ops::Range;
use trouble::Trouble;

/// How much of an object one request reads.
const PIECE: u64 = 8 << 20;

/// How many requests read one object at once.
const AT_ONCE: usize = 8;

/// No object is as long as this (S3's limit is 50 TB): what is asked for beyond it is not there.
const BEYOND: u64 = 1 << 50;

/// The store `s3:`.
#[derive(Clone)]
pub struct S3Store {
    address: Address,
    bucket: Bucket,
    /// By which URL a worker opens the same place, wherever it runs.
    for_workers: String,
}

impl S3Store {
    /// Opens the store, having looked whether the bucket is there.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] if the URL names no place, [`StoreError::Unavailable`] if it is not there, or not for us.
    pub fn open(url: &str) -> Result<Self, StoreError> {
        let address = Address::parse(url).map_err(StoreError::Invalid)?;
        let bucket = Bucket::of(&address);
        Self::looked(Self::at(address, bucket))
    }

    fn at(address: Address, bucket: Bucket) -> Self {
        S3Store {
            for_workers: address.for_workers(),
            address,
            bucket,
        }
    }

    fn looked(mut store: S3Store) -> Result<Self, StoreError> {
        // A worker is started often, and may find out later.
        if !store.address.is_worker {
            let (bucket, path) = (store.bucket.clone(), store.address.path.clone());
            let looked = bucket::blocking(async move {
                bucket.look(&path).await?;
                bucket.endpoint().await
            });
            let endpoint = looked.map_err(|trouble| store.unavailable("open it".to_string(), trouble))?;
            // The surroundings of a worker elsewhere need not name it.
            let named = Address {
                endpoint,
                ..store.address.clone()
            };
            store.for_workers = named.for_workers();
        }
        Ok(store)
    }

    fn key_of(&self, key: &str) -> String {
        format!("{}=", self.above(key))
    }

    fn above(&self, key: &str) -> String {
        match self.address.path.as_str() {
            "" => key.to_string(),
            path => format!("{path}/{key}"),
        }
    }

    fn unavailable(&self, action: String, trouble: Trouble) -> StoreError {
        let (cause, retryable) = trouble.said();
        StoreError::Unavailable {
            store: self.address.to_string(),
            action,
            cause,
            retryable,
        }
    }

    fn failed(&self, action: &str, key: &str, trouble: Trouble) -> StoreError {
        let (store, name) = (self.address.to_string(), key.to_string());
        match trouble {
            Trouble::Missing => StoreError::NotFound { store, key: name },
            Trouble::Taken => StoreError::AlreadyExists { store, key: name },
            trouble => self.unavailable(format!("{action} {key}"), trouble),
        }
    }

    /// What the bucket has of the object.
    async fn stored(&self, key: &str) -> Result<Bytes, StoreError> {
        let read = self.bucket.there(get(self.bucket.clone(), self.key_of(key)));
        read.await.map_err(|trouble| self.failed("read", key, trouble))
    }

    /// The same for ranges of it, each as far as the object goes.
    async fn stored_ranges(&self, key: &str, ranges: Vec<Range<u64>>) -> Result<Vec<Bytes>, StoreError> {
        let reading = get_ranges(self.bucket.clone(), self.key_of(key), ranges);
        let read = self.bucket.there(reading).await;
        read.map_err(|trouble| self.failed("read", key, trouble))
    }
}

/// A range in pieces, as they are asked for.
fn pieces(range: &Range<u64>) -> impl Iterator<Item = Range<u64>> + use<> {
    let end = range.end;
    let starts = std::iter::successors(Some(range.start), |start| start.checked_add(PIECE));
    let starts = starts.take_while(move |start| *start < end);
    starts.map(move |start| start..end.min(start.saturating_add(PIECE)))
}

/// One after the other, in one piece of memory.
fn joined(mut parts: Vec<Bytes>) -> Bytes {
    match parts.len() {
        0 => Bytes::new(),
        1 => parts.remove(0),
        _ => {
            let mut all = BytesMut::with_capacity(parts.iter().map(Bytes::len).sum());
            parts.iter().for_each(|part| all.extend_from_slice(part));
            all.freeze()
        }
    }
}

async fn get(bucket: Bucket, key: String) -> Result<Bytes, Trouble> {
    let first = match bucket.read(&key, 0, PIECE).await {
        Ok(first) => first,
        // Of an empty object there is no first byte.
        Err(Trouble::OutOfRange) => return Ok(Bytes::new()),
        Err(trouble) => return Err(trouble),
    };
    if first.total <= PIECE {
        return Ok(first.bytes);
    }
    let rest = pieces(&(PIECE..first.total)).map(|piece| bucket.read(&key, piece.start, piece.end));
    let rest: Vec<Part> = stream::iter(rest).buffered(AT_ONCE).try_collect().await?;
    let parts = std::iter::once(first).chain(rest).map(|part| part.bytes).collect();
    Ok(joined(parts))
}

/// The ranges' bytes, each as far as the object goes.
async fn get_ranges(bucket: Bucket, key: String, ranges: Vec<Range<u64>>) -> Result<Vec<Bytes>, Trouble> {
    let is_beyond = |range: &Range<u64>| range.end > BEYOND;
    // Whether the object is there comes with anything that is read, or must be asked for; so must be how far a range without an end goes.
    let end = match ranges.iter().any(is_beyond) || ranges.iter().all(Range::is_empty) {
        true => bucket.head(&key).await?.length,
        false => BEYOND,
    };
    let wanted = ranges.iter().map(|range| range.start..range.end.min(end)).enumerate();
    let wanted: Vec<_> = wanted
        .flat_map(|(index, range)| pieces(&range).map(move |piece| (index, piece)))
        .collect();
    let (bucket, key) = (&bucket, key.as_str());
    let reading = wanted.into_iter().map(|(index, piece)| async move {
        match bucket.read(key, piece.start, piece.end).await {
            Ok(part) => Ok((index, part.bytes)),
            Err(Trouble::OutOfRange) => Ok((index, Bytes::new())),
            Err(trouble) => Err(trouble),
        }
    });
    let mut reading = stream::iter(reading).buffered(AT_ONCE);
    let mut parts = vec![Vec::new(); ranges.len()];
    while let Some((index, bytes)) = reading.try_next().await? {
        parts[index].push(bytes);
    }
    Ok(parts.into_iter().map(joined).collect())
}

#[async_trait]
impl Store for S3Store {
    async fn put(&self, key: &str, bytes: Bytes) -> Result<(), StoreError> {
        key::check(key)?;
        let (bucket, of) = (self.bucket.clone(), self.key_of(key));
        let stored = sealed::seal(key, &bytes);
        let put = self.bucket.there(async move { bucket.put_new(&of, stored).await });
        put.await.map_err(|trouble| self.failed("write", key, trouble))
    }

    async fn get(&self, key: &str) -> Result<Bytes, StoreError> {
        key::check(key)?;
        sealed::get(&self.address.to_string(), key, || self.stored(key)).await
    }

    async fn get_ranges(&self, key: &str, ranges: &[Range<u64>]) -> Result<Vec<Bytes>, StoreError> {
        key::check(key)?;
        let name = self.address.to_string();
        sealed::get_ranges(&name, key, ranges, |ranges| self.stored_ranges(key, ranges)).await
    }

    async fn delete(&self, key: &str) -> Result<(), StoreError> {
        key::check(key)?;
        let (bucket, of) = (self.bucket.clone(), self.key_of(key));
        let deleted = self.bucket.there(async move { bucket.delete(&of).await });
        deleted.await.map_err(|trouble| self.failed("delete", key, trouble))
    }

    async fn delete_prefix(&self, prefix: &str) -> Result<(), StoreError> {
        key::check(prefix)?;
        let (bucket, itself) = (self.bucket.clone(), self.key_of(prefix));
        let above = self.above(prefix);
        let deleting = async move {
            let below = format!("{above}/");
            let concerns = |key: &str| key == itself || key.starts_with(&below);
            bucket.abort_below(&above, concerns).await?;
            bucket.delete(&itself).await?;
            bucket.delete_below(&below).await
        };
        let deleted = self.bucket.there(deleting).await;
        deleted.map_err(|trouble| self.failed("delete", prefix, trouble))
    }

    fn is_shared(&self) -> bool {
        true
    }

    fn url(&self) -> String {
        self.for_workers.clone()
    }
}

impl fmt::Debug for S3Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "S3Store({})", self.address)
    }
}
