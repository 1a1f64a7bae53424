//! Runs queries on two engines and says whether the answers are the same.
//!
//! The right answer is plain DataFusion's. How answers are compared is told in [`compare`](mod@crate::compare), where a query leaves
//! the order open in [`reference`](crate::reference).

use crate::compare::{Difference, Verdict, compare};
use crate::engine::{Answer, Effort, Engine, PlainEngine};
use crate::queries::{Query, Statement};
use crate::reference::ReferenceQuery;
use crate::runner::seconds;
use std::fmt;
use std::io::{self, Write};
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

/// The outcome for one statement.
struct Outcome {
    verdict: Verdict,
    had_tie: bool,
    rows: usize,
    elapsed: Duration,
    plain_elapsed: Duration,
}

/// Compares the answers of `engine` with those of plain DataFusion, and writes a line for each statement, then the summary.
pub async fn verify(
    engine: &Engine,
    plain: &PlainEngine,
    queries: &[&Query],
    out: &mut impl Write,
) -> io::Result<Verification> {
    let mut verification = Verification::default();
    writeln!(
        out,
        "{:>5}  {:<9}  {:>9}  {:>10}  {:>10}",
        "query",
        "answers",
        "rows",
        engine.name(),
        "datafusion"
    )?;
    for query in queries {
        let mut is_equal = true;
        for statement in query.statements() {
            let outcome = verify_statement(engine, plain, &statement, &mut verification.effort).await;
            is_equal &= matches!(&outcome, Ok(outcome) if outcome.verdict == Verdict::Equal);
            write_outcome(out, &statement.name, &outcome)?;
            out.flush()?;
        }
        verification.total += 1;
        verification.equal += usize::from(is_equal);
    }
    writeln!(out, "{verification}")?;
    Ok(verification)
}

async fn verify_statement(
    engine: &Engine,
    plain: &PlainEngine,
    statement: &Statement,
    effort: &mut Effort,
) -> anyhow::Result<Outcome> {
    let answer = engine.sql(&statement.sql).await?;
    *effort += answer.effort;
    let query = ReferenceQuery::new(plain, &statement.sql).await?;
    let (window, plain_elapsed) = query.window(plain).await?;
    let mut verdict = compare(&answer.schema, &answer.batches, &window)?;
    let had_tie = verdict == Verdict::TieAtTheEdge;
    if had_tie {
        let everything = query.everything(plain).await?;
        verdict = compare(&answer.schema, &answer.batches, &everything)?;
    }
    if verdict == Verdict::Equal {
        verdict = compare_names(&answer, query.names());
    }
    Ok(Outcome {
        verdict,
        had_tie,
        rows: answer.rows(),
        elapsed: answer.elapsed,
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

fn write_outcome(out: &mut impl Write, name: &str, outcome: &anyhow::Result<Outcome>) -> io::Result<()> {
    let Outcome {
        verdict,
        had_tie,
        rows,
        elapsed,
        plain_elapsed,
    } = match outcome {
        Ok(outcome) => outcome,
        Err(error) => return writeln!(out, "{name:>5}  FAILED     {error:#}"),
    };
    let word = if *verdict == Verdict::Equal {
        "equal"
    } else {
        "DIFFERENT"
    };
    let (elapsed, plain_elapsed) = (seconds(*elapsed), seconds(*plain_elapsed));
    write!(
        out,
        "{name:>5}  {word:<9}  {rows:>9}  {elapsed:>10}  {plain_elapsed:>10}"
    )?;
    if *had_tie && *verdict == Verdict::Equal {
        write!(out, "  (a tie at the limit, broken in another way)")?;
    }
    writeln!(out)?;
    match verdict {
        Verdict::Equal => Ok(()),
        Verdict::Different(difference) => writeln!(out, "       {}", difference.to_string().replace('\n', "\n       ")),
        Verdict::TieAtTheEdge => writeln!(out, "       a tie at the limit could not be settled"),
    }
}
