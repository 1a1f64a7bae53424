//! Where worker processes put their temporary files: a folder for each, inside one folder of the platform.
//!
//! Guarantees that nothing of a killed worker stays behind: its folder is removed when the process has been buried, and the platform's with the
//! platform, also if this whole process is killed. Where the system cannot do that, the next platform that is made on the machine removes what was
//! left: whoever lives holds a lock on its folder.

use crate::temporary::TemporaryFolder;
use parking_lot::Mutex;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use tempfile::TempDir;

/// What the names of all such folders begin with.
const PREFIX: &str = "kappa-workers-";

/// The file inside that is locked as long as the folder is in use.
const LOCK: &str = "lock";

/// The folder of one platform.
pub(super) struct Scratch {
    folder: Mutex<Option<TemporaryFolder>>,
    /// Closing it ends the lock.
    _lock: File,
}

impl Scratch {
    /// A folder for a new platform, below the system's folder for temporary files.
    pub(super) fn new() -> io::Result<Self> {
        Self::below(&std::env::temp_dir())
    }

    fn below(place: &Path) -> io::Result<Self> {
        let failed = |cause: io::Error| {
            let message = format!(
                "no folder for temporary files can be made in {}: {cause}",
                place.display()
            );
            io::Error::new(cause.kind(), message)
        };
        let folder = TemporaryFolder::new(PREFIX, place).map_err(failed)?;
        // Locked before it has its name: nobody ever sees it unlocked while this process lives.
        let unnamed = folder.path().join("new");
        let lock = File::create_new(&unnamed).map_err(failed)?;
        lock.try_lock().map_err(io::Error::from).map_err(failed)?;
        fs::rename(unnamed, folder.path().join(LOCK)).map_err(failed)?;
        sweep(place, folder.path().metadata().map_err(failed)?.uid());
        Ok(Scratch {
            folder: Mutex::new(Some(folder)),
            _lock: lock,
        })
    }

    /// A folder for one worker; dropping it removes it with everything inside.
    pub(super) fn worker(&self) -> io::Result<TempDir> {
        match &*self.folder.lock() {
            Some(folder) => tempfile::tempdir_in(folder.path()).map_err(|cause| {
                let message = format!(
                    "no folder for a worker's temporary files can be made in {}: {cause}; make room there, or name another place with TMPDIR",
                    folder.path().display()
                );
                io::Error::new(cause.kind(), message)
            }),
            None => Err(io::Error::other("the platform has been shut down")),
        }
    }

    /// The processes of this group, those that a worker has started too, end with this process at the latest, however that ends.
    pub(super) fn begin_group(&self, group: u32) {
        if let Some(folder) = &mut *self.folder.lock() {
            folder.begin_group(group);
        }
    }

    /// They have ended.
    pub(super) fn end_group(&self, group: u32) {
        if let Some(folder) = &mut *self.folder.lock() {
            folder.end_group(group);
        }
    }

    /// Removes the folder with everything inside; there will be none for workers any more.
    pub(super) fn remove(&self) {
        drop(self.folder.lock().take());
    }
}

/// Removes what killed processes of this user have left. What cannot be removed now is the next one's to try.
fn sweep(place: &Path, user: u32) {
    let Ok(entries) = fs::read_dir(place) else { return };
    for entry in entries.flatten() {
        let is_ours = entry.file_name().to_string_lossy().starts_with(PREFIX)
            && entry
                .metadata()
                .is_ok_and(|about| about.is_dir() && about.uid() == user);
        if is_ours && is_abandoned(&entry.path()) {
            // If it fails, another process is sweeping it, or a worker is just dying.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

fn is_abandoned(folder: &Path) -> bool {
    // Without a lock it is being made just now.
    let Ok(lock) = OpenOptions::new().read(true).write(true).open(folder.join(LOCK)) else {
        return false;
    };
    !matches!(lock.try_lock(), Err(TryLockError::WouldBlock | TryLockError::Error(_)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(place: &Path) -> usize {
        fs::read_dir(place).unwrap().count()
    }

    #[test]
    fn r13_what_a_killed_process_left_is_removed_and_what_a_living_one_uses_is_not() {
        let place = tempfile::tempdir().unwrap();
        let living = Scratch::below(place.path()).unwrap();
        // What a killed process leaves if nobody removes it for it: its lock ends, its folder stays.
        let left = place.path().join("kappa-workers-of-a-killed-one");
        fs::create_dir(&left).unwrap();
        fs::write(left.join(LOCK), "").unwrap();
        fs::write(left.join("spilled"), "rows").unwrap();

        let next = Scratch::below(place.path()).unwrap();
        assert!(!left.exists());
        assert!(living.worker().unwrap().path().exists() && next.worker().unwrap().path().exists());
        drop((living, next));
        assert_eq!(names(place.path()), 0);
    }

    #[test]
    fn others_folders_are_left_alone() {
        let place = tempfile::tempdir().unwrap();
        fs::create_dir(place.path().join("kappa-workers-being-made")).unwrap();
        fs::create_dir(place.path().join("something-else")).unwrap();
        fs::write(place.path().join("something-else").join(LOCK), "").unwrap();
        drop(Scratch::below(place.path()).unwrap());
        assert_eq!(names(place.path()), 2);
    }

    #[test]
    fn a_place_that_is_not_there_is_named() {
        let failed = Scratch::below(Path::new("/nowhere/at/all")).err().unwrap();
        assert!(failed.to_string().contains("/nowhere/at/all"), "{failed}");
    }
}
