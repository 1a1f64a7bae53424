//! A store that is slow and fails.

use super::faults::Class;
use super::platform::Worker;
use super::{Epoch, World};
use async_trait::async_trait;
use bytes::Bytes;
use kappa::store::{Store, StoreError};
use std::fmt;
use std::future::pending;
use std::ops::Range;
use std::sync::Arc;

const URL: &str = "simulated:";

/// The world's objects, as somebody sees them.
pub(crate) struct SimulatedStore {
    pub(crate) world: Arc<World>,
    pub(crate) user: User,
}

/// Who uses the store.
pub(crate) enum User {
    /// The coordinator of this life. When it is over, nothing that it had begun goes on.
    Coordinator(Epoch),
    /// An invocation.
    Worker(Arc<Worker>),
}

impl SimulatedStore {
    /// Whether this is a moment to fail. A worker breaks by it, which must not happen too often without progress.
    fn fails(&self, class: Class, what: &'static str, key: &str) -> bool {
        let kind = key.split('/').nth(2).unwrap_or("everything");
        match &self.user {
            User::Coordinator(_) => self.world.strikes(class, what, || format!("coordinator, {kind}")),
            User::Worker(worker) => {
                worker.may_break() && self.world.strikes(class, what, || format!("worker, {kind}")) && {
                    worker.breaks();
                    true
                }
            }
        }
    }

    /// Time passes; whoever died meanwhile does not go on.
    async fn pass(&self) {
        self.world.pause().await;
        if let User::Coordinator(epoch) = self.user
            && !self.world.is_alive(epoch)
        {
            pending::<()>().await;
        }
    }

    fn unavailable(&self, action: &str) -> StoreError {
        StoreError::Unavailable {
            store: URL.to_string(),
            action: action.to_string(),
            cause: "as it should".to_string(),
            retryable: self.world.dice.chance(0.5),
        }
    }

    fn not_found(key: &str) -> StoreError {
        StoreError::NotFound {
            store: URL.to_string(),
            key: key.to_string(),
        }
    }
}

#[async_trait]
impl Store for SimulatedStore {
    async fn put(&self, key: &str, bytes: Bytes) -> Result<(), StoreError> {
        self.pass().await;
        if self.fails(Class::Store, "put fails", key) {
            return Err(self.unavailable("put"));
        }
        let is_zombie = matches!(&self.user, User::Worker(worker) if worker.is_given_up());
        if !self.world.put(key, bytes, is_zombie) {
            return Err(StoreError::AlreadyExists {
                store: URL.to_string(),
                key: key.to_string(),
            });
        }
        self.pass().await;
        if self.fails(Class::Store, "put is done but fails", key) {
            return Err(self.unavailable("put"));
        }
        Ok(())
    }

    async fn get(&self, key: &str) -> Result<Bytes, StoreError> {
        self.pass().await;
        if self.fails(Class::Store, "get fails", key) {
            return Err(self.unavailable("get"));
        }
        self.world.object(key).ok_or_else(|| Self::not_found(key))
    }

    async fn get_ranges(&self, key: &str, ranges: &[Range<u64>]) -> Result<Vec<Bytes>, StoreError> {
        let object = self.get(key).await?;
        let part = |range: &Range<u64>| object.slice(range.start as usize..range.end as usize);
        Ok(ranges.iter().map(part).collect())
    }

    async fn delete(&self, key: &str) -> Result<(), StoreError> {
        self.pass().await;
        if self.fails(Class::Deletion, "delete fails", key) {
            return Err(self.unavailable("delete"));
        }
        self.world.delete(key);
        Ok(())
    }

    async fn delete_prefix(&self, prefix: &str) -> Result<(), StoreError> {
        self.pass().await;
        if self.fails(Class::Deletion, "delete by prefix fails", prefix) {
            return Err(self.unavailable("delete"));
        }
        self.world.delete_everything();
        Ok(())
    }

    fn is_shared(&self) -> bool {
        true
    }

    fn url(&self) -> String {
        URL.to_string()
    }
}

impl fmt::Debug for SimulatedStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SimulatedStore")
    }
}
