//! Folders of data as tables.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use datafusion::arrow::datatypes::{Schema, SchemaRef};
use datafusion::common::TableReference;
use datafusion::datasource::listing::{ListingOptions, ListingTable, ListingTableConfig, ListingTableUrl};
use datafusion::execution::options::{CsvReadOptions, JsonReadOptions, ParquetReadOptions, ReadOptions};
use datafusion::parquet::file::reader::{FileReader, SerializedFileReader};
use datafusion::prelude::SessionContext;

use super::Session;
use crate::error::{QueryError, Result};

impl Session {
    /// Makes every Parquet, CSV and JSON file of `folder`, and every sub-folder of such files, a table named after it,
    /// and returns the names. Names that start with `.` or `_`, and other kinds of files, are passed over.
    ///
    /// # Errors
    /// If the folder is missing or holds no data, two files claim one name, a sub-folder mixes kinds, or a file cannot
    /// be read; the message names the file.
    pub async fn register_folder(&self, folder: impl AsRef<Path>) -> Result<Vec<String>> {
        let tables = find_tables(folder.as_ref())?;
        for (name, source) in &tables {
            self.register_files(name, source).await?;
        }
        Ok(tables.into_keys().collect())
    }

    async fn register_files(&self, name: &str, source: &Source) -> Result<()> {
        let state = self.context.state();
        let mut options = source.kind.listing_options(&self.context);
        if source.kind == Kind::Csv && holds_quoted_line_breaks(&source.files)? {
            let csv = CsvReadOptions::default().newlines_in_values(true);
            options = csv
                .to_listing_options(&self.context.copied_config(), self.context.copied_table_options())
                .with_file_extension("");
        }
        let mut urls = Vec::with_capacity(source.files.len());
        let mut schema = Schema::empty();
        for file in &source.files {
            let unreadable = |problem: String| {
                QueryError::data(
                    file,
                    format!(
                        "cannot be read as {}: {problem}; repair or remove it",
                        source.kind.name()
                    ),
                )
            };
            let url = file_url(file)?;
            let found = options
                .infer_schema(&state, &url)
                .await
                .map_err(|e| unreadable(innermost(&e)))?;
            if found.fields().is_empty() {
                return Err(unreadable("it has no columns".into()));
            }
            schema = Schema::try_merge([schema, without_metadata(&found)]).map_err(|e| unreadable(e.to_string()))?;
            urls.push(url);
        }
        let config = ListingTableConfig::new_with_multi_paths(urls)
            .with_listing_options(options)
            .with_schema(Arc::new(schema));
        let table = ListingTable::try_new(config)?
            .with_cache(self.context.runtime_env().cache_manager.get_file_statistic_cache());
        self.context
            .register_table(TableReference::bare(name), Arc::new(table))?;
        self.row_counts
            .set(name, source.files.iter().map(|file| source.kind.row_count(file)).sum());
        Ok(())
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

    /// How many rows a file has: exactly if it says so, else a guess from its size.
    fn row_count(self, file: &Path) -> f64 {
        const BYTES_PER_LINE: f64 = 100.0;
        let counted = match (self, std::fs::File::open(file)) {
            (Kind::Parquet, Ok(file)) => SerializedFileReader::new(file)
                .map(|r| r.metadata().file_metadata().num_rows())
                .ok(),
            _ => None,
        };
        match counted {
            Some(rows) => rows as f64,
            None => std::fs::metadata(file).map_or(0.0, |metadata| metadata.len() as f64 / BYTES_PER_LINE),
        }
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

fn find_tables(folder: &Path) -> Result<BTreeMap<String, Source>> {
    let mut tables: BTreeMap<String, Source> = BTreeMap::new();
    for path in visible_entries(folder)? {
        let source = if path.is_dir() {
            source_of_folder(&path)?
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

fn source_of_folder(folder: &Path) -> Result<Option<Source>> {
    let mut source: Option<Source> = None;
    for file in visible_entries(folder)? {
        if file.is_dir() {
            refuse_data_below(&file)?;
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
fn refuse_data_below(folder: &Path) -> Result<()> {
    match visible_entries(folder)?.iter().any(|entry| Kind::of(entry).is_some()) {
        true => Err(QueryError::data(
            folder,
            "is a folder of data inside a table's folder, and only files directly in that are read; move them there, or give its parent to --data",
        )),
        false => Ok(()),
    }
}

/// Whether a line break stands in a quoted value: such a file cannot be cut at line breaks, so it is read in one piece.
fn holds_quoted_line_breaks(files: &[PathBuf]) -> Result<bool> {
    for file in files {
        let unreadable = |problem: std::io::Error| QueryError::data(file, format!("cannot be read: {problem}"));
        let mut reader = BufReader::with_capacity(1 << 20, File::open(file).map_err(unreadable)?);
        let mut is_quoted = false;
        loop {
            let part = reader.fill_buf().map_err(unreadable)?;
            let length = part.len();
            if length == 0 {
                break;
            }
            // A doubled quote inside a value ends it and begins it again, with nothing in between.
            for byte in part {
                match byte {
                    b'"' => is_quoted = !is_quoted,
                    b'\n' | b'\r' if is_quoted => return Ok(true),
                    _ => {}
                }
            }
            reader.consume(length);
        }
    }
    Ok(false)
}

/// The entries of a folder that are not hidden, sorted.
fn visible_entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let problem = |e: std::io::Error| match e.kind() {
        std::io::ErrorKind::NotFound => QueryError::data(folder, "there is no such folder"),
        std::io::ErrorKind::NotADirectory => QueryError::data(folder, "is a file; give the folder it is in"),
        _ => QueryError::data(folder, format!("cannot be listed: {e}")),
    };
    let mut entries = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(problem)? {
        let path = entry.map_err(problem)?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if !name.starts_with(['.', '_']) {
            entries.push(path);
        }
    }
    entries.sort();
    Ok(entries)
}

/// The URL of exactly this file, whatever characters its name has (a path would be read as a pattern).
fn file_url(file: &Path) -> Result<ListingTableUrl> {
    let unusable = |problem: String| QueryError::data(file, format!("its path cannot be used: {problem}"));
    let path = std::fs::canonicalize(file).map_err(|e| unusable(e.to_string()))?;
    let path = path.to_str().ok_or_else(|| unusable("it is not Unicode".to_owned()))?;
    let mut url = "file://".to_owned();
    for byte in path.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'-' | b'.' | b'_' | b'~' => url.push(char::from(byte)),
            _ => url.push_str(&format!("%{byte:02X}")),
        }
    }
    ListingTableUrl::parse(url).map_err(|e| unusable(innermost(&e)))
}

/// Writers put what they like into a file's metadata; files that differ only there belong together.
fn without_metadata(schema: &SchemaRef) -> Schema {
    Schema::new(schema.fields().clone())
}

fn innermost(error: &datafusion::error::DataFusionError) -> String {
    error.find_root().strip_backtrace()
}
