//! A journal in a folder of its own: one file that grows, and beside it the latest snapshot.
//!
//! Guarantees that what was appended survives the death of this process, and with [`Durability::Machine`] that of the machine; that a batch
//! is there as a whole or not at all, also after a death in the middle of writing it; that a journal is there as a whole or not at all, also after
//! a death in the middle of making it; that only one process has it open; and that damage before the last batch is refused, not taken for the end.
//!
//! ```text
//! lock          held by whoever has the journal open
//! log-N         the batches since snapshot N, one after the other (`log-0`: from the beginning)
//! snapshot-N    stands for everything before `log-N`
//! ```
//!
//! A snapshot is written under another name, with its empty log beside it, and becomes the journal's by being renamed; the files with smaller numbers
//! are then of no use, and deleted. Each of these steps is on the disk before the next, whatever the journal is to survive: so a loss of power takes what was
//! appended since the last snapshot at most. Without [`Durability::Machine`] whole file systems are waited for, at a snapshot and before anything is deleted: the
//! objects in a store beside the journal are on the disk before what names them counts. (A store on another file system has to be `file+sync:`.) A disk that
//! has brought a later batch to its place and not one before it is refused as damaged. Why not an embedded database: nothing is ever looked up, a checkpoint is worth one `write`, and opening has to cost the
//! same after a million of them as after a hundred.

mod log;

use super::records::split;
use super::{Journal, JournalError};
use crate::disk;
use async_trait::async_trait;
use log::{Log, LogError, UNFINISHED, read_whole, write_whole};
use parking_lot::Mutex;
use std::fs::{self, File, TryLockError};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What an appended record survives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// The death of this process: the operating system has it.
    #[default]
    Process,
    /// A power failure: the disk has it (`fdatasync` for each batch).
    Machine,
}

/// Records are replaced by a snapshot when they have so many bytes: reading them again takes less than a millisecond, and writing a snapshot costs less than
/// a hundredth of what was appended meanwhile.
const SNAPSHOT_FLOOR: usize = 256 << 10;

/// How long a lock is waited for: what is left of a run that was stopped in this process lets go of it a moment later.
const LOCK_TRIES: u32 = 30;
const LOCK_PAUSE: Duration = Duration::from_millis(10);

/// The record of one run in a folder of its own.
pub struct FileJournal {
    path: PathBuf,
    durability: Durability,
    current: Mutex<Current>,
    /// The system releases it with this process.
    _lock: File,
}

struct Current {
    /// The number of the snapshot, and of the log that follows it.
    number: u64,
    log: Log,
    /// What a write has failed with: nobody knows how much of it the disk has, so nothing more is written.
    failure: Option<JournalError>,
}

impl FileJournal {
    /// Makes a new journal in a folder that does not exist yet.
    ///
    /// # Errors
    /// If there is something already, or the folder cannot be made.
    pub fn create(path: &Path, durability: Durability) -> Result<Self, JournalError> {
        let failed = |cause: io::Error| unavailable(path, "create", cause);
        if path.exists() {
            return Err(unavailable(path, "create", "there is something already"));
        }
        disk::make_private_folders(path, durability).map_err(failed)?;
        let lock = lock(path).map_err(|trouble| trouble.explain(path, "create"))?;
        let log = Log::create(&log_path(path, 0), durability).map_err(failed)?;
        disk::sync_folder(path, durability).map_err(failed)?;
        disk::sync_way_to(path, durability).map_err(failed)?;
        Ok(Self::with(path, durability, lock, 0, log))
    }

    /// Opens the journal that another coordinator has left. May block for a moment.
    ///
    /// # Errors
    /// [`JournalError::NotFound`] if there is none, [`JournalError::InUse`] if another process has it open, [`JournalError::Unavailable`] if it is damaged.
    pub fn open(path: &Path, durability: Durability) -> Result<Self, JournalError> {
        let failed = |cause: io::Error| unavailable(path, "open", cause);
        // Half of one, whose maker was killed, is none: nothing has ever been recorded there.
        let not_found = || JournalError::NotFound {
            place: path.display().to_string(),
        };
        if latest(path).map_err(failed)?.is_none() {
            return Err(not_found());
        }
        let lock = lock(path).map_err(|trouble| trouble.explain(path, "open"))?;
        // Whoever had it open may have gone on until a moment ago.
        let number = latest(path).map_err(failed)?.ok_or_else(not_found)?;
        let log = Log::open(&log_path(path, number), durability).map_err(|error| damaged(path, "open", error))?;
        // What it replaces is the last thing that could help if it cannot be read.
        if number > 0 {
            read_whole(&snapshot_path(path, number), number).map_err(|error| damaged(path, "open", error))?;
        }
        // It may have been made by somebody who did not wait for the disk.
        sync_all(path, number, durability).map_err(failed)?;
        delete_older(path, number).map_err(failed)?;
        Ok(Self::with(path, durability, lock, number, log))
    }

