//! A run's record, read: every task, what it did, and what it waits for.
//!
//! Lines that cannot be read are counted and left out: a last one that was torn when its writer was killed, or what a damaged disk has made of one.

use super::about::{About, Outcome};
use super::folder::{FolderError, Standing};
use super::line::Line;
use super::recorder::{self, EVENTS};
use super::records::Records;
use super::thinning::{Sums, Thinning};
use crate::coordinator::driver::BY_THE_COORDINATOR;
use crate::coordinator::state::{RunEvent, WaitsFor};
use crate::error::Failure;
use crate::ids::{Incarnation, RunId, TaskId};
use crate::protocol::InvocationOutcome;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, ErrorKind};
use std::path::Path;

/// Everything that is known of a run. Times are microseconds since 1970.
#[derive(Clone, Debug)]
pub struct History {
    /// The run.
    pub run: RunId,
    /// What it is.
    pub about: About,
    /// How it stands.
    pub standing: Standing,
    /// Its tasks, in the order of spawning.
    pub tasks: BTreeMap<TaskId, TaskHistory>,
    /// When its coordinator came back.
    pub recoveries: Vec<u64>,
    /// The latest moment of which something is known; now, if it is running.
    pub until: u64,
    /// How many lines could not be read.
    pub damaged: u64,
}

/// What is known of a task.
#[derive(Clone, Debug, Default)]
pub struct TaskHistory {
    /// Who spawned it.
    pub parent: Option<TaskId>,
    /// Its function's full name.
    pub function: String,
    /// What the program calls it.
    pub name: Option<String>,
    /// When it was spawned.
    pub spawned: u64,
    /// When it ended.
    pub ended: Option<u64>,
    /// Why it has no result.
    pub error: Option<String>,
    /// It was cancelled: that is no failure of its own.
    pub is_cancelled: bool,
    /// Its invocations, in the order of their start.
    pub invocations: Vec<InvocationHistory>,
    /// Its waits, in order; short ones may be missing.
    pub waits: Vec<WaitHistory>,
    /// How often it was tried again.
    pub retries: u64,
    /// How long the waits were that are not listed.
    pub waited: u64,
}

/// What is known of an invocation.
#[derive(Clone, Debug)]
pub struct InvocationHistory {
    /// Its number.
    pub incarnation: Incarnation,
    /// When it was handed to the platform.
    pub started: u64,
    /// When the platform reported its end.
    pub ended: Option<u64>,
    /// How it ended.
    pub outcome: Option<InvocationOutcome>,
    /// It was sent away because its task had to wait.
    pub is_suspended: bool,
    /// How many checkpoints it made.
    pub checkpoints: u64,
    /// Their lengths together, in bytes.
    pub bytes: u64,
    /// Those that are listed.
    pub ticks: Vec<Tick>,
}

/// A checkpoint.
#[derive(Clone, Debug)]
pub struct Tick {
    /// When it was committed.
    pub at: u64,
    /// Its length in bytes.
    pub bytes: u64,
    /// The call that it came with.
    pub call: Cow<'static, str>,
    /// How many before it are not listed.
    pub skipped: u64,
}

/// A wait.
#[derive(Clone, Debug)]
pub struct WaitHistory {
    /// Since when.
    pub from: u64,
    /// Until when; `None` if it still waits.
    pub until: Option<u64>,
    /// For what.
    pub waits_for: WaitsFor,
}

