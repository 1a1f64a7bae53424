//! What a job of many statements has done so far, so that it can be started again after the process was killed.
//!
//! With a state folder, each run survives the process that started it; the ledger says which run belongs to which statement, and which
//! statements have succeeded. It is a file of JSON lines in that folder. Whoever starts the same command again goes on
//! where it stopped: what has succeeded is shown again, the run that was going on is resumed, and what has failed is
//! tried again. A job whose every statement has succeeded removes its ledger.
//!
//! The line of a run is written after the run has been started and before it is waited for. A process that is killed
//! just between leaves a run that no ledger knows: its statement starts anew, and the run stays in the state folder.
//!
//! A statement is known by its text and the state of the data, so a ledger never answers for another query or for other data.

use anyhow::Context;
use kappa::ids::RunId;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

/// Names a statement within a ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct Key(u64);

impl Key {
    pub(crate) fn new(name: &str, sql: &str, data_fingerprint: u64) -> Self {
        let mut hasher = DefaultHasher::new();
        (name, sql, data_fingerprint).hash(&mut hasher);
        Key(hasher.finish())
    }
}

/// One line of the file.
#[derive(Debug, Serialize, Deserialize)]
enum Entry<T> {
    Started { statement: Key, run: String },
    Forgotten { statement: Key },
    Finished { statement: Key, outcome: T },
}

/// The ledger of one job, whose statements succeed with outcomes of type `T`. Without a folder it forgets everything.
#[derive(Debug)]
pub(crate) struct Ledger<T> {
    file: Option<(PathBuf, File)>,
    runs: HashMap<Key, RunId>,
    outcomes: HashMap<Key, T>,
}

