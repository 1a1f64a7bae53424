//! `cost`: what a run would cost on rented functions.

use super::table::{self, table};
use super::{End, Which, print, print_json};
use crate::cli::parse;
use crate::cli::progress::show_size;
use crate::record::cost::{Cost, DEFAULT_MEMORY, Prices};
use crate::record::history;
use clap::Args;
use serde_json::json;
use std::path::PathBuf;

#[derive(Debug, Args)]
pub(in crate::cli) struct CostOf {
    #[command(flatten)]
    which: Which,
    /// Memory of each invocation [default: the run's memory limit, or 1769 MiB, for which a Lambda gets one processor]
    #[arg(long, value_name = "SIZE", value_parser = parse::bytes)]
    memory: Option<u64>,
    /// Prices as JSON, instead of AWS's public ones of January 2025 (those are printed by --json)
    #[arg(long, value_name = "FILE")]
    prices: Option<PathBuf>,
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
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
        let memory = self.memory.or(about.memory_limit).unwrap_or(DEFAULT_MEMORY);
        let cost = Cost::of(&about, memory, prices);
        if self.json {
            let mut value = json!(cost);
            value["run"] = json!(run.to_string());
            value["state"] = json!(standing.word());
            return print_json(&value);
        }
        let mut table = table(&["", ">USED", "", &format!(">{}", cost.prices.currency)]);
        let money = |value: f64| format!("{value:.6}");
        table.add_row([
            "invocations",
            &cost.invocations.to_string(),
            "",
            &money(cost.for_invocations),
        ]);
        table.add_row([
            "time",
            &format!("{:.3}", cost.gb_seconds),
            &format!("GB s: {:.3} s of {}", cost.seconds, show_size(cost.memory)),
            &money(cost.for_time),
        ]);
        let requests = format!(
            "requests: {} writes, {} reads of checkpoints",
            cost.store_writes, cost.store_reads
        );
        let count = (cost.store_writes + cost.store_reads).to_string();
        table.add_row(["store", &count, &requests, &money(cost.for_store)]);
        table.add_row(["total", "", "", &money(cost.total)]);
        print(&format!(
            "{}\nPrices: {}.\nNot counted: what tasks read and write themselves, large arguments and results, storage by the month.\n",
            table::text(&table),
            table::plain(&cost.prices.name)
        ))
    }
}
