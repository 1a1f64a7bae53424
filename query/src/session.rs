//! The session: tables, settings and memory, the same on the driver and on every worker.
//!
//! A plan is made by one process and run by many. What a fragment does depends on the settings it runs with, so there is
//! one function that makes them, [`session_config`], and everybody uses it. Workers register no tables: fragments name
//! their files.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use datafusion::arrow::datatypes::{Schema, SchemaRef};
use datafusion::common::TableReference;
use datafusion::datasource::listing::{ListingOptions, ListingTable, ListingTableConfig, ListingTableUrl};
use datafusion::execution::memory_pool::{FairSpillPool, TrackConsumersPool};
use datafusion::execution::options::{CsvReadOptions, JsonReadOptions, ParquetReadOptions, ReadOptions};
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::execution::{SessionStateBuilder, TaskContext};
use datafusion::optimizer::{Optimizer, OptimizerRule};
use datafusion::parquet::file::reader::{FileReader, SerializedFileReader};
use datafusion::physical_optimizer::optimizer::PhysicalOptimizer;
use datafusion::prelude::{SessionConfig, SessionContext};
use serde::{Deserialize, Serialize};

use crate::error::{QueryError, Result};
use crate::planner::{JoinOrder, RowCounts};

/// What a session can be told. Travels with the run, so that every process makes the same session.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SessionOptions {
    /// Into how many hash partitions rows are split at a shuffle; at least 1.
    pub partitions: usize,
    /// How many bytes of a file one unit of a scan reads, about. Whole row groups are read by one unit.
    pub scan_unit_bytes: u64,
    /// How many bytes sorts, aggregates and joins of one process may hold. What does not fit is spilled to disk, or
    /// fails with the numbers if the operator cannot spill.
    pub memory: usize,
    /// Where spilled data goes; the system's folder for temporary files if `None`.
    pub spill_folder: Option<PathBuf>,
}

impl Default for SessionOptions {
    fn default() -> Self {
        Self {
            partitions: 8,
            scan_unit_bytes: 16 << 20,
            memory: 1 << 30,
            spill_folder: None,
        }
    }
}

/// The settings that planning and running depend on.
///
/// Each line that differs from DataFusion's default is there because an operator would otherwise look across partitions,
/// or because of what it costs at a shuffle; the letters name the entries of the project's list of traps.
pub fn session_config(options: &SessionOptions) -> SessionConfig {
    let mut config = SessionConfig::new()
        .with_target_partitions(options.partitions.max(1))
        .with_information_schema(false)
        .with_default_catalog_and_schema("kappa", "public");
    let settings = config.options_mut();

    // q01: a lone partition would read the files of all its siblings.
    settings.execution.enable_file_stream_work_stealing = false;
    // q15: string views drag whole buffers through a shuffle.
    settings.execution.parquet.schema_force_view_types = false;
    settings.sql_parser.map_string_types_to_utf8view = false;
    // The planner asks for one scan unit per so many bytes; a stage decides how many run at once.
    settings.execution.planning_concurrency = 1;

    let optimizer = &mut settings.optimizer;
    // q03: dynamic filters wait for all partitions of a plan instance.
    optimizer.enable_dynamic_filter_pushdown = false;
    optimizer.enable_topk_dynamic_filter_pushdown = false;
    optimizer.enable_join_dynamic_filter_pushdown = false;
    optimizer.enable_aggregate_dynamic_filter_pushdown = false;
    // q16: scalar subqueries stay subqueries, and so stays the error for more than one row.
    optimizer.enable_physical_uncorrelated_scalar_subquery = true;
    // A round robin between a scan and its first exchange is a shuffle that gains nothing.
    optimizer.enable_round_robin_repartition = false;
    // q06: a shuffle that keeps the order of its input needs a merge in every reader; a sort does as well.
    optimizer.prefer_existing_sort = false;
    optimizer.prefer_existing_union = false;
    // q20: no serialised form.
    optimizer.enable_piecewise_merge_join = false;
    optimizer.enable_window_topn = false;
    // Rearranges files by their statistics, and says so only in state that is not serialised.
    optimizer.enable_sort_pushdown = false;
    optimizer.preserve_file_partitions = 0;
    config
}

/// A session.
#[derive(Clone)]
pub struct Session {
    context: SessionContext,
    options: SessionOptions,
    row_counts: RowCounts,
}

impl Session {
    /// A session without tables.
    ///
    /// # Errors
    /// If the folder for spilled data cannot be used.
    pub fn new(options: SessionOptions) -> Result<Session> {
        // The memory pool names the largest users when there is not enough: three say what is going on.
        const NAMED_CONSUMERS: NonZeroUsize = NonZeroUsize::new(3).unwrap();
        let pool = TrackConsumersPool::new(FairSpillPool::new(options.memory), NAMED_CONSUMERS);
        let mut runtime = RuntimeEnvBuilder::new().with_memory_pool(Arc::new(pool));
        if let Some(folder) = &options.spill_folder {
            runtime = runtime.with_temp_file_path(folder);
        }
        // The nodes of "EnsureCooperative" only yield now and then; units are short and run on their own threads.
        let mut rules = PhysicalOptimizer::new().rules;
        rules.retain(|rule| rule.name() != "EnsureCooperative");
        let row_counts = RowCounts::default();
        let state = SessionStateBuilder::new()
            .with_config(session_config(&options))
            .with_runtime_env(runtime.build_arc()?)
            .with_default_features()
            .with_optimizer_rules(logical_rules(row_counts.clone()))
            .with_physical_optimizer_rules(rules)
            .build();
        Ok(Session {
            context: SessionContext::new_with_state(state),
            options,
            row_counts,
        })
    }

    /// What the session was told.
    pub fn options(&self) -> &SessionOptions {
        &self.options
    }

    /// DataFusion's own session, for tables of other kinds and functions.
    pub fn context(&self) -> &SessionContext {
        &self.context
    }

    /// A fresh context to decode and run a unit with.
    pub fn task_context(&self) -> Arc<TaskContext> {
        self.context.task_ctx()
    }

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
        let options = source.kind.listing_options(&self.context);
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

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session")
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

/// DataFusion's logical rules, with ours for the order of joins where filters are pushed down to the tables and no
/// projections are between the joins yet.
fn logical_rules(row_counts: RowCounts) -> Vec<Arc<dyn OptimizerRule + Send + Sync>> {
    let mut rules = Optimizer::new().rules;
    let position = rules
        .iter()
        .position(|rule| rule.name() == "push_down_filter")
        .map_or(rules.len(), |at| at + 1);
    rules.insert(position, Arc::new(JoinOrder { rows: row_counts }));
    rules
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
        let Some(kind) = Kind::of(&file).filter(|_| !file.is_dir()) else {
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
