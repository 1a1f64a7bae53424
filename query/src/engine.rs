//! SQL in, rows out: a session with tables, and the Kappa runtime that its queries run on.
//!
//! A query is planned once, here; its fragments are published to the store, and a run of the task [`drive`] does the rest. Whoever resumes the
//! run needs nothing else: what the result is read with is in the store, too. Statements that concern the session alone are answered by it.

mod planning;
mod running;
mod sizes;

pub use running::{QueryProgress, RunningQuery};

use crate::error::QueryError;
use crate::exec::driver::{Finished, drive};
use crate::exec::fragments;
use crate::exec::program::Program;
use crate::exec::version;
use crate::explain;
use crate::planner::Prepared;
use crate::session::{Session, SessionOptions};
use crate::stage::StageGraph;
use datafusion::arrow::array::{ArrayRef, RecordBatch, StringArray};
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::sql::parser::Statement;
use kappa::cli::RunOptions;
use kappa::ids::RunId;
use kappa::record::cost::Cost;
use kappa::runtime::{Kappa, RunHandle, RunStats};
use kappa::store::Counted;
use parking_lot::Mutex;
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

/// A session and the runtime its queries run on.
pub struct Engine {
    session: Session,
    kappa: Kappa,
    workers: usize,
    /// Runs can be resumed, so their results stay in the store.
    can_resume: bool,
    /// First segments of the keys of queries that have been started and whose objects are not deleted yet.
    open: OpenQueries,
}

/// Shared with the running queries, which delete their objects at their end.
type OpenQueries = Arc<Mutex<BTreeSet<String>>>;

/// The rows of a statement.
#[derive(Clone, Debug)]
pub struct QueryResult {
    /// Names and types of the columns.
    pub schema: SchemaRef,
    /// The rows, in order.
    pub batches: Vec<RecordBatch>,
    /// What the run took; `None` for a statement that the session answered by itself.
    pub stats: Option<RunStats>,
    /// What that costs, or would have cost, on rented functions.
    pub cost: Option<Cost>,
}

impl QueryResult {
    /// The number of rows.
    pub fn rows(&self) -> usize {
        self.batches.iter().map(RecordBatch::num_rows).sum()
    }

    fn nothing() -> Self {
        QueryResult {
            schema: Arc::new(Schema::empty()),
            batches: Vec::new(),
            stats: None,
            cost: None,
        }
    }

    fn text(column: &str, text: &str) -> Result<Self, QueryError> {
        let lines: ArrayRef = Arc::new(StringArray::from(text.lines().collect::<Vec<_>>()));
        let schema = Arc::new(Schema::new(vec![Field::new(column, DataType::Utf8, false)]));
        let batch =
            RecordBatch::try_new(schema.clone(), vec![lines]).map_err(datafusion::error::DataFusionError::from)?;
        Ok(QueryResult {
            schema,
            batches: vec![batch],
            stats: None,
            cost: None,
        })
    }
}

/// A statement that was started.
pub enum Execution {
    /// It is done already.
    Done(Box<QueryResult>),
    /// It runs as tasks.
    Running(RunningQuery),
}

impl Engine {
    /// An engine whose queries run as the options of a command line say.
    ///
    /// # Errors
    /// If the options do not go together, or the platform, the store or the state folder cannot be used.
    pub async fn new(options: &RunOptions) -> Result<Self, QueryError> {
        Self::of_program(options, None).await
    }

    /// The same for a program that goes on with a run when it is started with these arguments, in which [`Origin::RUN`] stands for the run's id.
    ///
    /// # Errors
    /// As [`Engine::new`].
    ///
    /// [`Origin::RUN`]: kappa::record::Origin::RUN
    pub async fn of_program(options: &RunOptions, resume: Option<Vec<String>>) -> Result<Self, QueryError> {
        let workers = options.workers.map_or_else(sizes::processors, usize::from);
        let session = SessionOptions {
            memory: sizes::memory_of_a_process(options, workers),
            scan_unit_bytes: sizes::scan_unit_bytes(options),
            ..SessionOptions::default()
        };
        let mut builder = options.builder().await?;
        if let Some(arguments) = resume {
            builder = builder.resume_arguments(arguments);
        }
        let kappa = builder.build().await.map_err(kappa::cli::OptionsError::from)?;
        Self::on(kappa, session, workers, options.state.is_some())
    }

    /// An engine on this runtime, with this many tasks at work on a stage at once. If runs `can_resume` (the runtime has a state
    /// directory), what they leave in the store stays there; otherwise it is deleted when the result has been read.
    ///
    /// # Errors
    /// If the session's folder for spilled data cannot be used.
    pub fn on(kappa: Kappa, options: SessionOptions, workers: usize, can_resume: bool) -> Result<Self, QueryError> {
        Ok(Engine {
            session: Session::new(options)?,
            kappa,
            workers: workers.max(1),
            can_resume,
            open: OpenQueries::default(),
        })
    }

