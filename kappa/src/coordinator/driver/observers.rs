//! Who is told everything that happens in a run: its record, metrics, traces.
//!
//! Other than the events of [`Coordinator::events`](super::Coordinator::events), which a slow watcher may miss, these are told without a gap and in order, once
//! the decision is durable. They are told by whichever thread has just decided something, one at a time and never under the coordinator's lock: an observer
//! may ask the run for its numbers, or cancel it; one that panics is told nothing more, and nobody else notices.

use super::{Core, Setup, Shared};
use crate::coordinator::state::{Action, Observation, RunEvent, RunStats, Timestamp};
use crate::ids::{RunId, TaskId};
use crate::protocol::Invocation;
use crate::runtime::RunError;
use bytes::Bytes;
use parking_lot::{Condvar, Mutex, MutexGuard};
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread::{self, ThreadId};
use tracing::Span;

/// So many decisions may wait to be told. Then who decides has to wait for the observers.
const MOST_WAITING: usize = 4096;

/// Is told everything that happens. The coordinator waits for one that is slow, sooner or later, so it must be quick: note it, and do the rest elsewhere.
pub trait Observer: Send + Sync {
    /// This has happened; the numbers are those up to now.
    fn observe(&self, run: RunId, happened: &[Observation], stats: &RunStats);

    /// This had happened in another process, and was read from the journal when the run was resumed. Whoever was told then need not be told again.
    fn observe_again(&self, _run: RunId, _happened: &[Observation]) {}

    /// The run is over, at least in this process; nothing follows.
    fn over(&self, run: RunId, end: &RunEnd, stats: &RunStats);
}

/// How a run is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RunEnd {
    /// It has its result.
    Ended,
    /// It failed for this reason, and cannot be resumed.
    Failed(String),
    /// It was cancelled.
    Cancelled,
    /// This process has stopped working on it, for this reason. It may be resumed.
    Interrupted(String),
}

impl RunEnd {
    pub(super) fn of(outcome: &Result<Bytes, RunError>) -> Self {
        match outcome {
            Ok(_) => RunEnd::Ended,
            Err(RunError::Failed(error)) if error.kind == crate::Failure::Cancelled => RunEnd::Cancelled,
            Err(RunError::Failed(error)) => RunEnd::Failed(error.to_string()),
            Err(error) => RunEnd::Interrupted(error.to_string()),
        }
    }
}

impl Shared {
    /// Tells what the actions, which are the latest ones of the state, have to tell.
    pub(super) fn observe(&self, core: &mut Core, actions: &[Action]) {
        if self.setup.observers.is_empty() && core.spans.run.is_disabled() {
            return;
        }
        let happened = numbered(self.setup.clock.now(), core.state.observed(), actions);
        if happened.is_empty() {
            return;
        }
        core.spans.follow(&happened);
        if !self.setup.observers.is_empty() {
            let stats = core.state.stats().clone();
            self.outbox.add(Told::Happened(happened, Box::new(stats)));
        }
    }

    /// The run is over, at least here. Only the first outcome counts.
    pub(super) fn is_over(&self, core: &mut Core, outcome: Result<Bytes, RunError>) {
        if !std::mem::replace(&mut core.is_over, true) {
            let stats = self.stats(core);
            self.outbox.add(Told::Over(outcome, Box::new(stats)));
        }
    }

    /// Tells what has not been told yet, unless somebody else is doing that; then it waits only if there is too much of it. The lock must not be held.
    pub(super) fn tell_observers(&self) {
        let mut waiting = self.outbox.waiting.lock();
        let me = thread::current().id();
        loop {
            match waiting.teller {
                None => break,
                // It is an observer who has asked for something.
                Some(teller) if teller == me => return,
                Some(_) if waiting.told.len() <= MOST_WAITING => return,
                Some(_) => self.outbox.fewer.wait(&mut waiting),
            }
        }
        waiting.teller = Some(me);
        while let Some(told) = waiting.told.pop_front() {
            MutexGuard::unlocked(&mut waiting, || self.tell(told));
            self.outbox.fewer.notify_all();
        }
        waiting.teller = None;
        self.outbox.fewer.notify_all();
    }

    fn tell(&self, told: Told) {
        let run = self.setup.run;
        match told {
            Told::Happened(happened, stats) => self.each(|observer| observer.observe(run, &happened, &stats)),
            Told::Over(outcome, stats) => {
                let end = RunEnd::of(&outcome);
                self.each(|observer| observer.over(run, &end, &stats));
                // Whoever waits for the run finds that everybody has been told.
                self.outcome.send_replace(Some(outcome));
            }
        }
    }

