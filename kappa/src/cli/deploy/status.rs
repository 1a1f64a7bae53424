//! `status`: what is deployed.

use super::{failed, parse};
use crate::cli::inspect::table::{self, plain, table};
use crate::cli::inspect::{print, print_json, runtime};
use crate::cli::progress::show_size;
use crate::cli::run::{End, say};
use crate::deploy::account::Account;
use crate::deploy::look::look;
use crate::deploy::names::{FunctionName, is_ours};
use crate::deploy::plan::{Found, Function, State, recorded_place};
use crate::deploy::say::shown;
use clap::Args;
use serde_json::{Value, json};

pub(super) const EXAMPLES: &str = "Examples:
  kappa status
  kappa status word-count
  kappa status --json | jq -r '.[].name'

Exit codes: 0 said, 1 there is no such function or it could not be asked, 2 the command line makes no sense.";

#[derive(Debug, Args)]
pub(in crate::cli) struct Status {
    /// One function, with all its parts [default: a list of all]
    #[arg(value_name = "NAME", value_parser = parse::name)]
    name: Option<FunctionName>,
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
}

impl Status {
    pub(super) fn answer(self) -> Result<(), End> {
        runtime()?.block_on(async {
            let account = Account::open().await.map_err(failed)?;
            match &self.name {
                Some(name) => self.one(&account, name).await,
                None => self.all(&account).await,
            }
        })
    }

    async fn all(&self, account: &Account) -> Result<(), End> {
        let (functions, roles) = tokio::try_join!(account.functions(), account.roles()).map_err(failed)?;
        let ours: Vec<_> = functions
            .into_iter()
            .filter(|(_, function)| is_ours(&function.tags))
            .collect();
        let is_of_one = |role: &String| {
            let mut names = ours.iter().filter_map(|(name, _)| FunctionName::parse(name).ok());
            names.any(|name| name.role(&account.region) == *role)
        };
        for role in roles.iter().filter(|role| !is_of_one(role)) {
            let end = format!("-{}", account.region);
            let name = role
                .strip_prefix("kappa-")
                .and_then(|rest| rest.strip_suffix(&end))
                .unwrap_or(role);
            say(&format!(
                "role {role} is left of a deployment that was killed; `kappa undeploy {name}` removes it"
            ));
        }
        if self.json {
            let list: Vec<_> = ours.iter().map(|(name, function)| describe(name, function)).collect();
            return print_json(&list);
        }
        if ours.is_empty() {
            say(&format!("nothing is deployed in {}", account.region));
            return Ok(());
        }
        let mut table = table(&[
            "NAME",
            "STATE",
            ">MEMORY",
            ">TIME LIMIT",
            "ARCH",
            ">PACKAGE",
            "CHANGED",
            "CODE",
        ]);
        for (name, function) in &ours {
            table.add_row([
                plain(name),
                state(&function.state).to_string(),
                format!("{} MB", function.configuration.memory),
                format!("{} s", function.configuration.timeout),
                plain(&function.arch),
                show_size(function.size.unsigned_abs()),
                changed(function),
                function.hash.chars().take(12).collect(),
            ]);
        }
        print(&table::text(&table))
    }

    async fn one(&self, account: &Account, name: &FunctionName) -> Result<(), End> {
        let found = look(account, name, None).await.map_err(failed)?;
        if self.json {
            print_json(&details(account, name, &found))?;
        } else {
            let mut table = table(&["PART", "WHAT"]);
            for [part, what] in rows(account, name, &found) {
                table.add_row([part, plain(&what)]);
            }
            print(&table::text(&table))?;
        }
        match found.function {
            Some(_) => Ok(()),
            None => Err(End::failed(format!(
                "there is no function {name} in {}",
                account.region
            ))),
        }
    }
}

fn state(state: &State) -> &'static str {
    match state {
        State::Ready => "ready",
        State::Pending => "pending",
        State::Failed(_) => "failed",
    }
}

