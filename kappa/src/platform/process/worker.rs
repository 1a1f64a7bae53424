//! The inside of a worker process: takes invocations from its socket, one after the other.
//!
//! Guarantees that it does not outlive its parent, and that it never takes its parent's turn on the terminal: its stdin is the socket, and afterwards
//! nothing; its stdout and stderr are lines on its parent's stderr.

use super::message::{self, CONFIGURATION_LIMIT, Configuration, FromWorker, ToWorker};
use crate::ids::Sequence;
use crate::link::Link;
use crate::link::http::{Access, HttpClient, Left};
use crate::platform::remote::OrderWorker;
use crate::protocol::{Answer, Invocation, Reply, Request};
use crate::store::Store;
use crate::store::counted::{Counted, Counts};
use crate::usage::Operations;
use crate::worker::{WorkerEnd, run_invocation};
use async_trait::async_trait;
use bytes::{Buf, BytesMut};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::future::pending;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::thread::JoinHandle;
use tokio::io::AsyncWriteExt;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::oneshot;
use tokio::task::JoinError;

/// Set for worker processes to the process id of their parent. A worker's own children inherit it, but have another parent.
pub(super) const WORKER_VARIABLE: &str = "KAPPA_WORKER_OF";

/// What every program holds that can serve as a worker, so that a file can be known for one without being run: this and the version.
#[cfg(feature = "aws")]
pub(crate) const MARK_BEGIN: &str = "made with kappa ";

/// The same with the version, up to a semicolon.
pub(crate) const MARK: &str = concat!("made with kappa ", env!("CARGO_PKG_VERSION"), ";");

/// Stack of each thread in bytes: query plans are deep, and so is recursion through `cx.call`. Only what is touched takes room.
const STACK: usize = 32 << 20;

/// The same where memory is limited: the limit counts all of it.
const STACK_WITHIN_LIMIT: usize = 8 << 20;

/// Most threads for blocking calls, so that their stacks do not eat up the memory limit.
const BLOCKING_THREADS: usize = 16;

/// Serves as a worker and never returns, if this process was started as one: as a pooled worker process, or as a lambda. Otherwise does nothing.
///
/// The first line of every program that uses the platform `process`; `kappa::main` does it itself. What tasks print in a worker process, on stdout
/// or stderr, appears on the stderr of the program that started it: its stdout is for results.
pub fn serve_if_worker() {
    // Nobody reads it here, and it must not be left out of the program for that.
    std::hint::black_box(MARK);
    if is_worker() {
        // On a thread of its own, because `main` may be inside a runtime already (`#[tokio::main]`).
        let served = std::thread::Builder::new().name("kappa-worker".into()).spawn(serve);
        let code = match served.map(JoinHandle::join) {
            Ok(Ok(Ok(()))) => 0,
            // It panicked, and has said so.
            Ok(Err(_)) => 101,
            Ok(Ok(Err(cause))) | Err(cause) => {
                // The parent shows it as this worker's last words.
                let _ = writeln!(std::io::stderr().lock(), "kappa worker: {cause}");
                1
            }
        };
        std::process::exit(code);
    }
    #[cfg(feature = "aws")]
    crate::platform::aws::serve_if_lambda();
}

/// Whether this process was started as a worker.
pub(super) fn is_worker() -> bool {
    std::env::var(WORKER_VARIABLE).is_ok_and(|parent| parent == nix::unistd::getppid().to_string())
}

fn serve() -> io::Result<()> {
    die_with_parent()?;
    let socket = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    nix::unistd::dup2_stdin(std::fs::File::open("/dev/null")?)?;
    // The first message is read without a runtime, because it says how large that one may be.
    socket.set_nonblocking(true)?;
    let starting = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (socket, configuration) = starting.block_on(async {
        let mut socket = tokio::net::UnixStream::from_std(socket)?;
        let first = message::read(&mut socket, CONFIGURATION_LIMIT).await?;
        Ok::<_, io::Error>((socket.into_std()?, first))
    })?;
    drop(starting);
    let configuration = match configuration {
        Some(ToWorker::Configure(configuration)) => configuration,
        Some(_) => return Err(io::Error::other("the first message is not a configuration")),
        None => return Ok(()),
    };
    let store = match prepare(&configuration) {
        Ok(store) => store,
        Err(instead) => {
            // There may be no memory for more threads than this one.
            let telling = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            return telling.block_on(async {
                let (_read, write) = tokio::net::UnixStream::from_std(socket)?.into_split();
                Line::new(write, configuration.message_limit).say(&instead).await
            });
        }
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(configuration.threads)
        .max_blocking_threads(BLOCKING_THREADS)
        .thread_stack_size(if configuration.memory_limit.is_some() {
            STACK_WITHIN_LIMIT
        } else {
            STACK
        })
        .thread_name("kappa-task")
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let (read, write) = tokio::net::UnixStream::from_std(socket)?.into_split();
        let line = Line::new(write, configuration.message_limit);
        line.say(&FromWorker::Ready).await?;
        listen(read, Arc::new(line), store).await
    })
}

