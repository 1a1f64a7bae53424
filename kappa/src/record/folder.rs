//! A state directory as those see it who look at its runs: which there are, who works on them, and what may be removed.
//!
//! Whoever works on a run holds a lock on a file of its folder. The system releases it when that process dies, however it dies; so a run is never believed to
//! be going on when it is not, or the other way round.

use super::about::About;
use super::line::Line;
use super::recorder::EVENTS;
use super::records::Records;
use super::{history, place};
use crate::disk;
use crate::ids::RunId;
use crate::journal::{Durability, FileJournal, JournalError};
use crate::replicas::address;
use std::fs::{self, File, TryLockError};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

const LOCK: &str = "lock";

/// How long a lock is waited for that somebody may be looking at.
const LOCK_TRIES: u32 = 20;
const LOCK_PAUSE: Duration = Duration::from_millis(10);

/// The state of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// A process is working on it.
    Running,
    /// Nobody works on it, and it has not ended.
    Interrupted,
    /// It has its result.
    Ended,
    /// It ended without one.
    Failed,
    /// It was cancelled.
    Cancelled,
    /// There is no record of it.
    Unknown,
}

impl Standing {
    /// One word for it.
    pub fn word(self) -> &'static str {
        match self {
            Standing::Running => "running",
            Standing::Interrupted => "interrupted",
            Standing::Ended => "ended",
            Standing::Failed => "failed",
            Standing::Cancelled => "cancelled",
            Standing::Unknown => "unknown",
        }
    }

    /// Whether nothing will follow.
    pub fn is_over(self) -> bool {
        matches!(self, Standing::Ended | Standing::Failed | Standing::Cancelled)
    }
}

/// Why a state directory cannot do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// There is nothing of this name.
    #[error("there is no folder {0}")]
    NotThere(PathBuf),
    /// The folder holds no runs.
    #[error("{0} is not the state directory of any run; name the folder that was given to `--state`")]
    NoStateFolder(PathBuf),
    /// What was named cannot keep a state.
    #[error("{state} cannot be a state: {cause}")]
    Elsewhere {
        /// What was named.
        state: String,
        /// What can be one.
        cause: String,
    },
    /// The servers that keep the state do not do what was asked.
    #[error("cannot {action} on {servers}: {cause}")]
    Servers {
        /// What was tried.
        action: &'static str,
        /// Where.
        servers: String,
        /// What happened.
        cause: String,
    },
    /// It cannot be read or written.
    #[error("cannot {action} {path}: {cause}")]
    Unavailable {
        /// What was tried.
        action: &'static str,
        /// Where.
        path: PathBuf,
        /// What the system said.
        cause: io::Error,
    },
    /// There is no such run.
    #[error("there is no run {asked} in {state}{known}")]
    NoSuchRun {
        /// What was asked for.
        asked: String,
        /// Where.
        state: String,
        /// Which there are.
        known: String,
    },
    /// More than one run begins like this.
    #[error("{count} runs begin with {asked}: {first}, ...; write more of the id")]
    Ambiguous {
        /// What was asked for.
        asked: String,
        /// How many.
        count: usize,
        /// The first two of them.
        first: String,
    },
    /// The run's record is missing or damaged.
    #[error(
        "the record of run {run} cannot be read: {cause}; the program that has run it goes on with it all the same, if its journal is whole: \
         `PROGRAM resume {run} --state {state}`"
    )]
    NoRecord {
        /// The run.
        run: RunId,
        /// Where.
        state: String,
        /// Why.
        cause: io::Error,
    },
    /// What is stored of a run cannot be removed.
    #[error("cannot remove the objects of run {run}: {cause}")]
    Objects {
        /// The run.
        run: RunId,
        /// Why.
        cause: String,
    },
    /// A process is working on the run.
    #[error("run {0} is being worked on")]
    InUse(RunId),
    /// The run's journal cannot be opened.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

/// A state directory.
#[derive(Clone, Debug)]
pub struct StateFolder {
    path: PathBuf,
}