    fn each(&self, tell: impl Fn(&dyn Observer)) {
        for (index, observer) in self.setup.observers.iter().enumerate() {
            if self.outbox.broken.lock().contains(&index) {
                continue;
            }
            if catch_unwind(AssertUnwindSafe(|| tell(&**observer))).is_err() {
                self.outbox.broken.lock().insert(index);
                tracing::error!(run = %self.setup.run, "an observer of the run has panicked, and is told nothing more; the run goes on");
            }
        }
    }
}

/// What is to be told, in order.
#[derive(Default)]
pub(super) struct Outbox {
    waiting: Mutex<Waiting>,
    fewer: Condvar,
    /// Observers that have panicked, by their places.
    broken: Mutex<BTreeSet<usize>>,
}

#[derive(Default)]
struct Waiting {
    told: VecDeque<Told>,
    /// Who tells.
    teller: Option<ThreadId>,
}

enum Told {
    Happened(Vec<Observation>, Box<RunStats>),
    Over(Result<Bytes, RunError>, Box<RunStats>),
}

impl Outbox {
    /// Added under the coordinator's lock, so that it is told in the order in which it was decided.
    fn add(&self, told: Told) {
        self.waiting.lock().told.push_back(told);
    }
}

/// Tells what the journal says had happened at that time.
pub(super) fn replayed(setup: &Setup, at: Timestamp, latest: u64, actions: &[Action]) {
    if setup.observers.is_empty() {
        return;
    }
    let happened = numbered(at, latest, actions);
    for observer in &setup.observers {
        let told = catch_unwind(AssertUnwindSafe(|| observer.observe_again(setup.run, &happened)));
        if told.is_err() {
            tracing::error!(run = %setup.run, "an observer of the run has panicked while it was told again what had happened");
        }
    }
}

/// The events among the actions, of which the last one has the number `latest`.
fn numbered(at: Timestamp, latest: u64, actions: &[Action]) -> Vec<Observation> {
    let events = actions.iter().filter_map(|action| match action {
        Action::Observed(event) => Some(event),
        _ => None,
    });
    let before = latest - events.clone().count() as u64;
    let observation = |(number, event): (u64, &RunEvent)| Observation {
        number,
        at,
        event: event.clone(),
    };
    (before + 1..).zip(events).map(observation).collect()
}

/// The spans of a run, for those who follow it by `tracing` (target `kappa`): `run` ⊃ `task` ⊃ `invocation`; a task that another one spawned lies in that one's.
/// If nobody listens when the run begins, there are none, and they cost nothing.
pub(super) struct Spans {
    run: Span,
    tasks: HashMap<TaskId, Span>,
}

impl Spans {
    pub(super) fn of(run: RunId) -> Self {
        Spans {
            run: tracing::info_span!(target: "kappa", parent: None, "run", %run),
            tasks: HashMap::new(),
        }
    }

    fn follow(&mut self, happened: &[Observation]) {
        if self.run.is_disabled() {
            return;
        }
        for observation in happened {
            match &observation.event {
                RunEvent::TaskSpawned {
                    task,
                    parent,
                    function,
                    name,
                } => {
                    let outer = parent.and_then(|parent| self.tasks.get(&parent)).unwrap_or(&self.run);
                    let span =
                        tracing::info_span!(target: "kappa", parent: outer, "task", task = task.0, function, name);
                    self.tasks.insert(*task, span);
                }
                RunEvent::TaskEnded { task, error } => {
                    if let (Some(span), Some(error)) = (self.tasks.remove(task), error) {
                        tracing::info!(target: "kappa", parent: &span, %error, "the task has ended without a result");
                    }
                }
                _ => {}
            }
        }
    }

    /// The span in which an invocation runs.
    pub(super) fn of_invocation(&self, invocation: &Invocation) -> Span {
        if self.run.is_disabled() {
            return Span::none();
        }
        let task = self.tasks.get(&invocation.task).unwrap_or(&self.run);
        tracing::info_span!(
            target: "kappa",
            parent: task,
            "invocation",
            task = invocation.task.0,
            incarnation = invocation.incarnation,
            function = invocation.function,
            resumes_after = invocation.last_sequence,
        )
    }
}
