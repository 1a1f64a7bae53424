//! `kappa::main`: the command line of a program that is one task.

use super::input;
use super::inspect::{self, Inspect};
use super::options::{OptionsError, RunOptions, shown_place};
use super::progress::{INTERVAL, Progress};
use super::replicas::Told;
use super::serve::{self, Serve};
use super::terminal;
pub(super) use super::terminal::say;
use super::troubles::Troubles;
use crate::ids::RunId;
use crate::record::{Origin, records};
use crate::runtime::{Kappa, RunError, RunHandle};
use crate::task::{Constructor, TaskCall, TaskFunction};
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};
use serde_json::Value;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Exit code of a run that failed.
const FAILED: u8 = 1;

/// Exit code of a command line that makes no sense.
const USAGE: u8 = 2;

/// Exit codes of interrupted programs, as shells have them: 128 and the signal.
const INTERRUPTED: u8 = 130;
const TERMINATED: u8 = 143;

/// Runs a program of tasks whose first one is this: coordinator, worker and command line in one.
///
/// ```text
/// fn main() -> kappa::ExitCode { kappa::main(grep) }
/// ```
pub fn main<Marker, C: Constructor<Marker>>(_first: C) -> ExitCode {
    crate::serve_if_worker();
    let line = match parse::<C::Function>() {
        Ok(line) => line,
        Err(error) => {
            // Help goes to stdout, mistakes to stderr; if nobody reads either, there is nobody to tell.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(USAGE));
        }
    };
    end(execute::<C::Function>(line))
}

/// How a program ends that has done what it could.
pub(super) fn end(outcome: Result<(), End>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(end) => {
            say(&end.message);
            ExitCode::from(end.code)
        }
    }
}

#[derive(Parser)]
struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the task to its end and print its result as JSON
    Run {
        /// The arguments as JSON: an object by the parameters' names, or an array in their order; @FILE reads a file, @- stdin
        #[arg(long, short, value_name = "JSON")]
        input: Option<String>,
        #[command(flatten)]
        common: Common,
    },
    /// Go on with a run that was interrupted, or print its result again
    Resume {
        /// The run: its id, as `run --state DIR` has named it, the beginning of it, or `last`
        #[arg(value_name = "RUN", value_parser = inspect::parse_run)]
        run: String,
        #[command(flatten)]
        common: Common,
    },
    /// Carry out the work of runs with `--platform http`: as a function behind an HTTP endpoint
    #[command(after_help = serve::HELP)]
    Serve(Serve),
    #[command(flatten)]
    Inspect(Inspect),
}

#[derive(Args)]
struct Common {
    /// Print nothing but the result, and errors
    #[arg(long, short)]
    quiet: bool,
    #[command(flatten)]
    options: RunOptions,
}

fn parse<F: TaskFunction>() -> Result<CommandLine, clap::Error> {
    let name = program();
    let example = match F::PARAMETERS {
        [] => String::new(),
        names => {
            let fields: Vec<_> = names.iter().map(|name| format!("\"{name}\": ...")).collect();
            format!(" --input '{{{}}}'", fields.join(", "))
        }
    };
    let examples = format!(
        "Examples:\n  {name} run{example}\n  {name} run{example} --platform process --time-limit 2s --chaos kill=0.3,seed=7\n  \
         {name} run{example} --state DIR\n  {name} run{example} --state redis://HOST,HOST2\n  {name} resume RUN --state DIR\n  \
         {name} serve --listen 127.0.0.1:8080\n  \
         {name} timeline last --state DIR --html run.html"
    );
    let about = format!("Runs the task {}; {}.", F::NAME, input::signature(F::PARAMETERS));
    let command = CommandLine::command().bin_name(name).about(about);
    let command = command
        .after_help(examples.clone())
        .mut_subcommand("run", |run| run.after_help(examples))
        // `kappa resume` gives the options that the run was started with, and whoever calls it may give others.
        .mut_subcommand("resume", |resume| resume.args_override_self(true));
    CommandLine::from_arg_matches(&command.try_get_matches()?)
}

