//! A journal in a folder, kept by the embedded store `fjall`.
//!
//! Guarantees that what was appended survives the death of this process, and with [`Durability::Machine`] that of the machine; that a batch
//! is there as a whole or not at all, also after a death in the middle of writing it; that a journal is there as a whole or not at all, also after
//! a death in the middle of making it; and that only one process has it open.
//!
//! One key per batch of records, counting up, and one key for the snapshot together with the number of the first batch after it. A snapshot is
//! written in one atomic step with the removal of the batches for which it stands.

use super::records::{join, split};
use super::{Journal, JournalError};
use async_trait::async_trait;
use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};
use parking_lot::Mutex;
use std::fs::File;
use std::path::{Path, PathBuf};

/// What an appended record survives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// The death of this process: the operating system has it.
    #[default]
    Process,
    /// A power failure: the disk has it (`fdatasync` for each batch).
    Machine,
}

/// The record of one run in a folder of its own.
pub struct FileJournal {
    path: PathBuf,
    database: Database,
    keyspace: Keyspace,
    persist: PersistMode,
    batches: Mutex<Batches>,
}

/// Numbers of the batches that the latest snapshot does not stand for: `first..next`.
#[derive(Clone, Copy, Debug)]
struct Batches {
    first: u64,
    next: u64,
}

/// The file that says that a journal has been made: beside its folder, in which everything belongs to the embedded store.
fn seal_of(path: &Path) -> PathBuf {
    path.with_extension("made")
}

fn seal(path: &Path, durability: Durability) -> std::io::Result<()> {
    let seal = seal_of(path);
    let file = File::create(&seal)?;
    if durability == Durability::Machine {
        file.sync_all()?;
        if let Some(folder) = seal.parent() {
            File::open(folder)?.sync_all()?;
        }
    }
    Ok(())
}

const SNAPSHOT_KEY: &[u8] = b"snapshot";
const BATCH_PREFIX: &[u8] = b"batch/";
const KEYSPACE: &str = "journal";
/// What is waiting to be written to a table, in bytes. A journal is small: snapshots replace most of it before it gets there.
const MEMTABLE_BYTES: u64 = 8 << 20;
/// Records are read once, at a recovery: a cache would only cost memory.
const CACHE_BYTES: u64 = 1 << 20;

impl FileJournal {
    /// Makes a new journal in a folder that does not exist yet.
    ///
    /// # Errors
    /// If there is something already, or the folder cannot be made.
    pub fn create(path: &Path, durability: Durability) -> Result<Self, JournalError> {
        if path.exists() {
            return Err(unavailable(path, "create", "there is something already"));
        }
        std::fs::create_dir_all(path).map_err(|cause| unavailable(path, "create", cause))?;
        let journal = Self::open_existing(path, durability)?;
        seal(path, durability).map_err(|cause| unavailable(path, "create", cause))?;
        Ok(journal)
    }

    /// Opens the journal that another coordinator has left.
    ///
    /// # Errors
    /// [`JournalError::NotFound`] if there is none, [`JournalError::InUse`] if another process has it open.
    pub fn open(path: &Path, durability: Durability) -> Result<Self, JournalError> {
        // Half of one, whose maker was killed, is none: nothing has ever been recorded there.
        if !seal_of(path).exists() {
            return Err(JournalError::NotFound {
                place: path.display().to_string(),
            });
        }
        Self::open_existing(path, durability)
    }

    fn open_existing(path: &Path, durability: Durability) -> Result<Self, JournalError> {
        let failed = |cause| explain(path, "open", &cause);
        let database = Database::builder(path)
            .worker_threads(1)
            .cache_size(CACHE_BYTES)
            .open()
            .map_err(failed)?;
        let options = || KeyspaceCreateOptions::default().max_memtable_size(MEMTABLE_BYTES);
        let keyspace = database.keyspace(KEYSPACE, options).map_err(failed)?;
        let persist = match durability {
            Durability::Process => PersistMode::Buffer,
            Durability::Machine => PersistMode::SyncData,
        };
        let first = match keyspace.get(SNAPSHOT_KEY).map_err(failed)? {
            Some(value) => split_snapshot(path, &value)?.0,
            None => 0,
        };
        let mut next = first;
        for entry in keyspace.prefix(BATCH_PREFIX) {
            let key = entry.key().map_err(failed)?;
            next = next.max(batch_number(path, &key)? + 1);
        }
        let batches = Mutex::new(Batches { first, next });
        Ok(FileJournal {
            path: path.to_path_buf(),
            database,
            keyspace,
            persist,
            batches,
        })
    }

