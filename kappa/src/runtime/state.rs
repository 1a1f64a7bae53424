//! Where runs are recorded: a folder, or Redis servers.

use super::builder::BuildError;
use crate::disk;
use crate::ids::RunId;
use crate::journal::redis::{self, RedisJournal};
use crate::journal::{Durability, FileJournal, Journal, JournalError};
use crate::record::About;
use crate::record::folder::{named_state, removed_name};
use crate::record::place::{InFolder, Place};
use crate::record::servers::{OnServers, read_about};
use crate::replicas::{Addresses, ReplicaStatus, Replicas, address};
use crate::store::{self, FileStore, RedisStore, Store, StoreError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::runtime::Handle;

/// Where runs are recorded.
pub(crate) enum State {
    /// `DIR/runs/RUN/journal`, and `DIR/store`.
    Folder(PathBuf),
    /// Journals and objects on the same servers.
    Servers(Arc<Replicas>),
}

/// Which journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Opening {
    /// Of a run that begins.
    New,
    /// Of a run that was begun before.
    Existing,
}

/// A run that is being removed: nobody works on it any more.
pub(super) enum Removing {
    Nothing,
    /// With the journal, if there is one: as long as it is open, nobody can go on with the run.
    Folder(PathBuf, Option<Box<FileJournal>>),
    Journal(Box<RedisJournal>),
}

impl State {
    /// The state in this folder, or on the servers of this URL.
    pub(crate) async fn open(place: PathBuf) -> Result<Self, BuildError> {
        let place = named_state(&place).map_err(|cause| BuildError::NoState {
            state: address::shown(&place.to_string_lossy()),
            cause,
        })?;
        let Some(url) = url_of(&place) else {
            let made = std::fs::create_dir_all(&place);
            made.map_err(|cause| BuildError::StateDirectory {
                path: place.clone(),
                cause,
            })?;
            return Ok(State::Folder(place));
        };
        let failed = |cause: String| BuildError::StateServers {
            state: address::shown(url),
            cause,
        };
        let addresses = Addresses::parse(url).map_err(failed)?;
        let replicas = Replicas::new(addresses).map_err(BuildError::Threads)?;
        let ready = replicas.ready().await;
        ready.map_err(|problem| failed(problem.to_string()))?;
        Ok(State::Servers(replicas))
    }

    /// The folder, if it is one, by its one name.
    pub(super) fn folder(&self) -> Option<PathBuf> {
        match self {
            State::Folder(folder) => std::fs::canonicalize(folder).ok(),
            State::Servers(_) => None,
        }
    }

    /// Where large values are kept if no other store is given; they survive what the journal survives.
    pub(crate) fn store(&self, durability: Durability) -> Result<Arc<dyn Store>, StoreError> {
        match self {
            State::Folder(folder) => {
                let store = folder.join("store");
                // If it cannot be made, opening it says why.
                let _ = disk::make_private_folders(&store, durability);
                Ok(Arc::new(FileStore::open_as(&store, durability)?))
            }
            State::Servers(replicas) => Ok(Arc::new(RedisStore::on(replicas.clone()))),
        }
    }

    /// The run's journal, and where its record goes.
    pub(super) async fn journal(
        &self,
        run: RunId,
        opening: Opening,
        durability: Durability,
        store: &Arc<dyn Store>,
        runtime: &Handle,
    ) -> Result<(Arc<dyn Journal>, Box<dyn Place>), JournalError> {
        let journal = match (self, opening) {
            (State::Folder(folder), _) => {
                let journal = open_file(folder, run, opening, durability, runtime).await?;
                let folder = folder.join("runs").join(run.to_string());
                return Ok((Arc::new(journal), Box::new(InFolder::new(folder).surviving(durability))));
            }
            (State::Servers(replicas), Opening::New) => RedisJournal::create(replicas, run).await?,
            (State::Servers(replicas), Opening::Existing) => RedisJournal::open(replicas, run).await?,
        };
        let are_here = self.is_store_of(&store.url());
        let journal = Arc::new(journal.beside_objects(are_here));
        Ok((journal.clone(), Box::new(OnServers::new(journal))))
    }

    /// The runs, oldest first.
    pub(super) fn runs(&self) -> io::Result<Vec<RunId>> {
        match self {
            State::Folder(folder) => runs_in(&folder.join("runs")),
            State::Servers(replicas) => {
                let listed = replicas.block_on(|replicas| async move { redis::runs(&replicas).await });
                listed.map_err(|problem| io::Error::other(format!("{}: {problem}", replicas.name())))
            }
        }
    }

