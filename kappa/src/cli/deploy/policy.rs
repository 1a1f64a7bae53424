//! `policy`: who may do what.

use super::parse;
use crate::cli::inspect::print_json;
use crate::cli::run::End;
use crate::deploy::names::{FunctionName, Place};
use crate::deploy::policy::{self, Scope};
use clap::{Args, ValueEnum};
use serde_json::json;

pub(super) const EXAMPLES: &str = "Examples:
  kappa policy --bucket BUCKET/runs
  kappa policy --for deploy --name word-count > deploy.json
  aws iam put-user-policy --user-name ME --policy-name kappa --policy-document file://deploy.json

Nothing is asked of AWS for that. The same is printed for all accounts and regions; `--create-role` writes the account and the region in.";

#[derive(Debug, Args)]
pub(in crate::cli) struct Policy {
    /// Print one policy alone [default: all, as one JSON object]
    #[arg(long = "for", value_enum, value_name = "WHOM")]
    whom: Option<Whom>,
    /// The function's name [default: any]
    #[arg(long, value_name = "NAME", value_parser = parse::name)]
    name: Option<FunctionName>,
    /// The bucket, or the prefix in it, that the function and its runs use
    #[arg(long, value_name = "BUCKET[/PREFIX]", value_parser = parse::place)]
    bucket: Option<Place>,
}

/// For whom a policy is.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Whom {
    /// The function's role: what it may do
    Role,
    /// The function's role: who may take it
    Trust,
    /// Whoever deploys, removes and looks at functions
    Deploy,
    /// Whoever starts runs on a function
    Run,
}

impl Policy {
    pub(super) fn answer(self) -> Result<(), End> {
        let (scope, name, place) = (Scope::anywhere(), self.name.as_ref(), self.bucket.as_ref());
        let of = |whom| match whom {
            Whom::Role => policy::role(&scope, name, place),
            Whom::Trust => policy::trust(),
            Whom::Deploy => policy::deploy(&scope, name, place),
            Whom::Run => policy::run(&scope, name, place),
        };
        match self.whom {
            Some(whom) => print_json(&of(whom)),
            None => print_json(&json!({
                "role": of(Whom::Role), "trust": of(Whom::Trust), "deploy": of(Whom::Deploy), "run": of(Whom::Run),
            })),
        }
    }
}
