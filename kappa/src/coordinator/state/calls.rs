//! A request is checked, committed together with its checkpoint, carried out with all its calls, and answered now or later.
//!
//! Nothing that a worker sends can break the coordinator: what makes no sense is answered by [`Answer::Refused`], and the task fails with that
//! message; what comes from the wrong invocation, or out of turn, is [`Reply::Fenced`] and changes nothing. A checkpoint in the background that
//! arrives after a later call changes nothing either.

use super::observe::name_of;
use super::task::{Attempts, Phase, Position, Recorded, Task, Wait};
use super::{Action, RunEvent, State, impossible};
use crate::coordinator::sabotage::{self, Sabotage};
use crate::error::Failure;
use crate::ids::{Incarnation, Sequence, TaskId};
use crate::protocol::{Answer, Call, Payload, Reply, Request, TaskSpec};
use bytes::Bytes;
use std::time::Duration;

/// What became of a call.
pub(super) enum Outcome {
    /// It is answered.
    Answered(Recorded),
    /// Its answer depends on others.
    Blocked(Wait),
}

impl Outcome {
    pub(super) fn done() -> Self {
        Outcome::Answered(Recorded::Done)
    }
}

impl State {
    pub(super) fn request(&mut self, request: Request, actions: &mut Vec<Action>) {
        let (id, incarnation, sequence) = (request.task, request.incarnation, request.sequence);
        let Some(task) = self.tasks.get(&id) else {
            reply(id, incarnation, sequence, Reply::Fenced, actions);
            return;
        };
        if task.has_superseded(&request) {
            self.come_too_late(request, actions);
            return;
        }
        if !task.is_current(incarnation) && !sabotage::is(Sabotage::Unfenced) {
            reply(id, incarnation, sequence, Reply::Fenced, actions);
            return;
        }
        let is_repeated = sabotage::is(Sabotage::Repeats) && sequence == task.last;
        let is_next = matches!(task.phase, Phase::Running(_)) && (sequence > task.last || is_repeated);
        let is_duplicate = sequence == task.last && incarnation == task.last_by && sequence > 0;
        match &task.phase {
            _ if is_next => self.commit(request, actions),
            Phase::Blocked { .. } if is_duplicate => {} // Its answer is still to come, and will go to both.
            _ if is_duplicate => self.reply_recorded(id, incarnation, actions),
            _ => reply(id, incarnation, sequence, Reply::Fenced, actions),
        }
    }

    /// A checkpoint in the background that a later call stands for.
    fn come_too_late(&mut self, request: Request, actions: &mut Vec<Action>) {
        let Some(task) = self.tasks.get(&request.task) else {
            impossible!(
                self,
                "{} makes a call that comes too late, and is not there",
                request.task
            );
        };
        let is_needed = matches!(&task.position, Position::Checkpoint { continuation, .. } if *continuation == request.continuation);
        let heard = match task.is_current(request.incarnation) {
            true => Reply::Answer(Answer::Done),
            false => Reply::Fenced,
        };
        self.stats.superseded += 1;
        reply(request.task, request.incarnation, request.sequence, heard, actions);
        if !is_needed {
            self.discard(request.continuation, actions);
        }
    }