impl<T: Clone + Serialize + for<'de> Deserialize<'de>> Ledger<T> {
    /// Opens the ledger `job` of a state folder, or makes it.
    pub(crate) fn open(folder: Option<&Path>, job: &str) -> anyhow::Result<Self> {
        let mut ledger = Ledger {
            file: None,
            runs: HashMap::new(),
            outcomes: HashMap::new(),
        };
        let Some(folder) = folder else { return Ok(ledger) };
        if folder.to_str().is_some_and(kappa::cli::names_servers) {
            anyhow::bail!("--state must be a folder here: what is done of the job is recorded there, beside the runs");
        }
        fs::create_dir_all(folder).with_context(|| format!("cannot create the state folder {}", folder.display()))?;
        let path = folder.join(format!("tpcds-{job}.jsonl"));
        let open = OpenOptions::new().read(true).append(true).create(true).open(&path);
        let mut file = open.with_context(|| format!("cannot open {}", path.display()))?;
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => {
                anyhow::bail!("another kappa-tpcds works with the state folder {}", folder.display())
            }
            // A file system without locks: then it is up to the user.
            Ok(()) | Err(TryLockError::Error(_)) => {}
        }
        let mut is_torn = false;
        for line in BufReader::new(&file).split(b'\n') {
            let line = line.with_context(|| format!("cannot read {}", path.display()))?;
            match serde_json::from_slice(&line) {
                Ok(Entry::Started { statement, run }) => {
                    ledger.runs.extend(RunId::parse(&run).map(|run| (statement, run)));
                }
                Ok(Entry::Forgotten { statement }) => {
                    ledger.runs.remove(&statement);
                }
                Ok(Entry::Finished { statement, outcome }) => {
                    ledger.outcomes.insert(statement, outcome);
                }
                // The last line of a process that was killed while it wrote it.
                Err(_) => is_torn = true,
            }
        }
        if is_torn {
            writeln!(file).with_context(|| format!("cannot write {}", path.display()))?;
        }
        ledger.file = Some((path, file));
        Ok(ledger)
    }

    /// What came of the statement, if it has succeeded.
    pub(crate) fn outcome(&self, statement: Key) -> Option<T> {
        self.outcomes.get(&statement).cloned()
    }

    /// The run that works on the statement, if one was started.
    pub(crate) fn run(&self, statement: Key) -> Option<RunId> {
        self.runs.get(&statement).copied()
    }

    /// This run now works on the statement.
    pub(crate) fn started(&mut self, statement: Key, run: RunId) -> anyhow::Result<()> {
        self.runs.insert(statement, run);
        self.append(&Entry::Started {
            statement,
            run: run.to_string(),
        })
    }

    /// The run that worked on the statement gave nothing that is worth keeping: the next attempt starts another one.
    pub(crate) fn forget(&mut self, statement: Key) -> anyhow::Result<()> {
        match self.runs.remove(&statement) {
            Some(_) => self.append(&Entry::Forgotten { statement }),
            None => Ok(()),
        }
    }

    /// The statement has succeeded.
    pub(crate) fn finished(&mut self, statement: Key, outcome: &T) -> anyhow::Result<()> {
        self.append(&Entry::Finished {
            statement,
            outcome: outcome.clone(),
        })
    }

    /// The job is done: the next one starts from the beginning.
    pub(crate) fn close(self) -> anyhow::Result<()> {
        let Some((path, _)) = &self.file else { return Ok(()) };
        fs::remove_file(path).with_context(|| format!("cannot remove {}", path.display()))
    }

    fn append(&mut self, entry: &Entry<T>) -> anyhow::Result<()> {
        let Some((path, file)) = &mut self.file else {
            return Ok(());
        };
        let mut line = serde_json::to_string(entry)?;
        line.push('\n');
        file.write_all(line.as_bytes())
            .with_context(|| format!("cannot write {}", path.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(folder: &Path) -> Ledger<String> {
        Ledger::open(Some(folder), "verify").unwrap()
    }

    #[test]
    fn a_ledger_remembers_what_was_started_and_what_was_finished() {
        let folder = tempfile::tempdir().unwrap();
        let (first, second) = (Key::new("1", "select 1", 7), Key::new("2", "select 2", 7));
        let run = RunId::generate();
        let mut ledger = open(folder.path());
        ledger.finished(first, &"equal".to_owned()).unwrap();
        ledger.started(second, run).unwrap();
        drop(ledger);

        let ledger = open(folder.path());
        assert_eq!(ledger.outcome(first).as_deref(), Some("equal"));
        assert_eq!((ledger.outcome(second), ledger.run(second)), (None, Some(run)));
        // Other data, other SQL: another statement.
        assert_eq!(ledger.outcome(Key::new("1", "select 1", 8)), None);
        assert_eq!(ledger.outcome(Key::new("1", "select 3", 7)), None);
        ledger.close().unwrap();
        assert_eq!(open(folder.path()).outcome(first), None);
    }

    #[test]
    fn a_run_that_failed_is_forgotten_so_that_its_statement_is_tried_again() {
        let folder = tempfile::tempdir().unwrap();
        let (first, second) = (Key::new("1", "select 1", 7), Key::new("2", "select 2", 7));
        let (failed, going_on) = (RunId::generate(), RunId::generate());
        let mut ledger = open(folder.path());
        ledger.started(first, failed).unwrap();
        ledger.forget(first).unwrap();
        ledger.started(second, going_on).unwrap();
        assert_eq!((ledger.run(first), ledger.run(second)), (None, Some(going_on)));
        drop(ledger);

        let mut ledger = open(folder.path());
        assert_eq!((ledger.run(first), ledger.run(second)), (None, Some(going_on)));
        let again = RunId::generate();
        ledger.started(first, again).unwrap();
        drop(ledger);
        assert_eq!(open(folder.path()).run(first), Some(again));
    }

    #[test]
    fn a_line_that_was_cut_off_is_passed_over_and_does_not_spoil_the_next() {
        let folder = tempfile::tempdir().unwrap();
        let (first, second) = (Key::new("1", "select 1", 7), Key::new("2", "select 2", 7));
        open(folder.path()).finished(first, &"equal".to_owned()).unwrap();
        let path = folder.path().join("tpcds-verify.jsonl");
        let mut text = fs::read(&path).unwrap();
        text.extend_from_slice(b"{\"Finished\":{\"statem");
        fs::write(&path, text).unwrap();
        open(folder.path()).finished(second, &"different".to_owned()).unwrap();
        let ledger = open(folder.path());
        assert_eq!(ledger.outcome(first).as_deref(), Some("equal"));
        assert_eq!(ledger.outcome(second).as_deref(), Some("different"));
    }

    #[test]
    fn two_processes_do_not_share_a_ledger() {
        let folder = tempfile::tempdir().unwrap();
        let _first = open(folder.path());
        let message = Ledger::<String>::open(Some(folder.path()), "verify")
            .unwrap_err()
            .to_string();
        assert!(
            message.starts_with("another kappa-tpcds works with the state folder"),
            "{message}"
        );
    }
}
