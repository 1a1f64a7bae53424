//! Decoded fragments, shared by the units that one process runs.
//!
//! Decoding a fragment costs as much as a small unit, and a broadcast build side is read and built once for a plan instance: so the tasks
//! of a stage share one instance in each process. A second attempt of a unit gets an instance of its own, since operators may take the
//! state of a partition only once. After a kill everything is read again: nothing here is state that matters.

use crate::deep;
use crate::error::QueryError;
use crate::exec::planned_files::PlannedFiles;
use crate::exec::stage_task::StageWork;
use crate::plan::{Bucket, Shuffle, ShuffleReaderExec, ShuffleSource};
use crate::session::{Session, SessionOptions};
use crate::shuffle::object::Manifest;
use crate::shuffle::sealed::get_sealed;
use crate::shuffle::source::StoreShuffle;
use crate::stage::{Stage, StageId};
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::Result as DataFusionResult;
use datafusion::common::internal_datafusion_err;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::execution::memory_pool::MemoryPool;
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::common::collect;
use datafusion::physical_plan::coop::CooperativeExec;
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::physical_plan::metrics::{BaselineMetrics, ExecutionPlanMetricsSet};
use kappa::store::Store;
use kappa::store::counted::innermost;
use parking_lot::Mutex;
use std::collections::HashSet;
use std::sync::{Arc, LazyLock};
use tokio::sync::OnceCell;

/// A decoded stage with everything needed to run its units.
pub struct Fragment {
    /// The stage.
    pub stage: Stage,
    context: Arc<TaskContext>,
    source: StoreShuffle,
    files: Arc<PlannedFiles>,
    /// How many operators there are above one another.
    depth: usize,
}

impl Drop for Fragment {
    fn drop(&mut self) {
        let nothing: Arc<dyn ExecutionPlan> = Arc::new(EmptyExec::new(self.stage.fragment.schema()));
        let fragment = std::mem::replace(&mut self.stage.fragment, nothing);
        deep::through(self.depth, || drop(fragment));
    }
}

impl Fragment {
    /// Starts a unit, which reads the shuffle through this store: it is the fragment's own, seen by the invocation that runs the unit.
    ///
    /// # Errors
    /// If an operator cannot start.
    pub fn execute(&self, unit: u32, store: &Arc<dyn Store>) -> DataFusionResult<SendableRecordBatchStream> {
        let context = with_source(
            &self.context,
            self.context.runtime_env(),
            self.source.through(store.clone()),
        );
        deep::rows(self.depth, || {
            self.stage.fragment.execute(unit as usize, Arc::new(context))
        })
    }

    /// Which of the fragment's files has changed since it was planned, if one was found.
    pub(crate) fn changed_file(&self) -> Option<String> {
        self.files.changed()
    }

    /// Where what the unit holds in memory is accounted for.
    pub(crate) fn memory_pool(&self) -> &Arc<dyn MemoryPool> {
        self.context.memory_pool()
    }
}

/// A slot of the cache; several tasks of a stage may wait for the first to fill it.
struct Entry {
    key: String,
    /// Where the store is that the fragment reads, without what each invocation wraps around it: another engine of this process may have another for the same query. The fragment keeps
    /// it alive, so no other store can come to lie there.
    store: usize,
    fragment: OnceCell<Arc<Fragment>>,
    /// Units that were started on this instance.
    started: Mutex<HashSet<u32>>,
}

static CACHE: LazyLock<Mutex<Vec<Arc<Entry>>>> = LazyLock::new(Mutex::default);

/// A fragment in use; while one lives, the instance it came from stays for others.
pub struct Lease {
    fragment: Arc<Fragment>,
    _entry: Arc<Entry>,
}

impl std::ops::Deref for Lease {
    type Target = Fragment;

    fn deref(&self) -> &Fragment {
        &self.fragment
    }
}

/// The fragment on which to run `unit`.
///
/// # Errors
/// If the stage or a manifest cannot be read or decoded.
pub async fn load(store: &Arc<dyn Store>, work: &StageWork, unit: u32) -> Result<Lease, QueryError> {
    let entry = entry(&work.fragment, store);
    let shared = entry.fragment.get_or_try_init(|| decode(store, work)).await?.clone();
    let is_first_attempt = entry.started.lock().insert(unit);
    let fragment = if is_first_attempt {
        shared
    } else {
        decode(store, work).await?
    };
    Ok(Lease {
        fragment,
        _entry: entry,
    })
}

/// Forgets a stage: it is closed. Other processes forget it when they start on another stage.
pub fn release(fragment: &str) {
    CACHE.lock().retain(|entry| entry.key != fragment);
}

/// Forgets all stages and sessions of this process, with the memory and the folders for spilled data that they hold. Units that are
/// running keep theirs to their end.
pub(crate) fn forget_all() {
    CACHE.lock().clear();
    SESSIONS.lock().clear();
}

