//! The leaf of a fragment that reads what another stage wrote.
//!
//! ```text
//!   producer, units 0..n            reader, by exchange
//!
//!   unit 0: [b0|b1|b2]              Hash       partition p = unit 0 bucket p, unit 1 bucket p, ...
//!   unit 1: [b0|b1|b2]    ───>      Broadcast  partition 0 = unit 0, unit 1, ...
//!   ...                             Gather     partition 0 = unit 0, unit 1, ...
//!                                   Merge      partition 0 = k-way merge of the units, ties in unit order
//! ```
//!
//! The order of rows in every partition is a function of the stored bytes alone, never of timing: "go on after row n" means
//! the same rows in every attempt. An order is advertised only where it is delivered: by `Merge`.

use std::fmt;
use std::sync::Arc;

use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result, exec_err, internal_err};
use datafusion::execution::memory_pool::MemoryConsumer;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{Partitioning, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::limit::LimitStream;
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet, MetricsSet};
use datafusion::physical_plan::sorts::streaming_merge::StreamingMergeBuilder;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, EmptyRecordBatchStream, ExecutionPlan, PlanProperties, ReplaceChildrenOptions,
};
use futures::{StreamExt, stream};

use super::{Bucket, Equivalences, Shuffle};
use crate::stage::{Exchange, StageId};

