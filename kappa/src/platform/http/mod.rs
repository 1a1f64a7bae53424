//! The platform `http`: an invocation is a request to a function behind an HTTP endpoint.
//!
//! Anything that runs `PROGRAM serve` and lets requests through will do: Google Cloud Run functions, Azure Functions with a custom handler, Knative,
//! a Lambda function URL, a machine of one's own.
//!
//! # What it guarantees
//!
//! * An order is carried out only for those who know the endpoint's secret, which platform and endpoint have in their environment
//!   ([`SECRET_VARIABLE`]). It is compared in constant time, not printed, in no argument, no journal and no order, and tasks do not see it.
//!   Whoever carries out an order is given the secret of its run, and with it calls [back](crate::link::http).
//! * Nothing longer than the endpoint takes is sent; it goes through the store.
//! * Every end is told apart: what the worker reports, an endpoint that is busy (and how long it wants to be left alone), one that refuses or is not
//!   there for good, a connection that breaks, a time-out. An invocation that is given up is killed where it runs, if the endpoint
//!   notices that the connection is gone; what it does otherwise is fenced.
//! * A request may be delivered twice; then [one of the two workers is heard](crate::link::http). An endpoint that cannot be reached for a while is tried
//!   again: nothing was started there.
//!
//! # How
//!
//! ```text
//! POST URL                      200        the report
//! authorization: Bearer SECRET  400, 426   the body is no order; one of another version
//! the order                     401        not the secret
//!                               408, 503   too slow; no room at present
//!                               413        too long
//! GET /health                   200, 503   it takes orders; it is about to end
//! ```
//!
//! | file | its thought |
//! |---|---|
//! | `secret` | what both sides must know |
//! | `answer` | what an endpoint means by its answer |
//! | `server` | the endpoint: orders to worker processes |

mod answer;
mod secret;
mod server;

pub use secret::{FunctionSecret, SECRET_VARIABLE, SecretError};
pub use server::{FunctionServer, ServerOptions};

use super::remote::{Orders, Written};
use super::{Platform, PlatformError};
use crate::link::Link;
use crate::link::http::{HttpServer, Opened, with_causes};
use crate::protocol::{Invocation, InvocationOutcome};
use crate::store::Store;
use answer::{Answer, Meaning};
use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use reqwest::{Client, Url};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// The header by which an answer of a worker is told from one of something in between.
const WORKER_HEADER: &str = "kappa-function";

/// How long an endpoint may take to start a worker, beyond the time limit of what that is to do.
const START_LIMIT: Duration = Duration::from_secs(60);

/// How long an endpoint that has never answered is tried.
const PATIENCE: Duration = Duration::from_secs(10);

/// How often meanwhile.
const PAUSE: Duration = Duration::from_millis(200);

/// How long a connection may take to be made.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);

/// How often a connection that is silent is asked whether its other end still lives.
const KEEPALIVE: Duration = Duration::from_secs(15);

/// How long the way back may take to be told from none: no endpoint is left alone for longer, whatever it wants.
const LONGEST_REST: Duration = Duration::from_secs(60);

/// How the platform `http` is to work.
#[derive(Clone, Debug)]
pub struct HttpFunctionOptions {
    /// The endpoint.
    pub url: String,
    /// Its secret.
    pub secret: FunctionSecret,
    /// Most invocations at once, at least 1. Default: 100.
    pub workers: usize,
    /// What serves the calls of the workers. Default: nothing; then each call ends an invocation.
    pub http: Option<Arc<HttpServer>>,
    /// Longest order and longest report in bytes. Default: 5 MiB, which every provider takes.
    pub payload_limit: usize,
    /// How much memory an invocation has there, in bytes, for those who want to know. Default: nobody knows.
    pub memory_limit: Option<u64>,
}

impl HttpFunctionOptions {
    /// The defaults, for this endpoint.
    pub fn new(url: impl Into<String>, secret: FunctionSecret) -> Self {
        HttpFunctionOptions {
            url: url.into(),
            secret,
            workers: 100,
            http: None,
            payload_limit: 5 << 20,
            memory_limit: None,
        }
    }
}

