//! What descends from a task: it is cancelled with it, and when a failed task is begun again.

use super::ending::Ending;
use super::task::{Attempts, Phase, Position};
use super::{Action, BackOff, RunEvent, State, impossible};
use crate::error::{Failure, TaskError};
use crate::ids::{Incarnation, TaskId};
use std::collections::VecDeque;

impl State {
    /// Whether `id` is `ancestor` or descends from it.
    pub(super) fn descends_from(&self, id: TaskId, ancestor: TaskId) -> bool {
        let mut id = id;
        // Parents have smaller numbers than their children.
        while id > ancestor {
            match self.tasks.get(&id).and_then(|task| task.parent) {
                Some(parent) if parent < id => id = parent,
                _ => return false,
            }
        }
        id == ancestor
    }

    pub(super) fn cancel(&mut self, id: TaskId, by: TaskId, actions: &mut Vec<Action>) {
        actions.push(Action::Observed(RunEvent::Cancelled { task: id, by }));
        let mut endings = VecDeque::new();
        self.cancel_family([id], &mut endings);
        self.end_all(endings, actions);
    }

    /// The ends of these tasks and of all their descendants, as far as they are alive; ancestors first, so that nobody wakes up only to be killed.
    fn cancel_family(&mut self, ids: impl IntoIterator<Item = TaskId>, endings: &mut VecDeque<Ending>) {
        let mut family: Vec<TaskId> = ids.into_iter().collect();
        while let Some(id) = family.pop() {
            let Some(task) = self.tasks.get_mut(&id) else {
                impossible!(self, "{id} is to be cancelled, and is not there");
            };
            // Nobody will ask for them again: who is cancelled spawns no more, and neither does who has ended.
            for (first, end) in std::mem::take(&mut task.children) {
                family.extend((first..end).rev().map(TaskId));
            }
            if task.result().is_none() {
                self.stats.cancelled += 1;
                let error = self.error_of(id, Failure::Cancelled);
                endings.push_back(Ending {
                    id,
                    result: Err(error),
                    leaving: None,
                });
            }
        }
    }

    /// Begins a failed task again, if there is an attempt left; what the failed one had spawned is cancelled. False if the failure is final.
    pub(super) fn begin_again(
        &mut self,
        id: TaskId,
        error: &TaskError,
        leaving: Option<Incarnation>,
        endings: &mut VecDeque<Ending>,
        actions: &mut Vec<Action>,
    ) -> bool {
        if matches!(error.kind, Failure::Cancelled | Failure::Dependency(_)) {
            return false;
        }
        let Some(task) = self.tasks.get_mut(&id) else {
            impossible!(self => false, "{id} is to be begun again, and is not there");
        };
        let retrying = task.special.as_mut().and_then(|special| special.retrying.as_mut());
        let Some(retrying) = retrying.filter(|retrying| retrying.failed + 1 < retrying.policy.attempts) else {
            return false;
        };
        retrying.failed += 1;
        let attempt = retrying.failed + 1;
        let back_off = BackOff {
            immediate: 0,
            first: retrying.policy.first_delay,
            cap: retrying.policy.longest_delay,
        };
        let delay = back_off.delay(retrying.failed);
        let beginning = Position::Beginning(retrying.arguments.clone());
        let superseded = task.move_to(beginning);
        task.attempts = Attempts::default();
        let at = self.now.after(delay);
        let phase = std::mem::replace(&mut task.phase, Phase::BackOff(at));
        let children = std::mem::take(&mut task.children);
        self.backing_off.insert((at, id));
        if !phase.is_active() {
            self.active += 1;
        }
        for payload in superseded {
            self.discard(payload, actions);
        }
        self.stats.begun_again += 1;
        actions.push(Action::Observed(RunEvent::BegunAgain {
            task: id,
            attempt,
            delay,
            error: error.clone(),
        }));
        self.withdraw(id, phase, leaving, actions);
        let children = children.into_iter().flat_map(|(first, end)| (first..end).map(TaskId));
        self.cancel_family(children, endings);
        true
    }
}
