//! Tasks that wait for tasks.
//!
//! A result stays with its task; whoever waits is given a copy, any number of times. So there is nothing to lose when a waiter is killed.

use super::calls::Outcome;
use super::task::{Phase, Recorded, Wait};
use super::{Action, State};
use crate::ids::TaskId;
use crate::protocol::TaskResult;

impl State {
    pub(super) fn wait_all(&mut self, waiter: TaskId, tasks: Vec<TaskId>) -> Outcome {
        if let Some(refused) = self.refuse_wait(waiter, &tasks) {
            return refused;
        }
        let mut remaining = 0;
        for id in &tasks {
            if let Some(task) = self.tasks.get_mut(id)
                && task.result().is_none()
                && task.waiters.insert(waiter)
            {
                remaining += 1;
            }
        }
        match remaining {
            0 => Outcome::Answered(Recorded::Results(tasks)),
            _ => Outcome::Blocked(Wait::All { tasks, remaining }),
        }
    }

    pub(super) fn wait_any(&mut self, waiter: TaskId, tasks: Vec<TaskId>) -> Outcome {
        if tasks.is_empty() {
            return Outcome::refused("wait for any of no tasks would never end");
        }
        if let Some(refused) = self.refuse_wait(waiter, &tasks) {
            return refused;
        }
        if let Some((index, id)) = tasks.iter().enumerate().find(|(_, id)| self.result(**id).is_some()) {
            return Outcome::Answered(Recorded::First(index as u64, *id));
        }
        for id in &tasks {
            if let Some(task) = self.tasks.get_mut(id) {
                task.waiters.insert(waiter);
            }
        }
        Outcome::Blocked(Wait::Any { tasks })
    }

    fn refuse_wait(&self, waiter: TaskId, tasks: &[TaskId]) -> Option<Outcome> {
        if let Some(refused) = Self::refuse_long_list(tasks.len()) {
            return Some(refused);
        }
        if tasks.contains(&waiter) {
            return Some(Outcome::refused(format!("{waiter} waits for itself")));
        }
        let unknown = tasks.iter().find(|id| !self.tasks.contains_key(id))?;
        Some(Outcome::refused(format!("there is no {unknown} in this run")))
    }

    pub(super) fn result(&self, id: TaskId) -> Option<TaskResult> {
        self.tasks.get(&id)?.result().cloned()
    }

    /// `target` has ended; `waiter` was among its waiters.
    pub(super) fn result_arrived(&mut self, waiter: TaskId, target: TaskId, actions: &mut Vec<Action>) {
        let Some(task) = self.tasks.get_mut(&waiter) else {
            return;
        };
        let Phase::Blocked { wait, .. } = &mut task.phase else {
            return;
        };
        match wait {
            Wait::All { tasks, remaining } => {
                *remaining -= 1;
                if *remaining == 0 {
                    let answer = Recorded::Results(std::mem::take(tasks));
                    self.unblock(waiter, answer, actions);
                }
            }
            Wait::Any { tasks } => {
                let tasks = std::mem::take(tasks);
                self.forget_waiter(waiter, &tasks);
                let index = tasks.iter().position(|id| *id == target).unwrap_or_default();
                self.unblock(waiter, Recorded::First(index as u64, target), actions);
            }
            Wait::Enqueue { .. } | Wait::Dequeue { .. } => {}
        }
    }

    pub(super) fn forget_waiter(&mut self, waiter: TaskId, targets: &[TaskId]) {
        for target in targets {
            if let Some(task) = self.tasks.get_mut(target) {
                task.waiters.remove(&waiter);
            }
        }
    }
}
