//! Where tables grow, and how a finished one gets to its place.
//!
//! A table grows in the hidden folder `.generating` and is moved to its place when all of its parts are on disk. The
//! output folder itself is locked meanwhile (by the operating system, so no lock outlives its process): a second
//! generation waits, then finds the work done.

use super::{GenerateError, file_error};
use crate::data::Table;
use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

/// Where tables grow, inside the output folder. Hidden, so that nothing takes it for a table.
const WORKSHOP: &str = ".generating";

/// Locks the folder against other generations until the file is dropped.
pub(super) fn lock(output: &Path, cancelled: &AtomicBool) -> Result<File, GenerateError> {
    let folder = File::open(output).map_err(file_error("open the folder", output))?;
    loop {
        match folder.try_lock() {
            Ok(()) => return Ok(folder),
            Err(TryLockError::WouldBlock) if cancelled.load(Ordering::Relaxed) => return Err(GenerateError::Cancelled),
            Err(TryLockError::WouldBlock) => thread::sleep(Duration::from_millis(50)),
            // Some network file systems cannot lock; two generations at once then waste work, but do no harm to finished tables.
            Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => return Ok(folder),
            Err(TryLockError::Error(error)) => return Err(file_error("lock the folder", output)(error)),
        }
    }
}

/// The hidden folder where tables grow; gone when dropped.
pub(super) struct Workshop<'a> {
    output: &'a Path,
    path: PathBuf,
}

impl<'a> Workshop<'a> {
    pub(super) fn open(output: &'a Path) -> Result<Self, GenerateError> {
        let path = output.join(WORKSHOP);
        // What is there was left by a generation that was killed: we hold the lock.
        remove_all(&path)?;
        fs::create_dir(&path).map_err(file_error("create the folder", &path))?;
        Ok(Workshop { output, path })
    }

    pub(super) fn folder_of(&self, table: &Table) -> PathBuf {
        self.path.join(table.name)
    }

    /// Moves a finished table to its place, and what was there before out of the way.
    pub(super) fn install(&self, table: &Table) -> Result<(), GenerateError> {
        let place = self.output.join(table.name);
        remove_all(&self.output.join(format!("{}.parquet", table.name)))?;
        if place.exists() {
            let old = self.path.join(format!("{}.old", table.name));
            fs::rename(&place, &old).map_err(file_error("replace the folder", &place))?;
        }
        fs::rename(self.folder_of(table), &place).map_err(file_error("create the folder", &place))
    }
}

impl Drop for Workshop<'_> {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

fn remove_all(path: &Path) -> Result<(), GenerateError> {
    let removed = if path.is_dir() {
        fs::remove_dir_all(path)
    } else {
        fs::remove_file(path)
    };
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(file_error("remove", path)(error)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::folder::missing_tables;
    use crate::data::{Options, Scale, TABLES, generate};

    #[test]
    fn what_a_killed_generation_left_is_swept_away() {
        let folder = tempfile::tempdir().unwrap();
        let half = folder.path().join(WORKSHOP).join("store_sales");
        fs::create_dir_all(&half).unwrap();
        fs::write(half.join("part-0001.parquet"), b"half").unwrap();
        let tiny = Scale::new(0.01).unwrap();
        assert_eq!(missing_tables(folder.path(), tiny).unwrap().len(), TABLES.len());
        let options = Options {
            progress: false,
            ..Options::default()
        };
        generate(tiny, folder.path(), &options, &AtomicBool::new(false)).unwrap();
        assert_eq!(missing_tables(folder.path(), tiny).unwrap().len(), 0);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), TABLES.len());
    }
}
