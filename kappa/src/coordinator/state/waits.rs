//! Tasks that wait for tasks, and tasks that begin after others.
//!
//! A result stays with its task; whoever waits is given a copy, any number of times. So there is nothing to lose when a waiter is killed.

use super::calls::Outcome;
use super::checks::shortened;
use super::ending::Ending;
use super::task::{Phase, Recorded, Task, Wait};
use super::{Action, RunEvent, State, impossible};
use crate::error::{Failure, TaskError};
use crate::ids::TaskId;
use crate::protocol::TaskResult;
use std::collections::VecDeque;

impl State {
    pub(super) fn wait_all(&mut self, waiter: TaskId, tasks: Vec<TaskId>) -> Outcome {
        let remaining = self.wait_for_each(waiter, &tasks);
        match remaining {
            0 => Outcome::Answered(Recorded::Results(tasks)),
            _ => Outcome::Blocked(Wait::All { tasks, remaining }),
        }
    }

    pub(super) fn wait_any(&mut self, waiter: TaskId, tasks: Vec<TaskId>) -> Outcome {
        if let Some((index, id)) = tasks.iter().enumerate().find(|(_, id)| self.result(**id).is_some()) {
            return Outcome::Answered(Recorded::First(index as u64, *id));
        }
        for id in &tasks {
            match self.tasks.get_mut(id) {
                Some(task) => {
                    task.waiters.insert(waiter);
                }
                None => self.break_off(format!("{waiter} waits for {id}, which is not there")),
            }
        }
        Outcome::Blocked(Wait::Any { tasks })
    }

    /// Makes the task one of the waiters of all that have not ended, and gives their number.
    fn wait_for_each(&mut self, waiter: TaskId, tasks: &[TaskId]) -> usize {
        let mut remaining = 0;
        for id in tasks {
            let Some(task) = self.tasks.get_mut(id) else {
                impossible!(self => remaining, "{waiter} waits for {id}, which is not there");
            };
            if task.result().is_none() && task.waiters.insert(waiter) {
                remaining += 1;
            }
        }
        remaining
    }

    /// What a new task that begins after others waits for; `Err` if one of them has failed.
    pub(super) fn begin_after(&mut self, id: TaskId, tasks: Vec<TaskId>) -> Result<Option<Wait>, TaskError> {
        let failed = tasks.iter().find_map(|id| self.tasks.get(id)?.result()?.as_ref().err());
        if let Some(error) = failed {
            return Err(self.dependency_failed(id, error));
        }
        match self.wait_for_each(id, &tasks) {
            0 => Ok(None),
            remaining => Ok(Some(Wait::After { tasks, remaining })),
        }
    }

    /// The error of a task that never begins because another one has failed.
    fn dependency_failed(&self, id: TaskId, error: &TaskError) -> TaskError {
        let origin = match &error.kind {
            Failure::Dependency(origin) => origin.clone(),
            _ => shortened(error.to_string()),
        };
        let mut failed = self.error_of(id, Failure::Dependency(origin));
        failed.trace = error.passed_on();
        failed
    }

    pub(super) fn result(&self, id: TaskId) -> Option<TaskResult> {
        self.tasks.get(&id)?.result().cloned()
    }

    /// `target` has ended; `waiter` was among its waiters. Who fails because of that is appended to `endings`.
    pub(super) fn result_arrived(
        &mut self,
        waiter: TaskId,
        target: TaskId,
        endings: &mut VecDeque<Ending>,
        actions: &mut Vec<Action>,
    ) {
        let is_after = matches!(
            self.tasks.get(&waiter).map(|task| &task.phase),
            Some(Phase::Blocked {
                wait: Wait::After { .. },
                ..
            })
        );
        let failure = match self.tasks.get(&target).and_then(Task::result) {
            Some(Err(error)) if is_after => Some(self.dependency_failed(waiter, error)),
            _ => None,
        };
        let Some(task) = self.tasks.get_mut(&waiter) else {
            impossible!(self, "{waiter} waits for {target}, and is not there");
        };
        let Phase::Blocked { wait, .. } = &mut task.phase else {
            impossible!(self, "{waiter} is told of the end of {target}, and does not wait");
        };
        match wait {
            Wait::All { remaining, .. } | Wait::After { remaining, .. } if *remaining == 0 => {
                impossible!(
                    self,
                    "{waiter} is told of the end of {target}, and has been told of all"
                );
            }
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
                let Some(index) = tasks.iter().position(|id| *id == target) else {
                    impossible!(
                        self,
                        "{waiter} is told of the end of {target}, for which it does not wait"
                    );
                };
                self.unblock(waiter, Recorded::First(index as u64, target), actions);
            }
            Wait::After { remaining, .. } => {
                *remaining -= 1;
                if let Some(error) = failure {
                    endings.push_back(Ending {
                        id: waiter,
                        result: Err(error),
                        leaving: None,
                    });
                } else if *remaining == 0 {
                    task.phase = Phase::Ready;
                    self.ready.push_back(waiter);
                    self.active += 1;
                    actions.push(Action::Observed(RunEvent::Unblocked { task: waiter }));
                }
            }
            Wait::Enqueue { .. } | Wait::Dequeue { .. } | Wait::Sleep { .. } | Wait::Publish { .. } => {
                impossible!(self, "{waiter} is told of the end of {target}, and waits for no task")
            }
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
