//! The command line of `kappa-tpcds`.
//!
//! Exit codes: 0 all is well; 1 something failed or is not equal; 2 the command line makes no sense; 130 stopped by Ctrl-C.

use crate::data::{self, Scale, TABLES};
use crate::queries;
use anyhow::Context;
use clap::{Args, Parser, Subcommand};
use std::io::{self, Write};
use std::num::NonZero;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

/// TPC-DS on Kappa: data, the 99 queries, a runner and a verifier.
///
/// Data and queries are derived from TPC-DS; the times are not TPC-DS results.
#[derive(Debug, Parser)]
#[command(name = "kappa-tpcds", version, max_term_width = 120)]
struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Write the 24 tables as Parquet files
    #[command(
        after_help = "Examples:\n  kappa-tpcds generate --scale 1 --output data\n  kappa-tpcds generate --scale 0.01 --output tiny --overwrite"
    )]
    Generate(GenerateArgs),
    /// Print a query with its parameters filled in, or list all queries
    #[command(
        after_help = "Examples:\n  kappa-tpcds query\n  kappa-tpcds query 95\n  kappa-tpcds query 95 --param year=2000 --param state=TX"
    )]
    Query(QueryArgs),
}

#[derive(Debug, Args)]
struct GenerateArgs {
    /// How much: 1 is about 1 GB of raw text; fractions down to 0.001 are for tests
    #[arg(long, short, value_name = "S")]
    scale: Scale,
    /// The folder for the tables, one folder each; tables that are there already are kept
    #[arg(long, short, value_name = "DIR")]
    output: PathBuf,
    /// Replace the tables that are there already
    #[arg(long)]
    overwrite: bool,
    /// How many threads [default: one per core]
    #[arg(long, value_name = "N")]
    threads: Option<NonZero<usize>>,
}

#[derive(Debug, Args)]
struct QueryArgs {
    /// Which query, 1 to 99; without it, all are listed
    number: Option<u32>,
    /// Replace the value of a parameter
    #[arg(long = "param", short, value_name = "NAME=VALUE", value_parser = queries::parameter, requires = "number")]
    parameters: Vec<(String, String)>,
}

/// Runs the program with the arguments of this process.
pub fn main() -> ExitCode {
    let command_line = CommandLine::parse();
    let outcome = match command_line.command {
        Command::Generate(args) => generate(&args),
        Command::Query(args) => query(&args),
    };
    match outcome {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// What a shell expects of a program that Ctrl-C stopped.
const INTERRUPTED: u8 = 130;

fn generate(args: &GenerateArgs) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start")?;
    let defaults = data::Options::default();
    let options = data::Options {
        overwrite: args.overwrite,
        threads: args.threads.unwrap_or(defaults.threads),
        ..defaults
    };
    let (scale, output) = (args.scale, args.output.clone());
    let started = Instant::now();
    let outcome = runtime.block_on(cancellable(move |cancelled| {
        data::generate(scale, &output, &options, cancelled)
    }))?;
    match outcome {
        Ok(made) if made.tables == 0 => eprintln!(
            "all {} tables are there already in {}",
            TABLES.len(),
            args.output.display()
        ),
        Ok(made) => eprintln!(
            "{} tables with {} rows in {:.1} MB: {} ({:.1} s)",
            made.tables,
            made.rows,
            made.bytes as f64 / 1e6,
            args.output.display(),
            started.elapsed().as_secs_f64()
        ),
        Err(data::GenerateError::Cancelled) => {
            eprintln!("{}", data::GenerateError::Cancelled);
            return Ok(ExitCode::from(INTERRUPTED));
        }
        Err(error) => return Err(error.into()),
    }
    Ok(ExitCode::SUCCESS)
}

/// Runs blocking work that looks now and then whether the user has pressed Ctrl-C (or the process was asked to end).
async fn cancellable<T: Send + 'static>(work: impl FnOnce(&AtomicBool) -> T + Send + 'static) -> anyhow::Result<T> {
    let cancelled = Arc::new(AtomicBool::new(false));
    let seen_by_work = Arc::clone(&cancelled);
    let mut work = tokio::task::spawn_blocking(move || work(&seen_by_work));
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())
        .context("cannot watch for signals")?;
    let finished = tokio::select! {
        finished = &mut work => finished,
        _ = async { tokio::select! { _ = tokio::signal::ctrl_c() => {}, _ = terminate.recv() => {} } } => {
            cancelled.store(true, Ordering::Relaxed);
            work.await
        }
    };
    finished.context("the work broke off")
}

fn query(args: &QueryArgs) -> anyhow::Result<ExitCode> {
    let mut text = String::new();
    match args.number {
        None => {
            for query in queries::all() {
                text.push_str(&format!("{:>2}  {}\n", query.number, query.title));
            }
        }
        Some(number) => {
            let statements = queries::get(number)?.statements_with(&args.parameters)?;
            let statements: Vec<_> = statements.into_iter().map(|statement| statement.sql + ";\n").collect();
            text = statements.join("\n");
        }
    }
    // A reader that has seen enough (`| head`) is not an error.
    match io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error).context("cannot write to stdout"),
        _ => Ok(ExitCode::SUCCESS),
    }
}
