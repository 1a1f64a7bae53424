//! `cost`: what a run has cost, or would have cost, on rented functions.

use super::show::without_password;
use super::table::{self, plain, table};
use super::{End, Which, print, print_json};
use crate::cli::parse;
use crate::cli::progress::{plural, show_size};
use crate::record::About;
use crate::record::cost::{Architecture, Cost, Prices, StoreKind, Terms, money};
use crate::record::history;
use clap::{Args, ValueEnum};
use serde_json::json;
use std::path::PathBuf;

#[derive(Debug, Args)]
pub(in crate::cli) struct CostOf {
    #[command(flatten)]
    which: Which,
    /// As if each invocation had had so much memory [default: what it had; if that was not limited, 1769 MiB, for which a Lambda gets one processor]
    #[arg(long, value_name = "SIZE", value_parser = parse::bytes)]
    memory: Option<u64>,
    /// The processor of the functions [default: this machine's]
    #[arg(long, value_name = "ARCH", value_enum)]
    arch: Option<Arch>,
    /// Prices as JSON, instead of AWS's public ones of January 2025 in us-east-1 (--json prints those)
    #[arg(long, value_name = "FILE")]
    prices: Option<PathBuf>,
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Arch {
    X86,
    Arm,
}

impl CostOf {
    pub(super) fn answer(self) -> Result<(), End> {
        let (records, run) = self.which.find()?;
        let mut about = records.about(run).map_err(End::failed)?;
        let standing = records.standing(run, Some(&about));
        if !standing.is_over() && about.trouble.is_none() {
            // The events are ahead of the sums.
            about.sums = history::sums(&*records, run).map_err(End::failed)?;
        }
        let prices = match &self.prices {
            Some(file) => Prices::read(file).map_err(End::failed)?,
            None => Prices::default(),
        };
        let mut terms = Terms::of(&about.platform, &about.store);
        terms.memory = self.memory;
        terms.architecture = match self.arch {
            Some(Arch::X86) => Architecture::X86,
            Some(Arch::Arm) => Architecture::Arm,
            None => terms.architecture,
        };
        let cost = Cost::of_run(&about, terms, prices);
        if self.json {
            let mut value = json!(cost);
            value["run"] = json!(run.to_string());
            value["state"] = json!(standing.word());
            value["store_writes"] = json!(cost.store.writes());
            value["store_reads"] = json!(cost.store.reads());
            return print_json(&value);
        }
        print(&format!("{}\n{}", rows(&cost), notes(&cost, &about)))
    }
}

fn rows(cost: &Cost) -> String {
    let mut table = table(&["", ">USED", "", &format!(">{}", cost.prices.currency)]);
    let mut row = |what: &str, used: String, details: String, amount: Option<f64>| {
        table.add_row([what, &used, &details, &amount.map_or(String::new(), money)]);
    };
    let here = match cost.on_coordinator {
        0 => String::new(),
        count => format!("and {count} on the coordinator's machine"),
    };
    row(
        "invocations",
        cost.invocations.to_string(),
        here,
        Some(cost.for_invocations),
    );
    let arch = match cost.architecture {
        Architecture::X86 => "x86",
        Architecture::Arm => "arm",
    };
    let time = format!("GB s: {:.3} s of {} on {arch}", cost.seconds, show_size(cost.memory));
    row("time", format!("{:.3}", cost.gb_seconds), time, Some(cost.for_time));
    let store = &cost.store;
    match cost.store_kind {
        StoreKind::S3 => {
            let kinds = format!("requests: {} PUT, {} LIST", store.puts, store.lists);
            row("writes", store.writes().to_string(), kinds, Some(cost.for_writes));
            let kinds = format!("requests: {} GET, {} GET of a range", store.gets, store.ranges);
            row("reads", store.reads().to_string(), kinds, Some(cost.for_reads));
            row(
                "deletions",
                store.deletes.to_string(),
                "requests".to_string(),
                Some(0.0),
            );
        }
        StoreKind::Redis => {
            let kinds = format!(
                "operations: {} put, {} get, {} get of a range, {} delete, {} by prefix",
                store.puts, store.gets, store.ranges, store.deletes, store.lists
            );
            row("Redis", store.count().to_string(), kinds, Some(cost.for_redis));
        }
    }
    let bytes = format!("written, {} read", show_size(store.bytes_down));
    row("bytes", show_size(store.bytes_up), bytes, None);
    let batches = "batches written".to_string();
    row("journal", cost.journal_writes.to_string(), batches, None);
    row("total", String::new(), String::new(), Some(cost.total));
    table::text(&table)
}

fn notes(cost: &Cost, about: &About) -> String {
    let mut notes = String::new();
    if cost.is_hypothetical {
        notes.push_str(&format!(
            "It ran on the platform {} with the store {}: this is what it would have cost on AWS.\n",
            plain(&about.platform),
            plain(&without_password(&about.store))
        ));
    }
    notes.push_str(&format!("Prices: {}.\n", plain(&cost.prices.name)));
    if cost.only_checkpoints {
        notes.push_str(
            "Its record is of a time before operations were recorded: of them only stored checkpoints are counted.\n",
        );
    } else if cost.cut_off > 0 {
        notes.push_str(&format!(
            "{} ended by force: what such a one did in the store after its last call may be missing.\n",
            plural(cost.cut_off, "invocation")
        ));
    }
    notes.push_str(
        "Not counted: other services that tasks use, traffic, the coordinator's machine, storage by the month.\n",
    );
    notes
}
