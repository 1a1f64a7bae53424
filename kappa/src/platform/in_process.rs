//! The platform `in-process`: an invocation is a tokio task that can be dropped.
//!
//! Guarantees the shortest way between tasks and coordinator, and that computing has threads of its own: tasks run on a runtime of this platform,
//! so one that hogs them delays no timer and no other's checkpoint.
//!
//! Its limits: a task is stopped at its next `.await`, so code that never awaits runs on past its time limit (nothing of it takes effect any more), and its
//! thread is lost to all others meanwhile; there is no memory limit; and an abort ends everything. Where that matters, use [`process`](super::process).
//!
//! A task that does not yield is not to others' cost: the time during which every thread was busy with somebody else does not count for a time limit. Who it is
//! that does not yield is said ([`yielding`]).

mod yielding;

use super::Platform;
use crate::link::Link;
use crate::protocol::{Invocation, InvocationOutcome, Reply, Request};
use crate::store::Store;
use crate::store::counted::{Counted, Counts};
use crate::usage::Usage;
use crate::worker::{WorkerEnd, run_invocation};
use async_trait::async_trait;
use parking_lot::Mutex;
use std::future::pending;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::runtime::{Handle, Runtime};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use yielding::{Threads, Watched};

/// Stack of each thread in bytes: query plans are deep, and so is recursion through `cx.call`. Only what is touched takes room.
const STACK: usize = 32 << 20;

/// How often an invocation is looked after that goes on and on.
const LOOK: Duration = Duration::from_secs(1);

/// How long threads may go on computing after the platform was shut down.
const LAST_BREATH: Duration = Duration::from_secs(2);

/// How the platform `in-process` is to work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InProcessOptions {
    /// Threads that compute, at least 1. Default: one per processor. Four times as many invocations run at once: most of those wait for data.
    pub workers: usize,
}

impl Default for InProcessOptions {
    fn default() -> Self {
        InProcessOptions {
            workers: std::thread::available_parallelism().map_or(1, usize::from),
        }
    }
}

/// The platform `in-process`.
pub struct InProcess {
    runtime: Mutex<Option<Runtime>>,
    handle: Handle,
    store: Arc<dyn Store>,
    /// How many invocations run at once.
    at_once: usize,
    threads: Arc<Threads>,
    closing: CancellationToken,
}

impl InProcess {
    /// A platform whose tasks use this store.
    ///
    /// # Errors
    /// If the threads cannot be started.
    pub fn new(options: InProcessOptions, store: Arc<dyn Store>) -> io::Result<Self> {
        let workers = options.workers.max(1);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(workers)
            .thread_stack_size(STACK)
            .thread_name("kappa-task")
            .enable_all()
            .build()?;
        let handle = runtime.handle().clone();
        Ok(InProcess {
            runtime: Mutex::new(Some(runtime)),
            handle,
            store,
            at_once: workers.saturating_mul(4),
            threads: Threads::new(workers),
            closing: CancellationToken::new(),
        })
    }

    /// With so many invocations at once, at least 1, instead of four times as many as there are threads.
    pub fn at_most(mut self, invocations: usize) -> Self {
        self.at_once = invocations.max(1);
        self
    }

    async fn run(&self, invocation: Invocation, link: Arc<dyn Link>) -> InvocationOutcome {
        let gate = Arc::new(Gate {
            link,
            closed: AtomicBool::new(false),
        });
        let time_limit = invocation.time_limit;
        let watched = Watched::new(&self.threads, &invocation);
        let (store, counts) = Counted::over(self.store.clone());
        let working = watched.over(run_invocation(invocation, gate.clone(), store));
        let mut running = Running {
            task: self.handle.spawn(working),
            gate,
            started: Instant::now(),
            counts,
        };
        loop {
            let pause = match watched.left(time_limit) {
                Some(Duration::ZERO) => return InvocationOutcome::TimedOut,
                left => left.unwrap_or(LOOK).min(LOOK),
            };
            match tokio::time::timeout(pause, &mut running.task).await {
                Err(_) => {
                    watched.look_for_hogs();
                    if let Some(hogs) = watched.lost_to() {
                        return InvocationOutcome::NeedsRepair(hogs);
                    }
                }
                Ok(Ok(end)) => return end.into(),
                Ok(Err(cause)) if cause.is_panic() => return InvocationOutcome::Crashed(cause.to_string()),
                Ok(Err(_)) => return InvocationOutcome::Killed("the platform has been shut down".into()),
            }
        }
    }
}

