//! What a run is doing, on stderr: a line that moves while it goes on if that is a terminal, and its sums at the end.

use crate::runtime::RunStats;
use indicatif::{ProgressBar, ProgressStyle};
use std::io::{IsTerminal, stderr};
use std::time::{Duration, Instant};

/// How often the line changes.
pub(super) const INTERVAL: Duration = Duration::from_millis(100);

/// A short run needs no line.
const PATIENCE: Duration = Duration::from_millis(500);

/// The line of a run that is going on.
pub(super) struct Progress {
    bar: Option<ProgressBar>,
    started: Instant,
}

impl Progress {
    pub(super) fn start(quiet: bool) -> Self {
        let bar = (!quiet && stderr().is_terminal()).then(|| {
            let bar = ProgressBar::new_spinner();
            if let Ok(style) = ProgressStyle::with_template("{spinner} {elapsed} {msg}") {
                bar.set_style(style);
            }
            bar
        });
        Progress {
            bar,
            started: Instant::now(),
        }
    }

    pub(super) fn show(&self, stats: &RunStats) {
        if let Some(bar) = &self.bar
            && self.started.elapsed() >= PATIENCE
        {
            bar.set_message(counts(stats));
            bar.tick();
        }
    }

    /// Takes the line away; gives the sums.
    pub(super) fn finish(self, stats: &RunStats) -> String {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        format!("{} in {}", counts(stats), show_duration(self.started.elapsed()))
    }
}

/// A line that moves while something is waited for, if stderr is a terminal. It goes when this is dropped.
#[cfg(feature = "aws")]
pub(super) struct Waiting(Option<ProgressBar>);

#[cfg(feature = "aws")]
impl Waiting {
    pub(super) fn start() -> Self {
        Waiting(stderr().is_terminal().then(|| {
            let bar = ProgressBar::new_spinner();
            if let Ok(style) = ProgressStyle::with_template("{spinner} {elapsed}") {
                bar.set_style(style);
            }
            bar.enable_steady_tick(INTERVAL);
            bar
        }))
    }

    /// Takes the line out of the way of other output.
    pub(super) fn aside(&self, print: impl FnOnce()) {
        match &self.0 {
            Some(bar) => bar.suspend(print),
            None => print(),
        }
    }
}

#[cfg(feature = "aws")]
impl Drop for Waiting {
    fn drop(&mut self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}

/// `3 tasks, 7 invocations (2 killed), 12 checkpoints of 3.4 kB`.
fn counts(stats: &RunStats) -> String {
    let ends = [
        (stats.killed, "killed"),
        (stats.timed_out, "timed out"),
        (stats.out_of_memory, "out of memory"),
        (stats.crashed, "crashed"),
        (stats.throttled, "throttled"),
        (stats.store_away, "without the store"),
        (stats.resumed, "resumed"),
    ];
    let ends: Vec<_> = ends
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| format!("{count} {what}"))
        .collect();
    let ends = if ends.is_empty() {
        String::new()
    } else {
        format!(" ({})", ends.join(", "))
    };
    format!(
        "{}, {}{ends}, {} of {}",
        plural(stats.tasks, "task"),
        plural(stats.invocations, "invocation"),
        plural(stats.checkpoints, "checkpoint"),
        show_size(stats.checkpoint_bytes)
    )
}

pub(super) fn plural(count: u64, what: &str) -> String {
    if count == 1 {
        format!("1 {what}")
    } else {
        format!("{count} {what}s")
    }
}

/// A duration for people: `1.2 s`.
pub(super) fn show_duration(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    match seconds {
        0.0..1.0 => format!("{:.0} ms", seconds * 1e3),
        1.0..100.0 => format!("{seconds:.1} s"),
        _ => format!("{}:{:02} min", duration.as_secs() / 60, duration.as_secs() % 60),
    }
}

/// A size for people: `1.2 MB`.
pub(super) fn show_size(bytes: u64) -> String {
    match bytes as f64 {
        0.0..1e3 => format!("{bytes} B"),
        size @ 1e3..1e6 => format!("{:.1} kB", size / 1e3),
        size @ 1e6..1e9 => format!("{:.1} MB", size / 1e6),
        size => format!("{:.1} GB", size / 1e9),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sums_name_only_what_happened() {
        let quiet = RunStats {
            tasks: 1,
            invocations: 1,
            checkpoints: 2,
            checkpoint_bytes: 10,
            ..RunStats::default()
        };
        assert_eq!(counts(&quiet), "1 task, 1 invocation, 2 checkpoints of 10 B");
        let rough = RunStats {
            invocations: 9,
            killed: 3,
            timed_out: 1,
            resumed: 4,
            ..quiet
        };
        assert_eq!(
            counts(&rough),
            "1 task, 9 invocations (3 killed, 1 timed out, 4 resumed), 2 checkpoints of 10 B"
        );
    }
}