/// The kernel kills this process when its parent ends.
fn die_with_parent() -> io::Result<()> {
    #[cfg(target_os = "linux")]
    nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGKILL)?;
    // It may have ended just before that.
    if !is_worker() {
        return Err(io::Error::other("the parent process is gone"));
    }
    Ok(())
}

/// The store; or what is said instead of `Ready`.
fn prepare(configuration: &Configuration) -> Result<Arc<dyn Store>, Box<FromWorker>> {
    if let Some(limit) = configuration.memory_limit {
        let limited = limit_memory(limit).map_err(io::Error::from);
        limited.and_then(|()| try_threads(configuration.threads)).map_err(|cause| {
            FromWorker::NeedsRepair(format!(
                "no worker process can start within the memory limit of {limit} bytes; raise --memory-limit; it said last: {cause}"
            ))
        })?;
    }
    let opened = crate::store::open(&configuration.store);
    opened.map_err(|cause| {
        Box::new(match () {
            () if cause.is_retryable() => FromWorker::NotNow(cause.to_string()),
            () if cause.needs_repair() => FromWorker::NeedsRepair(cause.to_string()),
            () => FromWorker::Unusable(cause.to_string()),
        })
    })
}

/// Whether there is memory for the stacks of so many threads, which are there at once, and of one for blocking calls: a runtime that finds none breaks
/// in the middle of its start.
fn try_threads(count: usize) -> io::Result<()> {
    let (end, until_end) = std::sync::mpsc::channel::<()>();
    let until_end = Arc::new(Mutex::new(until_end));
    let threads: Vec<_> = (0..=count)
        .map(|_| {
            let until_end = until_end.clone();
            let thread = std::thread::Builder::new().stack_size(STACK_WITHIN_LIMIT);
            // Fails when the other end is dropped.
            thread.spawn(move || {
                let _ = until_end.lock().recv();
            })
        })
        .collect();
    drop(end);
    let mut failed = Ok(());
    for thread in threads {
        match thread.map(JoinHandle::join) {
            Ok(_) => {}
            Err(cause) => failed = Err(cause),
        }
    }
    failed
}

/// Limits what this process may write to (`RLIMIT_DATA`), not its address space: allocators and stacks reserve far more of that than they use, and a
/// large program's code is not its data.
fn limit_memory(bytes: u64) -> nix::Result<()> {
    nix::sys::resource::setrlimit(nix::sys::resource::Resource::RLIMIT_DATA, bytes, bytes)
}

/// The connection to the parent, as the running task sees it.
struct Line {
    outgoing: tokio::sync::Mutex<Outgoing>,
    /// Who waits for a reply, by the number of the request.
    waiting: Mutex<HashMap<Sequence, oneshot::Sender<Reply>>>,
    limit: usize,
}

/// Frames on their way to the parent. A task that is stopped while it sends leaves no half frame behind: whoever speaks next sends the rest first.
struct Outgoing {
    write: OwnedWriteHalf,
    unsent: BytesMut,
}

impl Outgoing {
    async fn send(&mut self, frame: &[u8]) -> io::Result<()> {
        self.unsent.extend_from_slice(frame);
        while !self.unsent.is_empty() {
            // Either some bytes are taken, or it is cancelled and none are.
            let sent = self.write.write(&self.unsent).await?;
            self.unsent.advance(sent);
        }
        Ok(())
    }
}

impl Line {
    fn new(write: OwnedWriteHalf, limit: usize) -> Self {
        let unsent = BytesMut::new();
        Line {
            outgoing: tokio::sync::Mutex::new(Outgoing { write, unsent }),
            waiting: Mutex::default(),
            limit,
        }
    }

    async fn say(&self, message: &FromWorker) -> io::Result<()> {
        let frame = message::encode(message, self.limit)?.map_err(|cause| io::Error::other(cause.to_string()))?;
        self.outgoing.lock().await.send(&frame).await
    }

