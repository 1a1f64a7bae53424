//! Where folders of data are: on this machine, or in a bucket.

use super::s3::Objects;
use crate::error::{QueryError, Result, innermost_message};
use datafusion::datasource::listing::ListingTableUrl;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Something in a folder.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) path: PathBuf,
    pub(super) is_folder: bool,
}

impl Entry {
    /// Its name, and `?` for what is not Unicode.
    pub(super) fn name(&self) -> String {
        self.path.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }
}

/// Where the folders are.
#[derive(Debug)]
pub(super) enum Place {
    Here,
    S3(Objects),
}

impl Place {
    /// What is in a folder and not hidden, sorted. What a name begins with `.` or `_` says is not for readers.
    pub(super) fn visible_entries(&self, folder: &Path) -> Result<Vec<Entry>> {
        let mut entries = match self {
            Place::Here => entries_here(folder)?,
            Place::S3(objects) => objects.entries(folder),
        };
        entries.retain(|entry| !entry.name().starts_with(['.', '_']));
        Ok(entries)
    }

    /// The place as it is now, as far as a table's file or folder goes, if it is another than it was: buckets are listed once,
    /// folders of this machine whenever they are looked into.
    pub(super) async fn again(&self, origin: &Path, is_folder: bool) -> Result<Option<Place>> {
        match self {
            Place::Here => Ok(None),
            Place::S3(objects) => Ok(Some(Place::S3(objects.again(origin, is_folder).await?))),
        }
    }

    /// The URL of exactly this file, whatever characters its name has (a path would be read as a pattern).
    pub(super) fn url(&self, file: &Path) -> Result<ListingTableUrl> {
        let unusable = |problem: String| QueryError::data(file, format!("its path cannot be used: {problem}"));
        let path = match self {
            Place::Here => std::fs::canonicalize(file).map_err(|e| unusable(e.to_string()))?,
            Place::S3(_) => file.to_owned(),
        };
        let path = path.to_str().ok_or_else(|| unusable("it is not Unicode".to_owned()))?;
        let (scheme, path) = match path.strip_prefix(super::s3::SCHEME) {
            Some(path) if matches!(self, Place::S3(_)) => (super::s3::SCHEME, path),
            _ => ("file://", path),
        };
        let mut url = scheme.to_owned();
        for byte in path.bytes() {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'-' | b'.' | b'_' | b'~' => {
                    url.push(char::from(byte))
                }
                _ => url.push_str(&format!("%{byte:02X}")),
            }
        }
        ListingTableUrl::parse(url).map_err(|e| unusable(innermost_message(&e)))
    }

    /// What the store knows of a file. A bucket has been listed at the start; what it said then is enough the first time.
    pub(super) async fn object(
        &self,
        store: &Arc<dyn ObjectStore>,
        url: &ListingTableUrl,
        file: &Path,
        is_first: bool,
    ) -> Result<ObjectMeta> {
        match self {
            Place::S3(objects) if is_first => objects.object(file).cloned(),
            Place::S3(_) | Place::Here => {
                let found = store.head(url.prefix()).await;
                found.map_err(|e| QueryError::data(file, format!("cannot be read: {}", super::s3::said(&e))))
            }
        }
    }
}

/// The entries of a folder of this machine, sorted.
fn entries_here(folder: &Path) -> Result<Vec<Entry>> {
    let problem = |e: std::io::Error| match e.kind() {
        std::io::ErrorKind::NotFound => QueryError::data(folder, "there is no such folder"),
        std::io::ErrorKind::NotADirectory => QueryError::data(folder, "is a file; give the folder it is in"),
        _ => QueryError::data(folder, format!("cannot be listed: {e}")),
    };
    let mut entries = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(problem)? {
        let path = entry.map_err(problem)?.path();
        let is_folder = path.is_dir();
        entries.push(Entry { path, is_folder });
    }
    entries.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(entries)
}
