//! The platform `process`: an invocation is a request to a pooled child process of the same program.
//!
//! Guarantees true isolation on one machine, the honest rehearsal of Lambda: `SIGKILL` at the time limit and when an invocation is cancelled, a
//! memory limit by the kernel, no worker process that outlives this one. A worker serves one invocation at a time and stays warm for
//! the next; one that was killed, or whose task panicked, is replaced.
//!
//! Parent and worker are connected by a Unix socket pair that nobody else can reach. By it a worker is given its invocations. Its calls come back the same
//! way, or by [HTTP](crate::link::http) as a lambda's do; a worker that cannot deliver a call so ends with the request in hand, which is reported as
//! [`InvocationOutcome::Unlinked`].

mod exit;
mod message;
mod orders;
mod pool;
mod scratch;
mod stderr;
mod worker;

pub(crate) use orders::OrderPool;
#[cfg(all(test, feature = "aws"))]
pub(crate) use worker::MARK;
#[cfg(feature = "aws")]
pub(crate) use worker::MARK_BEGIN;
pub use worker::serve_if_worker;

use super::{Platform, PlatformError};
use crate::ids::Sequence;
use crate::link::Link;
use crate::link::http::{Access, HttpServer};
use crate::protocol::{Answer, Invocation, InvocationOutcome, Reply, Request};
use crate::store::Store;
use crate::usage::{Operations, Usage};
use crate::worker::WorkerEnd;
use async_trait::async_trait;
use futures::stream::{self, FuturesUnordered};
use futures::{FutureExt, StreamExt};
use message::{Configuration, FromWorker, ToWorker};
use pool::{Busy, Pool};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::UnixStream;
use tokio::net::unix::WriteHalf;
use tokio_util::sync::CancellationToken;

/// How long a new worker process may take until it serves.
const START_LIMIT: Duration = Duration::from_secs(60);

/// The same for one with a memory limit: a library that finds no memory for its threads may break and hang, and so would every other worker.
const START_LIMIT_WITHIN_MEMORY: Duration = Duration::from_secs(20);

fn start_limit(memory_limit: Option<u64>) -> Duration {
    memory_limit.map_or(START_LIMIT, |_| START_LIMIT_WITHIN_MEMORY)
}

/// How many requests of one invocation are served at once. A well-behaved one makes two: the call that it waits for, and a checkpoint in the
/// background.
const REQUESTS_UNDER_WAY: usize = 16;

/// How the platform `process` is to work.
#[derive(Clone, Debug)]
pub struct ProcessOptions {
    /// Most worker processes at once, at least 1. Default: one per processor.
    pub workers: usize,
    /// Threads that compute in each worker process. Default: 2.
    pub threads: usize,
    /// Memory that each worker process may use, in bytes; the rest of the limit beyond the program's own code and what it only reads. Default: none.
    pub memory_limit: Option<u64>,
    /// Longest message in bytes that goes through a worker's socket. Default: 256 MiB.
    pub message_limit: usize,
    /// What serves the calls of the workers. Default: nothing; they come through the sockets.
    pub http: Option<Arc<HttpServer>>,
    /// The program. Default: this one.
    pub program: Option<PathBuf>,
    /// Its arguments. Default: none.
    pub arguments: Vec<String>,
}

impl Default for ProcessOptions {
    fn default() -> Self {
        ProcessOptions {
            workers: std::thread::available_parallelism().map_or(1, usize::from),
            threads: 2,
            memory_limit: None,
            message_limit: 256 << 20,
            http: None,
            program: None,
            arguments: Vec::new(),
        }
    }
}

/// The platform `process`.
pub struct Process {
    pool: Pool,
    http: Option<Arc<HttpServer>>,
    workers: usize,
    closing: CancellationToken,
}

impl Process {
    /// A platform whose workers open this store by its URL.
    ///
    /// # Errors
    /// If other processes cannot open the store, or this process is itself a worker.
    pub fn new(mut options: ProcessOptions, store: &Arc<dyn Store>) -> Result<Self, PlatformError> {
        if worker::is_worker() {
            return Err(PlatformError::WithinWorker);
        }
        if !store.is_shared() {
            return Err(PlatformError::StoreNotShared { store: store.url() });
        }
        options.workers = options.workers.clamp(1, tokio::sync::Semaphore::MAX_PERMITS);
        let configuration = Configuration {
            store: store.url(),
            memory_limit: options.memory_limit,
            threads: options.threads.max(1),
            message_limit: options.message_limit,
        };
        let pool = Pool::new(&options, configuration).map_err(|cause| PlatformError::Unavailable(cause.to_string()))?;
        Ok(Process {
            pool,
            http: options.http,
            workers: options.workers,
            closing: CancellationToken::new(),
        })
    }