/// `2026-11-24 13:42:05Z`; Lambda writes `2026-11-24T13:42:05.123+0000`.
fn changed(function: &Function) -> String {
    match function.modified.split_once('.') {
        Some((time, _)) => format!("{}Z", time.replace('T', " ")),
        None => plain(&function.modified),
    }
}

fn describe(name: &str, function: &Function) -> Value {
    json!({
        "name": name,
        "arn": function.arn,
        "state": state(&function.state),
        "memory_mb": function.configuration.memory,
        "time_limit_seconds": function.configuration.timeout,
        "arch": function.arch,
        "package_bytes": function.size,
        "code_sha256": function.hash,
        "changed": function.modified,
        "role": function.configuration.role,
        "description": function.configuration.description,
        "concurrency": function.concurrency,
        "variables": function.configuration.environment.keys().collect::<Vec<_>>(),
        "tags": function.tags,
        "is_ours": is_ours(&function.tags),
    })
}

fn details(account: &Account, name: &FunctionName, found: &Found) -> Value {
    json!({
        "name": name.as_str(),
        "region": account.region,
        "function": found.function.as_ref().map(|function| describe(name.as_str(), function)),
        "log_group": found.group.as_ref().map(|group| json!({
            "name": name.log_group(), "bytes": group.bytes, "retention_days": group.retention, "is_ours": is_ours(&group.tags),
        })),
        "role": found.role.as_ref().map(|role| json!({
            "name": name.role(&account.region), "arn": role.arn, "policy": role.policy, "is_ours": is_ours(&role.tags),
        })),
        "bucket": recorded_place(found).map(|place| place.to_string()),
        "packages": found.uploads.iter().map(shown).collect::<Vec<_>>(),
    })
}

fn rows(account: &Account, name: &FunctionName, found: &Found) -> Vec<[String; 2]> {
    let whose = |is_ours: bool| if is_ours { "" } else { " (not made by Kappa)" };
    let mut rows = Vec::new();
    let mut row = |part: &str, what: String| rows.push([part.to_string(), what]);
    match &found.function {
        None => row("function", "none".into()),
        Some(function) => {
            let configuration = &function.configuration;
            row(
                "function",
                format!("{}{}", function.arn, whose(is_ours(&function.tags))),
            );
            row(
                "state",
                match &function.state {
                    State::Failed(reason) => reason.clone(),
                    other => state(other).to_string(),
                },
            );
            row("about", configuration.description.clone());
            row("memory", format!("{} MB", configuration.memory));
            row("time limit", format!("{} s", configuration.timeout));
            row(
                "package",
                format!(
                    "{}, {}, SHA-256 {}",
                    function.arch,
                    show_size(function.size.unsigned_abs()),
                    function.hash
                ),
            );
            row("changed", changed(function));
            row("its role", configuration.role.clone().unwrap_or_default());
            if let Some(most) = function.concurrency {
                row("concurrency", format!("at most {most} at once"));
            }
            // Their values may be secrets.
            let variables: Vec<_> = configuration.environment.keys().map(String::as_str).collect();
            if !variables.is_empty() {
                row("variables", variables.join(" "));
            }
        }
    }
    match &found.group {
        None => row("log group", "none".into()),
        Some(group) => {
            let kept = group
                .retention
                .map_or("kept for ever".to_string(), |days| format!("kept {days} days"));
            let size = show_size(group.bytes.unsigned_abs());
            row(
                "log group",
                format!("{}, {size}, {kept}{}", name.log_group(), whose(is_ours(&group.tags))),
            );
        }
    }
    if let Some(role) = &found.role {
        row(
            "made role",
            format!("{}{}", name.role(&account.region), whose(is_ours(&role.tags))),
        );
    }
    if let Some(place) = recorded_place(found) {
        row("bucket", format!("s3://{place}"));
    }
    for upload in &found.uploads {
        row("left package", shown(upload));
    }
    rows
}
