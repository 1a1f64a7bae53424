//! Invocations as tasks of this process: the fastest platform, for libraries, tests and SQL on one machine.
//!
//! They run on threads of their own, so that a task that hogs them cannot delay the coordinator, a timer or another's checkpoint. An invocation
//! is ended (time limit, cancel, chaos) by dropping its future: that takes effect at its next `.await` that has to wait. Code that never
//! awaits cannot be stopped here, but it is fenced: whatever it sends later has no effect. The `process` platform can stop anything.

use crate::link::Link;
use crate::platform::Platform;
use crate::protocol::{Invocation, InvocationOutcome};
use crate::store::Store;
use crate::worker::{WorkerEnd, run_invocation};
use async_trait::async_trait;
use parking_lot::Mutex;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::task::JoinHandle;

/// Stack of a compute thread in bytes: query plans are deep, and so is recursion through `cx.call`. Only what is used is ever allocated.
const STACK: usize = 32 << 20;

/// How the platform is set up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InProcessOptions {
    /// Number of threads; at least 1.
    pub workers: usize,
}

impl Default for InProcessOptions {
    /// A thread for each processor.
    fn default() -> Self {
        InProcessOptions { workers: std::thread::available_parallelism().map_or(1, usize::from) }
    }
}

/// Runs invocations on a pool of threads.
pub struct InProcess {
    handle: Handle,
    /// Taken at shutdown.
    runtime: Mutex<Option<Runtime>>,
    store: Arc<dyn Store>,
    workers: usize,
}

impl InProcess {
    /// A platform on threads of its own. It runs at most four times as many invocations at once: most of those wait for data.
    ///
    /// # Errors
    /// If the threads cannot be started.
    pub fn new(options: InProcessOptions, store: Arc<dyn Store>) -> io::Result<Self> {
        let workers = options.workers.max(1);
        let runtime = Builder::new_multi_thread()
            .worker_threads(workers)
            .thread_name("kappa-worker")
            .thread_stack_size(STACK)
            .enable_all()
            .build()?;
        Ok(InProcess { handle: runtime.handle().clone(), runtime: Mutex::new(Some(runtime)), store, workers })
    }
}

impl Drop for InProcess {
    fn drop(&mut self) {
        // Dropping a runtime inside another one's task would panic; this does not wait for anything.
        if let Some(runtime) = self.runtime.lock().take() {
            runtime.shutdown_background();
        }
    }
}

/// A task that is aborted when whoever waits for it goes away.
struct AbortOnDrop(JoinHandle<WorkerEnd>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[async_trait]
impl Platform for InProcess {
    async fn invoke(&self, invocation: Invocation, link: Arc<dyn Link>) -> InvocationOutcome {
        let limit = invocation.time_limit;
        let mut task = AbortOnDrop(self.handle.spawn(run_invocation(invocation, link, self.store.clone())));
        let end = match limit {
            None => (&mut task.0).await,
            Some(limit) => match tokio::time::timeout(limit, &mut task.0).await {
                Ok(end) => end,
                Err(_) => return InvocationOutcome::TimedOut,
            },
        };
        match end {
            Ok(WorkerEnd::Returned) => InvocationOutcome::Returned,
            Ok(WorkerEnd::Panicked(message)) => InvocationOutcome::Crashed(message),
            Err(cause) if cause.is_cancelled() => InvocationOutcome::Killed("the platform was shut down".into()),
            Err(cause) => InvocationOutcome::Crashed(cause.to_string()),
        }
    }

    async fn shutdown(&self) {
        let runtime = self.runtime.lock().take();
        if let Some(runtime) = runtime {
            // Waiting for threads blocks; code that never awaits is left to end by itself.
            let _ = tokio::task::spawn_blocking(move || runtime.shutdown_timeout(Duration::from_secs(2))).await;
        }
    }

    fn concurrency(&self) -> usize {
        self.workers * 4
    }
}
