//! Pass 9: proves that a stage graph keeps the stage invariant, or refuses it.
//!
//! **The stage invariant**: running a stage's units one by one, each alone in a process, and putting their outputs side by
//! side gives the same rows as running the fragment once.
//!
//! It holds if no operator looks across partitions. Which operators do not, and when, is a list of what is *allowed*
//! (`check_operator`); what is not on it is refused. The rest is checked of every stage:
//!
//! * it reads only stages before it, through readers that expect exactly what those write;
//! * every operator gets the distribution and order it requires, from what its inputs really deliver;
//! * its exchange can be carried out: keys that can be evaluated, units that are sorted as a merge needs them;
//! * as bytes and back it means the same ([`meaning`]).

use std::sync::Arc;

use datafusion::arrow::array::RecordBatch;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::config::OptimizerOptions;
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::datasource::physical_plan::FileScanConfig;
use datafusion::datasource::source::DataSourceExec;
use datafusion::execution::TaskContext;
use datafusion::physical_optimizer::sanity_checker::check_plan_sanity;
use datafusion::physical_plan::aggregates::AggregateExec;
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::joins::{
    CrossJoinExec, HashJoinExec, NestedLoopJoinExec, PartitionMode, SortMergeJoinExec,
};
use datafusion::physical_plan::limit::{GlobalLimitExec, LocalLimitExec};
use datafusion::physical_plan::memory::LazyMemoryExec;
use datafusion::physical_plan::placeholder_row::PlaceholderRowExec;
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::physical_plan::scalar_subquery::ScalarSubqueryExec;
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::union::{InterleaveExec, UnionExec};
use datafusion::physical_plan::unnest::UnnestExec;
use datafusion::physical_plan::windows::{BoundedWindowAggExec, WindowAggExec};
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties};

use super::cut::{inputs_of, uses_scalar_subquery};
use super::joins::emits_build_rows;
use crate::error::{QueryError, Result};
use crate::plan::{ShuffleReaderExec, meaning};
use crate::stage::{Exchange, Stage, StageGraph, StageId};

/// What a check found: nothing, or a sentence.
type Finding = std::result::Result<(), String>;

/// Checks a graph; `context` knows the functions it calls.
///
/// # Errors
/// [`QueryError::InvalidStage`] for the first stage that breaks a rule.
pub fn validate(graph: &StageGraph, context: &TaskContext) -> Result<()> {
    let bytes = graph.to_bytes()?;
    let written = StageGraph::from_bytes_as_written(&bytes, context)?;
    validate_read(graph, &bytes, &written, &StageGraph::from_bytes(&bytes, context)?)
}

/// Checks a graph that is `bytes`, which say `written` word for word, and of which `read` is to be run.
///
/// # Errors
/// As [`validate`].
pub(super) fn validate_read(graph: &StageGraph, bytes: &[u8], written: &StageGraph, read: &StageGraph) -> Result<()> {
    let Some(root) = read.root() else {
        return Err(QueryError::invalid(StageId(0), "the graph has no stages"));
    };
    if graph.stages.len() != read.stages.len() || graph.stages.len() != written.stages.len() {
        return Err(QueryError::invalid(
            root.id,
            "as bytes and back the graph has other stages",
        ));
    }
    let stages = graph.stages.iter().zip(&written.stages).zip(&read.stages);
    for (position, ((stage, written_stage), read_stage)) in stages.enumerate() {
        let found = check_meaning(stage, written_stage)
            .and_then(|()| check_numbers(read, read_stage, position))
            .and_then(|()| check_operators(read, read_stage))
            .and_then(|()| check_exchange(read_stage))
            .and_then(|()| check_use(read, read_stage, root.id));
        found.map_err(|problem| QueryError::invalid(stage.id, problem))?;
    }
    // What is displayed shortened, a long list for example, is written whole.
    if written.to_bytes()? != bytes {
        return Err(QueryError::invalid(
            root.id,
            "written, read and written again, the graph has other bytes",
        ));
    }
    let matches = read.schema.fields().len() == root.fragment.schema().fields().len();
    if !matches {
        return Err(QueryError::invalid(
            root.id,
            "the result has other columns than the root stage",
        ));
    }
    Ok(())
}

/// As bytes and back the stage means the same.
fn check_meaning(stage: &Stage, read: &Stage) -> Finding {
    let Stage {
        id,
        fragment,
        units,
        output,
        inputs,
    } = stage;
    let differs = |what: &str| Err(format!("as bytes and back it does not mean the same: {what}"));
    if let Some(what) = meaning::difference(fragment, &read.fragment).map_err(|e| e.to_string())? {
        return differs(&what);
    }
    if *output != read.output || format!("{output:?}") != format!("{:?}", read.output) {
        return differs("its exchange is another");
    }
    if *id != read.id || *units != read.units || *inputs != read.inputs {
        return differs("its number, units or inputs are others");
    }
    Ok(())
}

