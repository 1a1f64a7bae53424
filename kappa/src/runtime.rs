//! How ordinary async code starts, watches, cancels and resumes runs.
//!
//! A [`Kappa`] is a place to run things: a platform, a store and, if runs are to survive this process, a state directory:
//!
//! ```text
//! DIR/runs/<run id>/journal    what the run's coordinator decided
//! DIR/store                    the runs' large values, unless another store is given
//! ```
//!
//! A run belongs to its [`RunHandle`]: dropping the handle stops the run and kills what is running of it. With a state directory it can be
//! resumed, here or in another process, also after it has ended: then it gives its result again, until it is removed.

mod builder;
mod error;
mod handle;

pub use crate::coordinator::state::{BackOff, RunEvent, RunStats, Tuning};
pub use builder::{BuildError, Builder};
pub use error::RunError;
pub use handle::{RunHandle, Undecoded};

use crate::coordinator::driver::clock::SystemClock;
use crate::coordinator::driver::{Coordinator, Setup};
use crate::error::{Failure, TaskError};
use crate::ids::{RunId, TaskId};
use crate::journal::{Durability, FileJournal, Journal, JournalError};
use crate::platform::Platform;
use crate::protocol::{Payload, TaskSpec};
use crate::store::Store;
use crate::task::{TaskCall, TaskFunction};
use bytes::Bytes;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Runtime;

/// How long the platform may take to shut down when the last clone of a [`Kappa`] is dropped.
const SHUTDOWN_PATIENCE: Duration = Duration::from_secs(5);

/// A place to run programs of tasks. Cheap to clone.
#[derive(Clone)]
pub struct Kappa {
    inner: Arc<Inner>,
}

struct Inner {
    platform: Arc<dyn Platform>,
    /// For tasks that are to run on this machine, whatever the platform is.
    here: Arc<dyn Platform>,
    store: Arc<dyn Store>,
    state_dir: Option<PathBuf>,
    durability: Durability,
    tuning: Tuning,
    time_limit: Option<Duration>,
    /// The coordinators' own; `None` only while it is being dropped.
    runtime: Option<Runtime>,
}

impl Kappa {
    /// A place to be described.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Runs a task to its end.
    ///
    /// # Errors
    /// If the task fails, or the run cannot go on.
    pub async fn run<F: TaskFunction>(&self, call: TaskCall<F>) -> Result<F::Value, RunError> {
        self.start(call).await?.wait().await
    }

    /// Starts a run with this task.
    ///
    /// # Errors
    /// If its arguments cannot be serialised or stored, or its journal cannot be made.
    pub async fn start<F: TaskFunction>(&self, call: TaskCall<F>) -> Result<RunHandle<F::Value>, RunError> {
        match call.into_spec_bytes() {
            Ok((function, arguments)) => self.start_erased(function, arguments.into()).await,
            Err(message) => {
                let kind = Failure::Unusable(message);
                Err(RunError::Failed(TaskError::new(TaskId::ROOT, F::NAME, kind)))
            }
        }
    }

    /// Starts a run with the task function of this name and these arguments (a `postcard` tuple), whose value has type `V`.
    ///
    /// # Errors
    /// As [`Kappa::start`].
    pub async fn start_erased<V>(&self, function: &str, arguments: Bytes) -> Result<RunHandle<V>, RunError> {
        let run = RunId::generate();
        let journal = self.journal(run, FileJournal::create).await?;
        let arguments = self.payload(run, arguments).await?;
        let root = TaskSpec::new(function, arguments);
        let coordinator = Coordinator::start(self.setup(run, journal)?, root).await?;
        Ok(RunHandle::new(coordinator, self.clone()))
    }

    /// Goes on with a run of this state directory, or gives its result again.
    ///
    /// # Errors
    /// If there is no such run, it is being worked on by another process, or its journal cannot be read.
    pub async fn resume<V>(&self, run: RunId) -> Result<RunHandle<V>, RunError> {
        let journal = match self.journal(run, FileJournal::open).await {
            Err(RunError::Journal {
                cause: JournalError::NotFound { .. },
                ..
            }) => Err(RunError::Unknown { run }),
            other => other,
        }?;
        let coordinator = Coordinator::resume(self.setup(run, journal)?).await?;
        Ok(RunHandle::new(coordinator, self.clone()))
    }

    /// The same without knowing the type of the run's value: only [`RunHandle::wait_bytes`] gives it.
    ///
    /// # Errors
    /// As [`Kappa::resume`].
    pub async fn resume_erased(&self, run: RunId) -> Result<RunHandle<Undecoded>, RunError> {
        self.resume(run).await
    }

