//! Records on the Redis servers that keep the state of their runs:
//!
//! ```text
//! kappa:r:<run id>/about       what the run is and how it stands, as JSON
//! kappa:r:<run id>/events/N    the lines of what happened, piece after piece
//! kappa:r:<run id>/cancel      there if somebody wants the run cancelled
//! ```
//!
//! Guarantees, beside what [`crate::replicas`] does for every value (none of it is lost with a server):
//!
//! * Only the coordinator that has the lease of the run's journal writes its record: each write names the lease, and is refused when somebody else has taken it.
//!   A record keeps the lease until it is complete.
//! * A piece of the events is replaced by a longer one until it has [`PIECE`] bytes; so neither are there many keys, nor is much written again. A reader finds a
//!   piece as a whole.
//! * Memory is dearer than disk: after [`MOST_BYTES`] the events take no further details.
//! * A run counts as worked on while its coordinator gives signs of life, as for whoever wants to resume it.

use super::about::About;
use super::folder::FolderError;
use super::history::lines_of;
use super::line::Line;
use super::place::Place;
use super::records::Records;
use crate::ids::RunId;
use crate::journal::JournalError;
use crate::journal::redis::{self, RedisJournal};
use crate::replicas::{Addresses, New, Outcome, Problem, PutId, Replicas, address};
use futures::executor::block_on;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// A piece of the events that has so many bytes is not replaced any more.
pub const PIECE: usize = 16 << 10;

/// Events that have grown to so many bytes take no further details.
pub const MOST_BYTES: u64 = 8 << 20;

/// How long an event waits to be written with others.
const FLUSH: Duration = Duration::from_millis(200);

/// What the keys of records begin with.
const RECORDS: &str = "kappa:r:";

/// All that is recorded of a run.
pub(crate) fn record_keys(run: RunId) -> String {
    format!("{RECORDS}{run}/*")
}

pub(crate) fn about_key(run: RunId) -> String {
    format!("{RECORDS}{run}/about")
}

fn events_key(run: RunId, number: u64) -> String {
    format!("{RECORDS}{run}/events/{number:020}")
}

fn events_keys(run: RunId) -> String {
    format!("{RECORDS}{run}/events/*")
}

fn cancel_key(run: RunId) -> String {
    format!("{RECORDS}{run}/cancel")
}

/// The record of a run whose journal this process has.
pub(crate) struct OnServers {
    /// Kept until the record is complete.
    journal: Arc<RedisJournal>,
    about: Option<PutId>,
    last: Piece,
}

/// The last piece of the events.
#[derive(Default)]
struct Piece {
    number: u64,
    id: Option<PutId>,
    lines: Vec<u8>,
}

impl OnServers {
    pub(crate) fn new(journal: Arc<RedisJournal>) -> Self {
        OnServers {
            journal,
            about: None,
            last: Piece::default(),
        }
    }

    fn replicas(&self) -> &Replicas {
        self.journal.replicas()
    }

    fn put(&self, key: &str, value: &[u8], replaces: Option<PutId>) -> io::Result<PutId> {
        let new = New {
            key,
            value,
            replaces,
            guard: Some(self.journal.guard()),
            previous: None,
        };
        match block_on(self.replicas().put(new)).map_err(failed)? {
            Outcome::Done(id) => Ok(id),
            Outcome::Taken | Outcome::Fenced | Outcome::NothingBefore => {
                Err(io::Error::other("another process has taken the run over"))
            }
        }
    }
}

fn failed(problem: Problem) -> io::Error {
    io::Error::other(problem.to_string())
}

pub(crate) async fn read_about(replicas: &Replicas, run: RunId) -> io::Result<(PutId, About)> {
    let (id, bytes) = match replicas.get_named(&about_key(run)).await.map_err(failed)? {
        Some(read) => read,
        None => return Err(io::Error::new(io::ErrorKind::NotFound, "there is none")),
    };
    let about = serde_json::from_slice(&bytes).map_err(|cause| io::Error::new(io::ErrorKind::InvalidData, cause))?;
    Ok((id, about))
}