fn check_numbers(graph: &StageGraph, stage: &Stage, position: usize) -> Finding {
    if stage.id.index() != position {
        return Err(format!("it is at position {position}"));
    }
    let partitions = stage.fragment.output_partitioning().partition_count();
    if stage.units != partitions {
        return Err(format!(
            "it has {} units, its fragment {partitions} partitions",
            stage.units
        ));
    }
    let inputs = inputs_of(&stage.fragment).map_err(|e| e.to_string())?;
    if inputs != stage.inputs {
        return Err(format!(
            "it says that it reads {:?}, its fragment reads {inputs:?}",
            stage.inputs
        ));
    }
    match inputs
        .iter()
        .find(|input| **input >= stage.id || graph.stage(**input).is_none())
    {
        Some(input) => Err(format!("it reads stage {input}, which is not before it")),
        None => Ok(()),
    }
}

fn check_operators(graph: &StageGraph, stage: &Stage) -> Finding {
    let mut found = Ok(());
    let walked = stage.fragment.apply(|node| {
        found = check_operator(graph, node).and_then(|()| check_requirements(node));
        Ok(if found.is_ok() {
            TreeNodeRecursion::Continue
        } else {
            TreeNodeRecursion::Stop
        })
    });
    walked.map_err(|e| e.to_string())?;
    found
}

/// Whether this operator, over these inputs, computes each of its partitions from the same partition of its inputs alone.
fn check_operator(graph: &StageGraph, node: &Arc<dyn ExecutionPlan>) -> Finding {
    let inputs: Vec<usize> = node
        .children()
        .iter()
        .map(|child| child.output_partitioning().partition_count())
        .collect();
    let of_one_partition = |what: &str| match inputs.first() {
        Some(1) => Ok(()),
        other => Err(format!("{what} over {other:?} partitions")),
    };

    if let Some(reader) = node.downcast_ref::<ShuffleReaderExec>() {
        return check_reader(graph, reader);
    }
    if let Some(join) = node.downcast_ref::<HashJoinExec>() {
        return check_hash_join(join, &inputs);
    }
    if let Some(join) = node.downcast_ref::<NestedLoopJoinExec>() {
        return check_collected(node, &inputs, emits_build_rows(*join.join_type()));
    }
    if node.is::<CrossJoinExec>() {
        return check_collected(node, &inputs, false);
    }
    if let Some(join) = node.downcast_ref::<SortMergeJoinExec>() {
        return check_keys(join.on(), node, &inputs);
    }
    if node.is::<GlobalLimitExec>() {
        return of_one_partition("a global limit");
    }
    if let Some(sort) = node.downcast_ref::<SortExec>() {
        return if sort.preserve_partitioning() {
            Ok(())
        } else {
            of_one_partition("a global sort")
        };
    }
    if node.is::<ScalarSubqueryExec>() {
        return check_scalar_subqueries(node);
    }
    if let Some(scan) = node.downcast_ref::<DataSourceExec>() {
        let source = scan.data_source();
        return match source.is::<FileScanConfig>() || source.is::<MemorySourceConfig>() {
            true => Ok(()),
            false => Err("it scans something that is neither a file nor a constant".to_owned()),
        };
    }
    // Row by row; or by the groups of a distribution that `check_requirements` demands.
    let is_local = node.is::<FilterExec>()
        || node.is::<ProjectionExec>()
        || node.is::<UnnestExec>()
        || node.is::<LocalLimitExec>()
        || node.is::<AggregateExec>()
        || node.is::<WindowAggExec>()
        || node.is::<BoundedWindowAggExec>()
        || node.is::<UnionExec>()
        || node.is::<InterleaveExec>()
        || node.is::<EmptyExec>()
        || node.is::<PlaceholderRowExec>()
        || node.is::<LazyMemoryExec>();
    match is_local {
        true => Ok(()),
        false => Err(format!("{} is not known to keep to its partition", node.name())),
    }
}

fn check_reader(graph: &StageGraph, reader: &ShuffleReaderExec) -> Finding {
    let Some(producer) = graph.stage(reader.stage()) else {
        return Err(format!("it reads stage {}, which there is not", reader.stage()));
    };
    if *reader.exchange() != producer.output {
        return Err(format!(
            "it reads stage {} by {}, which writes by {}",
            producer.id,
            reader.exchange(),
            producer.output
        ));
    }
    if reader.schema() != producer.fragment.schema() {
        return Err(format!(
            "it reads other columns from stage {} than that has",
            producer.id
        ));
    }
    Ok(())
}

fn check_hash_join(join: &HashJoinExec, inputs: &[usize]) -> Finding {
    if !join.dynamic_expressions_produced().is_empty() {
        return Err("a hash join has a dynamic filter, which waits for its other partitions".to_owned());
    }
    if join.null_aware && inputs != [1, 1] {
        return Err(format!("a null-aware join over {inputs:?} partitions"));
    }
    let node: &dyn ExecutionPlan = join;
    match join.partition_mode() {
        PartitionMode::CollectLeft => {
            let (left, right) = (join.left(), inputs.get(1).copied());
            check_build_side(left, right, emits_build_rows(*join.join_type()), node.name())
        }
        PartitionMode::Partitioned => check_equal_keys(join.on(), join.left(), join.right(), inputs),
        PartitionMode::Auto => Err("a hash join has not decided how it is run".to_owned()),
    }
}