    /// The runs of the state directory, oldest first; none without one.
    ///
    /// # Errors
    /// If the directory cannot be read.
    pub fn runs(&self) -> std::io::Result<Vec<RunId>> {
        let Some(folder) = self.runs_folder().filter(|folder| folder.exists()) else {
            return Ok(Vec::new());
        };
        let mut runs = Vec::new();
        for entry in std::fs::read_dir(folder)? {
            runs.extend(entry?.file_name().to_str().and_then(RunId::parse));
        }
        runs.sort_unstable();
        Ok(runs)
    }

    /// Forgets a run of the state directory, with everything that is stored of it. A run that is not there counts as removed.
    ///
    /// # Errors
    /// If it is being worked on, or something of it cannot be deleted.
    pub async fn remove(&self, run: RunId) -> Result<(), RunError> {
        let Some(folder) = self.runs_folder().map(|folder| folder.join(run.to_string())) else {
            return Ok(());
        };
        match self.journal(run, FileJournal::open).await {
            Ok(journal) => drop(journal), // Nobody works on it: the lock was free.
            Err(RunError::Journal {
                cause: JournalError::NotFound { .. },
                ..
            }) => {}
            Err(error) => return Err(error),
        }
        let objects = self.inner.store.delete_prefix(&format!("runs/{run}")).await;
        objects.map_err(|cause| RunError::Store { run, cause })?;
        match std::fs::remove_dir_all(&folder) {
            Err(cause) if cause.kind() != std::io::ErrorKind::NotFound => Err(RunError::Journal {
                run,
                cause: JournalError::Unavailable {
                    place: folder.display().to_string(),
                    action: "remove it".to_string(),
                    cause: cause.to_string(),
                },
            }),
            _ => Ok(()),
        }
    }

    /// The store that the runs use.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.inner.store
    }

    /// Ends the platform's processes and returns when they are gone. Runs that are going on fail to go on; interrupt them before.
    pub async fn shutdown(&self) {
        self.inner.platform.shutdown().await;
        self.inner.here.shutdown().await;
    }

    fn runs_folder(&self) -> Option<PathBuf> {
        self.inner.state_dir.as_ref().map(|folder| folder.join("runs"))
    }

    fn setup(&self, run: RunId, journal: Option<Arc<dyn Journal>>) -> Result<Setup, RunError> {
        let Some(runtime) = &self.inner.runtime else {
            return Err(RunError::Platform {
                run,
                cause: "it is shutting down".to_string(),
            });
        };
        Ok(Setup {
            run,
            platform: self.inner.platform.clone(),
            here: self.inner.here.clone(),
            store: self.inner.store.clone(),
            journal,
            runtime: runtime.handle().clone(),
            clock: Arc::new(SystemClock::start()),
            tuning: self.inner.tuning.clone(),
            time_limit: self.inner.time_limit,
        })
    }

    /// The run's journal, opened on a thread that may block.
    async fn journal(
        &self,
        run: RunId,
        open: fn(&std::path::Path, Durability) -> Result<FileJournal, JournalError>,
    ) -> Result<Option<Arc<dyn Journal>>, RunError> {
        let (Some(folder), Some(runtime)) = (self.runs_folder(), &self.inner.runtime) else {
            return Ok(None);
        };
        let path = folder.join(run.to_string()).join("journal");
        let durability = self.inner.durability;
        let opened = runtime.spawn_blocking(move || open(&path, durability)).await;
        match opened {
            Ok(Ok(journal)) => Ok(Some(Arc::new(journal))),
            Ok(Err(cause)) => Err(RunError::Journal { run, cause }),
            Err(cause) => Err(RunError::Platform {
                run,
                cause: cause.to_string(),
            }),
        }
    }

    async fn payload(&self, run: RunId, bytes: Bytes) -> Result<Payload, RunError> {
        if bytes.len() <= Payload::INLINE_LIMIT {
            return Ok(Payload::Inline(bytes));
        }
        let key = format!("runs/{run}/arguments");
        let length = bytes.len() as u64;
        self.inner
            .store
            .put(&key, bytes)
            .await
            .map_err(|cause| RunError::Store { run, cause })?;
        Ok(Payload::Stored { key, length })
    }
}

impl Drop for Inner {
    /// Shuts the platform down without blocking whoever drops this, who may be an async task.
    fn drop(&mut self) {
        let Some(runtime) = self.runtime.take() else { return };
        let (platform, here) = (self.platform.clone(), self.here.clone());
        let shutdown = move || {
            let platforms = async { tokio::join!(platform.shutdown(), here.shutdown()) };
            // A platform that does not go in time is left to the end of the process.
            let _ = runtime.block_on(async { tokio::time::timeout(SHUTDOWN_PATIENCE, platforms).await });
            runtime.shutdown_background();
        };
        if let Err(cause) = std::thread::Builder::new()
            .name("kappa-shutdown".to_string())
            .spawn(shutdown)
        {
            tracing::warn!(%cause, "cannot start a thread to shut the platform down");
        }
    }
}
