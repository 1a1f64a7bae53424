//! The command line of the binary `kappa`: it looks after the runs of other programs, and deploys them.

#[cfg(feature = "aws")]
use super::deploy::{self, Deployment};
use super::inspect::{self, Inspect, Resume};
use super::run::end;
use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Looks after programs made with Kappa: lists, shows, draws, resumes, cancels and removes their runs; deploys them to AWS Lambda
#[derive(Parser)]
#[command(name = "kappa", version, after_help = EXAMPLES)]
struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "Examples:
  kappa runs --state DIR
  kappa runs --state redis://HOST,HOST2
  kappa show last --state DIR
  kappa timeline last --state DIR --html run.html
  kappa resume last --state DIR
  kappa cost last --state DIR --memory 512MB
  kappa gc --state DIR --older-than 7d --dry-run
  kappa deploy word-count --program target/dist/word_count --create-role --bucket BUCKET
  kappa status
  kappa undeploy word-count

Exit codes: 0 done, 1 it could not be done, 2 the command line makes no sense, 130 interrupted.";

#[derive(Subcommand)]
enum Command {
    #[command(flatten)]
    Inspect(Inspect),
    /// Go on with a run that was interrupted, by the program that started it
    #[command(
        after_help = "Examples:\n  kappa resume last --state DIR\n  kappa resume 019c --state DIR -- --workers 8"
    )]
    Resume(Resume),
    #[cfg(feature = "aws")]
    #[command(flatten)]
    Deployment(Deployment),
}

/// The binary `kappa`.
pub fn kappa_main() -> ExitCode {
    match CommandLine::parse().command {
        Command::Inspect(asked) => end(inspect::answer(asked)),
        Command::Resume(asked) => end(asked.answer()),
        #[cfg(feature = "aws")]
        Command::Deployment(asked) => end(deploy::answer(asked)),
    }
}
