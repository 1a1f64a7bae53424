//! A coordinator in a hundred lines: answers every call at once from a small model, and keeps every continuation, so that a program can go on from
//! each of them.

use super::log::{history_length, take_history};
use async_trait::async_trait;
use bytes::Bytes;
use kappa::ids::{QueueId, RunId, TaskId};
use kappa::link::Link;
use kappa::protocol::{Answer, Call, Invocation, Payload, Reply, Request, Start, TaskResult};
use kappa::store::{Store, StoreError};
use kappa::task::{TaskCall, TaskFunction};
use kappa::worker::{WorkerEnd, run_invocation};
use serde::de::DeserializeOwned;
use std::collections::{BTreeMap, VecDeque};
use std::fmt::Debug;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// What the tasks of a run see: queues and finished tasks.
#[derive(Clone, Default)]
struct Model {
    results: BTreeMap<TaskId, TaskResult>,
    queues: Vec<(VecDeque<Payload>, bool)>,
    next_task: u64,
}

/// Where a task could go on, and the state of everything else at that moment.
struct Checkpoint {
    task: TaskId,
    function: String,
    sequence: u64,
    continuation: Payload,
    answer: Answer,
    model: Model,
    /// How much had happened.
    happened: usize,
}

#[derive(Default)]
struct Harness {
    model: Mutex<Model>,
    functions: Mutex<BTreeMap<TaskId, String>>,
    checkpoints: Mutex<Vec<Checkpoint>>,
    committed: Mutex<BTreeMap<TaskId, u64>>,
    /// How much had happened when each task ended.
    ended: Mutex<BTreeMap<TaskId, usize>>,
    store: Arc<MemoryStore>,
    /// No `checkpoint_if_due` is ever due; otherwise each is.
    never_due: bool,
}

/// A program that has panicked has its problem already: what it left locked is looked at all the same.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

struct HarnessLink(Arc<Harness>);

#[async_trait]
impl Link for HarnessLink {
    async fn send(&self, request: Request) -> Reply {
        let harness = &self.0;
        let committed = lock(&harness.committed).get(&request.task).copied().unwrap_or(0);
        for (_, call) in request.deferred.into_iter().filter(|(number, _)| *number > committed) {
            assert_eq!(harness.answer(call).await, Answer::Done, "of a deferred call");
        }
        lock(&harness.committed).insert(request.task, request.sequence);
        if let Call::Exit(result) = request.call {
            lock(&harness.model).results.insert(request.task, result);
            lock(&harness.ended).insert(request.task, history_length());
            return Reply::Answer(Answer::Done);
        }
        let answer = harness.answer(request.call).await;
        let function = lock(&harness.functions)[&request.task].clone();
        let model = lock(&harness.model).clone();
        lock(&harness.checkpoints).push(Checkpoint {
            task: request.task,
            function,
            sequence: request.sequence,
            continuation: request.continuation,
            answer: answer.clone(),
            model,
            happened: history_length(),
        });
        Reply::Answer(answer)
    }
}

impl Harness {
    async fn answer(self: &Arc<Self>, call: Call) -> Answer {
        match call {
            Call::Checkpoint => Answer::Done,
            Call::Spawn(specs) => {
                let mut ids = Vec::new();
                for spec in specs {
                    let id = {
                        let mut model = lock(&self.model);
                        model.next_task += 1;
                        TaskId(model.next_task)
                    };
                    // Children run to their end before their parent goes on.
                    self.invoke(id, spec.function, 0, Start::Begin(spec.arguments)).await;
                    ids.push(id);
                }
                Answer::Spawned(ids)
            }
            Call::WaitAll(tasks) => {
                let model = lock(&self.model);
                Answer::Results(tasks.iter().map(|task| model.results[task].clone()).collect())
            }
            Call::WaitAny(tasks) => match tasks.first() {
                Some(task) => Answer::First(0, lock(&self.model).results[task].clone()),
                None => Answer::Refused("waiting for the first of no tasks".into()),
            },
            Call::CreateQueue(_) => {
                let mut model = lock(&self.model);
                model.queues.push(Default::default());
                Answer::Queue(QueueId(model.queues.len() as u64 - 1))
            }
            Call::Enqueue(queue, items) => {
                let mut model = lock(&self.model);
                let (queue, closed) = &mut model.queues[queue.0 as usize];
                if *closed {
                    return Answer::Refused("the queue is closed".into());
                }
                queue.extend(items);
                Answer::Done
            }
            Call::Dequeue(queue) => Answer::Item(lock(&self.model).queues[queue.0 as usize].0.pop_front()),
            Call::Close(queue) => {
                lock(&self.model).queues[queue.0 as usize].1 = true;
                Answer::Done
            }
            // Children have ended before anybody can cancel them, and time does not pass.
            Call::Cancel(_) | Call::Sleep(_) | Call::PutObject { .. } => Answer::Done,
            Call::Exit(_) => unreachable!("handled by the caller"),
        }
    }