    async fn run(&self, invocation: Invocation, link: Arc<dyn Link>) -> InvocationOutcome {
        let mut busy = match self.pool.take().await {
            Ok(busy) => busy,
            Err(outcome) => return outcome,
        };
        let limit = self.pool.configuration().message_limit;
        let mut socket = match busy.socket() {
            Ok(socket) => socket,
            Err(cause) => return InvocationOutcome::Throttled(format!("cannot talk to a worker process: {cause}")),
        };
        if busy.is_new {
            let memory_limit = self.pool.configuration().memory_limit;
            let configured = configure(&mut socket, self.pool.configuration());
            match tokio::time::timeout(start_limit(memory_limit), configured).await {
                Ok(Ok(Some(FromWorker::Ready))) => busy.is_new = false,
                Ok(Ok(Some(FromWorker::Unusable(cause)))) => return InvocationOutcome::Unstartable(cause),
                Ok(Ok(Some(FromWorker::NotNow(cause)))) => return InvocationOutcome::StoreAway(cause),
                Ok(Ok(Some(FromWorker::NeedsRepair(cause)))) => return InvocationOutcome::NeedsRepair(cause),
                Ok(Ok(Some(_))) => {
                    return InvocationOutcome::Crashed("the worker process did not begin with `ready`".into());
                }
                Ok(Ok(None) | Err(_)) => return self.stillborn(busy).await,
                Err(_) => {
                    return match memory_limit {
                        Some(_) => self.pool.never_served(busy.autopsy().await),
                        None => self.not_serving("it did not serve within a minute"),
                    };
                }
            }
        }
        let time_limit = invocation.time_limit.unwrap_or(Duration::MAX);
        let opened = match &self.http {
            Some(server) => match server.open(&invocation, link.clone()) {
                Ok(opened) => Some(opened),
                Err(cause) => {
                    return InvocationOutcome::Throttled(format!("no secret can be made at present: {cause}"));
                }
            },
            None => None,
        };
        let calls = match &opened {
            Some(opened) => Calls::ByHttp(opened.access().clone()),
            None => Calls::BySocket(&*link),
        };
        let mut heard = Heard::new(&*link);
        let exchange = exchange(&mut socket, invocation, calls, limit, &mut heard.done);
        match tokio::time::timeout(time_limit, exchange).await {
            Err(_) => InvocationOutcome::TimedOut,
            Ok(Ok(End::Left(outcome))) => {
                busy.release();
                outcome
            }
            Ok(Ok(End::Outcome(outcome))) => outcome,
            Ok(Ok(End::Died)) => busy.autopsy().await.outcome(),
            Ok(Err(cause)) if cause.kind() == io::ErrorKind::InvalidData => {
                InvocationOutcome::Crashed(format!("the worker process sent nonsense: {cause}"))
            }
            Ok(Err(_)) => busy.autopsy().await.outcome(),
        }
    }

    /// A worker that ended before it was ready.
    async fn stillborn(&self, busy: Busy) -> InvocationOutcome {
        let death = busy.autopsy().await;
        if let Some(outcome) = self.pool.too_little_memory(&death) {
            return outcome;
        }
        match death.status.and_then(|status| status.code()) {
            None => death.outcome(),
            Some(code) => self.not_serving(&format!("it left with exit code {code} ({})", death.lines.join(" | "))),
        }
    }

    fn not_serving(&self, what: &str) -> InvocationOutcome {
        InvocationOutcome::Unstartable(format!(
            "{} does not serve as a worker process: {what}; its `main` must begin with `kappa::serve_if_worker()`",
            self.pool.program().display()
        ))
    }
}

async fn configure(socket: &mut UnixStream, configuration: &Configuration) -> io::Result<Option<FromWorker>> {
    let message = ToWorker::Configure(configuration.clone());
    let frame = message::encode(&message, message::CONFIGURATION_LIMIT)?
        .map_err(|cause| io::Error::other(cause.to_string()))?;
    message::write(socket, &frame).await?;
    message::read(socket, message::CONFIGURATION_LIMIT).await
}

/// How an exchange with a worker ended.
enum End {
    /// The invocation is over, the worker is as good as before.
    Left(InvocationOutcome),
    /// The invocation is over, the worker is not to be used again.
    Outcome(InvocationOutcome),
    /// The worker is gone.
    Died,
}

/// What has been heard of an invocation; dropping it tells what that has used.
struct Heard<'a> {
    link: &'a dyn Link,
    started: Instant,
    /// What it has done in the store, by its own latest word.
    done: Operations,
}

impl<'a> Heard<'a> {
    fn new(link: &'a dyn Link) -> Self {
        Heard {
            link,
            started: Instant::now(),
            done: Operations::default(),
        }
    }
}

