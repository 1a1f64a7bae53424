//! Buckets as DataFusion reads them: through its own object store, with the account that Kappa's store uses.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

use async_trait::async_trait;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::execution::runtime_env::RuntimeEnv;
use futures::TryStreamExt;
use kappa::store::{S3Access, S3Place, StoreError};
use object_store::aws::{AmazonS3Builder, AwsCredential};
use object_store::{CredentialProvider, ObjectMeta, ObjectStore, ObjectStoreExt};
use parking_lot::Mutex;

use super::place::Entry;
use crate::error::{QueryError, Result};

/// What a place in S3 begins with.
pub(crate) const SCHEME: &str = "s3://";

type Stores = BTreeMap<(String, Option<String>), Arc<dyn ObjectStore>>;

/// One per bucket and process, with its connections.
static STORES: LazyLock<Mutex<Stores>> = LazyLock::new(Mutex::default);

/// Who asks, found once per process.
static ACCESS: Mutex<Option<Arc<S3Access>>> = Mutex::new(None);

/// Gives DataFusion its way to a bucket.
pub(crate) fn register(runtime: &RuntimeEnv, bucket: &str, endpoint: Option<&str>) -> Result<()> {
    let url = ObjectStoreUrl::parse(format!("{SCHEME}{bucket}"))?;
    runtime.register_object_store(url.as_ref(), store_of(bucket, endpoint)?);
    Ok(())
}

/// The S3 that a place is in, if not that of AWS: the one that it names, or that of the surroundings.
pub(crate) fn endpoint_of(place: &S3Place) -> Result<Option<String>> {
    match &place.endpoint {
        Some(endpoint) => Ok(Some(endpoint.clone())),
        None => Ok(access()?.endpoint()),
    }
}

fn store_of(bucket: &str, endpoint: Option<&str>) -> Result<Arc<dyn ObjectStore>> {
    let key = (bucket.to_owned(), endpoint.map(str::to_owned));
    let mut stores = STORES.lock();
    if let Some(store) = stores.get(&key) {
        return Ok(store.clone());
    }
    let access = access()?;
    let mut builder = AmazonS3Builder::new()
        .with_bucket_name(bucket)
        .with_region(access.region())
        .with_credentials(Arc::new(Credentials(access.clone())));
    if let Some(endpoint) = key.1.clone().or_else(|| access.endpoint()) {
        let is_plain = endpoint.starts_with("http://");
        builder = builder
            .with_endpoint(endpoint)
            .with_allow_http(is_plain)
            .with_virtual_hosted_style_request(false);
    } else {
        builder = builder.with_virtual_hosted_style_request(true);
    }
    let place = PathBuf::from(format!("{SCHEME}{bucket}"));
    let store = builder.build();
    let store: Arc<dyn ObjectStore> = Arc::new(store.map_err(|error| QueryError::data(place, error.to_string()))?);
    stores.insert(key, store.clone());
    Ok(store)
}

fn access() -> Result<Arc<S3Access>, StoreError> {
    let mut known = ACCESS.lock();
    match &*known {
        Some(access) => Ok(access.clone()),
        None => Ok(known.insert(Arc::new(S3Access::find()?)).clone()),
    }
}

#[derive(Debug)]
struct Credentials(Arc<S3Access>);

#[async_trait]
impl CredentialProvider for Credentials {
    type Credential = AwsCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<AwsCredential>> {
        let given = self.0.credentials().await;
        let given = given.map_err(|error| object_store::Error::Generic {
            store: "S3",
            source: Box::new(error),
        })?;
        Ok(Arc::new(AwsCredential {
            key_id: given.access_key_id,
            secret_key: given.secret_access_key,
            token: given.session_token,
        }))
    }
}

/// All objects below a place, as if it were a folder.
#[derive(Debug)]
pub(super) struct Objects {
    store: Arc<dyn ObjectStore>,
    /// `s3://BUCKET`, and behind it the keys.
    bucket: PathBuf,
    folders: BTreeMap<PathBuf, Vec<Entry>>,
    objects: BTreeMap<PathBuf, ObjectMeta>,
}

impl Objects {
    /// Lists everything below a place; returns it with the place's folder.
    pub(super) async fn list(place: &S3Place) -> Result<(Objects, PathBuf)> {
        Self::list_in(store_of(&place.bucket, place.endpoint.as_deref())?, place).await
    }

    async fn list_in(store: Arc<dyn ObjectStore>, place: &S3Place) -> Result<(Objects, PathBuf)> {
        let bucket = PathBuf::from(format!("{SCHEME}{}", place.bucket));
        let folder = match place.path.as_str() {
            "" => bucket.clone(),
            path => bucket.join(path),
        };
        let objects = Objects::below(store, bucket, &folder, &place.path).await?;
        match objects.objects.is_empty() {
            true => Err(QueryError::data(
                folder,
                "there is nothing below it; `aws s3 ls` shows what there is",
            )),
            false => Ok((objects, folder)),
        }
    }

    async fn below(store: Arc<dyn ObjectStore>, bucket: PathBuf, folder: &Path, prefix: &str) -> Result<Objects> {
        let mut objects = Objects {
            store,
            bucket,
            folders: BTreeMap::new(),
            objects: BTreeMap::new(),
        };
        let prefix = path_of(folder, prefix)?;
        let listed = objects.store.list(Some(&prefix)).try_collect::<Vec<_>>().await;
        let mut listed =
            listed.map_err(|error| QueryError::data(folder, format!("cannot be listed: {}", said(&error))))?;
        listed.sort_by(|a, b| a.location.cmp(&b.location));
        for object in listed {
            objects.add(folder, object);
        }
        Ok(objects)
    }

