//! Which events are written, and the exact sums of all of them.
//!
//! A task may make a million checkpoints, and as many short waits. Of each invocation the first [`EACH`] are written, then every time their number
//! has grown by an eighth: a million checkpoints are about 150 lines. The next line of the invocation says what was left out before it.
//!
//! A wait that begins with a call that was not written, and ends before the invocation is sent away, is not written either.

use super::line::{Line, Skipped};
use crate::coordinator::state::{Observation, RunEvent, WITH_ITS_COORDINATOR};
use crate::ids::{Incarnation, TaskId};
use crate::protocol::{InvocationOutcome, Payload};
use crate::usage::{Spent, Totals};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// So many checkpoints of an invocation are all written.
pub const EACH: u64 = 64;

/// Exact sums over a run, of things that the coordinator does not count. Times in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Sums {
    /// Invocations that the platform really started.
    pub invocations: u64,
    /// How long they ran, together.
    pub computing: u64,
    /// The same, each rounded up to a whole millisecond, in milliseconds.
    pub billed_ms: u64,
    /// How long tasks waited for others, together.
    pub waiting: u64,
    /// Checkpoints that did not fit a message and went to the store.
    pub stored_checkpoints: u64,
    /// Invocations that read such a checkpoint.
    pub stored_resumes: u64,
    /// What the invocations that have ended, and the coordinator, have used.
    pub used: Totals,
}

/// Decides for one run.
#[derive(Debug, Default)]
pub struct Thinning {
    sums: Sums,
    /// The latest time seen.
    now: u64,
    open: BTreeMap<(TaskId, Incarnation), Open>,
    waits: BTreeMap<TaskId, Wait>,
    /// Tasks whose latest checkpoint lies in the store.
    in_store: BTreeSet<TaskId>,
}

/// An invocation that has not ended.
#[derive(Debug)]
struct Open {
    started: u64,
    checkpoints: u64,
    /// The number of the next checkpoint that is written.
    next: u64,
    skipped: Skipped,
}

/// A wait that has not ended.
#[derive(Debug)]
struct Wait {
    since: u64,
    /// Its line, if that has not been written.
    unwritten: Option<Line>,
}

impl Thinning {
    /// The sums up to now.
    pub fn sums(&self) -> Sums {
        self.sums
    }

    /// Goes on from sums that are known, instead of from nothing.
    pub fn start_from(&mut self, sums: Sums) {
        self.sums = sums;
    }

    /// Takes an event, and appends to `lines` what is to be written about it.
    pub fn take(&mut self, observation: Observation, lines: &mut Vec<Line>) {
        let Observation { number, at, event } = observation;
        // A recovery tells again what the journal had recorded a moment before it was told for the first time.
        self.now = self.now.max(at.0);
        let mut line = Line {
            n: number,
            at: self.now,
            event,
            skipped: Skipped::default(),
        };
        match &line.event {
            RunEvent::Checkpoint { task, bytes, .. } => {
                let (task, bytes) = (*task, *bytes);
                self.checkpoint(task, bytes);
                if let Some(open) = self.current(task) {
                    open.checkpoints += 1;
                    if open.checkpoints < open.next {
                        open.skipped.checkpoints += 1;
                        open.skipped.bytes += bytes;
                        open.skipped.stored += u64::from(is_stored(bytes));
                        return;
                    }
                    open.next = after(open.checkpoints);
                    line.skipped = std::mem::take(&mut open.skipped);
                }
            }
            RunEvent::Blocked { task, .. } => {
                let task = *task;
                let is_quiet = self.current(task).is_some_and(|open| open.skipped.checkpoints > 0);
                let unwritten = is_quiet.then(|| line.clone());
                let since = self.now;
                self.waits.insert(task, Wait { since, unwritten });
                if is_quiet {
                    return;
                }
            }
            RunEvent::Unblocked { task } => {
                let task = *task;
                if let Some((waited, Some(_))) = self.waited(task) {
                    if let Some(open) = self.current(task) {
                        open.skipped.waits += 1;
                        open.skipped.waited += waited;
                    }
                    return;
                }
            }
            RunEvent::Suspended { task } => {
                if let Some(wait) = self.waits.get_mut(task) {
                    lines.extend(wait.unwritten.take());
                }
            }
            RunEvent::InvocationEnded { task, incarnation, .. } => {
                if let Some(open) = self.open.get_mut(&(*task, *incarnation)) {
                    line.skipped = std::mem::take(&mut open.skipped);
                }
                self.follow(&line);
            }
            RunEvent::Recovered => {
                for key in self.open.keys().copied().collect::<Vec<_>>() {
                    lines.push(self.lost(number, key));
                }
            }
            _ => self.follow(&line),
        }
        lines.push(line);
    }

