//! A place to run things, described part by part.

use super::state::State;
use super::{Inner, Kappa, LocalFiles, Observer, Tuning};
use crate::journal::Durability;
use crate::platform::Platform;
use crate::platform::in_process::{InProcess, InProcessOptions, LazyInProcess};
use crate::store::{Store, StoreError};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Describes a [`Kappa`].
#[derive(Default)]
pub struct Builder {
    platform: Option<Arc<dyn Platform>>,
    store: Option<Arc<dyn Store>>,
    place: Option<PathBuf>,
    state: Option<State>,
    durability: Durability,
    tuning: Tuning,
    time_limit: Option<Duration>,
    observers: Vec<Arc<dyn Observer>>,
    resume_arguments: Option<Vec<String>>,
    objects_below: Option<Vec<PathBuf>>,
    same_program: bool,
    only_ends: bool,
}

/// Why there is no place to run things.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The store cannot be opened.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The state directory cannot be made.
    #[error("cannot make the state directory {path}: {cause}")]
    StateDirectory {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        cause: std::io::Error,
    },
    /// What was named cannot keep a state.
    #[error("{state} cannot be a state: {cause}")]
    NoState {
        /// What was named.
        state: String,
        /// What can be one.
        cause: String,
    },
    /// The servers that are to keep the state are not there, or are not what was named.
    #[error("cannot use the state {state}: {cause}")]
    StateServers {
        /// The servers, without their passwords.
        state: String,
        /// What happened.
        cause: String,
    },
    /// The threads of the coordinator or of the platform cannot be started.
    #[error("cannot start threads: {0}")]
    Threads(std::io::Error),
}

impl Builder {
    /// What starts invocations. The default is this process, by [`InProcess`].
    pub fn platform(mut self, platform: Arc<dyn Platform>) -> Self {
        self.platform = Some(platform);
        self
    }

    /// Where large values are kept. Must be the one that the platform's workers use. The default is memory, or with a state directory a folder
    /// in it, or the servers of the state.
    pub fn store(mut self, store: Arc<dyn Store>) -> Self {
        self.store = Some(store);
        self
    }

    /// Where runs are recorded, so that they can be resumed. Without it a run ends with this process.
    pub fn state_dir(mut self, folder: impl Into<PathBuf>) -> Self {
        self.place = Some(folder.into());
        self
    }

    /// The same, where the text may also name Redis servers, `redis://HOST[:PORT][,HOST2[:PORT]..]`: what is decided is then on all of them before it takes
    /// effect, and either of two can be lost, or a minority of three or more.
    pub fn state(self, folder_or_url: impl Into<PathBuf>) -> Self {
        self.state_dir(folder_or_url)
    }

    /// The same, opened already.
    pub(crate) fn opened_state(mut self, state: State) -> Self {
        self.state = Some(state);
        self
    }

    /// What a recorded decision, and a large value in the state directory, survives. The default is the death of this process. A store that is given must
    /// survive as much: `file+sync:DIR`.
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// Limits and delays for new runs.
    pub fn tuning(mut self, tuning: Tuning) -> Self {
        self.tuning = tuning;
        self
    }

    /// How long one invocation may run. The default is as long as the platform lets it.
    pub fn time_limit(mut self, limit: impl Into<Option<Duration>>) -> Self {
        self.time_limit = limit.into();
        self
    }

    /// Who is told everything that happens in every run, without a gap: for example [`Metrics`](crate::metrics::Metrics). May be given several times.
    pub fn observer(mut self, observer: Arc<dyn Observer>) -> Self {
        self.observers.push(observer);
        self
    }

    /// The arguments with which this program goes on with a run, so that `kappa resume` can do it:
    /// [`Origin::RUN`](crate::record::Origin::RUN) stands for the run's id.
    pub fn resume_arguments(mut self, arguments: Vec<String>) -> Self {
        self.resume_arguments = Some(arguments);
        self
    }

    /// Below which folders of this machine tasks may have files put by [`Context::put_object`](crate::Context::put_object), and nowhere else. The default is the
    /// working directory, and the system's folder for temporary files: what workers ask for comes from elsewhere, and must not be able to change any file
    /// that this process can.
    pub fn objects_below(mut self, folders: impl IntoIterator<Item = impl Into<PathBuf>>) -> Self {
        self.objects_below = Some(folders.into_iter().map(Into::into).collect());
        self
    }

    /// Whether to go on with runs on which another build of the program has worked. A run says no by default
    /// ([`RunError::OtherProgram`](super::RunError::OtherProgram)): if a type that its tasks use has changed, their values would be read as something else,
    /// silently.
    pub fn same_program(mut self, is_same: bool) -> Self {
        self.same_program = is_same;
        self
    }

    /// Says that runs are only ended here, as by `kappa cancel`: nothing of them is read, so that any program may do it, and they stay with the build that has
    /// worked on them.
    pub(crate) fn only_ends_runs(mut self) -> Self {
        self.only_ends = true;
        self
    }

    /// Opens what was not given, and starts the coordinator's threads.
    ///
    /// # Errors
    /// If a folder cannot be made, a store not be opened, or a thread not be started.
    pub async fn build(self) -> Result<Kappa, BuildError> {
        let state = match (self.state, self.place) {
            (Some(state), _) => Some(state),
            (None, Some(place)) => Some(State::open(place).await?),
            (None, None) => None,
        };
        let store = match (self.store, &state) {
            (Some(store), _) => store,
            (None, Some(state)) => state.store(self.durability)?,
            (None, None) => crate::store::open("memory:")?,
        };
        let options = InProcessOptions::default();
        let (platform, here): (_, Arc<dyn Platform>) = match self.platform {
            Some(platform) => (platform, Arc::new(LazyInProcess::new(options, store.clone()))),
            None => {
                let platform = Arc::new(InProcess::new(options, store.clone()).map_err(BuildError::Threads)?);
                (platform.clone() as Arc<dyn Platform>, platform)
            }
        };
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("kappa-coordinator")
            .enable_all()
            .build()
            .map_err(BuildError::Threads)?;
        let time_limit = [self.time_limit, platform.time_limit()].into_iter().flatten().min();
        let inner = Inner {
            platform,
            here,
            store,
            state,
            durability: self.durability,
            tuning: self.tuning,
            time_limit,
            observers: self.observers,
            resume_arguments: self.resume_arguments,
            same_program: self.same_program,
            only_ends: self.only_ends,
            files: self.objects_below.map_or_else(LocalFiles::default, LocalFiles::below),
            runtime: Some(runtime),
        };
        Ok(Kappa { inner: Arc::new(inner) })
    }
}
