//! A run as a picture: one HTML file that needs nothing else.
//!
//! The page is a fixed text (`timeline.html`) with the run's data put into it as JSON. Whatever a program calls its tasks, and whatever they say, is data: `<`, `>` and `&`
//! are written as escapes in the JSON, so that nothing of it can end the script, and the page shows it as text only.

use super::history::{History, InvocationHistory, TaskHistory, short_name};
use crate::protocol::InvocationOutcome;
use serde_json::{Value, json};

const PAGE: &str = include_str!("timeline.html");

/// Where the data goes.
const PLACE: &str = "\"the run's data\"";

/// The page of a run.
pub fn page(history: &History) -> String {
    let data = escape(&data(history).to_string());
    // The place is there once, and the data is not searched again.
    PAGE.replacen(PLACE, &data, 1)
}

/// JSON that may stand in a script.
fn escape(json: &str) -> String {
    let mut escaped = String::with_capacity(json.len());
    for c in json.chars() {
        match c {
            '<' => escaped.push_str("\\u003c"),
            '>' => escaped.push_str("\\u003e"),
            '&' => escaped.push_str("\\u0026"),
            '\u{2028}' => escaped.push_str("\\u2028"),
            '\u{2029}' => escaped.push_str("\\u2029"),
            c => escaped.push(c),
        }
    }
    escaped
}

/// The data, in short lists: a run may have very many invocations. Times are microseconds since the run's start.
fn data(history: &History) -> Value {
    let about = &history.about;
    let start = about.started;
    let functions = history.by_function();
    let index = |function: &str| functions.iter().position(|(name, _)| *name == function);
    let tasks: Vec<Value> = history
        .tasks
        .iter()
        .map(|(id, task)| {
            json!({
                "id": id,
                "parent": task.parent,
                "function": index(&task.function),
                "name": task.name,
                "from": task.spawned.saturating_sub(start),
                "to": task.ended.map(|ended| ended.saturating_sub(start)),
                "error": task.error,
                "cancelled": task.is_cancelled,
                "invocations": invocations(task, start),
                "waits": task.waits.iter().map(|wait| json!([
                    wait.from.saturating_sub(start),
                    wait.until.map(|until| until.saturating_sub(start)),
                    history.describe(&wait.waits_for),
                ])).collect::<Vec<_>>(),
                "waited": task.waited,
            })
        })
        .collect();
    json!({
        "run": history.run.to_string(),
        "program": about.origin.program_name(),
        "platform": about.platform,
        "concurrency": about.concurrency,
        "state": history.standing.word(),
        "reason": history.failure(),
        "started": start,
        "duration": history.duration(),
        "until": history.until.max(start) - start,
        "recoveries": history.recoveries.iter().map(|at| at.saturating_sub(start)).collect::<Vec<_>>(),
        "sums": history.sums(),
        "trouble": about.trouble,
        "damaged": history.damaged,
        "functions": functions.iter().map(|(name, sums)| json!({
            "name": if name.is_empty() { "unknown" } else { short_name(name) },
            "full": name,
            "sums": sums,
        })).collect::<Vec<_>>(),
        "tasks": tasks,
    })
}

/// `[number, from, to, outcome, detail, checkpoints, bytes, ticks]`, with ticks `[time, bytes, call, left out before it]`.
fn invocations(task: &TaskHistory, start: u64) -> Vec<Value> {
    let invocation = |invocation: &InvocationHistory| {
        let (outcome, detail) = outcome(invocation);
        let ticks: Vec<Value> = invocation
            .ticks
            .iter()
            .map(|tick| json!([tick.at.saturating_sub(start), tick.bytes, tick.call, tick.skipped]))
            .collect();
        json!([
            invocation.incarnation,
            invocation.started.saturating_sub(start),
            invocation.ended.map(|ended| ended.saturating_sub(start)),
            outcome,
            detail,
            invocation.checkpoints,
            invocation.bytes,
            ticks,
        ])
    };
    task.invocations.iter().map(invocation).collect()
}

/// How an invocation ended, by the words of the page's legend, and what is known besides.
fn outcome(invocation: &InvocationHistory) -> (&'static str, Option<&str>) {
    match &invocation.outcome {
        None => ("open", None),
        Some(InvocationOutcome::Returned) if invocation.is_suspended => ("suspended", None),
        Some(InvocationOutcome::Returned) => ("returned", None),
        Some(InvocationOutcome::Crashed(detail)) => ("crashed", Some(detail)),
        Some(InvocationOutcome::Killed(_)) if invocation.is_stopped() => ("stopped", None),
        Some(InvocationOutcome::Killed(detail)) => ("killed", Some(detail)),
        Some(InvocationOutcome::TimedOut) => ("timed out", None),
        Some(InvocationOutcome::OutOfMemory(detail)) => ("out of memory", Some(detail)),
        Some(InvocationOutcome::Throttled(detail)) => ("throttled", Some(detail)),
        Some(InvocationOutcome::Unstartable(detail)) => ("unstartable", Some(detail)),
        Some(InvocationOutcome::StoreAway(detail)) => ("store away", Some(detail)),
        Some(InvocationOutcome::WrongProgram(detail)) => ("wrong program", Some(detail)),
        Some(InvocationOutcome::NeedsRepair(detail)) => ("needs repair", Some(detail)),
        // It left by itself; what it carried took effect.
        Some(InvocationOutcome::Unlinked(_)) => ("returned", None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::history::tests::{history, spawned};

    #[test]
    fn whatever_a_program_calls_its_tasks_is_data_and_nothing_else() {
        let evil = "</script><script>alert('x')</script><!-- \u{2028} & \" \\ \"the run's data\"";
        let page = page(&history([spawned(0, None, Some(evil))]));
        assert_eq!(page.matches("</script>").count(), PAGE.matches("</script>").count());
        assert_eq!(page.matches("<!--").count(), 0);
        let line = page.lines().find_map(|line| line.strip_prefix("const RUN = ")).unwrap();
        let data: Value = serde_json::from_str(line.trim_end_matches(';')).unwrap();
        assert_eq!(data["tasks"][0]["name"], evil);
    }

    #[test]
    fn a_run_of_which_nothing_is_known_has_a_page_too() {
        let page = page(&history([]));
        assert!(page.contains("\"tasks\":[]"));
        assert!(!page.contains(PLACE));
    }

    #[test]
    fn nothing_of_the_page_lies_elsewhere() {
        for outside in ["http:", "https:", "//cdn", "@import", "src=", "href=", "url("] {
            assert!(!PAGE.contains(outside), "{outside}");
        }
        assert_eq!(PAGE.matches(PLACE).count(), 1);
    }
}
