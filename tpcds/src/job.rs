//! A job of many statements on one engine, one after the other, that can be killed and started again.

use crate::engine::{Answer, Engine};
use crate::ledger::{Key, Ledger};
use crate::queries::Statement;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// The statements of a job, and what has become of them.
pub struct Job<'a, T> {
    engine: &'a Engine,
    data_fingerprint: u64,
    ledger: Ledger<T>,
}

impl<'a, T: Clone + Serialize + for<'de> Deserialize<'de>> Job<'a, T> {
    /// A job named `name` on `engine`. With a state folder, one that was broken off is gone on with.
    pub fn open(engine: &'a Engine, data_fingerprint: u64, state: Option<&Path>, name: &str) -> anyhow::Result<Self> {
        Ok(Job {
            engine,
            data_fingerprint,
            ledger: Ledger::open(state, name)?,
        })
    }

    /// What the job runs on.
    pub fn engine(&self) -> &'a Engine {
        self.engine
    }

    /// How the statement ended in an earlier process, if it did.
    pub(crate) fn outcome(&self, statement: &Statement) -> Option<T> {
        self.ledger.outcome(self.key(statement))
    }

    /// The answer to a statement: of the run that an earlier process has begun, or of a new one.
    pub(crate) async fn answer(&mut self, statement: &Statement) -> anyhow::Result<Answer> {
        let key = self.key(statement);
        let begun = match self.ledger.run(key) {
            Some(run) => self.engine.resume(run).await,
            None => None,
        };
        let started = match begun {
            Some(started) => started,
            None => self.engine.start(&statement.sql).await?,
        };
        if let Some(run) = started.run() {
            self.ledger.started(key, run)?;
        }
        started.answer().await
    }

    /// Records how a statement has ended.
    pub(crate) fn finished(&mut self, statement: &Statement, outcome: &T) -> anyhow::Result<()> {
        self.ledger.finished(self.key(statement), outcome)
    }

    /// All is done; the next job starts from the beginning.
    pub(crate) fn close(self) -> anyhow::Result<()> {
        self.ledger.close()
    }

    fn key(&self, statement: &Statement) -> Key {
        Key::new(&statement.name, &statement.sql, self.data_fingerprint)
    }
}
