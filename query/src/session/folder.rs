//! Folders of data as tables.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

use datafusion::arrow::datatypes::{Schema, SchemaRef};
use datafusion::common::TableReference;
use datafusion::datasource::listing::{ListingOptions, ListingTable, ListingTableConfig, ListingTableUrl};
use datafusion::datasource::physical_plan::parquet::metadata::DFParquetMetadata;
use datafusion::execution::options::{CsvReadOptions, JsonReadOptions, ParquetReadOptions, ReadOptions};
use datafusion::parquet::file::reader::{FileReader, SerializedFileReader};
use datafusion::prelude::SessionContext;
use futures::{StreamExt, TryStreamExt, stream};
use kappa::store::S3Place;

use super::Session;
use super::plain::plain;
use super::s3::{self, Objects};
use crate::error::{QueryError, Result, innermost_message};

impl Session {
    /// Makes every Parquet, CSV and JSON file of `folder`, and every sub-folder of such files, a table named after it,
    /// and returns the names. Names that start with `.` or `_`, and other kinds of files, are passed over.
    ///
    /// The folder may be in S3: `s3://BUCKET[/PATH][?endpoint=URL]`.
    ///
    /// # Errors
    /// If the folder is missing or holds no data, two files claim one name, a sub-folder mixes kinds, or a file cannot
    /// be read; the message names the file.
    pub async fn register_folder(&self, folder: impl AsRef<Path>) -> Result<Vec<String>> {
        let folder = folder.as_ref();
        let (place, folder) = match folder.to_str().filter(|url| url.starts_with(s3::SCHEME)) {
            Some(url) => {
                let place = S3Place::parse(url)?;
                self.add_bucket(&place)?;
                let (objects, folder) = Objects::list(&place).await?;
                (Place::S3(objects), folder)
            }
            None => (Place::Here, folder.to_owned()),
        };
        let tables = find_tables(&place, &folder)?;
        for (name, source) in &tables {
            self.register_files(&place, name, source).await?;
        }
        Ok(tables.into_keys().collect())
    }

    /// Lets this session, and those that workers make like it, read from a bucket.
    fn add_bucket(&self, place: &S3Place) -> Result<()> {
        // Workers elsewhere have other surroundings.
        let endpoint = s3::endpoint_of(place)?;
        let mut buckets = self.buckets.lock();
        if let Some(other) = buckets.get(&place.bucket)
            && *other != endpoint
        {
            let bucket = format!("{}{}", s3::SCHEME, place.bucket);
            return Err(QueryError::data(
                bucket,
                "is named with two different endpoints; name it with one",
            ));
        }
        s3::register(&self.context.runtime_env(), &place.bucket, endpoint.as_deref())?;
        buckets.insert(place.bucket.clone(), endpoint);
        Ok(())
    }

    async fn register_files(&self, place: &Place, name: &str, source: &Source) -> Result<()> {
        let mut options = source.kind.listing_options(&self.context);
        if source.kind == Kind::Csv && place.holds_quoted_line_breaks(&source.files).await? {
            let csv = CsvReadOptions::default().newlines_in_values(true);
            options = csv
                .to_listing_options(&self.context.copied_config(), self.context.copied_table_options())
                .with_file_extension("");
        }
        let looking = source
            .files
            .iter()
            .map(|file| self.schema_of(place, file, source.kind, &options));
        let found: Vec<_> = stream::iter(looking).buffered(AT_ONCE).try_collect().await?;
        let mut urls = Vec::with_capacity(source.files.len());
        let mut schema = Schema::empty();
        let mut all_rows = 0.0;
        for (file, (url, found, rows)) in source.files.iter().zip(found) {
            let merged = Schema::try_merge([schema, plain(&without_metadata(&found))]);
            schema = merged.map_err(|e| source.kind.unreadable(file, &e.to_string()))?;
            urls.push(url);
            all_rows += rows;
        }
        let config = ListingTableConfig::new_with_multi_paths(urls)
            .with_listing_options(options)
            .with_schema(Arc::new(schema));
        let table = ListingTable::try_new(config)?
            .with_cache(self.context.runtime_env().cache_manager.get_file_statistic_cache());
        self.context
            .register_table(TableReference::bare(name), Arc::new(table))?;
        self.row_counts.set(name, all_rows);
        Ok(())
    }

    /// A file's URL, its columns, and about how many rows it has.
    async fn schema_of(
        &self,
        place: &Place,
        file: &Path,
        kind: Kind,
        options: &ListingOptions,
    ) -> Result<(ListingTableUrl, SchemaRef, f64)> {
        let url = place.url(file)?;
        let found = options.infer_schema(&self.context.state(), &url).await;
        let found = found.map_err(|e| kind.unreadable(file, &innermost_message(&e)))?;
        if found.fields().is_empty() {
            return Err(kind.unreadable(file, "it has no columns"));
        }
        let rows = place.row_count(&self.context, kind, file).await;
        Ok((url, found, rows))
    }
}

/// How many files are looked at at once.
const AT_ONCE: usize = 8;