/// The name under which the program was started.
pub(super) fn program() -> String {
    let path = std::env::args_os().next().unwrap_or_default();
    std::path::Path::new(&path)
        .file_name()
        .unwrap_or(path.as_os_str())
        .to_string_lossy()
        .into_owned()
}

/// What is said at the end of a program that did not do what it was asked, and its exit code.
pub(super) struct End {
    pub(super) message: String,
    code: u8,
}

impl End {
    pub(super) fn usage(message: impl std::fmt::Display) -> Self {
        End {
            message: format!("error: {message}"),
            code: USAGE,
        }
    }

    /// The same for a message that says itself what it is.
    #[cfg(feature = "aws")]
    pub(super) fn plain(message: String) -> Self {
        End { message, code: FAILED }
    }

    /// A signal has ended it.
    #[cfg(feature = "aws")]
    pub(super) fn interrupted(message: impl std::fmt::Display, code: u8) -> Self {
        End {
            message: message.to_string(),
            code,
        }
    }

    /// A signal has ended it before a run went on.
    fn before_it_began(code: u8) -> Self {
        End {
            message: "interrupted while the run's state was being opened".to_string(),
            code,
        }
    }

    pub(super) fn failed(message: impl std::fmt::Display) -> Self {
        End {
            message: format!("error: {message}"),
            code: FAILED,
        }
    }
}

/// What is to be done, checked as far as it can be before anything is started.
enum Job<F: TaskFunction> {
    Start(TaskCall<F>),
    Resume { run: String, state: PathBuf },
}

/// The same when it is known which run is meant.
enum Found<F: TaskFunction> {
    Start(TaskCall<F>),
    Resume(RunId),
}

/// Which run is meant. A state that is mistyped is not made.
async fn find(run: String, state: PathBuf) -> Result<RunId, End> {
    let found = tokio::task::spawn_blocking(move || {
        let found = records::open(&state).and_then(|records| records.find(&run));
        found.map_err(|cause| End::failed(format!("there is no run {run} that could be resumed: {cause}")))
    });
    found
        .await
        .map_err(|cause| End::failed(format!("cannot look for the run: {cause}")))?
}

