//! The stage graph: what a query is, once it is planned.
//!
//! A [`Stage`] is a plan fragment in which no operator looks across partitions. One partition of the fragment is a
//! **unit**: running a stage's units one by one, in any order, in any process, and putting their outputs side by side
//! gives the same rows as running the fragment once (the *stage invariant*, checked by [`crate::planner::validate`]).
//!
//! ```text
//!   stage 0: scan, filter ──Hash(k, 8)──┐
//!                                       ├─> stage 2: join, partial aggregate ──Gather──> stage 3: final aggregate
//!   stage 1: scan ─────────Hash(k, 8)───┘            (8 units)                           (1 unit, the root)
//! ```
//!
//! The leaves of a fragment are file scans, constant tables and [`ShuffleReaderExec`](crate::plan::ShuffleReaderExec)s;
//! what a unit produces goes through the stage's [`Exchange`]. The graph is a value: it serialises as a whole, it is the
//! state of the task that drives the query, and nothing about the query is decided after it was made.

use std::fmt;
use std::sync::Arc;

use datafusion::arrow::datatypes::SchemaRef;
use datafusion::physical_expr::{LexOrdering, PhysicalExpr};
use datafusion::physical_plan::ExecutionPlan;

/// The number of a stage: its position in [`StageGraph::stages`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub struct StageId(pub u32);

impl StageId {
    /// The stage's position in [`StageGraph::stages`].
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

impl fmt::Display for StageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// How the rows of a stage's units reach the units of its consumers.
///
/// The same value is held by the producing [`Stage`] (what the writer does) and by every
/// [`ShuffleReaderExec`](crate::plan::ShuffleReaderExec) of that stage (what the reader expects).
#[derive(Debug, Clone, PartialEq)]
pub enum Exchange {
    /// Every unit splits its rows into `partitions` buckets by the hash of `keys`
    /// (see [`crate::shuffle::partition`]); partition `p` of the reader is bucket `p` of every unit, in unit order.
    Hash {
        /// What is hashed, over the schema of the producing fragment.
        keys: Vec<Arc<dyn PhysicalExpr>>,
        /// The number of buckets.
        partitions: usize,
    },
    /// The reader has one partition that holds everything, in unit order; it is read by *every* unit of the consumer
    /// (a join's build side).
    Broadcast,
    /// The reader has one partition that holds everything, in unit order; the consumer has one unit.
    Gather,
    /// Every unit's output is sorted by `ordering`; the reader has one partition: the merge of all units, equal rows in
    /// unit order, cut off after `fetch` rows.
    Merge {
        /// The order of every unit's output and of the merged result.
        ordering: LexOrdering,
        /// At most this many rows are read from the merge.
        fetch: Option<usize>,
    },
}

impl Exchange {
    /// How many buckets each producing unit writes: one, unless rows are hashed.
    pub fn buckets(&self) -> usize {
        match self {
            Exchange::Hash { partitions, .. } => *partitions,
            Exchange::Broadcast | Exchange::Gather | Exchange::Merge { .. } => 1,
        }
    }
}

impl fmt::Display for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Exchange::Hash { keys, partitions } => {
                let keys: Vec<String> = keys.iter().map(ToString::to_string).collect();
                write!(f, "Hash([{}], {partitions})", keys.join(", "))
            }
            Exchange::Broadcast => write!(f, "Broadcast"),
            Exchange::Gather => write!(f, "Gather"),
            Exchange::Merge { ordering, fetch: None } => write!(f, "Merge([{ordering}])"),
            Exchange::Merge {
                ordering,
                fetch: Some(fetch),
            } => write!(f, "Merge([{ordering}], fetch={fetch})"),
        }
    }
}

/// A plan fragment whose partitions are independent of one another.
#[derive(Debug, Clone)]
pub struct Stage {
    /// The stage's number.
    pub id: StageId,
    /// What each unit runs: `fragment.execute(unit, ..)`.
    pub fragment: Arc<dyn ExecutionPlan>,
    /// The number of units: the fragment's partition count. May be zero (a scan of nothing).
    pub units: usize,
    /// Where the rows go.
    pub output: Exchange,
    /// The stages whose shuffle output the fragment reads, each once, in ascending order. Those that compute the values
    /// of scalar subqueries are among them.
    pub inputs: Vec<StageId>,
}

/// All stages of a query.
#[derive(Debug, Clone)]
pub struct StageGraph {
    /// The stages in topological order: a stage reads only from stages before it. The last one is the root; its output,
    /// [`Exchange::Gather`] or [`Exchange::Merge`], is the query's result.
    pub stages: Vec<Stage>,
    /// The schema of the result, with the names the query gave its columns.
    pub schema: SchemaRef,
}

impl StageGraph {
    /// The stage with this number, or `None` if the graph has none.
    pub fn stage(&self, id: StageId) -> Option<&Stage> {
        self.stages.get(id.index())
    }

    /// The stage whose output is the result, or `None` for a graph without stages (which no planner makes).
    pub fn root(&self) -> Option<&Stage> {
        self.stages.last()
    }

    /// The stages that read from `id`.
    pub fn consumers(&self, id: StageId) -> impl Iterator<Item = &Stage> {
        self.stages.iter().filter(move |stage| stage.inputs.contains(&id))
    }
}
