//! One bucket: the requests that the store and the objects on their way to S3 are made of.
//!
//! Guarantees that a write which must not replace anything is decided by S3 alone, at one moment (`If-None-Match`), and that its answer is right
//! even if the first one got lost and the SDK asked again: what is written carries a mark, by which its writer knows it.
//!
//! All requests are made on threads of their own: neither a task that hogs its thread nor the end of somebody's runtime delays or breaks them.

use super::address::Address;
use super::trouble::Trouble;
use crate::aws;
use aws_config::SdkConfig;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{Delete, ObjectIdentifier};
use bytes::Bytes;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::runtime::Runtime;
use tokio::sync::OnceCell;
use tokio_util::task::AbortOnDropHandle;

/// How long S3 may take to answer, from the first byte of the request.
const ANSWER_LIMIT: Duration = Duration::from_secs(60);

/// How often a body that breaks off is asked for; the SDK repeats requests only until an answer begins.
const READINGS: u32 = 4;

/// How often a write is tried that S3 could not decide because of another one at the same moment, and the first delay; it doubles.
pub(super) const CONFLICTS: u32 = 8;
const FIRST_DELAY: Duration = Duration::from_millis(20);

/// What the mark of a write is called among an object's metadata.
pub(super) const MARK: &str = "kappa-put";

/// Most keys in one request to delete or to list; S3's own limit.
const BATCH: i32 = 1000;

/// A part of an object, and how long the object is.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) bytes: Bytes,
    pub(super) total: u64,
}

/// What is known of an object without reading it.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    pub(crate) length: u64,
    pub(crate) mark: Option<String>,
}

/// A bucket, its client being made when it is first needed.
#[derive(Clone)]
pub(crate) struct Bucket {
    pub(super) name: Arc<str>,
    endpoint: Option<Arc<str>>,
    access: Arc<OnceCell<Access>>,
}

/// How a bucket is reached.
#[derive(Clone)]
struct Access {
    client: Client,
    /// Where S3 is, if not where AWS has it.
    endpoint: Option<String>,
}

impl Bucket {
    pub(crate) fn of(address: &Address) -> Self {
        Bucket {
            name: address.bucket.as_str().into(),
            endpoint: address.endpoint.as_deref().map(Into::into),
            access: Arc::default(),
        }
    }

    /// The same, for an account that is given.
    #[cfg(test)]
    pub(crate) fn with(address: &Address, config: &SdkConfig) -> Self {
        let mut bucket = Self::of(address);
        let access = access(config, address.endpoint.as_deref());
        bucket.access = Arc::new(OnceCell::new_with(Some(access)));
        bucket
    }

    async fn access(&self) -> Result<&Access, Trouble> {
        let made = self.access.get_or_try_init(|| async {
            let config = aws::config().await?;
            Ok::<_, aws::AwsError>(access(&config, self.endpoint.as_deref()))
        });
        made.await.map_err(|cause| Trouble::lasting(cause.to_string()))
    }

    pub(super) async fn client(&self) -> Result<Client, Trouble> {
        Ok(self.access().await?.client.clone())
    }

    /// Where it is, if not where AWS has its buckets.
    pub(super) async fn endpoint(&self) -> Result<Option<String>, Trouble> {
        Ok(self.access().await?.endpoint.clone())
    }

