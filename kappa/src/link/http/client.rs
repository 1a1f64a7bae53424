//! Tries, tries again, and leaves with the request in hand.
//!
//! A worker keeps one connection open for all its invocations (more only while several of its requests are under way). What got no clear answer is
//! repeated: the coordinator recognises a duplicate. After the time without a sign of life that the coordinator has set, the link gives up, for this
//! invocation; and remembers it, so that the next invocation does not spend as long on finding out.

use super::{Access, DELIVERY_HEADER, REPLY_FOLLOWS, STILL_WAITING, VERSION, VERSION_HEADER, too_long};
use crate::ids::Sequence;
use crate::link::Link;
use crate::protocol::{Answer, Invocation, Reply, Request};
use async_trait::async_trait;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue, InvalidHeaderValue};
use hyper::http::uri::InvalidUri;
use hyper::{Response, StatusCode, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use parking_lot::Mutex;
use rand::Rng;
use std::collections::BTreeMap;
use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;
use uuid::Uuid;

/// The first pause before a repetition; each further one is twice as long, and each is shortened by chance to between half and all of it.
const FIRST_PAUSE: Duration = Duration::from_millis(10);

/// No pause is longer.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// How long an idle connection is kept. The server closes it at about the same time.
const IDLE: Duration = Duration::from_secs(15);

/// Slowest transfer, in bytes per second, that does not count as silence.
const SLOWEST: u64 = 1 << 20;

/// The part of its time limit that an invocation keeps for leaving with its request: this fraction of it.
const LAST_PART: u32 = 4;

/// Most bytes of a refusal's text that are passed on.
const LONGEST_REASON: usize = 1024;

/// What all invocations of a worker process share.
pub(crate) struct HttpClient {
    client: Client<HttpConnector, Full<Bytes>>,
    /// The last call was delivered, or none has been made yet.
    reachable: AtomicBool,
}

impl HttpClient {
    pub(crate) fn new() -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(1)
            .build(connector);
        HttpClient {
            client,
            reachable: AtomicBool::new(true),
        }
    }

    /// The way of one invocation, and where it says that the invocation has to end.
    pub(crate) fn link(
        self: &Arc<Self>,
        invocation: &Invocation,
        access: &Access,
    ) -> Result<(Arc<HttpLink>, oneshot::Receiver<Left>), UnusableAccess> {
        let uri = format!("{}/runs/{}/calls", access.url.trim_end_matches('/'), invocation.run);
        let uri = uri.parse().map_err(|cause| UnusableAccess::Url {
            url: access.url.clone(),
            cause,
        })?;
        let mut authorization = HeaderValue::try_from(access.secret.authorization())?;
        authorization.set_sensitive(true);
        let (leave, left) = oneshot::channel();
        let link = HttpLink {
            client: self.clone(),
            uri,
            authorization,
            delivery: HeaderValue::try_from(Uuid::new_v4().simple().to_string())?,
            silence: access.silence(),
            patience: access.patience,
            message_limit: access.message_limit,
            started: Instant::now(),
            time_limit: invocation.time_limit,
            under_way: Mutex::default(),
            leave: Mutex::new(Some(leave)),
        };
        Ok((Arc::new(link), left))
    }
}

/// Why a worker cannot use what it was told.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UnusableAccess {
    #[error("the coordinator's address `{url}` is no URL: {cause}")]
    Url { url: String, cause: InvalidUri },
    #[error("the secret cannot be sent: {0}")]
    Secret(#[from] InvalidHeaderValue),
}

/// Why an invocation has to end, seen from its link.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Left {
    /// The coordinator cannot be reached; this is what it should have been told.
    Unlinked(Box<Request>),
    /// The coordinator can be reached and cannot be spoken with.
    Broken(String),
}

/// One invocation's way to the coordinator.
pub(crate) struct HttpLink {
    client: Arc<HttpClient>,
    uri: Uri,
    authorization: HeaderValue,
    /// Which of those that were given this invocation is speaking.
    delivery: HeaderValue,
    silence: Duration,
    patience: Duration,
    message_limit: usize,
    started: Instant,
    time_limit: Option<Duration>,
    /// What has been sent and is not answered yet.
    under_way: Mutex<BTreeMap<Sequence, Arc<Request>>>,
    leave: Mutex<Option<oneshot::Sender<Left>>>,
}

