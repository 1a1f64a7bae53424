//! The store as a task sees it: one that goes away for a while is waited for.
//!
//! Guarantees that no task fails, and no attempt of it is used up, because its store was away. What the store itself calls worth another try is tried again,
//! with pauses that grow and differ from worker to worker, as long as the invocation's time and [`PATIENCE`] allow. After that, and if a store that only keeps
//! silent would take the invocation to its time limit, the worker leaves: a later invocation goes on from the last checkpoint.
//!
//! A store that is full, forbidden or damaged is not waited for: the worker leaves at once, and the run stops until somebody has mended that.
//!
//! All that holds for the task's own use of [`Context::store`](crate::Context::store) too. What it keeps of it beyond the end of the invocation gets the error.

use super::WorkerEnd;
use crate::coordinator::driver::clock::Clock;
use crate::coordinator::state::Timestamp;
use crate::protocol::Invocation;
use crate::store::{Store, StoreError};
use async_trait::async_trait;
use bytes::Bytes;
use futures::future::{Either, select};
use parking_lot::Mutex;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use std::fmt;
use std::future::pending;
use std::ops::Range;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;

/// How long one operation is tried, from its first failure on: as long as a server takes to start again. What the task has done since its last checkpoint
/// is worth the wait; much longer, and the place is better given to others.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The first pause before a repetition; each further one is twice as long, and each is shortened by chance to between half and all of it.
const FIRST_PAUSE: Duration = Duration::from_millis(50);

/// No pause is longer.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// The part of its time that an invocation keeps for leaving: this fraction of the limit, and no more than [`LONGEST_RESERVE`].
const RESERVE: u32 = 20;
const LONGEST_RESERVE: Duration = Duration::from_secs(1);

/// When three quarters of its time are over, the invocation asks a silent store whether it is there, and gives it a tenth of the time to answer.
const SHORTEST_SILENCE: u32 = 10;

/// A store that is waited for, during one invocation.
pub(super) struct Patient {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    started: Timestamp,
    time_limit: Option<Duration>,
    /// A key of the run under which there is nothing.
    nothing: String,
    /// By task and incarnation, so that those who wait do not come back all at once.
    dice: Mutex<SmallRng>,
    leave: Mutex<Option<oneshot::Sender<WorkerEnd>>>,
}

impl Patient {
    /// The store for this invocation, which starts now; and where it says how the invocation has to end.
    pub(super) fn new(
        store: Arc<dyn Store>,
        invocation: &Invocation,
        clock: Arc<dyn Clock>,
    ) -> (Arc<Self>, oneshot::Receiver<WorkerEnd>) {
        let (leave, left) = oneshot::channel();
        let seed = invocation.task.0.rotate_left(32) ^ invocation.incarnation;
        let patient = Patient {
            store,
            started: clock.now(),
            clock,
            time_limit: invocation.time_limit,
            nothing: format!("{}/nothing", invocation.run.objects()),
            dice: Mutex::new(SmallRng::seed_from_u64(seed)),
            leave: Mutex::new(Some(leave)),
        };
        (Arc::new(patient), left)
    }

