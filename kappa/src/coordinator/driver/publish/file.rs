//! `file:PATH`: a file on this machine, in the place of any that was there.
//!
//! It is written beside its place, under a name made of run, task and call, and then takes its place in one step. Doing all of it again, after a
//! coordinator was killed in the middle, gives the same.

use super::{Draft, NotThere, Object, PIECE, Shared};
use crate::protocol::Payload;
use std::io::{self, ErrorKind};
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
            Err(NotThere::Refused(cause)) => self.gate.hold().map(|_| Err(cause)),
            Err(NotThere::NeedsRepair(cause)) => {
                self.stop(self.needs_repair(format!("cannot write {url}: {cause}")));
                None
            }
        }
    }

    /// False if the run has been stopped.
    async fn write(&self, draft: PathBuf, place: PathBuf, content: Payload) -> Result<bool, NotThere> {
        let begun = self.setup.files.draft(draft, self.gate.clone()).await;
        let Some(mut draft) = begun? else {
            return Ok(false);
        };
        match self.fill(&mut *draft, content).await {
            Ok(()) => Ok(draft.arrive(place, self.gate.clone()).await?),
            Err(cause) => {
                draft.discard(self.gate.clone()).await;
                Err(cause)
            }
        }
    }

    async fn fill(&self, draft: &mut dyn Draft, content: Payload) -> Result<(), NotThere> {
        match content {
            Payload::Inline(bytes) => Ok(draft.append(bytes).await?),
            Payload::Stored { key, length } => {
                let mut at = 0;
                while at < length {
                    let end = length.min(at + PIECE);
                    let piece = self.read(&key, at, end).await;
                    let piece = piece.map_err(|cause| NotThere::Refused(cause.to_string()))?;
                    draft.append(piece).await?;
                    at = end;
                }
                Ok(())
            }
        }
    }
}

impl From<io::Error> for NotThere {
    /// A disk that is full, or not to be written for now, is no fault of the task that puts an object there.
    fn from(cause: io::Error) -> Self {
        match cause.kind() {
            ErrorKind::StorageFull
            | ErrorKind::QuotaExceeded
            | ErrorKind::FileTooLarge
            | ErrorKind::ReadOnlyFilesystem => NotThere::NeedsRepair(cause.to_string()),
            _ => NotThere::Refused(cause.to_string()),
        }
    }
}
