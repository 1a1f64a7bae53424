//! The command line of `kappa-sql`.

use crate::cli::output::Format;
use clap::{Args, Parser, Subcommand};
use kappa::cli::{Inspection, RunOptions};
use std::path::PathBuf;

const EXAMPLES: &str = "\
Examples:
  Every Parquet, CSV and JSON file or folder in `shop` is a table:
    kappa-sql --data shop -c 'SELECT city, count(*) AS n FROM orders GROUP BY city ORDER BY n DESC'

  A script, its results as CSV in a file that appears when everything has succeeded:
    kappa-sql --data shop -f report.sql --format csv --output report.csv

  What runs where:
    kappa-sql --data shop -c 'EXPLAIN SELECT city, count(*) FROM orders GROUP BY city'

  Each task in a process of its own, killed after two seconds or at random; the answer is the same:
    kappa-sql --data shop -f report.sql --platform process --time-limit 2s --chaos kill=0.3,seed=7 --stats

  A run that survives the end of this very process, and how to go on with it:
    kappa-sql --data shop -f report.sql --state state
    kappa-sql resume RUN --state state

  What runs did and do (RUN is an id, the beginning of one, or `last`):
    kappa-sql runs --state state
    kappa-sql show last --state state
    kappa-sql gc --state state --dry-run

  The prompt (\\? lists its commands):
    kappa-sql --data shop

Exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted (143 by SIGTERM).";

/// SQL over files, on tasks that may be killed at any moment.
///
/// Without -c and -f, statements are read from a prompt, or from standard input if that is no terminal.
#[derive(Debug, Parser)]
#[command(name = "kappa-sql", version, after_help = EXAMPLES, args_conflicts_with_subcommands = true)]
pub(crate) struct Options {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,

    /// Makes every Parquet, CSV and JSON file of the folder a table, and every sub-folder of such files; can be repeated. The folder may be in S3:
    /// `s3://BUCKET[/PATH]`.
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Vec<PathBuf>,

    /// Runs these statements, separated by `;`.
    #[arg(
        short = 'c',
        long = "command",
        value_name = "SQL",
        conflicts_with = "file",
        allow_hyphen_values = true
    )]
    pub(crate) sql: Option<String>,

    /// Runs the statements of the file; `-` is standard input.
    #[arg(short = 'f', long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) output: OutputOptions,

    #[command(flatten)]
    pub(crate) run: RunOptions,
}

/// What else can be done.
#[derive(Debug, Subcommand)]
#[allow(clippy::large_enum_variant, reason = "there is one in a process")]
pub(crate) enum Command {
    /// Goes on with a run that was interrupted, and prints its result.
    Resume(Resume),
    #[command(flatten)]
    Inspection(Inspection),
}

#[derive(Debug, Args)]
pub(crate) struct Resume {
    /// The run: its id, as it was printed when the run was started, the beginning of it, or `last`.
    #[arg(value_name = "RUN")]
    pub(crate) run: String,

    #[command(flatten)]
    pub(crate) output: OutputOptions,

    #[command(flatten)]
    pub(crate) options: RunOptions,
}

/// How results are shown.
#[derive(Debug, Args)]
pub(crate) struct OutputOptions {
    /// How results are written.
    #[arg(long, value_enum, default_value_t = Format::Table)]
    pub(crate) format: Format,

    /// Writes the results to this file, which appears when everything has succeeded.
    #[arg(short = 'o', long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,

    /// Says on standard error what each query took: invocations, killed ones, checkpoints, bytes.
    #[arg(long)]
    pub(crate) stats: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Options::command().debug_assert();
    }

    #[test]
    fn every_example_of_the_help_is_a_valid_command_line() {
        let mut examples = 0;
        for line in EXAMPLES
            .lines()
            .map(str::trim)
            .filter(|line| line.starts_with("kappa-sql "))
        {
            Options::try_parse_from(words(line)).unwrap_or_else(|error| panic!("{line}: {error}"));
            examples += 1;
        }
        assert_eq!(examples, 10);
    }

    /// Splits at spaces that are not within quotes.
    fn words(line: &str) -> Vec<String> {
        let quoted = line.split('\'').enumerate();
        quoted
            .flat_map(|(number, part)| match number % 2 {
                0 => part.split_whitespace().map(str::to_owned).collect(),
                _ => vec![part.to_owned()],
            })
            .collect()
    }

    #[test]
    fn statements_come_from_one_place() {
        assert!(Options::try_parse_from(["kappa-sql", "-c", "select 1", "-f", "x.sql"]).is_err());
        assert!(Options::try_parse_from(["kappa-sql", "-c", "select 1", "resume", "x"]).is_err());
        assert!(Options::try_parse_from(["kappa-sql", "--format", "tabel"]).is_err());
    }
}
