//! The commands of `kappa` that deploy programs to AWS Lambda, and look after what is deployed.
//!
//! What was done or asked for goes to stdout, a line each and without colours; the rest to stderr.

mod parse;
mod policy;
mod status;
mod undeploy;
mod upload;

use super::inspect::runtime;
use super::run::{End, Signals, say};
use crate::deploy::error::DeployError;
use crate::deploy::interrupt::Interrupt;
use clap::Subcommand;
use parking_lot::Mutex;
use std::sync::Arc;

/// What can be asked about deployments.
#[derive(Debug, Subcommand)]
pub(super) enum Deployment {
    /// Make a program a function on AWS Lambda, or bring one up to date; what is as it should be is left alone
    #[command(after_help = upload::EXAMPLES)]
    Deploy(upload::Deploy),
    /// Remove a function from AWS Lambda, with its role, its log group and its packages in buckets
    #[command(after_help = undeploy::EXAMPLES)]
    Undeploy(undeploy::Undeploy),
    /// List the functions that were deployed, or tell all of one
    #[command(after_help = status::EXAMPLES)]
    Status(status::Status),
    /// Print policies for IAM: what a function's role, whoever deploys, and whoever starts runs may do, and nothing more
    #[command(after_help = policy::EXAMPLES)]
    Policy(policy::Policy),
}

/// Does what was asked.
pub(super) fn answer(asked: Deployment) -> Result<(), End> {
    match asked {
        Deployment::Deploy(asked) => asked.answer(),
        Deployment::Undeploy(asked) => asked.answer(),
        Deployment::Status(asked) => asked.answer(),
        Deployment::Policy(asked) => asked.answer(),
    }
}

/// Runs something that hears the first signal between two calls; the second one ends everything at once.
fn with_interrupt<T>(
    if_impatient: &'static str,
    work: impl AsyncFnOnce(&Interrupt) -> Result<T, End>,
) -> Result<T, End> {
    runtime()?.block_on(async {
        let (asked, interrupt) = Interrupt::new();
        let mut signals = Signals::catch().map_err(|cause| End::failed(format!("cannot wait for signals: {cause}")))?;
        let code = Arc::new(Mutex::new(None));
        let listening = tokio::spawn({
            let code = code.clone();
            async move {
                *code.lock() = Some(signals.next().await);
                say("interrupted; what is under way comes to its end first");
                let _ = asked.send(true);
                let code = signals.next().await;
                say(if_impatient);
                std::process::exit(code.into());
            }
        });
        let outcome = work(&interrupt).await;
        listening.abort();
        match (outcome, *code.lock()) {
            (Err(end), Some(code)) => Err(End::interrupted(end.message, code)),
            (outcome, _) => outcome,
        }
    })
}

/// A message, and exit code 1.
fn failed(error: DeployError) -> End {
    End::failed(error)
}