/// What became of one attempt.
enum Attempt {
    /// It is answered.
    Answered(Reply),
    /// It may or may not have been delivered; another attempt may tell.
    Unclear(String),
    /// It was not delivered, and never will be.
    Unwelcome(String),
    /// Both sides do not understand each other.
    Broken(String),
}

#[async_trait]
impl Link for HttpLink {
    async fn send(&self, request: Request) -> Reply {
        let body = match postcard::to_stdvec(&request) {
            Ok(body) if body.len() <= self.message_limit => Bytes::from(body),
            Ok(body) => return refused(too_long(body.len(), self.message_limit)),
            Err(cause) => return refused(cause.to_string()),
        };
        let sequence = request.sequence;
        self.under_way.lock().insert(sequence, Arc::new(request));
        let _under_way = UnderWay { link: self, sequence };
        match self.deliver(&body).await {
            Ok(reply) => reply,
            Err(end) => {
                self.give_up(end);
                // Whoever runs the invocation drops it.
                pending().await
            }
        }
    }
}

/// A request that is under way as long as this lives.
struct UnderWay<'a> {
    link: &'a HttpLink,
    sequence: Sequence,
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.link.under_way.lock().remove(&self.sequence);
    }
}

/// Why a request was not delivered.
enum Undelivered {
    Unreachable,
    Broken(String),
}

impl HttpLink {
    /// The number by which its calls, and the report of its worker, are told from those of another that was given the same invocation.
    pub(crate) fn delivery(&self) -> String {
        String::from_utf8_lossy(self.delivery.as_bytes()).into_owned()
    }

