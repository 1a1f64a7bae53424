//! A stage graph as text, for `EXPLAIN`.
//!
//! ```text
//! stage 0: 8 units, Hash([k@0], 8)
//!   DataSourceExec: ...
//! stage 1 (result): 8 units, Gather, reads 0
//!   AggregateExec: ...
//!     ShuffleReaderExec: stage=0, Hash([k@0], 8)
//! ```

use std::fmt::Write;

use datafusion::physical_plan::displayable;

use crate::stage::{Stage, StageGraph};

/// The stages in order, each with its units, its exchange, what it reads, and its tree.
pub fn explain(graph: &StageGraph) -> String {
    let mut text = String::new();
    for stage in &graph.stages {
        text.push_str(&heading(graph, stage));
        for line in displayable(stage.fragment.as_ref()).indent(false).to_string().lines() {
            // Writing to a string does not fail.
            let _ = writeln!(text, "  {line}");
        }
    }
    text
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