/// Whether the host of this URL is this machine.
pub(crate) fn is_near(url: &str) -> bool {
    let Ok(url) = Url::parse(url) else { return false };
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_matches(['[', ']']).parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

/// The platform `http`.
pub struct HttpFunction {
    client: Client,
    url: Url,
    authorization: HeaderValue,
    orders: Orders,
    http: Option<Arc<HttpServer>>,
    workers: usize,
    memory_limit: Option<u64>,
    /// It has answered at least once.
    is_there: AtomicBool,
    /// Until then it wants to be left alone.
    resting: Mutex<Option<Instant>>,
    closing: CancellationToken,
}

impl HttpFunction {
    /// A platform whose workers open this store by its URL.
    ///
    /// # Errors
    /// If others cannot open the store, the URL is none, or the system has no room for it.
    pub fn new(options: HttpFunctionOptions, store: &Arc<dyn Store>) -> Result<Self, PlatformError> {
        if !store.is_shared() {
            return Err(PlatformError::Invalid(format!(
                "the platform `http` cannot use the store `{}`: workers elsewhere cannot reach it; use `redis://HOST` or `s3://BUCKET/PREFIX`, or \
                 `file:DIR` if they share the file system",
                store.url()
            )));
        }
        let url = Url::parse(&options.url)
            .map_err(|cause| PlatformError::Invalid(format!("the function `{}` is no URL: {cause}", options.url)))?;
        let mut client = Client::builder()
            .use_rustls_tls()
            // The secret is for this endpoint alone.
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT_LIMIT)
            .tcp_keepalive(KEEPALIVE)
            .tcp_keepalive_interval(KEEPALIVE)
            .tcp_nodelay(true)
            .pool_max_idle_per_host(options.workers.max(1));
        if is_near(&options.url) {
            client = client.no_proxy();
        }
        if url.scheme() == "http" {
            // A machine may have none, and need none.
            client = client.tls_built_in_root_certs(false);
        }
        let client = client
            .build()
            .map_err(|cause| PlatformError::Unavailable(with_causes(&cause)))?;
        Ok(HttpFunction {
            client,
            url,
            authorization: options.secret.authorization(),
            orders: Orders::new(store.clone(), options.payload_limit, options.payload_limit),
            http: options.http,
            workers: options.workers.max(1),
            memory_limit: options.memory_limit,
            is_there: AtomicBool::new(false),
            resting: Mutex::new(None),
            closing: CancellationToken::new(),
        })
    }

    async fn run(&self, invocation: Invocation, link: Arc<dyn Link>) -> InvocationOutcome {
        self.rest().await;
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
        let limit = invocation
            .time_limit
            .map_or(Duration::MAX, |limit| limit.saturating_add(START_LIMIT));
        let written = match self.orders.write(invocation, access).await {
            Ok(written) => written,
            Err(outcome) => return outcome,
        };
        let asking = self.ask(&written, &*link, opened.as_ref());
        let outcome = match tokio::time::timeout(limit, asking).await {
            Ok(outcome) => outcome,
            // The worker should have left long ago.
            Err(_) => InvocationOutcome::TimedOut,
        };
        self.orders.forget(written).await;
        outcome
    }

    /// Waits as long as the endpoint wants to be left alone.
    async fn rest(&self) {
        let until = *self.resting.lock();
        if let Some(until) = until {
            tokio::time::sleep_until(until.into()).await;
        }
    }

    async fn ask(&self, written: &Written, link: &dyn Link, opened: Option<&Opened>) -> InvocationOutcome {
        let body = Bytes::from(written.bytes.clone());
        let started = Instant::now();
        let answer = loop {
            match self.post(body.clone()).await {
                Ok(answer) => break answer,
                Err(cause) if !cause.is_connect() => {
                    let cause = with_causes(&cause.without_url());
                    return InvocationOutcome::Killed(format!("the connection to {} broke: {cause}", self.shown()));
                }
                Err(cause) => {
                    let cause = with_causes(&cause.without_url());
                    // Nothing was started, so this uses up none of the task's attempts.
                    if self.is_there.load(Ordering::Relaxed) {
                        return InvocationOutcome::Throttled(format!("{} cannot be reached: {cause}", self.shown()));
                    }
                    if started.elapsed() >= PATIENCE {
                        return InvocationOutcome::Unstartable(format!(
                            "nobody answers at {}: {cause}; is this where `PROGRAM serve` runs?",
                            self.shown()
                        ));
                    }
                    tokio::time::sleep(PAUSE).await;
                }
            }
        };
        self.is_there.store(true, Ordering::Relaxed);
        match answer.meaning(&self.shown()) {
            Meaning::Report(report) => self.orders.read(written, &report, link, opened).await,
            Meaning::Outcome(outcome) => outcome,
            Meaning::Busy(reason, pause) => {
                if let Some(pause) = pause {
                    *self.resting.lock() = Instant::now().checked_add(pause.min(LONGEST_REST));
                }
                InvocationOutcome::Throttled(reason)
            }
        }
    }

    /// One request and the answer to it, of which no more is read than a report may be long.
    async fn post(&self, body: Bytes) -> reqwest::Result<Answer> {
        let request = self
            .client
            .post(self.url.clone())
            .header(AUTHORIZATION, self.authorization.clone())
            .header(CONTENT_TYPE, "application/octet-stream")
            .body(body);
        let mut response = request.send().await?;
        let header = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok());
        let mut answer = Answer {
            status: response.status().as_u16(),
            is_worker: header(WORKER_HEADER).is_some(),
            retry_after: header(RETRY_AFTER.as_str())
                .and_then(|text| text.trim().parse().ok())
                .map(Duration::from_secs),
            body: Vec::new(),
        };
        while answer.body.len() <= self.orders.report_limit()
            && let Some(chunk) = response.chunk().await?
        {
            answer.body.extend_from_slice(&chunk);
        }
        Ok(answer)
    }

    /// The endpoint as messages show it: what is in a URL beside host and path may be secret.
    fn shown(&self) -> String {
        let mut url = self.url.clone();
        // They fail only for URLs without a host, which reqwest would not send to.
        let _ = (url.set_username(""), url.set_password(None));
        url.set_query(None);
        url.to_string()
    }
}

#[async_trait]
impl Platform for HttpFunction {
    async fn invoke(&self, invocation: Invocation, link: Arc<dyn Link>) -> InvocationOutcome {
        tokio::select! {
            biased;
            () = self.closing.cancelled() => InvocationOutcome::Killed("the platform is being shut down".into()),
            // Dropping this closes the connection, at which the endpoint kills the worker.
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
        "http".to_string()
    }

    fn memory_limit(&self) -> Option<u64> {
        self.memory_limit
    }
}