    /// Does this on the threads that S3's answers are awaited on. It ends with whoever waits for it.
    pub(crate) async fn there<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, Trouble>> + Send + 'static,
    ) -> Result<T, Trouble> {
        let working = AbortOnDropHandle::new(runtime()?.spawn(work));
        match working.await {
            Ok(done) => done,
            Err(cause) => Err(Trouble::lasting(cause.to_string())),
        }
    }

    /// Whether the bucket is there and may be looked into below this path, or as a whole if it is empty.
    pub(super) async fn look(&self, path: &str) -> Result<(), Trouble> {
        let client = self.client().await?;
        // The policies that Kappa prints allow lists of what is below the path, and a prefix without the `/` is more than that.
        let prefix = if path.is_empty() {
            String::new()
        } else {
            format!("{path}/")
        };
        let request = client.list_objects_v2().bucket(&*self.name).prefix(prefix).max_keys(1);
        let looked = request.send().await;
        looked.map(|_| ()).map_err(|error| Trouble::of(error, &self.name))
    }

    /// Writes an object of moderate length in one request.
    pub(super) async fn put(&self, key: &str, bytes: Bytes, mark: &str) -> Result<(), Trouble> {
        let client = self.client().await?;
        let request = client
            .put_object()
            .bucket(&*self.name)
            .key(key)
            .metadata(MARK, mark)
            .if_none_match("*")
            .body(ByteStream::from(bytes));
        let written = request.send().await;
        written.map(|_| ()).map_err(|error| Trouble::of(error, &self.name))
    }

    /// Reads the bytes from `start` to before `end`, or as many of them as there are. At least one is asked for.
    pub(super) async fn read(&self, key: &str, start: u64, end: u64) -> Result<Part, Trouble> {
        debug_assert!(start < end);
        let client = self.client().await?;
        let mut readings = 1;
        loop {
            let request = client.get_object().bucket(&*self.name).key(key);
            let answer = request.range(format!("bytes={start}-{}", end - 1)).send().await;
            let answer = answer.map_err(|error| Trouble::of(error, &self.name))?;
            let total = answer.content_range().and_then(total_of);
            match answer.body.collect().await {
                Ok(body) => {
                    let bytes = body.into_bytes();
                    let length = bytes.len() as u64;
                    return match total {
                        Some(total) if length == end.min(total) - start.min(total) => Ok(Part { bytes, total }),
                        // The whole object was sent.
                        None if length > start => Ok(Part {
                            bytes: bytes.slice(start as usize..length.min(end) as usize),
                            total: length,
                        }),
                        None => Err(Trouble::OutOfRange),
                        Some(total) => Err(Trouble::passing(format!(
                            "{length} bytes came of the range {start}-{end} of {total}"
                        ))),
                    };
                }
                Err(_) if readings < READINGS => readings += 1,
                Err(cause) => return Err(Trouble::passing(format!("the object breaks off: {cause}"))),
            }
        }
    }

    pub(crate) async fn head(&self, key: &str) -> Result<Head, Trouble> {
        let client = self.client().await?;
        let answer = client.head_object().bucket(&*self.name).key(key).send().await;
        let answer = answer.map_err(|error| Trouble::of(error, &self.name))?;
        let metadata = answer.metadata();
        Ok(Head {
            length: answer.content_length().unwrap_or(0).unsigned_abs(),
            mark: metadata.and_then(|metadata| metadata.get(MARK)).cloned(),
        })
    }

    /// Whether the object there is the one with this mark; if there is none it is not.
    pub(crate) async fn is_marked(&self, key: &str, mark: &str) -> Result<bool, Trouble> {
        match self.head(key).await {
            Ok(head) => Ok(head.mark.as_deref() == Some(mark)),
            Err(Trouble::Missing) => Ok(false),
            Err(trouble) => Err(trouble),
        }
    }

    pub(super) async fn delete(&self, key: &str) -> Result<(), Trouble> {
        let client = self.client().await?;
        let deleted = client.delete_object().bucket(&*self.name).key(key).send().await;
        match deleted.map_err(|error| Trouble::of(error, &self.name)) {
            Ok(_) | Err(Trouble::Missing) => Ok(()),
            Err(trouble) => Err(trouble),
        }
    }

    /// Deletes every object whose key begins so.
    pub(super) async fn delete_below(&self, prefix: &str) -> Result<(), Trouble> {
        let client = self.client().await?;
        let mut from = None;
        loop {
            let request = client
                .list_objects_v2()
                .bucket(&*self.name)
                .prefix(prefix)
                .max_keys(BATCH);
            let page = request.set_continuation_token(from).send().await;
            let page = page.map_err(|error| Trouble::of(error, &self.name))?;
            let keys: Vec<_> = page.contents().iter().filter_map(|object| object.key()).collect();
            if !keys.is_empty() {
                self.delete_all(&client, &keys).await?;
            }
            from = page.next_continuation_token().map(ToString::to_string);
            if from.is_none() {
                return Ok(());
            }
        }
    }

    async fn delete_all(&self, client: &Client, keys: &[&str]) -> Result<(), Trouble> {
        let named = |key: &&str| ObjectIdentifier::builder().key(*key).build();
        let named: Result<Vec<_>, _> = keys.iter().map(named).collect();
        let all = named.and_then(|named| Delete::builder().set_objects(Some(named)).quiet(true).build());
        let all = all.map_err(|cause| Trouble::lasting(cause.to_string()))?;
        let answer = client.delete_objects().bucket(&*self.name).delete(all).send().await;
        let answer = answer.map_err(|error| Trouble::of(error, &self.name))?;
        let refused = |error: &&aws_sdk_s3::types::Error| error.code() != Some("NoSuchKey");
        match answer.errors().iter().find(refused) {
            None => Ok(()),
            Some(error) => Err(Trouble::of_one(error, &self.name)),
        }
    }

    /// Deletes everything that has been uploaded under keys which begin so, and is no object yet.
    pub(super) async fn abort_below(&self, prefix: &str, concerns: impl Fn(&str) -> bool) -> Result<(), Trouble> {
        let client = self.client().await?;
        let (mut from_key, mut from_upload) = (None, None);
        loop {
            let request = client.list_multipart_uploads().bucket(&*self.name).prefix(prefix);
            let page = request
                .set_key_marker(from_key)
                .set_upload_id_marker(from_upload)
                .send()
                .await;
            let page = page.map_err(|error| Trouble::of(error, &self.name))?;
            for upload in page.uploads() {
                if let (Some(key), Some(id)) = (upload.key(), upload.upload_id())
                    && concerns(key)
                {
                    self.abort(key, id).await?;
                }
            }
            if page.is_truncated() != Some(true) {
                return Ok(());
            }
            from_key = page.next_key_marker().map(ToString::to_string);
            from_upload = page.next_upload_id_marker().map(ToString::to_string);
        }
    }
}

