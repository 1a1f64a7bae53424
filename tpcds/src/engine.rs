//! The engines a query can run on, behind one interface: SQL in, rows and the time they took out.

use crate::data::{DataFolder, TABLES};
use crate::interrupt::{Interrupt, Interrupts};
use anyhow::Context;
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::DataFusionError;
use datafusion::logical_expr::LogicalPlan;
use datafusion::prelude::{ParquetReadOptions, SessionConfig, SessionContext};
use kappa::RunError;
use kappa::cli::RunOptions;
use kappa::ids::RunId;
use kappa::runtime::RunStats;
use kappa_query::error::innermost_message;
use kappa_query::{Execution, QueryError, QueryResult, RunningQuery};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::ops::AddAssign;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The rows of one statement.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Names and types of the columns.
    pub schema: SchemaRef,
    /// The rows, in order.
    pub batches: Vec<RecordBatch>,
    /// From handing in the SQL to the last row.
    pub elapsed: Duration,
    /// What it took of the platform; nothing, if there is none.
    pub effort: Effort,
}

impl Answer {
    /// How many rows there are.
    pub fn rows(&self) -> usize {
        self.batches.iter().map(RecordBatch::num_rows).sum()
    }
}

/// What runs took of the platform, in invocations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Effort {
    /// Invocations that were started.
    pub invocations: u64,
    /// Of these, killed from outside: by chaos, by somebody, by a lost machine.
    pub killed: u64,
    /// Of these, ended by the time limit.
    pub timed_out: u64,
    /// Of these, started from a checkpoint of an earlier one.
    pub resumed: u64,
}

impl AddAssign for Effort {
    fn add_assign(&mut self, other: Effort) {
        self.invocations += other.invocations;
        self.killed += other.killed;
        self.timed_out += other.timed_out;
        self.resumed += other.resumed;
    }
}

impl fmt::Display for Effort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Effort {
            invocations,
            killed,
            timed_out,
            resumed,
        } = self;
        write!(
            f,
            "{invocations} invocations, {killed} killed, {timed_out} timed out, {resumed} resumed"
        )
    }
}

/// What queries run on.
pub enum Engine {
    /// DataFusion in this process.
    Plain(PlainEngine),
    /// Tasks on one of Kappa's platforms.
    Kappa(KappaEngine),
}

/// A statement that has been started.
pub struct Started<'a> {
    work: Work<'a>,
    at: Instant,
}

enum Work<'a> {
    Plain(&'a PlainEngine, &'a str),
    Kappa { query: RunningQuery, can_resume: bool },
    Done(Box<QueryResult>),
}

impl Engine {
    /// Its name on the command line and in tables.
    pub fn name(&self) -> &'static str {
        match self {
            Engine::Plain(_) => "datafusion",
            Engine::Kappa(_) => "kappa",
        }
    }

    /// Runs a statement to its end.
    pub async fn sql(&self, sql: &str) -> anyhow::Result<Answer> {
        self.start(sql).await?.answer(&Interrupts::never()).await?
    }

    /// Starts a statement.
    pub async fn start<'a>(&'a self, sql: &'a str) -> anyhow::Result<Started<'a>> {
        let at = Instant::now();
        let work = match self {
            Engine::Plain(engine) => Work::Plain(engine, sql),
            Engine::Kappa(engine) => engine.start(sql).await?,
        };
        Ok(Started { work, at })
    }

    /// Goes on with a run that an earlier process has started. `None` if there is no such run.
    ///
    /// # Errors
    /// If there is one and it cannot be gone on with: somebody works on it, its journal cannot be read, its store is
    /// away.
    pub async fn resume(&self, run: RunId) -> anyhow::Result<Option<Started<'_>>> {
        let at = Instant::now();
        let Engine::Kappa(engine) = self else { return Ok(None) };
        match engine.engine.resume(run).await {
            Ok(query) => Ok(Some(Started {
                work: engine.running(query),
                at,
            })),
            Err(QueryError::Run(error)) if matches!(*error, RunError::Unknown { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Ends what the engine has started outside this process.
    pub async fn shutdown(&self) {
        match self {
            Engine::Plain(_) => {}
            Engine::Kappa(engine) => engine.engine.shutdown().await,
        }
    }
}

impl Started<'_> {
    /// The run that does it, if it is one.
    pub fn run(&self) -> Option<RunId> {
        match &self.work {
            Work::Kappa { query, .. } => Some(query.run_id()),
            Work::Plain(..) | Work::Done(_) => None,
        }
    }

    /// Waits for the rows, or for the reason why there are none. An interrupt ends what was started and deletes what it
    /// has stored; a run that can be resumed only stops.
    ///
    /// # Errors
    /// The interrupt.
    pub async fn answer(self, interrupts: &Interrupts) -> Result<anyhow::Result<Answer>, Interrupt> {
        let result = match self.work {
            Work::Plain(engine, sql) => return interrupts.interruptible(engine.sql(sql)).await,
            Work::Done(result) => *result,
            Work::Kappa { query, can_resume } => match interrupts.interruptible(query.wait()).await {
                Ok(Ok(result)) => result,
                Ok(Err(error)) => return Ok(Err(error.into())),
                Err(interrupt) => {
                    end(&query, can_resume).await;
                    return Err(interrupt);
                }
            },
        };
        let QueryResult {
            schema,
            batches,
            stats,
            cost: _,
        } = result;
        let effort = stats.map(Effort::from).unwrap_or_default();
        Ok(Ok(Answer {
            schema,
            batches,
            elapsed: self.at.elapsed(),
            effort,
        }))
    }
}

/// Returns when nothing of the run is going on any more.
async fn end(query: &RunningQuery, can_resume: bool) {
    if can_resume {
        query.interrupt().await;
    } else {
        query.cancel();
        // It fails, as it was cancelled; what it had stored is deleted.
        let _ = query.wait().await;
    }
}

impl From<RunStats> for Effort {
    fn from(stats: RunStats) -> Self {
        let RunStats {
            invocations,
            killed,
            timed_out,
            resumed,
            ..
        } = stats;
        Effort {
            invocations,
            killed,
            timed_out,
            resumed,
        }
    }
}

/// Kappa's SQL engine with the 24 tables.
pub struct KappaEngine {
    engine: kappa_query::Engine,
    /// A state folder records the runs, so another process can go on with them.
    can_resume: bool,
}

impl KappaEngine {
    /// An engine whose queries run as the options say.
    pub async fn new(data: &DataFolder, options: &RunOptions) -> anyhow::Result<Self> {
        let engine = kappa_query::Engine::new(options).await?;
        if let Err(error) = engine.register_folder(data.path()).await {
            engine.shutdown().await;
            return Err(error.into());
        }
        Ok(KappaEngine {
            engine,
            can_resume: options.state.is_some(),
        })
    }

    async fn start(&self, sql: &str) -> anyhow::Result<Work<'static>> {
        let mut statements = self.engine.parse(sql)?;
        let (Some(statement), true) = (statements.pop(), statements.is_empty()) else {
            anyhow::bail!("this text must be exactly one statement");
        };
        Ok(match self.engine.start(statement).await? {
            Execution::Done(result) => Work::Done(result),
            Execution::Running(query) => self.running(query),
        })
    }

    fn running(&self, query: RunningQuery) -> Work<'static> {
        Work::Kappa {
            query,
            can_resume: self.can_resume,
        }
    }
}

