//! How ordinary async code starts, watches, cancels and resumes runs.
//!
//! A [`Kappa`] is a place to run things: a platform, a store and, if runs are to survive this process, a state directory:
//!
//! ```text
//! DIR/runs/<run id>/journal    what the run's coordinator decided
//! DIR/runs/<run id>/run.json   what the run is and how it stands; beside it what happened in it (see `record`)
//! DIR/store                    the runs' large values, unless another store is given
//! ```
//!
//! or, in its place, Redis servers that keep the same.
//!
//! A run belongs to its [`RunHandle`]: dropping the handle stops the run and kills what is running of it. With a state directory it can be
//! resumed, here or in another process, also after it has ended: then it gives its result again, until it is removed.

mod builder;
mod error;
mod handle;
pub(crate) mod state;

pub use crate::coordinator::driver::{Observer, RunEnd};
pub use crate::coordinator::state::{BackOff, Observation, RunEvent, RunStats, Tuning, WaitsFor};
pub use crate::replicas::{Condition, ReplicaStatus};
pub use builder::{BuildError, Builder};
pub use error::RunError;
pub use handle::{RunHandle, Undecoded};

use crate::coordinator::driver::clock::SystemClock;
use crate::coordinator::driver::{Coordinator, LocalFiles, Setup};
use crate::error::{Failure, TaskError};
use crate::ids::{RunId, TaskId};
use crate::journal::{Durability, Journal, JournalError};
use crate::platform::Platform;
use crate::protocol::{Payload, TaskSpec};
use crate::record::place::Place;
use crate::record::{About, Origin, Recorder};
use crate::replicas::address;
use crate::store::{Counted, Store};
use crate::task::{TaskCall, TaskFunction};
use bytes::Bytes;
use state::{Opening, State};
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Runtime;

/// How long the platform may take to shut down when the last clone of a [`Kappa`] is dropped.
const SHUTDOWN_PATIENCE: Duration = Duration::from_secs(5);

/// The record of a run, if it has one; or why it has none, although it should.
type Record = Result<Option<Arc<Recorder>>, String>;

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
    state: Option<State>,
    durability: Durability,
    tuning: Tuning,
    time_limit: Option<Duration>,
    observers: Vec<Arc<dyn Observer>>,
    resume_arguments: Option<Vec<String>>,
    /// Where tasks may have files put.
    files: LocalFiles,
    same_program: bool,
    /// Whether runs are only ended here: no task of theirs is carried out.
    only_ends: bool,
    /// The coordinators' own; `None` only while it is being dropped.
    runtime: Option<Runtime>,
}

