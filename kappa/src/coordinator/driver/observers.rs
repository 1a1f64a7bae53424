//! Who is told everything that happens in a run: its record, metrics, traces.
//!
//! Other than the events of [`Coordinator::events`](super::Coordinator::events), which a slow watcher may miss, these are told without a gap and in order: after
//! the decision is durable, and before it is carried out.

use super::{Core, Setup, Shared};
use crate::coordinator::state::{Action, Observation, RunEvent, RunStats, Timestamp};
use crate::ids::{RunId, TaskId};
use crate::protocol::Invocation;
use crate::runtime::RunError;
use bytes::Bytes;
use std::collections::HashMap;
use tracing::Span;

/// Is told everything that happens. It is called while the coordinator waits, so it must be quick: note it, and do the rest elsewhere.
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
        for observer in &self.setup.observers {
            observer.observe(self.setup.run, &happened, core.state.stats());
        }
    }
}

/// Tells what the journal says had happened at that time.
pub(super) fn replayed(setup: &Setup, at: Timestamp, latest: u64, actions: &[Action]) {
    if setup.observers.is_empty() {
        return;
    }
    let happened = numbered(at, latest, actions);
    for observer in &setup.observers {
        observer.observe_again(setup.run, &happened);
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
