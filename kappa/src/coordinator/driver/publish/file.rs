//! `file:PATH`: a file on this machine, in the place of any that was there.
//!
//! It is written beside its place, under a name made of run, task and call, and then takes its place in one step. Doing all of it again, after a
//! coordinator was killed in the middle, gives the same.

use super::{Draft, Object, PIECE, Shared};
use crate::protocol::Payload;
use std::io;
use std::path::PathBuf;

impl Shared {
    /// `None` if the run has been stopped: then it is neither there nor failed.
    pub(super) async fn to_file(&self, object: Object) -> Option<Result<(), String>> {
        let Object { url, name, content } = object;
        let place = PathBuf::from(url.strip_prefix("file:").unwrap_or(&url));
        let Some(folder) = place.parent() else {
            return Some(Err("it is not the path of a file".to_string()));
        };
        let draft = folder.join(format!(".kappa-{}-{name}", self.setup.run));
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
}
