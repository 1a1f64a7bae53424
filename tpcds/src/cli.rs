//! The command line of `kappa-tpcds`.
//!
//! Exit codes: 0 all is well; 1 something failed or is not equal; 2 the command line makes no sense; 130 stopped by
//! Ctrl-C; 143 stopped by SIGTERM.

use crate::data::{self, DataFolder, FolderError, Scale, TABLES};
use crate::engine::{Engine, KappaEngine, PlainEngine};
use crate::interrupt::{Interrupt, Interrupts};
use crate::job::Job;
use crate::queries::{self, Query, QueryError};
use crate::runner::{self, RunReport};
use crate::verify::{self as verifier, Verification};
use anyhow::Context;
use clap::{Args, Parser, Subcommand, ValueEnum};
use kappa::cli::{LinkKind, PlatformKind, RunOptions};
use std::fmt::Display;
use std::io::{self, Write};
use std::num::NonZero;
use std::path::PathBuf;
use std::process::ExitCode;
use std::str::FromStr;
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
    /// Run queries and print how long each took
    #[command(
        after_help = "Examples:\n  kappa-tpcds run --scale 1 --queries 1,16,94,95\n  kappa-tpcds run --data data --engine datafusion"
    )]
    Run(RunArgs),
    /// Run queries on Kappa and on plain DataFusion and compare the answers
    #[command(
        after_help = "Examples:\n  kappa-tpcds verify --scale 1\n  kappa-tpcds verify --platform process --time-limit 2s --chaos kill=0.3,seed=7"
    )]
    Verify(VerifyArgs),
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

/// Which data, and which queries.
#[derive(Debug, Args)]
struct SubjectArgs {
    /// The scale of the data
    #[arg(long, short, value_name = "S", default_value = "1")]
    scale: Scale,
    /// A folder with the tables [default: a folder of the user's cache, filled if need be]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Which queries: numbers and ranges
    #[arg(long, short, value_name = "LIST", default_value = "1-99")]
    queries: Selection,
}

#[derive(Debug, Args)]
struct RunArgs {
    #[command(flatten)]
    subject: SubjectArgs,
    /// What the queries run on
    #[arg(long, value_enum, default_value_t = EngineName::Kappa)]
    engine: EngineName,
    #[command(flatten)]
    platform: RunOptions,
}

