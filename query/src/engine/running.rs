//! A query that runs: how far it is, how to stop it, and its rows at the end.

use super::{OpenQueries, QueryResult};
use crate::error::QueryError;
use crate::exec::driver::Finished;
use crate::exec::fragments;
use crate::explain;
use crate::shuffle::object::{Manifest, decode_schema};
use datafusion::arrow::array::{RecordBatch, RecordBatchOptions};
use datafusion::arrow::datatypes::{Schema, SchemaRef};
use datafusion::error::DataFusionError;
use kappa::ids::RunId;
use kappa::runtime::{RunEvent, RunHandle};
use kappa::store::Store;
use kappa::store::counted::{Counted, Counts};
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

/// A query that runs.
pub struct RunningQuery {
    handle: RunHandle<Finished>,
    /// Counted by `counts`.
    store: Arc<dyn Store>,
    counts: Arc<Counts>,
    units: usize,
    /// What to delete at the end: the objects of a query that nobody can resume.
    prefix: Option<(String, OpenQueries)>,
    /// Units that are committed, counted by [`count_units`].
    units_done: Arc<AtomicUsize>,
}

/// How far a query is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueryProgress {
    /// Units that are committed.
    pub units_done: usize,
    /// Units in all; 0 if that is not known (a resumed run).
    pub units: usize,
    /// Tasks so far.
    pub tasks: u64,
    /// Invocations so far.
    pub invocations: u64,
    /// Invocations that were killed.
    pub killed: u64,
}

impl RunningQuery {
    pub(super) fn new(
        handle: RunHandle<Finished>,
        store: Arc<dyn Store>,
        units: usize,
        prefix: Option<(String, OpenQueries)>,
    ) -> Self {
        let units_done = Arc::new(AtomicUsize::new(0));
        let (store, counts) = Counted::over(store);
        tokio::spawn(count_units(handle.events(), units_done.clone()));
        RunningQuery {
            handle,
            store,
            counts,
            units,
            prefix,
            units_done,
        }
    }

    /// The run's id, for `resume`.
    pub fn run_id(&self) -> RunId {
        self.handle.id()
    }

    /// What happens in its run from now on.
    pub fn events(&self) -> broadcast::Receiver<RunEvent> {
        self.handle.events()
    }

    /// How far it is.
    pub fn progress(&self) -> QueryProgress {
        let stats = self.handle.stats();
        QueryProgress {
            units_done: self.units_done.load(Ordering::Relaxed),
            units: self.units,
            tasks: stats.tasks,
            invocations: stats.invocations,
            killed: stats.killed,
        }
    }

    /// Ends the run and everything it has started; it cannot be resumed.
    pub fn cancel(&self) {
        self.handle.cancel();
    }

    /// Stops working on the run; with a state directory it can be resumed.
    pub async fn interrupt(&self) {
        self.handle.interrupt().await;
    }

    /// Waits for the end and reads the rows. Whoever stops waiting can still ask how far it is, or end it.
    ///
    /// # Errors
    /// Why the run failed, or why its result cannot be read.
    pub async fn wait(&self) -> Result<QueryResult, QueryError> {
        let RunningQuery {
            handle, store, prefix, ..
        } = self;
        let outcome = handle.wait().await;
        let result = match outcome {
            Ok(finished) => match &finished.analyze {
                Some(stages) => {
                    QueryResult::text("stages", &explain::analyzed(stages, &finished.totals, &handle.cost()))
                        .map(|text| (text.schema, text.batches))
                }
                None => read_result(store, &finished).await,
            },
            Err(error) => Err(error.into()),
        };
        if let Some((prefix, open)) = prefix {
            match store.delete_prefix(prefix).await {
                Ok(()) => drop(open.lock().remove(prefix)),
                Err(cause) => tracing::warn!(%cause, "the query has ended, but some of its objects cannot be deleted"),
            }
        }
        let (schema, batches) = result?;
        // Reading the result, and tidying up, costs something too.
        handle.count(self.counts.take());
        Ok(QueryResult {
            schema,
            batches,
            stats: Some(handle.stats()),
            cost: Some(handle.cost()),
        })
    }
}

/// Reads what the root stage has put out, combined by its own exchange.
async fn read_result(store: &Arc<dyn Store>, finished: &Finished) -> Result<(SchemaRef, Vec<RecordBatch>), QueryError> {
    let manifest = Manifest::read(store.as_ref(), &finished.manifest).await?;
    let (schema, batches) =
        fragments::read_output(store, &finished.options, &finished.fragment, finished.root, manifest).await?;
    let named = decode_schema(&finished.schema).map_err(DataFusionError::from)?;
    with_names(&schema, &named, batches)
}

/// The rows under the names that the query gave its columns, which the fragment's rules may have changed.
fn with_names(
    schema: &SchemaRef,
    named: &SchemaRef,
    batches: Vec<RecordBatch>,
) -> Result<(SchemaRef, Vec<RecordBatch>), QueryError> {
    let rename = |schema: &SchemaRef| {
        let fields = schema.fields().iter().zip(named.fields());
        let fields = fields.map(|(field, named)| field.as_ref().clone().with_name(named.name()));
        Arc::new(Schema::new(fields.collect::<Vec<_>>()))
    };
    if schema.fields().len() != named.fields().len() {
        return Ok((schema.clone(), batches));
    }
    let renamed = batches.into_iter().map(|batch| {
        let rows = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        RecordBatch::try_new_with_options(rename(&batch.schema()), batch.columns().to_vec(), &rows)
    });
    let renamed = renamed.collect::<Result<_, _>>().map_err(DataFusionError::from)?;
    Ok((rename(schema), renamed))
}

/// Counts the units that are committed: each is a checkpoint of a stage task. Ends with the run.
async fn count_units(mut events: broadcast::Receiver<RunEvent>, units_done: Arc<AtomicUsize>) {
    let mut stage_tasks = HashSet::new();
    loop {
        match events.recv().await {
            Ok(RunEvent::TaskSpawned { task, function, .. }) if function.ends_with("::run_units") => {
                stage_tasks.insert(task);
            }
            Ok(RunEvent::Checkpoint { task, .. }) if stage_tasks.contains(&task) => {
                units_done.fetch_add(1, Ordering::Relaxed);
            }
            // What a slow watcher misses makes the display lag, and nothing else.
            Ok(_) | Err(RecvError::Lagged(_)) => {}
            Err(RecvError::Closed) => return,
        }
    }
}