    async fn ask(&self, request: Request, done: Operations) -> io::Result<Reply> {
        let sequence = request.sequence;
        let frame = match message::encode(&FromWorker::Request(request, done), self.limit)? {
            Ok(frame) => frame,
            Err(too_long) => return Ok(Reply::Answer(Answer::Refused(too_long.to_string()))),
        };
        let (sender, reply) = oneshot::channel();
        {
            let mut outgoing = self.outgoing.lock().await;
            self.waiting.lock().insert(sequence, sender);
            outgoing.send(&frame).await?;
        }
        reply.await.map_err(io::Error::other)
    }
}

/// The running invocation's way to the coordinator by the line.
struct BySocket {
    line: Arc<Line>,
    counts: Arc<Counts>,
}

#[async_trait]
impl Link for BySocket {
    async fn send(&self, request: Request) -> Reply {
        match self.line.ask(request, self.counts.total()).await {
            Ok(reply) => reply,
            // The parent is gone; `listen` ends the process.
            Err(_) => pending().await,
        }
    }
}

/// Serves until the parent closes the socket.
async fn listen(mut socket: OwnedReadHalf, line: Arc<Line>, store: Arc<dyn Store>) -> io::Result<()> {
    let client = Arc::new(HttpClient::new());
    let orders = Arc::new(OrderWorker::new());
    loop {
        match message::read(&mut socket, line.limit).await? {
            Some(ToWorker::Invoke(invocation, access)) => {
                // What the last invocation did not wait for is not this one's.
                line.waiting.lock().clear();
                let (line, client) = (line.clone(), client.clone());
                let (store, counts) = Counted::over(store.clone());
                tokio::spawn(async move {
                    let end = match access {
                        Some(access) => run_by_http(invocation, &client, &access, store, &counts).await,
                        None => {
                            let link = BySocket {
                                line: line.clone(),
                                counts: counts.clone(),
                            };
                            let broken = run(invocation, Arc::new(link), store).await;
                            FromWorker::Ended(broken, counts.total())
                        }
                    };
                    if line.say(&end).await.is_err() {
                        // Too long; or the parent is gone, and `listen` ends the process.
                        let unsaid = "it broke, with a message that is too long to be passed on".to_string();
                        let _ = line
                            .say(&FromWorker::Ended(WorkerEnd::Panicked(unsaid), counts.total()))
                            .await;
                    }
                });
            }
            Some(ToWorker::Order(order)) => {
                let (line, orders) = (line.clone(), orders.clone());
                tokio::spawn(async move {
                    // If it is stuck, the parent ends this process, since nothing else can.
                    if let Ok(report) = orders.run_order(*order, None).await {
                        // It fails if the parent is gone, and `listen` ends the process.
                        let _ = line.say(&FromWorker::Report(Box::new(report))).await;
                    }
                });
            }
            Some(ToWorker::Reply(sequence, reply)) => {
                let waiting = line.waiting.lock().remove(&sequence);
                if let Some(waiting) = waiting {
                    // It is gone if the task has been stopped meanwhile.
                    let _ = waiting.send(reply);
                }
            }
            Some(ToWorker::Configure(_)) => return Err(io::Error::other("configured twice")),
            // Not an orderly shutdown of the runtime: a task that never awaits must not keep this process alive.
            None => std::process::exit(0),
        }
    }
}

/// Runs an invocation to its end. On a task of its own, so that even a panic outside the program's code is reported.
async fn run(invocation: Invocation, link: Arc<dyn Link>, store: Arc<dyn Store>) -> WorkerEnd {
    ended(tokio::spawn(run_invocation(invocation, link, store)).await)
}

fn ended(end: Result<WorkerEnd, JoinError>) -> WorkerEnd {
    end.unwrap_or_else(|cause| WorkerEnd::Panicked(cause.to_string()))
}

/// Runs an invocation to its end, or until it cannot deliver a request by HTTP.
async fn run_by_http(
    invocation: Invocation,
    client: &Arc<HttpClient>,
    access: &Access,
    store: Arc<dyn Store>,
    counts: &Counts,
) -> FromWorker {
    let (link, mut left) = match client.link(&invocation, access) {
        Ok(link) => link,
        Err(cause) => return FromWorker::Ended(WorkerEnd::Panicked(cause.to_string()), counts.total()),
    };
    // The link is the invocation's own: where it leaves by is open as long as that runs.
    let mut running = tokio::spawn(run_invocation(invocation, link, store));
    let left = tokio::select! {
        biased;
        end = &mut running => return FromWorker::Ended(ended(end), counts.total()),
        Ok(left) = &mut left => left,
    };
    // Nothing of it may run any more when its request is handed over.
    running.abort();
    let _ = running.await;
    match left {
        Left::Unlinked(request) => FromWorker::Unlinked(request, counts.total()),
        Left::Broken(reason) => FromWorker::Ended(WorkerEnd::Panicked(reason), counts.total()),
    }
}
