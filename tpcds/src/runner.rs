//! Runs queries one after the other and tells how long each took.

use crate::engine::{Effort, Engine};
use crate::queries::{Query, Statement};
use std::io::{self, Write};
use std::time::Duration;

/// What came of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RunReport {
    /// Statements that ran to their end.
    pub succeeded: usize,
    /// Statements that did not.
    pub failed: usize,
    /// The sum of the times.
    pub elapsed: Duration,
    /// What they took of the platform.
    pub effort: Effort,
}

/// Runs the queries on `engine` and writes a line for each statement as soon as it is done, then the total.
///
/// A statement that fails is told and does not keep the others from running.
pub async fn run(engine: &Engine, queries: &[&Query], out: &mut impl Write) -> io::Result<RunReport> {
    let mut report = RunReport::default();
    writeln!(out, "{:>5}  {:>9}  {:>10}", "query", "rows", "time")?;
    for Statement { name, sql } in queries.iter().flat_map(|query| query.statements()) {
        match engine.sql(&sql).await {
            Ok(answer) => {
                writeln!(out, "{name:>5}  {:>9}  {:>10}", answer.rows(), seconds(answer.elapsed))?;
                report.succeeded += 1;
                report.elapsed += answer.elapsed;
                report.effort += answer.effort;
            }
            Err(error) => {
                writeln!(out, "{name:>5}  failed: {error:#}")?;
                report.failed += 1;
            }
        }
        out.flush()?;
    }
    let statements = match report.succeeded {
        1 => "1 statement".to_owned(),
        several => format!("{several} statements"),
    };
    writeln!(
        out,
        "{:>5}  {:>9}  {:>10}",
        "total",
        statements,
        seconds(report.elapsed)
    )?;
    Ok(report)
}

/// A time as the tables show it.
pub(crate) fn seconds(time: Duration) -> String {
    format!("{:.3} s", time.as_secs_f64())
}
