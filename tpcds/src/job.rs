//! A job of many statements on one engine, one after the other, that can be killed and started again.

use crate::engine::{Answer, Engine};
use crate::interrupt::Interrupts;
use crate::ledger::{Key, Ledger};
use crate::queries::Statement;
use anyhow::Context;
use kappa::RunError;
use kappa::store::StoreError;
use kappa_query::QueryError;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// The statements of a job, and what has become of them.
pub struct Job<'a, T> {
    engine: &'a Engine,
    data_fingerprint: u64,
    ledger: Ledger<T>,
    interrupts: Interrupts,
}

impl<'a, T: Clone + Serialize + for<'de> Deserialize<'de>> Job<'a, T> {
    /// A job named `name` on `engine`. With a state folder, one that was broken off is gone on with.
    pub fn open(engine: &'a Engine, data_fingerprint: u64, state: Option<&Path>, name: &str) -> anyhow::Result<Self> {
        Ok(Job {
            engine,
            data_fingerprint,
            ledger: Ledger::open(state, name)?,
            interrupts: Interrupts::never(),
        })
    }

    /// The same job, which these interrupts end.
    pub fn ended_by(self, interrupts: Interrupts) -> Self {
        Job { interrupts, ..self }
    }

    /// What ends the job.
    pub(crate) fn interrupts(&self) -> &Interrupts {
        &self.interrupts
    }

    /// What the job runs on.
    pub fn engine(&self) -> &'a Engine {
        self.engine
    }

    /// What came of the statement in an earlier process, if it has succeeded.
    pub(crate) fn outcome(&self, statement: &Statement) -> Option<T> {
        self.ledger.outcome(self.key(statement))
    }

    /// The answer to a statement, or why there is none: of the run that an earlier process has begun, or of a new one.
    ///
    /// # Errors
    /// If the job cannot go on, because it is interrupted or its state cannot be kept.
    pub(crate) async fn answer(&mut self, statement: &Statement) -> anyhow::Result<anyhow::Result<Answer>> {
        if let Some(interrupt) = self.interrupts.received() {
            return Err(interrupt.into());
        }
        let key = self.key(statement);
        let begun = match self.ledger.run(key) {
            Some(run) => self.engine.resume(run).await.with_context(|| {
                format!("cannot go on where it stopped (to start anew, delete runs/{run} in the state folder)")
            }),
            None => Ok(None),
        };
        // An interrupt waits until the statement has been started: half of a start could not be undone.
        let started = match begun {
            Ok(Some(started)) => Ok(started),
            Ok(None) => self.engine.start(&statement.sql).await,
            Err(error) => Err(error),
        };
        let started = match started {
            Ok(started) => started,
            Err(error) => return Ok(Err(error)),
        };
        if let Some(run) = started.run() {
            self.ledger.started(key, run)?;
        }
        let answer = started.answer(&self.interrupts).await?;
        if answer.as_ref().is_err_and(|error| !can_go_on(error)) {
            self.ledger.forget(key)?;
        }
        Ok(answer)
    }

    /// The answer was not what it should be: the next attempt asks for another one.
    pub(crate) fn discard(&mut self, statement: &Statement) -> anyhow::Result<()> {
        self.ledger.forget(self.key(statement))
    }

    /// Records that a statement has succeeded.
    pub(crate) fn finished(&mut self, statement: &Statement, outcome: &T) -> anyhow::Result<()> {
        self.ledger.finished(self.key(statement), outcome)
    }

    /// All statements have succeeded; the next job starts from the beginning.
    pub(crate) fn close(self) -> anyhow::Result<()> {
        self.ledger.close()
    }

    fn key(&self, statement: &Statement) -> Key {
        Key::new(&statement.name, &statement.sql, self.data_fingerprint)
    }
}

/// Whether the run has only been stopped, or its result is out of reach for now. One that has failed would fail in the
/// same way for ever.
fn can_go_on(error: &anyhow::Error) -> bool {
    match error.downcast_ref::<QueryError>() {
        Some(QueryError::Store(cause)) => !matches!(cause, StoreError::NotFound { .. }),
        Some(QueryError::Run(error)) => matches!(
            **error,
            RunError::Journal { .. }
                | RunError::Store { .. }
                | RunError::Platform { .. }
                | RunError::WrongProgram { .. }
                | RunError::NeedsRepair { .. }
                | RunError::OtherProgram { .. }
                | RunError::Broken { .. }
                | RunError::Interrupted { .. }
        ),
        _ => false,
    }
}
