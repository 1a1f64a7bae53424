//! Tasks that wait for the world outside: for the clock, or for an object to be at its place.
//!
//! Neither is a deadlock, and neither is lost with the coordinator: the end of a sleep is a moment, not a duration, and an object whose being
//! published was not reported is published again.

use super::calls::Outcome;
use super::checks::shortened;
use super::task::{Phase, Recorded, Wait};
use super::{Action, RunEvent, State, impossible};
use crate::ids::{Sequence, TaskId};
use crate::protocol::Payload;
use std::time::Duration;

impl State {
    pub(super) fn sleep(&mut self, id: TaskId, duration: Duration, actions: &mut Vec<Action>) -> Outcome {
        self.stats.sleeps += 1;
        actions.push(Action::Observed(RunEvent::Sleeping { task: id, duration }));
        if duration.is_zero() {
            return Outcome::done();
        }
        let until = self.now.after(duration);
        self.sleeping.insert((until, id));
        Outcome::Blocked(Wait::Sleep { until })
    }

    /// Wakes those whose time has come.
    pub(super) fn wake(&mut self, actions: &mut Vec<Action>) {
        while let Some(&(at, id)) = self.sleeping.first()
            && at <= self.now
        {
            self.sleeping.pop_first();
            self.unblock(id, Recorded::Done, actions);
        }
    }

    pub(super) fn put_object(
        &mut self,
        id: TaskId,
        sequence: Sequence,
        url: String,
        content: Payload,
        actions: &mut Vec<Action>,
    ) -> Outcome {
        self.publishing.insert(id);
        actions.push(Action::Publish {
            task: id,
            sequence,
            url: url.clone(),
            content: content.clone(),
        });
        Outcome::Blocked(Wait::Publish { url, content })
    }

    /// The coordinator is back: what was not reported may not have been done. And what is not wanted any more may still be done, by one that was only paused.
    pub(super) fn publish_again(&self, actions: &mut Vec<Action>) {
        for ((task, sequence), url) in &self.withdrawn {
            actions.push(Action::Forget {
                task: *task,
                sequence: *sequence,
                url: url.clone(),
            });
        }
        for id in &self.publishing {
            let Some(task) = self.tasks.get(id) else {
                impossible!(self, "{id} puts an object, and is not there");
            };
            let Phase::Blocked {
                wait: Wait::Publish { url, content },
                ..
            } = &task.phase
            else {
                impossible!(self, "{id} puts an object, and does not wait for it");
            };
            actions.push(Action::Publish {
                task: *id,
                sequence: task.last,
                url: url.clone(),
                content: content.clone(),
            });
        }
    }

    /// Whether this call of a task still waits for its object to be at its place.
    pub fn is_publishing(&self, id: TaskId, sequence: Sequence) -> bool {
        let task = self.tasks.get(&id).filter(|task| task.last == sequence);
        task.is_some() && self.publishing.contains(&id)
    }

    pub(super) fn published(
        &mut self,
        id: TaskId,
        sequence: Sequence,
        outcome: Result<(), String>,
        actions: &mut Vec<Action>,
    ) {
        self.withdrawn.remove(&(id, sequence));
        let Some(task) = self.tasks.get_mut(&id).filter(|task| task.last == sequence) else {
            return;
        };
        let Phase::Blocked {
            wait: Wait::Publish { url, content },
            ..
        } = &task.phase
        else {
            return;
        };
        let (url, content) = (url.clone(), content.clone());
        self.publishing.remove(&id);
        let answer = match outcome {
            Ok(()) => {
                self.stats.published += 1;
                let bytes = content.length();
                actions.push(Action::Observed(RunEvent::Published { task: id, url, bytes }));
                Recorded::Done
            }
            Err(cause) => Recorded::Refused(shortened(format!("cannot put an object to {url}: {cause}"))),
        };
        self.discard(content, actions);
        self.unblock(id, answer, actions);
    }
}