/// The platform `in-process`, whose threads are started by its first invocation: for those who may not need it.
pub struct LazyInProcess {
    options: InProcessOptions,
    store: Arc<dyn Store>,
    platform: Mutex<Option<Arc<InProcess>>>,
    closing: CancellationToken,
}

impl LazyInProcess {
    /// A platform whose tasks use this store.
    pub fn new(options: InProcessOptions, store: Arc<dyn Store>) -> Self {
        LazyInProcess {
            options,
            store,
            platform: Mutex::new(None),
            closing: CancellationToken::new(),
        }
    }

    fn platform(&self) -> io::Result<Arc<InProcess>> {
        let mut platform = self.platform.lock();
        if let Some(platform) = &*platform {
            return Ok(platform.clone());
        }
        let started = Arc::new(InProcess::new(self.options.clone(), self.store.clone())?);
        Ok(platform.insert(started).clone())
    }
}

#[async_trait]
impl Platform for LazyInProcess {
    async fn invoke(&self, invocation: Invocation, link: Arc<dyn Link>) -> InvocationOutcome {
        if self.closing.is_cancelled() {
            return InvocationOutcome::Killed("the platform has been shut down".into());
        }
        match self.platform() {
            Ok(platform) => platform.invoke(invocation, link).await,
            Err(cause) => InvocationOutcome::Throttled(format!("cannot start threads at present: {cause}")),
        }
    }

    async fn shutdown(&self) {
        self.closing.cancel();
        let platform = self.platform.lock().take();
        if let Some(platform) = platform {
            platform.shutdown().await;
        }
    }

    fn concurrency(&self) -> usize {
        self.options.workers.max(1).saturating_mul(4)
    }
}

/// An invocation in progress; dropping it ends the invocation, and tells what it has used.
struct Running {
    task: JoinHandle<WorkerEnd>,
    gate: Arc<Gate>,
    started: Instant,
    counts: Arc<Counts>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.gate.closed.store(true, Ordering::SeqCst);
        self.task.abort();
        let usage = Usage::new(self.started.elapsed(), self.counts.total());
        self.gate.link.used(usage);
    }
}

/// The way to the coordinator, until the invocation is given up: its task may be computing at that moment and only notice at its next `.await`.
/// A request that is passing just then is for the coordinator to fence.
struct Gate {
    link: Arc<dyn Link>,
    closed: AtomicBool,
}

#[async_trait]
impl Link for Gate {
    async fn send(&self, request: Request) -> Reply {
        if self.closed.load(Ordering::SeqCst) {
            return pending().await;
        }
        self.link.send(request).await
    }
}

#[async_trait]
impl Platform for InProcess {
    async fn invoke(&self, invocation: Invocation, link: Arc<dyn Link>) -> InvocationOutcome {
        tokio::select! {
            biased;
            () = self.closing.cancelled() => InvocationOutcome::Killed("the platform is being shut down".into()),
            outcome = self.run(invocation, link) => outcome,
        }
    }

    async fn shutdown(&self) {
        self.closing.cancel();
        let runtime = self.runtime.lock().take();
        if let Some(runtime) = runtime {
            // Waiting for threads blocks. Code that never awaits is left to end by itself.
            let _ = tokio::task::spawn_blocking(move || runtime.shutdown_timeout(LAST_BREATH)).await;
        }
    }

    fn concurrency(&self) -> usize {
        self.at_once
    }

    fn name(&self) -> String {
        "in-process".to_string()
    }
}

impl Drop for InProcess {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.lock().take() {
            // Also within another runtime's task, where an orderly shutdown would panic.
            runtime.shutdown_background();
        }
    }
}
