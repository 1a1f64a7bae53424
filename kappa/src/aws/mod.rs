//! What everything that talks to AWS has in common: where and who we are, and what the services' errors mean.
//!
//! Guarantees that a missing region or missing credentials are found before anything is sent, and said with what to do; and that finding out takes
//! seconds at most where there is no AWS: only the address that answers on an EC2 instance alone is waited for, and not for long.
//!
//! Region, credentials and endpoints come from the places that every AWS tool looks at: the variables `AWS_REGION`, `AWS_ACCESS_KEY_ID`,
//! `AWS_ENDPOINT_URL` .., the profiles in `~/.aws`, web identity, the container's role, the instance's role.

use aws_config::default_provider::credentials::DefaultCredentialsChain;
use aws_config::environment::EnvironmentVariableRegionProvider;
use aws_config::imds;
use aws_config::imds::region::ImdsRegionProvider;
use aws_config::meta::region::RegionProviderChain;
use aws_config::profile::ProfileFileRegionProvider;
use aws_config::provider_config::ProviderConfig;
use aws_config::retry::ErrorKind;
use aws_config::{BehaviorVersion, SdkConfig};
use aws_sdk_s3::config::{ProvideCredentials, SharedHttpClient};
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::operation::RequestId;
use aws_smithy_http_client::tls::Provider;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use std::error::Error;
use std::time::Duration;
use tokio::sync::OnceCell;

/// How long the instance's own address is waited for; where it exists, it answers within milliseconds.
const INSTANCE_TIMEOUT: Duration = Duration::from_secs(1);

/// How long credentials may take: a sign-on service or a program of the user's may be asked for them.
const CREDENTIALS_TIMEOUT: Duration = Duration::from_secs(30);

/// Why AWS cannot be talked to at all.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AwsError {
    /// Nothing says which region.
    #[error(
        "no AWS region is set; set AWS_REGION, for example to us-east-1, or `region` in ~/.aws/config (an endpoint of your own takes any region)"
    )]
    NoRegion,
    /// Nothing gives credentials.
    #[error(
        "there are no usable AWS credentials: {cause}; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, or sign in with `aws sso login`"
    )]
    NoCredentials {
        /// What was found out.
        cause: String,
    },
}

/// Region, credentials, endpoint and HTTP client, found out once per process; a failure is not remembered.
pub(crate) async fn config() -> Result<SdkConfig, AwsError> {
    static FOUND: OnceCell<SdkConfig> = OnceCell::const_new();
    FOUND.get_or_try_init(find).await.cloned()
}

async fn find() -> Result<SdkConfig, AwsError> {
    let http = http_client();
    let places = ProviderConfig::without_region().with_http_client(http.clone());
    let instance = imds::Client::builder()
        .configure(&places)
        .connect_timeout(INSTANCE_TIMEOUT)
        .read_timeout(INSTANCE_TIMEOUT)
        .operation_timeout(INSTANCE_TIMEOUT * 2)
        .build();
    let from_profile = ProfileFileRegionProvider::builder().configure(&places).build();
    let from_instance = ImdsRegionProvider::builder()
        .configure(&places)
        .imds_client(instance.clone())
        .build();
    let region = RegionProviderChain::first_try(EnvironmentVariableRegionProvider::new())
        .or_else(from_profile)
        .or_else(from_instance);
    let region = region.region().await.ok_or(AwsError::NoRegion)?;
    let credentials = DefaultCredentialsChain::builder()
        .configure(places)
        .imds_client(instance)
        .region(region.clone())
        .build()
        .await;
    let no_credentials = |cause| AwsError::NoCredentials { cause };
    match tokio::time::timeout(CREDENTIALS_TIMEOUT, credentials.provide_credentials()).await {
        Ok(Ok(_)) => {}
        Ok(Err(cause)) => return Err(no_credentials(causes(&cause))),
        Err(_) => return Err(no_credentials(format!("nothing came in {CREDENTIALS_TIMEOUT:?}"))),
    }
    let loader = aws_config::defaults(BehaviorVersion::latest())
        .http_client(http)
        .region(region)
        .credentials_provider(credentials);
    Ok(loader.load().await)
}

