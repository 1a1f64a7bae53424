//! `run.json`: what a run is, and how it stands.

use super::thinning::Sums;
use crate::coordinator::state::RunStats;
use crate::disk;
use crate::ids::RunId;
use crate::journal::Durability;
use serde::{Deserialize, Serialize};
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// The name of the file.
pub const FILE: &str = "run.json";

/// What a run is, and how it stands. Times are microseconds since 1970.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct About {
    /// The run's id.
    pub run: String,
    /// Full name of the run's first task function.
    pub function: String,
    /// Who started it.
    pub origin: Origin,
    /// The folder of the state in which the run is recorded, when this was written; it may have been copied or moved since. `None` if it is on servers.
    #[serde(default)]
    pub state: Option<PathBuf>,
    /// The store's URL; [`About::store_in`] has that of a state which was copied or moved.
    pub store: String,
    /// What starts invocations.
    pub platform: String,
    /// How many invocations run at once.
    pub concurrency: u64,
    /// How much memory an invocation may use, in bytes, if that is limited.
    pub memory_limit: Option<u64>,
    /// When it was started.
    pub started: u64,
    /// When the record was last known to be up to date.
    pub seen: u64,
    /// When it ended, or was stopped; `None` while it goes on, and after its coordinator was killed.
    pub ended: Option<u64>,
    /// How it ended, or was stopped.
    pub outcome: Option<Outcome>,
    /// The process that works, or worked, on it.
    pub process: u32,
    /// The coordinator's own counts.
    pub stats: RunStats,
    /// What the record has summed up.
    pub sums: Sums,
    /// Why there are no further details, if so.
    pub trouble: Option<String>,
}

/// Who started a run, and how to go on with it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// The program.
    pub program: PathBuf,
    /// The arguments it was started with.
    pub arguments: Vec<String>,
    /// The folder it was started in.
    pub folder: PathBuf,
    /// The arguments with which this program goes on with the run, if it has said so. [`Origin::RUN`] stands for the run's id.
    pub resume: Option<Vec<String>>,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// With its result.
    Ended,
    /// Without one, for this reason.
    Failed(String),
    /// It was cancelled.
    Cancelled,
    /// Not at all: it was stopped for this reason, and can be resumed.
    Interrupted(String),
}

impl Outcome {
    /// Whether nothing can follow.
    pub fn is_final(&self) -> bool {
        !matches!(self, Outcome::Interrupted(_))
    }
}

impl Origin {
    /// What stands for the run's id in [`Origin::resume`].
    pub const RUN: &'static str = "{run}";

    /// This process.
    pub fn here(resume: Option<Vec<String>>) -> Self {
        let text = |argument: std::ffi::OsString| argument.to_string_lossy().into_owned();
        Origin {
            program: std::env::current_exe().unwrap_or_default(),
            arguments: std::env::args_os().skip(1).map(text).collect(),
            folder: std::env::current_dir().unwrap_or_default(),
            resume,
        }
    }

    /// The arguments with which the program goes on with this run.
    pub fn resume_arguments(&self, run: RunId) -> Option<Vec<String>> {
        let arguments = self.resume.as_ref()?.iter();
        Some(
            arguments
                .map(|word| word.replace(Self::RUN, &run.to_string()))
                .collect(),
        )
    }

    /// The program's name without its folder.
    pub fn program_name(&self) -> String {
        let name = self.program.file_name().unwrap_or(self.program.as_os_str());
        name.to_string_lossy().into_owned()
    }
}

impl About {
    /// The URL of the run's store, as it is for the state that is in this folder now: a store that was within the state is within that one.
    pub fn store_in(&self, state: &Path) -> String {
        match &self.state {
            Some(before) => moved(&self.store, before, state),
            None => self.store.clone(),
        }
    }

    /// Reads it from a run's folder.
    ///
    /// # Errors
    /// If it is not there, cannot be read, or is damaged ([`io::ErrorKind::InvalidData`]).
    pub fn read(folder: &Path) -> io::Result<Self> {
        let bytes = fs::read(folder.join(FILE))?;
        serde_json::from_slice(&bytes).map_err(|cause| io::Error::new(io::ErrorKind::InvalidData, cause))
    }

    /// Replaces it in a run's folder: whoever reads sees the old or the new one, as a whole. Only its owner may read it: arguments may be secrets.
    ///
    /// # Errors
    /// If it cannot be written; the old one stays.
    pub fn write(&self, folder: &Path, durability: Durability) -> io::Result<()> {
        let mut bytes = serde_json::to_vec_pretty(self)?;
        bytes.push(b'\n');
        let new = folder.join("run.json.new");
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&new)?;
        file.write_all(&bytes)?;
        disk::sync(&file, &new, durability)?;
        drop(file);
        disk::rename(&new, &folder.join(FILE))?;
        disk::sync_folder(folder, durability)
    }
}

/// The URL of a store that was within the folder `from`, if it was, within the folder `to`.
pub(crate) fn moved(store: &str, from: &Path, to: &Path) -> String {
    let below = store.split_once(':').and_then(|(scheme, folder)| match scheme {
        "file" | "file+sync" => Some((scheme, Path::new(folder).strip_prefix(from).ok()?)),
        _ => None,
    });
    match below {
        Some((scheme, below)) => format!("{scheme}:{}", to.join(below).display()),
        None => store.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_within_a_state_moves_with_it_and_any_other_stays() {
        let (from, to) = (Path::new("/a/state"), Path::new("/b"));
        assert_eq!(moved("file:/a/state/store", from, to), "file:/b/store");
        assert_eq!(moved("file+sync:/a/state/x/y", from, to), "file+sync:/b/x/y");
        for other in [
            "file:/a/state-of-others",
            "file:/a",
            "s3://a/state",
            "redis://a",
            "memory:",
        ] {
            assert_eq!(moved(other, from, to), other);
        }
    }
}