/// Something in a folder.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) path: PathBuf,
    pub(super) is_folder: bool,
}

/// Where the folders are.
enum Place {
    Here,
    S3(Objects),
}

impl Place {
    /// What is in a folder and not hidden, sorted.
    fn visible_entries(&self, folder: &Path) -> Result<Vec<Entry>> {
        let mut entries = match self {
            Place::Here => entries_here(folder)?,
            Place::S3(objects) => objects.entries(folder),
        };
        entries.retain(|entry| {
            let name = entry.path.file_name().unwrap_or_default().to_string_lossy();
            !name.starts_with(['.', '_'])
        });
        Ok(entries)
    }

    /// The URL of exactly this file, whatever characters its name has (a path would be read as a pattern).
    fn url(&self, file: &Path) -> Result<ListingTableUrl> {
        let unusable = |problem: String| QueryError::data(file, format!("its path cannot be used: {problem}"));
        let path = match self {
            Place::Here => std::fs::canonicalize(file).map_err(|e| unusable(e.to_string()))?,
            Place::S3(_) => file.to_owned(),
        };
        let path = path.to_str().ok_or_else(|| unusable("it is not Unicode".to_owned()))?;
        let (scheme, path) = match path.strip_prefix(s3::SCHEME) {
            Some(path) if matches!(self, Place::S3(_)) => (s3::SCHEME, path),
            _ => ("file://", path),
        };
        let mut url = scheme.to_owned();
        for byte in path.bytes() {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'-' | b'.' | b'_' | b'~' => {
                    url.push(char::from(byte))
                }
                _ => url.push_str(&format!("%{byte:02X}")),
            }
        }
        ListingTableUrl::parse(url).map_err(|e| unusable(innermost_message(&e)))
    }

    /// How many rows a file has: exactly if it says so, else a guess from its size.
    async fn row_count(&self, context: &SessionContext, kind: Kind, file: &Path) -> f64 {
        const BYTES_PER_LINE: f64 = 100.0;
        let (counted, bytes) = match self {
            Place::Here => {
                let counted = match (kind, File::open(file)) {
                    (Kind::Parquet, Ok(file)) => SerializedFileReader::new(file)
                        .map(|reader| reader.metadata().file_metadata().num_rows())
                        .ok(),
                    _ => None,
                };
                (counted, std::fs::metadata(file).map_or(0, |metadata| metadata.len()))
            }
            Place::S3(objects) => {
                let Ok(object) = objects.object(file) else { return 0.0 };
                let cache = context.runtime_env().cache_manager.get_file_metadata_cache();
                let metadata = DFParquetMetadata::new(objects.store(), object).with_file_metadata_cache(Some(cache));
                let counted = match kind {
                    // It was read for its columns, so this is in memory.
                    Kind::Parquet => metadata.fetch_metadata().await.ok(),
                    _ => None,
                };
                (counted.map(|metadata| metadata.file_metadata().num_rows()), object.size)
            }
        };
        counted.map_or(bytes as f64 / BYTES_PER_LINE, |rows| rows as f64)
    }

    /// Whether a line break stands in a quoted value: such a file cannot be cut at line breaks, so it is read in one piece.
    async fn holds_quoted_line_breaks(&self, files: &[PathBuf]) -> Result<bool> {
        for file in files {
            let mut quotes = Quotes::default();
            let is_held = match self {
                Place::Here => quotes.hold_line_break_here(file)?,
                Place::S3(objects) => {
                    let unreadable =
                        |e: object_store::Error| QueryError::data(file, format!("cannot be read: {}", s3::said(&e)));
                    let location = &objects.object(file)?.location;
                    let mut parts = object_store::ObjectStoreExt::get(objects.store(), location)
                        .await
                        .map_err(unreadable)?
                        .into_stream();
                    let mut is_held = false;
                    while let Some(part) = parts.try_next().await.map_err(unreadable)? {
                        let part: Bytes = part;
                        if quotes.hold_line_break(&part) {
                            is_held = true;
                            break;
                        }
                    }
                    is_held
                }
            };
            if is_held {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// The formats a table can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Parquet,
    Csv,
    Json,
}

impl Kind {
    fn of(file: &Path) -> Option<Kind> {
        match file.extension()?.to_str()? {
            "parquet" => Some(Kind::Parquet),
            "csv" => Some(Kind::Csv),
            "json" | "jsonl" | "ndjson" => Some(Kind::Json),
            _ => None,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Kind::Parquet => "Parquet",
            Kind::Csv => "CSV",
            Kind::Json => "JSON (one object per line)",
        }
    }

    fn unreadable(self, file: &Path, problem: &str) -> QueryError {
        QueryError::data(
            file,
            format!("cannot be read as {}: {problem}; repair or remove it", self.name()),
        )
    }

    fn listing_options(self, context: &SessionContext) -> ListingOptions {
        let (config, table_options) = (context.copied_config(), context.copied_table_options());
        match self {
            Kind::Parquet => ParquetReadOptions::default().to_listing_options(&config, table_options),
            Kind::Csv => CsvReadOptions::default().to_listing_options(&config, table_options),
            Kind::Json => JsonReadOptions::default().to_listing_options(&config, table_options),
        }
        // Files are named one by one, and `.jsonl` is JSON too.
        .with_file_extension("")
    }
}

/// What a table is read from.
#[derive(Debug)]
struct Source {
    kind: Kind,
    /// Sorted by name: the same folder gives the same plan.
    files: Vec<PathBuf>,
    /// What the table is named after, for messages.
    origin: PathBuf,
}

fn find_tables(place: &Place, folder: &Path) -> Result<BTreeMap<String, Source>> {
    let mut tables: BTreeMap<String, Source> = BTreeMap::new();
    for Entry { path, is_folder } in place.visible_entries(folder)? {
        let source = if is_folder {
            source_of_folder(place, &path)?
        } else {
            source_of_file(&path)
        };
        let Some(source) = source else { continue };
        let Some(name) = path.file_stem().and_then(|stem| stem.to_str()) else {
            return Err(QueryError::data(
                path,
                "its name is not Unicode, so it cannot be a table's; rename it",
            ));
        };
        if let Some(other) = tables.get(name) {
            let problem = format!(
                "{} would be the table {name:?} too; rename one of them",
                other.origin.display()
            );
            return Err(QueryError::data(path, problem));
        }
        tables.insert(name.to_owned(), source);
    }
    if tables.is_empty() {
        return Err(QueryError::data(
            folder,
            "holds no .parquet, .csv, .json, .jsonl or .ndjson file and no folder of such files",
        ));
    }
    Ok(tables)
}

fn source_of_file(path: &Path) -> Option<Source> {
    let kind = Kind::of(path)?;
    Some(Source {
        kind,
        files: vec![path.to_owned()],
        origin: path.to_owned(),
    })
}

fn source_of_folder(place: &Place, folder: &Path) -> Result<Option<Source>> {
    let mut source: Option<Source> = None;
    for Entry { path: file, is_folder } in place.visible_entries(folder)? {
        if is_folder {
            refuse_data_below(place, &file)?;
            continue;
        }
        let Some(kind) = Kind::of(&file) else {
            continue;
        };
        let source = source.get_or_insert_with(|| Source {
            kind,
            files: vec![],
            origin: folder.to_owned(),
        });
        if source.kind != kind {
            let problem = format!(
                "is {}, but other files of its folder are {}",
                kind.name(),
                source.kind.name()
            );
            return Err(QueryError::data(file, problem));
        }
        source.files.push(file);
    }
    Ok(source)
}

/// Data in a folder of a table's folder would be passed over silently: a table in partitions, for example.
fn refuse_data_below(place: &Place, folder: &Path) -> Result<()> {
    let entries = place.visible_entries(folder)?;
    match entries.iter().any(|entry| Kind::of(&entry.path).is_some()) {
        true => Err(QueryError::data(
            folder,
            "is a folder of data inside a table's folder, and only files directly in that are read; move them there, or give its parent to --data",
        )),
        false => Ok(()),
    }
}

/// Where in a CSV file a reader is.
#[derive(Default)]
struct Quotes {
    is_open: bool,
}

impl Quotes {
    /// Whether a line break stands in a quoted value of this part, the next one of the file.
    fn hold_line_break(&mut self, part: &[u8]) -> bool {
        // A doubled quote inside a value ends it and begins it again, with nothing in between.
        for byte in part {
            match byte {
                b'"' => self.is_open = !self.is_open,
                b'\n' | b'\r' if self.is_open => return true,
                _ => {}
            }
        }
        false
    }

    fn hold_line_break_here(&mut self, file: &Path) -> Result<bool> {
        let unreadable = |problem: std::io::Error| QueryError::data(file, format!("cannot be read: {problem}"));
        let mut reader = BufReader::with_capacity(1 << 20, File::open(file).map_err(unreadable)?);
        loop {
            let part = reader.fill_buf().map_err(unreadable)?;
            let length = part.len();
            if length == 0 {
                return Ok(false);
            }
            if self.hold_line_break(part) {
                return Ok(true);
            }
            reader.consume(length);
        }
    }
}

/// The entries of a folder of this machine, sorted.
fn entries_here(folder: &Path) -> Result<Vec<Entry>> {
    let problem = |e: std::io::Error| match e.kind() {
        std::io::ErrorKind::NotFound => QueryError::data(folder, "there is no such folder"),
        std::io::ErrorKind::NotADirectory => QueryError::data(folder, "is a file; give the folder it is in"),
        _ => QueryError::data(folder, format!("cannot be listed: {e}")),
    };
    let mut entries = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(problem)? {
        let path = entry.map_err(problem)?.path();
        let is_folder = path.is_dir();
        entries.push(Entry { path, is_folder });
    }
    entries.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(entries)
}

/// Writers put what they like into a file's metadata; files that differ only there belong together.
fn without_metadata(schema: &SchemaRef) -> Schema {
    Schema::new(schema.fields().clone())
}
