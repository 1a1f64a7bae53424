//! `show`: what a run did and does.

use super::runs::{describe, how_long};
use super::table::{self, duration, plain, seconds, table, time};
use super::{End, Which, print, print_json};
use crate::cli::progress::{plural, show_size};
use crate::record::History;
use crate::record::folder::Standing;
use crate::record::history::{TaskSums, short_name};
use clap::Args;
use serde_json::json;
use std::fmt::Write;

/// So many failures and waits are listed.
const LISTED: usize = 20;

#[derive(Debug, Args)]
pub(in crate::cli) struct Show {
    #[command(flatten)]
    which: Which,
    /// Print JSON instead of text
    #[arg(long)]
    json: bool,
}

impl Show {
    pub(super) fn answer(self) -> Result<(), End> {
        let (records, run) = self.which.find()?;
        let history = History::read(&*records, run).map_err(End::failed)?;
        if self.json {
            return print_json(&for_programs(&history));
        }
        print(&for_people(&history))
    }
}

fn for_people(history: &History) -> String {
    let mut text = String::new();
    head(history, &mut text);
    functions(history, &mut text);
    failures(history, &mut text);
    now(history, &mut text);
    text
}

// Writing into a string cannot fail.
fn head(history: &History, text: &mut String) {
    let about = &history.about;
    let sums = history.sums();
    let mut line = |name: &str, value: String| {
        let _ = writeln!(text, "{name:<12} {value}");
    };
    line("run", history.run.to_string());
    line("program", plain(&about.origin.program.display().to_string()));
    line(
        "arguments",
        plain(&without_passwords(&about.origin.arguments).join(" ")),
    );
    line("task", plain(&about.function));
    let limit = about
        .memory_limit
        .map_or(String::new(), |limit| format!(", {} each", show_size(limit)));
    let concurrency = about.concurrency;
    line(
        "platform",
        format!("{}, at most {concurrency} invocations at once{limit}", about.platform),
    );
    line("store", plain(&without_password(&about.store)));
    line("state", history.standing.word().to_string());
    if let Some(reason) = history.failure() {
        line("because", plain(reason));
    }
    if history.standing == Standing::Interrupted && about.ended.is_none() {
        line(
            "because",
            "its coordinator was killed, or could not write the record any more".to_string(),
        );
    }
    line("started", time(about.started));
    if let Some(ended) = about.ended {
        line("ended", time(ended));
    }
    line("duration", duration(how_long(about, history.standing)));
    line(
        "computing",
        format!("{} in all invocations together", duration(sums.computing)),
    );
    line("waiting", format!("{} in all tasks together", duration(sums.waiting)));
    line(
        "tasks",
        format!("{}, {} ended, {} failed", sums.tasks, sums.ended, sums.failed),
    );
    let ends = [
        (sums.resumed, "resumed"),
        (sums.suspended, "suspended"),
        (sums.killed, "killed"),
        (sums.timed_out, "timed out"),
        (sums.out_of_memory, "out of memory"),
        (sums.crashed, "crashed"),
        (sums.throttled, "throttled"),
        (sums.store_away, "without the store"),
    ];
    let ends = ends.iter().filter(|(count, _)| *count > 0);
    let ends: Vec<_> = ends.map(|(count, what)| format!("{count} {what}")).collect();
    line(
        "invocations",
        [vec![sums.invocations.to_string()], ends].concat().join(", "),
    );
    line(
        "checkpoints",
        format!("{} of {}", sums.checkpoints, show_size(sums.bytes)),
    );
    if !history.recoveries.is_empty() {
        let times: Vec<_> = history.recoveries.iter().map(|at| time(*at)).collect();
        line("recoveries", format!("{} ({})", times.len(), times.join(", ")));
    }
    if let Some((task, at, said)) = history.trouble() {
        line("trouble", plain(&format!("task {task} at {}: {said}", time(at))));
    }
    if let Some(trouble) = &about.trouble {
        line("record", plain(trouble));
    }
    if history.damaged > 0 {
        line(
            "record",
            format!(
                "{} could not be read and were left out",
                plural(history.damaged, "line")
            ),
        );
    }
}

fn functions(history: &History, text: &mut String) {
    let headings = [
        "FUNCTION",
        ">TASKS",
        ">ENDED",
        ">FAILED",
        ">INVOCATIONS",
        ">LOST",
        ">RETRIES",
        ">CHECKPOINTS",
        ">BYTES",
        ">COMPUTING",
        ">WAITING",
    ];
    let mut table = table(&headings);
    for (function, sums) in history.by_function() {
        let mut row = vec![plain(function)];
        let lost = sums.lost();
        let counts = [
            sums.tasks,
            sums.ended,
            sums.failed,
            sums.invocations,
            lost,
            sums.retries,
            sums.checkpoints,
        ];
        row.extend(counts.map(|count| count.to_string()));
        row.extend([show_size(sums.bytes), duration(sums.computing), duration(sums.waiting)]);
        table.add_row(row);
    }
    let _ = writeln!(text, "\n{}", table::text(&table).trim_end());
}

