//! What makes no sense is refused before anything of it is carried out.
//!
//! A request may carry several calls: those that were deferred, and the one that is waited for. All are checked first, so that carrying them
//! out cannot fail half way: the group takes effect whole, or not at all.

use super::State;
use super::task::{Position, Recorded, Task};
use crate::error::{Failure, TaskError};
use crate::ids::{QueueId, Sequence, TaskId};
use crate::protocol::{Call, Payload, Request, TaskOptions, TaskSpec};

/// The longest list that one call may carry. What is longer is a broken worker.
const LONGEST_LIST: usize = 1 << 20;

/// The most bytes of payloads that one call may carry itself. A worker of ours sends much less.
const MOST_INLINE: usize = 256 << 20;

/// The longest name of a function or a task, or key or URL of an object, in bytes.
const LONGEST_NAME: usize = 1024;

/// The most calls that may be deferred to one request.
const LONGEST_GROUP: usize = 4096;

/// The longest message of an error that is kept, in bytes.
const LONGEST_MESSAGE: usize = 16 * 1024;

type Check = Result<(), String>;

impl State {
    /// Whether the request with all its calls can be carried out by this task; if not, why.
    pub(super) fn check(&self, task: &Task, request: &Request) -> Check {
        check_numbers(request)?;
        let is_committed = |number: Sequence| number <= task.last;
        // What was deferred may have been refused with an earlier checkpoint whose answer has not been heard; then nothing that builds on it is right.
        if let Position::Checkpoint {
            answer: Some(Recorded::Refused(reason)),
            ..
        } = &task.position
            && request.deferred.iter().any(|(number, _)| is_committed(*number))
        {
            return Err(reason.clone());
        }
        let mut closed = Vec::new();
        for (number, call) in &request.deferred {
            if !call.is_deferrable() {
                return Err("a call that has to be waited for was deferred".to_string());
            }
            if !is_committed(*number) {
                self.check_call(request.task, call, &[])?;
                closed.extend(match call {
                    Call::Close(queue) => Some(*queue),
                    _ => None,
                });
            }
        }
        check_payload(&request.continuation)?;
        self.check_call(request.task, &request.call, &closed)
    }

    /// `closed`: queues that will be closed just before.
    fn check_call(&self, caller: TaskId, call: &Call, closed: &[QueueId]) -> Check {
        match call {
            Call::Checkpoint | Call::Sleep(_) | Call::Exit(Err(_)) => Ok(()),
            Call::Exit(Ok(value)) => check_payload(value),
            Call::Spawn(specs) => {
                check_length(specs.len())?;
                check_inline(specs.iter().map(|spec| &spec.arguments))?;
                specs.iter().try_for_each(|spec| self.check_spec(spec))
            }
            Call::WaitAll(tasks) => self.check_wait(caller, tasks),
            Call::WaitAny(tasks) if tasks.is_empty() => Err("wait for any of no tasks would never end".to_string()),
            Call::WaitAny(tasks) => self.check_wait(caller, tasks),
            Call::CreateQueue(0) => Err("a queue must hold at least one item".to_string()),
            Call::CreateQueue(_) => Ok(()),
            Call::Enqueue(id, items) => {
                self.check_queue(*id)?;
                if self.is_closed(*id) || closed.contains(id) {
                    return Err(format!("{id} is closed and takes no further items"));
                }
                check_length(items.len())?;
                check_inline(items)?;
                items.iter().try_for_each(check_payload)
            }
            Call::Dequeue(id) | Call::Close(id) => self.check_queue(*id),
            Call::Cancel(id) => {
                self.check_task(*id)?;
                match self.descends_from(caller, *id) {
                    true => Err(format!(
                        "{caller} would cancel itself by cancelling {id}; return an error instead"
                    )),
                    false => Ok(()),
                }
            }
            Call::PutObject { url, content } => {
                check_place(url)?;
                check_payload(content)
            }
        }
    }

    fn check_spec(&self, spec: &TaskSpec) -> Check {
        check_name("a function's name", &spec.function)?;
        check_payload(&spec.arguments)?;
        let TaskOptions {
            name,
            after,
            retry: _,
            time_limit,
            on_coordinator: _,
        } = &spec.options;
        if let Some(name) = name {
            check_name("a task's name", name)?;
        }
        check_length(after.len())?;
        after.iter().try_for_each(|id| self.check_task(*id))?;
        match time_limit {
            Some(limit) if limit.is_zero() => Err("a time limit of nothing leaves no time to run".to_string()),
            _ => Ok(()),
        }
    }

    fn check_wait(&self, waiter: TaskId, tasks: &[TaskId]) -> Check {
        check_length(tasks.len())?;
        if tasks.contains(&waiter) {
            return Err(format!("{waiter} waits for itself"));
        }
        tasks.iter().try_for_each(|id| self.check_task(*id))
    }

