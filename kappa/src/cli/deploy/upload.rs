//! `deploy`: makes a program a function.

use super::{failed, parse, with_interrupt};
use crate::cli::inspect::print;
use crate::cli::progress::{Waiting, show_size};
use crate::cli::run::{End, say};
use crate::deploy::account::Account;
use crate::deploy::apply::{Applying, Unapplied, wait_until_ready};
use crate::deploy::error::DeployError;
use crate::deploy::interrupt::Interrupt;
use crate::deploy::look::look;
use crate::deploy::names::{FunctionName, Place};
use crate::deploy::package::{Package, smaller};
use crate::deploy::plan::{RoleChoice, State, Wanted, decide};
use crate::deploy::program::{Arch, Program};
use clap::Args;
use std::path::PathBuf;

pub(super) const EXAMPLES: &str = "Examples:
  cargo build --profile dist --example word_count
  kappa deploy word-count --program target/dist/examples/word_count --create-role --bucket BUCKET/runs
  kappa deploy word-count --program target/dist/examples/word_count --memory 3008MB --env RUST_LOG=info
  kappa deploy sql --program target/dist/kappa-sql --role arn:aws:iam::ACCOUNT:role/NAME --bucket BUCKET

An option that is not given leaves what is there as it is. Region, credentials and endpoint: AWS_REGION, AWS_PROFILE, AWS_ENDPOINT_URL ..., as for
all tools of AWS.

Exit codes: 0 it is as it should be, 1 it could not be done, 2 the command line makes no sense, 130 interrupted: nothing that it made is left.";

#[derive(Debug, Args)]
pub(in crate::cli) struct Deploy {
    /// The function's name
    #[arg(value_name = "NAME", value_parser = parse::name)]
    name: FunctionName,
    /// The program: a binary made with Kappa, built for Linux
    #[arg(long, value_name = "FILE")]
    program: PathBuf,
    /// Memory of each invocation; processors come with it [default: 1769MB, for which there is one]
    #[arg(long, value_name = "SIZE", value_parser = parse::memory)]
    memory: Option<i32>,
    /// How long an invocation may take; the task goes on in the next [default: 60s]
    #[arg(long, value_name = "DURATION", value_parser = parse::timeout)]
    timeout: Option<i32>,
    /// The function's role, which it has rights by
    #[arg(long, value_name = "ARN", value_parser = parse::role, conflicts_with = "create_role")]
    role: Option<String>,
    /// Make a role for the function that may do what it needs and nothing else (`kappa policy` prints it)
    #[arg(long)]
    create_role: bool,
    /// Refuse a program for another architecture [default: the program's]
    #[arg(long, value_name = "x86_64|arm64", value_parser = parse::arch)]
    arch: Option<Arch>,
    /// Set a variable of the function's environment; those that are not named are removed, if any is
    #[arg(long, value_name = "KEY=VALUE", value_parser = parse::variable)]
    env: Vec<(String, String)>,
    /// The bucket, or the prefix in it, that the made role may use, for `--store` and `--data`; packages of more than 50 MB are sent by it
    #[arg(long, value_name = "BUCKET[/PREFIX]", value_parser = parse::place)]
    bucket: Option<Place>,
    /// Keep the function's log for so many days [default: 14]
    #[arg(long, value_name = "DAYS", value_parser = parse::retention)]
    log_retention: Option<i32>,
    /// Reserve so many invocations at once for the function, and allow no more [default: what the account has left]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i32).range(0..))]
    concurrency: Option<i32>,
    /// Take over a function, role or log group of these names that Kappa has not made
    #[arg(long)]
    adopt: bool,
}

