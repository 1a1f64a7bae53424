//! Objects in Redis, for all processes that reach the servers: `redis://HOST[:PORT][,HOST2[:PORT]..]`.
//!
//! Guarantees that an object which was put is on every live server, that one of several servers can be lost without losing any, and that a server which
//! comes back is given what it has missed before anything is read from it ([`crate::replicas`] has the details). An object is at most 508 MiB: Redis takes
//! no longer values than 512 MiB, and its checksums are part of it ([`super::sealed`]).
//!
//! How long an object lives is up to the servers: without `appendonly` they forget when they are started again.

use super::{Store, StoreError, key, sealed};
use crate::replicas::{Addresses, New, Outcome, Problem, ReplicaStatus, Replicas};
use async_trait::async_trait;
use bytes::Bytes;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

/// The store `redis:`.
#[derive(Clone)]
pub struct RedisStore {
    replicas: Arc<Replicas>,
}

/// Longest object in bytes: with its seals it is a value that Redis takes.
const OBJECT_LIMIT: u64 = 508 << 20;

/// What the keys of objects begin with.
const OBJECTS: &str = "kappa:o:";

impl RedisStore {
    /// Opens the store on the servers of this URL, waiting some seconds for them if they are not there.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] if it names no servers, [`StoreError::Unavailable`] if they are not there.
    pub fn open(url: &str) -> Result<Self, StoreError> {
        let addresses = Addresses::parse(url).map_err(StoreError::Invalid)?;
        let is_worker = addresses.options().is_worker;
        let unavailable = |cause: String, retryable: bool| StoreError::Unavailable {
            store: addresses.to_string(),
            action: "open it".to_string(),
            cause,
            retryable,
        };
        let replicas = Replicas::new(addresses.clone()).map_err(|cause| unavailable(cause.to_string(), true))?;
        // A worker is started often, and may find out later.
        if !is_worker {
            let ready = replicas.until_ready();
            ready.map_err(|problem| unavailable(problem.to_string(), problem.is_retryable()))?;
        }
        Ok(RedisStore { replicas })
    }

    pub(crate) fn on(replicas: Arc<Replicas>) -> Self {
        RedisStore { replicas }
    }

    /// How each server is doing.
    pub fn replicas(&self) -> Vec<ReplicaStatus> {
        self.replicas.status()
    }

    fn failed(&self, action: &str, key: &str, problem: &Problem) -> StoreError {
        StoreError::Unavailable {
            store: self.replicas.name(),
            action: format!("{action} {key}"),
            cause: problem.to_string(),
            retryable: problem.is_retryable(),
        }
    }

    /// What the servers have of the object.
    async fn stored(&self, key: &str) -> Result<Bytes, StoreError> {
        let read = self.replicas.get(&name_of(key)).await;
        let read = read.map_err(|problem| self.failed("read", key, &problem))?;
        read.ok_or_else(|| self.not_found(key))
    }

    /// The same for ranges of it, each as far as there is something.
    async fn stored_ranges(&self, key: &str, ranges: Vec<Range<u64>>) -> Result<Vec<Bytes>, StoreError> {
        let read = self.replicas.get_ranges(&name_of(key), &ranges).await;
        let read = read.map_err(|problem| self.failed("read", key, &problem))?;
        read.ok_or_else(|| self.not_found(key))
    }

    fn not_found(&self, key: &str) -> StoreError {
        StoreError::NotFound {
            store: self.replicas.name(),
            key: key.to_string(),
        }
    }
}

fn name_of(key: &str) -> String {
    format!("{OBJECTS}{key}")
}

#[async_trait]
impl Store for RedisStore {
    async fn put(&self, key: &str, bytes: Bytes) -> Result<(), StoreError> {
        key::check(key)?;
        let length = bytes.len() as u64;
        if length > OBJECT_LIMIT {
            return Err(StoreError::TooLong {
                store: self.replicas.name(),
                key: key.to_string(),
                length,
                limit: OBJECT_LIMIT,
            });
        }
        let stored = sealed::seal(key, &bytes);
        let new = New {
            key: &name_of(key),
            value: &stored,
            replaces: None,
            guard: None,
            previous: None,
        };
        match self.replicas.put(new).await {
            Ok(Outcome::Done(_)) => Ok(()),
            // There is no guard that could be another.
            Ok(Outcome::Taken | Outcome::Fenced | Outcome::NothingBefore) => Err(StoreError::AlreadyExists {
                store: self.replicas.name(),
                key: key.to_string(),
            }),
            Err(problem) => Err(self.failed("write", key, &problem)),
        }
    }

    async fn get(&self, key: &str) -> Result<Bytes, StoreError> {
        key::check(key)?;
        sealed::get(&self.replicas.name(), key, || self.stored(key)).await
    }

    async fn get_ranges(&self, key: &str, ranges: &[Range<u64>]) -> Result<Vec<Bytes>, StoreError> {
        key::check(key)?;
        let name = self.replicas.name();
        sealed::get_ranges(&name, key, ranges, |ranges| self.stored_ranges(key, ranges)).await
    }

    async fn delete(&self, key: &str) -> Result<(), StoreError> {
        key::check(key)?;
        let deleted = self.replicas.delete(&[name_of(key)], None).await;
        deleted
            .map(|_| ())
            .map_err(|problem| self.failed("delete", key, &problem))
    }

    async fn delete_prefix(&self, prefix: &str) -> Result<(), StoreError> {
        key::check(prefix)?;
        let failed = |problem| self.failed("delete", prefix, &problem);
        // A key has no characters that mean something in a pattern.
        let below = format!("{}/*", name_of(prefix));
        self.replicas.delete_matching(&below).await.map_err(failed)?;
        let itself = self.replicas.delete(&[name_of(prefix)], None).await;
        itself.map(|_| ()).map_err(failed)
    }

    fn is_shared(&self) -> bool {
        true
    }

    fn url(&self) -> String {
        self.replicas.url_for_workers()
    }
}

impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RedisStore({})", self.replicas.name())
    }
}
