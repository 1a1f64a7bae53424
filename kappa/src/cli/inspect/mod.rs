//! Commands about runs that are or were: what a state, in a folder or on Redis servers, knows of them. The same in every program made with Kappa and in the binary `kappa`.
//!
//! What was asked for, and nothing else, goes to stdout: a table without colours, or JSON with `--json`.

mod cancel;
mod cost;
mod gc;
mod resume;
mod runs;
mod show;
pub(super) mod table;
mod timeline;

use super::parse;
use super::run::{End, end, say};
use crate::ids::RunId;
use crate::record::about::About;
use crate::record::{Records, records};
use crate::replicas::address;
use crate::store::{self, Store, StoreError};
use clap::{ArgMatches, Args, FromArgMatches, Subcommand};
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

pub(super) use resume::Resume;

/// The commands `runs`, `show`, `timeline`, `cancel`, `gc` and `cost`, for programs with a command line of their own: to be flattened into the
/// subcommands of a [`clap::Parser`].
#[derive(Debug)]
pub struct Inspection(Inspect);

impl Inspection {
    /// Does what was asked, and prints it. What is wrong is said on stderr.
    pub fn answer(self) -> ExitCode {
        end(answer(self.0))
    }
}

impl FromArgMatches for Inspection {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        Inspect::from_arg_matches(matches).map(Inspection)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        self.0.update_from_arg_matches(matches)
    }
}

impl Subcommand for Inspection {
    fn augment_subcommands(command: clap::Command) -> clap::Command {
        Inspect::augment_subcommands(command)
    }

    fn augment_subcommands_for_update(command: clap::Command) -> clap::Command {
        Inspect::augment_subcommands_for_update(command)
    }

    fn has_subcommand(name: &str) -> bool {
        Inspect::has_subcommand(name)
    }
}

/// What can be asked about runs.
#[derive(Debug, Subcommand)]
pub(super) enum Inspect {
    /// List the runs of a state
    #[command(after_help = "Examples:\n  runs --state DIR\n  runs --state redis://HOST,HOST2 --json")]
    Runs(runs::Runs),
    /// Show what a run did and does: its numbers, its tasks, its failures, who waits for what
    #[command(after_help = "Examples:\n  show last --state DIR\n  show 019c --state DIR --json")]
    Show(show::Show),
    /// Draw a run as one HTML file that shows every task, invocation, checkpoint, kill and wait
    #[command(after_help = "Examples:\n  timeline last --state DIR --html run.html")]
    Timeline(timeline::Timeline),
    /// Cancel a run, also one that another process is working on
    #[command(after_help = "Examples:\n  cancel last --state DIR")]
    Cancel(cancel::Cancel),
    /// Remove runs that are over, and what they have left in the store; never one that is being worked on
    #[command(
        after_help = "Examples:\n  gc --state DIR --dry-run\n  gc --state DIR --older-than 7d\n  gc --state DIR --all"
    )]
    Gc(gc::Gc),
    /// Say what a run would cost on rented functions
    #[command(
        after_help = "Examples:\n  cost last --state DIR\n  cost last --state DIR --memory 512MB --prices mine.json"
    )]
    Cost(cost::CostOf),
}

/// Where runs are recorded.
#[derive(Debug, Args)]
pub(super) struct State {
    /// Where the runs are recorded: the folder, or the URL of Redis servers, that was given to `run --state`
    #[arg(long, value_name = "DIR|URL", value_parser = parse::state)]
    state: PathBuf,
}

/// Which run.
#[derive(Debug, Args)]
pub(super) struct Which {
    /// The run: its id, the beginning of it, or `last`
    #[arg(value_name = "RUN", value_parser = parse_run)]
    run: String,
    #[command(flatten)]
    state: State,
}

/// Something that names a run.
pub(super) fn parse_run(text: &str) -> Result<String, String> {
    let is_id = |c: char| c.is_ascii_hexdigit() || c == '-';
    match text == records::LAST || (!text.is_empty() && text.chars().all(is_id)) {
        true => Ok(text.to_string()),
        false => Err("that is not a run's id, nor the beginning of one, nor `last`".to_string()),
    }
}

impl State {
    fn open(&self) -> Result<Box<dyn Records>, End> {
        records::open(&self.state).map_err(End::failed)
    }
}

impl Which {
    fn find(&self) -> Result<(Box<dyn Records>, RunId), End> {
        let records = self.state.open()?;
        let run = records.find(&self.run).map_err(End::failed)?;
        Ok((records, run))
    }
}

/// The store that a run of these records uses, for somebody who is none of its workers.
fn open_store(records: &dyn Records, about: &About) -> Result<Arc<dyn Store>, StoreError> {
    let (state, url) = (records.place(), about.store_in(&records.place()));
    // The password that was given for the state is not written down with the run.
    match state.to_str().filter(|state| address::are_the_same(state, &url)) {
        Some(state) => store::open(state),
        None => store::open(&url),
    }
}

/// Does what was asked, and prints it.
pub(super) fn answer(asked: Inspect) -> Result<(), End> {
    match asked {
        Inspect::Runs(asked) => asked.answer(),
        Inspect::Show(asked) => asked.answer(),
        Inspect::Timeline(asked) => asked.answer(),
        Inspect::Cancel(asked) => asked.answer(),
        Inspect::Gc(asked) => asked.answer(),
        Inspect::Cost(asked) => asked.answer(),
    }
}

/// Prints a text. A reader that has gone away (`| head`) has had enough.
pub(super) fn print(text: &str) -> Result<(), End> {
    let mut stdout = io::stdout().lock();
    let written = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
    match written {
        Err(cause) if cause.kind() != io::ErrorKind::BrokenPipe => {
            Err(End::failed(format!("cannot write to stdout: {cause}")))
        }
        _ => Ok(()),
    }
}

pub(super) fn print_json(value: &impl serde::Serialize) -> Result<(), End> {
    let text = serde_json::to_string_pretty(value)
        .map_err(|cause| End::failed(format!("this cannot be written as JSON: {cause}")))?;
    print(&format!("{text}\n"))
}

/// A runtime for what has to wait.
pub(super) fn runtime() -> Result<tokio::runtime::Runtime, End> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .map_err(|cause| End::failed(format!("cannot start threads: {cause}")))
}