#[derive(Debug, Args)]
struct VerifyArgs {
    #[command(flatten)]
    subject: SubjectArgs,
    #[command(flatten)]
    platform: RunOptions,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum EngineName {
    /// Tasks that may be killed at any moment
    Kappa,
    /// DataFusion in one process, for comparison
    Datafusion,
}

/// The value of `--queries`.
#[derive(Clone, Debug)]
struct Selection(Vec<&'static Query>);

impl FromStr for Selection {
    type Err = QueryError;

    fn from_str(text: &str) -> Result<Self, QueryError> {
        queries::select(text).map(Selection)
    }
}

/// Runs the program with the arguments of this process.
pub fn main() -> ExitCode {
    let command_line = CommandLine::parse();
    let outcome = match command_line.command {
        Command::Generate(args) => generate(&args),
        Command::Query(args) => query(&args),
        Command::Run(args) => run(&args),
        Command::Verify(args) => verify(&args),
    };
    match outcome {
        Ok(code) => code,
        Err(error) => match error.downcast_ref::<Interrupt>() {
            Some(interrupt) => {
                say(interrupt);
                ExitCode::from(interrupt.exit_code())
            }
            None => {
                say(format_args!("error: {error:#}"));
                ExitCode::FAILURE
            }
        },
    }
}

/// A line for people. Who has closed stderr does not want it.
fn say(text: impl Display) {
    let _ = writeln!(io::stderr().lock(), "{}", kappa::cli::harmless(&text.to_string()));
}

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
    let (interrupts, outcome) = runtime.block_on(async {
        let interrupts = listen()?;
        let work = move |cancelled: &AtomicBool| data::generate(scale, &output, &options, cancelled);
        let outcome = cancellable(&interrupts, work).await?;
        anyhow::Ok((interrupts, outcome))
    })?;
    match outcome {
        Ok(made) if made.tables == 0 => say(format_args!(
            "all {} tables are there already in {}",
            TABLES.len(),
            args.output.display()
        )),
        Ok(made) => say(format_args!(
            "{} tables with {} rows in {:.1} MB: {} ({:.1} s)",
            made.tables,
            made.rows,
            made.bytes as f64 / 1e6,
            args.output.display(),
            started.elapsed().as_secs_f64()
        )),
        Err(data::GenerateError::Cancelled) => {
            say(data::GenerateError::Cancelled);
            let interrupt = runtime.block_on(interrupts.next());
            return Ok(ExitCode::from(interrupt.exit_code()));
        }
        Err(error) => return Err(error.into()),
    }
    Ok(ExitCode::SUCCESS)
}

fn run(args: &RunArgs) -> anyhow::Result<ExitCode> {
    let platform = &args.platform;
    if args.engine == EngineName::Datafusion && is_given(platform) {
        anyhow::bail!("--engine datafusion runs in this process: leave out the options that say on what Kappa runs");
    }
    with_data(&args.subject, platform, async |data, interrupts| {
        let engine = match args.engine {
            EngineName::Datafusion => Engine::Plain(PlainEngine::new(&data).await?),
            EngineName::Kappa => Engine::Kappa(KappaEngine::new(&data, platform).await?),
        };
        let report = run_on(&engine, &data, args, interrupts).await;
        engine.shutdown().await;
        Ok(match report?.failed {
            0 => ExitCode::SUCCESS,
            _ => ExitCode::FAILURE,
        })
    })
}

async fn run_on(
    engine: &Engine,
    data: &DataFolder,
    args: &RunArgs,
    interrupts: Interrupts,
) -> anyhow::Result<RunReport> {
    let job = Job::open(engine, data.fingerprint()?, args.platform.state.as_deref(), "run")?.ended_by(interrupts);
    runner::run(job, &args.subject.queries.0, &mut io::stdout()).await
}

fn verify(args: &VerifyArgs) -> anyhow::Result<ExitCode> {
    let platform = &args.platform;
    with_data(&args.subject, platform, async |data, interrupts| {
        let plain = PlainEngine::new(&data).await?;
        let engine = Engine::Kappa(KappaEngine::new(&data, platform).await?);
        let verification = verify_on(&engine, &plain, &data, args, interrupts).await;
        engine.shutdown().await;
        let verification = verification?;
        Ok(if verification.equal == verification.total {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        })
    })
}

async fn verify_on(
    engine: &Engine,
    plain: &PlainEngine,
    data: &DataFolder,
    args: &VerifyArgs,
    interrupts: Interrupts,
) -> anyhow::Result<Verification> {
    let job = Job::open(engine, data.fingerprint()?, args.platform.state.as_deref(), "verify")?.ended_by(interrupts);
    verifier::verify(job, plain, &args.subject.queries.0, &mut io::stdout()).await
}

/// Whether any of the options was given.
fn is_given(platform: &RunOptions) -> bool {
    let RunOptions {
        platform,
        workers,
        time_limit,
        memory_limit,
        function,
        link,
        listen,
        advertise,
        store,
        state,
        sync,
        objects_below,
        same_program,
        chaos,
        metrics,
    } = platform;
    *platform != PlatformKind::default()
        || workers.is_some()
        || time_limit.is_some()
        || memory_limit.is_some()
        || *link != LinkKind::default()
        || function.is_some()
        || listen.is_some()
        || advertise.is_some()
        || store.is_some()
        || state.is_some()
        || *sync
        || !objects_below.is_empty()
        || *same_program
        || chaos.is_some()
        || metrics.is_some()
}

impl SubjectArgs {
    /// The folder that was given, or the one in the cache.
    async fn data_folder(&self, interrupts: &Interrupts) -> anyhow::Result<DataFolder> {
        let scale = self.scale;
        match &self.data {
            Some(folder) => Ok(DataFolder::open(folder, scale)?),
            None => {
                let work = move |cancelled: &AtomicBool| DataFolder::cached(scale, cancelled);
                match cancellable(interrupts, work).await? {
                    Err(FolderError::Generate(data::GenerateError::Cancelled)) => Err(interrupts.next().await.into()),
                    folder => Ok(folder?),
                }
            }
        }
    }
}

/// Finds or makes the data, then runs the work, which ends by itself when it is interrupted.
fn with_data(
    subject: &SubjectArgs,
    platform: &RunOptions,
    work: impl AsyncFnOnce(DataFolder, Interrupts) -> anyhow::Result<ExitCode>,
) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start")?;
    let outcome = runtime.block_on(async {
        platform.check()?;
        let interrupts = listen()?;
        let data = subject.data_folder(&interrupts).await?;
        work(data, interrupts).await
    });
    // What still runs in the background (a query's threads) must not keep the process from ending.
    runtime.shutdown_background();
    if platform.state.is_some() && outcome.as_ref().is_err_and(|error| error.is::<Interrupt>()) {
        say("the same command goes on from here");
    }
    outcome
}

fn listen() -> anyhow::Result<Interrupts> {
    Interrupts::listen().context("cannot listen to signals")
}

/// Runs blocking work that looks now and then whether it has been interrupted. Then it tidies up first.
async fn cancellable<T: Send + 'static>(
    interrupts: &Interrupts,
    work: impl FnOnce(&AtomicBool) -> T + Send + 'static,
) -> anyhow::Result<T> {
    let cancelled = Arc::new(AtomicBool::new(false));
    let seen_by_work = Arc::clone(&cancelled);
    let mut work = tokio::task::spawn_blocking(move || work(&seen_by_work));
    let finished = match interrupts.interruptible(&mut work).await {
        Ok(finished) => finished,
        Err(_) => {
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
