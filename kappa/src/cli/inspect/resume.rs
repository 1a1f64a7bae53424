//! `kappa resume`: starts the program of a run, so that it goes on with it.

use super::{End, Which};
use crate::cli::run::say;
use crate::record::about::moved;
use crate::record::folder::{Standing, is_folder};
use crate::replicas::address;
use clap::Args;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

#[derive(Debug, Args)]
pub(in crate::cli) struct Resume {
    #[command(flatten)]
    which: Which,
    /// Start it, instead of the program that the record names, with this one
    #[arg(long, value_name = "FILE")]
    program: Option<std::path::PathBuf>,
    /// Further arguments for the program, behind `--`
    #[arg(last = true, value_name = "ARGUMENTS")]
    more: Vec<String>,
}

/// Has the program go on in this state, which may be a copy of the one that its arguments name, or the same under another name by now; with a store that
/// was within it.
fn go_on_in(arguments: &mut [String], state: &Path) {
    let value_of = |arguments: &[String], name: &str| {
        let at = arguments.iter().position(|word| word == name)? + 1;
        (at < arguments.len()).then_some(at)
    };
    let Some(at) = value_of(arguments, "--state") else {
        return;
    };
    let before = std::mem::replace(&mut arguments[at], state.to_string_lossy().into_owned());
    if let Some(at) = value_of(arguments, "--store") {
        arguments[at] = moved(&arguments[at], Path::new(&before), state);
    }
}

impl Resume {
    /// Becomes that program: its result, its messages and its exit code are the answer.
    pub(in crate::cli) fn answer(self) -> Result<(), End> {
        let (records, run) = self.which.find()?;
        let about = records.about(run).map_err(End::failed)?;
        if records.standing(run, Some(&about)) == Standing::Running {
            let process = about.process;
            return Err(End::failed(format!(
                "run {run} is being worked on by process {process}"
            )));
        }
        let Some(mut arguments) = about.origin.resume_arguments(run) else {
            return Err(End::failed(format!(
                "{} has not said how it goes on with a run; start it as its own documentation says, for run {run}",
                about.origin.program.display()
            )));
        };
        let place = records.place();
        let mut passwords = None;
        match place.to_str().filter(|_| !is_folder(&place)) {
            // A password in a URL is passed on where `ps` does not show it.
            Some(url) => {
                passwords = address::passwords_in(url);
                go_on_in(&mut arguments, Path::new(&address::for_a_moment(url)));
            }
            None => go_on_in(&mut arguments, &place),
        }
        // It gives back what it has taken before the program takes it.
        drop(records);
        let program = self.program.as_ref().unwrap_or(&about.origin.program);
        let mut command = Command::new(program);
        command.args(arguments).args(self.more);
        if let Some(passwords) = passwords {
            command.env(address::PASSWORD_VARIABLE, passwords);
        }
        // What its tasks were given may be relative to it.
        if about.origin.folder.is_dir() {
            command.current_dir(&about.origin.folder);
        } else {
            say(&format!(
                "the folder {} in which the run was started is gone",
                about.origin.folder.display()
            ));
        }
        let cause = command.exec();
        Err(End::failed(format!(
            "cannot start {}, which runs {run}: {cause}",
            program.display()
        )))
    }
}
