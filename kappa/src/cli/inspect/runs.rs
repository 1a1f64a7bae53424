//! `runs`: which runs there are.

use super::show::{without_password, without_passwords};
use super::table::{self, duration, plain, table, time};
use super::{End, State, print, print_json};
use crate::cli::progress::show_size;
use crate::record::About;
use crate::record::folder::Standing;
use clap::Args;
use serde_json::json;

#[derive(Debug, Args)]
pub(in crate::cli) struct Runs {
    #[command(flatten)]
    state: State,
    /// Print JSON instead of a table
    #[arg(long)]
    json: bool,
}

impl Runs {
    pub(super) fn answer(self) -> Result<(), End> {
        let records = self.state.open()?;
        let runs = records.runs().map_err(End::failed)?;
        let runs: Vec<_> = runs
            .into_iter()
            .map(|run| {
                let about = records.about(run).ok();
                let standing = records.standing(run, about.as_ref());
                (run, about, standing)
            })
            .collect();
        if self.json {
            let runs: Vec<_> = runs
                .iter()
                .map(|(run, about, standing)| describe(&run.to_string(), about.as_ref(), *standing))
                .collect();
            return print_json(&runs);
        }
        let headings = [
            "RUN",
            "PROGRAM",
            "STARTED",
            "STATE",
            ">TASKS",
            ">INVOCATIONS",
            ">CHECKPOINTS",
            ">DURATION",
        ];
        let mut table = table(&headings);
        for (run, about, standing) in runs {
            match about {
                Some(about) => table.add_row([
                    run.to_string(),
                    plain(&about.origin.program_name()),
                    time(about.started),
                    standing.word().to_string(),
                    about.stats.tasks.to_string(),
                    about.stats.invocations.to_string(),
                    format!(
                        "{} ({})",
                        about.stats.checkpoints,
                        show_size(about.stats.checkpoint_bytes)
                    ),
                    duration(how_long(&about, standing)),
                ]),
                None => table.add_row([
                    run.to_string(),
                    "no record".to_string(),
                    time(run.generated_at()),
                    standing.word().to_string(),
                ]),
            };
        }
        print(&table::text(&table))
    }
}

/// How long it took, or has taken up to now, in microseconds.
pub(super) fn how_long(about: &About, standing: Standing) -> u64 {
    let until = match (standing, about.ended) {
        (Standing::Running, _) => crate::record::recorder::now().0,
        (_, Some(ended)) => ended,
        (_, None) => about.seen,
    };
    until.saturating_sub(about.started)
}

/// A run for programs.
pub(super) fn describe(run: &str, about: Option<&About>, standing: Standing) -> serde_json::Value {
    let Some(about) = about else {
        return json!({"run": run, "state": standing.word()});
    };
    json!({
        "run": run,
        "program": about.origin.program,
        "arguments": without_passwords(&about.origin.arguments),
        "function": about.function,
        "platform": about.platform,
        "store": without_password(&about.store),
        "state": standing.word(),
        "outcome": about.outcome,
        "started": table::time_for_programs(about.started),
        "ended": about.ended.and_then(table::time_for_programs),
        "seconds": table::seconds(how_long(about, standing)),
        "stats": about.stats,
        "trouble": about.trouble,
    })
}
