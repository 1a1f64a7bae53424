//! The account and the place, for other libraries that read S3.

use super::address::Address;
use super::bucket::{blocking, endpoint_of};
use super::trouble::Trouble;
use crate::aws;
use crate::store::StoreError;
use aws_config::SdkConfig;
use aws_sdk_s3::config::ProvideCredentials;
use std::fmt;
use std::time::{Duration, SystemTime};
use tokio::sync::Mutex;

/// How long before their end credentials are asked for anew.
const IN_TIME: Duration = Duration::from_secs(5 * 60);

/// What a library needs to reach S3 as the [store](super::S3Store) does: found in the same places.
pub struct S3Access {
    config: SdkConfig,
    known: Mutex<Option<(S3Credentials, Option<SystemTime>)>>,
}

/// Who asks.
#[derive(Clone, PartialEq, Eq)]
pub struct S3Credentials {
    /// Public name of the secret.
    pub access_key_id: String,
    /// What requests are signed with.
    pub secret_access_key: String,
    /// Sent along if there is one.
    pub session_token: Option<String>,
}

/// A place in S3, as `s3://BUCKET[/PATH][?endpoint=URL]` names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct S3Place {
    /// The bucket.
    pub bucket: String,
    /// Without a `/` at either end; may be empty.
    pub path: String,
    /// An S3 other than that of the surroundings.
    pub endpoint: Option<String>,
}

impl S3Place {
    /// Reads a URL.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] with what is wrong.
    pub fn parse(url: &str) -> Result<Self, StoreError> {
        let Address {
            bucket,
            path,
            endpoint,
            is_worker: _,
        } = Address::parse(url).map_err(StoreError::Invalid)?;
        Ok(S3Place { bucket, path, endpoint })
    }
}

impl S3Access {
    /// Looks for region, credentials and endpoint, blocking for seconds at most.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] if there is no region or there are no credentials, with what to set.
    pub fn find() -> Result<Self, StoreError> {
        let found = blocking(async { aws::config().await.map_err(|cause| Trouble::lasting(cause.to_string())) });
        let config = found.map_err(|trouble| unavailable(trouble.said().0))?;
        Ok(S3Access {
            config,
            known: Mutex::default(),
        })
    }

    /// Where.
    pub fn region(&self) -> &str {
        self.config.region().map_or("", |region| region.as_ref())
    }

    /// An S3 other than that of AWS: `http://HOST:PORT`. Buckets are then part of the path, not of the host's name.
    pub fn endpoint(&self) -> Option<String> {
        endpoint_of(&self.config)
    }

    /// Credentials that are good for some minutes; remembered until they have to be asked for again.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] if whoever gave some before gives none any more.
    pub async fn credentials(&self) -> Result<S3Credentials, StoreError> {
        let mut known = self.known.lock().await;
        let is_good = |until: &Option<SystemTime>| until.is_none_or(|until| SystemTime::now() + IN_TIME < until);
        if let Some((credentials, until)) = &*known
            && is_good(until)
        {
            return Ok(credentials.clone());
        }
        let Some(provider) = self.config.credentials_provider() else {
            return Err(unavailable("there are no AWS credentials".to_string()));
        };
        let given = provider.provide_credentials().await;
        let given = given.map_err(|cause| unavailable(aws::causes(&cause)))?;
        let credentials = S3Credentials {
            access_key_id: given.access_key_id().to_string(),
            secret_access_key: given.secret_access_key().to_string(),
            session_token: given.session_token().map(ToString::to_string),
        };
        *known = Some((credentials.clone(), given.expiry()));
        Ok(credentials)
    }
}

fn unavailable(cause: String) -> StoreError {
    StoreError::Unavailable {
        store: "s3:".to_string(),
        action: "be reached".to_string(),
        cause,
        retryable: false,
    }
}

impl fmt::Debug for S3Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "S3Access({}, {:?})", self.region(), self.endpoint())
    }
}

impl fmt::Debug for S3Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "S3Credentials({}, ..)", self.access_key_id)
    }
}
