//! A run reads the files that it was planned with, or says which of them has changed.
//!
//! A plan names each file with its size, its time of change and its e-tag. Between planning and reading, or between a kill and a resume, a
//! file can be replaced, and then rows of both would be in one answer. So a fragment sees its files through a store that compares every
//! answer with what was planned: of whatever part is read, in whatever process, each time.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::common::Result;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::execution::object_store::ObjectStoreRegistry;
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::physical_plan::ExecutionPlan;
use futures::stream::BoxStream;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMultipartOptions,
    PutOptions, PutPayload, PutResult,
};
use parking_lot::Mutex;
use url::Url;

use crate::plan::scans::file_scan;

/// The files of a fragment, as they were when it was planned.
#[derive(Debug, Default)]
pub(crate) struct PlannedFiles {
    /// By the store that they are in, and their path there.
    files: Mutex<HashMap<(String, Path), ObjectMeta>>,
    /// What was found to have changed, in words.
    changed: Mutex<Option<String>>,
}

impl PlannedFiles {
    /// Remembers the files that a fragment reads.
    ///
    /// # Errors
    /// If the plan cannot be walked.
    pub(crate) fn add(&self, fragment: &Arc<dyn ExecutionPlan>) -> Result<()> {
        let mut files = self.files.lock();
        fragment.apply(|node| {
            if let Some(scan) = file_scan(node) {
                let place = scan.object_store_url.as_str();
                for file in scan.file_groups.iter().flat_map(|group| group.iter()) {
                    let key = (place.to_owned(), file.object_meta.location.clone());
                    files.insert(key, file.object_meta.clone());
                }
            }
            Ok(TreeNodeRecursion::Continue)
        })?;
        Ok(())
    }

    /// Which file has changed since, and what to do, if one was found.
    pub(crate) fn changed(&self) -> Option<String> {
        self.changed.lock().clone()
    }

    /// The surroundings in which a fragment runs: the same, with the files as they were planned.
    pub(crate) fn seen_by(self: &Arc<Self>, runtime: &RuntimeEnv) -> RuntimeEnv {
        let registry = PlannedRegistry {
            inner: Arc::clone(&runtime.object_store_registry),
            files: Arc::clone(self),
        };
        RuntimeEnv {
            object_store_registry: Arc::new(registry),
            ..runtime.clone()
        }
    }

    fn check(&self, place: &str, found: &ObjectMeta) -> object_store::Result<()> {
        let key = (place.to_owned(), found.location.clone());
        let problem = match self.files.lock().get(&key) {
            Some(planned) if !is_same(planned, found) => {
                let folder = place.strip_prefix("file://").unwrap_or(place);
                format!(
                    "{folder}{} has changed since the query was planned: it had {} then, and has {} now. A query reads the files that it \
                     was planned with: put that file back, or start the query anew",
                    found.location,
                    said(planned, found),
                    said(found, planned)
                )
            }
            _ => return Ok(()),
        };
        self.changed.lock().get_or_insert_with(|| problem.clone());
        Err(object_store::Error::Generic {
            store: "files of a run",
            source: problem.into(),
        })
    }
}

/// What tells a file from another in words, its tag too where nothing else does.
fn said(meta: &ObjectMeta, other: &ObjectMeta) -> String {
    let said = format!("{} bytes of {}", meta.size, meta.last_modified.format("%F %T%.f UTC"));
    match &meta.e_tag {
        Some(tag) if meta.size == other.size && meta.last_modified == other.last_modified => {
            format!("{said} with the tag {}", bare(tag))
        }
        _ => said,
    }
}

/// Whether it is the same file with the same contents, as far as a store can tell.
fn is_same(planned: &ObjectMeta, found: &ObjectMeta) -> bool {
    if planned.size != found.size {
        return false;
    }
    match (&planned.e_tag, &found.e_tag) {
        // Some stores quote a tag in one answer and not in another.
        (Some(planned), Some(found)) => bare(planned) == bare(found),
        _ => planned.last_modified.timestamp() == found.last_modified.timestamp(),
    }
}

fn bare(tag: &str) -> &str {
    tag.strip_prefix("W/").unwrap_or(tag).trim_matches('"')
}