    fn with(path: &Path, durability: Durability, lock: File, number: u64, log: Log) -> Self {
        FileJournal {
            path: path.to_path_buf(),
            durability,
            current: Mutex::new(Current {
                number,
                log,
                failure: None,
            }),
            _lock: lock,
        }
    }

    /// Does this, unless something has failed before, and remembers if it fails.
    fn write(&self, action: &str, write: impl FnOnce(&mut Current) -> io::Result<()>) -> Result<(), JournalError> {
        let mut current = self.current.lock();
        if let Some(failure) = &current.failure {
            return Err(failure.clone());
        }
        let written = write(&mut current).map_err(|cause| unavailable(&self.path, action, cause));
        if let Err(failure) = &written {
            current.failure = Some(failure.clone());
        }
        written
    }

    fn replace(&self, current: &mut Current, snapshot: &[u8]) -> io::Result<()> {
        let number = current.number.saturating_add(1);
        let its = snapshot_path(&self.path, number);
        let new = its.with_extension(UNFINISHED);
        write_whole(&new, number, snapshot, self.durability)?;
        let log = Log::create(&log_path(&self.path, number), self.durability)?;
        match self.durability {
            Durability::Machine => {
                log.sync()?;
                // A snapshot without its log would be a damaged journal.
                disk::sync_folder(&self.path, Durability::Machine)?;
                disk::rename(&new, &its)?;
                disk::sync_folder(&self.path, Durability::Machine)?;
            }
            // What is replaced here is all records; and the objects that the snapshot names have not been waited for, either.
            Durability::Process => {
                disk::sync_file_system(&self.path)?;
                disk::rename(&new, &its)?;
                disk::sync_file_system(&self.path)?;
            }
        }
        let (old_log, old) = (current.log.path().to_path_buf(), current.number);
        (current.number, current.log) = (number, log);
        // One that stays is deleted by whoever opens the journal next.
        let _ = disk::remove(&old_log);
        let _ = disk::remove(&snapshot_path(&self.path, old));
        Ok(())
    }
}

#[async_trait]
impl Journal for FileJournal {
    async fn append(&self, records: Vec<Vec<u8>>) -> Result<(), JournalError> {
        if records.is_empty() {
            return Ok(());
        }
        self.write("append", |current| current.log.append(&records))
    }

    async fn snapshot(&self, snapshot: Vec<u8>) -> Result<(), JournalError> {
        self.write("write a snapshot", |current| self.replace(current, &snapshot))
    }

    async fn load(&self) -> Result<(Option<Vec<u8>>, Vec<Vec<u8>>), JournalError> {
        let current = self.current.lock();
        let path = snapshot_path(&self.path, current.number);
        let snapshot = match read_whole(&path, current.number) {
            Ok(snapshot) => Some(snapshot),
            Err(LogError::Io(cause)) if cause.kind() == ErrorKind::NotFound && current.number == 0 => None,
            Err(error) => return Err(damaged(&self.path, "read", error)),
        };
        let batches = current.log.read().map_err(|error| damaged(&self.path, "read", error))?;
        let mut records = Vec::new();
        for batch in batches {
            split(&batch, &mut records).ok_or_else(|| unavailable(&self.path, "read", "a batch is damaged"))?;
        }
        Ok((snapshot, records))
    }

    /// What only has to outlive this process is with the operating system in microseconds: less than another thread takes to be woken.
    fn is_immediate(&self) -> bool {
        self.durability == Durability::Process
    }

    async fn sync(&self) -> Result<(), JournalError> {
        if self.durability == Durability::Machine {
            return Ok(());
        }
        // Others go on appending meanwhile. With the log, the objects that it names have to be on the disk.
        let failed = |cause: io::Error| unavailable(&self.path, "sync", cause);
        let path = self.path.clone();
        let synced = tokio::task::spawn_blocking(move || disk::sync_file_system(&path)).await;
        synced.map_err(io::Error::other).flatten().map_err(failed)
    }

