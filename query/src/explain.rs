//! A stage graph as text, for `EXPLAIN`; with what its stages did, for `EXPLAIN ANALYZE`.
//!
//! ```text
//! stage 0: 8 units, Hash([k@0], 8)
//!   DataSourceExec: ...
//! stage 1 (result): 8 units, Gather, reads 0
//!   AggregateExec: ...
//!     ShuffleReaderExec: stage=0, Hash([k@0], 8)
//! ```
//!
//! `EXPLAIN ANALYZE` has one more line below each heading:
//!
//! ```text
//! stage 0: 8 units, Hash([k@0], 8)
//!   = 2 tasks put out 1204 rows, 56.1 kB in 8 objects
//! ```
//!
//! and one at the end, for the whole run:
//!
//! ```text
//! run: 5 invocations, 0.311 GB-seconds, 14 writes and 22 reads of the store; on AWS it would have cost 0.000085 USD
//! ```

use std::fmt::Write;

use datafusion::execution::memory_pool::human_readable_size;
use datafusion::physical_plan::displayable;

use crate::exec::progress::StageTotals;
use crate::stage::{Stage, StageGraph};
use kappa::record::cost::Cost;

/// The stages in order, each with its units, its exchange, what it reads, and its tree.
pub fn explain(graph: &StageGraph) -> String {
    stages(graph).concat()
}

/// The same, a text for each stage: its heading on the first line.
pub fn stages(graph: &StageGraph) -> Vec<String> {
    let text = |stage: &Stage| {
        let mut text = heading(graph, stage);
        for line in displayable(stage.fragment.as_ref()).indent(false).to_string().lines() {
            // Writing to a string does not fail.
            let _ = writeln!(text, "  {line}");
        }
        text
    };
    graph.stages.iter().map(text).collect()
}

/// What [`stages`] gave, with what each stage did, and what the run used.
pub fn analyzed(stages: &[String], totals: &[StageTotals], cost: &Cost) -> String {
    let mut text = String::new();
    for (stage, totals) in stages.iter().zip(totals) {
        let (heading, tree) = stage.split_once('\n').unwrap_or((stage, ""));
        let StageTotals {
            tasks,
            objects,
            rows,
            bytes,
        } = totals;
        let bytes = human_readable_size(usize::try_from(*bytes).unwrap_or(usize::MAX));
        let tasks = counted(*tasks, "task");
        let rows = counted(*rows, "row");
        let objects = counted(*objects, "object");
        let _ = write!(
            text,
            "{heading}\n  = {tasks} put out {rows}, {bytes} in {objects}\n{tree}"
        );
    }
    let invocations = counted(cost.invocations + cost.on_coordinator, "invocation");
    let _ = writeln!(text, "run: {invocations}, {}", cost.in_short(true));
    text
}

fn counted(count: u64, what: &str) -> String {
    match count {
        1 => format!("1 {what}"),
        count => format!("{count} {what}s"),
    }
}

/// The line of a stage: number, units, exchange, inputs.
pub fn heading(graph: &StageGraph, stage: &Stage) -> String {
    let is_root = graph.root().is_some_and(|root| root.id == stage.id);
    let result = if is_root { " (result)" } else { "" };
    let units = if stage.units == 1 {
        "1 unit".to_owned()
    } else {
        format!("{} units", stage.units)
    };
    let reads = match stage.inputs.is_empty() {
        true => String::new(),
        false => {
            let inputs: Vec<String> = stage.inputs.iter().map(ToString::to_string).collect();
            format!(", reads {}", inputs.join(", "))
        }
    };
    format!("stage {}{result}: {units}, {}{reads}\n", stage.id, stage.output)
}