fn check_collected(node: &Arc<dyn ExecutionPlan>, inputs: &[usize], emits_build_rows: bool) -> Finding {
    check_build_side(
        node.children()[0],
        inputs.get(1).copied(),
        emits_build_rows,
        node.name(),
    )
}

/// A build side is read by every unit: over more than one it must be a broadcast, and the join must keep no flags for it.
fn check_build_side(
    left: &Arc<dyn ExecutionPlan>,
    right_partitions: Option<usize>,
    emits_build_rows: bool,
    name: &str,
) -> Finding {
    if left.output_partitioning().partition_count() != 1 {
        return Err(format!("the build side of {name} has more than one partition"));
    }
    if right_partitions.is_some_and(|partitions| partitions <= 1) {
        return Ok(());
    }
    if emits_build_rows {
        return Err(format!("{name} emits rows of a build side that several units share"));
    }
    let is_broadcast = left
        .downcast_ref::<ShuffleReaderExec>()
        .is_some_and(|reader| *reader.exchange() == Exchange::Broadcast);
    match is_broadcast {
        true => Ok(()),
        false => Err(format!(
            "the build side of {name} is computed anew by each of several units"
        )),
    }
}

type Keys = [(
    Arc<dyn datafusion::physical_plan::PhysicalExpr>,
    Arc<dyn datafusion::physical_plan::PhysicalExpr>,
)];

fn check_keys(on: &Keys, node: &Arc<dyn ExecutionPlan>, inputs: &[usize]) -> Finding {
    let children = node.children();
    check_equal_keys(on, children[0], children[1], inputs)
}

/// Rows meet only if both sides hash the same types into the same number of buckets.
fn check_equal_keys(
    on: &Keys,
    left: &Arc<dyn ExecutionPlan>,
    right: &Arc<dyn ExecutionPlan>,
    inputs: &[usize],
) -> Finding {
    if inputs.first() != inputs.get(1) {
        return Err(format!("the sides of a partitioned join have {inputs:?} partitions"));
    }
    for (left_key, right_key) in on {
        let left_type = left_key.data_type(&left.schema()).map_err(|e| e.to_string())?;
        let right_type = right_key.data_type(&right.schema()).map_err(|e| e.to_string())?;
        if left_type != right_type {
            return Err(format!(
                "a join compares {left_key} of {left_type} with {right_key} of {right_type}"
            ));
        }
    }
    Ok(())
}

fn check_scalar_subqueries(node: &Arc<dyn ExecutionPlan>) -> Finding {
    for subquery in node.children().into_iter().skip(1) {
        let is_gathered = subquery
            .downcast_ref::<ShuffleReaderExec>()
            .is_some_and(|reader| matches!(reader.exchange(), Exchange::Gather | Exchange::Merge { .. }));
        if !is_gathered && !subquery.is::<EmptyExec>() {
            return Err("a scalar subquery is computed inside a stage".to_owned());
        }
    }
    Ok(())
}

/// Every input of the operator is distributed and sorted as the operator requires.
fn check_requirements(node: &Arc<dyn ExecutionPlan>) -> Finding {
    check_plan_sanity(node, &OptimizerOptions::default()).map_err(|e| e.strip_backtrace())
}

fn check_exchange(stage: &Stage) -> Finding {
    let schema = stage.fragment.schema();
    match &stage.output {
        Exchange::Hash { keys, partitions } => {
            if *partitions == 0 {
                return Err("it splits its rows into no buckets".to_owned());
            }
            if uses_scalar_subquery(keys.iter()).map_err(|e| e.to_string())? {
                return Err("it hashes a scalar subquery's value, which a writer does not know".to_owned());
            }
            let no_rows = RecordBatch::new_empty(schema);
            for key in keys {
                key.evaluate(&no_rows)
                    .map_err(|e| format!("its key {key} cannot be evaluated: {e}"))?;
            }
            Ok(())
        }
        Exchange::Merge { ordering, fetch: _ } => {
            let properties = stage.fragment.equivalence_properties();
            match properties
                .ordering_satisfy(ordering.iter().cloned())
                .map_err(|e| e.to_string())?
            {
                true => Ok(()),
                false => Err(format!("its units are merged by [{ordering}], but not sorted so")),
            }
        }
        Exchange::Broadcast | Exchange::Gather => Ok(()),
    }
}

fn check_use(graph: &StageGraph, stage: &Stage, root: StageId) -> Finding {
    let is_root = stage.id == root;
    if !is_root && graph.consumers(stage.id).next().is_none() {
        return Err("nobody reads it".to_owned());
    }
    match &stage.output {
        Exchange::Hash { .. } | Exchange::Broadcast if is_root => {
            Err(format!("the query's result is written by {}", stage.output))
        }
        _ => Ok(()),
    }
}