    /// Takes a line that has been written before.
    pub fn read(&mut self, line: &Line) {
        self.now = self.now.max(line.at);
        self.sums.waiting += line.skipped.waited;
        self.sums.stored_checkpoints += line.skipped.stored;
        match &line.event {
            RunEvent::Checkpoint { task, bytes, .. } => {
                let task = *task;
                self.checkpoint(task, *bytes);
                if let Some(open) = self.current(task) {
                    open.checkpoints += 1 + line.skipped.checkpoints;
                    open.next = after(open.checkpoints);
                }
            }
            RunEvent::Blocked { task, .. } => {
                let wait = Wait {
                    since: line.at,
                    unwritten: None,
                };
                self.waits.insert(*task, wait);
            }
            RunEvent::Unblocked { task } => {
                self.waited(*task);
            }
            _ => self.follow(line),
        }
    }

    fn follow(&mut self, line: &Line) {
        match &line.event {
            RunEvent::InvocationStarted { task, incarnation } => {
                if self.in_store.contains(task) {
                    self.sums.stored_resumes += 1;
                }
                let open = Open {
                    started: line.at,
                    checkpoints: 0,
                    next: 1,
                    skipped: Skipped::default(),
                };
                self.open.insert((*task, *incarnation), open);
            }
            RunEvent::InvocationEnded {
                task,
                incarnation,
                outcome,
                spent,
            } => {
                let open = self.open.remove(&(*task, *incarnation));
                let wall = open.as_ref().map_or(0, |open| line.at.saturating_sub(open.started));
                self.sums.used.add(outcome, spent, Duration::from_micros(wall));
                if let Some(open) = open
                    && !matches!(
                        outcome,
                        InvocationOutcome::Throttled(_) | InvocationOutcome::Unstartable(_)
                    )
                {
                    let duration = line.at.saturating_sub(open.started);
                    self.sums.invocations += 1;
                    self.sums.computing += duration;
                    self.sums.billed_ms += duration.div_ceil(1000);
                }
            }
            RunEvent::TaskEnded { task, .. } => {
                self.waited(*task);
                self.in_store.remove(task);
            }
            _ => {}
        }
    }

    /// The invocation went with its coordinator, at the latest time that is known of it.
    fn lost(&mut self, number: u64, key: (TaskId, Incarnation)) -> Line {
        let (task, incarnation) = key;
        let skipped = self.open.get_mut(&key).map(|open| std::mem::take(&mut open.skipped));
        let line = Line {
            n: number.saturating_sub(1),
            at: self.now,
            event: RunEvent::InvocationEnded {
                task,
                incarnation,
                outcome: InvocationOutcome::Killed(WITH_ITS_COORDINATOR.to_string()),
                spent: Spent::default(),
            },
            skipped: skipped.unwrap_or_default(),
        };
        self.follow(&line);
        line
    }

    fn checkpoint(&mut self, task: TaskId, bytes: u64) {
        if is_stored(bytes) {
            self.sums.stored_checkpoints += 1;
            self.in_store.insert(task);
        } else {
            self.in_store.remove(&task);
        }
    }

    /// The task's latest invocation.
    fn current(&mut self, task: TaskId) -> Option<&mut Open> {
        let latest = self.open.range_mut((task, 0)..=(task, Incarnation::MAX)).next_back();
        latest.map(|(_, open)| open)
    }

    /// A wait is over: how long it was, and its line if that has not been written.
    fn waited(&mut self, task: TaskId) -> Option<(u64, Option<Line>)> {
        let wait = self.waits.remove(&task)?;
        let waited = self.now.saturating_sub(wait.since);
        self.sums.waiting += waited;
        Some((waited, wait.unwritten))
    }
}

/// Whether a continuation of so many bytes goes to the store.
fn is_stored(bytes: u64) -> bool {
    bytes > Payload::INLINE_LIMIT as u64
}

