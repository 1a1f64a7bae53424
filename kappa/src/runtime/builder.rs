//! A place to run things, described part by part.

use super::{Inner, Kappa, Tuning};
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
    state_dir: Option<PathBuf>,
    durability: Durability,
    tuning: Tuning,
    time_limit: Option<Duration>,
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
    /// in it.
    pub fn store(mut self, store: Arc<dyn Store>) -> Self {
        self.store = Some(store);
        self
    }

    /// Where runs are recorded, so that they can be resumed. Without it a run ends with this process.
    pub fn state_dir(mut self, folder: impl Into<PathBuf>) -> Self {
        self.state_dir = Some(folder.into());
        self
    }

    /// What a recorded decision survives. The default is the death of this process.
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// Limits and delays for new runs.
    pub fn tuning(mut self, tuning: Tuning) -> Self {
        self.tuning = tuning;
        self
    }

    /// How long one invocation may run. The default is without limit.
    pub fn time_limit(mut self, limit: impl Into<Option<Duration>>) -> Self {
        self.time_limit = limit.into();
        self
    }

    /// Opens what was not given, and starts the coordinator's threads.
    ///
    /// # Errors
    /// If a folder cannot be made, a store not be opened, or a thread not be started.
    pub async fn build(self) -> Result<Kappa, BuildError> {
        if let Some(path) = &self.state_dir {
            let made = std::fs::create_dir_all(path);
            made.map_err(|cause| BuildError::StateDirectory {
                path: path.clone(),
                cause,
            })?;
        }
        let store = match (self.store, &self.state_dir) {
            (Some(store), _) => store,
            (None, Some(folder)) => crate::store::open(&format!("file:{}", folder.join("store").display()))?,
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
        let inner = Inner {
            platform,
            here,
            store,
            state_dir: self.state_dir,
            durability: self.durability,
            tuning: self.tuning,
            time_limit: self.time_limit,
            runtime: Some(runtime),
        };
        Ok(Kappa { inner: Arc::new(inner) })
    }
}
