//! `file:PATH`: a file on this machine, in the place of any that was there.
//!
//! It is written beside its place, under a name made of run, task, call and the coordinator's life, and then takes its place in one step. Doing all of it
//! again, after a coordinator was killed in the middle, gives the same.
//!
//! A coordinator that was only paused, and is not the run's any more, must not undo its successor's work. So whoever goes on with a run first takes away what
//! those before it have begun; and nobody lets a file take its place before the journal has confirmed, after all of it was written, that the run is still its
//! own. Who was paused before that is refused by the journal; who was paused after that finds its file gone.

use super::{Draft, NotThere, Object, PIECE, Shared};
use crate::ids::{Sequence, TaskId};
use crate::protocol::Payload;
use nix::errno::Errno;
use std::io::{self, ErrorKind};
use std::path::PathBuf;

impl Shared {
    /// `None` if the run has been stopped: then it is neither there nor failed.
    pub(super) async fn to_file(&self, object: Object) -> Option<Result<(), String>> {
        let url = object.url.clone();
        match self.to_its_place(object).await {
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
    async fn to_its_place(&self, object: Object) -> Result<bool, NotThere> {
        let Object {
            url,
            task,
            sequence,
            name,
            life,
            content,
        } = object;
        let files = &self.setup.files;
        let place = files
            .place(PathBuf::from(url.strip_prefix("file:").unwrap_or(&url)))
            .await?;
        let Some(folder) = place.parent() else {
            return Err(NotThere::Refused("it is not the path of a file".to_string()));
        };
        let draft = |life| folder.join(format!(".kappa-{}-{name}-{life}", self.setup.run));
        let earlier = (0..life).map(draft).collect();
        let forgotten = files.forget(earlier).await.map_err(|cause| {
            let kind = cause.kind();
            let said = format!("what an earlier coordinator has left beside it cannot be removed: {cause}");
            NotThere::of(kind, cause.raw_os_error(), said)
        });
        let Some(content) = content else {
            return Err(NotThere::Refused("nobody waits for it any more".to_string()));
        };
        forgotten?;
        let Some(mut draft) = files.draft(draft(life), self.gate.clone()).await? else {
            return Ok(false);
        };
        if let Err(cause) = self.fill(&mut *draft, (task, sequence), content).await {
            draft.discard().await;
            return Err(cause);
        }
        if !self.is_still_ours().await {
            draft.discard().await;
            return Ok(false);
        }
        Ok(draft.arrive(place, self.gate.clone()).await?)
    }

    async fn fill(&self, draft: &mut dyn Draft, whose: (TaskId, Sequence), content: Payload) -> Result<(), NotThere> {
        match content {
            Payload::Inline(bytes) => Ok(draft.append(bytes).await?),
            Payload::Stored { key, length } => {
                let mut at = 0;
                while at < length {
                    let end = length.min(at + PIECE);
                    let piece = self.read(whose, &key, at, end).await;
                    let piece = piece.map_err(|cause| NotThere::Refused(cause.to_string()))?;
                    draft.append(piece).await?;
                    at = end;
                }
                Ok(())
            }
        }
    }
}

impl NotThere {
    /// A disk that is full, or broken, or a place that is not to be written for now, is no fault of the task that puts an object there.
    fn of(kind: ErrorKind, number: Option<i32>, said: String) -> Self {
        let number = number.map(Errno::from_raw);
        match kind {
            ErrorKind::StorageFull
            | ErrorKind::QuotaExceeded
            | ErrorKind::FileTooLarge
            | ErrorKind::PermissionDenied
            | ErrorKind::ReadOnlyFilesystem
            | ErrorKind::StaleNetworkFileHandle => NotThere::NeedsRepair(said),
            _ if matches!(number, Some(Errno::EIO | Errno::EMFILE | Errno::ENFILE | Errno::ENOMEM)) => {
                NotThere::NeedsRepair(said)
            }
            _ => NotThere::Refused(said),
        }
    }
}

impl From<io::Error> for NotThere {
    fn from(cause: io::Error) -> Self {
        NotThere::of(cause.kind(), cause.raw_os_error(), cause.to_string())
    }
}
