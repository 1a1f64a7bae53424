//! Objects as files below a folder, for all processes of one machine (or of a shared file system).
//!
//! Guarantees that an object is there whole or not at all, and that no process, however it dies, leaves half an object where others would
//! see it: the bytes go into a file without a name (`O_TMPFILE`), which gets its name by `link`, and `link` fails if the name is taken. Where the file
//! system knows no such files, the bytes go into a file beside the object whose name ends in `~`; if its writer dies, it stays until
//! the prefix above it is deleted, as at the end of every run.
//!
//! The object `runs/7/x` is the file `runs/7/x=`, with checksums in it ([`super::sealed`]): so the objects `a` and `a/b` do not meet. What is written survives the death of every
//! process; as `file+sync:DIR` also that of the machine, for the price of waiting for the disk: for the object and for the folder that names it.

use super::{Store, StoreError, key, sealed};
use crate::disk;
use crate::journal::Durability;
use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use std::collections::HashSet;
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The store `file:DIR`.
#[derive(Clone)]
pub struct FileStore {
    root: Arc<Path>,
    durability: Durability,
    /// Folders whose names are on the disk, with those of the folders above them.
    synced: Arc<Mutex<HashSet<PathBuf>>>,
}

/// So many folders are remembered.
const MOST_SYNCED: usize = 10_000;

/// How often something is tried again when others change the folder under its hands: for about two seconds.
const TRIES: u32 = 64;

/// The first tries follow at once, the later ones after a moment in which others come to their end.
fn be_patient(attempt: u32) {
    if attempt >= 8 {
        std::thread::sleep(Duration::from_millis(attempt.into()));
    }
}

impl FileStore {
    /// Opens the store in this folder. The folder is created; the one that holds it must be there.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] if it cannot be made, or is no folder.
    pub fn open(folder: &Path) -> Result<Self, StoreError> {
        Self::open_as(folder, Durability::Process)
    }

    /// The same, and what is put there survives so much.
    ///
    /// # Errors
    /// As [`FileStore::open`].
    pub fn open_as(folder: &Path, durability: Durability) -> Result<Self, StoreError> {
        let unavailable = |cause: io::Error| StoreError::Unavailable {
            store: url_of(folder, durability),
            action: "open the folder".to_string(),
            retryable: is_retryable(&cause),
            cause: match cause.kind() {
                ErrorKind::NotFound => format!("{cause}; create the folder above it first"),
                _ => cause.to_string(),
            },
        };
        match fs::create_dir(folder) {
            Err(cause) if cause.kind() != ErrorKind::AlreadyExists => return Err(unavailable(cause)),
            _ => {}
        }
        disk::sync_way_to(folder, durability).map_err(unavailable)?;
        let root = fs::canonicalize(folder).map_err(unavailable)?;
        if !root.is_dir() {
            return Err(unavailable(ErrorKind::NotADirectory.into()));
        }
        Ok(FileStore {
            root: root.into(),
            durability,
            synced: Arc::default(),
        })
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.root
    }

    fn file_of(&self, key: &str) -> PathBuf {
        self.root.join(format!("{key}="))
    }

    fn failed(&self, action: &str, key: &str, cause: io::Error) -> StoreError {
        match cause.kind() {
            ErrorKind::NotFound if action == "read" => StoreError::NotFound {
                store: self.url(),
                key: key.to_string(),
            },
            ErrorKind::AlreadyExists => StoreError::AlreadyExists {
                store: self.url(),
                key: key.to_string(),
            },
            ErrorKind::InvalidFilename => {
                StoreError::Invalid(format!("{}: the key {key} is too long for a file's name", self.url()))
            }
            _ => StoreError::Unavailable {
                store: self.url(),
                action: format!("{action} {key}"),
                retryable: is_retryable(&cause),
                cause: with_advice(&cause),
            },
        }
    }