impl StateFolder {
    /// The state directory at this path.
    ///
    /// # Errors
    /// If there is none.
    pub fn open(path: &Path) -> Result<Self, FolderError> {
        let unavailable = |cause| FolderError::Unavailable {
            action: "read",
            path: path.to_path_buf(),
            cause,
        };
        match fs::metadata(path.join("runs")) {
            Ok(runs) if runs.is_dir() => {}
            Ok(_) => return Err(FolderError::NoStateFolder(path.to_path_buf())),
            Err(cause) if cause.kind() == ErrorKind::NotFound && !path.exists() => {
                return Err(FolderError::NotThere(path.to_path_buf()));
            }
            Err(cause) if matches!(cause.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
                return Err(FolderError::NoStateFolder(path.to_path_buf()));
            }
            Err(cause) => return Err(unavailable(cause)),
        }
        let path = fs::canonicalize(path).map_err(unavailable)?;
        Ok(StateFolder { path })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The folder of a run.
    pub fn of(&self, run: RunId) -> PathBuf {
        self.path.join("runs").join(run.to_string())
    }
}

impl Records for StateFolder {
    fn name(&self) -> String {
        self.path.display().to_string()
    }

    fn place(&self) -> PathBuf {
        self.path.clone()
    }

    fn runs(&self) -> Result<Vec<RunId>, FolderError> {
        run_folders(&self.path.join("runs"))
    }

    fn about(&self, run: RunId) -> Result<About, FolderError> {
        About::read(&self.of(run)).map_err(|cause| FolderError::NoRecord {
            run,
            state: self.name(),
            cause,
        })
    }

    fn lines(&self, run: RunId, take: &mut dyn FnMut(Line)) -> Result<u64, FolderError> {
        let folder = self.of(run);
        history::lines(&folder, take).map_err(|cause| FolderError::Unavailable {
            action: "read",
            path: folder.join(EVENTS),
            cause,
        })
    }

    fn is_worked_on(&self, run: RunId) -> bool {
        let Ok(file) = File::open(self.of(run).join(LOCK)) else {
            return false;
        };
        matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock))
    }

    fn ask_to_cancel(&self, run: RunId) -> Result<(), FolderError> {
        place::ask_to_cancel(&self.of(run)).map_err(|(path, cause)| FolderError::Unavailable {
            action: "write",
            path,
            cause,
        })
    }

    fn remove(&self, run: RunId, objects: &mut dyn FnMut() -> Result<(), String>) -> Result<(), FolderError> {
        let folder = self.of(run);
        let unavailable = |cause| FolderError::Unavailable {
            action: "remove",
            path: folder.clone(),
            cause,
        };
        if self.is_worked_on(run) {
            return Err(FolderError::InUse(run));
        }
        let journal = match FileJournal::open(&folder.join("journal"), Durability::Process) {
            Ok(journal) => Some(journal),
            Err(JournalError::InUse { .. }) => return Err(FolderError::InUse(run)),
            // Nothing, or nothing that anybody could go on with.
            Err(_) => None,
        };
        objects().map_err(|cause| FolderError::Objects { run, cause })?;
        // Under this name nobody finds it, and whoever comes now does not find the other.
        let doomed = removed_name(&folder);
        disk::rename(&folder, &doomed).map_err(unavailable)?;
        // Else what a loss of power leaves could be half a run under its old name.
        disk::sync_folder(&self.path.join("runs"), Durability::Machine).map_err(unavailable)?;
        drop(journal);
        fs::remove_dir_all(&doomed).map_err(unavailable)
    }

    fn half_removed(&self) -> Result<Vec<PathBuf>, FolderError> {
        let runs = self.path.join("runs");
        let names = read_names(&runs)?.into_iter().filter(|name| name.starts_with(REMOVED));
        Ok(names.map(|name| runs.join(name)).collect())
    }

    fn left_over(&self) -> Result<Vec<(PathBuf, SystemTime)>, FolderError> {
        let known = self.runs()?;
        let mut found = Vec::new();
        for kind in ["runs", "results"] {
            let stored = self.path.join("store").join(kind);
            let runs = run_folders(&stored)?;
            let orphans = runs.into_iter().filter(|run| !known.contains(run));
            let folders = orphans.map(|run| stored.join(run.to_string()));
            found.extend(folders.map(|folder| (folder.clone(), latest_change(&folder))));
        }
        Ok(found)
    }
}

/// What the name of a run's folder begins with that is being removed.
const REMOVED: &str = "removed-";

/// The name under which a run's folder goes: nobody takes it for a run.
pub(crate) fn removed_name(folder: &Path) -> PathBuf {
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    folder.with_file_name(format!("{REMOVED}{name}"))
}