/// Sums over some tasks. Times in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct TaskSums {
    /// Tasks.
    pub tasks: u64,
    /// Tasks that have ended.
    pub ended: u64,
    /// Tasks that have ended without a result.
    pub failed: u64,
    /// Invocations.
    pub invocations: u64,
    /// Invocations that were not their task's first.
    pub resumed: u64,
    /// Invocations that were sent away because their task had to wait.
    pub suspended: u64,
    /// Invocations that were killed from outside.
    pub killed: u64,
    /// Invocations taken by the time limit.
    pub timed_out: u64,
    /// Invocations taken by the memory limit.
    pub out_of_memory: u64,
    /// Invocations that broke by themselves.
    pub crashed: u64,
    /// Invocations for which the platform had no room.
    pub throttled: u64,
    /// Invocations that left because the store could not be reached.
    pub store_away: u64,
    /// How often a task was tried again.
    pub retries: u64,
    /// Checkpoints.
    pub checkpoints: u64,
    /// The sum of their lengths in bytes.
    pub bytes: u64,
    /// How long invocations ran, together.
    pub computing: u64,
    /// How long tasks waited, together.
    pub waiting: u64,
}

impl History {
    /// Reads a run's record.
    ///
    /// # Errors
    /// If there is none, or it cannot be read.
    pub fn read(records: &dyn Records, run: RunId) -> Result<Self, FolderError> {
        let about = records.about(run)?;
        let standing = records.standing(run, Some(&about));
        let mut history = Self::empty(run, about, standing);
        history.damaged = records.lines(run, &mut |line| history.take(line))?;
        if standing == Standing::Running {
            history.until = history.until.max(recorder::now().0);
        }
        Ok(history)
    }

    fn empty(run: RunId, about: About, standing: Standing) -> Self {
        History {
            run,
            standing,
            tasks: BTreeMap::new(),
            recoveries: Vec::new(),
            until: about.started.max(about.seen),
            damaged: 0,
            about,
        }
    }

    fn take(&mut self, line: Line) {
        let Line { at, event, skipped, .. } = line;
        self.until = self.until.max(at);
        match event {
            RunEvent::TaskSpawned {
                task,
                parent,
                function,
                name,
            } => {
                let spawned = TaskHistory {
                    parent,
                    function,
                    name,
                    spawned: at,
                    ..TaskHistory::default()
                };
                self.tasks.insert(task, spawned);
            }
            RunEvent::InvocationStarted { task, incarnation } => {
                self.task(task, at).invocations.push(InvocationHistory {
                    incarnation,
                    started: at,
                    ended: None,
                    outcome: None,
                    is_suspended: false,
                    checkpoints: 0,
                    bytes: 0,
                    ticks: Vec::new(),
                });
            }
            RunEvent::Checkpoint { task, bytes, call, .. } => {
                let task = self.task(task, at);
                task.waited += skipped.waited;
                if let Some(invocation) = task.invocations.last_mut() {
                    invocation.checkpoints += 1 + skipped.checkpoints;
                    invocation.bytes += bytes + skipped.bytes;
                    let skipped = skipped.checkpoints;
                    invocation.ticks.push(Tick {
                        at,
                        bytes,
                        call,
                        skipped,
                    });
                }
            }
            RunEvent::Blocked { task, waits_for } => {
                let wait = WaitHistory {
                    from: at,
                    until: None,
                    waits_for,
                };
                self.task(task, at).waits.push(wait);
            }
            RunEvent::Unblocked { task } => {
                if let Some(wait) = self.task(task, at).waits.last_mut() {
                    wait.until.get_or_insert(at);
                }
            }
            RunEvent::Suspended { task } => {
                if let Some(invocation) = self.task(task, at).invocations.last_mut() {
                    invocation.is_suspended = true;
                }
            }
            RunEvent::InvocationEnded {
                task,
                incarnation,
                outcome,
                spent: _,
            } => {
                let task = self.task(task, at);
                task.waited += skipped.waited;
                let mut invocations = task.invocations.iter_mut().rev();
                if let Some(invocation) = invocations.find(|invocation| invocation.incarnation == incarnation) {
                    invocation.checkpoints += skipped.checkpoints;
                    invocation.bytes += skipped.bytes;
                    invocation.ended = Some(at);
                    invocation.outcome = Some(outcome);
                }
            }
            RunEvent::Retried { task, .. } => self.task(task, at).retries += 1,
            RunEvent::TaskEnded { task, error } => {
                let task = self.task(task, at);
                task.ended = Some(at);
                if let Some(wait) = task.waits.last_mut() {
                    wait.until.get_or_insert(at);
                }
                task.is_cancelled = error.as_ref().is_some_and(|error| error.kind == Failure::Cancelled);
                task.error = error.map(|error| error.to_string());
            }
            RunEvent::Recovered => self.recoveries.push(at),
            // What else happens changes nothing of the picture.
            _ => {}
        }
    }

