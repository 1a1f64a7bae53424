//! The reference: a stage graph run in the plainest way that keeps every promise about isolation.
//!
//! Every unit is run alone: its stage is decoded anew from bytes, with a context of its own, and sees nothing but the
//! shuffle output of closed stages, held in memory. Units run one after the other, in an order that is not theirs. Whatever
//! an engine does with a graph, its result must be this one's. For tests and for small data: nothing is spilled, nothing
//! is parallel.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::{Result as DataFusionResult, exec_err};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::{TryStreamExt, stream};

use crate::deep;
use crate::error::Result;
use crate::plan::{Bucket, Shuffle, ShuffleReaderExec, ShuffleSource};
use crate::session::Session;
use crate::shuffle::partition::HashPartitioner;
use crate::stage::{Exchange, Stage, StageGraph, StageId};

/// Runs a graph and gives its result, in the order of its root's exchange.
///
/// # Errors
/// Whatever a unit fails with.
pub async fn run(graph: &StageGraph, session: &Session) -> Result<Vec<RecordBatch>> {
    let mut closed = Closed::default();
    for stage in &graph.stages {
        let bytes = stage.to_bytes()?;
        let mut units = HashMap::new();
        for unit in unit_order(stage) {
            units.insert(unit, run_unit(&bytes, unit, &closed, session).await?);
        }
        let units = (0..stage.units).filter_map(|unit| units.remove(&unit)).collect();
        closed.insert(stage.id, stage.fragment.schema(), units);
    }
    let Some(root) = graph.root() else { return Ok(vec![]) };
    let streams = closed.read(root.id, Bucket::All)?;
    let metrics = BaselineMetrics::new(&ExecutionPlanMetricsSet::new(), 0);
    let context = session.task_context();
    let rows = ShuffleReaderExec::combine(&root.output, root.fragment.schema(), streams, metrics, &context)?;
    Ok(rows.try_collect().await?)
}

/// Backwards in every second stage: a result that depends on the order of units would show.
fn unit_order(stage: &Stage) -> Vec<usize> {
    let mut units: Vec<usize> = (0..stage.units).collect();
    if stage.id.0 % 2 == 1 {
        units.reverse();
    }
    units
}

async fn run_unit(bytes: &[u8], unit: usize, closed: &Closed, session: &Session) -> Result<Unit> {
    let context = session.task_context();
    let shuffle = Shuffle(Arc::new(closed.clone()));
    let config = context.session_config().clone().with_extension(Arc::new(shuffle));
    let context = Arc::new(TaskContext::new(
        None,
        "unit".to_owned(),
        config,
        context.scalar_functions().clone(),
        context.higher_order_functions().clone(),
        context.aggregate_functions().clone(),
        context.window_functions().clone(),
        context.runtime_env(),
    ));
    let stage = Stage::from_bytes(bytes, &context)?;
    let depth = deep::depth_of(&stage.fragment);
    let rows = deep::rows(depth, || stage.fragment.execute(unit, context))?;
    let rows: Vec<RecordBatch> = rows.try_collect().await?;
    let Exchange::Hash { keys, partitions } = stage.output else {
        return Ok(Unit { buckets: vec![rows] });
    };
    let mut partitioner = HashPartitioner::try_new(keys, partitions)?;
    let mut buckets = vec![vec![]; partitions];
    for batch in rows {
        for (bucket, part) in buckets.iter_mut().zip(partitioner.split(&batch)?) {
            bucket.extend(part);
        }
    }
    Ok(Unit { buckets })
}

/// What a unit wrote.
#[derive(Debug, Clone)]
struct Unit {
    buckets: Vec<Vec<RecordBatch>>,
}

/// The output of closed stages.
#[derive(Debug, Clone, Default)]
struct Closed {
    stages: HashMap<StageId, (SchemaRef, Arc<Vec<Unit>>)>,
}

impl Closed {
    fn insert(&mut self, stage: StageId, schema: SchemaRef, units: Vec<Unit>) {
        self.stages.insert(stage, (schema, Arc::new(units)));
    }
}

impl ShuffleSource for Closed {
    fn read(&self, stage: StageId, bucket: Bucket) -> DataFusionResult<Vec<SendableRecordBatchStream>> {
        let Some((schema, units)) = self.stages.get(&stage) else {
            return exec_err!("stage {stage} is read before it is closed");
        };
        let mut streams: Vec<SendableRecordBatchStream> = Vec::with_capacity(units.len());
        for (number, unit) in units.iter().enumerate() {
            let rows = match (bucket, unit.buckets.as_slice()) {
                (Bucket::One(bucket), buckets) if bucket < buckets.len() => buckets[bucket].clone(),
                (Bucket::All, [rows]) => rows.clone(),
                (_, buckets) => {
                    return exec_err!("stage {stage}, unit {number}: {bucket:?} of {} buckets", buckets.len());
                }
            };
            let rows = stream::iter(rows.into_iter().map(Ok));
            streams.push(Box::pin(RecordBatchStreamAdapter::new(Arc::clone(schema), rows)));
        }
        Ok(streams)
    }
}
