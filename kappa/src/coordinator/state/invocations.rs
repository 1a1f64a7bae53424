//! Who runs, who gives way, and who is tried again.

use super::calls::reply;
use super::task::{Phase, Position};
use super::{Action, Halt, RunEvent, Slot, State, impossible};
use crate::coordinator::sabotage::{self, Sabotage};
use crate::error::Failure;
use crate::ids::{Incarnation, TaskId};
use crate::protocol::{Answer, Invocation, InvocationOutcome, Reply, Request, Start};
use crate::usage::Spent;
use std::time::Duration;

impl State {
    /// Starts ready tasks, first come, first served, as far as the platform has room; those who only wait for an answer give way.
    pub(super) fn schedule(&mut self, actions: &mut Vec<Action>) {
        let concurrency = usize::try_from(self.environment.concurrency.max(1)).unwrap_or(usize::MAX);
        while self.slots.len() < concurrency {
            let Some(id) = self.ready.pop_front() else { return };
            self.invoke(id, actions);
        }
        // The slots of those who are leaving will be free in a moment.
        let mut wanted = (self.ready.len() - self.stale).saturating_sub(self.leaving);
        while wanted > 0
            && let Some((_, id)) = self.holding.pop_first()
        {
            self.suspend(id, actions);
            wanted -= 1;
        }
    }

    fn invoke(&mut self, id: TaskId, actions: &mut Vec<Action>) {
        let Some(task) = self.tasks.get_mut(&id) else {
            impossible!(self, "{id} is to be started, and is not there");
        };
        if !matches!(task.phase, Phase::Ready) {
            let Some(stale) = self.stale.checked_sub(1) else {
                impossible!(self, "{id} is to be started, and is not ready");
            };
            self.stale = stale; // It ended while it queued.
            return;
        }
        let incarnation = task.next_incarnation;
        task.next_incarnation += 1;
        let is_first = !std::mem::replace(&mut task.was_invoked, true);
        task.phase = Phase::Running(incarnation);
        let slot = Slot {
            started: self.now,
            ..Slot::default()
        };
        self.slots.insert((id, incarnation), slot);
        self.stats.invocations += 1;
        if !is_first {
            self.stats.resumed += 1;
        }
        let Some(task) = self.tasks.get(&id) else {
            impossible!(self, "{id} is gone while it is started");
        };
        let start = match &task.position {
            Position::Beginning(arguments) => Start::Begin(arguments.clone()),
            Position::Checkpoint { continuation, answer } => Start::Resume {
                continuation: continuation.clone(),
                answer: answer
                    .as_ref()
                    .filter(|_| !sabotage::is(Sabotage::ForgetsAnswers))
                    .map_or(Answer::Done, |recorded| self.answer(recorded)),
            },
            Position::Over => impossible!(self, "{id} is to be started, and has ended"),
        };
        let special = task.special.as_deref();
        let own_limit = special.and_then(|special| special.time_limit);
        let on_coordinator = special.is_some_and(|special| special.on_coordinator);
        let invocation = Invocation {
            run: self.run,
            task: id,
            incarnation,
            function: task.function.clone(),
            start,
            last_sequence: task.last,
            time_limit: [own_limit, self.environment.time_limit].into_iter().flatten().min(),
        };
        actions.push(Action::Observed(RunEvent::InvocationStarted { task: id, incarnation }));
        actions.push(Action::Invoke {
            invocation,
            on_coordinator,
        });
    }

    /// Sends the invocation of a blocked task away. The caller has taken it out of `holding`.
    pub(super) fn suspend(&mut self, id: TaskId, actions: &mut Vec<Action>) {
        let Some(task) = self.tasks.get_mut(&id) else {
            impossible!(self, "{id} is to be sent away, and is not there");
        };
        let Phase::Blocked { holding, .. } = &mut task.phase else {
            impossible!(self, "{id} is to be sent away, and does not wait");
        };
        let Some((incarnation, _)) = holding.take() else {
            impossible!(self, "{id} is to be sent away, and nobody is there");
        };
        let last = task.last;
        self.stats.suspended += 1;
        self.mark_leaving(id, incarnation, false);
        reply(id, incarnation, last, Reply::Suspend, actions);
        actions.push(Action::Observed(RunEvent::Suspended { task: id }));
    }

