//! The bytes of scans of files.
//!
//! DataFusion's message for a scan leaves out, without a word, how the files are compressed, what ends a line of CSV, whether JSON is one
//! array, that limits keep the order of files, and the e-tags of files. Here its message is kept, and those are written beside it. What
//! nobody can write (a reader of the user's own, whatever is attached to a file) is refused by name.

use std::fmt::{Debug, Write};
use std::sync::Arc;

use datafusion::common::parsers::CompressionTypeVariant;
use datafusion::common::{Result, plan_err};
use datafusion::datasource::file_format::file_compression_type::FileCompressionType;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{
    CsvSource, FileGroup, FileScanConfig, FileScanConfigBuilder, FileSource, JsonSource, ParquetSource,
};
use datafusion::datasource::source::DataSourceExec;
use datafusion::physical_plan::ExecutionPlan;
use datafusion_proto::protobuf;
use datafusion_proto::protobuf::physical_plan_node::PhysicalPlanType;
use object_store::memory::InMemory;

use super::wire::{FileTags, Scan};

/// The scan of files that a node is.
pub(crate) fn file_scan(plan: &Arc<dyn ExecutionPlan>) -> Option<&FileScanConfig> {
    plan.downcast_ref::<DataSourceExec>()?.data_source().downcast_ref()
}

/// The message for a scan of files, of which DataFusion has made `node`.
pub(super) fn to_wire(config: &FileScanConfig, node: protobuf::PhysicalPlanNode) -> Result<Scan> {
    // A source of ours has a message of ours, which holds all of it.
    let is_ours = matches!(node.physical_plan_type, Some(PhysicalPlanType::Extension(_)));
    check(config, is_ours)?;
    let source = config.file_source();
    let csv = source.downcast_ref::<CsvSource>();
    let files = config.file_groups.iter().flat_map(FileGroup::iter);
    Ok(Scan {
        node: Some(node),
        compression: config.file_compression_type.get_variant().to_string(),
        preserve_order: config.preserve_order,
        terminator: csv.and_then(CsvSource::terminator).map(u32::from),
        is_json_array: is_json_array(config)?,
        tags: files.map(tags_of).collect(),
    })
}

/// The scan that [`to_wire`] has written; `plan` is what DataFusion has read from its message.
pub(super) fn from_wire(scan: &Scan, plan: &Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
    let Some(config) = file_scan(plan) else {
        return plan_err!("the message of a scan holds {}", plan.name());
    };
    let Scan {
        node: _,
        compression,
        preserve_order,
        terminator,
        is_json_array,
        tags,
    } = scan;
    let source = with_lines(config.file_source(), *terminator, *is_json_array)?;
    let mut tags = tags.iter();
    let mut groups = Vec::with_capacity(config.file_groups.len());
    for group in &config.file_groups {
        let mut files = group.files().to_vec();
        for file in &mut files {
            let Some(FileTags { e_tag, version }) = tags.next() else {
                return plan_err!("a scan without the e-tags of its files");
            };
            file.object_meta.e_tag.clone_from(e_tag);
            file.object_meta.version.clone_from(version);
        }
        groups.push(FileGroup::new(files));
    }
    let compression: CompressionTypeVariant = compression.parse()?;
    let config = FileScanConfigBuilder::from(config.clone())
        .with_source(source)
        .with_file_groups(groups)
        .with_file_compression_type(FileCompressionType::from(compression))
        .with_preserve_order(*preserve_order)
        .build();
    Ok(DataSourceExec::from_data_source(config))
}

fn tags_of(file: &PartitionedFile) -> FileTags {
    FileTags {
        e_tag: file.object_meta.e_tag.clone(),
        version: file.object_meta.version.clone(),
    }
}

fn with_lines(
    source: &Arc<dyn FileSource>,
    terminator: Option<u32>,
    is_json_array: bool,
) -> Result<Arc<dyn FileSource>> {
    if let Some(csv) = source.downcast_ref::<CsvSource>() {
        let Ok(terminator) = terminator.map(u8::try_from).transpose() else {
            return plan_err!("{terminator:?} is no byte that ends a line");
        };
        return Ok(Arc::new(csv.with_terminator(terminator)));
    }
    if let Some(json) = source.downcast_ref::<JsonSource>() {
        return Ok(Arc::new(json.clone().with_newline_delimited(!is_json_array)));
    }
    Ok(Arc::clone(source))
}

/// The source does not tell; but what opens its files refuses to read a part of an array.
pub(super) fn is_json_array(config: &FileScanConfig) -> Result<bool> {
    if !config.file_source().is::<JsonSource>() {
        return Ok(false);
    }
    let source = config.file_source().with_batch_size(1);
    let opener = source.create_file_opener(Arc::new(InMemory::new()), config, 0)?;
    let part = PartitionedFile::new("part", 2).with_range(0, 1);
    Ok(opener.open(part).is_err())
}

/// Whether a value's debug output, which may be long, begins so.
fn begins_with(value: &dyn Debug, start: &str) -> bool {
    struct Beginning<'a>(&'a str);
    impl Write for Beginning<'_> {
        fn write_str(&mut self, text: &str) -> std::fmt::Result {
            let common = self.0.len().min(text.len());
            match self.0.as_bytes()[..common] == text.as_bytes()[..common] && common < self.0.len() {
                true => {
                    self.0 = &self.0[common..];
                    Ok(())
                }
                false => {
                    if self.0.as_bytes()[..common] == text.as_bytes()[..common] {
                        self.0 = "";
                    }
                    Err(std::fmt::Error)
                }
            }
        }
    }
    let mut beginning = Beginning(start);
    let _ = write!(beginning, "{value:?}");
    beginning.0.is_empty()
}

/// Refuses what has no serialised form.
fn check(config: &FileScanConfig, is_ours: bool) -> Result<()> {
    let refused = |what: &str| plan_err!("{what} of a scan has no serialised form");
    if config.expr_adapter_factory.is_some() {
        return refused("an adapter of columns of the user's own");
    }
    let source = config.file_source();
    if !(is_ours || source.is::<CsvSource>() || source.is::<JsonSource>() || source.is::<ParquetSource>()) {
        return refused("files of another format than Parquet, CSV and JSON");
    }
    if let Some(parquet) = source.downcast_ref::<ParquetSource>() {
        if let Some(factory) = parquet.parquet_file_reader_factory()
            && !begins_with(factory, "CachedParquetFileReaderFactory {")
        {
            return refused("a reader of Parquet files of the user's own");
        }
        // These have no getters, but are the last fields of what the structure derives for its debug output.
        if !format!("{parquet:?}").ends_with(", reverse_row_groups: false, sort_order_for_reorder: None }") {
            return refused("reading row groups in another order");
        }
    }
    if !config.file_source().table_schema().virtual_columns().is_empty() {
        return refused("a virtual column");
    }
    for file in config.file_groups.iter().flat_map(FileGroup::iter) {
        // A field that is added must be written, or refused, here.
        let PartitionedFile {
            object_meta: _,
            partition_values: _,
            range: _,
            // Only for planning.
            statistics: _,
            ordering: _,
            extensions,
            // Only hints.
            metadata_size_hint: _,
            table_reference: _,
            arrow_schema: _,
        } = file;
        if !extensions.is_empty() {
            return refused("what is attached to a file");
        }
    }
    Ok(())
}
