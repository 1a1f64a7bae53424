//! The command line `kappa-sql`.
//!
//! | module | its thought |
//! |---|---|
//! | [`options`] | what can be asked for |
//! | [`shell`] | statements are run, their results shown |
//! | [`prompt`] | statements typed by a person |
//! | [`pipe`] | statements from standard input |
//! | [`commands`] | what starts with a backslash |
//! | [`statements`] | where a statement ends |
//! | [`output`] | rows as text |
//! | [`destination`] | where results go |
//! | [`progress`] | the bar |
//! | [`interrupt`] | Ctrl-C |
//! | [`message`] | what is wrong, where, and what to do |

mod commands;
mod destination;
mod interrupt;
mod message;
mod options;
mod output;
mod pipe;
mod progress;
mod prompt;
mod shell;
mod statements;

use crate::engine::Engine;
use crate::error::QueryError;

use clap::Parser;
use destination::Destination;
use interrupt::Interrupts;
use kappa::cli::{RunOptions, harmless};
use kappa::ids::RunId;
use kappa::record::records::{self, LAST};
use options::{Command, Options, OutputOptions};
use prompt::Prompt;
use shell::{Shell, Stop};
use statements::{Origin, is_blank, without_mark};
use std::fmt::Display;
use std::io::{self, IsTerminal, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use tokio::runtime::Runtime;

/// What `kappa-sql` does, once it is clear that this process is no worker.
pub fn main() -> ExitCode {
    let mut options = Options::parse();
    match options.command.take() {
        Some(Command::Inspection(asked)) => return asked.answer(),
        command => options.command = command,
    }
    match run(options) {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever closed the pipe has what they wanted.
        Err(Stop::ReaderLeft) => ExitCode::SUCCESS,
        Err(Stop::Failed(message)) => {
            say(format_args!("kappa-sql: {message}"));
            ExitCode::from(1)
        }
        Err(Stop::Misused(message)) => {
            say(format_args!("kappa-sql: {message}"));
            ExitCode::from(2)
        }
        Err(Stop::Interrupted(interrupt, resume)) => {
            say("kappa-sql: interrupted");
            if let Some(resume) = resume {
                say(format_args!("go on with: {resume}"));
            }
            ExitCode::from(interrupt.exit_code())
        }
    }
}

/// Says something on standard error; if nobody can hear it, that is no reason to fail.
fn say(text: impl Display) {
    let _ = writeln!(io::stderr().lock(), "{}", harmless(&text.to_string()));
}

/// What is to be run.
enum Source {
    Text(String, Origin),
    Prompt(Box<Prompt>),
    Pipe,
    Resume(RunId),
}

fn run(options: Options) -> Result<(), Stop> {
    let Options {
        command,
        data,
        sql,
        file,
        output,
        run,
    } = options;
    let (source, output, run) = match command {
        Some(Command::Resume(resume)) => {
            let Some(state) = &resume.options.state else {
                return Err(Stop::Misused(
                    "a run can only be resumed from its state: name it with --state DIR or --state redis://HOST".into(),
                ));
            };
            let run = find_run(state, &resume.run)?;
            (Source::Resume(run), resume.output, resume.options)
        }
        // They have been answered.
        Some(Command::Inspection(_)) => return Ok(()),
        None => (source_of(sql, file)?, output, run),
    };
    run.check().map_err(|error| Stop::Misused(error.to_string()))?;
    let OutputOptions { format, output, stats } = output;
    let destination =
        Destination::open(output.as_deref()).map_err(|error| cannot_be("written", output.as_deref(), &error))?;
    let runtime = Runtime::new().map_err(|error| Stop::Failed(format!("no threads to run on: {error}")))?;
    let mut interrupts = {
        let _inside = runtime.enter();
        Interrupts::listen(matches!(source, Source::Prompt(_)))
            .map_err(|error| Stop::Failed(format!("signals cannot be listened to: {error}")))?
    };
    let engine = runtime.block_on(shell::interruptible(&mut interrupts, open(&run, &data, &source)))??;
    let mut shell = Shell {
        engine,
        interrupts,
        destination,
        format,
        with_stats: stats,
        with_timing: false,
        state: run.state.clone(),
        store: run.store.clone(),
        has_output: false,
    };
    let done = match source {
        Source::Text(sql, origin) => runtime.block_on(shell.run_text(&sql, &origin)),
        Source::Pipe => runtime.block_on(pipe::run(&mut shell)),
        Source::Prompt(prompt) => prompt::run(&runtime, &mut shell, *prompt),
        Source::Resume(run) => runtime.block_on(shell.resume(run)),
    };
    let Shell {
        engine, destination, ..
    } = shell;
    let written = done.and_then(|()| {
        destination
            .finish()
            .map_err(|error| cannot_be("written", output.as_deref(), &error))
    });
    runtime.block_on(engine.shutdown());
    // A thread may still wait for a line of standard input: it ends with the process.
    runtime.shutdown_background();
    written
}

/// The run that is meant by its id, the beginning of it, or `last`. The state is not made if it is not there.
fn find_run(state: &Path, asked: &str) -> Result<RunId, Stop> {
    let is_name = |c: char| c.is_ascii_hexdigit() || c == '-';
    if asked != LAST && (asked.is_empty() || !asked.chars().all(is_name)) {
        return Err(Stop::Misused(format!(
            "{asked:?} is not a run's id, nor the beginning of one, nor `last`"
        )));
    }
    let found = records::open(state).and_then(|records| records.find(asked));
    found.map_err(|cause| Stop::Failed(format!("there is no run {asked} that could be resumed: {cause}")))
}

/// Where the statements come from, read as far as they can be before anything is started.
fn source_of(sql: Option<String>, file: Option<PathBuf>) -> Result<Source, Stop> {
    if let Some(sql) = sql {
        if is_blank(&sql) {
            return Err(Stop::Misused("there is no statement in -c".into()));
        }
        return Ok(Source::Text(sql, Origin::command_line()));
    }
    let Some(file) = file else {
        return match io::stdin().is_terminal() {
            true => Prompt::open().map(|prompt| Source::Prompt(Box::new(prompt))),
            false => Ok(Source::Pipe),
        };
    };
    let mut sql = String::new();
    let (name, read) = match file.as_os_str().to_str() {
        Some("-") => ("standard input".to_owned(), io::stdin().lock().read_to_string(&mut sql)),
        _ => {
            let read = std::fs::File::open(&file).and_then(|mut open| open.read_to_string(&mut sql));
            (file.display().to_string(), read)
        }
    };
    read.map_err(|error| cannot_be("read", Some(&file), &error))?;
    let sql = without_mark(&sql).to_owned();
    if is_blank(&sql) {
        return Err(Stop::Failed(format!("there is no statement in {name}")));
    }
    Ok(Source::Text(sql, Origin::file(name, 1)))
}

/// The engine, with its tables. SQL that cannot be parsed is refused before any data is looked at.
async fn open(run: &RunOptions, data: &[PathBuf], source: &Source) -> Result<Engine, Stop> {
    let nowhere = Origin::command_line();
    let failed = |error: QueryError| Stop::Failed(message::of_error(&error, "", &nowhere, &[]));
    let resume = ["resume".to_owned(), kappa::record::Origin::RUN.to_owned()].into_iter();
    let resume = resume.chain(run.to_arguments()).collect();
    let engine = Engine::of_program(run, Some(resume)).await.map_err(failed)?;
    if let Source::Text(sql, origin) = source {
        engine
            .parse(sql)
            .map_err(|error| Stop::Failed(message::of_error(&error, sql, origin, &[])))?;
    }
    for folder in data {
        engine.register_folder(folder).await.map_err(failed)?;
    }
    Ok(engine)
}

fn cannot_be(done: &str, path: Option<&Path>, error: &io::Error) -> Stop {
    let name = match path {
        Some(path) if path.as_os_str() == "-" => "standard input".to_owned(),
        Some(path) => path.display().to_string(),
        None => "the result".to_owned(),
    };
    let reason = match error.kind() {
        io::ErrorKind::NotFound => "there is no such file or folder".to_owned(),
        io::ErrorKind::IsADirectory => "it is a folder".to_owned(),
        io::ErrorKind::InvalidData => "it is not UTF-8 text".to_owned(),
        _ => error.to_string(),
    };
    Stop::Failed(format!("{name} cannot be {done}: {reason}"))
}