    fn append_now(&self, records: &[Vec<u8>]) -> Result<(), fjall::Error> {
        let mut batches = self.batches.lock();
        let mut write = self.database.batch().durability(Some(self.persist));
        write.insert(&self.keyspace, batch_key(batches.next), join(records));
        write.commit()?;
        batches.next += 1;
        Ok(())
    }

    fn snapshot_now(&self, snapshot: &[u8]) -> Result<(), fjall::Error> {
        let mut batches = self.batches.lock();
        let mut value = batches.next.to_be_bytes().to_vec();
        value.extend_from_slice(snapshot);
        let mut write = self.database.batch().durability(Some(self.persist));
        write.insert(&self.keyspace, SNAPSHOT_KEY, value);
        for number in batches.first..batches.next {
            write.remove(&self.keyspace, batch_key(number));
        }
        write.commit()?;
        batches.first = batches.next;
        Ok(())
    }
}

#[async_trait]
impl Journal for FileJournal {
    async fn append(&self, records: Vec<Vec<u8>>) -> Result<(), JournalError> {
        if records.is_empty() {
            return Ok(());
        }
        self.append_now(&records)
            .map_err(|cause| explain(&self.path, "append", &cause))
    }

    async fn snapshot(&self, snapshot: Vec<u8>) -> Result<(), JournalError> {
        self.snapshot_now(&snapshot)
            .map_err(|cause| explain(&self.path, "write a snapshot", &cause))
    }

    async fn load(&self) -> Result<(Option<Vec<u8>>, Vec<Vec<u8>>), JournalError> {
        let failed = |cause| explain(&self.path, "read", &cause);
        let snapshot = match self.keyspace.get(SNAPSHOT_KEY).map_err(failed)? {
            Some(value) => Some(split_snapshot(&self.path, &value)?.1.to_vec()),
            None => None,
        };
        let Batches { first, next } = *self.batches.lock();
        let mut records = Vec::new();
        for number in first..next {
            let value = self.keyspace.get(batch_key(number)).map_err(failed)?;
            let value = value.ok_or_else(|| unavailable(&self.path, "read", format!("batch {number} is missing")))?;
            split(&value, &mut records)
                .ok_or_else(|| unavailable(&self.path, "read", format!("batch {number} is damaged")))?;
        }
        Ok((snapshot, records))
    }
}

fn batch_key(number: u64) -> Vec<u8> {
    [BATCH_PREFIX, &number.to_be_bytes()].concat()
}

fn batch_number(path: &Path, key: &[u8]) -> Result<u64, JournalError> {
    let number = key.strip_prefix(BATCH_PREFIX).and_then(|number| number.try_into().ok());
    number
        .map(u64::from_be_bytes)
        .ok_or_else(|| unavailable(path, "read", "a key that is none of ours"))
}

fn split_snapshot<'a>(path: &Path, value: &'a [u8]) -> Result<(u64, &'a [u8]), JournalError> {
    match value.split_first_chunk::<8>() {
        Some((first, snapshot)) => Ok((u64::from_be_bytes(*first), snapshot)),
        None => Err(unavailable(path, "read", "the snapshot is damaged")),
    }
}

fn unavailable(path: &Path, action: &str, cause: impl ToString) -> JournalError {
    JournalError::Unavailable {
        place: path.display().to_string(),
        action: action.to_string(),
        cause: cause.to_string(),
    }
}

fn explain(path: &Path, action: &str, cause: &fjall::Error) -> JournalError {
    match cause {
        fjall::Error::Locked => JournalError::InUse {
            place: path.display().to_string(),
        },
        fjall::Error::Io(cause) => unavailable(path, action, cause),
        other => unavailable(path, action, other),
    }
}

#[cfg(test)]
mod tests;
