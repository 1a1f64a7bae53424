//! `s3://BUCKET/KEY[?endpoint=URL]`: an object in S3, in the place of any that was there.
//!
//! S3 renames nothing, so the object is uploaded in parts, however short it is: an upload has a name of its own, appears at one moment when it is
//! completed, and can be ended for good by whoever knows its name. So before it does anything else, a coordinator that goes on with a run ends the uploads
//! of those before it. What a dead one has sent, and is still on its way, then completes nothing: not even after the run has put another object there.
//!
//! | killed after | what is left | what the next coordinator does |
//! |---|---|---|
//! | the note that an upload begins | perhaps an upload without parts whose name nobody knows | ends those without parts at this place, since then |
//! | the note of its name | an upload | ends it |
//! | its completion | the object, with the mark of run, task and call | sees the mark: it is done |
//!
//! The notes are in the run's store, until the object is there. One that is never resumed leaves its upload; a bucket can have a rule that
//! ends such uploads after some days (`AbortIncompleteMultipartUpload`).

use super::{FIRST_DELAY, Object, Shared};
use crate::protocol::Payload;
use crate::store::StoreError;
use crate::store::s3::address::Address;
use crate::store::s3::bucket::Bucket;
use crate::store::s3::trouble::Trouble;
use crate::store::s3::upload::{AT_ONCE, Upload, part_length};
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// How often S3 is asked, if it says that this may help.
const TRIES: u32 = 6;

/// How far apart S3's clock and ours may be: it refuses requests that are signed at another time.
const CLOCKS_APART: Duration = Duration::from_secs(15 * 60);

/// An object on its way.
struct Journey {
    shared: Arc<Shared>,
    bucket: Bucket,
    key: String,
    /// What the object, once there, says of its origin.
    mark: String,
    /// What the keys of the notes begin with.
    notes: String,
    content: Payload,
}

impl Shared {
    /// `None` if the run has been stopped: then it is neither there nor failed.
    pub(super) async fn to_s3(self: &Arc<Self>, object: Object) -> Option<Result<(), String>> {
        let Object { url, name, content } = object;
        let address = match Address::parse(&url) {
            Ok(address) => address,
            Err(cause) => return Some(Err(cause)),
        };
        let run = self.setup.run;
        let journey = Journey {
            shared: self.clone(),
            bucket: Bucket::of(&address),
            key: address.path,
            mark: format!("{run}/{name}"),
            notes: format!("{}/publishing/{name}", run.objects()),
            content,
        };
        let bucket = journey.bucket.clone();
        match bucket.there(async move { journey.make().await }).await {
            Ok(true) => Some(Ok(())),
            Ok(false) => None,
            Err(trouble) => Some(Err(trouble.said().0)),
        }
    }
}

impl Journey {
    /// Whether the object is there; if not, the run has been stopped.
    async fn make(self) -> Result<bool, Trouble> {
        let before = self.end_earlier().await?;
        let is_there = self.bucket.is_marked(&self.key, &self.mark).await?;
        if !is_there {
            if self.shared.gate.hold().is_none() {
                return Ok(false);
            }
            self.note(before, "begun", since_epoch(SystemTime::now())).await?;
            let upload = self.bucket.begin(&self.key, &self.mark).await?;
            self.note(before, "upload", upload.id.clone()).await?;
            let arrived = self.fill(&upload).await;
            if !matches!(arrived, Ok(true)) {
                // If this fails as well, the next coordinator does it, or the bucket's rule.
                let _ = self.bucket.abort(&self.key, &upload.id).await;
            }
            if !arrived? {
                return Ok(false);
            }
        }
        for attempt in 0..=before {
            for what in ["upload", "begun"] {
                // One that stays goes at the end of the run.
                let _ = self.shared.setup.store.delete(&self.note_key(attempt, what)).await;
            }
        }
        Ok(true)
    }

