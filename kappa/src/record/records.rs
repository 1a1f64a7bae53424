//! The runs of a state as those see them who look at them: which there are, who works on them, what they did, and what may be removed. The state is a folder
//! ([`StateFolder`]) or Redis servers.

use super::about::{About, Outcome};
use super::folder::{FolderError, Standing, StateFolder, named_state};
use super::line::Line;
use super::servers::StateServers;
use crate::ids::RunId;
use crate::replicas::address;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// The text by which the latest run can be named.
pub const LAST: &str = "last";

/// The records of a state's runs. Everything here may block the thread.
pub trait Records {
    /// What messages call the state: without passwords.
    fn name(&self) -> String;

    /// What [`Builder::state`](crate::runtime::Builder::state) takes to find the same. May hold a password.
    fn place(&self) -> PathBuf;

    /// The runs, oldest first.
    ///
    /// # Errors
    /// If the state cannot be read.
    fn runs(&self) -> Result<Vec<RunId>, FolderError>;

    /// What a run is and how it stands, from its record.
    ///
    /// # Errors
    /// If there is none, or it cannot be read.
    fn about(&self, run: RunId) -> Result<About, FolderError>;

    /// Reads what happened in a run, in order; gives the number of lines that could not be read.
    ///
    /// # Errors
    /// If it cannot be read.
    fn lines(&self, run: RunId, take: &mut dyn FnMut(Line)) -> Result<u64, FolderError>;

    /// Whether a process is working on the run.
    fn is_worked_on(&self, run: RunId) -> bool;

    /// Asks whoever works on the run to cancel it.
    ///
    /// # Errors
    /// If that cannot be written where the run's record is.
    fn ask_to_cancel(&self, run: RunId) -> Result<(), FolderError>;

    /// Removes a run on which nobody works: first what is stored of it elsewhere, by `objects`, then the rest. Meanwhile nobody can resume it.
    ///
    /// # Errors
    /// If somebody works on it, or something cannot be removed.
    fn remove(&self, run: RunId, objects: &mut dyn FnMut() -> Result<(), String>) -> Result<(), FolderError>;

    /// Folders that an earlier removal which was killed has left.
    ///
    /// # Errors
    /// If the state cannot be read.
    fn half_removed(&self) -> Result<Vec<PathBuf>, FolderError> {
        Ok(Vec::new())
    }

    /// Folders of the state's own store that belong to no run of the state, with the time of their last change. (Runs may use this store without having
    /// this state.)
    ///
    /// # Errors
    /// If the store cannot be read.
    fn left_over(&self) -> Result<Vec<(PathBuf, SystemTime)>, FolderError> {
        Ok(Vec::new())
    }

    /// The run that this names: its id, the beginning of it, or [`LAST`].
    ///
    /// # Errors
    /// If there is none, or more than one.
    fn find(&self, asked: &str) -> Result<RunId, FolderError> {
        let runs = self.runs()?;
        let wanted = asked.to_ascii_lowercase().replace('-', "");
        let matching: Vec<_> = match asked {
            LAST => runs.last().copied().into_iter().collect(),
            _ => runs
                .iter()
                .copied()
                .filter(|run| run.to_string().starts_with(&wanted))
                .collect(),
        };
        match matching.as_slice() {
            [one] => Ok(*one),
            [] => Err(FolderError::NoSuchRun {
                asked: asked.to_string(),
                state: self.name(),
                known: match runs.as_slice() {
                    [] => ", and no other".to_string(),
                    runs => {
                        let latest: Vec<_> = runs.iter().rev().take(10).map(ToString::to_string).collect();
                        format!("; the latest runs there: {}", latest.join(" "))
                    }
                },
            }),
            [first, second, ..] => Err(FolderError::Ambiguous {
                asked: asked.to_string(),
                count: matching.len(),
                first: format!("{first}, {second}"),
            }),
        }
    }

    /// How a run stands.
    fn standing(&self, run: RunId, about: Option<&About>) -> Standing {
        let outcome = about.and_then(|about| about.outcome.as_ref());
        match outcome {
            Some(Outcome::Ended) => Standing::Ended,
            Some(Outcome::Failed(_)) => Standing::Failed,
            Some(Outcome::Cancelled) => Standing::Cancelled,
            _ if self.is_worked_on(run) => Standing::Running,
            _ if about.is_some() => Standing::Interrupted,
            _ => Standing::Unknown,
        }
    }
}

/// The records of the state that `--state` names.
///
/// # Errors
/// If there is no such folder, or the servers are not there.
pub fn open(state: &Path) -> Result<Box<dyn Records>, FolderError> {
    let state = &named_state(state).map_err(|cause| FolderError::Elsewhere {
        state: address::shown(&state.to_string_lossy()),
        cause,
    })?;
    match state.to_str().filter(|text| address::is_url(text)) {
        Some(url) => Ok(Box::new(StateServers::open(url)?)),
        None => Ok(Box::new(StateFolder::open(state)?)),
    }
}