    async fn deliver(&self, body: &Bytes) -> Result<Reply, Undelivered> {
        // What takes long because it is long is not silence.
        let transfer = Duration::from_secs(body.len() as u64 / SLOWEST);
        let was_reachable = self.client.reachable.load(Ordering::Relaxed);
        let silence = transfer + if was_reachable { self.silence } else { self.silence / 3 };
        let patience = transfer.saturating_add(self.patience);
        let mut alive = Instant::now();
        let mut pause = FIRST_PAUSE;
        loop {
            let silence = silence.min(self.time_left() / 2);
            let reason = match self.attempt(body.clone(), silence, &mut alive).await {
                Attempt::Answered(reply) => {
                    self.client.reachable.store(true, Ordering::Relaxed);
                    return Ok(reply);
                }
                Attempt::Broken(reason) => return Err(Undelivered::Broken(reason)),
                Attempt::Unwelcome(reason) => {
                    tracing::warn!(reason, "the coordinator does not hear this worker, which leaves");
                    return Err(Undelivered::Unreachable);
                }
                Attempt::Unclear(reason) => reason,
            };
            let wait = pause.mul_f64(rand::rng().random_range(0.5..1.0));
            let is_late = self
                .time_limit
                .is_some_and(|limit| self.time_left() < limit / LAST_PART);
            let is_hopeless = !was_reachable || is_late || alive.elapsed() + wait >= patience;
            if is_hopeless {
                tracing::warn!(
                    reason,
                    "the coordinator cannot be reached; the worker leaves with its request"
                );
                self.client.reachable.store(false, Ordering::Relaxed);
                return Err(Undelivered::Unreachable);
            }
            tracing::debug!(reason, "a request is repeated");
            tokio::time::sleep(wait).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// How long the invocation may still run. A worker that is killed by its time limit while it tries has no request in its hand any more.
    fn time_left(&self) -> Duration {
        self.time_limit
            .map_or(Duration::MAX, |limit| limit.saturating_sub(self.started.elapsed()))
    }

    /// One attempt, which ends when nothing is heard for as long as `silence`. `alive` is moved to the last sign of life.
    async fn attempt(&self, body: Bytes, silence: Duration, alive: &mut Instant) -> Attempt {
        let request = hyper::Request::post(self.uri.clone())
            .header(AUTHORIZATION, self.authorization.clone())
            .header(VERSION_HEADER, VERSION)
            .header(DELIVERY_HEADER, self.delivery.clone())
            .header(CONTENT_TYPE, "application/octet-stream")
            .body(Full::new(body));
        let request = match request {
            Ok(request) => request,
            Err(cause) => return Attempt::Broken(format!("a request cannot be made: {cause}")),
        };
        let response = match tokio::time::timeout(silence, self.client.client.request(request)).await {
            Ok(Ok(response)) => response,
            Ok(Err(cause)) => return Attempt::Unclear(with_causes(&cause)),
            Err(_) => return Attempt::Unclear("nothing was heard in time".into()),
        };
        let is_coordinator = response.headers().contains_key(VERSION_HEADER);
        match response.status() {
            StatusCode::OK if is_coordinator => {
                *alive = Instant::now();
                self.reply(response, silence, alive).await
            }
            status if is_coordinator => self.refusal(status, response, silence).await,
            status => Attempt::Unclear(format!("{status}, from something that is not the coordinator")),
        }
    }

    /// The reply, after any number of signs of life.
    async fn reply(&self, response: Response<Incoming>, silence: Duration, alive: &mut Instant) -> Attempt {
        let mut body = response.into_body();
        let mut reply = Vec::new();
        loop {
            let frame = match tokio::time::timeout(silence, body.frame()).await {
                Ok(Some(Ok(frame))) => frame,
                Ok(None) => break,
                Ok(Some(Err(cause))) => return Attempt::Unclear(with_causes(&cause)),
                Err(_) => return Attempt::Unclear("the reply stopped coming".into()),
            };
            *alive = Instant::now();
            let Ok(mut data) = frame.into_data() else { continue };
            if reply.is_empty() {
                let waits = data.iter().take_while(|byte| **byte == STILL_WAITING).count();
                data = data.slice(waits..);
            }
            if reply.len() + data.len() > self.message_limit.saturating_add(1) {
                let length = reply.len() + data.len();
                return Attempt::Broken(format!("a reply is too long: {}", too_long(length, self.message_limit)));
            }
            reply.extend_from_slice(&data);
        }
        match reply.split_first() {
            // It ended between a sign of life and the reply.
            None => Attempt::Unclear("the reply did not come".into()),
            Some((&REPLY_FOLLOWS, encoded)) => match postcard::take_from_bytes(encoded) {
                Ok((reply, [])) => Attempt::Answered(reply),
                _ => Attempt::Unclear("the reply cannot be read".into()),
            },
            Some(_) => Attempt::Unclear("that is no reply".into()),
        }
    }

    async fn refusal(&self, status: StatusCode, response: Response<Incoming>, silence: Duration) -> Attempt {
        let said = tokio::time::timeout(silence, response.into_body().collect()).await;
        let said = match said {
            Ok(Ok(body)) => body.to_bytes(),
            _ => Bytes::new(),
        };
        let said = String::from_utf8_lossy(&said[..said.len().min(LONGEST_REASON)]);
        let reason = format!("the coordinator refused a request ({status}): {said}");
        match status {
            StatusCode::UNAUTHORIZED => Attempt::Unwelcome(reason),
            StatusCode::PAYLOAD_TOO_LARGE => Attempt::Answered(refused(said.into_owned())),
            StatusCode::REQUEST_TIMEOUT => Attempt::Unclear(reason),
            status if status.is_server_error() => Attempt::Unclear(reason),
            _ => Attempt::Broken(reason),
        }
    }

    /// Ends the invocation. Of several requests under way the last stands for all: it carries what the coordinator has not acknowledged.
    fn give_up(&self, why: Undelivered) {
        let end = match why {
            Undelivered::Broken(reason) => Left::Broken(reason),
            Undelivered::Unreachable => match self.under_way.lock().last_key_value() {
                Some((_, request)) => Left::Unlinked(Box::new(Request::clone(request))),
                None => return,
            },
        };
        if let Some(leave) = self.leave.lock().take() {
            // The receiver is gone only if the invocation has ended.
            let _ = leave.send(end);
        }
    }
}

fn refused(reason: String) -> Reply {
    Reply::Answer(Answer::Refused(reason))
}

/// An error with everything that led to it: those of hyper and reqwest hide what happened in their sources.
pub(crate) fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
