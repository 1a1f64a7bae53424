//! A `file:` store for one program: it goes when the program goes, however that ends.

use super::{FileStore, Store, StoreError};
use crate::temporary::TemporaryFolder;
use async_trait::async_trait;
use bytes::Bytes;
use std::fmt;
use std::ops::Range;

/// A store in a temporary folder.
pub struct Temporary {
    files: FileStore,
    _folder: TemporaryFolder,
}

impl Temporary {
    /// An empty store in a new folder among the system's temporary files.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] if the folder cannot be made.
    pub fn new() -> Result<Self, StoreError> {
        let place = std::env::temp_dir();
        let folder = TemporaryFolder::new("kappa-store-", &place).map_err(|cause| StoreError::Unavailable {
            store: format!("file:{}", place.display()),
            action: "make a temporary folder".to_string(),
            cause: format!("{cause}; name another place with TMPDIR, or a store with --store"),
            retryable: false,
        })?;
        let files = FileStore::open(folder.path())?;
        Ok(Temporary { files, _folder: folder })
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
    async fn r13_the_objects_go_with_the_store() {
        let store = Temporary::new().unwrap();
        store.put("a/b", Bytes::from_static(b"x")).await.unwrap();
        let folder = store.files.folder().to_path_buf();
        assert!(folder.join("a/b=").exists());
        drop(store);
        assert!(!folder.exists());
    }
}