#[derive(Debug)]
struct PlannedRegistry {
    inner: Arc<dyn ObjectStoreRegistry>,
    files: Arc<PlannedFiles>,
}

impl ObjectStoreRegistry for PlannedRegistry {
    fn register_store(&self, url: &Url, store: Arc<dyn ObjectStore>) -> Option<Arc<dyn ObjectStore>> {
        self.inner.register_store(url, store)
    }

    fn get_store(&self, url: &Url) -> Result<Arc<dyn ObjectStore>> {
        Ok(Arc::new(PlannedStore {
            inner: self.inner.get_store(url)?,
            place: url.as_str().to_owned(),
            files: Arc::clone(&self.files),
        }))
    }
}

/// A store whose files must be those that were planned.
#[derive(Debug)]
struct PlannedStore {
    inner: Arc<dyn ObjectStore>,
    place: String,
    files: Arc<PlannedFiles>,
}

impl fmt::Display for PlannedStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

/// Reading parts goes by `get_opts`, too, as the trait provides it: its answer says of which file the part is.
#[async_trait]
impl ObjectStore for PlannedStore {
    async fn get_opts(&self, location: &Path, options: GetOptions) -> object_store::Result<GetResult> {
        let found = self.inner.get_opts(location, options).await?;
        self.files.check(&self.place, &found.meta)?;
        Ok(found)
    }

    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> object_store::Result<PutResult> {
        self.inner.put_opts(location, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> object_store::Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(location, options).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, object_store::Result<Path>>,
    ) -> BoxStream<'static, object_store::Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, object_store::Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> object_store::Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> object_store::Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use object_store::ObjectStoreExt;
    use object_store::memory::InMemory;

    fn meta(size: u64, e_tag: Option<&str>, second: i64) -> ObjectMeta {
        ObjectMeta {
            location: Path::from("t.csv"),
            last_modified: std::time::UNIX_EPOCH
                .checked_add(std::time::Duration::from_secs(second as u64))
                .unwrap()
                .into(),
            size,
            e_tag: e_tag.map(str::to_owned),
            version: None,
        }
    }

    #[test]
    fn a_file_is_told_by_its_size_and_its_tag_or_else_its_time() {
        assert!(is_same(&meta(5, Some("\"a\""), 1), &meta(5, Some("a"), 2)));
        assert!(!is_same(&meta(5, Some("a"), 1), &meta(5, Some("b"), 1)));
        assert!(!is_same(&meta(5, Some("a"), 1), &meta(6, Some("a"), 1)));
        assert!(is_same(&meta(5, None, 1), &meta(5, Some("a"), 1)));
        assert!(!is_same(&meta(5, None, 1), &meta(5, None, 2)));
    }

    #[test]
    fn two_files_of_one_size_and_time_are_told_apart_by_their_tags() {
        let (one, other) = (meta(5, Some("\"a\""), 1), meta(5, Some("\"b\""), 1));
        assert!(said(&one, &other).ends_with("with the tag a") && said(&other, &one).ends_with("with the tag b"));
        assert!(!said(&one, &meta(6, Some("b"), 1)).contains("tag"));
    }

    #[tokio::test]
    async fn no_part_of_a_file_that_has_changed_is_given() {
        let inner = Arc::new(InMemory::new());
        let path = Path::from("t.csv");
        inner.put(&path, "first".into()).await.unwrap();
        let files = Arc::new(PlannedFiles::default());
        let planned = inner.head(&path).await.unwrap();
        files
            .files
            .lock()
            .insert(("memory:///".to_owned(), path.clone()), planned);
        let store = PlannedStore {
            inner: inner.clone(),
            place: "memory:///".to_owned(),
            files: files.clone(),
        };
        assert_eq!(store.get_range(&path, 1..3).await.unwrap(), "ir");
        inner.put(&path, "other".into()).await.unwrap();
        assert!(store.get(&path).await.is_err());
        assert!(store.head(&path).await.is_err());
        assert!(store.get_range(&path, 1..3).await.is_err());
        assert!(store.get_ranges(&path, &[0..1, 3..4]).await.is_err());
        let said = files.changed().unwrap();
        assert!(said.contains("t.csv has changed since the query was planned"), "{said}");
    }
}