    fn may_lose_its_end(&self) -> bool {
        self.durability == Durability::Process
    }

    fn longest_snapshot(&self) -> usize {
        u32::MAX as usize
    }

    fn snapshot_floor(&self) -> usize {
        SNAPSHOT_FLOOR
    }
}

fn log_path(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("log-{number}"))
}

fn snapshot_path(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("snapshot-{number}"))
}

/// The numbers behind this word in the names of the folder's files.
fn numbers(folder: &Path, word: &str) -> io::Result<Vec<u64>> {
    let entries = match fs::read_dir(folder) {
        Err(cause) if matches!(cause.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut numbers = Vec::new();
    for entry in entries {
        let name = entry?.file_name();
        let number: Option<u64> = name.to_str().and_then(|name| name.strip_prefix(word)?.parse().ok());
        numbers.extend(number);
    }
    Ok(numbers)
}

/// The number of the snapshot that counts; 0 if there is none yet, nothing if there is no journal.
fn latest(folder: &Path) -> io::Result<Option<u64>> {
    match numbers(folder, "snapshot-")?.into_iter().max() {
        Some(number) => Ok(Some(number)),
        None => match log::has_beginning(&log_path(folder, 0))? {
            true => Ok(Some(0)),
            // Without its beginning nothing was ever recorded there: its maker was killed, or the machine was.
            false => match numbers(folder, "log-")?.into_iter().max() {
                Some(number @ 1..) => Err(io::Error::other(format!(
                    "snapshot-{number} is not there, and log-{number} goes on from it: the disk has lost what it had acknowledged, or the file was deleted"
                ))),
                _ => Ok(None),
            },
        },
    }
}

/// What the snapshot stands for, a log that was made for one that never came, and what was not finished.
fn delete_older(folder: &Path, number: u64) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == UNFINISHED) {
            fs::remove_file(path)?;
        }
    }
    for log in numbers(folder, "log-")?.into_iter().filter(|other| *other != number) {
        fs::remove_file(log_path(folder, log))?;
    }
    for snapshot in numbers(folder, "snapshot-")?
        .into_iter()
        .filter(|other| *other < number)
    {
        fs::remove_file(snapshot_path(folder, snapshot))?;
    }
    Ok(())
}

/// Makes what a journal consists of outlive the machine, whoever has written it.
fn sync_all(folder: &Path, number: u64, durability: Durability) -> io::Result<()> {
    if durability == Durability::Machine && number > 0 {
        File::open(snapshot_path(folder, number))?.sync_all()?;
    }
    disk::sync_folder(folder, durability)?;
    disk::sync_way_to(folder, durability)
}

/// Why a journal is not ours.
enum LockTrouble {
    Held,
    Io(io::Error),
}

impl LockTrouble {
    fn explain(self, path: &Path, action: &str) -> JournalError {
        match self {
            LockTrouble::Held => JournalError::InUse {
                place: path.display().to_string(),
            },
            LockTrouble::Io(cause) => unavailable(path, action, cause),
        }
    }
}

fn lock(folder: &Path) -> Result<File, LockTrouble> {
    let mut options = File::options();
    let options = options.write(true).create(true).truncate(false);
    let file = options.open(folder.join("lock")).map_err(LockTrouble::Io)?;
    for _ in 0..LOCK_TRIES {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) => std::thread::sleep(LOCK_PAUSE),
            Err(TryLockError::Error(cause)) => return Err(LockTrouble::Io(cause)),
        }
    }
    Err(LockTrouble::Held)
}

fn unavailable(path: &Path, action: &str, cause: impl ToString) -> JournalError {
    JournalError::Unavailable {
        place: path.display().to_string(),
        action: action.to_string(),
        cause: cause.to_string(),
    }
}

fn damaged(path: &Path, action: &str, error: LogError) -> JournalError {
    match error {
        LogError::Io(cause) => unavailable(path, action, cause),
        LogError::Damaged(what) => unavailable(
            path,
            action,
            format!(
                "{what}; the disk has changed or lost what it had acknowledged, so the run cannot be trusted to go on from here"
            ),
        ),
    }
}

#[cfg(test)]
mod tests;