impl Drop for Heard<'_> {
    fn drop(&mut self) {
        self.link.used(Usage::new(self.started.elapsed(), self.done));
    }
}

/// By which way a worker makes its calls.
enum Calls<'a> {
    BySocket(&'a dyn Link),
    ByHttp(Access),
}

/// Hands over an invocation and serves its requests until it ends. Several may be under way at once, and be answered in any order.
///
/// `done` is kept at what the invocation has done in the store, as far as that is known.
async fn exchange(
    socket: &mut UnixStream,
    invocation: Invocation,
    calls: Calls<'_>,
    limit: usize,
    done: &mut Operations,
) -> io::Result<End> {
    let invoked = (invocation.task, invocation.incarnation);
    let is_own = |request: &Request| match (request.task, request.incarnation) == invoked {
        true => Ok(()),
        false => Err(nonsense("a request in another task's name")),
    };
    let (link, access) = match calls {
        Calls::BySocket(link) => (Some(link), None),
        Calls::ByHttp(access) => (None, Some(access)),
    };
    match message::encode(&ToWorker::Invoke(invocation, access), limit)? {
        Ok(frame) => message::write(socket, &frame).await?,
        // The task's own doing (thousands of long results at once), and no reason to end the whole run.
        Err(too_long) => {
            let cause = format!("what it is to be given cannot be sent: {too_long}");
            return Ok(End::Outcome(InvocationOutcome::Crashed(cause)));
        }
    }
    let (read, mut write) = socket.split();
    let messages = stream::unfold(read, async |mut read| {
        let message = message::read::<FromWorker>(&mut read, limit).await;
        Some((message, read))
    });
    let mut messages = std::pin::pin!(messages);
    let mut replies = FuturesUnordered::new();
    loop {
        let message = tokio::select! {
            Some((sequence, reply)) = replies.next() => {
                answer(&mut write, sequence, reply, limit).await?;
                continue;
            }
            Some(message) = messages.next() => message?,
        };
        match (message, link) {
            (Some(FromWorker::Request(request, so_far)), Some(link)) => {
                is_own(&request)?;
                *done = so_far;
                if replies.len() >= REQUESTS_UNDER_WAY {
                    return Err(nonsense("one request after the other without waiting for replies"));
                }
                let sequence = request.sequence;
                replies.push(link.send(request).map(move |reply| (sequence, reply)));
            }
            (Some(FromWorker::Unlinked(request, all)), None) => {
                is_own(&request)?;
                *done = all;
                return Ok(End::Left(InvocationOutcome::Unlinked(request)));
            }
            (Some(FromWorker::Ended(end, all)), _) => {
                *done = all;
                return Ok(match end {
                    WorkerEnd::Panicked(message) => End::Outcome(InvocationOutcome::Crashed(message)),
                    end => End::Left(end.into()),
                });
            }
            (
                Some(FromWorker::Ready | FromWorker::Unusable(_) | FromWorker::NotNow(_) | FromWorker::NeedsRepair(_)),
                _,
            ) => {
                return Err(nonsense("`ready` in the middle of a task"));
            }
            (Some(FromWorker::Report(_)), _) => return Err(nonsense("a report on what was not ordered")),
            (Some(FromWorker::Request(..)), None) => return Err(nonsense("a request that should have come by HTTP")),
            (Some(FromWorker::Unlinked(..)), Some(_)) => return Err(nonsense("a request that could have been sent")),
            (None, _) => return Ok(End::Died),
        }
    }
}

fn nonsense(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

async fn answer(write: &mut WriteHalf<'_>, sequence: Sequence, reply: Reply, limit: usize) -> io::Result<()> {
    let frame = match message::encode(&ToWorker::Reply(sequence, reply), limit)? {
        Ok(frame) => frame,
        Err(too_long) => {
            let refused = Reply::Answer(Answer::Refused(format!("its answer cannot be delivered: {too_long}")));
            message::encode(&ToWorker::Reply(sequence, refused), limit)?
                .map_err(|cause| io::Error::other(cause.to_string()))?
        }
    };
    message::write(write, &frame).await
}

#[async_trait]
impl Platform for Process {
    async fn invoke(&self, invocation: Invocation, link: Arc<dyn Link>) -> InvocationOutcome {
        tokio::select! {
            biased;
            () = self.closing.cancelled() => InvocationOutcome::Killed("the platform is being shut down".into()),
            outcome = self.run(invocation, link) => outcome,
        }
    }

    async fn shutdown(&self) {
        self.closing.cancel();
        self.pool.close().await;
    }

    fn concurrency(&self) -> usize {
        self.workers
    }

    fn name(&self) -> String {
        "process".to_string()
    }

    fn memory_limit(&self) -> Option<u64> {
        self.pool.configuration().memory_limit
    }
}