/// Begins the record of a run, or goes on with it.
type OpenRecord = fn(Box<dyn Place>, About) -> std::io::Result<Option<Arc<Recorder>>>;

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
        self.start_as(RunId::generate(), call).await
    }

    /// The same with an id that was [generated](RunId::generate) before: for programs that put objects under [`RunId::results`] before the run starts.
    ///
    /// # Errors
    /// As [`Kappa::start`]; also if there is a run with this id already.
    pub async fn start_as<F: TaskFunction>(
        &self,
        run: RunId,
        call: TaskCall<F>,
    ) -> Result<RunHandle<F::Value>, RunError> {
        match call.into_spec_bytes() {
            Ok((function, arguments)) => self.start_bytes(run, function, arguments.into()).await,
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
        self.start_bytes(RunId::generate(), function, arguments).await
    }

    async fn start_bytes<V>(&self, run: RunId, function: &str, arguments: Bytes) -> Result<RunHandle<V>, RunError> {
        check_names(run)?;
        let (journal, place) = self.journal(run, Opening::New).await?;
        let (store, counts) = Counted::over(self.inner.store.clone());
        let arguments = payload(&store, run, arguments).await?;
        let root = TaskSpec::new(function, arguments);
        let record = self.record(run, function, place, Recorder::start).await;
        let coordinator = Coordinator::start(self.setup(run, journal, &record)?, root).await?;
        coordinator.count(counts.take());
        Ok(RunHandle::new(coordinator, record, self.clone()))
    }

    /// Goes on with a run of this state directory, or gives its result again.
    ///
    /// # Errors
    /// If there is no such run, it is being worked on by another process, or its journal cannot be read.
    pub async fn resume<V>(&self, run: RunId) -> Result<RunHandle<V>, RunError> {
        check_names(run)?;
        let (journal, place) = match self.journal(run, Opening::Existing).await {
            Err(RunError::Journal {
                cause: JournalError::NotFound { .. },
                ..
            }) => Err(RunError::Unknown { run }),
            other => other,
        }?;
        let record = self.record(run, "", place, Recorder::resume).await;
        let coordinator = Coordinator::resume(self.setup(run, journal, &record)?).await?;
        Ok(RunHandle::new(coordinator, record, self.clone()))
    }

    /// The same without knowing the type of the run's value: only [`RunHandle::wait_bytes`] gives it.
    ///
    /// # Errors
    /// As [`Kappa::resume`].
    pub async fn resume_erased(&self, run: RunId) -> Result<RunHandle<Undecoded>, RunError> {
        self.resume(run).await
    }

    /// The runs of the state, oldest first; none without one. Blocks the thread for a moment.
    ///
    /// # Errors
    /// If the state cannot be read.
    pub fn runs(&self) -> std::io::Result<Vec<RunId>> {
        self.inner.state.as_ref().map_or(Ok(Vec::new()), State::runs)
    }

    /// Forgets a run of the state, with everything that is stored of it, also in another store than this place's, if it was started with that. A run that is not there counts as removed.
    ///
    /// # Errors
    /// If it is being worked on, or something of it cannot be deleted.
    pub async fn remove(&self, run: RunId) -> Result<(), RunError> {
        let (Some(state), Some(runtime)) = (&self.inner.state, &self.inner.runtime) else {
            return Ok(());
        };
        let failed = |cause| RunError::Journal { run, cause };
        // Only if nobody works on it.
        let removing = state
            .remove(run, self.inner.durability, runtime.handle())
            .await
            .map_err(failed)?;
        let store_failed = |cause| RunError::Store { run, cause };
        let other = state.store_of(run, &self.inner.store, runtime.handle()).await;
        let other = other.map_err(store_failed)?;
        for store in other.iter().chain([&self.inner.store]) {
            for prefix in [run.objects(), run.results()] {
                store.delete_prefix(&prefix).await.map_err(store_failed)?;
            }
        }
        removing.finish().await.map_err(failed)
    }

    /// How the Redis servers are doing that keep the state; none if a folder does.
    pub fn replicas(&self) -> Vec<ReplicaStatus> {
        self.inner.state.as_ref().map_or(Vec::new(), State::replicas)
    }

    /// The store that the runs use.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.inner.store
    }

    /// Ends the platform's processes and returns when they are gone. Runs that are going on fail to go on; interrupt them before.
    pub async fn shutdown(&self) {
        self.inner.platform.shutdown().await;
        self.inner.here.shutdown().await;
        if let Some(state) = &self.inner.state {
            state.until_quiet().await;
        }
    }

    fn setup(&self, run: RunId, journal: Option<Arc<dyn Journal>>, record: &Record) -> Result<Setup, RunError> {
        let record = record
            .iter()
            .flatten()
            .map(|record| record.clone() as Arc<dyn Observer>);
        let Some(runtime) = &self.inner.runtime else {
            return Err(RunError::Platform {
                run,
                cause: "it is shutting down".to_string(),
            });
        };
        Ok(Setup {
            run,
            life: rand::random::<u64>() >> 24,
            platform: self.inner.platform.clone(),
            here: self.inner.here.clone(),
            store: self.inner.store.clone(),
            files: Arc::new(self.inner.files.clone()),
            journal,
            runtime: runtime.handle().clone(),
            clock: Arc::new(SystemClock::start()),
            tuning: self.inner.tuning.clone(),
            time_limit: self.inner.time_limit,
            program: match self.inner.state {
                Some(_) if !self.inner.only_ends => crate::program::identity().to_string(),
                _ => String::new(),
            },
            same_program: self.inner.same_program,
            observers: record.chain(self.inner.observers.iter().cloned()).collect(),
        })
    }

    /// The run's record, opened on a thread that may block. There is none without a state, or if it cannot be written.
    async fn record(&self, run: RunId, function: &str, place: Option<Box<dyn Place>>, open: OpenRecord) -> Record {
        let (Some(place), Some(runtime)) = (place, &self.inner.runtime) else {
            return Ok(None);
        };
        let now = crate::record::recorder::now().0;
        let about = About {
            run: run.to_string(),
            function: function.to_string(),
            origin: Origin::here(self.inner.resume_arguments.clone()),
            state: self.inner.state.as_ref().and_then(State::folder),
            // By which somebody who is no worker opens it, to remove what is left.
            store: written_down(&self.inner.store.url()),
            platform: self.inner.platform.name(),
            concurrency: self.inner.platform.concurrency() as u64,
            memory_limit: self.inner.platform.memory_limit(),
            started: now,
            seen: now,
            ended: None,
            outcome: None,
            process: std::process::id(),
            stats: RunStats::default(),
            sums: crate::record::thinning::Sums::default(),
            trouble: None,
        };
        let opened = runtime.spawn_blocking(move || open(place, about)).await;
        opened.map_err(std::io::Error::other).flatten().map_err(|cause| {
            tracing::warn!(%run, %cause, "the run has no record; it goes on without one");
            format!("the run has no record: {cause}")
        })
    }

    /// The run's journal, and where its record goes; neither without a state.
    async fn journal(
        &self,
        run: RunId,
        opening: Opening,
    ) -> Result<(Option<Arc<dyn Journal>>, Option<Box<dyn Place>>), RunError> {
        let (Some(state), Some(runtime)) = (&self.inner.state, &self.inner.runtime) else {
            return Ok((None, None));
        };
        let opened = state
            .journal(run, opening, self.inner.durability, &self.inner.store, runtime.handle())
            .await;
        let (journal, place) = opened.map_err(|cause| RunError::Journal { run, cause })?;
        Ok((Some(journal), Some(place)))
    }
}

/// The URL of a store without its passwords, and without what only concerns workers.
fn written_down(url: &str) -> String {
    match address::is_url(url) {
        true => address::recorded(url),
        false => address::without_role(url).to_string(),
    }
}

/// A run's arguments; in the store if they are long.
/// A run in which two task functions have one name could run the wrong one.
fn check_names(run: RunId) -> Result<(), RunError> {
    crate::task::check_names().map_err(|two| RunError::Platform {
        run,
        cause: two.to_string(),
    })
}

async fn payload(store: &Arc<dyn Store>, run: RunId, bytes: Bytes) -> Result<Payload, RunError> {
    if bytes.len() <= Payload::INLINE_LIMIT {
        return Ok(Payload::Inline(bytes));
    }
    let key = format!("{}/arguments", run.objects());
    let length = bytes.len() as u64;
    let stored = store.put(&key, bytes).await;
    stored.map_err(|cause| RunError::Store { run, cause })?;
    Ok(Payload::Stored { key, length })
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
