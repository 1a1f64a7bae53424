//! Ends: of a task, of the run, and of a run in which everybody waits.
//!
//! The run's result is its first task's. When that one ends, tasks that are still alive are cancelled: nobody is left who could take their
//! results. A task that fails fails its waiters with a typed error; if nobody waits, the failure is reported as an event and counted, and the
//! run goes on. Tasks that were to begin after it never do, and end with it, however long that chain is.

use super::checks::{bounded, bounded_trace};
use super::task::{Phase, Position, Wait};
use super::{Action, RunEvent, State, impossible};
use crate::coordinator::sabotage::{self, Sabotage};
use crate::error::{Failure, TaskError};
use crate::ids::{Incarnation, TaskId};
use crate::protocol::TaskResult;
use std::collections::VecDeque;
use std::fmt::Write;

/// How many blocked tasks a deadlock's message names.
const NAMED_IN_DEADLOCK: usize = 16;

/// A task that is to end.
pub(super) struct Ending {
    pub(super) id: TaskId,
    pub(super) result: TaskResult,
    /// The invocation that made the task's last call, if it ended by itself.
    pub(super) leaving: Option<Incarnation>,
}

impl State {
    /// The task's own last call. The error of a task always bears its own name.
    pub(super) fn exit(&mut self, id: TaskId, by: Incarnation, result: TaskResult, actions: &mut Vec<Action>) {
        let result = result.map_err(|error| {
            let mut own = self.error_of(id, bounded(error.kind));
            own.trace = error.trace;
            bounded_trace(&mut own);
            own
        });
        self.mark_leaving(id, by, false);
        self.end(id, result, Some(by), actions);
    }

    /// The task ends without a result, by the coordinator's decision.
    pub(super) fn fail_task(&mut self, id: TaskId, failure: Failure, actions: &mut Vec<Action>) {
        let error = self.error_of(id, bounded(failure));
        self.end(id, Err(error), None, actions);
    }

    /// The whole run ends because of this task.
    pub(super) fn fail_run(&mut self, id: TaskId, failure: Failure, actions: &mut Vec<Action>) {
        let error = self.error_of(id, failure);
        self.end_run(Err(error), actions);
    }

    pub(super) fn cancel_run(&mut self, actions: &mut Vec<Action>) {
        if self.is_going_on() {
            self.fail_run(TaskId::ROOT, Failure::Cancelled, actions);
        }
    }

    pub(super) fn error_of(&self, id: TaskId, kind: Failure) -> TaskError {
        let function = self.tasks.get(&id).map(|task| task.function.as_str());
        TaskError::new(id, function.unwrap_or_default(), kind)
    }

    pub(super) fn end(
        &mut self,
        id: TaskId,
        result: TaskResult,
        leaving: Option<Incarnation>,
        actions: &mut Vec<Action>,
    ) {
        self.end_all(VecDeque::from([Ending { id, result, leaving }]), actions);
    }

    /// Ends these tasks, and those that end because of them.
    pub(super) fn end_all(&mut self, mut endings: VecDeque<Ending>, actions: &mut Vec<Action>) {
        while let Some(ending) = endings.pop_front() {
            if ending.id == TaskId::ROOT {
                self.end_run(ending.result, actions);
                return;
            }
            self.end_task(ending, &mut endings, actions);
        }
    }

    fn end_task(&mut self, ending: Ending, endings: &mut VecDeque<Ending>, actions: &mut Vec<Action>) {
        let Ending { id, result, leaving } = ending;
        match self.tasks.get(&id) {
            None => impossible!(self, "{id} is to end, and is not there"),
            Some(task) if task.result().is_some() => return, // It was to end for two reasons.
            Some(_) => {}
        }
        let error = result.as_ref().err().cloned();
        if let Some(error) = &error
            && self.begin_again(id, error, leaving, endings, actions)
        {
            return;
        }
        let Some(task) = self.tasks.get_mut(&id) else {
            impossible!(self, "{id} is gone while it ends");
        };
        let retrying = task.special.as_mut().and_then(|special| special.retrying.take());
        let at_beginning = matches!(task.position, Position::Beginning(_));
        let position = task.move_to(Position::Over);
        let phase = std::mem::replace(&mut task.phase, Phase::Ended { result, leaving });
        let waiters = std::mem::take(&mut task.waiters);
        if phase.is_active() {
            self.active -= 1;
        }
        for payload in position {
            self.discard(payload, actions);
        }
        if let Some(retrying) = retrying
            && !at_beginning
        {
            self.discard(retrying.arguments, actions);
        }
        self.withdraw(id, phase, leaving, actions);
        self.count_end(id, error, actions);
        for waiter in waiters {
            self.result_arrived(waiter, id, endings, actions);
        }
    }