    /// Runs file operations where they may block.
    async fn blocking<T: Send + 'static>(
        &self,
        action: &'static str,
        key: &str,
        work: impl FnOnce(&FileStore) -> io::Result<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let store = self.clone();
        let done = match tokio::task::spawn_blocking(move || work(&store)).await {
            Ok(done) => done,
            Err(cause) => Err(io::Error::other(cause)),
        };
        done.map_err(|cause| self.failed(action, key, cause))
    }

    /// What is in the object's file.
    async fn stored(&self, key: &str) -> Result<Bytes, StoreError> {
        let of = key.to_string();
        let read = move |store: &FileStore| {
            let mut file = File::open(store.file_of(&of))?;
            let length = file.metadata()?.len();
            let mut bytes = Vec::new();
            let capacity = usize::try_from(length).unwrap_or(usize::MAX);
            bytes.try_reserve_exact(capacity).map_err(|_| ErrorKind::OutOfMemory)?;
            file.read_to_end(&mut bytes)?;
            Ok(Bytes::from(bytes))
        };
        self.blocking("read", key, read).await
    }

    /// The same for ranges of it, each as far as the file goes.
    async fn stored_ranges(&self, key: &str, ranges: Vec<Range<u64>>) -> Result<Vec<Bytes>, StoreError> {
        let of = key.to_string();
        let read = move |store: &FileStore| {
            let file = File::open(store.file_of(&of))?;
            let length = file.metadata()?.len();
            let mut parts = Vec::with_capacity(ranges.len());
            for range in ranges {
                let (start, end) = (range.start.min(length), range.end.min(length));
                let capacity = usize::try_from(end.saturating_sub(start)).map_err(|_| ErrorKind::OutOfMemory)?;
                let mut bytes = Vec::new();
                bytes.try_reserve_exact(capacity).map_err(|_| ErrorKind::OutOfMemory)?;
                bytes.resize(capacity, 0);
                file.read_exact_at(&mut bytes, start)?;
                parts.push(Bytes::from(bytes));
            }
            Ok(parts)
        };
        self.blocking("read", key, read).await
    }

    fn write(&self, key: &str, bytes: &[u8]) -> io::Result<()> {
        let file = self.file_of(key);
        let folder = file.parent().unwrap_or(&self.root);
        // Usually the folder is there; it may go at any moment when a prefix is deleted, so this is tried more than once.
        for attempt in 0..TRIES {
            be_patient(attempt);
            match write_new(folder, &file, bytes, self.durability) {
                Err(cause) if cause.kind() == ErrorKind::NotFound => {
                    if !self.root.is_dir() {
                        return Err(io::Error::new(ErrorKind::NotFound, "the store's folder is gone"));
                    }
                    self.synced.lock().remove(folder);
                    disk::make_folders(folder, Durability::Process)?;
                    self.sync_names(folder)?;
                }
                Err(cause) => return Err(cause),
                // Another thread may have made it, and not be done with its names.
                Ok(()) => return self.sync_names(folder),
            }
        }
        Err(io::Error::new(
            ErrorKind::ResourceBusy,
            "its folder is being deleted again and again",
        ))
    }

    /// Makes a folder that was just made outlive the machine: its name, and those of the folders above it.
    fn sync_names(&self, folder: &Path) -> io::Result<()> {
        if self.durability == Durability::Process || self.synced.lock().contains(folder) {
            return Ok(());
        }
        let above = folder
            .ancestors()
            .skip(1)
            .take_while(|above| above.starts_with(&self.root));
        for above in above {
            match disk::sync_folder(above, self.durability) {
                // It was deleted again; whoever needs it makes it again.
                Err(cause) if cause.kind() == ErrorKind::NotFound => return Ok(()),
                done => done?,
            }
        }
        let mut synced = self.synced.lock();
        if synced.len() >= MOST_SYNCED {
            synced.clear();
        }
        synced.insert(folder.to_path_buf());
        Ok(())
    }

    fn remove_prefix(&self, prefix: &str) -> io::Result<()> {
        remove_if_there(&self.file_of(prefix))?;
        let folder = self.root.join(prefix);
        for attempt in 0..TRIES {
            be_patient(attempt);
            match fs::remove_dir_all(&folder) {
                Ok(()) => return Ok(()),
                Err(cause) if cause.kind() == ErrorKind::NotFound => return Ok(()),
                // Somebody has just put an object there.
                Err(cause) if cause.kind() == ErrorKind::DirectoryNotEmpty => {}
                Err(cause) => return Err(cause),
            }
        }
        Err(io::Error::new(
            ErrorKind::ResourceBusy,
            "objects are being put there all the time",
        ))
    }
}

