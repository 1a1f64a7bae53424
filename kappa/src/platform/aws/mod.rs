//! The platform `aws`: an invocation is one of a function of AWS Lambda, whose program is this one.
//!
//! # What it guarantees
//!
//! * The function is looked at before anything is started: whether it can be invoked, how long it may run, how much memory it has, and that it is
//!   this program. What only a person can change is said with what to do.
//! * An invocation is one `Invoke`, which is never repeated: neither by the SDK nor by us. Lambda may deliver it twice even so (a03); then
//!   [one of the two is heard](crate::link::http).
//! * Nothing longer than Lambda carries is sent (a01): it goes through the store.
//! * A lambda leaves before its time limit, with a committed call. One that cannot be told to (it computes without a pause) ends itself.
//! * What has ended badly says how, with the last lines that the lambda said. Room that is not there is a
//!   [`Throttled`](InvocationOutcome::Throttled), and the coordinator tries again later.
//!
//! An invocation that is given up cannot be ended from outside: it runs on until its next call, which is
//! [fenced](crate::protocol::Reply::Fenced), or until its time limit. Nothing that it does takes effect any more.
//!
//! | file | its thought |
//! |---|---|
//! | `function` | what is known of the function |
//! | `envelope` | orders and reports as JSON |
//! | `failure` | what became of an invocation that gave no report |
//! | `logs` | the last lines that a lambda has said |
//! | `bootstrap` | the inside of a lambda |

mod base64;
mod bootstrap;
mod envelope;
mod failure;
mod function;
mod logs;

pub(crate) use bootstrap::serve_if_lambda;

use super::remote::Orders;
use super::{Platform, PlatformError};
use crate::link::Link;
use crate::link::http::HttpServer;
use crate::protocol::{Invocation, InvocationOutcome};
use crate::store::Store;
use async_trait::async_trait;
use aws_sdk_lambda::Client;
use aws_sdk_lambda::config::retry::RetryConfig;
use aws_sdk_lambda::config::timeout::TimeoutConfig;
use aws_sdk_lambda::config::{Builder as ClientBuilder, StalledStreamProtectionConfig};
use aws_sdk_lambda::primitives::Blob;
use aws_sdk_lambda::types::{InvocationType, LogType};
use envelope::{Answered, Event, LONGEST_MESSAGE};
use function::Function;
use logs::Log;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

/// Most invocations at once, if nothing else is said: what an AWS account may have in a region at first (developer guide, "Lambda quotas").
const USUAL_WORKERS: usize = 1000;

/// How long an invocation may take before its time begins: a cold start has 10 s, and the way there and back the rest.
const START_LIMIT: Duration = Duration::from_secs(30);

/// How long an invocation waits for room before it is turned away.
const PATIENCE: Duration = Duration::from_secs(1);

/// How the platform `aws` is to work.
#[derive(Clone, Debug)]
pub struct AwsOptions {
    /// The function: a name or an ARN, either perhaps with `:VERSION` or `:ALIAS`.
    pub function: String,
    /// Most invocations at once, at least 1. Default: 1000.
    pub workers: usize,
    /// What serves the calls of the lambdas. Default: nothing; then each call ends an invocation.
    pub http: Option<Arc<HttpServer>>,
}

impl AwsOptions {
    /// The defaults, for this function.
    pub fn new(function: impl Into<String>) -> Self {
        AwsOptions {
            function: function.into(),
            workers: USUAL_WORKERS,
            http: None,
        }
    }
}

/// The platform `aws`.
pub struct Aws {
    client: Client,
    function: Function,
    orders: Orders,
    http: Option<Arc<HttpServer>>,
    workers: usize,
    room: Semaphore,
    closing: CancellationToken,
}

impl Aws {
    /// A platform whose lambdas open this store by its URL. Region, credentials and endpoint come from where every AWS tool looks for them.
    ///
    /// # Errors
    /// If lambdas cannot open the store, AWS cannot be reached, or the function cannot be used; with what to do.
    pub async fn new(options: AwsOptions, store: &Arc<dyn Store>) -> Result<Self, PlatformError> {
        if !store.is_shared() {
            return Err(PlatformError::Invalid(format!(
                "the platform `aws` cannot use the store `{}`: lambdas cannot reach it; use s3://BUCKET/PREFIX or redis://HOST",
                store.url()
            )));
        }
        let config = crate::aws::config()
            .await
            .map_err(|cause| PlatformError::Unavailable(cause.to_string()))?;
        let function = Function::find(&Client::new(&config), &options.function).await?;
        let longest = function.timeout + START_LIMIT;
        let timeouts = TimeoutConfig::builder()
            .read_timeout(longest)
            .operation_timeout(longest);
        let invoking = ClientBuilder::from(&config)
            .retry_config(RetryConfig::disabled())
            .timeout_config(timeouts.build())
            // A lambda that computes sends nothing for minutes, and is well.
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            .build();
        let workers = options.workers.clamp(1, Semaphore::MAX_PERMITS);
        Ok(Aws {
            client: Client::from_conf(invoking),
            function,
            orders: Orders::new(store.clone(), LONGEST_MESSAGE, LONGEST_MESSAGE),
            http: options.http,
            workers,
            room: Semaphore::new(workers),
            closing: CancellationToken::new(),
        })
    }