/// The pieces of the events that there are, in order.
async fn pieces(replicas: &Replicas, run: RunId) -> Result<Vec<Piece>, Problem> {
    let mut pieces = Vec::new();
    for key in replicas.list(&events_keys(run)).await? {
        let number = key.rsplit('/').next().and_then(|number| number.parse().ok());
        // One that is gone since was removed with its run.
        if let (Some(number), Some((id, lines))) = (number, replicas.get_named(&key).await?) {
            let lines = lines.to_vec();
            let id = Some(id);
            pieces.push(Piece { number, id, lines });
        }
    }
    Ok(pieces)
}

/// Reads lines from pieces, each of which has whole ones.
fn read_lines(pieces: &[Piece], take: &mut dyn FnMut(Line)) -> io::Result<u64> {
    let mut damaged = 0;
    for piece in pieces {
        damaged += lines_of(&piece.lines[..], &mut *take)?;
    }
    Ok(damaged)
}

impl Place for OnServers {
    fn name(&self) -> String {
        format!("of run {} on {}", self.journal.run(), self.replicas().name())
    }

    fn about(&self) -> io::Result<About> {
        block_on(read_about(self.replicas(), self.journal.run())).map(|(_, about)| about)
    }

    /// What a coordinator was writing when it died may be on some of the servers only.
    fn mend(&mut self) -> io::Result<u64> {
        let run = self.journal.run();
        block_on(async {
            self.replicas().align(&about_key(run)).await?;
            self.replicas().align(&events_keys(run)).await
        })
        .map_err(failed)?;
        self.open()
    }

    fn lines(&self, take: &mut dyn FnMut(Line)) -> io::Result<u64> {
        let pieces = block_on(pieces(self.replicas(), self.journal.run())).map_err(failed)?;
        read_lines(&pieces, take)
    }

    fn open(&mut self) -> io::Result<u64> {
        let run = self.journal.run();
        let mut pieces = block_on(pieces(self.replicas(), run)).map_err(failed)?;
        let bytes = pieces.iter().map(|piece| piece.lines.len() as u64).sum();
        self.last = pieces.pop().unwrap_or_default();
        let about = block_on(self.replicas().get_named(&about_key(run))).map_err(failed)?;
        self.about = about.map(|(id, _)| id);
        Ok(bytes)
    }

    fn write_about(&mut self, about: &About) -> io::Result<()> {
        let text = serde_json::to_vec(about)?;
        self.about = Some(self.put(&about_key(self.journal.run()), &text, self.about)?);
        Ok(())
    }

    fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        if self.last.lines.len() >= PIECE {
            self.last = Piece {
                number: self.last.number + 1,
                ..Piece::default()
            };
        }
        self.last.lines.extend_from_slice(lines);
        let key = events_key(self.journal.run(), self.last.number);
        self.last.id = Some(self.put(&key, &self.last.lines, self.last.id)?);
        Ok(())
    }

    fn is_cancellation_wanted(&self) -> bool {
        let read = block_on(self.replicas().get(&cancel_key(self.journal.run())));
        read.is_ok_and(|wanted| wanted.is_some())
    }

    fn forget_cancellation(&self) {
        let key = [cancel_key(self.journal.run())];
        if let Err(problem) = block_on(self.replicas().delete(&key, Some(self.journal.guard()))) {
            tracing::debug!(%problem, "that a run was to be cancelled stays written; it has ended");
        }
    }

    fn flush(&self) -> Duration {
        FLUSH
    }

    fn most_bytes(&self) -> u64 {
        MOST_BYTES
    }
}

/// A state on Redis servers.
pub struct StateServers {
    url: String,
    replicas: Arc<Replicas>,
}