    async fn invoke(self: &Arc<Self>, task: TaskId, function: String, last_sequence: u64, start: Start) -> WorkerEnd {
        lock(&self.functions).insert(task, function.clone());
        let invocation = Invocation {
            run: RunId::generate(),
            task,
            incarnation: 0,
            function,
            start,
            last_sequence,
            time_limit: if self.never_due { None } else { Some(Duration::ZERO) },
        };
        run_invocation(invocation, Arc::new(HarnessLink(self.clone())), self.store.clone()).await
    }

    /// How a task ended: its value as bytes, or the failure's text.
    fn result(&self, task: TaskId) -> Result<Bytes, String> {
        match lock(&self.model).results.get(&task) {
            Some(Ok(Payload::Inline(bytes))) => Ok(bytes.clone()),
            Some(Ok(Payload::Stored { key, .. })) => Ok(lock(&self.store.0)[key].clone()),
            Some(Err(error)) => Err(error.kind.to_string()),
            None => Err("it has not ended".into()),
        }
    }
}

/// What a comparison found.
#[derive(Debug, Default)]
pub struct Outcome {
    pub checkpoints: usize,
    pub problems: Vec<String>,
}

impl Outcome {
    fn expect<T: PartialEq + Debug>(&mut self, when: &str, what: &str, got: &T, expected: &T) {
        if got != expected {
            self.problems
                .push(format!("{when}: {what} {got:?} instead of {expected:?}"));
        }
    }
}

/// The text of a value, or of a failure.
pub fn show<V: DeserializeOwned + Debug>(end: &Result<Bytes, String>) -> String {
    match end {
        Ok(bytes) => match postcard::from_bytes::<V>(bytes) {
            Ok(value) => format!("{value:?}"),
            Err(error) => format!("unreadable, {error}: {bytes:?}"),
        },
        Err(error) => format!("Err({error})"),
    }
}

/// Compares results only: for programs that look at what happened themselves.
pub fn compare<F: TaskFunction>(call: TaskCall<F>, expected: Result<Vec<u8>, String>) -> Outcome
where
    F::Value: Debug,
{
    compare_all(call, expected, None)
}

/// Runs the task straight, with and without each `checkpoint_if_due`, then from each checkpoint of it and of its children. `expected` is what the plain
/// twin gave, in `postcard`, or the words of its failure; `happened` is its history, if that is to be compared.
pub fn compare_all<F: TaskFunction>(
    call: TaskCall<F>,
    expected: Result<Vec<u8>, String>,
    happened: Option<Vec<String>>,
) -> Outcome
where
    F::Value: Debug,
{
    let mut outcome = Outcome::default();
    let expected = expected
        .map(Bytes::from)
        .map_err(|message| format!("failed: {message}"));
    let (function, arguments) = match call.into_spec_bytes() {
        Ok(spec) => spec,
        Err(cause) => {
            outcome.problems.push(cause);
            return outcome;
        }
    };
    let straight = |never_due: bool| {
        take_history();
        let harness = Arc::new(Harness {
            never_due,
            ..Harness::default()
        });
        let start = Start::Begin(Payload::Inline(arguments.clone().into()));
        let end = futures::executor::block_on(harness.invoke(TaskId::ROOT, function.into(), 0, start));
        let result = harness.result(TaskId::ROOT);
        (harness, end, result, take_history())
    };
    let (harness, end, direct, history) = straight(false);
    outcome.expect("straight", "the end is", &end, &WorkerEnd::Returned);
    outcome.expect(
        "straight",
        "the result is",
        &show::<F::Value>(&direct),
        &show::<F::Value>(&expected),
    );
    if let Some(happened) = &happened {
        outcome.expect("straight", "what happened is", &history, happened);
    }
    let (_, _, without, history_without) = straight(true);
    let when = "without the checkpoints that are due";
    outcome.expect(
        when,
        "the result is",
        &show::<F::Value>(&without),
        &show::<F::Value>(&direct),
    );
    if happened.is_some() {
        outcome.expect(when, "what happened is", &history_without, &history);
    }
    let checkpoints = std::mem::take(&mut *lock(&harness.checkpoints));
    outcome.checkpoints = checkpoints.len();
    for (number, checkpoint) in checkpoints.into_iter().enumerate() {
        let task = checkpoint.task;
        let when = format!("from checkpoint {number} of {} (of {task:?})", outcome.checkpoints);
        let again = Arc::new(Harness {
            store: harness.store.clone(),
            never_due: number % 2 == 0,
            ..Harness::default()
        });
        *lock(&again.model) = checkpoint.model;
        let start = Start::Resume {
            continuation: checkpoint.continuation,
            answer: checkpoint.answer,
        };
        take_history();
        let end = futures::executor::block_on(again.invoke(task, checkpoint.function, checkpoint.sequence, start));
        let history_again = take_history();
        outcome.expect(&when, "the end is", &end, &WorkerEnd::Returned);
        let (got, expected) = (again.result(task), harness.result(task));
        if task == TaskId::ROOT {
            outcome.expect(
                &when,
                "the result is",
                &show::<F::Value>(&got),
                &show::<F::Value>(&expected),
            );
        } else {
            outcome.expect(&when, "the result is", &got, &expected);
        }
        let ended = lock(&harness.ended).get(&task).copied().unwrap_or(history.len());
        if happened.is_some() && checkpoint.happened <= ended {
            let rest = history[checkpoint.happened..ended].to_vec();
            outcome.expect(&when, "what happened is", &history_again, &rest);
        }
    }
    outcome
}