    /// A task; one whose spawning is not in the record has no name.
    fn task(&mut self, id: TaskId, at: u64) -> &mut TaskHistory {
        self.tasks.entry(id).or_insert_with(|| TaskHistory {
            spawned: at,
            ..TaskHistory::default()
        })
    }

    /// How long the run has been worked on, in microseconds: without the times in which no coordinator was there it would be less.
    pub fn duration(&self) -> u64 {
        self.about
            .ended
            .unwrap_or(self.until)
            .saturating_sub(self.about.started)
    }

    /// Sums by function, the most expensive first.
    pub fn by_function(&self) -> Vec<(&str, TaskSums)> {
        let mut sums: BTreeMap<&str, TaskSums> = BTreeMap::new();
        for task in self.tasks.values() {
            sums.entry(&task.function).or_default().add(task, self.until);
        }
        let mut sums: Vec<_> = sums.into_iter().collect();
        sums.sort_by_key(|(_, sums)| std::cmp::Reverse(sums.computing));
        sums
    }

    /// Sums over all tasks.
    pub fn sums(&self) -> TaskSums {
        let mut sums = TaskSums::default();
        for task in self.tasks.values() {
            sums.add(task, self.until);
        }
        sums
    }

    /// The latest invocation that did not end as it should, unless its task has gone on or ended since: whose, when, and what was said. Being throttled is of
    /// no interest beside anything else.
    pub fn trouble(&self) -> Option<(TaskId, u64, &str)> {
        let troubles = self.tasks.iter().filter(|(_, task)| task.ended.is_none());
        let troubles = troubles.filter_map(|(id, task)| {
            let last = task
                .invocations
                .iter()
                .rev()
                .find(|invocation| invocation.ended.is_some())?;
            let (rank, said) = match last.outcome.as_ref()? {
                InvocationOutcome::Throttled(said) => (0, said.as_str()),
                InvocationOutcome::Killed(said) => (1, said.as_str()),
                InvocationOutcome::TimedOut => (2, "it ran out of time"),
                InvocationOutcome::Crashed(said)
                | InvocationOutcome::OutOfMemory(said)
                | InvocationOutcome::Unstartable(said)
                | InvocationOutcome::WrongProgram(said)
                | InvocationOutcome::NeedsRepair(said)
                | InvocationOutcome::StoreAway(said) => (2, said.as_str()),
                InvocationOutcome::Returned | InvocationOutcome::Unlinked(_) => return None,
            };
            Some((rank, last.ended?, *id, said))
        });
        let (_, at, task, said) = troubles.max_by_key(|(rank, at, ..)| (*rank, *at))?;
        Some((task, at, said))
    }

    /// Who waits for what at the end of the record: tasks with their latest wait.
    pub fn waiting(&self) -> impl Iterator<Item = (TaskId, &TaskHistory, &WaitHistory)> {
        self.tasks.iter().filter_map(|(id, task)| {
            let wait = task
                .waits
                .last()
                .filter(|wait| wait.until.is_none() && task.ended.is_none())?;
            Some((*id, task, wait))
        })
    }

    /// Tasks that an invocation works on at the end of the record.
    pub fn computing(&self) -> impl Iterator<Item = (TaskId, &TaskHistory, &InvocationHistory)> {
        self.tasks.iter().filter_map(|(id, task)| {
            let invocation = task
                .invocations
                .last()
                .filter(|invocation| invocation.ended.is_none())?;
            Some((*id, task, invocation))
        })
    }