    /// Makes attempts until one tells something else than that another may help.
    async fn persist<T, F>(&self, mut attempt: impl FnMut() -> F + Send) -> Result<T, StoreError>
    where
        T: Send,
        F: Future<Output = Result<T, StoreError>> + Send,
    {
        let mut failing_since = None;
        let mut pause = FIRST_PAUSE;
        loop {
            let cause = match self.unless_silent(attempt()).await {
                Ok(Err(cause)) if cause.is_retryable() => cause,
                Ok(Err(cause)) if cause.needs_repair() => {
                    let end = WorkerEnd::NeedsRepair(cause.to_string());
                    return self.give_up(end, cause).await;
                }
                Ok(outcome) => return outcome,
                Err(silence) => silence,
            };
            let now = self.clock.now();
            let failing = now.since(*failing_since.get_or_insert(now));
            let wait = pause.mul_f64(self.dice.lock().random_range(0.5..1.0));
            let is_late = self
                .time_limit
                .is_some_and(|limit| self.elapsed() + wait >= last_moment(limit));
            if is_late || failing + wait >= PATIENCE {
                let end = WorkerEnd::StoreAway(cause.to_string());
                return self.give_up(end, cause).await;
            }
            tracing::debug!(%cause, "the store is asked again");
            self.clock.sleep(wait).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// The worker leaves, and whoever runs the invocation drops this; unless it is over already.
    async fn give_up<T>(&self, end: WorkerEnd, cause: StoreError) -> Result<T, StoreError> {
        let leave = self.leave.lock().take();
        match leave.map(|leave| leave.send(end)) {
            Some(Ok(())) => pending().await,
            // Somebody else of this invocation has given up, or nobody listens any more.
            _ => Err(cause),
        }
    }

    /// What the attempt comes to; an error if the time limit is near and the store does not say a word, or nothing but that it is not there.
    async fn unless_silent<T>(&self, attempt: impl Future<Output = T>) -> Result<T, StoreError> {
        let Some(limit) = self.time_limit else {
            return Ok(attempt.await);
        };
        // First the attempt: most are over before a timer is needed.
        match select(pin!(attempt), pin!(self.until_silence(limit))).await {
            Either::Left((outcome, _)) => Ok(outcome),
            Either::Right((silence, _)) => Err(silence),
        }
    }

    /// Returns just before the time limit if the store does not even answer a small question by then. If it does, it is only slow, and this never returns:
    /// whatever takes so long has to be put between two checkpoints by the program, which the time limit will tell.
    async fn until_silence(&self, limit: Duration) -> StoreError {
        self.clock.sleep((limit / 4 * 3).saturating_sub(self.elapsed())).await;
        let end = last_moment(limit).max(self.elapsed() + limit / SHORTEST_SILENCE);
        let silence = pin!(async { self.clock.sleep(end.saturating_sub(self.elapsed())).await });
        let answer = pin!(self.store.get(&self.nothing));
        match select(answer, silence).await {
            Either::Right(_) => silent(),
            Either::Left((Err(cause), silence)) if cause.is_retryable() => {
                silence.await;
                cause
            }
            Either::Left(_) => pending().await,
        }
    }

    fn elapsed(&self) -> Duration {
        self.clock.now().since(self.started)
    }
}

fn silent() -> StoreError {
    StoreError::Unavailable {
        // Its URL may hold a password.
        store: "the store".to_string(),
        action: "do what was asked".to_string(),
        cause: "it kept silent until the end of the invocation's time".to_string(),
        retryable: true,
    }
}

fn last_moment(limit: Duration) -> Duration {
    limit.saturating_sub((limit / RESERVE).min(LONGEST_RESERVE))
}

#[async_trait]
impl Store for Patient {
    async fn put(&self, key: &str, bytes: Bytes) -> Result<(), StoreError> {
        let mut is_repetition = false;
        self.persist(|| {
            let was_tried = std::mem::replace(&mut is_repetition, true);
            let bytes = bytes.clone();
            async move {
                match self.store.put(key, bytes.clone()).await {
                    // Of an attempt that failed nobody knows whether it had put the object.
                    Err(taken @ StoreError::AlreadyExists { .. }) if was_tried => match self.store.get(key).await? {
                        there if there == bytes => Ok(()),
                        _ => Err(taken),
                    },
                    outcome => outcome,
                }
            }
        })
        .await
    }

    async fn get(&self, key: &str) -> Result<Bytes, StoreError> {
        self.persist(|| self.store.get(key)).await
    }

    async fn get_ranges(&self, key: &str, ranges: &[Range<u64>]) -> Result<Vec<Bytes>, StoreError> {
        self.persist(|| self.store.get_ranges(key, ranges)).await
    }

    async fn delete(&self, key: &str) -> Result<(), StoreError> {
        self.persist(|| self.store.delete(key)).await
    }

    async fn delete_prefix(&self, prefix: &str) -> Result<(), StoreError> {
        self.persist(|| self.store.delete_prefix(prefix)).await
    }

    fn is_shared(&self) -> bool {
        self.store.is_shared()
    }

    fn url(&self) -> String {
        self.store.url()
    }

    fn inner(&self) -> Option<&Arc<dyn Store>> {
        Some(&self.store)
    }
}

impl fmt::Debug for Patient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.store.fmt(f)
    }
}

#[cfg(test)]
mod tests;