impl StateServers {
    /// The state on the servers of this URL, waiting some seconds for them if they are not there.
    ///
    /// # Errors
    /// If it names no servers, or they are not there.
    pub fn open(url: &str) -> Result<Self, FolderError> {
        let failed = |cause| FolderError::Servers {
            action: "look for runs",
            servers: address::shown(url),
            cause,
        };
        let addresses = Addresses::parse(url).map_err(failed)?;
        let replicas = Replicas::new(addresses).map_err(|cause| failed(cause.to_string()))?;
        replicas.until_ready().map_err(|problem| failed(problem.to_string()))?;
        Ok(StateServers {
            url: url.to_string(),
            replicas,
        })
    }

    /// Asks the servers, blocking this thread.
    fn ask<T, F>(&self, action: &'static str, work: impl FnOnce(Arc<Replicas>) -> F) -> Result<T, FolderError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Problem>> + Send + 'static,
    {
        let asked = self.replicas.block_on(work);
        asked.map_err(|problem| FolderError::Servers {
            action,
            servers: self.replicas.name(),
            cause: problem.to_string(),
        })
    }
}

impl Records for StateServers {
    fn name(&self) -> String {
        self.replicas.name()
    }

    fn place(&self) -> PathBuf {
        PathBuf::from(&self.url)
    }

    fn runs(&self) -> Result<Vec<RunId>, FolderError> {
        self.ask("list the runs", |replicas| async move { redis::runs(&replicas).await })
    }

    fn about(&self, run: RunId) -> Result<About, FolderError> {
        let read = self.ask("read a run's record", move |replicas| async move {
            Ok(read_about(&replicas, run).await)
        });
        let (_, about) = read?.map_err(|cause| FolderError::NoRecord {
            run,
            state: self.name(),
            cause,
        })?;
        Ok(about)
    }

    fn lines(&self, run: RunId, take: &mut dyn FnMut(Line)) -> Result<u64, FolderError> {
        let pieces = self.ask("read a run's record", move |replicas| async move {
            pieces(&replicas, run).await
        })?;
        read_lines(&pieces, take).map_err(|cause| FolderError::NoRecord {
            run,
            state: self.name(),
            cause,
        })
    }

    fn is_worked_on(&self, run: RunId) -> bool {
        let asked = self.ask("see who works on a run", move |replicas| async move {
            redis::is_worked_on(&replicas, run).await
        });
        asked.unwrap_or(false)
    }

    fn ask_to_cancel(&self, run: RunId) -> Result<(), FolderError> {
        self.ask("ask for the cancellation of a run", move |replicas| async move {
            let new = New {
                key: &cancel_key(run),
                value: b"",
                replaces: None,
                guard: None,
                previous: None,
            };
            // Somebody may have asked before.
            replicas.put(new).await.map(|_| ())
        })
    }

    fn remove(&self, run: RunId, objects: &mut dyn FnMut() -> Result<(), String>) -> Result<(), FolderError> {
        let taken = self.ask("remove a run", move |replicas| async move {
            Ok(RedisJournal::take(&replicas, run).await)
        })?;
        let journal = match taken {
            Ok(journal) => journal,
            // Somebody else has removed it.
            Err(JournalError::NotFound { .. }) => return Ok(()),
            Err(JournalError::InUse { .. }) => return Err(FolderError::InUse(run)),
            Err(error) => return Err(error.into()),
        };
        objects().map_err(|cause| FolderError::Objects { run, cause })?;
        self.ask("remove a run", move |_| async move { Ok(journal.delete().await) })??;
        Ok(())
    }
}

impl Drop for StateServers {
    /// Lets leases that were taken be given back.
    fn drop(&mut self) {
        let quiet = self.replicas.block_on(|replicas| async move {
            replicas.until_quiet().await;
            Ok(())
        });
        if let Err(problem) = quiet {
            tracing::debug!(%problem, "whether all leases are given back is not known");
        }
    }
}

impl std::fmt::Debug for StateServers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "StateServers({})", self.replicas.name())
    }
}