/// The number of the next checkpoint that is written after this one.
fn after(checkpoints: u64) -> u64 {
    match checkpoints {
        0..EACH => checkpoints + 1,
        _ => checkpoints + (checkpoints / 8).max(1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coordinator::state::{Timestamp, WaitsFor};
    use crate::ids::QueueId;

    const TASK: TaskId = TaskId(3);

    fn told(thinning: &mut Thinning, number: u64, at: u64, event: RunEvent) -> Vec<Line> {
        let mut lines = Vec::new();
        let at = Timestamp(at);
        thinning.take(Observation { number, at, event }, &mut lines);
        lines
    }

    fn started(incarnation: Incarnation) -> RunEvent {
        RunEvent::InvocationStarted {
            task: TASK,
            incarnation,
        }
    }

    fn ended(incarnation: Incarnation, outcome: InvocationOutcome) -> RunEvent {
        RunEvent::InvocationEnded {
            task: TASK,
            incarnation,
            outcome,
            spent: Spent::default(),
        }
    }

    fn checkpoint(sequence: u64, bytes: u64) -> RunEvent {
        RunEvent::Checkpoint {
            task: TASK,
            sequence,
            bytes,
            call: "checkpoint".into(),
        }
    }

    fn blocked() -> RunEvent {
        RunEvent::Blocked {
            task: TASK,
            waits_for: WaitsFor::Item(QueueId(0)),
        }
    }

    #[test]
    fn a_million_checkpoints_are_a_few_lines_with_exact_sums() {
        let mut thinning = Thinning::default();
        let mut lines = told(&mut thinning, 1, 0, started(0));
        for sequence in 1..=1_000_000 {
            lines.extend(told(&mut thinning, sequence + 1, sequence, checkpoint(sequence, 10)));
        }
        lines.extend(told(
            &mut thinning,
            1_000_002,
            1_000_001,
            ended(0, InvocationOutcome::Returned),
        ));
        assert!(lines.len() < 200, "{} lines", lines.len());
        let first: Vec<u64> = lines.iter().take(65).map(|line| line.n).collect();
        assert_eq!(first, (1..=65).collect::<Vec<_>>(), "the first ones are all there");
        let written = lines.len() as u64 - 2;
        let skipped: u64 = lines.iter().map(|line| line.skipped.checkpoints).sum();
        let bytes: u64 = lines.iter().map(|line| line.skipped.bytes).sum();
        assert_eq!((written + skipped, 10 * written + bytes), (1_000_000, 10_000_000));
    }

    #[test]
    fn short_waits_are_thinned_out_with_their_calls_and_long_ones_are_not() {
        let mut thinning = Thinning::default();
        let mut lines = told(&mut thinning, 1, 0, started(0));
        let mut number = 1;
        let mut at = 0;
        let mut tell = |thinning: &mut Thinning, lines: &mut Vec<Line>, event| {
            number += 1;
            at += 1;
            lines.extend(told(thinning, number, at, event));
        };
        for sequence in 1..=10_000 {
            tell(&mut thinning, &mut lines, checkpoint(sequence, 10));
            tell(&mut thinning, &mut lines, blocked());
            tell(&mut thinning, &mut lines, RunEvent::Unblocked { task: TASK });
        }
        assert!(lines.len() < 500, "{} lines", lines.len());
        assert_eq!(thinning.sums().waiting, 10_000, "every wait counts");
        // This call is not written, but the wait that sends the invocation away is.
        tell(&mut thinning, &mut lines, checkpoint(10_001, 10));
        tell(&mut thinning, &mut lines, blocked());
        let before = lines.len();
        tell(&mut thinning, &mut lines, RunEvent::Suspended { task: TASK });
        let names: Vec<_> = lines[before..].iter().map(|line| line.event.clone()).collect();
        assert_eq!(names, [blocked(), RunEvent::Suspended { task: TASK }]);
        tell(&mut thinning, &mut lines, ended(0, InvocationOutcome::Returned));
        tell(&mut thinning, &mut lines, RunEvent::Unblocked { task: TASK });
        assert_eq!(
            lines.last().map(|line| &line.event),
            Some(&RunEvent::Unblocked { task: TASK })
        );
    }

    #[test]
    fn the_sums_are_the_same_when_the_lines_are_read_again() {
        let mut thinning = Thinning::default();
        let mut lines = Vec::new();
        let mut number = 0;
        let mut tell = |thinning: &mut Thinning, at, event| {
            number += 1;
            lines.extend(told(thinning, number, at, event));
        };
        tell(&mut thinning, 0, started(0));
        for sequence in 1..=500 {
            let bytes = if sequence % 3 == 0 { 100_000 } else { 10 };
            tell(&mut thinning, sequence * 10, checkpoint(sequence, bytes));
            tell(&mut thinning, sequence * 10 + 1, blocked());
            tell(&mut thinning, sequence * 10 + 3, RunEvent::Unblocked { task: TASK });
        }
        tell(&mut thinning, 6000, ended(0, InvocationOutcome::TimedOut));
        tell(&mut thinning, 6500, started(1));
        tell(&mut thinning, 7000, RunEvent::Recovered);
        tell(&mut thinning, 7100, started(2));
        tell(&mut thinning, 8100, ended(2, InvocationOutcome::Returned));

        let mut again = Thinning::default();
        for line in &lines {
            again.read(line);
        }
        assert_eq!(again.sums(), thinning.sums());
        let sums = thinning.sums();
        assert_eq!(sums.stored_checkpoints, 166);
        assert_eq!(sums.waiting, 1000);
        assert_eq!(sums.invocations, 3);
        assert_eq!(sums.computing, 6000 + 500 + 1000);
        assert_eq!(sums.billed_ms, 6 + 1 + 1);
    }

    #[test]
    fn an_invocation_that_was_never_started_costs_nothing() {
        let mut thinning = Thinning::default();
        told(&mut thinning, 1, 0, started(0));
        told(
            &mut thinning,
            2,
            900,
            ended(0, InvocationOutcome::Throttled("no room".to_string())),
        );
        assert_eq!(thinning.sums(), Sums::default());
    }
}
