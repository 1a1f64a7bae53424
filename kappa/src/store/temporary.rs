//! A `file:` store for one run of one program: it goes when the program goes, however that ends.
//!
//! Dropping it removes its folder. For the case that nobody gets to drop it (`kill -9`), a shell waits on the other end of a pipe: the pipe closes when this
//! process ends, and the shell removes the folder.

use super::{FileStore, Store, StoreError};
use async_trait::async_trait;
use bytes::Bytes;
use std::fmt;
use std::io;
use std::ops::Range;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;

/// What the shell does: wait for the end of its input, then remove the folder that it was given.
const REMOVE_AT_END_OF_INPUT: &str = r#"while read -r line; do :; done; rm -rf -- "$0""#;

/// A store in a temporary folder.
pub struct Temporary {
    files: FileStore,
    folder: Option<TempDir>,
    janitor: Option<Child>,
}

impl Temporary {
    /// An empty store in a new folder among the system's temporary files.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] if the folder cannot be made.
    pub fn new() -> Result<Self, StoreError> {
        let made = tempfile::Builder::new().prefix("kappa-store-").tempdir();
        let folder = made.map_err(|cause| StoreError::Unavailable {
            store: format!("file:{}", std::env::temp_dir().display()),
            action: "make a temporary folder".to_string(),
            cause: format!("{cause}; name another place with TMPDIR, or a store with --store"),
            retryable: false,
        })?;
        let files = FileStore::open(folder.path())?;
        // A system without a shell has no janitor; then only a `kill -9` leaves the folder behind.
        let janitor = janitor(folder.path()).ok();
        Ok(Temporary {
            files,
            folder: Some(folder),
            janitor,
        })
    }
}

fn janitor(folder: &Path) -> io::Result<Child> {
    Command::new("/bin/sh")
        .arg("-c")
        .arg(REMOVE_AT_END_OF_INPUT)
        .arg(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .current_dir("/")
        // Ctrl-C on the terminal is not for it.
        .process_group(0)
        .spawn()
}

impl Drop for Temporary {
    fn drop(&mut self) {
        drop(self.folder.take());
        if let Some(mut janitor) = self.janitor.take() {
            drop(janitor.stdin.take());
            // It finds nothing left to do, and so ends at once.
            let _ = janitor.wait();
        }
    }
}

#[async_trait]
impl Store for Temporary {
    async fn put(&self, key: &str, bytes: Bytes) -> Result<(), StoreError> {
        self.files.put(key, bytes).await
    }

    async fn get(&self, key: &str) -> Result<Bytes, StoreError> {
        self.files.get(key).await
    }

    async fn get_ranges(&self, key: &str, ranges: &[Range<u64>]) -> Result<Vec<Bytes>, StoreError> {
        self.files.get_ranges(key, ranges).await
    }

    async fn delete(&self, key: &str) -> Result<(), StoreError> {
        self.files.delete(key).await
    }

    async fn delete_prefix(&self, prefix: &str) -> Result<(), StoreError> {
        self.files.delete_prefix(prefix).await
    }

    fn is_shared(&self) -> bool {
        true
    }

    fn url(&self) -> String {
        self.files.url()
    }
}

impl fmt::Debug for Temporary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Temporary({})", self.files.folder().display())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn r13_the_folder_goes_with_the_store() {
        let store = Temporary::new().unwrap();
        store.put("a/b", Bytes::from_static(b"x")).await.unwrap();
        let folder = store.files.folder().to_path_buf();
        assert!(folder.join("a/b=").exists());
        drop(store);
        assert!(!folder.exists());
    }
}
