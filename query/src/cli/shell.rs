//! Running statements and showing what they give: what the command line, scripts and the prompt have in common.

use crate::cli::destination::Destination;
use crate::cli::interrupt::{Interrupt, Interrupts};
use crate::cli::message;
use crate::cli::output::{Format, OutputError, write_rows};
use crate::cli::progress::{Progress, REFRESH, plural};
use crate::cli::say;
use crate::cli::statements::Origin;
use crate::engine::{Engine, Execution, QueryResult, RunningQuery};
use crate::error::QueryError;
use kappa::cli::Troubles;
use kappa::ids::RunId;
use kappa::runtime::RunStats;
use std::future::Future;
use std::io;
use std::path::PathBuf;
use std::pin::pin;
use std::time::Instant;
use tokio::time::MissedTickBehavior;

/// Why no further statement is run.
#[derive(Debug)]
pub(crate) enum Stop {
    /// Something is wrong; the message says what.
    Failed(String),
    /// The command line makes no sense; the message says what would.
    Misused(String),
    /// A person or the system wants it to end; the message says how to go on, if that is possible.
    Interrupted(Interrupt, Option<String>),
    /// Whoever read the results has seen enough (`| head`).
    ReaderLeft,
}

/// Runs statements on an engine and writes their results to one destination.
pub(crate) struct Shell {
    pub(crate) engine: Engine,
    pub(crate) interrupts: Interrupts,
    pub(crate) destination: Destination,
    pub(crate) format: Format,
    /// Whether to say after each query what it took.
    pub(crate) with_stats: bool,
    /// Whether to say how long each statement took.
    pub(crate) with_timing: bool,
    /// The folder in which runs survive this process.
    pub(crate) state: Option<PathBuf>,
    /// The store, if it is another than that of the state.
    pub(crate) store: Option<String>,
    /// Whether something was written already.
    pub(crate) has_output: bool,
}

impl Shell {
    /// Runs all statements of a text, one after another. Nothing is run if any of them cannot be parsed.
    pub(crate) async fn run_text(&mut self, sql: &str, origin: &Origin) -> Result<(), Stop> {
        let statements = self
            .engine
            .parse(sql)
            .map_err(|error| self.failed(&error, sql, origin))?;
        for statement in statements {
            let started = Instant::now();
            let execution = interruptible(&mut self.interrupts, self.engine.start(statement)).await?;
            let execution = execution.map_err(|error| self.failed(&error, sql, origin))?;
            self.finish(execution, started, sql, origin).await?;
        }
        Ok(())
    }

    /// Goes on with a run and shows its result.
    pub(crate) async fn resume(&mut self, run: RunId) -> Result<(), Stop> {
        let (started, origin) = (Instant::now(), Origin::command_line());
        let query = interruptible(&mut self.interrupts, self.engine.resume(run)).await?;
        let query = query.map_err(|error| self.failed(&error, "", &origin))?;
        self.finish(Execution::Running(query), started, "", &origin).await
    }

    async fn finish(&mut self, execution: Execution, started: Instant, sql: &str, origin: &Origin) -> Result<(), Stop> {
        let result = match execution {
            Execution::Done(result) => *result,
            Execution::Running(query) => {
                let result = self.wait_for(query).await?;
                result.map_err(|error| self.failed(&error, sql, origin))?
            }
        };
        self.show(&result)?;
        self.tell(&result, started);
        Ok(())
    }

    async fn wait_for(&mut self, query: RunningQuery) -> Result<Result<QueryResult, QueryError>, Stop> {
        let resume = self.state.as_ref().map(|state| {
            let shown = |place: &str| shell_word(&kappa::cli::shown_place(place));
            let state = shown(&state.to_string_lossy());
            let mut resume = format!("kappa-sql resume {} --state {state}", query.run_id());
            // Its objects are there, and nowhere else.
            if let Some(store) = &self.store {
                resume.push_str(&format!(" --store {}", shown(store)));
            }
            resume
        });
        if let Some(resume) = &resume {
            say(format_args!(
                "run {}; if it is interrupted, go on with: {resume}",
                query.run_id()
            ));
        }
        let mut progress = Progress::start();
        let mut troubles = Troubles::of(query.events());
        let mut ticks = tokio::time::interval(REFRESH);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let interrupt = {
            let mut wait = pin!(query.wait());
            loop {
                tokio::select! {
                    result = &mut wait => break Ok(result),
                    interrupt = self.interrupts.next() => break Err(interrupt),
                    _ = ticks.tick() => {
                        progress.show(query.progress());
                        if let Some(trouble) = troubles.news() {
                            say(format_args!("warning: {trouble}"));
                        }
                    }
                }
            }
        };
        drop(progress);
        let interrupt = match interrupt {
            Err(interrupt) => interrupt,
            Ok(Err(QueryError::Run(error))) if error.is_resumable() => {
                let what = message::of_stopped_run(&error);
                return Err(Stop::Failed(match resume {
                    Some(resume) => format!("{what}\nnothing is lost; go on when that is mended with: {resume}"),
                    None => what,
                }));
            }
            Ok(result) => return Ok(result),
        };
        if resume.is_some() {
            query.interrupt().await;
        } else {
            query.cancel();
            // It fails, as it was cancelled; what it had stored is deleted.
            let _ = query.wait().await;
        }
        Err(Stop::Interrupted(interrupt, resume))
    }