    pub(super) fn mark_leaving(&mut self, id: TaskId, incarnation: Incarnation, stopped: bool) {
        if let Some(slot) = self.slots.get_mut(&(id, incarnation)) {
            slot.stopped |= stopped;
            if !slot.leaving {
                slot.leaving = true;
                self.leaving += 1;
            }
        }
    }

    /// Serves the timers that are due.
    pub(super) fn tick(&mut self, actions: &mut Vec<Action>) {
        self.wake(actions);
        while let Some(&(at, id)) = self.holding.first()
            && at <= self.now
        {
            self.holding.pop_first();
            self.suspend(id, actions);
        }
        while let Some(&(at, id)) = self.backing_off.first()
            && at <= self.now
        {
            self.backing_off.pop_first();
            match self.tasks.get_mut(&id) {
                Some(task) if matches!(task.phase, Phase::BackOff(_)) => {
                    task.phase = Phase::Ready;
                    self.ready.push_back(id);
                }
                _ => impossible!(self, "{id} is to be tried again, and does not wait for that"),
            }
        }
    }

    pub(super) fn invocation_ended(
        &mut self,
        id: TaskId,
        incarnation: Incarnation,
        outcome: InvocationOutcome,
        spent: &Spent,
        actions: &mut Vec<Action>,
    ) {
        let Some(slot) = self.slots.remove(&(id, incarnation)) else {
            self.stats.used.add_coordinator(spent.coordinator, spent.journal_writes);
            return;
        };
        self.stats.used.add(&outcome, spent, self.now.since(slot.started));
        if slot.leaving {
            self.leaving -= 1;
        }
        if !slot.stopped {
            self.stats.count(&outcome);
        }
        let observed = RunEvent::InvocationEnded {
            task: id,
            incarnation,
            // It left by itself; the request that it carried is no business of those who watch.
            outcome: match &outcome {
                InvocationOutcome::Unlinked(_) => InvocationOutcome::Returned,
                other => other.clone(),
            },
            spent: *spent,
        };
        actions.push(Action::Observed(observed));

        let Some(task) = self.tasks.get(&id) else { return };
        if !task.is_current(incarnation) {
            return; // Given up before: whatever happened to it does not matter.
        }
        let outcome = match outcome {
            InvocationOutcome::Unlinked(request) => {
                if self.take_along(id, incarnation, *request, actions) {
                    return;
                }
                InvocationOutcome::Returned
            }
            outcome => outcome,
        };
        let Some(task) = self.tasks.get_mut(&id) else { return };
        match &mut task.phase {
            Phase::Running(_) => self.try_again(id, outcome, actions),
            Phase::Blocked { holding, .. } => {
                // Its call is committed, so nothing is lost; the next invocation starts when the answer is there.
                if let Some((_, until)) = holding.take() {
                    self.holding.remove(&(until, id));
                }
            }
            Phase::Ended { leaving, .. } => *leaving = None,
            Phase::Ready | Phase::BackOff(_) => {}
        }
    }

    /// Applies the request that an invocation left with. True if there is nothing more to be done about its end: the request, or a later one of the
    /// same invocation, is committed and answered, so that was progress and the task can go on at once.
    fn take_along(
        &mut self,
        id: TaskId,
        incarnation: Incarnation,
        request: Request,
        actions: &mut Vec<Action>,
    ) -> bool {
        if (request.task, request.incarnation) != (id, incarnation) {
            return false;
        }
        let sequence = request.sequence;
        self.request(request, actions);
        // The run may have ended with it.
        let Some(task) = self.tasks.get_mut(&id) else {
            return true;
        };
        let is_committed = task.last >= sequence && task.last_by == incarnation;
        if is_committed && matches!(task.phase, Phase::Running(_)) {
            task.phase = Phase::Ready;
            self.ready.push_back(id);
            return true;
        }
        !task.is_current(incarnation)
    }