fn execute<F: TaskFunction>(line: CommandLine) -> Result<(), End> {
    let (job, common) = match line.command {
        Command::Run { input, common } => {
            let given = match input {
                Some(input) => input::read(&input).map_err(End::usage)?,
                None => Value::Object(serde_json::Map::new()),
            };
            (Job::Start(input::call::<F>(given).map_err(End::usage)?), common)
        }
        Command::Resume { run, common } => {
            let Some(state) = common.options.state.clone() else {
                return Err(End::usage(
                    "resume needs --state DIR or --state redis://HOST: the one that the run was started with",
                ));
            };
            (Job::Resume { run, state }, common)
        }
        Command::Serve(asked) => return asked.answer(),
        Command::Inspect(asked) => return inspect::answer(asked),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .map_err(|cause| End::failed(format!("cannot start threads: {cause}")))?;
    let stdout = match terminal::stdout_for_the_result() {
        Ok(stdout) => Some(stdout),
        // Without a stdout there is nobody to print for.
        Err(cause) if cause.raw_os_error() == Some(nix::libc::EBADF) => None,
        Err(cause) => return Err(End::failed(format!("stdout cannot be kept for the result: {cause}"))),
    };
    let end = runtime.block_on(perform(job, &common));
    runtime.shutdown_background();
    let result = end?;
    stdout.map_or(Ok(()), |stdout| print(stdout, &result))
}

/// Runs or resumes; gives the result as JSON.
async fn perform<F: TaskFunction>(job: Job<F>, common: &Common) -> Result<Vec<u8>, End> {
    let cannot = |error| match error {
        OptionsError::Conflict(_) => End::usage(error),
        error => End::failed(error),
    };
    let mut signals = Signals::catch().map_err(|cause| End::failed(format!("cannot wait for signals: {cause}")))?;
    let place = async {
        let job = match job {
            Job::Start(call) => Found::Start(call),
            Job::Resume { run, state } => Found::Resume(find(run, state).await?),
        };
        let builder = common.options.builder().await.map_err(cannot)?;
        let resume = ["resume".to_string(), Origin::RUN.to_string()].into_iter();
        let builder = builder.resume_arguments(resume.chain(common.options.to_arguments()).collect());
        let kappa = builder.build().await.map_err(|error| cannot(error.into()))?;
        Ok::<_, End>((kappa, job))
    };
    // What is opened may wait for others: for servers that are away, for a process that has a lock.
    let (kappa, job) = tokio::select! {
        place = place => place?,
        code = signals.next() => return Err(End::before_it_began(code)),
    };
    let end = drive(&kappa, job, common, signals).await;
    kappa.shutdown().await;
    end
}

async fn drive<F: TaskFunction>(
    kappa: &Kappa,
    job: Found<F>,
    common: &Common,
    mut signals: Signals,
) -> Result<Vec<u8>, End> {
    let starting = async {
        match job {
            Found::Start(call) => kappa.start(call).await,
            Found::Resume(run) => kappa.resume::<F::Value>(run).await,
        }
    };
    let started = tokio::select! {
        started = starting => started,
        code = signals.next() => return Err(End::before_it_began(code)),
    };
    let handle = started.map_err(|error| End::failed(with_known_runs(kappa, error)))?;
    if let (Some(how), false) = (how_to_resume(&handle, common), common.quiet) {
        say(&format!("if it is interrupted, go on with `{how}`"));
    }
    let progress = Progress::start(common.quiet);
    let mut told = Told::default();
    let mut troubles = Troubles::of(handle.events());
    let waiting = handle.wait();
    tokio::pin!(waiting);
    let ended = loop {
        tokio::select! {
            ended = &mut waiting => break Ok(ended),
            code = signals.next() => break Err(code),
            () = tokio::time::sleep(INTERVAL) => {
                progress.show(&handle.stats());
                let news = told.news(kappa.replicas());
                news.iter().filter(|_| !common.quiet).for_each(|line| say(line));
                // Also to those who want to hear nothing but errors: without it they would wait for what does not come.
                troubles.news().iter().for_each(|line| say(&format!("warning: {line}")));
            }
        }
    };
    let ended = match ended {
        Ok(ended) => ended,
        Err(code) => {
            tokio::select! {
                () = handle.interrupt() => {}
                // Somebody is in a hurry: the kernel ends the workers.
                code = signals.next() => std::process::exit(code.into()),
            }
            progress.finish(&handle.stats());
            let message = match how_to_resume(&handle, common) {
                Some(how) => format!("interrupted; go on with `{how}`"),
                None => "interrupted; a run with --state DIR could be resumed".to_string(),
            };
            return Err(End { message, code });
        }
    };
    let mut sums = progress.finish(&handle.stats());
    let cost = handle.cost();
    if !cost.is_hypothetical {
        sums.push_str(&format!("; {}", cost.in_short(false)));
    }
    if !common.quiet {
        if let Some(trouble) = handle.record_trouble() {
            say(&format!("warning: {trouble}"));
        }
        say(&sums);
    }
    let value = ended.map_err(|error| {
        let how = how_to_resume(&handle, common).filter(|_| !matches!(error, RunError::Failed(_)));
        let what = error.without_advice();
        End::failed(match (how, &error) {
            (Some(how), RunError::WrongProgram { .. }) => {
                format!("{what}\nnothing is lost; to go on, with the program as it was: `{how}`\nto end it: `kappa cancel {} --state {}`", handle.id(), state_of(common))
            }
            (Some(how), RunError::Interrupted { .. }) => format!("{what}\nto go on: `{how}`"),
            (Some(how), _) => format!("{what}\nnothing is lost; to go on when that is mended: `{how}`"),
            (None, _) => error.to_string(),
        })
    })?;
    serde_json::to_vec(&value).map_err(|cause| End::failed(format!("the result cannot be written as JSON: {cause}")))
}

fn how_to_resume<V>(handle: &RunHandle<V>, common: &Common) -> Option<String> {
    common.options.state.as_ref()?;
    let (program, run, state) = (shell_word(&program()), handle.id(), state_of(common));
    let mut how = format!("{program} resume {run} --state {state}");
    // Its objects are there, and nowhere else.
    if let Some(store) = &common.options.store {
        how.push_str(&format!(" --store {}", shell_word(&shown_place(store))));
    }
    for folder in &common.options.objects_below {
        let folder = std::path::absolute(folder).unwrap_or_else(|_| folder.clone());
        how.push_str(&format!(" --objects-below {}", shell_word(&folder.to_string_lossy())));
    }
    if common.options.sync {
        how.push_str(" --sync");
    }
    Some(how)
}

/// The state, as a shell takes it. Passwords are not shown; whoever knows them puts them back.
fn state_of(common: &Common) -> String {
    let state = common.options.state.as_deref().unwrap_or(Path::new("DIR"));
    shell_word(&shown_place(&state.to_string_lossy()))
}

/// A word as a shell takes it.
fn shell_word(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,+@%".contains(c);
    match !text.is_empty() && text.chars().all(is_plain) {
        true => text.to_string(),
        false => format!("'{}'", text.replace('\'', r"'\''")),
    }
}

/// An unknown run is easier to find among those that there are.
fn with_known_runs(kappa: &Kappa, error: RunError) -> String {
    let known = match &error {
        RunError::Unknown { .. } => kappa.runs().unwrap_or_default(),
        _ => Vec::new(),
    };
    match known.as_slice() {
        [] => error.to_string(),
        known => {
            let known: Vec<_> = known.iter().rev().take(10).map(ToString::to_string).collect();
            format!("{error}\nthe latest runs there: {}", known.join(" "))
        }
    }
}

/// The signals that end a program in good order; those that were ignored when it was started stay so.
pub(super) struct Signals {
    interrupt: Option<Signal>,
    terminate: Option<Signal>,
    hang_up: Option<Signal>,
}

impl Signals {
    pub(super) fn catch() -> io::Result<Self> {
        let caught = |kind: SignalKind| match terminal::is_ignored(kind.as_raw_value()) {
            true => Ok(None),
            false => signal(kind).map(Some),
        };
        Ok(Signals {
            interrupt: caught(SignalKind::interrupt())?,
            terminate: caught(SignalKind::terminate())?,
            hang_up: caught(SignalKind::hangup())?,
        })
    }

    /// The exit code for the next signal.
    pub(super) async fn next(&mut self) -> u8 {
        tokio::select! {
            () = received(&mut self.interrupt) => INTERRUPTED,
            () = received(&mut self.terminate) => TERMINATED,
            () = received(&mut self.hang_up) => TERMINATED,
        }
    }
}

/// Returns when the signal comes; never if it is ignored.
async fn received(signal: &mut Option<Signal>) {
    match signal {
        Some(signal) => drop(signal.recv().await),
        None => std::future::pending().await,
    }
}

/// Prints the result. A reader that has gone away (`| head`) has had enough.
fn print(mut stdout: impl Write, result: &[u8]) -> Result<(), End> {
    let written = stdout
        .write_all(result)
        .and_then(|()| stdout.write_all(b"\n"))
        .and_then(|()| stdout.flush());
    match written {
        Err(cause) if cause.kind() != io::ErrorKind::BrokenPipe => {
            Err(End::failed(format!("cannot write the result: {cause}")))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_for_the_shell() {
        assert_eq!(shell_word("a/b-c.d"), "a/b-c.d");
        assert_eq!(shell_word("a b"), "'a b'");
        assert_eq!(shell_word("it's"), r"'it'\''s'");
        assert_eq!(shell_word(""), "''");
    }
}
