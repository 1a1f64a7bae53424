//! Objects on their way to external places.
//!
//! Guarantees that an object appears whole or not at all, that its arrival is reported once it is durable, and that nothing appears any more
//! after the run has been stopped here: somebody else may be working on it by then, and be further.
//!
//! A file is written beside its place, under a name made of run, task and call, and then takes its place in one step. Doing all of it again, after
//! a coordinator was killed in the middle, gives the same.

mod files;
#[cfg(test)]
mod tests;

use super::{Core, Shared};
use crate::coordinator::state::Event;
use crate::ids::{Sequence, TaskId};
use crate::protocol::Payload;
use crate::store::StoreError;
use bytes::Bytes;
pub use files::{Draft, Files, Gate, LocalFiles};
use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// How many bytes are read from the store at once.
const PIECE: u64 = 8 << 20;

/// The store is asked as long as it says that this may help, after this delay; it doubles, up to the longest.
const FIRST_DELAY: Duration = Duration::from_millis(50);
const LONGEST_DELAY: Duration = Duration::from_secs(2);

impl Shared {
    pub(super) fn publish(&self, core: &mut Core, task: TaskId, sequence: Sequence, url: &str, content: Payload) {
        let Some(me) = self.me.upgrade() else { return };
        let place = PathBuf::from(url.strip_prefix("file:").unwrap_or(url));
        let beside = format!(".kappa-{}-{}-{sequence}", self.setup.run, task.0);
        core.publishing += 1;
        self.setup.runtime.spawn(async move {
            let copied = me.copy(place, &beside, content).await;
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

    /// `None` if the run has been stopped: then it is neither there nor failed.
    async fn copy(&self, place: PathBuf, beside: &str, content: Payload) -> Option<Result<(), String>> {
        let Some(folder) = place.parent() else {
            return Some(Err("it is not the path of a file".to_string()));
        };
        let draft = folder.join(beside);
        match self.write(draft, place, content).await {
            Ok(true) => Some(Ok(())),
            Ok(false) => None,
            Err(cause) => self.gate.hold().map(|_| Err(cause)),
        }
    }

    /// False if the run has been stopped.
    async fn write(&self, draft: PathBuf, place: PathBuf, content: Payload) -> Result<bool, String> {
        let text = |cause: io::Error| cause.to_string();
        let begun = self.setup.files.draft(draft, self.gate.clone()).await;
        let Some(mut draft) = begun.map_err(text)? else {
            return Ok(false);
        };
        match self.fill(&mut *draft, content).await {
            Ok(()) => draft.arrive(place, self.gate.clone()).await.map_err(text),
            Err(cause) => {
                draft.discard(self.gate.clone()).await;
                Err(cause)
            }
        }
    }

    async fn fill(&self, draft: &mut dyn Draft, content: Payload) -> Result<(), String> {
        match content {
            Payload::Inline(bytes) => draft.append(bytes).await.map_err(|cause| cause.to_string()),
            Payload::Stored { key, length } => {
                let mut at = 0;
                while at < length {
                    let end = length.min(at + PIECE);
                    let piece = self.read(&key, at, end).await.map_err(|cause| cause.to_string())?;
                    draft.append(piece).await.map_err(|cause| cause.to_string())?;
                    at = end;
                }
                Ok(())
            }
        }
    }

    /// A store that is away is waited for, until the run is stopped: the task must not fail because of it.
    async fn read(&self, key: &str, start: u64, end: u64) -> Result<Bytes, StoreError> {
        let piece = start..end;
        let ranges = std::slice::from_ref(&piece);
        let mut delay = FIRST_DELAY;
        loop {
            match self.setup.store.get_ranges(key, ranges).await {
                Err(cause) if cause.is_retryable() && !self.is_stopped() => {
                    self.setup.clock.sleep(delay).await;
                }
                read => return read.map(|pieces| pieces.into_iter().next().unwrap_or_default()),
            }
            delay = (delay * 2).min(LONGEST_DELAY);
        }
    }
}