    /// The current invocation of a task that has not ended is gone.
    fn try_again(&mut self, id: TaskId, outcome: InvocationOutcome, actions: &mut Vec<Action>) {
        let Some(task) = self.tasks.get_mut(&id) else {
            impossible!(self, "{id} has lost its invocation, and is not there");
        };
        let own_limit = task.special.as_ref().and_then(|special| special.time_limit);
        let time_limit = [own_limit, self.environment.time_limit].into_iter().flatten().min();
        let attempts = &mut task.attempts;
        let tuning = &self.tuning;
        let (count, limit, back_off) = match &outcome {
            InvocationOutcome::Returned | InvocationOutcome::Unlinked(_) | InvocationOutcome::Crashed(_) => {
                (&mut attempts.crashed, tuning.crash_limit, tuning.after_crash)
            }
            InvocationOutcome::OutOfMemory(_) => (
                &mut attempts.out_of_memory,
                tuning.out_of_memory_limit,
                tuning.after_crash,
            ),
            InvocationOutcome::TimedOut => (&mut attempts.timed_out, tuning.time_out_limit, tuning.after_kill),
            InvocationOutcome::Killed(_) => (&mut attempts.killed, tuning.kill_limit, tuning.after_kill),
            InvocationOutcome::Throttled(_) => (&mut attempts.throttled, u32::MAX, tuning.after_throttling),
            InvocationOutcome::StoreAway(_) => match sabotage::is(Sabotage::BlamesStore) {
                true => (&mut attempts.crashed, tuning.crash_limit, tuning.after_crash),
                false => (&mut attempts.store_away, u32::MAX, tuning.after_throttling),
            },
            InvocationOutcome::WrongProgram(cause) => {
                self.halt(id, Halt::WrongProgram(cause.clone()), actions);
                return;
            }
            InvocationOutcome::NeedsRepair(cause) => {
                self.halt(id, Halt::NeedsRepair(cause.clone()), actions);
                return;
            }
            InvocationOutcome::Unstartable(message) => {
                let message = format!("the platform cannot start it: {message}");
                self.fail_run(id, Failure::Unusable(message), actions);
                return;
            }
        };
        *count = count.saturating_add(1);
        let count = *count;
        if count < limit {
            let delay = match outcome {
                InvocationOutcome::Throttled(_) | InvocationOutcome::StoreAway(_) => {
                    back_off.jittered(count, id.0 ^ u64::from(count) << 32)
                }
                _ => back_off.delay(count),
            };
            self.retry_after(id, delay, actions);
            return;
        }
        let failure = match outcome {
            InvocationOutcome::TimedOut => Failure::OutOfTime {
                attempts: count,
                limit_ms: time_limit.map_or(0, whole_milliseconds),
            },
            InvocationOutcome::OutOfMemory(last) => Failure::OutOfMemory { attempts: count, last },
            InvocationOutcome::Crashed(last) => Failure::Crashed { attempts: count, last },
            InvocationOutcome::Killed(last) => Failure::Crashed {
                attempts: count,
                last: format!("killed from outside: {last}"),
            },
            InvocationOutcome::Returned
            | InvocationOutcome::Unlinked(_)
            | InvocationOutcome::Throttled(_)
            | InvocationOutcome::StoreAway(_)
            | InvocationOutcome::WrongProgram(_)
            | InvocationOutcome::NeedsRepair(_)
            | InvocationOutcome::Unstartable(_) => {
                let last = "the worker left without ending the task, or lost its turn by a call out of order";
                Failure::Crashed {
                    attempts: count,
                    last: last.to_string(),
                }
            }
        };
        self.fail_task(id, failure, actions);
    }

    /// Nothing is started any more until somebody resumes the run who can go on with this task.
    fn halt(&mut self, id: TaskId, cause: Halt, actions: &mut Vec<Action>) {
        let Some(task) = self.tasks.get_mut(&id) else {
            impossible!(self, "{id} stops the run, and is not there");
        };
        task.phase = Phase::Ready;
        self.ready.push_back(id);
        self.halted = true;
        actions.push(Action::Halt { task: id, cause });
    }

    fn retry_after(&mut self, id: TaskId, delay: Duration, actions: &mut Vec<Action>) {
        let Some(task) = self.tasks.get_mut(&id) else {
            impossible!(self, "{id} is to be tried again, and is not there");
        };
        actions.push(Action::Observed(RunEvent::Retried { task: id, delay }));
        if delay.is_zero() {
            task.phase = Phase::Ready;
            self.ready.push_back(id);
        } else {
            let at = self.now.after(delay);
            task.phase = Phase::BackOff(at);
            self.backing_off.insert((at, id));
        }
    }
}

fn whole_milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
