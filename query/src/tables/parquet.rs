//! Parquet files as tables: columns by name, each of a type that has the values of all files.

use super::find::Source;
use super::place::Place;
use super::plain::plain;
use super::widen::widened;
use crate::error::{QueryError, Result, innermost_message};
use datafusion::arrow::datatypes::{Field, FieldRef, Schema, SchemaRef};
use datafusion::catalog::TableProvider;
use datafusion::datasource::listing::{ListingOptions, ListingTable, ListingTableConfig, ListingTableUrl};
use datafusion::datasource::physical_plan::parquet::metadata::DFParquetMetadata;
use datafusion::execution::SessionState;
use datafusion::execution::options::{ParquetReadOptions, ReadOptions};
use datafusion::parquet::schema::types::Type;
use futures::{StreamExt, TryStreamExt, stream};
use object_store::{ObjectMeta, ObjectStore};
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How many files are looked at at once.
const AT_ONCE: usize = 8;

/// The table, and how many rows it has.
pub(super) async fn load(
    state: &SessionState,
    place: &Place,
    store: &Arc<dyn ObjectStore>,
    source: &Source,
    objects: &[ObjectMeta],
) -> Result<(Arc<dyn TableProvider>, f64)> {
    let options = ParquetReadOptions::default()
        .to_listing_options(state.config(), state.default_table_options())
        // Files are named one by one.
        .with_file_extension("");
    let looking = source.files.iter().zip(objects);
    let looking: Vec<_> = looking
        .map(|(file, object)| look(state, place, store, &options, file, object))
        .collect();
    let found: Vec<_> = stream::iter(looking).buffered(AT_ONCE).try_collect().await?;
    let mut columns = Columns::default();
    let mut rows = 0.0;
    let mut urls = Vec::with_capacity(found.len());
    for (file, (url, schema, count)) in source.files.iter().zip(found) {
        for field in plain(&schema).fields() {
            columns.add(file, field)?;
        }
        urls.push(url);
        rows += count as f64;
    }
    let config = ListingTableConfig::new_with_multi_paths(urls)
        .with_listing_options(options)
        .with_schema(Arc::new(columns.schema()));
    let table = ListingTable::try_new(config)?.with_cache(state.runtime_env().cache_manager.get_file_statistic_cache());
    Ok((Arc::new(table), rows))
}

/// A file's URL, its columns, and how many rows it has.
async fn look(
    state: &SessionState,
    place: &Place,
    store: &Arc<dyn ObjectStore>,
    options: &ListingOptions,
    file: &Path,
    object: &ObjectMeta,
) -> Result<(ListingTableUrl, SchemaRef, i64)> {
    let url = place.url(file)?;
    let found = options.infer_schema(state, &url).await;
    let found = found.map_err(|e| unreadable(file, &innermost_message(&e)))?;
    if found.fields().is_empty() {
        return Err(unreadable(file, "it has no columns"));
    }
    let cache = state.runtime_env().cache_manager.get_file_metadata_cache();
    let metadata = DFParquetMetadata::new(store, object).with_file_metadata_cache(Some(cache));
    // It was read for its columns, so this is in memory.
    let metadata = metadata.fetch_metadata().await;
    let metadata = metadata.map_err(|e| unreadable(file, &innermost_message(&e)))?;
    if let Some(name) = twice(metadata.file_metadata().schema_descr().root_schema()) {
        let problem = format!("it has two columns {name:?}, and one would take the place of the other");
        return Err(unreadable(file, &problem));
    }
    Ok((url, found, metadata.file_metadata().num_rows()))
}

/// A name that two columns have, or two fields of one column.
fn twice(group: &Type) -> Option<&str> {
    if !group.is_group() {
        return None;
    }
    let mut names = HashSet::new();
    group
        .get_fields()
        .iter()
        .find_map(|field| match names.insert(field.name()) {
            true => twice(field),
            false => Some(field.name()),
        })
}

fn unreadable(file: &Path, problem: &str) -> QueryError {
    QueryError::data(
        file,
        format!("cannot be read as Parquet: {problem}; repair or remove it"),
    )
}

/// The columns of all files, and the file that each comes from first.
#[derive(Default)]
struct Columns(Vec<(FieldRef, PathBuf)>);

impl Columns {
    fn add(&mut self, file: &Path, field: &FieldRef) -> Result<()> {
        // Writers put what they like into a column's metadata; files that differ only there belong together. A column that
        // another file lacks is NULL there.
        let field = Field::new(field.name(), field.data_type().clone(), true);
        let Some((known, first)) = self.0.iter_mut().find(|(known, _)| known.name() == field.name()) else {
            self.0.push((Arc::new(field), file.to_owned()));
            return Ok(());
        };
        let Some(data_type) = widened(known.data_type(), field.data_type()) else {
            let problem = format!(
                "its column {:?} is {}, but in {} it is {}; there is no type that has the values of both, write them alike",
                field.name(),
                field.data_type(),
                first.display(),
                known.data_type()
            );
            return Err(QueryError::data(file, problem));
        };
        *known = Arc::new(field.with_data_type(data_type));
        Ok(())
    }

    fn schema(&self) -> Schema {
        let fields: Vec<FieldRef> = self.0.iter().map(|(field, _)| field.clone()).collect();
        Schema::new(fields)
    }
}
