//! The session: tables, settings and memory, the same on the driver and on every worker.
//!
//! A plan is made by one process and run by many. What a fragment does depends on the settings it runs with, so there is
//! one function that makes them, [`session_config`], and everybody uses it. Workers register no tables: fragments name
//! their files.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;

use datafusion::execution::memory_pool::{FairSpillPool, TrackConsumersPool};
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::execution::{SessionStateBuilder, TaskContext};
use datafusion::logical_expr::AggregateUDF;
use datafusion::optimizer::{Optimizer, OptimizerRule};
use datafusion::physical_optimizer::optimizer::PhysicalOptimizer;
use datafusion::prelude::{SessionConfig, SessionContext};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::error::{QueryError, Result};
use crate::plan::filtered::filtered_functions;
use crate::planner::{JoinOrder, RowCounts, WindowFilters};
use crate::sql::{
    CheckConstants, CheckDecimals, CheckRanges, CheckShifts, CheckedSum, FloatKeys, Intervals, Membership, NanPruning,
    Refused, Relations, Zones, checked_decimal, extremes, float_key, framed_functions, in_zone, range_checks, shifts,
    without_zone,
};
use crate::tables::{Catalogue, s3};
use datafusion::catalog::{CatalogProvider, MemoryCatalogProvider};
use kappa::store::S3Place;

/// Where names are looked up.
const CATALOG: &str = "kappa";
const SCHEMA: &str = "public";

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
    /// Settings of DataFusion that were changed by `SET`.
    pub settings: BTreeMap<String, String>,
    /// The buckets that tables are read from, with the S3 that each is in if not in that of the process's surroundings.
    pub buckets: BTreeMap<String, Option<String>>,
}

