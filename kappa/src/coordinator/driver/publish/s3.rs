//! `s3://BUCKET/KEY[?endpoint=URL]`: an object in S3, in the place of any that was there.
//!
//! S3 renames nothing, so the object is uploaded in parts, however short it is: an upload has a name of its own, appears at one moment when it is
//! completed, and can be ended for good by whoever knows its name. So before it does anything else, a coordinator that goes on with a run ends the uploads
//! of those before it. What a dead one has sent, and is still on its way, then completes nothing: not even after the run has put another object there.
//!
//! | killed, or only paused, after | what is left | what the next coordinator does |
//! |---|---|---|
//! | the note that an upload begins | perhaps an upload without parts whose name nobody knows | takes the place of its name's note; ends those since then |
//! | the note of its name | an upload | ends it |
//! | its completion | the object, with the mark of run, task and call | sees the mark: it is done |
//!
//! Nothing is completed before its name is noted and, after that, something is recorded in the run's journal. Who was only paused, and is not the run's
//! coordinator any more, finds the note taken, or is refused by the journal: it ends its upload and stops. Who is still the coordinator then has noted
//! the name for whoever comes next.
//!
//! Trouble that passes does not fail the task:
//!
//! | trouble | what is done |
//! |---|---|
//! | the run's store is away | it is asked until the run is stopped |
//! | the bucket is away or busy | another round, which ends the upload of this one; for [`PATIENCE`] |
//! | somebody else has ended the upload: another task that does the above at the same place | the same |
//! | a note is there already: its answer was lost, or it is somebody else's | the same, unless it is the very name that was to be noted |
//!
//! Before it takes another round, a coordinator asks the journal whether the run is still its own.
//!
//! The notes are in the run's store, until the object is there. One that is never resumed leaves its upload; a bucket can have a rule that
//! ends such uploads after some days (`AbortIncompleteMultipartUpload`).

#[cfg(test)]
mod tests;

use super::{FIRST_DELAY, LONGEST_DELAY, Object, Shared};
use crate::ids::{Sequence, TaskId};
use crate::protocol::Payload;
use crate::store::StoreError;
use crate::store::s3::address::Address;
use crate::store::s3::bucket::Bucket;
use crate::store::s3::trouble::Trouble;
use crate::store::s3::upload::{AT_ONCE, Upload, part_length};
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime};

/// How long trouble of the bucket is waited out: all pauses between two rounds together.
const PATIENCE: Duration = Duration::from_secs(60);

/// How far apart S3's clock and ours may be: it refuses requests that are signed at another time.
const CLOCKS_APART: Duration = Duration::from_secs(15 * 60);

/// An object on its way.
struct Journey {
    shared: Arc<Shared>,
    whose: (TaskId, Sequence),
    bucket: Bucket,
    key: String,
    /// What the object, once there, says of its origin.
    mark: String,
    /// What the keys of the notes begin with.
    notes: String,
    content: Payload,
    /// So many uploads have been ended for good: those of earlier coordinators and of earlier rounds.
    ended: AtomicU32,
}

impl Shared {
    /// `None` if the run has been stopped: then it is neither there nor failed.
    pub(super) async fn to_s3(self: &Arc<Self>, object: Object) -> Option<Result<(), String>> {
        let address = match Address::parse(&object.url) {
            Ok(address) => address,
            Err(cause) => return Some(Err(cause)),
        };
        let bucket = Bucket::of(&address);
        let is_wanted = object.content.is_some();
        let journey = Arc::new(Journey::new(self, object, bucket, address.path));
        if is_wanted {
            return journey.arrive().await;
        }
        let ending = journey.clone();
        let ended = journey.bucket.there(async move { ending.end_earlier().await }).await;
        Some(Err(match ended {
            Ok(_) => "nobody waits for it any more".to_string(),
            Err(trouble) => trouble.said().0,
        }))
    }
}

impl Journey {
    fn new(shared: &Arc<Shared>, object: Object, bucket: Bucket, key: String) -> Self {
        let Object {
            url: _,
            task,
            sequence,
            name,
            life: _,
            content,
        } = object;
        // After a loss of power a task may call with another content under the same number.
        let which = match &content {
            Some(Payload::Inline(bytes)) => format!("{:08x}", crc32fast::hash(bytes)),
            Some(Payload::Stored { key, .. }) => format!("{:08x}", crc32fast::hash(key.as_bytes())),
            None => String::new(),
        };
        let run = shared.setup.run;
        Journey {
            shared: shared.clone(),
            whose: (task, sequence),
            bucket,
            key,
            mark: format!("{run}/{name}/{which}"),
            notes: format!("{}/publishing/{name}", run.objects()),
            content: content.unwrap_or(Payload::Inline(Bytes::new())),
            ended: AtomicU32::new(0),
        }
    }

    /// One round after the other, until the object is there, or cannot be; `None` if the run has been stopped, or is somebody else's.
    async fn arrive(self: Arc<Self>) -> Option<Result<(), String>> {
        let mut delay = FIRST_DELAY;
        let mut waited = Duration::ZERO;
        loop {
            let round = self.clone();
            let trouble = match self.bucket.there(async move { round.make().await }).await {
                Ok(is_there) => return is_there.then_some(Ok(())),
                Err(trouble) => trouble,
            };
            let (cause, passes) = trouble.said();
            if !passes || waited >= PATIENCE {
                return Some(Err(cause));
            }
            // Not if the run has been stopped meanwhile.
            drop(self.shared.gate.hold()?);
            tracing::debug!(run = %self.shared.setup.run, %cause, "an object does not get to S3 yet");
            let pause = unevenly(delay);
            self.shared.setup.clock.sleep(pause).await;
            waited += pause;
            delay = (delay * 2).min(LONGEST_DELAY);
            // It may be another coordinator that has ended the upload: whoever took another round then would end that one's.
            if !self.shared.is_still_ours().await {
                return None;
            }
        }
    }