fn failures(history: &History, text: &mut String) {
    let failed: Vec<_> = history
        .tasks
        .iter()
        .filter(|(_, task)| !task.is_cancelled)
        .filter_map(|(id, task)| Some((id, task, task.error.as_ref()?)))
        .collect();
    if failed.is_empty() {
        return;
    }
    let _ = writeln!(text, "\nfailed:");
    for (_, _, error) in failed.iter().take(LISTED) {
        let _ = writeln!(text, "  {}", plain(error));
    }
    if failed.len() > LISTED {
        let _ = writeln!(text, "  ... and {} more", failed.len() - LISTED);
    }
}

/// Who is doing what, if the run has not ended.
fn now(history: &History, text: &mut String) {
    if history.standing.is_over() {
        return;
    }
    let is_running = history.standing == Standing::Running;
    let waiting: Vec<_> = history.waiting().collect();
    let computing: Vec<_> = history.computing().collect();
    let title = if is_running {
        "computing now"
    } else {
        "were being computed"
    };
    if !computing.is_empty() {
        let _ = writeln!(text, "\n{title}:");
    }
    for (id, _, invocation) in computing.iter().take(LISTED) {
        let since = duration(history.until.saturating_sub(invocation.started));
        let name = plain(&history.name_of(*id));
        let _ = writeln!(text, "  {name}, invocation {} for {since}", invocation.incarnation);
    }
    if computing.len() > LISTED {
        let _ = writeln!(text, "  ... and {} more", computing.len() - LISTED);
    }
    if !waiting.is_empty() {
        let _ = writeln!(text, "\n{}:", if is_running { "waiting now" } else { "waiting" });
    }
    for (id, _, wait) in waiting.iter().take(LISTED) {
        let since = duration(history.until.saturating_sub(wait.from));
        let name = plain(&history.name_of(*id));
        let _ = writeln!(
            text,
            "  {name} for {since} for {}",
            plain(&history.describe(&wait.waits_for))
        );
    }
    if waiting.len() > LISTED {
        let _ = writeln!(text, "  ... and {} more", waiting.len() - LISTED);
    }
}

/// `redis://user:secret@host` without what is secret.
pub(super) fn without_password(url: &str) -> String {
    let parts = url.split(',').map(|part| match part.split_once("://") {
        Some((scheme, rest)) => match rest.rsplit_once('@') {
            Some((_, host)) => format!("{scheme}://...@{host}"),
            None => part.to_string(),
        },
        None => part.to_string(),
    });
    parts.collect::<Vec<_>>().join(",")
}

/// The words of a command line, which may name stores and servers.
pub(super) fn without_passwords(words: &[String]) -> Vec<String> {
    words.iter().map(|word| without_password(word)).collect()
}

fn for_programs(history: &History) -> serde_json::Value {
    let mut value = describe(&history.run.to_string(), Some(&history.about), history.standing);
    let sums = |sums: TaskSums| {
        let mut value = json!(sums);
        for (name, time) in [("computing", sums.computing), ("waiting", sums.waiting)] {
            value[name] = json!(seconds(time));
        }
        value
    };
    let functions = history.by_function().into_iter().map(|(function, of)| {
        let mut value = sums(of);
        value["function"] = json!(function);
        value["name"] = json!(short_name(function));
        value
    });
    value["functions"] = functions.collect();
    value["sums"] = sums(history.sums());
    value["recoveries"] = history
        .recoveries
        .iter()
        .map(|at| table::time_for_programs(*at))
        .collect();
    let failures = history.tasks.iter().filter(|(_, task)| !task.is_cancelled);
    value["failures"] = failures
        .filter_map(|(id, task)| Some(json!({"task": id, "function": task.function, "error": task.error.as_ref()?})))
        .collect();
    let waiting = history.waiting().filter(|_| !history.standing.is_over());
    value["waiting"] = waiting
        .map(|(id, task, wait)| {
            json!({
                "task": id,
                "function": task.function,
                "seconds": seconds(history.until.saturating_sub(wait.from)),
                "waits_for": wait.waits_for,
                "text": history.describe(&wait.waits_for),
            })
        })
        .collect();
    value["damaged_lines"] = json!(history.damaged);
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_in_a_stores_url_are_not_shown() {
        assert_eq!(
            without_password("redis://u:secret@h:1,redis://:p@q@i"),
            "redis://...@h:1,redis://...@i"
        );
        assert_eq!(without_password("file:/a@b"), "file:/a@b");
    }
}
