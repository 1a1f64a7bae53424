//! Runs queries one after the other and tells how long each took.

use crate::engine::Effort;
use crate::job::Job;
use crate::queries::{Query, Statement};
use anyhow::Context;
use serde::{Deserialize, Serialize};
use std::io::Write;
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

/// What came of a statement that ran to its end.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Ran {
    rows: usize,
    /// Counted from the last time the run was begun or resumed.
    elapsed: Duration,
    effort: Effort,
}

/// Runs the queries and writes a line for each statement as soon as it is done, then the total.
///
/// A statement that fails is told and does not keep the others from running. If the job has a state folder, the next one
/// runs only such statements again.
///
/// # Errors
/// If the job is interrupted, `out` cannot be written, or the job's state not be kept.
pub async fn run(mut job: Job<'_, Ran>, queries: &[&Query], out: &mut impl Write) -> anyhow::Result<RunReport> {
    let mut report = RunReport::default();
    write(out, format_args!("{:>5}  {:>9}  {:>10}\n", "query", "rows", "time"))?;
    for statement in queries.iter().flat_map(|query| query.statements()) {
        let ran = match job.outcome(&statement) {
            Some(ran) => Ok(ran),
            None => run_statement(&mut job, &statement).await?,
        };
        let name = &statement.name;
        match ran {
            Ok(Ran { rows, elapsed, effort }) => {
                write(out, format_args!("{name:>5}  {rows:>9}  {:>10}\n", seconds(elapsed)))?;
                report.succeeded += 1;
                report.elapsed += elapsed;
                report.effort += effort;
            }
            Err(error) => {
                write(out, format_args!("{name:>5}  FAILED: {error:#}\n"))?;
                report.failed += 1;
            }
        }
    }
    if report.failed == 0 {
        job.close()?;
    }
    let statements = match report.succeeded {
        1 => "1 statement".to_owned(),
        several => format!("{several} statements"),
    };
    write(
        out,
        format_args!("{:>5}  {statements}, {}", "total", seconds(report.elapsed)),
    )?;
    if report.effort.invocations > 0 {
        write(out, format_args!("; {}", report.effort))?;
    }
    write(out, format_args!("\n"))?;
    Ok(report)
}

/// Runs one statement. It is recorded if it succeeds; otherwise the result says why it did not.
async fn run_statement(job: &mut Job<'_, Ran>, statement: &Statement) -> anyhow::Result<anyhow::Result<Ran>> {
    let answer = match job.answer(statement).await? {
        Ok(answer) => answer,
        Err(error) => return Ok(Err(error)),
    };
    let ran = Ran {
        rows: answer.rows(),
        elapsed: answer.elapsed,
        effort: answer.effort,
    };
    job.finished(statement, &ran)?;
    Ok(Ok(ran))
}

/// Writes at once, so that a reader sees each line when it is there.
pub(crate) fn write(out: &mut impl Write, text: std::fmt::Arguments<'_>) -> anyhow::Result<()> {
    out.write_fmt(text)
        .and_then(|()| out.flush())
        .context("cannot write the results")
}

/// A time as the tables show it.
pub(crate) fn seconds(time: Duration) -> String {
    format!("{:.3} s", time.as_secs_f64())
}
