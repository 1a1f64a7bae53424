//! Why a request to S3 did not do what it was to do, and what a person can do about it.

use crate::aws;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use std::error::Error;

/// Why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// There is no such object.
    Missing,
    /// There is one already.
    Taken,
    /// Another request at the same moment; S3 has decided neither.
    Conflict,
    /// There is no such upload (any more).
    Ended,
    /// The object has no such bytes.
    OutOfRange,
    /// Anything else.
    Failed {
        /// What happened and what to do.
        cause: String,
        /// Whether the same may succeed later.
        is_retryable: bool,
    },
}

impl Trouble {
    pub(super) fn lasting(cause: String) -> Self {
        Trouble::Failed {
            cause,
            is_retryable: false,
        }
    }

    pub(super) fn passing(cause: String) -> Self {
        Trouble::Failed {
            cause,
            is_retryable: true,
        }
    }

    pub(super) fn of<E>(error: SdkError<E>, bucket: &str) -> Self
    where
        E: ProvideErrorMetadata + Error + 'static,
    {
        let answer = error.raw_response();
        let status = answer.map_or(0, |answer| answer.status().as_u16());
        let region = answer.and_then(|answer| answer.headers().get("x-amz-bucket-region"));
        let code = error.code().unwrap_or_default();
        match (status, code) {
            (_, "NoSuchBucket") => Self::no_bucket(bucket),
            (_, "NoSuchUpload") => Trouble::Ended,
            (404, _) => Trouble::Missing,
            (412, _) => Trouble::Taken,
            (409, "ConditionalRequestConflict" | "OperationAborted") => Trouble::Conflict,
            (416, _) => Trouble::OutOfRange,
            (301 | 307, _) | (400, "AuthorizationHeaderMalformed") => {
                let region = region.map_or("the right region".to_string(), |region| format!("`{region}`"));
                Trouble::lasting(format!(
                    "{}; the bucket {bucket} is in another region: set AWS_REGION to {region}",
                    aws::said(&error)
                ))
            }
            (
                _,
                "InvalidAccessKeyId"
                | "SignatureDoesNotMatch"
                | "ExpiredToken"
                | "InvalidToken"
                | "TokenRefreshRequired",
            ) => Trouble::lasting(format!(
                "{}; the credentials are not valid: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, or sign in again",
                aws::said(&error)
            )),
            (403, _) => Trouble::lasting(format!(
                "{}; the account may not do that: allow it in its policy (s3:GetObject, PutObject, DeleteObject, AbortMultipartUpload, ListMultipartUploadParts on \
                 arn:aws:s3:::{bucket}/*; s3:ListBucket, ListBucketMultipartUploads on arn:aws:s3:::{bucket})",
                aws::said(&error)
            )),
            _ => Trouble::Failed {
                cause: aws::said(&error),
                is_retryable: aws::is_retryable(&error),
            },
        }
    }

    /// Why one of several objects could not be deleted.
    pub(super) fn of_one(error: &aws_sdk_s3::types::Error, bucket: &str) -> Self {
        let code = error.code().unwrap_or("no code");
        let cause = format!(
            "s3 DeleteObjects: {code}: {} (object {} of the bucket {bucket})",
            error.message().unwrap_or("no more was said"),
            error.key().unwrap_or_default(),
        );
        match code {
            "InternalError" | "SlowDown" | "ServiceUnavailable" => Self::passing(cause),
            _ => Self::lasting(cause),
        }
    }

    fn no_bucket(bucket: &str) -> Self {
        Self::lasting(format!(
            "there is no bucket {bucket}; make it with `aws s3 mb s3://{bucket}`, or name another one"
        ))
    }

    /// What happened, where an object that is missing, taken or short makes no sense.
    pub(crate) fn said(self) -> (String, bool) {
        match self {
            Trouble::Missing => ("there is no such object".to_string(), false),
            Trouble::Taken => ("there is an object already".to_string(), false),
            Trouble::Conflict => ("others write there at the same time, again and again".to_string(), true),
            Trouble::Ended => ("the upload has been aborted by somebody else".to_string(), true),
            Trouble::OutOfRange => ("the object is shorter than it was".to_string(), false),
            Trouble::Failed { cause, is_retryable } => (cause, is_retryable),
        }
    }
}