/// The stage's entry. A stage that is new here makes the process forget those that no unit is using.
fn entry(key: &str, store: &Arc<dyn Store>) -> Arc<Entry> {
    let store = Arc::as_ptr(innermost(store)).cast::<()>().addr();
    let mut cache = CACHE.lock();
    if let Some(entry) = cache.iter().find(|entry| entry.key == key && entry.store == store) {
        return entry.clone();
    }
    cache.retain(|entry| Arc::strong_count(entry) > 1);
    let entry = Arc::new(Entry {
        key: key.to_owned(),
        store,
        fragment: OnceCell::new(),
        started: Mutex::default(),
    });
    cache.push(entry.clone());
    entry
}

async fn decode(store: &Arc<dyn Store>, work: &StageWork) -> Result<Arc<Fragment>, QueryError> {
    let mut manifests = Vec::with_capacity(work.inputs.len());
    for (stage, key) in &work.inputs {
        manifests.push((*stage, Manifest::read(store.as_ref(), key).await?));
    }
    let pool = session(&work.options)?.context().runtime_env().memory_pool.clone();
    let source = StoreShuffle::new(store.clone(), manifests, pool)?;
    // The fragment outlives the invocation that decodes it.
    let files = Arc::new(PlannedFiles::default());
    let context = task_context(&work.options, source.through(innermost(store).clone()), &files)?;
    let mut stage = Stage::from_bytes(&get_sealed(store.as_ref(), &work.fragment).await?, &context)?;
    files.add(&stage.fragment)?;
    if stage.id != work.stage {
        let cause = internal_datafusion_err!("it is that of stage {}", stage.id);
        return Err(QueryError::codec(
            format!("the fragment of stage {}", work.stage),
            cause,
        ));
    }
    let depth = deep::depth_of(&stage.fragment);
    stage.fragment = deep::through(depth, || yielding(stage.fragment))?;
    Ok(Arc::new(Fragment {
        stage,
        context,
        source,
        files,
        // A join is two operators now.
        depth: 2 * depth,
    }))
}

/// Lets joins yield now and then. One batch of input can give millions of output, and whoever consumes them would not come to an `.await` that
/// waits for hours: such a unit could neither be cancelled nor be stopped at its time limit. (Leaves yield by themselves.)
fn yielding(fragment: Arc<dyn ExecutionPlan>) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
    let is_join = |plan: &Arc<dyn ExecutionPlan>| plan.children().len() > 1;
    let wrap = |plan: Arc<dyn ExecutionPlan>| {
        Ok(match is_join(&plan) {
            true => Transformed::yes(Arc::new(CooperativeExec::new(plan)) as Arc<dyn ExecutionPlan>),
            false => Transformed::no(plan),
        })
    };
    Ok(fragment.transform_up(wrap)?.data)
}

/// The context in which fragments are decoded and run: the common session, with the shuffle.
fn task_context(
    options: &SessionOptions,
    source: StoreShuffle,
    files: &Arc<PlannedFiles>,
) -> Result<Arc<TaskContext>, QueryError> {
    let context = session(options)?.task_context();
    let runtime = Arc::new(files.seen_by(&context.runtime_env()));
    Ok(Arc::new(with_source(&context, runtime, source)))
}

/// The same context with these surroundings and this shuffle.
fn with_source(context: &TaskContext, runtime: Arc<RuntimeEnv>, source: StoreShuffle) -> TaskContext {
    let config = context.session_config().clone();
    TaskContext::new(
        context.task_id(),
        context.session_id(),
        config.with_extension(Arc::new(Shuffle(Arc::new(source)))),
        context.scalar_functions().clone(),
        context.higher_order_functions().clone(),
        context.aggregate_functions().clone(),
        context.window_functions().clone(),
        runtime,
    )
}

static SESSIONS: Mutex<Vec<Session>> = Mutex::new(Vec::new());

/// This process's session: one for all units, so that they share the memory that the options allow.
fn session(options: &SessionOptions) -> Result<Session, QueryError> {
    let mut sessions = SESSIONS.lock();
    if let Some(session) = sessions.iter().find(|session| session.options() == options) {
        return Ok(session.clone());
    }
    let session = Session::new(options.clone())?;
    sessions.push(session.clone());
    Ok(session)
}

/// All rows that a closed stage has put out, combined by its own exchange: how a result leaves the graph.
pub(crate) async fn read_output(
    store: &Arc<dyn Store>,
    options: &SessionOptions,
    fragment: &str,
    id: StageId,
    manifest: Manifest,
) -> Result<(SchemaRef, Vec<RecordBatch>), QueryError> {
    let pool = session(options)?.context().runtime_env().memory_pool.clone();
    let source = StoreShuffle::new(store.clone(), [(id, manifest)], pool)?;
    let streams = source.read(id, Bucket::All)?;
    let context = task_context(options, source, &Arc::default())?;
    let stage = Stage::from_bytes(&get_sealed(store.as_ref(), fragment).await?, &context)?;
    let schema = stage.fragment.schema();
    let metrics = BaselineMetrics::new(&ExecutionPlanMetricsSet::new(), 0);
    let rows = ShuffleReaderExec::combine(&stage.output, schema.clone(), streams, metrics, &context)?;
    Ok((schema, collect(rows).await?))
}
