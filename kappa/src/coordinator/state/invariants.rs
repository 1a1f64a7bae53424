//! What is true of every state, whatever has happened.
//!
//! Some things are kept twice, so that nothing has to be looked for: who is ready, who sleeps, who waits at which queue. Here the one is compared with the
//! other. It takes as long as the state is large, so it is done in tests and in the simulation, after every event.

use super::State;
use super::task::{Phase, Position, Task, Wait};
use crate::ids::TaskId;
use std::collections::{BTreeMap, BTreeSet};

/// States with more tasks are not looked at after each event of a test.
#[cfg(test)]
const SMALL: usize = 300;

type Check = Result<(), String>;

fn same<T: PartialEq + std::fmt::Debug>(what: &str, kept: &T, counted: &T) -> Check {
    match kept == counted {
        true => Ok(()),
        false => Err(format!("{what}: kept as {kept:?}, but there is {counted:?}")),
    }
}

impl State {
    /// Whether everything in the state fits together.
    ///
    /// # Errors
    /// What does not.
    pub fn check_invariants(&self) -> Result<(), String> {
        if let Some(broken) = self.broken() {
            return Err(broken.to_string());
        }
        self.check_counts()?;
        self.check_timers()?;
        self.check_slots()?;
        self.check_waiters()?;
        self.check_queues()?;
        for (id, task) in &self.tasks {
            check_task(*id, task)?;
        }
        match &self.ended {
            Some(_) if !self.tasks.is_empty() || !self.queues.is_empty() || !self.ready.is_empty() => {
                Err("the run has ended, and something of it is left".to_string())
            }
            _ => Ok(()),
        }
    }

    /// The same, if it does not take long.
    #[cfg(test)]
    pub(super) fn check_if_small(&self) -> Result<(), String> {
        match self.tasks.len() <= SMALL {
            true => self.check_invariants(),
            false => Ok(()),
        }
    }

    fn check_counts(&self) -> Check {
        let active = self.tasks.values().filter(|task| task.phase.is_active()).count();
        same("tasks that can go on", &self.active, &active)?;
        let is_ready = |(id, task): (&TaskId, &Task)| matches!(task.phase, Phase::Ready).then_some(*id);
        let ready: BTreeSet<_> = self.tasks.iter().filter_map(is_ready).collect();
        same("places among the ready", &self.ready.len(), &(ready.len() + self.stale))?;
        let queued: BTreeSet<_> = self.ready.iter().copied().collect();
        match ready.iter().find(|id| !queued.contains(id)) {
            Some(id) => Err(format!("{id} is ready, and does not queue")),
            None => Ok(()),
        }
    }

    fn check_timers(&self) -> Check {
        let mut holding = BTreeSet::new();
        let mut backing_off = BTreeSet::new();
        let mut sleeping = BTreeSet::new();
        let mut publishing = BTreeSet::new();
        for (id, task) in &self.tasks {
            match &task.phase {
                Phase::BackOff(at) => {
                    backing_off.insert((*at, *id));
                }
                Phase::Blocked { wait, holding: by } => {
                    holding.extend(by.map(|(_, until)| (until, *id)));
                    match wait {
                        Wait::Sleep { until } => {
                            sleeping.insert((*until, *id));
                        }
                        Wait::Publish { .. } => {
                            publishing.insert(*id);
                        }
                        _ => {}
                    }
                }
                Phase::Ready | Phase::Running(_) | Phase::Ended { .. } => {}
            }
        }
        same("who holds on", &self.holding, &holding)?;
        same("who is tried again", &self.backing_off, &backing_off)?;
        same("who sleeps", &self.sleeping, &sleeping)?;
        same("who waits for an object", &self.publishing, &publishing)
    }

    fn check_slots(&self) -> Check {
        let leaving = self.slots.values().filter(|slot| slot.leaving).count();
        same("who is leaving", &self.leaving, &leaving)?;
        for (id, task) in &self.tasks {
            if let Some(current) = task.phase.current()
                && !matches!(task.phase, Phase::Ended { .. })
                && !self.slots.contains_key(&(*id, current))
            {
                return Err(format!("invocation {current} of {id} is not on the platform"));
            }
        }
        Ok(())
    }

    /// Who waits for a task is among its waiters, and nobody else is.
    fn check_waiters(&self) -> Check {
        let mut waiters: BTreeMap<TaskId, BTreeSet<TaskId>> = BTreeMap::new();
        for (id, task) in &self.tasks {
            let Phase::Blocked { wait, .. } = &task.phase else {
                continue;
            };
            let (Wait::All { tasks, .. } | Wait::Any { tasks } | Wait::After { tasks, .. }) = wait else {
                continue;
            };
            let awaited: BTreeSet<_> = tasks.iter().filter(|id| self.result(**id).is_none()).copied().collect();
            match wait {
                Wait::All { remaining, .. } | Wait::After { remaining, .. } => {
                    same(&format!("for how many {id} waits"), remaining, &awaited.len())?;
                }
                _ if awaited.len() < tasks.iter().collect::<BTreeSet<_>>().len() => {
                    return Err(format!("{id} waits for any of some tasks, one of which has ended"));
                }
                _ => {}
            }
            for target in awaited {
                waiters.entry(target).or_default().insert(*id);
            }
        }
        for (id, task) in &self.tasks {
            let expected = waiters.remove(id).unwrap_or_default();
            same(&format!("who waits for {id}"), &task.waiters, &expected)?;
        }
        Ok(())
    }

    /// Who waits at a queue has a place there, and nobody else has; and nobody waits for what is there.
    fn check_queues(&self) -> Check {
        let mut producers = BTreeSet::new();
        let mut consumers = BTreeSet::new();
        for (id, task) in &self.tasks {
            match &task.phase {
                Phase::Blocked {
                    wait: Wait::Enqueue { queue, place, .. },
                    ..
                } => {
                    producers.insert((*queue, *place, *id));
                }
                Phase::Blocked {
                    wait: Wait::Dequeue { queue, place },
                    ..
                } => {
                    consumers.insert((*queue, *place, *id));
                }
                _ => {}
            }
        }
        let (mut with_room_wanted, mut with_items_wanted) = (BTreeSet::new(), BTreeSet::new());
        for (id, queue) in &self.queues {
            queue.check(*id)?;
            with_room_wanted.extend(queue.producers().map(|(place, task)| (*id, place, task)));
            with_items_wanted.extend(queue.consumers().map(|(place, task)| (*id, place, task)));
        }
        same("who waits for room", &with_room_wanted, &producers)?;
        same("who waits for items", &with_items_wanted, &consumers)
    }
}

/// Where a task goes on fits what it is doing.
fn check_task(id: TaskId, task: &Task) -> Check {
    let fits = match (&task.phase, &task.position) {
        (Phase::Ended { .. }, Position::Over) => true,
        (Phase::Ended { .. }, _) | (_, Position::Over) => false,
        (
            Phase::Blocked {
                wait: Wait::After { .. },
                holding: None,
            },
            Position::Beginning(_),
        ) => true,
        (Phase::Blocked { .. }, Position::Checkpoint { answer: None, .. }) => true,
        (Phase::Blocked { .. }, _) => false,
        (_, Position::Beginning(_)) => true,
        (_, Position::Checkpoint { answer, .. }) => answer.is_some(),
    };
    match fits {
        true => Ok(()),
        false => Err(format!(
            "{id} is {:?}, but would go on at {:?}",
            task.phase, task.position
        )),
    }
}