    /// One round. Whether the object is there; if not, the run has been stopped, or is somebody else's.
    async fn make(&self) -> Result<bool, Trouble> {
        let attempt = self.end_earlier().await?;
        let is_there = self.bucket.is_marked(&self.key, &self.mark).await?;
        if !is_there {
            if self.shared.gate.hold().is_none() {
                return Ok(false);
            }
            if !self.note(attempt, "begun", since_epoch(SystemTime::now())).await? {
                return Err(Trouble::Conflict);
            }
            let upload = self.bucket.begin(&self.key, &self.mark).await?;
            let arrived = self.carry(attempt, &upload).await;
            if !matches!(arrived, Ok(true)) {
                // If this fails as well, the next round does it, or the next coordinator, or the bucket's rule.
                let _ = self.bucket.abort(&self.key, &upload.id).await;
            }
            if !arrived? {
                return Ok(false);
            }
        }
        for attempt in 0..=attempt {
            for what in ["upload", "begun"] {
                // One that stays goes at the end of the run.
                let _ = self.shared.setup.store.delete(&self.note_key(attempt, what)).await;
            }
        }
        Ok(true)
    }

    /// Ends the uploads of the coordinators before this one, and of its own earlier rounds; says how many there were.
    async fn end_earlier(&self) -> Result<u32, Trouble> {
        let mut attempt = self.ended.load(Ordering::Relaxed);
        while let Some(begun) = self.noted(attempt, "begun").await? {
            // First the note of its name is taken: whoever was only paused cannot make it any more, after its upload was looked for in vain.
            let is_taken = self.note(attempt, "upload", String::new()).await?;
            let id = match is_taken {
                true => None,
                false => self.noted(attempt, "upload").await?.filter(|id| !id.is_empty()),
            };
            match id {
                Some(id) => self.bucket.abort(&self.key, &id).await?,
                None => {
                    let begun = Duration::from_secs(begun.parse().unwrap_or(0));
                    let since = begun.saturating_sub(CLOCKS_APART);
                    self.bucket.abort_without_parts(&self.key, since).await?;
                }
            }
            attempt += 1;
            // Not again in the next round: it could end what another task has just begun at the same place.
            self.ended.store(attempt, Ordering::Relaxed);
        }
        Ok(attempt)
    }

    /// Makes the upload's name known, and the upload an object. False if the run has been stopped, or is somebody else's.
    async fn carry(&self, attempt: u32, upload: &Upload) -> Result<bool, Trouble> {
        let is_new = self.note(attempt, "upload", upload.id.clone()).await?;
        // One that is there may be this very one: an answer can get lost.
        if !is_new && self.noted(attempt, "upload").await?.as_ref() != Some(&upload.id) {
            return Err(Trouble::Conflict);
        }
        if !self.shared.is_still_ours().await {
            return Ok(false);
        }
        self.fill(upload).await
    }

    /// Uploads all parts and completes the object.
    async fn fill(&self, upload: &Upload) -> Result<bool, Trouble> {
        let parts = self.upload_parts(upload).await?;
        if self.shared.gate.hold().is_none() {
            return Ok(false);
        }
        match self.bucket.complete(upload, parts, true).await {
            Ok(()) => Ok(true),
            // Completed after all, and the answer was lost? Or ended by somebody else?
            Err(Trouble::Ended) if self.bucket.is_marked(&self.key, &self.mark).await? => Ok(true),
            Err(trouble) => Err(trouble),
        }
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
            Payload::Stored { key, .. } => self.shared.read(self.whose, key, start, end).await.map_err(trouble),
        }
    }

    fn note_key(&self, attempt: u32, what: &str) -> String {
        format!("{}/{attempt}/{what}", self.notes)
    }

    /// Makes a note; false if there is one already.
    async fn note(&self, attempt: u32, what: &str, note: String) -> Result<bool, Trouble> {
        let key = self.note_key(attempt, what);
        let put = || self.shared.setup.store.put(&key, note.clone().into());
        match self.persistently(put).await {
            Ok(()) => Ok(true),
            Err(StoreError::AlreadyExists { .. }) => Ok(false),
            Err(cause) => Err(trouble(self.shared.unread(self.whose, cause))),
        }
    }

    async fn noted(&self, attempt: u32, what: &str) -> Result<Option<String>, Trouble> {
        let key = self.note_key(attempt, what);
        match self.persistently(|| self.shared.setup.store.get(&key)).await {
            Ok(note) => Ok(Some(String::from_utf8_lossy(&note).into_owned())),
            Err(StoreError::NotFound { .. }) => Ok(None),
            Err(cause) => Err(trouble(self.shared.unread(self.whose, cause))),
        }
    }

    /// Asks the store until it does it, or says that it never will, or the run is stopped.
    async fn persistently<T, F>(&self, ask: impl Fn() -> F) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, StoreError>>,
    {
        let mut delay = FIRST_DELAY;
        loop {
            match ask().await {
                Err(cause) if cause.is_retryable() && !self.shared.is_stopped() => {
                    self.shared.setup.clock.sleep(unevenly(delay)).await;
                }
                done => return done,
            }
            delay = (delay * 2).min(LONGEST_DELAY);
        }
    }
}

/// About so long, and not as long as others wait who were refused at the same moment.
fn unevenly(delay: Duration) -> Duration {
    delay.mul_f64(rand::random_range(0.5..1.5))
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
