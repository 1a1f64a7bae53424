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