    /// Takes a task out of everything that it stood in while it was in `phase`.
    pub(super) fn withdraw(
        &mut self,
        id: TaskId,
        phase: Phase,
        leaving: Option<Incarnation>,
        actions: &mut Vec<Action>,
    ) {
        if let Some(incarnation) = phase.current()
            && leaving.is_none()
            && self.slots.contains_key(&(id, incarnation))
        {
            self.mark_leaving(id, incarnation, true);
            actions.push(Action::Kill { task: id, incarnation });
        }
        match phase {
            Phase::BackOff(at) => {
                self.backing_off.remove(&(at, id));
            }
            Phase::Blocked { wait, holding } => {
                if let Some((_, until)) = holding {
                    self.holding.remove(&(until, id));
                }
                match wait {
                    Wait::All { tasks, .. } | Wait::Any { tasks } | Wait::After { tasks, .. } => {
                        self.forget_waiter(id, &tasks);
                    }
                    Wait::Enqueue { queue, place, rest } => {
                        self.discard_all(rest, actions);
                        self.leave_queue(queue, place, actions);
                    }
                    Wait::Dequeue { queue, place } => self.leave_queue(queue, place, actions),
                    Wait::Sleep { until } => {
                        self.sleeping.remove(&(until, id));
                    }
                    Wait::Publish { url, content } => {
                        self.publishing.remove(&id);
                        match self.tasks.get(&id) {
                            Some(task) => self.withdrawn.insert((id, task.last), url),
                            None => impossible!(self, "{id} is withdrawn, and is not there"),
                        };
                        self.discard(content, actions);
                    }
                }
            }
            // Looking for it would take as long as the queue is; it is left out when its turn comes.
            Phase::Ready => self.stale += 1,
            Phase::Running(_) | Phase::Ended { .. } => {}
        }
    }

    fn count_end(&mut self, id: TaskId, error: Option<TaskError>, actions: &mut Vec<Action>) {
        if error.is_some() {
            self.stats.tasks_failed += 1;
        }
        actions.push(Action::Observed(RunEvent::TaskEnded { task: id, error }));
    }

    /// The run's result is known. Whoever is still alive is cancelled; nothing but the result is remembered.
    fn end_run(&mut self, result: TaskResult, actions: &mut Vec<Action>) {
        for (id, task) in std::mem::take(&mut self.tasks) {
            if task.result().is_some() {
                continue;
            }
            if let Phase::Blocked {
                wait: Wait::Publish { url, .. },
                ..
            } = task.phase
            {
                self.withdrawn.insert((id, task.last), url);
            }
            let error = match &result {
                outcome if id == TaskId::ROOT => outcome.as_ref().err().cloned(),
                _ => Some(TaskError::new(id, task.function, Failure::Cancelled)),
            };
            self.count_end(id, error, actions);
        }
        self.queues.clear();
        self.ready.clear();
        self.stale = 0;
        self.holding.clear();
        self.backing_off.clear();
        self.sleeping.clear();
        self.publishing.clear();
        self.active = 0;
        let doomed: Vec<_> = self
            .slots
            .iter()
            .filter(|(_, slot)| !slot.leaving)
            .map(|(key, _)| *key)
            .collect();
        for (task, incarnation) in doomed {
            self.mark_leaving(task, incarnation, true);
            actions.push(Action::Kill { task, incarnation });
        }
        self.ended = Some(result);
        actions.push(Action::Observed(RunEvent::Ended));
        actions.push(Action::Ended);
    }

    /// Nobody can go on by himself, and the run has not ended: nothing would ever happen again.
    pub(super) fn detect_deadlock(&mut self, actions: &mut Vec<Action>) {
        let is_stuck = self.active == 0 && self.sleeping.is_empty() && self.publishing.is_empty();
        if is_stuck && !sabotage::is(Sabotage::MissesDeadlocks) {
            let names = self.who_waits_for_what();
            self.fail_run(TaskId::ROOT, Failure::Deadlock(names), actions);
        }
    }

    fn who_waits_for_what(&self) -> String {
        let mut text = String::new();
        let blocked = self.tasks.iter().filter_map(|(id, task)| match &task.phase {
            Phase::Blocked { wait, .. } => Some((id, task, wait)),
            _ => None,
        });
        let total = blocked.clone().count();
        for (id, task, wait) in blocked.take(NAMED_IN_DEADLOCK) {
            let separator = if text.is_empty() { "" } else { "; " };
            let function = &task.function;
            let name = task.name().map(|name| format!("`{name}`, ")).unwrap_or_default();
            let what = self.describe(wait);
            // Writing into a string cannot fail.
            let _ = write!(text, "{separator}{id} ({name}{function}) {what}");
        }
        if total > NAMED_IN_DEADLOCK {
            let _ = write!(text, "; and {} more", total - NAMED_IN_DEADLOCK);
        }
        text
    }

    fn describe(&self, wait: &Wait) -> String {
        match wait {
            Wait::All { tasks, .. } => match tasks.iter().find(|id| self.result(**id).is_none()) {
                Some(first) => format!("waits for {first}"),
                None => "waits for tasks".to_string(),
            },
            Wait::Any { tasks } => match tasks.as_slice() {
                [only] => format!("waits for {only}"),
                [first, ..] => format!("waits for any of {first} and {} others", tasks.len() - 1),
                [] => "waits for nothing".to_string(),
            },
            Wait::Enqueue { queue, .. } => format!("waits to put into {queue}, which is full"),
            Wait::After { tasks, .. } => match tasks.iter().find(|id| self.result(**id).is_none()) {
                Some(first) => format!("waits to begin after {first}"),
                None => "waits to begin".to_string(),
            },
            Wait::Sleep { .. } => "sleeps".to_string(),
            Wait::Publish { url, .. } => format!("waits for an object to be at {url}"),
            Wait::Dequeue { queue, .. } => format!("waits to take from {queue}, which is empty and not closed"),
        }
    }
}
