//! Actions, once the events that led to them are recorded.

use super::garbage::Superfluous;
use super::measured::Measured;
use super::{Core, Shared};
use crate::coordinator::state::{Action, Event, Halt};
use crate::ids::{Incarnation, Sequence, TaskId};
use crate::platform::Platform;
use crate::protocol::{Invocation, InvocationOutcome, Reply};
use crate::runtime::RunError;
use crate::usage::Usage;
use futures::FutureExt;
use futures::future::{AbortHandle, Abortable};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use tracing::Instrument;

/// Who killed an invocation whose task has ended without it.
pub(crate) const BY_THE_COORDINATOR: &str = "by the coordinator";

impl Shared {
    /// Nothing here waits: what takes time is handed to the coordinator's runtime.
    pub(super) fn perform(&self, core: &mut Core, actions: Vec<Action>) {
        self.observe(core, &actions);
        let mut garbage = Vec::new();
        for action in actions {
            match action {
                Action::Reply {
                    task,
                    incarnation,
                    sequence,
                    reply,
                } => {
                    deliver(core, (task, incarnation), sequence, reply);
                }
                Action::Invoke {
                    invocation,
                    on_coordinator,
                } => {
                    let platform = match on_coordinator {
                        true => self.setup.here.clone(),
                        false => self.setup.platform.clone(),
                    };
                    self.invoke(core, platform, invocation, on_coordinator);
                }
                Action::Publish {
                    task,
                    sequence,
                    url,
                    content,
                } => self.publish(core, task, sequence, &url, Some(content)),
                Action::Forget { task, sequence, url } => self.publish(core, task, sequence, &url, None),
                Action::Kill { task, incarnation } => {
                    if let Some(handle) = core.invocations.get(&(task, incarnation)) {
                        handle.abort();
                    }
                }
                Action::Delete { key, length } => garbage.push(Superfluous { key, length }),
                Action::Observed(event) => {
                    if self.events.receiver_count() > 0 {
                        // Nobody listening is fine.
                        let _ = self.events.send(event);
                    }
                }
                Action::Halt { task, cause } => {
                    let run = self.setup.run;
                    let resumable = self.setup.journal.is_some();
                    let reason = match cause {
                        Halt::WrongProgram(cause) => RunError::WrongProgram {
                            run,
                            task,
                            cause,
                            resumable,
                        },
                        Halt::NeedsRepair(cause) => self.needs_repair(format!("{task} cannot go on: {cause}")),
                    };
                    self.stop_locked(core, reason);
                    return; // Whatever else was to be done is for whoever resumes the run.
                }
                Action::Broken(cause) => {
                    self.stop_locked(core, super::broken(&self.setup, &cause));
                    return;
                }
                Action::Ended => self.finish(),
            }
        }
        if !garbage.is_empty() {
            self.delete(garbage);
        }
        self.set_timer(core);
    }

    fn set_timer(&self, core: &mut Core) {
        let Some(next) = core.state.next_timer() else { return };
        // A timer that is set too early only costs a look at the clock.
        if core.armed.is_none_or(|armed| next < armed) {
            core.armed = Some(next);
            self.earlier_timer.notify_one();
        }
    }

    fn invoke(&self, core: &mut Core, platform: Arc<dyn Platform>, invocation: Invocation, on_coordinator: bool) {
        let Some(me) = self.me.upgrade() else { return };
        let key = (invocation.task, invocation.incarnation);
        let (handle, registration) = AbortHandle::new_pair();
        core.invocations.insert(key, handle);
        let span = core.spans.of_invocation(&invocation);
        let started = self.now();
        self.setup.runtime.spawn(async move {
            let link = Measured::new(me.clone());
            let running = async {
                match me.short_start(invocation).await {
                    Ok(invocation) => platform.invoke(invocation, link.clone()).await,
                    Err(outcome) => outcome,
                }
            };
            let running = AssertUnwindSafe(running).catch_unwind();
            let running = running.instrument(span);
            let outcome = match Abortable::new(running, registration).await {
                Ok(Ok(outcome)) => outcome,
                Ok(Err(_)) => InvocationOutcome::Crashed("the platform panicked".to_string()),
                Err(_) => InvocationOutcome::Killed(BY_THE_COORDINATOR.to_string()),
            };
            // Whoever was killed has been dropped by now, and had its last word.
            let wall = me.now().since(started);
            let usage = link.usage(platform.memory_limit(), &outcome, wall);
            me.invocation_ended(key, outcome, usage, on_coordinator);
        });
    }

    fn invocation_ended(
        &self,
        key: (TaskId, Incarnation),
        outcome: InvocationOutcome,
        usage: Option<Usage>,
        on_coordinator: bool,
    ) {
        self.core.lock().waiting.remove(&key);
        let (task, incarnation) = key;
        self.happened(Event::InvocationEnded {
            task,
            incarnation,
            outcome,
            spent: self.spent(usage, on_coordinator),
        });
        // Only now: whoever waits until nothing runs wants everybody's end to have been told.
        let had_long_answers = {
            let mut core = self.core.lock();
            core.invocations.remove(&key);
            core.waiting.remove(&key);
            core.long_answers.remove(&key)
        };
        if had_long_answers && let Some(me) = self.me.upgrade() {
            self.setup.runtime.spawn(async move { me.forget_answers(key).await });
        }
        self.invocation_gone.notify_waiters();
    }
}

fn deliver(core: &mut Core, key: (TaskId, Incarnation), sequence: Sequence, reply: Reply) {
    let Some(waiting) = core.waiting.get_mut(&key) else {
        return;
    };
    let mut others = Vec::new();
    for (awaited, sender) in waiting.drain(..) {
        if awaited == sequence {
            // Whoever does not wait any more was given up.
            let _ = sender.send(reply.clone());
        } else {
            others.push((awaited, sender));
        }
    }
    if others.is_empty() {
        core.waiting.remove(&key);
    } else {
        *waiting = others;
    }
}