    /// The session: its tables and settings.
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// Makes every file and folder of data in `folder` a table; see [`Session::register_folder`].
    ///
    /// # Errors
    /// If the folder or one of its files cannot be used.
    pub async fn register_folder(&self, folder: impl AsRef<Path>) -> Result<Vec<String>, QueryError> {
        self.session.register_folder(folder).await
    }

    /// The statements of a text.
    ///
    /// # Errors
    /// If the text is not SQL.
    pub fn parse(&self, sql: &str) -> Result<Vec<Statement>, QueryError> {
        self.session.parse(sql)
    }

    /// Runs one statement to its end.
    ///
    /// # Errors
    /// If the text is not exactly one statement, cannot be planned, or its run fails.
    pub async fn sql(&self, sql: &str) -> Result<QueryResult, QueryError> {
        let mut statements = self.parse(sql)?;
        let (Some(statement), true) = (statements.pop(), statements.is_empty()) else {
            return Err(QueryError::unsupported("this text", "it must be exactly one statement"));
        };
        match self.start(statement).await? {
            Execution::Done(result) => Ok(*result),
            Execution::Running(query) => query.wait().await,
        }
    }

    /// Plans a statement and starts its run.
    ///
    /// # Errors
    /// If it cannot be planned or the run cannot be started.
    pub async fn start(&self, statement: Statement) -> Result<Execution, QueryError> {
        match planning::prepare(&self.session, statement).await? {
            Prepared::Done => Ok(Execution::Done(Box::new(QueryResult::nothing()))),
            Prepared::Explain(graph) => {
                let stages = QueryResult::text("stages", &explain::explain(&graph))?;
                Ok(Execution::Done(Box::new(stages)))
            }
            Prepared::ExplainAnalyze(graph) => {
                let stages = explain::stages(&graph);
                Ok(Execution::Running(self.start_program(&graph, Some(stages)).await?))
            }
            Prepared::Query(graph) => Ok(Execution::Running(self.start_graph(&graph).await?)),
        }
    }

    /// Starts the run of a planned query.
    ///
    /// # Errors
    /// If its fragments cannot be published or the run cannot be started.
    pub async fn start_graph(&self, graph: &StageGraph) -> Result<RunningQuery, QueryError> {
        self.start_program(graph, None).await
    }

    async fn start_program(
        &self,
        graph: &StageGraph,
        analyze: Option<Vec<String>>,
    ) -> Result<RunningQuery, QueryError> {
        let store = self.kappa.store().clone();
        let run = RunId::generate();
        let prefix = run.results();
        // Whoever gives up waiting for this leaves the prefix behind, for `shutdown`.
        self.open.lock().insert(prefix.clone());
        let started = self.publish_and_start(run, graph, analyze).await;
        let (handle, units) = match started {
            Ok(started) => started,
            Err(error) => {
                self.delete_objects(&prefix).await;
                return Err(error);
            }
        };
        let prefix = match self.can_resume {
            true => {
                self.open.lock().remove(&prefix);
                None
            }
            false => Some((prefix, self.open.clone())),
        };
        Ok(RunningQuery::new(handle, store, units, prefix))
    }

    async fn publish_and_start(
        &self,
        run: RunId,
        graph: &StageGraph,
        analyze: Option<Vec<String>>,
    ) -> Result<(RunHandle<Finished>, usize), QueryError> {
        let options = self.session.current_options();
        let (store, counts) = Counted::over(self.kappa.store().clone());
        let mut program = Program::publish(graph, store.as_ref(), run.results(), options, self.workers).await?;
        program.analyze = analyze;
        let units = program.stages.iter().map(|stage| stage.units as usize).sum();
        let handle = self.kappa.start_as(run, drive(program)).await?;
        handle.count(counts.take());
        Ok((handle, units))
    }

    /// Deletes what a query without a future has in the store.
    async fn delete_objects(&self, prefix: &str) {
        self.open.lock().remove(prefix);
        if let Err(cause) = self.kappa.store().delete_prefix(prefix).await {
            tracing::warn!(%cause, "objects of a query that was given up cannot be deleted");
        }
    }

    /// Goes on with a run that was started with a state folder; one that has ended gives its result again.
    ///
    /// # Errors
    /// If there is no such run, or it is another program's.
    pub async fn resume(&self, run: RunId) -> Result<RunningQuery, QueryError> {
        version::check(self.kappa.store().as_ref(), run).await?;
        let handle = self.kappa.resume::<Finished>(run).await?;
        Ok(RunningQuery::new(handle, self.kappa.store().clone(), 0, None))
    }

    /// Ends the workers and releases what the runtime holds: also what is left of queries that were given up.
    pub async fn shutdown(&self) {
        self.kappa.shutdown().await;
        let open = std::mem::take(&mut *self.open.lock());
        for prefix in open {
            self.delete_objects(&prefix).await;
        }
        fragments::forget_all();
    }
}