    /// What a wait is for, in words, with what is still missing.
    pub fn describe(&self, waits_for: &WaitsFor) -> String {
        let is_missing = |task: &&TaskId| self.tasks.get(task).is_none_or(|task| task.ended.is_none());
        match waits_for {
            WaitsFor::Room(queue) => format!("room in {queue}"),
            WaitsFor::Item(queue) => format!("an item of {queue}"),
            WaitsFor::Time { until } => {
                let left = until.0.saturating_sub(self.until) as f64 / 1e6;
                format!("the time to pass ({left:.1} s left)")
            }
            WaitsFor::Object(url) => format!("an object to be at {url}"),
            WaitsFor::Turn { first, count } => match first.iter().find(is_missing) {
                Some(task) => format!("its turn after {count} tasks, among them {}", self.name_of(*task)),
                None => format!("its turn after {count} tasks"),
            },
            WaitsFor::All { first, count: 1 } | WaitsFor::Any { first, count: 1 } => match first.first() {
                Some(task) => self.name_of(*task),
                None => "a task".to_string(),
            },
            WaitsFor::All { first, count } => match first.iter().find(is_missing) {
                Some(task) => format!("{count} tasks, among them {}", self.name_of(*task)),
                None => format!("{count} tasks"),
            },
            WaitsFor::Any { first, count } => match first.first() {
                Some(task) => format!("any of {count} tasks, the first of them {}", self.name_of(*task)),
                None => format!("any of {count} tasks"),
            },
        }
    }

    /// `task 7 (count "a name")`.
    pub fn name_of(&self, id: TaskId) -> String {
        match self.tasks.get(&id) {
            Some(TaskHistory { name: Some(name), .. }) => format!("{id} ({name})"),
            Some(task) if !task.function.is_empty() => format!("{id} ({})", short_name(&task.function)),
            _ => id.to_string(),
        }
    }

    /// Why the run has no result, if it has none.
    pub fn failure(&self) -> Option<&str> {
        match &self.about.outcome {
            Some(Outcome::Failed(reason) | Outcome::Interrupted(reason)) => Some(reason),
            _ => None,
        }
    }
}

impl TaskSums {
    fn add(&mut self, task: &TaskHistory, until: u64) {
        self.tasks += 1;
        self.ended += u64::from(task.ended.is_some());
        self.failed += u64::from(task.error.is_some() && !task.is_cancelled);
        self.retries += task.retries;
        self.waiting += task.waited;
        for wait in &task.waits {
            self.waiting += wait.until.unwrap_or(until).saturating_sub(wait.from);
        }
        // Numbers begin anew, further on, in each life of a coordinator: they do not say which was the first.
        self.resumed += (task.invocations.len() as u64).saturating_sub(1);
        for invocation in &task.invocations {
            self.invocations += 1;
            self.suspended += u64::from(invocation.is_suspended);
            match &invocation.outcome {
                Some(InvocationOutcome::Killed(_)) if !invocation.is_stopped() => self.killed += 1,
                Some(InvocationOutcome::TimedOut) => self.timed_out += 1,
                Some(InvocationOutcome::OutOfMemory(_)) => self.out_of_memory += 1,
                Some(InvocationOutcome::Crashed(_)) => self.crashed += 1,
                Some(InvocationOutcome::Throttled(_)) => self.throttled += 1,
                Some(InvocationOutcome::StoreAway(_)) => self.store_away += 1,
                _ => {}
            }
            self.checkpoints += invocation.checkpoints;
            self.bytes += invocation.bytes;
            self.computing += invocation.ended.unwrap_or(until).saturating_sub(invocation.started);
        }
    }
}

impl InvocationHistory {
    /// Whether the coordinator had it killed, because its task had ended without it.
    pub fn is_stopped(&self) -> bool {
        matches!(&self.outcome, Some(InvocationOutcome::Killed(by)) if by == BY_THE_COORDINATOR)
    }
}