    async fn run(&self, mut invocation: Invocation, link: Arc<dyn Link>) -> InvocationOutcome {
        let Ok(Ok(_room)) = tokio::time::timeout(PATIENCE, self.room.acquire()).await else {
            return InvocationOutcome::Throttled("as many lambdas as are wanted are busy".into());
        };
        let allowed = self.function.time_limit();
        let time_limit = invocation.time_limit.map_or(allowed, |limit| limit.min(allowed));
        invocation.time_limit = Some(time_limit);
        // It is heard as long as this is there.
        let opened = match self
            .http
            .as_ref()
            .map(|server| server.open(&invocation, link.clone()))
            .transpose()
        {
            Ok(opened) => opened,
            Err(cause) => return InvocationOutcome::Throttled(format!("no secret can be made at present: {cause}")),
        };
        let access = opened.as_ref().map(|opened| opened.access().clone());
        let order = match self.orders.write(invocation, access).await {
            Ok(order) => order,
            Err(outcome) => return outcome,
        };
        let event = match serde_json::to_vec(&Event::order(&order.bytes)) {
            Ok(event) => event,
            Err(cause) => return InvocationOutcome::Unstartable(format!("an order cannot be written: {cause}")),
        };
        // The lambda keeps its limit itself; this is for one that cannot be heard.
        let answered = tokio::time::timeout(time_limit + START_LIMIT, self.send(event)).await;
        let outcome = match answered {
            Err(_) => InvocationOutcome::TimedOut,
            Ok(Err(outcome)) => outcome,
            Ok(Ok((report, log))) => match self.orders.read(&order, &report, &*link, opened.as_ref()).await {
                InvocationOutcome::Crashed(message) => InvocationOutcome::Crashed(log.after(&message)),
                outcome => outcome,
            },
        };
        self.orders.forget(order).await;
        outcome
    }

    /// Invokes the function once; gives its report and what it has said.
    async fn send(&self, event: Vec<u8>) -> Result<(Vec<u8>, Log), InvocationOutcome> {
        let request = self
            .client
            .invoke()
            .function_name(&self.function.name)
            .invocation_type(InvocationType::RequestResponse)
            .log_type(LogType::Tail)
            .payload(Blob::new(event));
        let answer = request
            .send()
            .await
            .map_err(|error| failure::of_service(&error, &self.function.name))?;
        let log = Log::of(answer.log_result());
        let payload = answer.payload().map_or(&b""[..], AsRef::as_ref);
        if answer.function_error().is_some() {
            return Err(failure::of_function(payload, &log));
        }
        match Answered::read(payload) {
            Some(Answered::Report(report)) => match base64::decode(&report) {
                Some(report) => Ok((report, log)),
                None => Err(InvocationOutcome::Crashed("the lambda's report is not base64".into())),
            },
            Some(Answered::Unusable(cause)) => Err(InvocationOutcome::Unstartable(cause)),
            Some(Answered::Hello(_)) | None => Err(InvocationOutcome::Unstartable(format!(
                "the function `{}` does not answer as a program made with Kappa does; deploy this one",
                self.function.name
            ))),
        }
    }
}

/// Whether AWS is an emulator on this machine, whose lambdas reach this process by loopback.
pub(crate) async fn is_on_this_machine() -> bool {
    // The service's own variable goes before the one for all.
    if let Ok(endpoint) = std::env::var("AWS_ENDPOINT_URL_LAMBDA") {
        return is_loopback(&endpoint);
    }
    let config = crate::aws::config().await;
    let endpoint = config.as_ref().ok().and_then(|config| config.endpoint_url());
    endpoint.is_some_and(is_loopback)
}

fn is_loopback(url: &str) -> bool {
    let host = url
        .parse::<hyper::Uri>()
        .ok()
        .and_then(|uri| uri.host().map(str::to_string));
    host.is_some_and(|host| {
        let address = host.trim_matches(['[', ']']).parse::<IpAddr>();
        host == "localhost" || address.is_ok_and(|address| address.is_loopback())
    })
}

#[async_trait]
impl Platform for Aws {
    async fn invoke(&self, invocation: Invocation, link: Arc<dyn Link>) -> InvocationOutcome {
        tokio::select! {
            biased;
            () = self.closing.cancelled() => InvocationOutcome::Killed("the platform is being shut down".into()),
            outcome = self.run(invocation, link) => outcome,
        }
    }

    async fn shutdown(&self) {
        self.closing.cancel();
    }

    fn concurrency(&self) -> usize {
        self.workers
    }

    fn name(&self) -> String {
        "aws".to_string()
    }

    fn memory_limit(&self) -> Option<u64> {
        self.function.memory
    }

    fn time_limit(&self) -> Option<Duration> {
        Some(self.function.time_limit())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_emulator_on_this_machine_is_known_by_its_address() {
        for url in ["http://127.0.0.1:4566", "http://localhost:4566/", "http://[::1]:4566"] {
            assert!(is_loopback(url), "{url}");
        }
        for url in [
            "https://lambda.eu-north-1.amazonaws.com",
            "http://10.0.0.7:4566",
            "nonsense",
            "",
        ] {
            assert!(!is_loopback(url), "{url}");
        }
    }
}
