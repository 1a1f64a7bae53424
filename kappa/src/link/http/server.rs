//! Who is heard, and how many of them.
//!
//! The server has a thread of its own, apart from those on which tasks compute and from the coordinator's: neither can keep it from answering,
//! and junk keeps neither of them from working.

use super::stalled::Stalled;
use super::{Access, Secret, call};
use crate::ids::{Incarnation, RunId, TaskId};
use crate::link::Link;
use crate::protocol::Invocation;
use axum::Router;
use axum::routing::post;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::{CancellationToken, DropGuard};

/// How long accepting rests when the system has no room for another connection.
const REST: Duration = Duration::from_millis(50);

/// Longest request line and headers together, in bytes. A worker's take 200.
const LONGEST_HEAD: usize = 8 * 1024;

/// The unit in which room for bodies is counted, in bytes.
const PAGE: usize = 1024;

/// How calls are served by HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpOptions {
    /// Where to listen. Default: loopback, on a free port.
    pub listen: SocketAddr,
    /// The URL by which workers reach that, if it is another one: `http://HOST:PORT`, perhaps with the beginning of a path. Default: the address
    /// listened on.
    pub advertise: Option<String>,
    /// Longest request and longest reply in bytes. Default: 64 MiB.
    pub message_limit: usize,
    /// Most bytes of requests that are being read or waiting to be answered, all together; further ones wait. At least the longest one fits.
    /// Default: 256 MiB.
    pub memory: usize,
    /// Most connections at once; further ones wait. Default: 4096.
    pub connections: usize,
    /// How long the headers of a request may take, its body, and the other end to take what is written; an idle connection is closed after the
    /// same time. Default: 20 s.
    pub slowness: Duration,
    /// How long a worker tries to deliver a call without a sign of life before it leaves with it. Default: 10 s.
    pub patience: Duration,
}

impl Default for HttpOptions {
    fn default() -> Self {
        HttpOptions {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            advertise: None,
            message_limit: 64 << 20,
            memory: 256 << 20,
            connections: 4096,
            slowness: Duration::from_secs(20),
            patience: Duration::from_secs(10),
        }
    }
}

/// Serves the calls of any number of runs. Dropping it ends that; workers then fall back to leaving with their requests.
#[derive(Debug)]
pub struct HttpServer {
    shared: Arc<Shared>,
    address: SocketAddr,
    url: String,
    stopping: CancellationToken,
    stopped: CancellationToken,
}

/// What all connections see.
pub(super) struct Shared {
    pub(super) options: HttpOptions,
    /// What the secrets of runs that are not there are compared with, so that asking for one takes as long.
    nobody: Secret,
    /// Room for bodies, in pages.
    memory: Arc<Semaphore>,
    runs: Mutex<Runs>,
}

#[derive(Default)]
struct Runs {
    open: HashMap<RunId, Run>,
    /// How many invocations were ever opened.
    count: u64,
}

/// A run of which something is running.
struct Run {
    secret: Secret,
    invocations: HashMap<(TaskId, Incarnation), Heard>,
}

/// An invocation that is heard.
struct Heard {
    number: u64,
    link: Arc<dyn Link>,
    over: CancellationToken,
    /// Whose calls are heard: the worker's that made the first one, or that was the first to report its end.
    delivery: Option<Box<[u8]>>,
}

impl Heard {
    /// Whether this delivery is the one that is heard. The first that is asked about is, from then on.
    fn hears(&mut self, delivery: &[u8]) -> bool {
        &**self.delivery.get_or_insert_with(|| delivery.into()) == delivery
    }
}

/// An invocation that is heard as long as this is there. Requests that wait for their reply when it goes are given up.
#[derive(Debug)]
pub struct Opened {
    shared: Arc<Shared>,
    run: RunId,
    key: (TaskId, Incarnation),
    number: u64,
    access: Access,
    _over: DropGuard,
}