impl TaskSums {
    /// Invocations that ended before their work was done.
    pub fn lost(&self) -> u64 {
        self.killed + self.timed_out + self.out_of_memory + self.crashed + self.throttled + self.store_away
    }
}

/// The last part of a function's full name.
pub fn short_name(function: &str) -> &str {
    function.rsplit("::").next().unwrap_or(function)
}

/// Reads the lines of the events in a run's folder, in order; gives the number of those that could not be read.
///
/// # Errors
/// If the file cannot be read. One that is not there has no lines.
pub fn lines(folder: &Path, take: impl FnMut(Line)) -> io::Result<u64> {
    match File::open(folder.join(EVENTS)) {
        Ok(file) => lines_of(BufReader::with_capacity(1 << 16, file), take),
        Err(cause) if cause.kind() == ErrorKind::NotFound => Ok(0),
        Err(cause) => Err(cause),
    }
}

/// The same for events that come from anywhere.
pub(super) fn lines_of(mut reader: impl BufRead, mut take: impl FnMut(Line)) -> io::Result<u64> {
    let mut bytes = Vec::new();
    let mut damaged = 0;
    while reader.read_until(b'\n', &mut bytes)? > 0 {
        match Line::parse(&bytes) {
            Some(line) => take(line),
            // One without an end is being written, or was when its writer died.
            None => damaged += u64::from(bytes.ends_with(b"\n")),
        }
        bytes.clear();
    }
    Ok(damaged)
}