    /// Ends the uploads of the coordinators before this one; says how many there were.
    async fn end_earlier(&self) -> Result<u32, Trouble> {
        let mut attempt = 0;
        while let Some(begun) = self.noted(attempt, "begun").await? {
            match self.noted(attempt, "upload").await? {
                Some(id) => self.bucket.abort(&self.key, &id).await?,
                None => {
                    let begun = Duration::from_secs(begun.parse().unwrap_or(0));
                    let since = begun.saturating_sub(CLOCKS_APART);
                    self.bucket.abort_without_parts(&self.key, since).await?;
                }
            }
            attempt += 1;
        }
        Ok(attempt)
    }

    /// Uploads all parts and completes the object, several times if it must be; a part that is uploaded again takes the place of the earlier one.
    async fn fill(&self, upload: &Upload) -> Result<bool, Trouble> {
        let mut delay = FIRST_DELAY;
        for attempt in 1.. {
            let uploaded = self.upload_parts(upload).await;
            let done = match uploaded {
                Ok(_) if self.shared.gate.hold().is_none() => return Ok(false),
                Ok(parts) => self.bucket.complete(upload, parts, true).await,
                Err(trouble) => Err(trouble),
            };
            match done {
                Ok(()) => return Ok(true),
                // Completed after all, and the answer was lost? Or ended by somebody who goes on with the run?
                Err(Trouble::Ended) if self.bucket.is_marked(&self.key, &self.mark).await? => return Ok(true),
                Err(Trouble::Failed { is_retryable: true, .. } | Trouble::Conflict) if attempt < TRIES => {}
                Err(trouble) => return Err(trouble),
            }
            self.shared.setup.clock.sleep(delay).await;
            delay *= 2;
        }
        unreachable!("the last attempt returns")
    }

    async fn upload_parts(&self, upload: &Upload) -> Result<Vec<aws_sdk_s3::types::CompletedPart>, Trouble> {
        let length = self.content.length();
        let step = part_length(length);
        // There is a first part, even of an empty object.
        let starts = (0..length.max(1)).step_by(usize::try_from(step).unwrap_or(usize::MAX));
        let uploading = (1..).zip(starts).map(|(number, start)| async move {
            let part = self.part(start, length.min(start + step)).await?;
            self.bucket.upload(upload, number, part).await
        });
        stream::iter(uploading).buffered(AT_ONCE).try_collect().await
    }

    async fn part(&self, start: u64, end: u64) -> Result<Bytes, Trouble> {
        match &self.content {
            Payload::Inline(bytes) => Ok(bytes.slice(start as usize..end as usize)), // It is in memory, so both fit.
            Payload::Stored { key, .. } => self.shared.read(key, start, end).await.map_err(trouble),
        }
    }

    fn note_key(&self, attempt: u32, what: &str) -> String {
        format!("{}/{attempt}/{what}", self.notes)
    }

    async fn note(&self, attempt: u32, what: &str, note: String) -> Result<(), Trouble> {
        let key = self.note_key(attempt, what);
        let put = || self.shared.setup.store.put(&key, note.clone().into());
        self.persistently(put).await.map_err(trouble)
    }

    async fn noted(&self, attempt: u32, what: &str) -> Result<Option<String>, Trouble> {
        let key = self.note_key(attempt, what);
        match self.persistently(|| self.shared.setup.store.get(&key)).await {
            Ok(note) => Ok(Some(String::from_utf8_lossy(&note).into_owned())),
            Err(StoreError::NotFound { .. }) => Ok(None),
            Err(cause) => Err(trouble(cause)),
        }
    }

    /// Asks the store until it does it, or says that it never will, or long enough.
    async fn persistently<T, F>(&self, ask: impl Fn() -> F) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, StoreError>>,
    {
        let mut delay = FIRST_DELAY;
        for _ in 1..TRIES {
            match ask().await {
                Err(cause) if cause.is_retryable() => self.shared.setup.clock.sleep(delay).await,
                done => return done,
            }
            delay *= 2;
        }
        ask().await
    }
}

fn trouble(cause: StoreError) -> Trouble {
    Trouble::Failed {
        is_retryable: cause.is_retryable(),
        cause: cause.to_string(),
    }
}

fn since_epoch(time: SystemTime) -> String {
    let passed = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    passed.as_secs().to_string()
}