    /// The request takes effect: from now on the task goes on after it, whatever happens to the invocation.
    fn commit(&mut self, request: Request, actions: &mut Vec<Action>) {
        let Some(task) = self.tasks.get(&request.task) else {
            impossible!(self, "{} makes a call, and is not there", request.task);
        };
        let checked = self.check(task, &request);
        let last = task.last;
        let Request {
            task: id,
            incarnation,
            sequence,
            deferred,
            continuation,
            call,
        } = request;
        let bytes = continuation.length();
        self.stats.checkpoints += 1;
        self.stats.checkpoint_bytes = self.stats.checkpoint_bytes.saturating_add(bytes);
        actions.push(Action::Observed(RunEvent::Checkpoint {
            task: id,
            sequence,
            bytes,
            call: name_of(&call),
        }));

        let Some(task) = self.tasks.get_mut(&id) else {
            impossible!(self, "{id} makes a call, and is not there");
        };
        task.last = sequence;
        task.last_by = incarnation;
        if !sabotage::is(Sabotage::NeverForgives) {
            task.attempts = Attempts::default();
        }
        let continuation = match sabotage::is(Sabotage::LosesCheckpoint) {
            true => Payload::Inline(Bytes::new()),
            false => continuation,
        };
        let superseded = task.move_to(Position::Checkpoint {
            continuation,
            answer: None,
        });
        for payload in superseded {
            self.discard(payload, actions);
        }

        if let Err(reason) = checked {
            self.refuse(id, incarnation, call, reason, actions);
            return;
        }
        for (_, call) in deferred.into_iter().filter(|(number, _)| *number > last) {
            self.stats.deferred += 1;
            match call {
                _ if sabotage::is(Sabotage::HalvesGroups) => {}
                Call::Close(queue) => self.close(queue, actions),
                Call::Cancel(target) => self.cancel(target, id, actions),
                other => impossible!(self, "{id} has deferred a {}, which was not refused", name_of(&other)),
            }
        }
        let outcome = match call {
            Call::Checkpoint => Outcome::done(),
            Call::Spawn(specs) => self.spawn(id, specs, actions),
            Call::WaitAll(tasks) => self.wait_all(id, tasks),
            Call::WaitAny(tasks) => self.wait_any(id, tasks),
            Call::CreateQueue(capacity) => self.create_queue(capacity),
            Call::Enqueue(queue, items) => self.enqueue(id, queue, items, actions),
            Call::Dequeue(queue) => self.dequeue(id, queue, actions),
            Call::Close(queue) => {
                self.close(queue, actions);
                Outcome::done()
            }
            Call::Cancel(target) => {
                self.cancel(target, id, actions);
                Outcome::done()
            }
            Call::Sleep(duration) => self.sleep(id, duration, actions),
            Call::PutObject { url, content } => self.put_object(id, sequence, url, content, actions),
            Call::Exit(result) => {
                reply(id, incarnation, sequence, Reply::Answer(Answer::Done), actions);
                self.exit(id, incarnation, result, actions);
                return;
            }
        };
        match outcome {
            Outcome::Answered(answer) => {
                self.record(id, answer);
                self.reply_recorded(id, incarnation, actions);
            }
            Outcome::Blocked(wait) => self.block(id, incarnation, wait, actions),
        }
    }

    /// The request is committed, but none of its calls is carried out: all that the task can do now is to fail.
    fn refuse(&mut self, id: TaskId, incarnation: Incarnation, call: Call, reason: String, actions: &mut Vec<Action>) {
        let is_exit = matches!(call, Call::Exit(_));
        for payload in into_payloads(call) {
            self.discard(payload, actions);
        }
        if is_exit {
            let Some(task) = self.tasks.get(&id) else {
                impossible!(self, "{id} is refused its end, and is not there");
            };
            reply(id, incarnation, task.last, Reply::Answer(Answer::Done), actions);
            let error = self.error_of(id, Failure::Refused(reason));
            self.exit(id, incarnation, Err(error), actions);
        } else {
            self.record(id, Recorded::Refused(reason));
            self.reply_recorded(id, incarnation, actions);
        }
    }

    fn block(&mut self, id: TaskId, incarnation: Incarnation, wait: Wait, actions: &mut Vec<Action>) {
        actions.push(Action::Observed(RunEvent::Blocked {
            task: id,
            waits_for: wait.observed(),
        }));
        let grace = match sabotage::is(Sabotage::KeepsBlocked) {
            true => Duration::from_secs(60),
            false => self.tuning.grace,
        };
        let until = self.now.after(grace);
        let Some(task) = self.tasks.get_mut(&id) else {
            impossible!(self, "{id} is to wait, and is not there");
        };
        // Who knows that it will be long need not wait for the end of the grace.
        let is_long = matches!(&wait, Wait::Sleep { until: end } if *end > until);
        task.phase = Phase::Blocked {
            wait,
            holding: Some((incarnation, until)),
        };
        self.active -= 1;
        match is_long {
            true => self.suspend(id, actions),
            false => {
                self.holding.insert((until, id));
            }
        }
    }

    /// Gives a blocked task its answer: to the invocation that holds on, or else to the next one.
    pub(super) fn unblock(&mut self, id: TaskId, answer: Recorded, actions: &mut Vec<Action>) {
        let Some(task) = self.tasks.get_mut(&id) else {
            impossible!(self, "{id} is answered, and is not there");
        };
        let Phase::Blocked { holding, .. } = &task.phase else {
            impossible!(self, "{id} is answered, and does not wait");
        };
        self.active += 1;
        actions.push(Action::Observed(RunEvent::Unblocked { task: id }));
        match *holding {
            Some((incarnation, until)) => {
                task.phase = Phase::Running(incarnation);
                self.holding.remove(&(until, id));
                self.record(id, answer);
                self.reply_recorded(id, incarnation, actions);
            }
            None => {
                task.phase = Phase::Ready;
                self.ready.push_back(id);
                self.record(id, answer);
            }
        }
    }

    fn record(&mut self, id: TaskId, recorded: Recorded) {
        match self.tasks.get_mut(&id).map(|task| &mut task.position) {
            Some(Position::Checkpoint { answer, .. }) => *answer = Some(recorded),
            _ => impossible!(self, "{id} is answered, and has made no call"),
        }
    }