/// The sums of what is in a run's events. Invocations that have not ended are not in them.
///
/// # Errors
/// If they cannot be read.
pub fn sums(records: &dyn Records, run: RunId) -> Result<Sums, FolderError> {
    let mut thinning = Thinning::default();
    records.lines(run, &mut |line| thinning.read(&line))?;
    Ok(thinning.sums())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::coordinator::state::RunStats;
    use crate::error::TaskError;
    use crate::ids::QueueId;
    use crate::record::Origin;

    /// What is known of a run before anything has happened in it.
    pub(crate) fn about(run: RunId) -> About {
        About {
            run: run.to_string(),
            function: "a::root".to_string(),
            origin: Origin::default(),
            state: None,
            store: "memory:".to_string(),
            platform: "custom".to_string(),
            concurrency: 1,
            memory_limit: None,
            started: 0,
            seen: 0,
            ended: None,
            outcome: None,
            process: 1,
            stats: RunStats::default(),
            sums: Sums::default(),
            trouble: None,
        }
    }

    /// A run in which these things happened, a microsecond after each other.
    pub(crate) fn history(events: impl IntoIterator<Item = RunEvent>) -> History {
        let run = RunId::generate();
        let mut history = History::empty(run, about(run), Standing::Interrupted);
        for (n, event) in (1..).zip(events) {
            history.take(Line {
                n,
                at: n,
                event,
                skipped: Default::default(),
            });
        }
        history
    }

    pub(crate) fn spawned(task: u64, parent: Option<u64>, name: Option<&str>) -> RunEvent {
        RunEvent::TaskSpawned {
            task: TaskId(task),
            parent: parent.map(TaskId),
            function: format!("a::f{}", task.min(1)),
            name: name.map(str::to_string),
        }
    }

    fn started(task: u64, incarnation: Incarnation) -> RunEvent {
        let task = TaskId(task);
        RunEvent::InvocationStarted { task, incarnation }
    }

    #[test]
    fn who_waits_for_what_is_known_as_long_as_it_waits() {
        let task = TaskId(0);
        let waits_for = WaitsFor::All {
            first: vec![TaskId(1), TaskId(2)],
            count: 2,
        };
        let blocked = RunEvent::Blocked { task, waits_for };
        let ended = |task| RunEvent::TaskEnded {
            task: TaskId(task),
            error: None,
        };
        let mut events = vec![
            spawned(0, None, None),
            spawned(1, Some(0), Some("first")),
            spawned(2, Some(0), None),
            blocked,
        ];
        let text = |events: &[RunEvent]| {
            let history = history(events.to_vec());
            let texts = history.waiting().map(|(_, _, wait)| history.describe(&wait.waits_for));
            texts.collect::<Vec<_>>()
        };
        assert_eq!(text(&events), ["2 tasks, among them task 1 (first)"]);
        events.push(ended(1));
        assert_eq!(text(&events), ["2 tasks, among them task 2 (f1)"]);
        events.extend([ended(2), RunEvent::Unblocked { task }]);
        assert_eq!(text(&events), Vec::<String>::new());
        events.push(RunEvent::Blocked {
            task,
            waits_for: WaitsFor::Item(QueueId(3)),
        });
        assert_eq!(text(&events), ["an item of queue 3"]);
        events.push(ended(0));
        assert_eq!(
            text(&events),
            Vec::<String>::new(),
            "whoever has ended waits for nothing"
        );
    }

    #[test]
    fn sums_are_those_of_what_happened_and_a_late_report_is_that_of_its_own_invocation() {
        let task = TaskId(0);
        let ended = |incarnation, outcome| RunEvent::InvocationEnded {
            task,
            incarnation,
            outcome,
            spent: Default::default(),
        };
        let checkpoint = |sequence, bytes| RunEvent::Checkpoint {
            task,
            sequence,
            bytes,
            call: "checkpoint".into(),
        };
        let history = history([
            spawned(0, None, None),
            started(0, 0),
            checkpoint(1, 10),
            RunEvent::Suspended { task },
            started(0, 1),
            checkpoint(2, 30),
            // The platform sees the end of the first one only now.
            ended(0, InvocationOutcome::Returned),
            ended(1, InvocationOutcome::TimedOut),
            RunEvent::TaskEnded {
                task,
                error: Some(TaskError {
                    task,
                    function: "a::f0".to_string(),
                    kind: Failure::Returned("no".to_string()),
                    trace: Vec::new(),
                }),
            },
        ]);
        let sums = TaskSums {
            tasks: 1,
            ended: 1,
            failed: 1,
            invocations: 2,
            resumed: 1,
            suspended: 1,
            timed_out: 1,
            retries: 0,
            checkpoints: 2,
            bytes: 40,
            computing: (7 - 2) + (8 - 5),
            ..TaskSums::default()
        };
        assert_eq!(history.sums(), sums);
        assert_eq!(history.by_function(), [("a::f0", sums)]);
        assert_eq!(history.tasks[&task].error.as_deref(), Some("task 0 (a::f0) failed: no"));
    }

    #[test]
    fn the_latest_trouble_is_told_until_its_task_has_gone_on_and_throttling_only_if_there_is_nothing_else() {
        let spawned = |task: u64| RunEvent::TaskSpawned {
            task: TaskId(task),
            parent: None,
            function: "a::f".to_string(),
            name: None,
        };
        let started = |task: u64, incarnation| RunEvent::InvocationStarted {
            task: TaskId(task),
            incarnation,
        };
        let ended = |task: u64, incarnation, outcome| RunEvent::InvocationEnded {
            task: TaskId(task),
            incarnation,
            outcome,
            spent: Default::default(),
        };
        let mut events = vec![
            spawned(0),
            spawned(1),
            started(0, 0),
            ended(0, 0, InvocationOutcome::StoreAway("no such host".to_string())),
            started(1, 0),
            ended(1, 0, InvocationOutcome::Throttled("no room".to_string())),
            started(0, 1),
        ];
        let told = |events: &[RunEvent]| {
            let history = history(events.to_vec());
            history.trouble().map(|(task, at, said)| (task.0, at, said.to_string()))
        };
        assert_eq!(told(&events), Some((0, 4, "no such host".to_string())));
        events.push(ended(0, 1, InvocationOutcome::Returned));
        assert_eq!(told(&events), Some((1, 6, "no room".to_string())));
        events.push(RunEvent::TaskEnded {
            task: TaskId(1),
            error: None,
        });
        assert_eq!(told(&events), None);
    }
}