impl Deploy {
    pub(super) fn answer(self) -> Result<(), End> {
        let program = Program::read(&self.program, self.arch).map_err(End::failed)?;
        say(&format!(
            "program {}: {}, {}, made with Kappa {}",
            program.name,
            show_size(program.bytes.len() as u64),
            program.arch,
            program.kappa
        ));
        if let Some(warning) = program.glibc_warning() {
            say(&format!("warning: {warning}"));
        }
        let package = Package::of(&program.bytes, program.has_symbols).map_err(End::failed)?;
        say(&format!(
            "package: {} (limit {} directly), {} unzipped (limit {}){}",
            show_size(package.size()),
            "50 MB",
            show_size(package.unzipped),
            "250 MB",
            advice(&program)
        ));
        with_interrupt(
            "interrupted again: something may be left; `kappa status NAME` shows it, `kappa undeploy NAME` removes it",
            async |interrupt: &Interrupt| self.deploy(&program, &package, interrupt).await,
        )
    }

    async fn deploy(&self, program: &Program, package: &Package, interrupt: &Interrupt) -> Result<(), End> {
        let account = Account::open().await.map_err(failed)?;
        let wanted = self.wanted(&account, program, package);
        let waiting = Waiting::start();
        let name = &self.name;
        let found = look(&account, name, self.bucket.as_ref()).await.map_err(failed)?;
        let steps = decide(&wanted, &found).map_err(End::failed)?;
        interrupt.check().map_err(failed)?;
        let mut trouble = Ok(());
        let applying = Applying::new(&account, &wanted, &found, &package.bytes, interrupt);
        let applied = applying
            .apply(&steps, |step| {
                let line = format!("{}\n", step.said(name, &account.region));
                waiting.aside(|| trouble = print(&line));
            })
            .await;
        applied.map_err(|unapplied| self.end_of(unapplied))?;
        trouble?;
        // An earlier one may have been killed while the function was being set up.
        if found
            .function
            .as_ref()
            .is_some_and(|function| function.state != State::Ready)
        {
            wait_until_ready(&account, name, interrupt).await.map_err(failed)?;
        }
        drop(waiting);
        if steps.is_empty() {
            print(&format!("function {name}: nothing to change\n"))?;
        }
        let bucket = wanted.place.or_else(|| crate::deploy::plan::recorded_place(&found));
        let store = bucket.map_or("s3://BUCKET/PREFIX".to_string(), |place| format!("s3://{place}"));
        say(&format!(
            "function {name} is ready in {}; run the program with `--platform aws --function {name} --store {store}`",
            account.region
        ));
        Ok(())
    }

    fn wanted(&self, account: &Account, program: &Program, package: &Package) -> Wanted {
        let made = self.create_role.then_some(RoleChoice::Made);
        Wanted {
            name: self.name.clone(),
            region: account.region.clone(),
            program: program.name.clone(),
            arch: program.arch,
            hash: package.hash.clone(),
            size: package.size(),
            is_direct: package.is_direct(),
            memory: self.memory,
            timeout: self.timeout,
            role: self.role.clone().map(RoleChoice::Given).or(made),
            environment: (!self.env.is_empty()).then(|| self.env.iter().cloned().collect()),
            place: self.bucket.clone(),
            retention: self.log_retention,
            concurrency: self.concurrency,
            adopt: self.adopt,
        }
    }

    fn end_of(&self, unapplied: Unapplied) -> End {
        let name = &self.name;
        let Unapplied {
            cause,
            undone,
            left,
            is_deployed,
        } = unapplied;
        let mut lines = vec![match &cause {
            DeployError::Interrupted => "interrupted".to_string(),
            cause => format!("error: {cause}"),
        }];
        if !undone.is_empty() {
            lines.push(format!("undone: {}", undone.join(", ")));
        }
        lines.push(match (left.is_empty(), is_deployed) {
            (false, _) => format!(
                "left, because it could not be undone: {}; remove it with `kappa undeploy {name}`",
                left.join(", ")
            ),
            (true, true) => "the function itself is deployed; the same command does the rest".to_string(),
            (true, false) => "everything is as it was before".to_string(),
        });
        End::plain(lines.join("\n"))
    }
}

/// How the package could be smaller, if that is worth something.
fn advice(program: &Program) -> String {
    match program.has_symbols {
        true => format!("; to make it smaller, {}", smaller(true)),
        false => String::new(),
    }
}