/// DataFusion as it comes: one process, its own settings, as many partitions as there are cores.
///
/// It shares no setting with Kappa's sessions, and none of Kappa's planning, so that a fault there cannot hide by happening twice.
#[derive(Clone)]
pub struct PlainEngine {
    context: SessionContext,
}

impl PlainEngine {
    /// An engine with the 24 tables of a folder.
    pub async fn new(data: &DataFolder) -> anyhow::Result<Self> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self::with_partitions(data, cores).await
    }

    /// The same with another number of partitions than there are cores.
    pub async fn with_partitions(data: &DataFolder, partitions: usize) -> anyhow::Result<Self> {
        let context = SessionContext::new_with_config(SessionConfig::new().with_target_partitions(partitions));
        for table in &TABLES {
            let path = data.path_of(table);
            let text = path
                .to_str()
                .with_context(|| format!("the path {} is not Unicode", path.display()))?;
            let registered = context
                .register_parquet(table.name, text, ParquetReadOptions::default())
                .await;
            registered
                .map_err(plain_message)
                .with_context(|| format!("cannot read {}", path.display()))?;
        }
        Ok(PlainEngine { context })
    }

    #[cfg(test)]
    pub(crate) fn from_context(context: SessionContext) -> Self {
        PlainEngine { context }
    }

    /// Runs a statement.
    pub async fn sql(&self, sql: &str) -> anyhow::Result<Answer> {
        let started = Instant::now();
        self.run(self.plan(sql).await?, started).await
    }

    /// Plans a statement without optimising it.
    pub(crate) async fn plan(&self, sql: &str) -> anyhow::Result<LogicalPlan> {
        self.context
            .state()
            .create_logical_plan(sql)
            .await
            .map_err(plain_message)
    }

    /// Runs a plan.
    pub(crate) async fn execute(&self, plan: LogicalPlan) -> anyhow::Result<Answer> {
        self.run(plan, Instant::now()).await
    }

    async fn run(&self, plan: LogicalPlan, started: Instant) -> anyhow::Result<Answer> {
        let rows = self.context.execute_logical_plan(plan).await.map_err(plain_message)?;
        let schema = Arc::clone(rows.schema().inner());
        let batches = rows.collect().await.map_err(plain_message)?;
        Ok(Answer {
            schema,
            batches,
            elapsed: started.elapsed(),
            effort: Effort::default(),
        })
    }
}

fn plain_message(error: DataFusionError) -> anyhow::Error {
    anyhow::anyhow!("{}", innermost_message(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn a_run_that_is_not_there_is_not_known_and_one_that_is_in_use_is_an_error() {
        let state = tempfile::tempdir().unwrap();
        let options = RunOptions {
            state: Some(state.path().to_owned()),
            ..RunOptions::default()
        };
        let engine = Engine::Kappa(KappaEngine {
            engine: kappa_query::Engine::new(&options).await.unwrap(),
            can_resume: true,
        });
        assert!(engine.resume(RunId::generate()).await.unwrap().is_none());

        let started = engine.start("select 1 as one").await.unwrap();
        let run = started.run().unwrap();
        let in_use = |error: anyhow::Error| {
            let message = format!("{error:#}");
            assert!(message.contains("is in use by another process"), "{message}");
        };
        // Its journal is open here, as it would be in another process.
        in_use(engine.resume(run).await.err().unwrap());
        let answer = started.answer(&Interrupts::never()).await.unwrap().unwrap();
        assert_eq!(answer.rows(), 1);

        // What is left of it takes a moment to go.
        let deadline = Instant::now() + Duration::from_secs(60);
        let resumed = loop {
            match engine.resume(run).await {
                Ok(resumed) => break resumed.unwrap(),
                Err(error) => in_use(error),
            }
            assert!(Instant::now() < deadline, "its journal stays open");
            tokio::time::sleep(Duration::from_millis(10)).await;
        };
        let again = resumed.answer(&Interrupts::never()).await.unwrap().unwrap();
        assert_eq!(again.batches, answer.batches);
        engine.shutdown().await;
    }
}