impl HttpServer {
    /// Starts listening.
    ///
    /// # Errors
    /// If it cannot listen on the address, no thread can be started, or the operating system has no random numbers.
    pub fn start(mut options: HttpOptions) -> io::Result<Self> {
        options.memory = options.memory.max(options.message_limit);
        let pages = options.memory.div_ceil(PAGE).min(Semaphore::MAX_PERMITS);
        let connections = options.connections.clamp(1, Semaphore::MAX_PERMITS);
        let listener = std::net::TcpListener::bind(options.listen)
            .map_err(|cause| io::Error::new(cause.kind(), format!("cannot listen on {}: {cause}", options.listen)))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let url = options.advertise.clone().unwrap_or_else(|| format!("http://{address}"));
        let shared = Arc::new(Shared {
            options,
            nobody: Secret::generate()?,
            memory: Arc::new(Semaphore::new(pages)),
            runs: Mutex::default(),
        });
        let server = HttpServer {
            shared: shared.clone(),
            address,
            url,
            stopping: CancellationToken::new(),
            stopped: CancellationToken::new(),
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (stopping, stopped) = (server.stopping.clone(), server.stopped.clone().drop_guard());
        std::thread::Builder::new().name("kappa-http".into()).spawn(move || {
            let _stopped = stopped;
            let served = runtime.block_on(async {
                tokio::select! {
                    () = stopping.cancelled() => Ok(()),
                    served = accept(listener, shared, connections) => served,
                }
            });
            if let Err(cause) = served {
                tracing::error!(%cause, "calls are no longer served by HTTP; workers leave with their requests");
            }
            // Ends the connections too.
            drop(runtime);
        })?;
        Ok(server)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Hears this invocation: its requests go to `link`.
    ///
    /// # Errors
    /// If the operating system has no random numbers for a secret.
    pub fn open(&self, invocation: &Invocation, link: Arc<dyn Link>) -> io::Result<Opened> {
        let key = (invocation.task, invocation.incarnation);
        let over = CancellationToken::new();
        let mut runs = self.shared.runs.lock();
        runs.count += 1;
        let number = runs.count;
        let heard = Heard {
            number,
            link,
            over: over.clone(),
            delivery: None,
        };
        let secret = match runs.open.get_mut(&invocation.run) {
            Some(run) => {
                run.invocations.insert(key, heard);
                run.secret.clone()
            }
            None => {
                let secret = Secret::generate()?;
                let run = Run {
                    secret: secret.clone(),
                    invocations: HashMap::from([(key, heard)]),
                };
                runs.open.insert(invocation.run, run);
                secret
            }
        };
        drop(runs);
        let options = &self.shared.options;
        Ok(Opened {
            shared: self.shared.clone(),
            run: invocation.run,
            key,
            number,
            access: Access {
                url: self.url.clone(),
                secret,
                patience: options.patience,
                message_limit: options.message_limit,
            },
            _over: over.drop_guard(),
        })
    }

    /// Ends all connections, and returns when the address is free again.
    pub async fn stop(&self) {
        self.stopping.cancel();
        self.stopped.cancelled().await;
    }
}

impl Drop for HttpServer {
    fn drop(&mut self) {
        self.stopping.cancel();
    }
}

impl Opened {
    /// What the worker has to be told.
    pub fn access(&self) -> &Access {
        &self.access
    }

    /// Whether what is heard of this delivery by another way, such as its report, counts: if it is the one whose calls are heard, or if none
    /// has been heard yet. Then all others are fenced from now on, as if this had been its first call.
    pub(crate) fn claims(&self, delivery: &[u8]) -> bool {
        let mut runs = self.shared.runs.lock();
        let run = runs.open.get_mut(&self.run);
        let heard = run.and_then(|run| run.invocations.get_mut(&self.key));
        heard.is_some_and(|heard| heard.hears(delivery))
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        let mut runs = self.shared.runs.lock();
        let Some(run) = runs.open.get_mut(&self.run) else {
            return;
        };
        if run
            .invocations
            .get(&self.key)
            .is_some_and(|heard| heard.number == self.number)
        {
            run.invocations.remove(&self.key);
        }
        if run.invocations.is_empty() {
            runs.open.remove(&self.run);
        }
    }
}

/// Who takes the requests of an invocation.
pub(super) struct Taker {
    pub(super) link: Arc<dyn Link>,
    /// The invocation is over.
    pub(super) over: CancellationToken,
}

impl Shared {
    /// Whether the header is that of a worker of the run.
    pub(super) fn knows(&self, run: RunId, authorization: &[u8]) -> bool {
        let secret = self.runs.lock().open.get(&run).map(|run| run.secret.clone());
        let is_right = secret.as_ref().unwrap_or(&self.nobody).is_presented_by(authorization);
        is_right && secret.is_some()
    }

    /// Who takes the requests of this invocation, unless it is over, or another worker is heard that was given the same.
    pub(super) fn taker(&self, run: RunId, key: (TaskId, Incarnation), delivery: &[u8]) -> Option<Taker> {
        let mut runs = self.runs.lock();
        let heard = runs.open.get_mut(&run)?.invocations.get_mut(&key)?;
        heard.hears(delivery).then(|| Taker {
            link: heard.link.clone(),
            over: heard.over.clone(),
        })
    }

    /// Room for a body of this length, as long as the permit lives; waits for it. `None` if it can never be.
    pub(super) async fn room(&self, length: usize) -> Option<OwnedSemaphorePermit> {
        let pages = u32::try_from(length.div_ceil(PAGE)).ok()?;
        self.memory.clone().acquire_many_owned(pages).await.ok()
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let runs = self.runs.lock().open.len();
        write!(f, "Shared({:?}, {runs} runs)", self.options)
    }
}

async fn accept(listener: std::net::TcpListener, shared: Arc<Shared>, connections: usize) -> io::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    let room = Arc::new(Semaphore::new(connections));
    let router = Router::new()
        .route("/runs/{run}/calls", post(call::serve))
        .with_state(shared.clone());
    loop {
        let permit = room.clone().acquire_owned().await.map_err(io::Error::other)?;
        match listener.accept().await {
            Ok((connection, _)) => {
                tokio::spawn(serve(connection, router.clone(), shared.options.slowness, permit));
            }
            // A connection that is gone already, or a system without room: neither is the end.
            Err(cause) => {
                tracing::debug!(%cause, "cannot accept a connection at present");
                tokio::time::sleep(REST).await;
            }
        }
    }
}

async fn serve(connection: TcpStream, router: Router, slowness: Duration, _permit: OwnedSemaphorePermit) {
    // Without this a reply would wait for the acknowledgement of the one before it.
    let _ = connection.set_nodelay(true);
    let connection = TokioIo::new(Stalled::new(connection, slowness));
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(slowness)
        .max_header_size(LONGEST_HEAD)
        .serve_connection(connection, TowerToHyperService::new(router))
        .await;
    if let Err(cause) = served {
        tracing::debug!(%cause, "a connection broke");
    }
}
