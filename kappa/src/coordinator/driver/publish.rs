//! Objects on their way to external places.
//!
//! Guarantees that an object appears whole or not at all, that its arrival is reported once it is durable, and that nothing appears any more
//! once somebody else goes on with the run after it was stopped here: they may be further by then.
//!
//! How, depends on the place: [`mod@file`] or [`s3`].

mod file;
mod files;
#[cfg(feature = "aws")]
mod s3;
#[cfg(test)]
mod tests;

use super::record::Milestone;
use super::{Core, Shared};
use crate::coordinator::sabotage::{self, Sabotage};
use crate::coordinator::state::Event;
use crate::ids::{Sequence, TaskId};
use crate::protocol::Payload;
use crate::store::StoreError;
use bytes::Bytes;
pub use files::{Draft, Files, Gate, LocalFiles};
use std::time::Duration;

/// How many bytes are read from the store at once.
const PIECE: u64 = 8 << 20;

/// The store is asked as long as it says that this may help, after this delay; it doubles, up to the longest.
const FIRST_DELAY: Duration = Duration::from_millis(50);
const LONGEST_DELAY: Duration = Duration::from_secs(2);

/// Why an object is not at its place.
#[derive(Debug)]
enum NotThere {
    /// It cannot be there.
    Refused(String),
    /// It can be there when somebody has mended something.
    NeedsRepair(String),
}

/// What is to be where.
struct Object {
    url: String,
    /// Whose it is.
    task: TaskId,
    sequence: Sequence,
    /// Made of the task and its call.
    name: String,
    /// Which life of the coordinator this is: how many were before.
    life: u64,
    /// None if nobody wants it any more.
    content: Option<Payload>,
}

impl Shared {
    /// Brings the object to its place; without content it takes away what was begun of it.
    pub(super) fn publish(
        &self,
        core: &mut Core,
        task: TaskId,
        sequence: Sequence,
        url: &str,
        content: Option<Payload>,
    ) {
        let Some(me) = self.me.upgrade() else { return };
        let object = Object {
            url: url.to_string(),
            task,
            sequence,
            name: format!("{}-{sequence}", task.0),
            life: core.state.stats().recoveries,
            content,
        };
        core.publishing += 1;
        self.setup.runtime.spawn(async move {
            let room = me.publishing.acquire().await;
            let copied = match object.url.starts_with("s3:") {
                _ if me.is_stopped() => None,
                #[cfg(feature = "aws")]
                true => me.to_s3(object).await,
                #[cfg(not(feature = "aws"))]
                true => Some(Err(
                    "this program was built without S3; build it with the feature `aws`".to_string(),
                )),
                false => me.to_file(object).await,
            };
            drop(room);
            me.core.lock().publishing -= 1;
            if let Some(outcome) = copied {
                me.happened(Event::Published {
                    task,
                    sequence,
                    outcome,
                });
            }
            me.invocation_gone.notify_waiters();
        });
    }

    /// Whether nobody else goes on with the run: only its coordinator can record something in the journal.
    async fn is_still_ours(&self) -> bool {
        sabotage::is(Sabotage::DoesNotAsk) || self.pass(Milestone::Recorded, Event::Confirmed).await
    }

    /// A store that is away is waited for, until the run is stopped: the task must not fail because of it. If what was stored is lost or damaged, the
    /// run stops.
    async fn read(&self, whose: (TaskId, Sequence), key: &str, start: u64, end: u64) -> Result<Bytes, StoreError> {
        let piece = start..end;
        let ranges = std::slice::from_ref(&piece);
        let mut delay = FIRST_DELAY;
        loop {
            match self.setup.store.get_ranges(key, ranges).await {
                Err(cause) if cause.is_retryable() && !self.is_stopped() => {
                    self.setup.clock.sleep(delay).await;
                }
                Err(cause) => return Err(self.unread(whose, cause)),
                Ok(pieces) => return Ok(pieces.into_iter().next().unwrap_or_default()),
            }
            delay = (delay * 2).min(LONGEST_DELAY);
        }
    }

    /// Stops the run if it is the store that has to be mended. What nobody wants any more has been deleted.
    fn unread(&self, (task, sequence): (TaskId, Sequence), cause: StoreError) -> StoreError {
        let is_wanted = self.core.lock().state.is_publishing(task, sequence);
        if is_wanted && (cause.needs_repair() || matches!(cause, StoreError::NotFound { .. })) {
            self.stop(self.needs_repair(format!("an object cannot be put to its place: {cause}")));
        }
        cause
    }
}
