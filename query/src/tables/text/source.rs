//! How DataFusion reads a text file: the source of a scan.
//!
//! It stands in a `FileScanConfig` as DataFusion's own sources do. What it adds to the bytes of a plan is its format, so that
//! a worker reads what the driver looked at.

use super::csv_file::{self, Wanted};
use super::json_file;
use crate::plan::TextScan;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result, internal_datafusion_err};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::FileGroup;
use datafusion::datasource::physical_plan::{
    FileGroupPartitioner, FileOpenFuture, FileOpener, FileScanConfig, FileSource,
};
use datafusion::datasource::projection::{ProjectionOpener, SplitProjection};
use datafusion::datasource::table_schema::TableSchema;
use datafusion::physical_expr::projection::ProjectionExprs;
use datafusion::physical_expr::{LexOrdering, PhysicalExpr};
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use datafusion::physical_plan::proto::ExecutionPlanEncodeCtx;
use datafusion::physical_plan::{DisplayFormatType, apply_expression_roots};
use datafusion_proto::protobuf;
use futures::FutureExt;
use object_store::ObjectStore;
use std::fmt;
use std::sync::Arc;

/// The format of a table's files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    /// CSV with this between values.
    Csv {
        /// One byte of ASCII.
        delimiter: u8,
    },
    /// JSON, one object after another or an array of objects.
    Json,
}

/// The source of a scan of text files.
#[derive(Debug, Clone)]
pub(crate) struct TextSource {
    format: Format,
    /// Whether every file can be cut at any line break.
    can_be_cut: bool,
    table_schema: TableSchema,
    batch_size: Option<usize>,
    projection: SplitProjection,
    metrics: ExecutionPlanMetricsSet,
}

impl TextSource {
    pub(crate) fn new(format: Format, can_be_cut: bool, table_schema: TableSchema) -> TextSource {
        TextSource {
            format,
            can_be_cut,
            projection: SplitProjection::unprojected(&table_schema),
            table_schema,
            batch_size: None,
            metrics: ExecutionPlanMetricsSet::new(),
        }
    }

    /// The format of its files.
    pub(crate) fn format(&self) -> Format {
        self.format
    }

    /// Whether its files can be cut at line breaks.
    pub(crate) fn can_be_cut(&self) -> bool {
        self.can_be_cut
    }
}

impl FileSource for TextSource {
    fn create_file_opener(
        &self,
        store: Arc<dyn ObjectStore>,
        _base: &FileScanConfig,
        _partition: usize,
    ) -> Result<Arc<dyn FileOpener>> {
        let file_schema = self.table_schema.file_schema();
        let missing = || internal_datafusion_err!("a scan of texts without a batch size");
        let opener = TextOpener {
            format: self.format,
            store,
            schema: Arc::new(file_schema.project(&self.projection.file_indices)?),
            batch_size: self.batch_size.ok_or_else(missing)?,
        };
        ProjectionOpener::try_new(self.projection.clone(), Arc::new(opener), file_schema)
    }

    fn table_schema(&self) -> &TableSchema {
        &self.table_schema
    }

    fn with_batch_size(&self, batch_size: usize) -> Arc<dyn FileSource> {
        Arc::new(TextSource {
            batch_size: Some(batch_size),
            ..self.clone()
        })
    }

    fn projection(&self) -> Option<&ProjectionExprs> {
        Some(&self.projection.source)
    }

    fn metrics(&self) -> &ExecutionPlanMetricsSet {
        &self.metrics
    }

    fn file_type(&self) -> &str {
        match self.format {
            Format::Csv { .. } => "csv",
            Format::Json => "json",
        }
    }

    fn fmt_extra(&self, t: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (t, self.format) {
            (DisplayFormatType::TreeRender, _) => return Ok(()),
            (_, Format::Csv { delimiter }) => write!(f, ", delimiter={:?}", char::from(delimiter))?,
            (_, Format::Json) => {}
        }
        match self.can_be_cut {
            true => Ok(()),
            false => write!(f, ", whole files"),
        }
    }

    fn supports_repartitioning(&self) -> bool {
        true
    }

    /// Files that cannot be cut are dealt out whole.
    fn repartitioned(
        &self,
        partitions: usize,
        smallest: usize,
        order: Option<LexOrdering>,
        config: &FileScanConfig,
    ) -> Result<Option<FileScanConfig>> {
        let groups = if self.can_be_cut {
            FileGroupPartitioner::new()
                .with_target_partitions(partitions)
                .with_repartition_file_min_size(smallest)
                .with_preserve_order_within_groups(order.is_some())
                .repartition_file_groups(&config.file_groups)
        } else {
            let files: Vec<PartitionedFile> = config
                .file_groups
                .iter()
                .flat_map(|group| group.iter().cloned())
                .collect();
            let can_be_more = config.file_groups.len() < partitions.min(files.len());
            can_be_more.then(|| FileGroup::new(files).split_files(partitions))
        };
        Ok(groups.map(|groups| {
            let mut config = config.clone();
            config.file_groups = groups;
            config
        }))
    }

    fn try_pushdown_projection(&self, projection: &ProjectionExprs) -> Result<Option<Arc<dyn FileSource>>> {
        let projection = self.projection.source.try_merge(projection)?;
        let projection = SplitProjection::new(self.table_schema.file_schema(), &projection);
        Ok(Some(Arc::new(TextSource {
            projection,
            ..self.clone()
        })))
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        apply_expression_roots(self.projection.source.iter(), f)
    }

    fn try_to_proto(
        &self,
        base: &FileScanConfig,
        context: &ExecutionPlanEncodeCtx<'_>,
    ) -> Result<Option<protobuf::PhysicalPlanNode>> {
        let scan = TextScan {
            base: base.try_to_proto(context)?,
            delimiter: match self.format {
                Format::Csv { delimiter } => Some(delimiter),
                Format::Json => None,
            },
            can_be_cut: self.can_be_cut,
        };
        Ok(Some(scan.into_node()))
    }
}

/// Opens the files of a scan.
struct TextOpener {
    format: Format,
    store: Arc<dyn ObjectStore>,
    schema: SchemaRef,
    batch_size: usize,
}

impl FileOpener for TextOpener {
    fn open(&self, file: PartitionedFile) -> Result<FileOpenFuture> {
        let (store, schema, batch_size) = (self.store.clone(), self.schema.clone(), self.batch_size);
        Ok(match self.format {
            Format::Csv { delimiter } => {
                let wanted = Wanted {
                    schema,
                    delimiter,
                    batch_size,
                };
                csv_file::read(store, file, wanted).boxed()
            }
            Format::Json => json_file::read(store, file, schema, batch_size).boxed(),
        })
    }
}
