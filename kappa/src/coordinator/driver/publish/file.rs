//! `file:PATH`: a file on this machine, in the place of any that was there.
//!
//! It is written beside its place, under a name made of run, task, call and the coordinator's life, and then takes its place in one step. Doing all of it
//! again, after a coordinator was killed in the middle, gives the same.
//!
//! A coordinator that was only paused, and is not the run's any more, must not undo its successor's work. So whoever goes on with a run first takes away what
//! those before it have begun; and nobody lets a file take its place before the journal has confirmed, after all of it was written, that the run is still its
//! own. Who was paused before that is refused by the journal; who was paused after that finds its file gone.

use super::{Draft, NotThere, Object, PIECE, Shared};
use crate::protocol::Payload;
use std::io::{self, ErrorKind};
use std::path::PathBuf;

impl Shared {
    /// `None` if the run has been stopped: then it is neither there nor failed.
    pub(super) async fn to_file(&self, object: Object) -> Option<Result<(), String>> {
        let Object {
            url,
            name,
            life,
            content,
        } = object;
        let place = PathBuf::from(url.strip_prefix("file:").unwrap_or(&url));
        let place = match self.setup.files.place(place).await {
            Ok(place) => place,
            Err(cause) => return self.gate.hold().map(|_| Err(cause.to_string())),
        };
        let Some(folder) = place.parent() else {
            return Some(Err("it is not the path of a file".to_string()));
        };
        let draft = |life| folder.join(format!(".kappa-{}-{name}-{life}", self.setup.run));
        let earlier = (0..life).map(draft).collect();
        if let Err(cause) = self.setup.files.forget(earlier).await {
            let cause = format!("what an earlier coordinator has left beside it cannot be removed: {cause}");
            return self.gate.hold().map(|_| Err(cause));
        }
        let Some(content) = content else {
            return Some(Err("nobody waits for it any more".to_string()));
        };
        match self.write(draft(life), place, content).await {
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
        if let Err(cause) = self.fill(&mut *draft, content).await {
            draft.discard().await;
            return Err(cause);
        }
        if !self.is_still_ours().await {
            draft.discard().await;
            return Ok(false);
        }
        Ok(draft.arrive(place, self.gate.clone()).await?)
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
