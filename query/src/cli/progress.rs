//! A bar on the terminal while a query runs; nothing where standard error is no terminal, or the query is quick.

use crate::engine::QueryProgress;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::IsTerminal;
use std::time::{Duration, Instant};

/// A quick query needs no bar.
const PATIENCE: Duration = Duration::from_millis(500);

/// How often the bar should be told what is going on.
pub(crate) const REFRESH: Duration = Duration::from_millis(100);

/// What is told beside the bar.
fn counts(progress: &QueryProgress) -> String {
    let mut text = format!(
        "{}, {}",
        plural(progress.tasks, "task"),
        plural(progress.invocations, "invocation")
    );
    if progress.killed > 0 {
        text.push_str(&format!(", {} killed", progress.killed));
    }
    text
}

/// The bar of one query. Dropping it clears it.
#[derive(Debug)]
pub(crate) struct Progress {
    started: Instant,
    is_wanted: bool,
    bar: Option<ProgressBar>,
}

impl Progress {
    /// Starts to wait for the moment when a bar makes sense.
    pub(crate) fn start() -> Progress {
        Progress {
            started: Instant::now(),
            is_wanted: std::io::stderr().is_terminal(),
            bar: None,
        }
    }

    /// Shows where the query is.
    pub(crate) fn show(&mut self, now: QueryProgress) {
        if !self.is_wanted || self.started.elapsed() < PATIENCE {
            return;
        }
        let bar = self.bar.get_or_insert_with(|| {
            // How many units a resumed run has is not known here: that is a spinner.
            let total = (now.units > 0).then_some(now.units as u64);
            let bar = ProgressBar::with_draw_target(total, ProgressDrawTarget::stderr());
            bar.with_style(style(total.is_some()))
                .with_elapsed(self.started.elapsed())
        });
        bar.set_message(counts(&now));
        bar.set_position(now.units_done as u64);
        bar.tick();
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

const BAR: &str = "{elapsed_precise} {bar:30.cyan/dim} {pos}/{len} units, {msg}";
const SPINNER: &str = "{elapsed_precise} {spinner} {pos} units, {msg}";

fn style(has_total: bool) -> ProgressStyle {
    let template = if has_total { BAR } else { SPINNER };
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

/// `1 row`, `2 rows`.
pub(crate) fn plural(count: u64, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn killed_invocations_are_told_when_there_are_any() {
        let mut now = QueryProgress {
            units_done: 3,
            units: 9,
            tasks: 1,
            invocations: 4,
            killed: 0,
        };
        assert_eq!(counts(&now), "1 task, 4 invocations");
        now.killed = 2;
        assert_eq!(counts(&now), "1 task, 4 invocations, 2 killed");
    }

    #[test]
    fn the_templates_of_the_bar_are_valid() {
        for template in [BAR, SPINNER] {
            assert!(ProgressStyle::with_template(template).is_ok());
        }
    }

    #[test]
    fn a_quick_query_shows_no_bar() {
        let mut progress = Progress {
            started: Instant::now(),
            is_wanted: true,
            bar: None,
        };
        progress.show(QueryProgress::default());
        assert!(progress.bar.is_none());
        progress.started -= PATIENCE;
        progress.show(QueryProgress::default());
        assert!(progress.bar.is_some());
    }
}