    #[cfg(test)]
    pub(super) async fn of_store(store: Arc<dyn ObjectStore>, bucket: &str, key: &str) -> Result<(Objects, PathBuf)> {
        let bucket = PathBuf::from(format!("{SCHEME}{bucket}"));
        let folder = bucket.join(key);
        Ok((Objects::below(store, bucket, &folder, key).await?, folder))
    }

    /// What is there now of a file, or below a folder.
    pub(super) async fn again(&self, origin: &Path, is_folder: bool) -> Result<Objects> {
        let key = origin.strip_prefix(&self.bucket).ok().and_then(Path::to_str);
        let key = key.ok_or_else(|| QueryError::data(origin, "is in another bucket than its table"))?;
        let (store, bucket) = (self.store.clone(), self.bucket.clone());
        if is_folder {
            return Objects::below(store, bucket, origin, key).await;
        }
        let object = store.head(&path_of(origin, key)?).await;
        let object = object.map_err(|error| QueryError::data(origin, format!("cannot be read: {}", said(&error))))?;
        Ok(Objects {
            store,
            bucket,
            folders: BTreeMap::new(),
            objects: BTreeMap::from([(origin.to_owned(), object)]),
        })
    }

    fn add(&mut self, top: &Path, object: ObjectMeta) {
        let path = self.bucket.join(object.location.as_ref());
        let mut child = path.clone();
        let mut is_folder = false;
        while child != top {
            let Some(parent) = child.parent().map(Path::to_path_buf) else {
                return;
            };
            let entries = self.folders.entry(parent.clone()).or_default();
            if !entries.iter().any(|entry| entry.path == child) {
                entries.push(Entry { path: child, is_folder });
            }
            (child, is_folder) = (parent, true);
        }
        self.objects.insert(path, object);
    }

    /// What is directly in a folder, sorted.
    pub(super) fn entries(&self, folder: &Path) -> Vec<Entry> {
        let mut entries: Vec<_> = self.folders.get(folder).cloned().unwrap_or_default();
        entries.sort_by(|a, b| a.path.cmp(&b.path));
        entries
    }

    pub(super) fn object(&self, file: &Path) -> Result<&ObjectMeta> {
        let missing = || QueryError::data(file, "is not there any more");
        self.objects.get(file).ok_or_else(missing)
    }
}

fn path_of(place: &Path, key: &str) -> Result<object_store::path::Path> {
    object_store::path::Path::parse(key).map_err(|error| QueryError::data(place, error.to_string()))
}

/// What happened, with what can be done about it where S3's own words do not say.
pub(super) fn said(error: &object_store::Error) -> String {
    let mut said = error.to_string();
    let mut next = std::error::Error::source(error);
    while let Some(cause) = next {
        let words = cause.to_string();
        if !said.contains(&words) {
            said = format!("{said}: {words}");
        }
        next = cause.source();
    }
    in_a_line(&said)
}

/// What S3 says in XML, in the words that it has for people.
fn in_a_line(said: &str) -> String {
    let between = |from: &str, to: &str| Some(said.split_once(from)?.1.split_once(to)?.0);
    match (between("<Code>", "</Code>"), between("<Message>", "</Message>")) {
        (Some(code), Some(message)) => format!("{code}: {message}"),
        _ => said.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::{Session, SessionOptions};
    use object_store::ObjectStoreExt;
    use object_store::memory::InMemory;

    #[test]
    fn an_answer_in_xml_is_said_in_its_own_words_and_everything_else_as_it_is() {
        let answer = "Generic S3 error: 404 Not Found: <?xml version=\"1.0\"?>\n<Error><Code>NoSuchBucket</Code>\
                      <Message>The specified bucket does not exist</Message><Resource>/b</Resource></Error>";
        assert_eq!(in_a_line(answer), "NoSuchBucket: The specified bucket does not exist");
        for other in ["no route to host", "<Code>only", ""] {
            assert_eq!(in_a_line(other), other);
        }
    }

    #[tokio::test]
    async fn an_object_that_was_replaced_is_looked_into_again() {
        let session = Session::new(SessionOptions::default()).unwrap();
        let memory: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        let url = ObjectStoreUrl::parse("s3://bucket").unwrap();
        session.context().register_object_store(url.as_ref(), memory.clone());
        let object = object_store::path::Path::from("tables/t.csv");
        memory.put(&object, "a\n1\n".into()).await.unwrap();
        let place = S3Place::parse("s3://bucket/tables").unwrap();
        let (objects, folder) = Objects::list_in(memory.clone(), &place).await.unwrap();
        let place = crate::tables::place::Place::S3(objects);
        let tables = crate::tables::find::find_tables(&place, &folder).unwrap();
        session.catalogue().add(&Arc::new(place), tables);
        let columns = async || {
            let graph = session.plan("SELECT * FROM t").await.unwrap();
            graph
                .schema
                .fields()
                .iter()
                .map(|field| field.name().clone())
                .collect::<Vec<_>>()
        };
        assert_eq!(columns().await, ["a"]);
        memory.put(&object, "b,c\n1,2\n".into()).await.unwrap();
        assert_eq!(columns().await, ["b", "c"]);
        assert_eq!(columns().await, ["b", "c"]);
        memory.delete(&object).await.unwrap();
        assert!(session.plan("SELECT * FROM t").await.is_err());
    }
}
