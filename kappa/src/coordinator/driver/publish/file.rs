//! `file:PATH`: a file on this machine, in the place of any that was there.
//!
//! It is written beside its place, under a name made of run, task and call, and then takes its place in one step. Doing all of it again, after a
//! coordinator was killed in the middle, gives the same.

use super::{Object, Shared};
use crate::protocol::Payload;
use bytes::Bytes;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

impl Shared {
    /// `None` if the run has been stopped: then it is neither there nor failed.
    pub(super) async fn to_file(self: &Arc<Self>, object: Object) -> Option<Result<(), String>> {
        let Object { url, name, content } = object;
        let place = PathBuf::from(url.strip_prefix("file:").unwrap_or(&url));
        let beside = format!(".kappa-{}-{name}", self.setup.run);
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
                    let end = length.min(at + super::PIECE);
                    let piece = self.read(&key, at, end).await.map_err(|cause| cause.to_string())?;
                    file = written(file, piece).await?;
                    at = end;
                }
            }
        }
        blocking(move || file.sync_all()).await
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