    fn check_task(&self, id: TaskId) -> Check {
        match self.tasks.contains_key(&id) {
            true => Ok(()),
            false => Err(format!("there is no {id} in this run")),
        }
    }

    fn check_queue(&self, id: QueueId) -> Check {
        match self.queues.contains_key(&id) {
            true => Ok(()),
            false => Err(format!("there is no {id} in this run")),
        }
    }
}

/// Deferred calls were made one after the other, before the one that is waited for.
fn check_numbers(request: &Request) -> Check {
    let deferred = &request.deferred;
    if deferred.len() > LONGEST_GROUP {
        return Err(format!(
            "{} deferred calls; at most {LONGEST_GROUP} fit",
            deferred.len()
        ));
    }
    let numbers = deferred.iter().map(|(number, _)| *number).chain([request.sequence]);
    match numbers.is_sorted_by(|before, after| before < after) {
        true => Ok(()),
        false => Err("deferred calls whose numbers are not in order".to_string()),
    }
}

fn check_length(length: usize) -> Check {
    match length > LONGEST_LIST {
        true => Err(format!("a list of {length} in one call; at most {LONGEST_LIST} fit")),
        false => Ok(()),
    }
}

fn check_inline<'a>(payloads: impl IntoIterator<Item = &'a Payload>) -> Check {
    let inline = payloads.into_iter().map(|payload| match payload {
        Payload::Inline(bytes) => bytes.len(),
        Payload::Stored { .. } => 0,
    });
    match inline.sum::<usize>() {
        bytes if bytes > MOST_INLINE => Err(format!(
            "a call that carries {bytes} bytes itself; at most {MOST_INLINE} fit, the rest goes through the store"
        )),
        _ => Ok(()),
    }
}

fn check_name(what: &str, name: &str) -> Check {
    match name.len() > LONGEST_NAME {
        true => Err(format!("{what} of {} bytes; at most {LONGEST_NAME} fit", name.len())),
        false => Ok(()),
    }
}

fn check_payload(payload: &Payload) -> Check {
    match payload {
        Payload::Inline(_) => Ok(()),
        Payload::Stored { key, .. } => check_name("an object's key", key),
    }
}

fn check_place(url: &str) -> Check {
    check_name("an object's place", url)?;
    if let Some(place) = url.strip_prefix("s3://") {
        let place = place.split('?').next().unwrap_or_default();
        return match place.split_once('/') {
            Some((bucket, key)) if !bucket.is_empty() && !key.is_empty() && !key.ends_with('/') => Ok(()),
            _ => Err(format!(
                "cannot put an object to `{url}`: it is not of the form `s3://BUCKET/KEY`"
            )),
        };
    }
    match url.strip_prefix("file:") {
        Some(path) if path.starts_with('/') && !path.ends_with('/') && !path.contains('\0') => Ok(()),
        Some(path) => Err(format!(
            "cannot put an object to `{path}`: it is not the absolute path of a file"
        )),
        None => Err(format!(
            "cannot put an object to `{url}`: only `file:PATH` and `s3://BUCKET/KEY` are known"
        )),
    }
}

/// A task's own account of its failure, in such a length that it can be kept and passed on.
pub(super) fn bounded(kind: Failure) -> Failure {
    match kind {
        Failure::Returned(message) => Failure::Returned(shortened(message)),
        Failure::Crashed { attempts, last } => Failure::Crashed {
            attempts,
            last: shortened(last),
        },
        Failure::OutOfMemory { attempts, last } => Failure::OutOfMemory {
            attempts,
            last: shortened(last),
        },
        Failure::Refused(message) => Failure::Refused(shortened(message)),
        Failure::Unusable(message) => Failure::Unusable(shortened(message)),
        Failure::Deadlock(message) => Failure::Deadlock(shortened(message)),
        Failure::Dependency(message) => Failure::Dependency(shortened(message)),
        kind @ (Failure::OutOfTime { .. } | Failure::Cancelled) => kind,
    }
}

/// The same for the trace.
pub(super) fn bounded_trace(error: &mut TaskError) {
    error.trace.truncate(TaskError::LONGEST_TRACE);
    for culprit in &mut error.trace {
        if culprit.function.len() > LONGEST_NAME {
            culprit.function = shortened_to(&culprit.function, LONGEST_NAME);
        }
    }
}

/// A text without its middle, if it is too long: the beginning says what, the end says why.
pub(super) fn shortened(text: String) -> String {
    match text.len() > LONGEST_MESSAGE {
        true => shortened_to(&text, LONGEST_MESSAGE),
        false => text,
    }
}

fn shortened_to(text: &str, longest: usize) -> String {
    const GAP: &str = " [...] ";
    let half = (longest - GAP.len()) / 2;
    let head = text.floor_char_boundary(half);
    let tail = text.ceil_char_boundary(text.len() - half);
    format!("{}{GAP}{}", &text[..head], &text[tail..])
}