/// Writes a new file, which appears whole or not at all; fails with `AlreadyExists` if there is one.
fn write_new(folder: &Path, file: &Path, bytes: &[u8], durability: Durability) -> io::Result<()> {
    match write_nameless(folder, file, bytes, durability) {
        Err(cause) if has_no_nameless_files(&cause) => write_beside(file, bytes, durability),
        done => done,
    }?;
    match disk::sync_folder(folder, durability) {
        // Its prefix has been deleted in this moment.
        Err(cause) if cause.kind() == ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

fn sync_content(file: &File, durability: Durability) -> io::Result<()> {
    match durability {
        Durability::Process => Ok(()),
        Durability::Machine => file.sync_all(),
    }
}

fn url_of(folder: &Path, durability: Durability) -> String {
    match durability {
        Durability::Process => format!("file:{}", folder.display()),
        Durability::Machine => format!("file+sync:{}", folder.display()),
    }
}

#[cfg(target_os = "linux")]
fn write_nameless(folder: &Path, file: &Path, bytes: &[u8], durability: Durability) -> io::Result<()> {
    use nix::fcntl::{AT_FDCWD, AtFlags, OFlag};
    use std::os::fd::AsRawFd;
    use std::os::unix::fs::OpenOptionsExt;

    let mut nameless = OpenOptions::new()
        .write(true)
        .custom_flags(OFlag::O_TMPFILE.bits())
        .open(folder)?;
    nameless.write_all(bytes)?;
    sync_content(&nameless, durability)?;
    let path = format!("/proc/self/fd/{}", nameless.as_raw_fd());
    nix::unistd::linkat(AT_FDCWD, path.as_str(), AT_FDCWD, file, AtFlags::AT_SYMLINK_FOLLOW)?;
    disk::was_linked(file, bytes, durability);
    Ok(())
}

#[cfg(not(target_os = "linux"))]
fn write_nameless(_: &Path, _: &Path, _: &[u8], _: Durability) -> io::Result<()> {
    Err(ErrorKind::Unsupported.into())
}

fn has_no_nameless_files(cause: &io::Error) -> bool {
    matches!(
        cause.kind(),
        ErrorKind::Unsupported | ErrorKind::IsADirectory | ErrorKind::InvalidInput
    )
}

/// The same with a temporary name in the object's own folder.
fn write_beside(file: &Path, bytes: &[u8], durability: Durability) -> io::Result<()> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let mut temporary = file.as_os_str().to_owned();
    temporary.push(format!("{}-{count}~", std::process::id()));
    let temporary = PathBuf::from(temporary);
    let written = (|| {
        let mut beside = OpenOptions::new().write(true).create_new(true).open(&temporary)?;
        beside.write_all(bytes)?;
        sync_content(&beside, durability)?;
        fs::hard_link(&temporary, file)
    })();
    // Nobody reads a file of this name; that it is gone matters only for the room it takes.
    let _ = fs::remove_file(&temporary);
    written
}

fn remove_if_there(file: &Path) -> io::Result<()> {
    match fs::remove_file(file) {
        Err(cause) if cause.kind() != ErrorKind::NotFound => Err(cause),
        _ => Ok(()),
    }
}

/// What the system said, and what can be done about it.
fn with_advice(cause: &io::Error) -> String {
    if cause.raw_os_error() == Some(nix::errno::Errno::EMFILE as i32) {
        return format!("{cause}; raise the limit of open files (ulimit -n)");
    }
    let advice = match cause.kind() {
        ErrorKind::StorageFull => "make room on the disk",
        ErrorKind::QuotaExceeded => "make room within the quota, or have it raised",
        ErrorKind::FileTooLarge => "raise the limit of a file's size (ulimit -f)",
        ErrorKind::PermissionDenied => "allow this user to read and write there",
        ErrorKind::ReadOnlyFilesystem => "mount the file system for writing",
        _ => return cause.to_string(),
    };
    format!("{cause}; {advice}")
}

/// A full disk, a missing permission or a missing folder stay as they are until somebody does something about them.
fn is_retryable(cause: &io::Error) -> bool {
    !matches!(
        cause.kind(),
        ErrorKind::StorageFull
            | ErrorKind::QuotaExceeded
            | ErrorKind::FileTooLarge
            | ErrorKind::PermissionDenied
            | ErrorKind::ReadOnlyFilesystem
            | ErrorKind::NotFound
            | ErrorKind::NotADirectory
            | ErrorKind::IsADirectory
            | ErrorKind::InvalidFilename
    )
}

#[async_trait]
impl Store for FileStore {
    async fn put(&self, key: &str, bytes: Bytes) -> Result<(), StoreError> {
        key::check(key)?;
        let of = key.to_string();
        let write = move |store: &FileStore| store.write(&of, &sealed::seal(&of, &bytes));
        self.blocking("write", key, write).await
    }

    async fn get(&self, key: &str) -> Result<Bytes, StoreError> {
        key::check(key)?;
        sealed::get(&self.url(), key, || self.stored(key)).await
    }

    async fn get_ranges(&self, key: &str, ranges: &[Range<u64>]) -> Result<Vec<Bytes>, StoreError> {
        key::check(key)?;
        sealed::get_ranges(&self.url(), key, ranges, |ranges| self.stored_ranges(key, ranges)).await
    }

    async fn delete(&self, key: &str) -> Result<(), StoreError> {
        key::check(key)?;
        let of = key.to_string();
        self.blocking("delete", key, move |store| remove_if_there(&store.file_of(&of)))
            .await
    }

    async fn delete_prefix(&self, prefix: &str) -> Result<(), StoreError> {
        key::check(prefix)?;
        let of = prefix.to_string();
        self.blocking("delete", prefix, move |store| store.remove_prefix(&of))
            .await
    }

    fn is_shared(&self) -> bool {
        true
    }

    fn url(&self) -> String {
        url_of(&self.root, self.durability)
    }
}

impl fmt::Debug for FileStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FileStore({})", self.url())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::conformance;

    fn files_below(folder: &Path) -> Vec<PathBuf> {
        let mut found = Vec::new();
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                found.extend(files_below(&path))
            } else {
                found.push(path)
            }
        }
        found
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn the_file_store_conforms() {
        let folder = tempfile::tempdir().unwrap();
        let store = FileStore::open(folder.path()).unwrap();
        conformance::check(Arc::new(store)).await;
        assert_eq!(
            files_below(folder.path()),
            Vec::<PathBuf>::new(),
            "temporary files are left"
        );
    }

    struct Files<'a>(&'a Path);

    #[async_trait]
    impl conformance::BackDoor for Files<'_> {
        async fn stored(&self, key: &str) -> Vec<u8> {
            fs::read(self.0.join(format!("{key}="))).unwrap()
        }

        async fn replace(&self, key: &str, stored: Vec<u8>) {
            fs::write(self.0.join(format!("{key}=")), stored).unwrap();
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn the_file_store_notices_whatever_the_disk_changes() {
        let folder = tempfile::tempdir().unwrap();
        let store = FileStore::open(folder.path()).unwrap();
        conformance::check_damage(Arc::new(store), &Files(folder.path())).await;
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn the_file_store_can_be_opened_by_its_url() {
        let folder = tempfile::tempdir().unwrap();
        let one = FileStore::open(folder.path()).unwrap();
        one.put("a/b", Bytes::from_static(b"seen")).await.unwrap();
        let other = crate::store::open(&one.url()).unwrap();
        assert_eq!(other.get("a/b").await.unwrap(), "seen");
    }

    #[test]
    fn without_nameless_files_objects_are_still_never_replaced_and_nothing_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("x=");
        write_beside(&file, b"first", Durability::Process).unwrap();
        assert_eq!(
            write_beside(&file, b"second", Durability::Machine).unwrap_err().kind(),
            ErrorKind::AlreadyExists
        );
        assert_eq!(fs::read(&file).unwrap(), b"first");
        assert_eq!(files_below(folder.path()), vec![file]);
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_one_clear_error() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("no/such");
        let error = FileStore::open(&missing).unwrap_err();
        assert!(!error.is_retryable());
        let message = error.to_string();
        assert!(
            message.contains("no/such") && message.contains("No such file"),
            "{message}"
        );

        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        let message = FileStore::open(&file).unwrap_err().to_string();
        assert!(message.contains("not a directory"), "{message}");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn the_file_store_conforms_when_it_waits_for_the_disk_and_so_do_its_workers() {
        let folder = tempfile::tempdir().unwrap();
        let store = FileStore::open_as(folder.path(), Durability::Machine).unwrap();
        conformance::check(Arc::new(store.clone())).await;
        assert_eq!(files_below(folder.path()), Vec::<PathBuf>::new());
        let of_worker = crate::store::open(&store.url()).unwrap();
        assert_eq!(of_worker.url(), store.url());
        assert!(store.url().starts_with("file+sync:/"), "{}", store.url());
    }

    #[tokio::test]
    async fn a_store_whose_folder_is_gone_says_so_and_is_not_made_again() {
        let above = tempfile::tempdir().unwrap();
        let folder = above.path().join("store");
        let store = FileStore::open(&folder).unwrap();
        fs::remove_dir_all(&folder).unwrap();
        let error = store.put("a/b", Bytes::new()).await.unwrap_err();
        assert!(
            !error.is_retryable() && error.to_string().contains("is gone"),
            "{error}"
        );
        assert!(!folder.exists());
    }

    #[test]
    fn a_full_disk_or_a_missing_permission_is_not_worth_another_try() {
        for (code, retryable) in [
            (nix::errno::Errno::ENOSPC, false),
            (nix::errno::Errno::EDQUOT, false),
            (nix::errno::Errno::EACCES, false),
            (nix::errno::Errno::EROFS, false),
            (nix::errno::Errno::EIO, true),
            (nix::errno::Errno::EMFILE, true),
        ] {
            assert_eq!(is_retryable(&io::Error::from(code)), retryable, "{code}");
        }
    }

    /// Loses power after each step of some puts; what is wrong with what is left.
    fn refuted_by_losses_of_power() -> Option<String> {
        use crate::disk::lossy::{Lossy, Step, note, steps_of};
        let above = tempfile::tempdir().unwrap();
        let objects: Vec<(String, Vec<u8>)> = (0..6u8)
            .map(|i| (format!("runs/{}/{i}", i % 2), vec![i; 3000]))
            .collect();
        let steps = steps_of(|| {
            let folder = above.path().join("state/store");
            crate::disk::make_private_folders(&folder, Durability::Machine).unwrap();
            let store = FileStore::open_as(&folder, Durability::Machine).unwrap();
            for (number, (key, bytes)) in objects.iter().enumerate() {
                store.write(key, bytes).unwrap();
                note(|| Step::Acknowledged(number + 1));
            }
        });
        for end in 0..=steps.len() {
            let safe = steps[..end]
                .iter()
                .filter(|step| matches!(step, Step::Acknowledged(_)))
                .count();
            for seed in 0..20 {
                let left = tempfile::tempdir().unwrap();
                Lossy::after(&steps[..end]).lose_power(seed, above.path(), left.path());
                for (number, (key, bytes)) in objects.iter().enumerate() {
                    let there = fs::read(left.path().join(format!("state/store/{key}=")));
                    let is_right = match there {
                        Ok(there) => there == *bytes,
                        Err(_) => number >= safe,
                    };
                    if !is_right {
                        return Some(format!("step {end}, seed {seed}: {key}"));
                    }
                }
            }
        }
        None
    }

    #[test]
    fn an_object_that_was_put_survives_a_disk_that_drops_reorders_and_tears_what_was_not_waited_for() {
        assert_eq!(refuted_by_losses_of_power(), None);
    }

    #[test]
    fn a_store_that_does_not_wait_for_the_disk_is_noticed() {
        crate::coordinator::sabotage::set(Some(crate::coordinator::sabotage::Sabotage::SkipsSync));
        let refuted = refuted_by_losses_of_power();
        crate::coordinator::sabotage::set(None);
        assert!(refuted.is_some());
    }
}
