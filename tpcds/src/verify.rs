//! Runs queries on two engines and says whether the answers are the same.
//!
//! The right answer is plain DataFusion's. How answers are compared is told in [`compare`](mod@crate::compare), where a query leaves
//! the order open in [`reference`](crate::reference).

use crate::compare::{Difference, Verdict, compare};
use crate::engine::{Answer, Effort, PlainEngine};
use crate::job::Job;
use crate::queries::{Query, Statement};
use crate::reference::ReferenceQuery;
use crate::runner::{seconds, write};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::io::Write;
use std::time::Duration;

/// What came of a verification; prints as its last line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Verification {
    /// Queries whose every statement gave the right answer.
    pub equal: usize,
    /// Queries that were compared.
    pub total: usize,
    /// What the engine under test took of its platform.
    pub effort: Effort,
}

impl fmt::Display for Verification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} equal; {}", self.equal, self.total, self.effort)
    }
}

/// What is told of one statement.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Verified {
    /// The lines that tell how the comparison ended.
    text: String,
    /// What the engine took of its platform.
    effort: Effort,
}

/// Compares the answers of the job's engine with those of plain DataFusion, and writes a line for each statement, then the summary.
///
/// A statement that fails counts as not equal and does not keep the others from running. If the job has a state folder,
/// the next one compares only those again that were not equal.
///
/// # Errors
/// If the job is interrupted, `out` cannot be written, or the job's state not be kept.
pub async fn verify(
    mut job: Job<'_, Verified>,
    plain: &PlainEngine,
    queries: &[&Query],
    out: &mut impl Write,
) -> anyhow::Result<Verification> {
    let mut verification = Verification::default();
    let engine = job.engine().name();
    write(
        out,
        format_args!(
            "{:>5}  {:<9}  {:>9}  {engine:>10}  {:>10}\n",
            "query", "answers", "rows", "plain"
        ),
    )?;
    for query in queries {
        let mut is_equal = true;
        for statement in query.statements() {
            let (is_right, verified) = match job.outcome(&statement) {
                Some(verified) => (true, verified),
                None => verify_statement(&mut job, plain, &statement).await?,
            };
            is_equal &= is_right;
            verification.effort += verified.effort;
            write(out, format_args!("{}", verified.text))?;
        }
        verification.total += 1;
        verification.equal += usize::from(is_equal);
    }
    if verification.equal == verification.total {
        job.close()?;
    }
    write(out, format_args!("{verification}\n"))?;
    Ok(verification)
}

/// Whether the answer to a statement is right, and what is told of it. Only a right one is recorded.
async fn verify_statement(
    job: &mut Job<'_, Verified>,
    plain: &PlainEngine,
    statement: &Statement,
) -> anyhow::Result<(bool, Verified)> {
    let name = &statement.name;
    let failed = |error: anyhow::Error, effort: Effort| {
        let text = format!("{name:>5}  FAILED     {error:#}\n");
        (false, Verified { text, effort })
    };
    let answer = match job.answer(statement).await? {
        Ok(answer) => answer,
        Err(error) => return Ok(failed(error, Effort::default())),
    };
    let judgement = job.interrupts().interruptible(judge(&answer, plain, statement)).await?;
    let judgement = match judgement {
        Ok(judgement) => judgement,
        Err(error) => return Ok(failed(error.context("no answer to compare with"), answer.effort)),
    };
    let verified = Verified {
        text: judgement.tell(name, &answer),
        effort: answer.effort,
    };
    let is_right = judgement.verdict == Verdict::Equal;
    if is_right {
        job.finished(statement, &verified)?;
    } else {
        job.discard(statement)?;
    }
    Ok((is_right, verified))
}

/// How an answer compares with the right one.
struct Judgement {
    verdict: Verdict,
    had_tie: bool,
    plain_elapsed: Duration,
}

async fn judge(answer: &Answer, plain: &PlainEngine, statement: &Statement) -> anyhow::Result<Judgement> {
    let query = ReferenceQuery::new(plain, &statement.sql).await?;
    let (window, plain_elapsed) = query.window(plain).await?;
    let mut verdict = compare(&answer.schema, &answer.batches, &window)?;
    let had_tie = verdict == Verdict::TieAtTheEdge;
    if had_tie {
        let everything = query.everything(plain).await?;
        verdict = compare(&answer.schema, &answer.batches, &everything)?;
    }
    if verdict == Verdict::Equal {
        verdict = compare_names(answer, query.names());
    }
    Ok(Judgement {
        verdict,
        had_tie,
        plain_elapsed,
    })
}

fn compare_names(answer: &Answer, names: &[String]) -> Verdict {
    let wrong = answer
        .schema
        .fields()
        .iter()
        .zip(names)
        .position(|(field, name)| field.name() != name);
    match wrong {
        None => Verdict::Equal,
        Some(column) => {
            let (got, wanted) = (answer.schema.field(column).name(), &names[column]);
            let summary = format!("column {} is named `{got}` instead of `{wanted}`", column + 1);
            Verdict::Different(Difference {
                summary,
                missing: Vec::new(),
                unexpected: Vec::new(),
            })
        }
    }
}

impl Judgement {
    /// A line with the verdict and the times, and what is different if anything is.
    fn tell(&self, name: &str, answer: &Answer) -> String {
        let word = if self.verdict == Verdict::Equal {
            "equal"
        } else {
            "DIFFERENT"
        };
        let (rows, elapsed, plain) = (answer.rows(), seconds(answer.elapsed), seconds(self.plain_elapsed));
        let mut text = format!("{name:>5}  {word:<9}  {rows:>9}  {elapsed:>10}  {plain:>10}");
        match &self.verdict {
            Verdict::Equal if self.had_tie => text.push_str("  (a tie at the limit, broken in another way)"),
            Verdict::Equal => {}
            Verdict::Different(difference) => {
                for line in difference.to_string().lines() {
                    text.push_str(&format!("\n       {line}"));
                }
            }
            Verdict::TieAtTheEdge => text.push_str("\n       a tie at the limit could not be settled"),
        }
        text.push('\n');
        text
    }
}
