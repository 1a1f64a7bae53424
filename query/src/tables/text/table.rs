//! A table of text files: all of them are looked at in full, once, for what their columns are.

use super::bytes::{Packing, shown};
use super::source::{Format, TextSource};
use super::{csv_file, json_file};
use async_trait::async_trait;
use datafusion::arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::runtime::SpawnedTask;
use datafusion::common::stats::Precision;
use datafusion::common::{DataFusionError, Result, Statistics, exec_datafusion_err, exec_err};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder};
use datafusion::datasource::source::DataSourceExec;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_plan::ExecutionPlan;
use futures::{StreamExt, TryStreamExt, stream};
use object_store::{ObjectMeta, ObjectStore};
use std::sync::Arc;

/// How many files are looked at at once.
const AT_ONCE: usize = 8;

/// A table of text files.
#[derive(Debug)]
pub(crate) struct TextTable {
    url: ObjectStoreUrl,
    files: Vec<ObjectMeta>,
    format: Format,
    can_be_cut: bool,
    schema: SchemaRef,
    /// How many rows the files had when they were looked at.
    pub(crate) rows: u64,
}

impl TextTable {
    /// The table of these CSV files.
    ///
    /// # Errors
    /// If one of them cannot be read, or they do not belong together; the message names the file.
    pub(crate) async fn of_csv(
        url: ObjectStoreUrl,
        store: Arc<dyn ObjectStore>,
        files: Vec<ObjectMeta>,
    ) -> Result<TextTable> {
        let surveys = each(&files, "CSV", |file| {
            let store = store.clone();
            async move { csv_file::Survey::of(&store, &file).await }
        });
        let surveys = surveys.await?;
        let mut delimiter: Option<(u8, &ObjectMeta)> = None;
        let mut columns: Vec<(String, super::values::Looks)> = Vec::new();
        for (file, survey) in files.iter().zip(&surveys) {
            if survey.columns.len() > 1 {
                let (first, other) = *delimiter.get_or_insert((survey.delimiter, file));
                if first != survey.delimiter {
                    return exec_err!(
                        "{} has {:?} between its values and {} has {:?}; write them alike",
                        shown(&other.location),
                        char::from(first),
                        shown(&file.location),
                        char::from(survey.delimiter)
                    );
                }
            }
            let is_known = |name: &str| columns.iter().any(|(known, _)| known == name);
            let knows_any = survey.columns.iter().any(|(name, _)| is_known(name));
            if !columns.is_empty() && !survey.columns.is_empty() && !knows_any {
                return exec_err!(
                    "{} has none of the columns of the files before it, {}; its first line should name them",
                    shown(&file.location),
                    columns
                        .iter()
                        .map(|(name, _)| name.as_str())
                        .collect::<Vec<_>>()
                        .join(", ")
                );
            }
            for (name, looks) in &survey.columns {
                match columns.iter_mut().find(|(known, _)| known == name) {
                    Some((_, all)) => all.merge(looks),
                    None => columns.push((name.clone(), looks.clone())),
                }
            }
        }
        if columns.is_empty() {
            return exec_err!("{} is empty; its first line should name the columns", places(&files));
        }
        let fields: Vec<Field> = columns
            .iter()
            .map(|(name, looks)| Field::new(name, looks.data_type(), true))
            .collect();
        let delimiter = delimiter.map_or(b',', |(delimiter, _)| delimiter);
        Ok(TextTable {
            url,
            can_be_cut: surveys.iter().all(|survey| survey.can_be_cut) && all_are_plain(&files),
            rows: surveys.iter().map(|survey| survey.rows).sum(),
            files,
            format: Format::Csv { delimiter },
            schema: Arc::new(Schema::new(fields)),
        })
    }

    /// The table of these JSON files.
    ///
    /// # Errors
    /// If one of them cannot be read; the message names the file.
    pub(crate) async fn of_json(
        url: ObjectStoreUrl,
        store: Arc<dyn ObjectStore>,
        files: Vec<ObjectMeta>,
    ) -> Result<TextTable> {
        let surveys = each(&files, "JSON", |file| {
            let store = store.clone();
            async move { json_file::Survey::of(&store, &file).await }
        });
        let surveys = surveys.await?;
        let mut shape = json_file::Shape::default();
        for (file, survey) in files.iter().zip(&surveys) {
            let merged = shape.merge(&survey.shape, json_file::OBJECTS);
            merged.map_err(|error| unreadable(&shown(&file.location), "JSON", error))?;
        }
        json_file::check_columns(&shape).map_err(|error| unreadable(&places(&files), "JSON", error))?;
        Ok(TextTable {
            url,
            can_be_cut: surveys.iter().all(|survey| survey.can_be_cut) && all_are_plain(&files),
            rows: surveys.iter().map(|survey| survey.rows).sum(),
            files,
            format: Format::Json,
            schema: Arc::new(Schema::new(shape.fields())),
        })
    }
}

/// Looks at each file, some at once.
async fn each<T: Send + 'static, F>(
    files: &[ObjectMeta],
    kind: &'static str,
    look: impl Fn(ObjectMeta) -> F,
) -> Result<Vec<T>>
where
    F: Future<Output = Result<T>> + Send + 'static,
{
    let looking: Vec<_> = files
        .iter()
        .map(|file| looked(file, kind, look(file.clone())))
        .collect();
    stream::iter(looking).buffered(AT_ONCE).try_collect().await
}

async fn looked<T: Send + 'static>(
    file: &ObjectMeta,
    kind: &str,
    look: impl Future<Output = Result<T>> + Send + 'static,
) -> Result<T> {
    // A task of its own: looking takes a processor.
    let found = SpawnedTask::spawn(look).join().await;
    let found = found.map_err(|e| DataFusionError::External(Box::new(e)))?;
    found.map_err(|error| unreadable(&shown(&file.location), kind, error))
}

fn unreadable(place: &str, kind: &str, error: DataFusionError) -> DataFusionError {
    match error {
        DataFusionError::Execution(problem) if problem.starts_with(place) => DataFusionError::Execution(problem),
        DataFusionError::Execution(problem) => exec_datafusion_err!("{place} cannot be read as {kind}: {problem}"),
        error => exec_datafusion_err!("{place} cannot be read as {kind}: {}", error.strip_backtrace()),
    }
}

fn places(files: &[ObjectMeta]) -> String {
    match files {
        [file] => shown(&file.location),
        [file, ..] => format!("{} (and every other file of its table)", shown(&file.location)),
        [] => "a table".to_owned(),
    }
}

fn all_are_plain(files: &[ObjectMeta]) -> bool {
    files
        .iter()
        .all(|file| Packing::of(file.location.filename().unwrap_or_default()).0 == Packing::Plain)
}

#[async_trait]
impl TableProvider for TextTable {
    fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let source = TextSource::new(self.format, self.can_be_cut, self.schema.clone().into());
        let files = self.files.iter().cloned().map(PartitionedFile::new_from_meta);
        let groups = FileGroup::new(files.collect()).split_files(state.config_options().execution.target_partitions);
        let mut statistics = Statistics::new_unknown(&self.schema);
        statistics.num_rows = Precision::Inexact(self.rows as usize);
        let config = FileScanConfigBuilder::new(self.url.clone(), Arc::new(source))
            .with_file_groups(groups)
            .with_statistics(statistics)
            .with_projection_indices(projection.cloned())?
            .with_limit(limit)
            .build();
        Ok(DataSourceExec::from_data_source(config))
    }
}