    /// Begins to remove a run, if nobody works on it.
    pub(super) async fn remove(
        &self,
        run: RunId,
        durability: Durability,
        runtime: &Handle,
    ) -> Result<Removing, JournalError> {
        let opened = match self {
            State::Folder(folder) => {
                let opened = open_file(folder, run, Opening::Existing, durability, runtime).await;
                let folder = folder.join("runs").join(run.to_string());
                opened.map(|journal| Removing::Folder(folder, Some(Box::new(journal))))
            }
            State::Servers(replicas) => RedisJournal::take(replicas, run)
                .await
                .map(|journal| Removing::Journal(Box::new(journal))),
        };
        match (opened, self) {
            // What a journal that was never completed has left.
            (Err(JournalError::NotFound { .. }), State::Folder(folder)) => {
                Ok(Removing::Folder(folder.join("runs").join(run.to_string()), None))
            }
            (Err(JournalError::NotFound { .. }), State::Servers(_)) => Ok(Removing::Nothing),
            (opened, _) => opened,
        }
    }

    /// What is said of a run, if anything can be read.
    pub(super) async fn about(&self, run: RunId, runtime: &Handle) -> Option<About> {
        match self {
            State::Folder(folder) => {
                let folder = folder.join("runs").join(run.to_string());
                let read = runtime.spawn_blocking(move || About::read(&folder));
                read.await.ok()?.ok()
            }
            State::Servers(replicas) => read_about(replicas, run).await.ok().map(|(_, about)| about),
        }
    }

    /// The store in which a run's objects are, if that is not `own`.
    pub(super) async fn store_of(
        &self,
        run: RunId,
        own: &Arc<dyn Store>,
        runtime: &Handle,
    ) -> Result<Option<Arc<dyn Store>>, StoreError> {
        let Some(about) = self.about(run, runtime).await else {
            return Ok(None);
        };
        let url = match self.folder() {
            Some(folder) => about.store_in(&folder),
            None => about.store,
        };
        let own = own.url();
        // What was in the memory of its process is gone.
        if url == address::without_role(&own) || url == "memory:" || address::are_the_same(&url, &own) {
            return Ok(None);
        }
        match self {
            // The password that was given for the state is not written down with the run.
            State::Servers(replicas) if self.is_store_of(&url) => Ok(Some(Arc::new(RedisStore::on(replicas.clone())))),
            _ => store::open(&url).map(Some),
        }
    }

    /// Whether the store of this URL is on the servers of this state.
    fn is_store_of(&self, url: &str) -> bool {
        match self {
            State::Folder(_) => false,
            State::Servers(replicas) => address::are_the_same(url, &replicas.url_for_workers()),
        }
    }

    pub(super) fn replicas(&self) -> Vec<ReplicaStatus> {
        match self {
            State::Folder(_) => Vec::new(),
            State::Servers(replicas) => replicas.status(),
        }
    }

    /// Waits for what is still being written.
    pub(super) async fn until_quiet(&self) {
        if let State::Servers(replicas) = self {
            replicas.until_quiet().await;
        }
    }
}

impl Removing {
    /// Removes the journal, when nothing else of the run is left.
    pub(super) async fn finish(self) -> Result<(), JournalError> {
        match self {
            Removing::Nothing => Ok(()),
            Removing::Journal(journal) => journal.delete().await,
            Removing::Folder(folder, journal) => match remove_folder(&folder, journal) {
                Err(cause) if cause.kind() != io::ErrorKind::NotFound => Err(JournalError::Unavailable {
                    place: folder.display().to_string(),
                    action: "remove it".to_string(),
                    cause: cause.to_string(),
                }),
                _ => Ok(()),
            },
        }
    }
}

/// Under another name nobody finds it, and only then the journal is let go.
fn remove_folder(folder: &Path, journal: Option<Box<FileJournal>>) -> io::Result<()> {
    let doomed = removed_name(folder);
    disk::rename(folder, &doomed)?;
    // Else what a loss of power leaves could be half a run under its old name.
    disk::sync_folder(doomed.parent().unwrap_or(Path::new("/")), Durability::Machine)?;
    drop(journal);
    std::fs::remove_dir_all(&doomed)
}

/// The text, if it names servers and no folder.
fn url_of(place: &Path) -> Option<&str> {
    place.to_str().filter(|text| address::is_url(text))
}

/// The run's journal, opened on a thread that may block.
async fn open_file(
    folder: &Path,
    run: RunId,
    opening: Opening,
    durability: Durability,
    runtime: &Handle,
) -> Result<FileJournal, JournalError> {
    let path = folder.join("runs").join(run.to_string()).join("journal");
    let place = path.display().to_string();
    let opened = runtime.spawn_blocking(move || match opening {
        Opening::New => FileJournal::create(&path, durability),
        Opening::Existing => FileJournal::open(&path, durability),
    });
    match opened.await {
        Ok(opened) => opened,
        Err(cause) => Err(JournalError::Unavailable {
            place,
            action: "open it".to_string(),
            cause: cause.to_string(),
        }),
    }
}

fn runs_in(folder: &Path) -> io::Result<Vec<RunId>> {
    if !folder.exists() {
        return Ok(Vec::new());
    }
    let mut runs = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        runs.extend(entry?.file_name().to_str().and_then(RunId::parse));
    }
    runs.sort_unstable();
    Ok(runs)
}
