//! Files: how they are written beside their place, and take it in one step. Handed to the coordinator, so that a simulation can have its own.

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::{Mutex, MutexGuard};
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Whether objects may still appear.
#[derive(Debug, Default)]
pub struct Gate {
    is_closed: Mutex<bool>,
}

impl Gate {
    /// Returns when nothing appears any more.
    pub(in crate::coordinator::driver) fn close(&self) {
        *self.is_closed.lock() = true;
    }

    /// As long as what this gives is kept, the gate stays open; `None` if it is closed.
    pub fn hold(&self) -> Option<MutexGuard<'_, bool>> {
        let is_closed = self.is_closed.lock();
        (!*is_closed).then_some(is_closed)
    }
}

/// A place for files.
#[async_trait]
pub trait Files: Send + Sync {
    /// An empty file at this path, with the folders that lead to it, in the place of any that was there; `None` if the gate is closed.
    async fn draft(&self, path: PathBuf, gate: Arc<Gate>) -> io::Result<Option<Box<dyn Draft>>>;
}

/// A file that is being written.
#[async_trait]
pub trait Draft: Send {
    /// Writes at its end.
    async fn append(&mut self, bytes: Bytes) -> io::Result<()>;

    /// Makes it durable and lets it take its place, whole. False if the gate is closed: then it is left as it is, since it may be somebody else's by now.
    /// If it cannot take its place, nothing of it is left.
    async fn arrive(self: Box<Self>, place: PathBuf, gate: Arc<Gate>) -> io::Result<bool>;

    /// Takes it away, unless the gate is closed.
    async fn discard(self: Box<Self>, gate: Arc<Gate>);
}

/// The files of this machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct LocalFiles;

#[async_trait]
impl Files for LocalFiles {
    async fn draft(&self, path: PathBuf, gate: Arc<Gate>) -> io::Result<Option<Box<dyn Draft>>> {
        blocking(move || {
            if let Some(folder) = path.parent() {
                std::fs::create_dir_all(folder)?;
            }
            let Some(_open) = gate.hold() else { return Ok(None) };
            let file = File::create(&path)?;
            let draft: Box<dyn Draft> = Box::new(LocalDraft {
                path,
                file: Arc::new(file),
            });
            Ok(Some(draft))
        })
        .await
    }
}

struct LocalDraft {
    path: PathBuf,
    file: Arc<File>,
}

#[async_trait]
impl Draft for LocalDraft {
    async fn append(&mut self, bytes: Bytes) -> io::Result<()> {
        let file = self.file.clone();
        blocking(move || (&*file).write_all(&bytes)).await
    }

    async fn arrive(self: Box<Self>, place: PathBuf, gate: Arc<Gate>) -> io::Result<bool> {
        blocking(move || {
            let synced = self.file.sync_all();
            let Some(_open) = gate.hold() else { return Ok(false) };
            let folder = place.parent().unwrap_or(Path::new("/"));
            let moved = synced
                .and_then(|()| std::fs::rename(&self.path, &place))
                .and_then(|()| File::open(folder)?.sync_all());
            if moved.is_err() {
                // What is half there is nobody's.
                let _ = std::fs::remove_file(&self.path);
            }
            moved.map(|()| true)
        })
        .await
    }

    async fn discard(self: Box<Self>, gate: Arc<Gate>) {
        let removed = blocking(move || match gate.hold() {
            Some(_open) => std::fs::remove_file(&self.path),
            None => Ok(()),
        });
        if let Err(cause) = removed.await {
            tracing::warn!(%cause, "a file that was not finished stays");
        }
    }
}

/// Does on a thread of its own what may take long.
async fn blocking<T: Send + 'static>(step: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(step).await.map_err(io::Error::other)?
}
