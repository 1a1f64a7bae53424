//! `undeploy`: removes a function and its parts.

use super::{failed, parse, with_interrupt};
use crate::cli::inspect::print;
use crate::cli::run::{End, say};
use crate::deploy::account::Account;
use crate::deploy::error::DeployError;
use crate::deploy::interrupt::Interrupt;
use crate::deploy::names::{FunctionName, Place};
use crate::deploy::remove::remove;
use clap::Args;

pub(super) const EXAMPLES: &str = "Examples:
  kappa undeploy word-count

What tasks have put into stores is not touched: `gc` removes that. What is not Kappa's is left, and said.

Exit codes: 0 nothing of it is there (any more), 1 it could not be done, 2 the command line makes no sense, 130 interrupted: do it again to go on.";

#[derive(Debug, Args)]
pub(in crate::cli) struct Undeploy {
    /// The function's name
    #[arg(value_name = "NAME", value_parser = parse::name)]
    name: FunctionName,
    /// Look for packages here, too; needed only if the function's and its log group's tags are gone
    #[arg(long, value_name = "BUCKET[/PREFIX]", value_parser = parse::place)]
    bucket: Option<Place>,
}

impl Undeploy {
    pub(super) fn answer(self) -> Result<(), End> {
        with_interrupt(
            "interrupted again: do it once more to remove the rest",
            async |interrupt: &Interrupt| self.remove(interrupt).await,
        )
    }

    async fn remove(&self, interrupt: &Interrupt) -> Result<(), End> {
        let account = Account::open().await.map_err(failed)?;
        let name = &self.name;
        let mut trouble = Ok(());
        let did = |what: &str| trouble = print(&format!("{what}: removed\n"));
        let outcome = remove(&account, name, self.bucket.as_ref(), interrupt, did).await;
        let removed = outcome.map_err(|cause| match cause {
            DeployError::Interrupted => End::plain(format!("interrupted; `kappa undeploy {name}` removes the rest")),
            cause => End::failed(format!(
                "{cause}\n`kappa undeploy {name}` goes on when the cause is gone"
            )),
        })?;
        trouble?;
        for thing in &removed.foreign {
            say(&format!("{thing} was not made by Kappa, and is left"));
        }
        if removed.removed.is_empty() {
            say(&format!("there is nothing of {name} to remove in {}", account.region));
        }
        match removed.foreign.iter().any(|thing| thing.starts_with("function ")) {
            true => Err(End::failed(format!("the function {name} is not Kappa's"))),
            false => Ok(()),
        }
    }
}
