//! A request is checked, committed together with its checkpoint, carried out, and answered now or later.
//!
//! Nothing that a worker sends can break the coordinator: what makes no sense is answered by [`Answer::Refused`], and the task fails with that
//! message; what comes from the wrong invocation, or out of turn, is [`Reply::Fenced`] and changes nothing.

use super::task::{Attempts, Phase, Position, Recorded, Task, Wait};
use super::{Action, RunEvent, State};
use crate::coordinator::sabotage::{self, Sabotage};
use crate::ids::{Incarnation, Sequence, TaskId};
use crate::protocol::{Answer, Call, Payload, Reply, Request, TaskSpec};
use std::time::Duration;

/// The longest list that one call may carry. What is longer is a broken worker.
const LONGEST_LIST: usize = 1 << 20;

/// The longest name of a function, in bytes.
const LONGEST_NAME: usize = 1024;

/// What became of a call.
pub(super) enum Outcome {
    /// It is answered.
    Answered(Recorded),
    /// Its answer depends on others.
    Blocked(Wait),
}

impl Outcome {
    pub(super) fn refused(message: impl Into<String>) -> Self {
        Outcome::Answered(Recorded::Refused(message.into()))
    }

    pub(super) fn done() -> Self {
        Outcome::Answered(Recorded::Done)
    }
}

impl State {
    pub(super) fn request(&mut self, request: Request, actions: &mut Vec<Action>) {
        let (id, incarnation, sequence) = (request.task, request.incarnation, request.sequence);
        let fenced = self.fences(&request);
        let Some(task) = self.tasks.get(&id).filter(|_| !fenced) else {
            reply(id, incarnation, sequence, Reply::Fenced, actions);
            return;
        };
        let is_repeated = sabotage::is(Sabotage::Repeats) && sequence == task.last;
        let is_next =
            matches!(task.phase, Phase::Running(_)) && (Some(sequence) == task.last.checked_add(1) || is_repeated);
        let is_duplicate = sequence == task.last && incarnation == task.last_by && sequence > 0;
        match &task.phase {
            _ if is_next => self.commit(request, actions),
            Phase::Blocked { .. } if is_duplicate => {} // Its answer is still to come, and will go to both.
            _ if is_duplicate => self.reply_recorded(id, incarnation, actions),
            _ => reply(id, incarnation, sequence, Reply::Fenced, actions),
        }
    }

    /// The call takes effect: from now on the task goes on after it, whatever happens to the invocation.
    fn commit(&mut self, request: Request, actions: &mut Vec<Action>) {
        let Request {
            task: id,
            incarnation,
            sequence,
            continuation,
            call,
        } = request;
        let bytes = continuation.length();
        self.stats.checkpoints += 1;
        self.stats.checkpoint_bytes += bytes;
        actions.push(Action::Observed(RunEvent::Checkpoint {
            task: id,
            sequence,
            bytes,
        }));

        let Some(task) = self.tasks.get_mut(&id) else { return };
        task.last = sequence;
        task.last_by = incarnation;
        if !sabotage::is(Sabotage::NeverForgives) {
            task.attempts = Attempts::default();
        }
        let checkpoint = Position::Checkpoint {
            continuation,
            answer: None,
        };
        let superseded = match sabotage::is(Sabotage::KeepsOldCheckpoint) {
            true => checkpoint,
            false => std::mem::replace(&mut task.position, checkpoint),
        };
        for payload in superseded.into_payloads() {
            self.discard(payload, actions);
        }

        let outcome = match call {
            Call::Checkpoint => Outcome::done(),
            Call::Spawn(specs) => self.spawn(id, specs, actions),
            Call::WaitAll(tasks) => self.wait_all(id, tasks),
            Call::WaitAny(tasks) => self.wait_any(id, tasks),
            Call::CreateQueue(capacity) => self.create_queue(capacity),
            Call::Enqueue(queue, items) => self.enqueue(id, queue, items, actions),
            Call::Dequeue(queue) => self.dequeue(id, queue, actions),
            Call::Close(queue) => self.close(queue, actions),
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
            Outcome::Blocked(wait) => self.block(id, incarnation, wait),
        }
    }