/// Does this on the threads that S3's answers are awaited on, for a caller that blocks.
pub(super) fn blocking<T: Send + 'static>(
    work: impl Future<Output = Result<T, Trouble>> + Send + 'static,
) -> Result<T, Trouble> {
    let (sender, receiver) = std::sync::mpsc::channel();
    runtime()?.spawn(async move {
        // Whoever does not wait any more does not need to know.
        let _ = sender.send(work.await);
    });
    let ended = |_| Err(Trouble::lasting("the threads for S3 have ended".to_string()));
    receiver.recv().unwrap_or_else(ended)
}

/// Waits before another try, longer from one to the next, and not as long as others do.
pub(super) async fn pause(attempt: u32) {
    let delay = FIRST_DELAY * 2u32.saturating_pow(attempt.min(6));
    tokio::time::sleep(delay.mul_f64(rand::random_range(0.5..1.5))).await;
}

/// The S3 that the surroundings name, if it is not that of AWS.
pub(super) fn endpoint_of(config: &SdkConfig) -> Option<String> {
    let own = std::env::var("AWS_ENDPOINT_URL_S3").ok().filter(|own| !own.is_empty());
    own.or_else(|| config.endpoint_url().map(ToString::to_string))
}

fn access(config: &SdkConfig, endpoint: Option<&str>) -> Access {
    let mut timeouts = TimeoutConfig::builder().read_timeout(ANSWER_LIMIT).build();
    if let Some(given) = config.timeout_config() {
        timeouts.take_defaults_from(given);
    }
    let mut builder = aws_sdk_s3::config::Builder::from(config).timeout_config(timeouts);
    if let Some(endpoint) = endpoint {
        builder = builder.endpoint_url(endpoint);
    }
    let endpoint = endpoint.map(str::to_string).or_else(|| endpoint_of(config));
    // Only AWS gives each bucket a host name of its own.
    let client = Client::from_conf(builder.force_path_style(endpoint.is_some()).build());
    Access { client, endpoint }
}

fn runtime() -> Result<&'static Runtime, Trouble> {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    if let Some(runtime) = RUNTIME.get() {
        return Ok(runtime);
    }
    let made = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("kappa-s3")
        .enable_all()
        .build();
    match made {
        Ok(made) => Ok(RUNTIME.get_or_init(|| made)),
        Err(cause) => Err(Trouble::passing(format!("cannot start threads: {cause}"))),
    }
}

/// 70 in `bytes 0-6/70`.
fn total_of(content_range: &str) -> Option<u64> {
    content_range.rsplit_once('/')?.1.parse().ok()
}