fn http_client() -> SharedHttpClient {
    let tls = Provider::Rustls(CryptoMode::Ring);
    aws_smithy_http_client::Builder::new().tls_provider(tls).build_https()
}

/// What happened, for a person: the operation, the service's code and words, and the number by which the service finds the request.
pub(crate) fn said<E>(error: &SdkError<E>) -> String
where
    E: ProvideErrorMetadata + Error + 'static,
{
    let operation = operation::<E>();
    match error {
        SdkError::ServiceError(answer) => {
            let status = answer.raw().status().as_u16();
            let code = answer.err().code().unwrap_or("no code");
            let words = answer.err().message().unwrap_or("no more was said");
            let request = match error.request_id() {
                Some(id) => format!(", request {id}"),
                None => String::new(),
            };
            format!("{operation}: {code}: {words} (HTTP {status}{request})")
        }
        SdkError::TimeoutError(_) => format!("{operation}: no answer came in time: {}", causes(error)),
        SdkError::DispatchFailure(failure) if failure.is_io() || failure.is_timeout() => format!(
            "{operation}: the service cannot be reached: {}; check the region, the network, and AWS_ENDPOINT_URL if that is set",
            causes(error)
        ),
        SdkError::DispatchFailure(failure) if failure.as_other() == Some(ErrorKind::TransientError) => {
            format!(
                "{operation}: the connection was closed without an answer: {}",
                causes(error)
            )
        }
        _ => format!("{operation}: {}", causes(error)),
    }
}

/// Whether the same request may succeed later. The SDK has tried it some times already.
pub(crate) fn is_retryable<E: ProvideErrorMetadata>(error: &SdkError<E>) -> bool {
    match error {
        SdkError::TimeoutError(_) | SdkError::ResponseError(_) => true,
        // A connection that is closed without an answer is neither: the SDK only says of it that it passes.
        SdkError::DispatchFailure(failure) => {
            failure.is_io() || failure.is_timeout() || failure.as_other() == Some(ErrorKind::TransientError)
        }
        SdkError::ServiceError(answer) => {
            let status = answer.raw().status().as_u16();
            let code = answer.err().code().unwrap_or_default();
            status >= 500
                || matches!(status, 408 | 429)
                || matches!(
                    code,
                    "SlowDown" | "RequestTimeout" | "ThrottlingException" | "Throttling" | "TooManyRequestsException"
                )
        }
        _ => false,
    }
}

/// `s3 PutObject` for `aws_sdk_s3::operation::put_object::PutObjectError`: the error's type is all that an error knows of its operation.
fn operation<E>() -> String {
    let path = std::any::type_name::<E>();
    let service = path.split("::").next().unwrap_or_default();
    let name = path.rsplit("::").next().unwrap_or_default();
    let service = service.strip_prefix("aws_sdk_").unwrap_or(service);
    format!("{service} {}", name.strip_suffix("Error").unwrap_or(name))
}

/// An error with everything that led to it, each said once.
pub(crate) fn causes(error: &dyn Error) -> String {
    let mut said = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let words = cause.to_string();
        if !said.ends_with(&words) {
            said = format!("{said}: {words}");
        }
        next = cause.source();
    }
    said
}

/// An account and a place for tests, without looking anywhere.
#[cfg(test)]
pub(crate) fn config_of(endpoint: &str, access_key: &str, secret_key: &str) -> SdkConfig {
    use aws_sdk_s3::config::{Credentials, SharedCredentialsProvider};
    let credentials = Credentials::new(access_key, secret_key, None, None, "test");
    SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .http_client(http_client())
        .region(aws_config::Region::new("us-east-1"))
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .endpoint_url(endpoint)
        .build()
}

#[cfg(test)]
mod tests;