    fn block(&mut self, id: TaskId, incarnation: Incarnation, wait: Wait) {
        let grace = match sabotage::is(Sabotage::KeepsBlocked) {
            true => Duration::from_secs(60),
            false => self.tuning.grace,
        };
        let until = self.now.after(grace);
        if let Some(task) = self.tasks.get_mut(&id) {
            task.phase = Phase::Blocked {
                wait,
                holding: Some((incarnation, until)),
            };
            self.holding.insert((until, id));
            self.active -= 1;
        }
    }

    /// Gives a blocked task its answer: to the invocation that holds on, or else to the next one.
    pub(super) fn unblock(&mut self, id: TaskId, answer: Recorded, actions: &mut Vec<Action>) {
        let Some(task) = self.tasks.get_mut(&id) else { return };
        let Phase::Blocked { holding, .. } = &task.phase else {
            return;
        };
        self.active += 1;
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
        if let Some(Position::Checkpoint { answer, .. }) = self.tasks.get_mut(&id).map(|task| &mut task.position) {
            *answer = Some(recorded);
        }
    }

    fn reply_recorded(&self, id: TaskId, incarnation: Incarnation, actions: &mut Vec<Action>) {
        let Some(task) = self.tasks.get(&id) else { return };
        let answer = match &task.position {
            Position::Checkpoint {
                answer: Some(recorded), ..
            } => self.answer(recorded),
            Position::Over => Answer::Done,
            Position::Checkpoint { answer: None, .. } | Position::Beginning(_) => return,
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
                None => Answer::Refused("a result is gone".to_string()),
            },
            Recorded::First(index, id) => match self.result(*id) {
                Some(result) => Answer::First(*index, result),
                None => Answer::Refused(format!("the result of {id} is gone")),
            },
            Recorded::Queue(queue) => Answer::Queue(*queue),
            Recorded::Item(item) => Answer::Item(item.clone()),
            Recorded::Refused(message) => Answer::Refused(message.clone()),
        }
    }

    fn spawn(&mut self, parent: TaskId, specs: Vec<TaskSpec>, actions: &mut Vec<Action>) -> Outcome {
        if specs.len() > LONGEST_LIST {
            return Outcome::refused(format!("{} tasks in one call; at most {LONGEST_LIST} fit", specs.len()));
        }
        if let Some(spec) = specs.iter().find(|spec| spec.function.len() > LONGEST_NAME) {
            return Outcome::refused(format!("a function's name of {} bytes", spec.function.len()));
        }
        let first = TaskId(self.next_task);
        let count = specs.len() as u64;
        for spec in specs {
            self.create_task(spec, Some(parent), actions);
        }
        Outcome::Answered(Recorded::Spawned(first, count))
    }

    pub(super) fn create_task(&mut self, spec: TaskSpec, parent: Option<TaskId>, actions: &mut Vec<Action>) {
        let id = TaskId(self.next_task);
        self.next_task += 1;
        self.stats.tasks += 1;
        self.active += 1;
        self.ready.push_back(id);
        let function = spec.function.clone();
        actions.push(Action::Observed(RunEvent::TaskSpawned {
            task: id,
            parent,
            function,
        }));
        self.tasks.insert(id, Task::new(spec.function, spec.arguments));
    }

    /// Refuses lists that no sane worker sends.
    pub(super) fn refuse_long_list(length: usize) -> Option<Outcome> {
        (length > LONGEST_LIST)
            .then(|| Outcome::refused(format!("a list of {length} in one call; at most {LONGEST_LIST} fit")))
    }

    /// Payloads that a call carried and that were not accepted.
    pub(super) fn discard_all(&self, payloads: impl IntoIterator<Item = Payload>, actions: &mut Vec<Action>) {
        for payload in payloads {
            self.discard(payload, actions);
        }
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