    /// Writes rows to the destination.
    pub(crate) fn show(&mut self, result: &QueryResult) -> Result<(), Stop> {
        let is_first = !std::mem::replace(&mut self.has_output, true);
        let has_rows = !result.schema.fields().is_empty();
        let format = self.format;
        let written = self.destination.write(|to| {
            // Two tables, or two headers, need something between them; two JSON objects do not.
            if has_rows && !is_first && format != Format::Json {
                to.write_all(b"\n")?;
            }
            write_rows(format, &result.schema, &result.batches, to)
        });
        self.has_output = !is_first || has_rows;
        written.map_err(|error| match error {
            OutputError::Io(error) => of_write(&error),
            error => Stop::Failed(error.to_string()),
        })
    }

    /// Says on standard error what is worth saying about a result.
    fn tell(&self, result: &QueryResult, started: Instant) {
        let mut words = Vec::new();
        if self.format == Format::Table && !result.schema.fields().is_empty() {
            words.push(plural(result.rows() as u64, "row"));
        }
        if self.with_timing {
            words.push(format!("{:.3} s", started.elapsed().as_secs_f64()));
        }
        if !words.is_empty() {
            say(format_args!("({})", words.join(", ")));
        }
        if let Some(stats) = result.stats.as_ref().filter(|_| self.with_stats) {
            let cost = result.cost.as_ref().map(|cost| cost.in_short(false));
            say(summary(stats, cost.as_deref()));
        }
    }

    /// The names of the tables, sorted.
    pub(crate) fn tables(&self) -> Vec<String> {
        let context = self.engine.session().context();
        let defaults = &context.copied_config().options().catalog.clone();
        let catalog = context.catalog(&defaults.default_catalog);
        let schema = catalog.and_then(|catalog| catalog.schema(&defaults.default_schema));
        let mut tables = schema.map(|schema| schema.table_names()).unwrap_or_default();
        tables.sort_unstable();
        tables
    }

    pub(crate) fn failed(&self, error: &QueryError, sql: &str, origin: &Origin) -> Stop {
        Stop::Failed(message::of_error(error, sql, origin, &self.tables()))
    }
}

/// Waits, unless interrupted: then what was waited for is dropped.
pub(crate) async fn interruptible<T>(interrupts: &mut Interrupts, work: impl Future<Output = T>) -> Result<T, Stop> {
    tokio::select! {
        done = work => Ok(done),
        interrupt = interrupts.next() => Err(Stop::Interrupted(interrupt, None)),
    }
}

/// What a failed write means.
pub(crate) fn of_write(error: &io::Error) -> Stop {
    match error.kind() {
        io::ErrorKind::BrokenPipe => Stop::ReaderLeft,
        _ => Stop::Failed(format!("the result cannot be written: {error}")),
    }
}

/// The counts of a run in one line, with what it used.
fn summary(stats: &RunStats, cost: Option<&str>) -> String {
    let RunStats {
        tasks,
        invocations,
        killed,
        timed_out,
        resumed,
        checkpoints,
        checkpoint_bytes,
        ..
    } = stats;
    let mut text = format!(
        "{}: {killed} killed, {timed_out} timed out, {resumed} resumed; {}; {} of {}",
        plural(*invocations, "invocation"),
        plural(*tasks, "task"),
        plural(*checkpoints, "checkpoint"),
        bytes(*checkpoint_bytes),
    );
    for (count, what) in [
        (stats.crashed, "crashed"),
        (stats.out_of_memory, "out of memory"),
        (stats.throttled, "throttled"),
        (stats.store_away, "without the store"),
    ] {
        if count > 0 {
            text.push_str(&format!("; {count} {what}"));
        }
    }
    if let Some(cost) = cost {
        text.push_str(&format!("; {cost}"));
    }
    text
}

/// `512 B`, `1.5 KB`, `20.0 MB`: powers of a thousand.
fn bytes(count: u64) -> String {
    let mut value = count as f64;
    let mut unit = "B";
    for larger in ["KB", "MB", "GB", "TB"] {
        if value < 999.95 {
            break;
        }
        value /= 1000.0;
        unit = larger;
    }
    if unit == "B" {
        format!("{count} B")
    } else {
        format!("{value:.1} {unit}")
    }
}

/// The word as it must be typed into a shell.
fn shell_word(word: &str) -> String {
    let is_plain = !word.is_empty() && word.chars().all(|c| c.is_alphanumeric() || "/._-+=:,@%".contains(c));
    if is_plain {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_names_what_went_wrong_only_if_something_did() {
        let mut stats = RunStats {
            tasks: 3,
            invocations: 1,
            checkpoints: 7,
            checkpoint_bytes: 1_500,
            ..Default::default()
        };
        let quiet = "1 invocation: 0 killed, 0 timed out, 0 resumed; 3 tasks; 7 checkpoints of 1.5 KB";
        assert_eq!(summary(&stats, None), quiet);
        stats.crashed = 2;
        assert_eq!(summary(&stats, None), format!("{quiet}; 2 crashed"));
        assert_eq!(summary(&stats, Some("1 USD")), format!("{quiet}; 2 crashed; 1 USD"));
    }

    #[test]
    fn bytes_are_told_in_the_unit_that_fits() {
        let shown: Vec<String> = [0, 999, 1_000, 999_949, 999_950, u64::MAX]
            .into_iter()
            .map(bytes)
            .collect();
        assert_eq!(shown, ["0 B", "999 B", "1.0 KB", "999.9 KB", "1.0 MB", "18446744.1 TB"]);
    }

    #[test]
    fn a_resume_command_can_be_pasted_into_a_shell() {
        assert_eq!(shell_word("/tmp/state-1"), "/tmp/state-1");
        assert_eq!(shell_word("it's here"), r"'it'\''s here'");
        assert_eq!(shell_word(""), "''");
    }
}
