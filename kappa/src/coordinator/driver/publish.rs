//! Objects on their way to external places.
//!
//! Guarantees that an object appears whole or not at all, that its arrival is reported once it is durable, and that nothing appears any more
//! after the run has been stopped here: somebody else may be working on it by then, and be further.
//!
//! A file is written beside its place, under a name made of run, task and call, and then takes its place in one step. Doing all of it again, after
//! a coordinator was killed in the middle, gives the same.

#[cfg(test)]
mod tests;

use super::{Core, Shared};
use crate::coordinator::state::Event;
use crate::ids::{Sequence, TaskId};
use crate::protocol::Payload;
use crate::store::StoreError;
use bytes::Bytes;
use parking_lot::Mutex;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// How many bytes are read from the store at once.
const PIECE: u64 = 8 << 20;

/// How often the store is asked, if it says that this may help, and the first delay; it doubles.
const TRIES: u32 = 6;
const FIRST_DELAY: Duration = Duration::from_millis(50);

/// Whether objects may still appear.
#[derive(Default)]
pub(super) struct Gate {
    is_closed: Mutex<bool>,
}

impl Gate {
    /// Returns when nothing appears any more.
    pub(super) fn close(&self) {
        *self.is_closed.lock() = true;
    }
}

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
    async fn copy(self: &Arc<Self>, place: PathBuf, beside: &str, content: Payload) -> Option<Result<(), String>> {
        let Some(folder) = place.parent().map(Path::to_path_buf) else {
            return Some(Err("it is not the path of a file".to_string()));
        };
        let draft = folder.join(beside);
        let written = self.write(folder.clone(), draft.clone(), content).await;
        let me = self.clone();
        let arrived = blocking(move || {
            let is_closed = me.gate.is_closed.lock();
            if *is_closed {
                return Ok(None); // The draft may be somebody else's by now.
            }
            let moved = written.and_then(|()| {
                let moved = std::fs::rename(&draft, &place).and_then(|()| File::open(&folder)?.sync_all());
                moved.map_err(|cause| cause.to_string())
            });
            if moved.is_err() {
                // What is half there is nobody's.
                let _ = std::fs::remove_file(&draft);
            }
            Ok(Some(moved))
        });
        arrived.await.unwrap_or_else(|cause| Some(Err(cause)))
    }

    async fn write(self: &Arc<Self>, folder: PathBuf, draft: PathBuf, content: Payload) -> Result<(), String> {
        let me = self.clone();
        let mut file = blocking(move || {
            std::fs::create_dir_all(&folder)?;
            let is_closed = me.gate.is_closed.lock();
            match *is_closed {
                true => Err(io::Error::other("the run has been stopped")),
                false => File::create(&draft),
            }
        })
        .await?;
        match content {
            Payload::Inline(bytes) => file = written(file, bytes).await?,
            Payload::Stored { key, length } => {
                let mut at = 0;
                while at < length {
                    let end = length.min(at + PIECE);
                    let piece = self.read(&key, at, end).await.map_err(|cause| cause.to_string())?;
                    file = written(file, piece).await?;
                    at = end;
                }
            }
        }
        blocking(move || file.sync_all()).await
    }

    async fn read(&self, key: &str, start: u64, end: u64) -> Result<Bytes, StoreError> {
        let piece = start..end;
        let ranges = std::slice::from_ref(&piece);
        let mut delay = FIRST_DELAY;
        let mut tries = 1;
        loop {
            match self.setup.store.get_ranges(key, ranges).await {
                Err(cause) if cause.is_retryable() && tries < TRIES => self.setup.clock.sleep(delay).await,
                read => return read.map(|pieces| pieces.into_iter().next().unwrap_or_default()),
            }
            delay *= 2;
            tries += 1;
        }
    }
}

async fn written(mut file: File, bytes: Bytes) -> Result<File, String> {
    blocking(move || file.write_all(&bytes).map(|()| file)).await
}

/// Does on a thread of its own what may take long.
async fn blocking<T: Send + 'static>(step: impl FnOnce() -> io::Result<T> + Send + 'static) -> Result<T, String> {
    match tokio::task::spawn_blocking(step).await {
        Ok(done) => done.map_err(|cause| cause.to_string()),
        Err(cause) => Err(cause.to_string()),
    }
}