/// The folder, or the URL of Redis servers, that a text for `--state` names.
///
/// # Errors
/// What is wrong with it, and what would be right.
pub fn named_state(state: &Path) -> Result<PathBuf, String> {
    let Some(text) = state.to_str() else {
        return Ok(state.to_path_buf());
    };
    let is_letter = |c: char| c.is_ascii_alphanumeric() || "+-.".contains(c);
    match text.split_once(':') {
        Some(("redis" | "rediss", _)) => Ok(state.to_path_buf()),
        Some(("file", "")) => Err("it names no folder".to_string()),
        Some(("file", folder)) if !folder.starts_with("//") => Ok(PathBuf::from(folder)),
        Some(("file", _)) => Err("write `file:/PATH`, or the folder alone".to_string()),
        Some(("file+sync", folder)) => Err(format!(
            "a state is made to wait for the disk by `--state {folder} --sync`"
        )),
        Some(("s3", _)) => Err(format!(
            "a state is a folder, or Redis servers `redis://HOST[:PORT][,HOST2[:PORT]..]`; S3 can keep large values: `--state DIR --store {}`",
            address::shown(text)
        )),
        Some((scheme, _)) if scheme.starts_with(|c: char| c.is_ascii_alphabetic()) && scheme.chars().all(is_letter) => {
            Err(format!(
                "a state is a folder, or Redis servers `redis://HOST[:PORT][,HOST2[:PORT]..]`; a folder of that name is written `./{}`",
                address::shown(text)
            ))
        }
        _ => Ok(state.to_path_buf()),
    }
}

/// Whether a state is kept in a folder, and not under a URL.
pub fn is_folder(state: &Path) -> bool {
    !state.to_string_lossy().contains("://")
}

/// Says, as long as it lives, that this process works on a run.
#[derive(Debug)]
pub(super) struct Lock {
    _file: File,
}

impl Lock {
    pub(super) fn take(folder: &Path) -> io::Result<Self> {
        let file = File::options()
            .write(true)
            .create(true)
            .truncate(false)
            .open(folder.join(LOCK))?;
        for _ in 0..LOCK_TRIES {
            match file.try_lock() {
                Ok(()) => return Ok(Lock { _file: file }),
                Err(TryLockError::WouldBlock) => std::thread::sleep(LOCK_PAUSE),
                Err(TryLockError::Error(cause)) => return Err(cause),
            }
        }
        Err(io::Error::other("another process works on it"))
    }
}

fn run_folders(folder: &Path) -> Result<Vec<RunId>, FolderError> {
    let names = read_names(folder)?;
    let mut runs: Vec<_> = names.iter().filter_map(|name| RunId::parse(name)).collect();
    runs.sort_unstable();
    Ok(runs)
}

fn read_names(folder: &Path) -> Result<Vec<String>, FolderError> {
    let unavailable = |cause| FolderError::Unavailable {
        action: "read",
        path: folder.to_path_buf(),
        cause,
    };
    let entries = match fs::read_dir(folder) {
        Err(cause) if cause.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(unavailable)?,
    };
    let mut names = Vec::new();
    for entry in entries {
        names.extend(entry.map_err(unavailable)?.file_name().into_string());
    }
    Ok(names)
}

/// The latest change in a tree; now, if that cannot be seen.
fn latest_change(path: &Path) -> SystemTime {
    let changed = fs::symlink_metadata(path).and_then(|metadata| metadata.modified());
    let mut latest = changed.unwrap_or_else(|_| SystemTime::now());
    for entry in fs::read_dir(path).into_iter().flatten().flatten() {
        latest = latest.max(match entry.file_type() {
            Ok(kind) if kind.is_dir() => latest_change(&entry.path()),
            _ => entry
                .metadata()
                .and_then(|metadata| metadata.modified())
                .unwrap_or_else(|_| SystemTime::now()),
        });
    }
    latest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_in_a_mistyped_state_is_not_shown() {
        for state in [
            "valkey://:hidden@a",
            "valkey://me:hid,hidden@a",
            "s3://key:hidden@bucket",
            "redis+tls://:hidden@a/3",
        ] {
            let refused = named_state(Path::new(state)).expect_err(state);
            assert!(!refused.contains("hid"), "{refused}");
        }
        let refused = named_state(Path::new("valkey://a:1")).expect_err("another scheme");
        assert!(refused.contains("./valkey://a:1"), "{refused}");
    }
}