/// Both twins give the same value, and the same happens.
#[macro_export]
macro_rules! same {
    ($name:ident($($argument:expr),* $(,)?)) => { $crate::same!($name($($argument),*), 0) };
    ($name:ident($($argument:expr),* $(,)?), $least:expr) => {{
        let value = $crate::support::run(plain::$name($($argument),*));
        let happened = $crate::support::take_history();
        let expected = Ok($crate::postcard::to_stdvec(&value).expect("a value that can be sent"));
        $crate::same!(@ $name($($argument),*), $least, value, expected, happened)
    }};
    (@ $name:ident($($argument:expr),*), $least:expr, $value:ident, $expected:expr, $happened:expr) => {{
        let shown = format!("{:?}", $value);
        ::core::mem::drop($value);
        let outcome = $crate::support::compare_all(tasks::$name($($argument),*), $expected, Some($happened));
        $crate::support::count(outcome.checkpoints);
        let text = concat!(stringify!($name), "(", $(stringify!($argument), ", ",)* ")");
        assert!(outcome.problems.is_empty(), "{text}: plain Rust gives {shown}\n  {}", outcome.problems.join("\n  "));
        assert!(outcome.checkpoints >= $least, "{text}: only {} checkpoints", outcome.checkpoints);
    }};
}

/// The same of functions whose results are `kappa::Result`s: they also fail with the same words.
#[macro_export]
macro_rules! same_result {
    ($name:ident($($argument:expr),* $(,)?)) => { $crate::same_result!($name($($argument),*), 0) };
    ($name:ident($($argument:expr),* $(,)?), $least:expr) => {{
        let value = $crate::support::run(plain::$name($($argument),*));
        let happened = $crate::support::take_history();
        let expected = match &value {
            Ok(value) => Ok($crate::postcard::to_stdvec(value).expect("a value that can be sent")),
            Err(error) => Err(format!("{error:#}")),
        };
        $crate::same!(@ $name($($argument),*), $least, value, expected, happened)
    }};
}

#[derive(Debug, Default)]
struct MemoryStore(Mutex<BTreeMap<String, Bytes>>);

#[async_trait]
impl Store for MemoryStore {
    async fn put(&self, key: &str, bytes: Bytes) -> Result<(), StoreError> {
        lock(&self.0).insert(key.into(), bytes);
        Ok(())
    }

    async fn get(&self, key: &str) -> Result<Bytes, StoreError> {
        Ok(lock(&self.0)[key].clone())
    }

    async fn get_ranges(&self, key: &str, ranges: &[Range<u64>]) -> Result<Vec<Bytes>, StoreError> {
        let object = self.get(key).await?;
        Ok(ranges
            .iter()
            .map(|range| object.slice(range.start as usize..range.end as usize))
            .collect())
    }

    async fn delete(&self, key: &str) -> Result<(), StoreError> {
        lock(&self.0).remove(key);
        Ok(())
    }

    async fn delete_prefix(&self, prefix: &str) -> Result<(), StoreError> {
        lock(&self.0).retain(|key, _| !key.starts_with(&format!("{prefix}/")));
        Ok(())
    }

    fn is_shared(&self) -> bool {
        false
    }

    fn url(&self) -> String {
        "memory:".into()
    }
}