/// Reads the output of a stage; see the drawing at the top of the module's source.
#[derive(Debug)]
pub struct ShuffleReaderExec {
    stage: StageId,
    exchange: Exchange,
    equivalences: Equivalences,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl ShuffleReaderExec {
    /// A reader of `stage`, whose fragment has this `schema` and whose output is this `exchange`.
    ///
    /// # Errors
    /// If `equivalences` do not fit the schema.
    pub fn try_new(
        stage: StageId,
        exchange: Exchange,
        schema: SchemaRef,
        equivalences: Equivalences,
    ) -> Result<ShuffleReaderExec> {
        let mut equivalence_properties = equivalences.properties(schema)?;
        let partitioning = match &exchange {
            Exchange::Hash { keys, partitions } => Partitioning::Hash(keys.clone(), *partitions),
            Exchange::Broadcast | Exchange::Gather => Partitioning::UnknownPartitioning(1),
            Exchange::Merge { ordering, fetch: _ } => {
                equivalence_properties.add_ordering(ordering.clone());
                Partitioning::UnknownPartitioning(1)
            }
        };
        let properties = PlanProperties::new(
            equivalence_properties,
            partitioning,
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        Ok(Self {
            stage,
            exchange,
            equivalences,
            properties: Arc::new(properties),
            metrics: ExecutionPlanMetricsSet::new(),
        })
    }

    /// The stage that is read.
    pub fn stage(&self) -> StageId {
        self.stage
    }

    /// How it is read: equal to the `output` of that stage.
    pub fn exchange(&self) -> &Exchange {
        &self.exchange
    }

    /// What is known about the columns beside their order.
    pub fn equivalences(&self) -> &Equivalences {
        &self.equivalences
    }

    /// The same reader of another stage with the same schema.
    ///
    /// # Errors
    /// See [`Self::try_new`].
    pub fn reading(&self, stage: StageId, exchange: Exchange) -> Result<ShuffleReaderExec> {
        Self::try_new(stage, exchange, self.schema(), self.equivalences.clone())
    }

    /// Turns one stream per producing unit into the stream of a partition.
    ///
    /// Also used where a result leaves the graph: the root stage's units are combined by the root's own exchange.
    ///
    /// # Errors
    /// If the merge's cursors cannot be built for the schema.
    pub fn combine(
        exchange: &Exchange,
        schema: SchemaRef,
        streams: Vec<SendableRecordBatchStream>,
        metrics: BaselineMetrics,
        context: &TaskContext,
    ) -> Result<SendableRecordBatchStream> {
        match exchange {
            Exchange::Hash { .. } | Exchange::Broadcast | Exchange::Gather => {
                let rows = stream::iter(streams).flatten().inspect(move |batch| {
                    if let Ok(batch) = batch {
                        metrics.record_output(batch.num_rows());
                    }
                });
                Ok(Box::pin(RecordBatchStreamAdapter::new(schema, rows)))
            }
            Exchange::Merge { .. } if streams.is_empty() => Ok(Box::pin(EmptyRecordBatchStream::new(schema))),
            Exchange::Merge { fetch, .. } if streams.len() == 1 => {
                let Some(only) = streams.into_iter().next() else {
                    return internal_err!("a stream disappeared");
                };
                Ok(Box::pin(LimitStream::new(only, 0, *fetch, metrics)))
            }
            Exchange::Merge { ordering, fetch } => {
                let reservation = MemoryConsumer::new("shuffle merge").register(context.memory_pool());
                StreamingMergeBuilder::new()
                    .with_streams(streams)
                    .with_schema(schema)
                    .with_expressions(ordering)
                    .with_metrics(metrics)
                    .with_batch_size(context.session_config().batch_size())
                    .with_fetch(*fetch)
                    .with_reservation(reservation)
                    // Ties go to the lower unit; the tie breaker would give them to whoever was polled less.
                    .with_round_robin_tie_breaker(false)
                    .build()
            }
        }
    }
}

impl DisplayAs for ShuffleReaderExec {
    fn fmt_as(&self, format: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match format {
            DisplayFormatType::Default | DisplayFormatType::Verbose => {
                write!(f, "ShuffleReaderExec: stage={}, {}", self.stage, self.exchange)
            }
            DisplayFormatType::TreeRender => write!(f, "stage={}", self.stage),
        }
    }
}

impl ExecutionPlan for ShuffleReaderExec {
    fn name(&self) -> &str {
        "ShuffleReaderExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![]
    }

    fn replace_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
        _options: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        if !children.is_empty() {
            return internal_err!("ShuffleReaderExec is a leaf, it was given {} children", children.len());
        }
        Ok(self)
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        if !children.is_empty() {
            return internal_err!("ShuffleReaderExec is a leaf, it was given {} children", children.len());
        }
        Ok(self)
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        let keys: Vec<&Arc<dyn PhysicalExpr>> = match &self.exchange {
            Exchange::Hash { keys, .. } => keys.iter().collect(),
            Exchange::Broadcast | Exchange::Gather => vec![],
            Exchange::Merge { ordering, .. } => ordering.iter().map(|sort| &sort.expr).collect(),
        };
        for key in keys {
            if f(key)? == TreeNodeRecursion::Stop {
                return Ok(TreeNodeRecursion::Stop);
            }
        }
        Ok(TreeNodeRecursion::Continue)
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let partitions = self.properties.partitioning.partition_count();
        if partition >= partitions {
            return internal_err!(
                "partition {partition} of stage {} was asked for, it has {partitions}",
                self.stage
            );
        }
        let Some(shuffle) = context.session_config().get_extension::<Shuffle>() else {
            return exec_err!(
                "stage {} cannot be read: the task has no shuffle source; put `Shuffle` into its session configuration",
                self.stage
            );
        };
        let bucket = match &self.exchange {
            Exchange::Hash { .. } => Bucket::One(partition),
            Exchange::Broadcast | Exchange::Gather | Exchange::Merge { .. } => Bucket::All,
        };
        let streams = shuffle.0.read(self.stage, bucket)?;
        let metrics = BaselineMetrics::new(&self.metrics, partition);
        Self::combine(&self.exchange, self.schema(), streams, metrics, &context)
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use datafusion::arrow::array::{ArrayRef, AsArray, Int32Array, RecordBatch};
    use datafusion::arrow::datatypes::{DataType, Field, Int32Type, Schema};
    use datafusion::physical_expr::expressions::col;
    use datafusion::physical_expr::{LexOrdering, PhysicalSortExpr};
    use datafusion::physical_plan::ExecutionPlanProperties;
    use futures::TryStreamExt;

    use super::*;

    fn schema() -> SchemaRef {
        Arc::new(Schema::new(vec![
            Field::new("key", DataType::Int32, false),
            Field::new("unit", DataType::Int32, false),
        ]))
    }

    /// Ten rows of ties, in two batches, of which the second comes after `delay`.
    fn unit(number: i32, delay: u64) -> SendableRecordBatchStream {
        let batch = move |keys: [i32; 5]| {
            let keys: ArrayRef = Arc::new(Int32Array::from(keys.to_vec()));
            let units: ArrayRef = Arc::new(Int32Array::from(vec![number; 5]));
            Ok(RecordBatch::try_new(schema(), vec![keys, units])?)
        };
        let rows = stream::iter([0, 1]).then(move |half| async move {
            tokio::time::sleep(Duration::from_millis(delay * half)).await;
            if half == 0 {
                batch([1, 1, 1, 2, 2])
            } else {
                batch([2, 2, 3, 3, 3])
            }
        });
        Box::pin(RecordBatchStreamAdapter::new(schema(), Box::pin(rows)))
    }

    fn ordering() -> LexOrdering {
        LexOrdering::new([PhysicalSortExpr::new_default(col("key", &schema()).unwrap())]).unwrap()
    }

    async fn combined(exchange: &Exchange, delays: &[u64]) -> Vec<(i32, i32)> {
        let units = delays
            .iter()
            .enumerate()
            .map(|(number, delay)| unit(number as i32, *delay))
            .collect();
        let metrics = BaselineMetrics::new(&ExecutionPlanMetricsSet::new(), 0);
        let context = TaskContext::default();
        let rows = ShuffleReaderExec::combine(exchange, schema(), units, metrics, &context).unwrap();
        let batches: Vec<RecordBatch> = rows.try_collect().await.unwrap();
        let column = |batch: &RecordBatch, column: usize| -> Vec<i32> {
            batch.column(column).as_primitive::<Int32Type>().values().to_vec()
        };
        batches
            .iter()
            .flat_map(|batch| column(batch, 0).into_iter().zip(column(batch, 1)))
            .collect()
    }

    #[tokio::test]
    async fn q07_ties_are_merged_in_unit_order_whoever_is_slow() {
        let merge = Exchange::Merge {
            ordering: ordering(),
            fetch: None,
        };
        let mut expected = Vec::new();
        for (key, rows) in [(1, 3), (2, 4), (3, 3)] {
            for unit in 0..4 {
                expected.extend(vec![(key, unit); rows]);
            }
        }
        for delays in [[0, 0, 0, 0], [20, 0, 0, 0], [0, 5, 0, 20], [3, 2, 1, 0]] {
            assert_eq!(combined(&merge, &delays).await, expected, "{delays:?}");
        }
    }

    #[tokio::test]
    async fn a_merge_is_cut_off_for_any_number_of_units() {
        let merge = Exchange::Merge {
            ordering: ordering(),
            fetch: Some(7),
        };
        assert_eq!(combined(&merge, &[]).await, []);
        assert_eq!(combined(&merge, &[0]).await.len(), 7);
        assert_eq!(combined(&merge, &[0, 0, 0]).await.len(), 7);
        let nothing = Exchange::Merge {
            ordering: ordering(),
            fetch: Some(0),
        };
        assert_eq!(combined(&nothing, &[0, 0]).await, []);
        assert_eq!(combined(&nothing, &[0]).await, []);
    }

    #[tokio::test]
    async fn a_gather_reads_unit_after_unit() {
        let found = combined(&Exchange::Gather, &[9, 0, 4]).await;
        let units: Vec<i32> = found.into_iter().map(|(_, unit)| unit).collect();
        assert_eq!(units, [[0; 10], [1; 10], [2; 10]].concat());
    }

    #[test]
    fn q06_only_a_merge_advertises_an_order() {
        let reader = |exchange| -> Arc<dyn ExecutionPlan> {
            Arc::new(ShuffleReaderExec::try_new(StageId(0), exchange, schema(), Equivalences::default()).unwrap())
        };
        let keys = vec![col("key", &schema()).unwrap()];
        let hash = reader(Exchange::Hash {
            keys: keys.clone(),
            partitions: 3,
        });
        assert_eq!(*hash.output_partitioning(), Partitioning::Hash(keys, 3));
        for unordered in [hash, reader(Exchange::Gather), reader(Exchange::Broadcast)] {
            assert_eq!(unordered.output_ordering(), None);
        }
        let merge = reader(Exchange::Merge {
            ordering: ordering(),
            fetch: None,
        });
        assert_eq!(merge.output_ordering(), Some(&ordering()));
    }

    #[test]
    fn a_task_without_shuffle_source_says_so() {
        let reader =
            ShuffleReaderExec::try_new(StageId(3), Exchange::Gather, schema(), Equivalences::default()).unwrap();
        let Err(error) = reader.execute(0, Arc::new(TaskContext::default())) else {
            panic!("there is nothing to read")
        };
        assert!(error.to_string().contains("stage 3 cannot be read"), "{error}");
    }
}