    fn reply_recorded(&self, id: TaskId, incarnation: Incarnation, actions: &mut Vec<Action>) {
        let Some(task) = self.tasks.get(&id) else {
            impossible!(self, "{id} is told its answer, and is not there");
        };
        let answer = match &task.position {
            Position::Checkpoint {
                answer: Some(recorded), ..
            } => self.answer(recorded),
            Position::Over => Answer::Done,
            Position::Checkpoint { answer: None, .. } | Position::Beginning(_) => {
                impossible!(self, "{id} is told an answer that there is not")
            }
        };
        reply(id, incarnation, task.last, Reply::Answer(answer), actions);
    }

    /// The answer as a worker hears it.
    pub(super) fn answer(&self, recorded: &Recorded) -> Answer {
        match recorded {
            Recorded::Done => Answer::Done,
            Recorded::Spawned(first, count) => Answer::Spawned((first.0..first.0 + count).map(TaskId).collect()),
            Recorded::Results(tasks) => match tasks.iter().map(|id| self.result(*id)).collect() {
                Some(results) => Answer::Results(results),
                None => impossible!(self => Answer::Done, "a result is gone that was given as an answer"),
            },
            Recorded::First(index, id) => match self.result(*id) {
                Some(result) => Answer::First(*index, result),
                None => impossible!(self => Answer::Done, "the result of {id} is gone, which was given as an answer"),
            },
            Recorded::Queue(queue) => Answer::Queue(*queue),
            Recorded::Item(item) => Answer::Item(item.clone()),
            Recorded::Refused(message) => Answer::Refused(message.clone()),
        }
    }

    fn spawn(&mut self, parent: TaskId, specs: Vec<TaskSpec>, actions: &mut Vec<Action>) -> Outcome {
        let first = TaskId(self.next_task);
        let count = specs.len() as u64;
        for spec in specs {
            self.create_task(spec, Some(parent), actions);
        }
        match self.tasks.get_mut(&parent) {
            Some(task) => task.adopt(first.0, first.0 + count),
            None => self.break_off(format!("{parent} spawns, and is not there")),
        }
        Outcome::Answered(Recorded::Spawned(first, count))
    }

    pub(super) fn create_task(&mut self, mut spec: TaskSpec, parent: Option<TaskId>, actions: &mut Vec<Action>) {
        let id = TaskId(self.next_task);
        self.next_task += 1;
        self.stats.tasks += 1;
        actions.push(Action::Observed(RunEvent::TaskSpawned {
            task: id,
            parent,
            function: spec.function.clone(),
            name: spec.options.name.clone(),
        }));
        let after = std::mem::take(&mut spec.options.after);
        self.tasks.insert(id, Task::new(spec, parent, self.first_incarnation));
        self.active += 1;
        if after.is_empty() {
            self.ready.push_back(id);
            return;
        }
        match self.begin_after(id, after) {
            Ok(None) => self.ready.push_back(id),
            Ok(Some(wait)) => {
                actions.push(Action::Observed(RunEvent::Blocked {
                    task: id,
                    waits_for: wait.observed(),
                }));
                if let Some(task) = self.tasks.get_mut(&id) {
                    task.phase = Phase::Blocked { wait, holding: None };
                    self.active -= 1;
                }
            }
            Err(error) => {
                // Its phase says that it is among the ready ones.
                self.ready.push_back(id);
                self.end(id, Err(error), None, actions);
            }
        }
    }

    /// Payloads that a call carried and that were not accepted.
    pub(super) fn discard_all(&self, payloads: impl IntoIterator<Item = Payload>, actions: &mut Vec<Action>) {
        for payload in payloads {
            self.discard(payload, actions);
        }
    }
}

/// The payloads that a call carries.
pub(super) fn into_payloads(call: Call) -> Vec<Payload> {
    match call {
        Call::Spawn(specs) => specs.into_iter().map(|spec| spec.arguments).collect(),
        Call::Enqueue(_, items) => items,
        Call::PutObject { content, .. } => vec![content],
        Call::Exit(Ok(value)) => vec![value],
        Call::Exit(Err(_))
        | Call::Checkpoint
        | Call::WaitAll(_)
        | Call::WaitAny(_)
        | Call::CreateQueue(_)
        | Call::Dequeue(_)
        | Call::Close(_)
        | Call::Cancel(_)
        | Call::Sleep(_) => Vec::new(),
    }
}

pub(super) fn reply(
    task: TaskId,
    incarnation: Incarnation,
    sequence: Sequence,
    reply: Reply,
    actions: &mut Vec<Action>,
) {
    actions.push(Action::Reply {
        task,
        incarnation,
        sequence,
        reply,
    });
}
