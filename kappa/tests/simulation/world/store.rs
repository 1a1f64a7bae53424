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
    /// Fails, if this is the moment. A worker breaks by what another attempt does not help against, which must not happen too often without progress.
    fn may_fail(&self, class: Class, action: &'static str, what: &'static str, key: &str) -> Result<(), StoreError> {
        // What the coordinator reads is on its way to a place outside: the task is told, rightly, when another attempt does not help.
        let is_on_its_way = matches!(self.user, User::Coordinator(_)) && action == "get";
        let retryable = is_on_its_way || self.world.dice.chance(0.5);
        let breaks = match &self.user {
            User::Worker(worker) if !retryable => Some(worker),
            _ => None,
        };
        if breaks.is_some_and(|worker| !worker.may_break()) || !self.world.strikes(class, what, || self.place(key)) {
            return Ok(());
        }
        if let Some(worker) = breaks {
            worker.breaks();
        }
        Err(Self::unavailable(action, retryable))
    }

    /// Who wanted what.
    fn place(&self, key: &str) -> String {
        let who = match &self.user {
            User::Coordinator(_) => "coordinator",
            User::Worker(_) => "worker",
        };
        format!("{who}, {}", key.split('/').nth(2).unwrap_or("everything"))
    }

    /// Time passes; whoever died meanwhile does not go on. While the store is away nothing else happens: it refuses, or keeps silent until it is back.
    async fn pass(&self, action: &'static str, key: &str) -> Result<(), StoreError> {
        self.take_time().await;
        let Some(outage) = self.world.outage() else {
            return Ok(());
        };
        self.world.is_away(action, || self.place(key));
        if outage.is_silent {
            self.world.clock.wait(outage.until - self.world.clock.elapsed()).await;
            self.take_time().await;
        }
        Err(Self::unavailable(action, true))
    }

    async fn take_time(&self) {
        self.world.pause().await;
        if let User::Coordinator(epoch) = self.user
            && !self.world.is_alive(epoch)
            && !self.world.is_paused(epoch)
        {
            pending::<()>().await;
        }
    }

    fn unavailable(action: &str, retryable: bool) -> StoreError {
        StoreError::Unavailable {
            store: URL.to_string(),
            action: action.to_string(),
            cause: "as it should".to_string(),
            retryable,
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
        self.pass("put", key).await?;
        self.may_fail(Class::Store, "put", "put fails", key)?;
        let is_zombie = matches!(&self.user, User::Worker(worker) if worker.is_given_up());
        if !self.world.put(key, bytes, is_zombie) {
            return Err(StoreError::AlreadyExists {
                store: URL.to_string(),
                key: key.to_string(),
            });
        }
        self.take_time().await;
        self.may_fail(Class::Store, "put", "put is done but fails", key)
    }

    async fn get(&self, key: &str) -> Result<Bytes, StoreError> {
        self.pass("get", key).await?;
        self.may_fail(Class::Store, "get", "get fails", key)?;
        self.world.object(key).ok_or_else(|| Self::not_found(key))
    }

    async fn get_ranges(&self, key: &str, ranges: &[Range<u64>]) -> Result<Vec<Bytes>, StoreError> {
        let object = self.get(key).await?;
        let part = |range: &Range<u64>| object.slice(range.start as usize..range.end as usize);
        Ok(ranges.iter().map(part).collect())
    }

    async fn delete(&self, key: &str) -> Result<(), StoreError> {
        self.pass("delete", key).await?;
        self.may_fail(Class::Deletion, "delete", "delete fails", key)?;
        self.world.delete(key);
        Ok(())
    }

    async fn delete_prefix(&self, prefix: &str) -> Result<(), StoreError> {
        self.pass("delete by prefix", prefix).await?;
        self.may_fail(Class::Deletion, "delete by prefix", "delete by prefix fails", prefix)?;
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