impl Default for SessionOptions {
    fn default() -> Self {
        Self {
            partitions: 8,
            scan_unit_bytes: 16 << 20,
            memory: 1 << 30,
            spill_folder: None,
            settings: BTreeMap::new(),
            buckets: BTreeMap::new(),
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
        .with_default_catalog_and_schema(CATALOG, SCHEMA)
        .with_create_default_catalog_and_schema(false);
    let settings = config.options_mut();

    // q01: a lone partition would read the files of all its siblings.
    settings.execution.enable_file_stream_work_stealing = false;
    // q15: string views drag whole buffers through a shuffle.
    settings.execution.parquet.schema_force_view_types = false;
    settings.sql_parser.map_string_types_to_utf8view = false;
    // INT96 has days of nanoseconds; 64 bits of nanoseconds end in 2262, those of microseconds do not.
    settings.execution.parquet.coerce_int96 = Some("us".to_owned());
    // A time with a zone is a type of its own, and it is shown with its zone.
    settings.execution.time_zone = Some("+00:00".to_owned());
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

/// What a worker makes of options.
type Worker = (SessionOptions, Arc<TaskContext>);

/// A session.
#[derive(Clone)]
pub struct Session {
    context: SessionContext,
    options: SessionOptions,
    /// Settings that were changed since.
    settings: Arc<Mutex<BTreeMap<String, String>>>,
    /// Buckets that tables were found in since.
    buckets: Arc<Mutex<BTreeMap<String, Option<String>>>>,
    catalogue: Arc<Catalogue>,
    /// What a worker makes of the options of now.
    worker: Arc<Mutex<Option<Worker>>>,
}

impl Session {
    /// A session without tables.
    ///
    /// # Errors
    /// If the folder for spilled data cannot be used, or there is no account for a bucket.
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
        rules.push(Arc::new(NanPruning));
        let row_counts = RowCounts::default();
        let mut config = session_config(&options);
        for (name, value) in &options.settings {
            config.options_mut().set(name, value)?;
        }
        let runtime = runtime.build_arc()?;
        for (bucket, endpoint) in &options.buckets {
            s3::register(&runtime, bucket, endpoint.as_deref())?;
        }
        let state = SessionStateBuilder::new()
            .with_config(config)
            .with_runtime_env(runtime)
            .with_default_features()
            .with_relation_planners(vec![Arc::new(Relations)])
            .with_optimizer_rules(logical_rules(row_counts.clone()))
            .with_physical_optimizer_rules(rules)
            .build();
        let context = SessionContext::new_with_state(state);
        context.register_udaf(AggregateUDF::from(CheckedSum::default()));
        context.register_udf(float_key());
        context.register_udf(checked_decimal());
        context.register_udf(without_zone());
        for function in shifts().into_iter().chain(range_checks()) {
            context.register_udf(function);
        }
        for function in extremes() {
            context.register_udaf(function);
        }
        for function in in_zone(context.state().scalar_functions().values()) {
            context.register_udf(function);
        }
        for function in framed_functions(context.state().aggregate_functions().values()) {
            context.register_udaf(function);
        }
        // Of all functions, those above too.
        for function in filtered_functions(context.state().aggregate_functions().values()) {
            context.register_udaf(function);
        }
        context.add_analyzer_rule(Arc::new(CheckConstants));
        context.add_analyzer_rule(Arc::new(Refused));
        context.add_analyzer_rule(Arc::new(Intervals));
        context.add_analyzer_rule(Arc::new(Membership));
        context.add_analyzer_rule(Arc::new(FloatKeys));
        context.add_analyzer_rule(Arc::new(CheckDecimals));
        context.add_analyzer_rule(Arc::new(CheckShifts));
        context.add_analyzer_rule(Arc::new(Zones));
        context.add_analyzer_rule(Arc::new(CheckRanges));
        let catalogue = Arc::new(Catalogue::new(row_counts));
        catalogue.belongs_to(context.state_weak_ref());
        let catalog = MemoryCatalogProvider::new();
        catalog.register_schema(SCHEMA, catalogue.clone())?;
        context.register_catalog(CATALOG, Arc::new(catalog));
        Ok(Session {
            context,
            settings: Arc::new(Mutex::new(options.settings.clone())),
            buckets: Arc::new(Mutex::new(options.buckets.clone())),
            options,
            catalogue,
            worker: Arc::default(),
        })
    }

    /// What the session was told.
    pub fn options(&self) -> &SessionOptions {
        &self.options
    }

    /// The same with the settings that have been changed and the buckets that have been found since: what a worker needs to make this session again.
    pub fn current_options(&self) -> SessionOptions {
        SessionOptions {
            settings: self.settings.lock().clone(),
            buckets: self.buckets.lock().clone(),
            ..self.options.clone()
        }
    }

    pub(crate) fn catalogue(&self) -> &Catalogue {
        &self.catalogue
    }

    /// Lets this session, and those that workers make like it, read from a bucket.
    pub(crate) fn add_bucket(&self, place: &S3Place) -> Result<()> {
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

    pub(crate) fn remember_setting(&self, name: String, value: Option<String>) {
        let mut settings = self.settings.lock();
        match value {
            Some(value) => settings.insert(name, value),
            None => settings.remove(&name),
        };
    }

    /// DataFusion's own session, for tables of other kinds. (A function that is registered here is not known to workers.)
    pub fn context(&self) -> &SessionContext {
        &self.context
    }

    /// The context in which a worker reads the plans of this session: it knows what the options say, and nothing else.
    ///
    /// # Errors
    /// If a session like this one cannot be made, or a setting was changed otherwise than by `SET`, of which workers are not told.
    pub(crate) fn worker_context(&self) -> Result<Arc<TaskContext>> {
        let options = self.current_options();
        let mut worker = self.worker.lock();
        if let Some((of, context)) = worker.as_ref()
            && *of == options
        {
            return Ok(Arc::clone(context));
        }
        let context = Session::new(options.clone())?.task_context();
        let here = self.context.copied_config().options().entries();
        let there = context.session_config().options().entries();
        let changed = here
            .into_iter()
            .zip(there)
            .find(|(here, there)| here.value != there.value);
        if let Some((setting, _)) = changed {
            return Err(QueryError::unsupported(
                format!("the setting {} = {}", setting.key, setting.value.unwrap_or_default()),
                "it was not made by SET, so workers do not have it; make it by SET, or leave it",
            ));
        }
        *worker = Some((options, Arc::clone(&context)));
        Ok(context)
    }

    /// A fresh context to decode and run a unit with.
    pub fn task_context(&self) -> Arc<TaskContext> {
        self.context.task_ctx()
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
/// projections are between the joins yet, and constants checked before they are folded: here, and by what follows.
fn logical_rules(row_counts: RowCounts) -> Vec<Arc<dyn OptimizerRule + Send + Sync>> {
    let mut rules = Optimizer::new().rules;
    let position = rules
        .iter()
        .position(|rule| rule.name() == "push_down_filter")
        .map_or(rules.len(), |at| at + 1);
    rules.insert(position, Arc::new(JoinOrder { rows: row_counts }));
    rules.insert(0, Arc::new(WindowFilters));
    let folds = |rule: &Arc<dyn OptimizerRule + Send + Sync>| rule.name() == "simplify_expressions";
    let mut next = 0;
    while let Some(position) = rules[next..].iter().position(folds) {
        rules.insert(next + position, Arc::new(CheckConstants));
        next += position + 2;
    }
    rules.push(Arc::new(CheckConstants));
    rules
}
