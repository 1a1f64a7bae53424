//! Objects in several parts: long ones, and those that only the coordinator may complete.
//!
//! Guarantees that the object appears at one moment, when the upload is completed, and never if it is aborted: after [`Bucket::abort`] has returned, no
//! completion of that upload that is still on its way can succeed.

use super::bucket::{Bucket, CONFLICTS, MARK, pause};
use super::trouble::Trouble;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart};
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use std::time::Duration;

/// Objects up to this length are written in one request. S3 takes parts from 5 MiB, the last one excepted.
pub(crate) const PART: usize = 16 << 20;

/// How many parts are on their way at once.
pub(crate) const AT_ONCE: usize = 4;

/// Most parts of an object; S3's own limit.
const MOST_PARTS: u64 = 10_000;

/// An upload that has begun.
#[derive(Clone, Debug)]
pub(crate) struct Upload {
    pub(crate) key: String,
    pub(crate) id: String,
}

/// How long the parts of an object of this length are.
pub(crate) fn part_length(length: u64) -> u64 {
    (PART as u64).max(length.div_ceil(MOST_PARTS))
}

impl Bucket {
    /// Begins an upload of an object with this mark.
    pub(crate) async fn begin(&self, key: &str, mark: &str) -> Result<Upload, Trouble> {
        let client = self.client().await?;
        let request = client.create_multipart_upload().bucket(&*self.name).key(key);
        let begun = request.metadata(MARK, mark).send().await;
        let begun = begun.map_err(|error| Trouble::of(error, &self.name))?;
        match begun.upload_id() {
            Some(id) => Ok(Upload {
                key: key.to_string(),
                id: id.to_string(),
            }),
            None => Err(Trouble::passing(
                "S3 has begun an upload without saying which".to_string(),
            )),
        }
    }

    /// Uploads a part. The first one has the number 1.
    pub(crate) async fn upload(&self, upload: &Upload, number: i32, bytes: Bytes) -> Result<CompletedPart, Trouble> {
        let client = self.client().await?;
        let request = client
            .upload_part()
            .bucket(&*self.name)
            .key(&upload.key)
            .upload_id(&upload.id)
            .part_number(number)
            .body(ByteStream::from(bytes));
        let answer = request.send().await.map_err(|error| Trouble::of(error, &self.name))?;
        let part = CompletedPart::builder()
            .part_number(number)
            .set_e_tag(answer.e_tag().map(ToString::to_string))
            .set_checksum_crc32(answer.checksum_crc32().map(ToString::to_string))
            .set_checksum_crc64_nvme(answer.checksum_crc64_nvme().map(ToString::to_string));
        Ok(part.build())
    }

    /// Makes the object of its parts, in the place of one that is there or only if there is none.
    pub(crate) async fn complete(
        &self,
        upload: &Upload,
        parts: Vec<CompletedPart>,
        replaces: bool,
    ) -> Result<(), Trouble> {
        let client = self.client().await?;
        let all = CompletedMultipartUpload::builder().set_parts(Some(parts)).build();
        let request = client
            .complete_multipart_upload()
            .bucket(&*self.name)
            .key(&upload.key)
            .upload_id(&upload.id)
            .set_if_none_match((!replaces).then(|| "*".to_string()))
            .multipart_upload(all);
        let completed = request.send().await;
        completed.map(|_| ()).map_err(|error| Trouble::of(error, &self.name))
    }

    /// Deletes what has been uploaded; an upload that has ended counts as aborted.
    pub(crate) async fn abort(&self, key: &str, id: &str) -> Result<(), Trouble> {
        let client = self.client().await?;
        let request = client.abort_multipart_upload().bucket(&*self.name).key(key);
        let aborted = request.upload_id(id).send().await;
        match aborted.map_err(|error| Trouble::of(error, &self.name)) {
            Ok(_) | Err(Trouble::Ended | Trouble::Missing) => Ok(()),
            Err(trouble) => Err(trouble),
        }
    }

    /// Aborts the uploads under exactly this key that have begun since then and have no parts.
    pub(crate) async fn abort_without_parts(&self, key: &str, since: Duration) -> Result<(), Trouble> {
        let client = self.client().await?;
        let list = client.list_multipart_uploads().bucket(&*self.name).prefix(key);
        let page = list.send().await.map_err(|error| Trouble::of(error, &self.name))?;
        // The first page holds a thousand uploads, in the order of their keys: those of the key itself come first.
        for upload in page.uploads().iter().filter(|upload| upload.key() == Some(key)) {
            let begun = upload.initiated().map_or(i64::MAX, |begun| begun.secs());
            let is_old = begun < i64::try_from(since.as_secs()).unwrap_or(i64::MAX);
            let Some(id) = upload.upload_id().filter(|_| !is_old) else {
                continue;
            };
            let list = client.list_parts().bucket(&*self.name).key(key).upload_id(id);
            match list.send().await.map_err(|error| Trouble::of(error, &self.name)) {
                Ok(parts) if parts.parts().is_empty() => self.abort(key, id).await?,
                Ok(_) | Err(Trouble::Ended | Trouble::Missing) => {}
                Err(trouble) => return Err(trouble),
            }
        }
        Ok(())
    }

    /// Writes an object, if there is none under this key.
    pub(super) async fn put_new(&self, key: &str, bytes: Bytes) -> Result<(), Trouble> {
        let mark = uuid::Uuid::new_v4().to_string();
        let mut attempt = 0;
        loop {
            let written = match bytes.len() {
                0..=PART => self.put(key, bytes.clone(), &mark).await,
                _ => self.put_in_parts(key, &bytes, &mark).await,
            };
            match written {
                Err(Trouble::Conflict) if attempt < CONFLICTS => pause(attempt).await,
                // It may be the very object: an answer that was lost makes the SDK ask once more.
                Err(trouble @ (Trouble::Taken | Trouble::Ended)) => {
                    return match self.is_marked(key, &mark).await? {
                        true => Ok(()),
                        false => Err(trouble),
                    };
                }
                done => return done,
            }
            attempt += 1;
        }
    }

    async fn put_in_parts(&self, key: &str, bytes: &Bytes, mark: &str) -> Result<(), Trouble> {
        let upload = self.begin(key, mark).await?;
        let length = part_length(bytes.len() as u64) as usize;
        let parts = (1..).zip((0..bytes.len()).step_by(length));
        let uploading = parts.map(|(number, from)| {
            let part = bytes.slice(from..bytes.len().min(from + length));
            self.upload(&upload, number, part)
        });
        let uploaded = stream::iter(uploading).buffered(AT_ONCE).try_collect().await;
        let completed = match uploaded {
            Ok(parts) => self.complete(&upload, parts, false).await,
            Err(trouble) => Err(trouble),
        };
        if completed.is_err() {
            // If this fails as well, the parts go when the run's prefix is deleted.
            let _ = self.abort(key, &upload.id).await;
        }
        completed
    }
}
