//! A coordinator in a hundred lines: answers every call at once from a small model, and keeps every continuation, so that a test can go on from
//! each of them.

use async_trait::async_trait;
use bytes::Bytes;
use kappa::ids::{RunId, TaskId};
use kappa::link::Link;
use kappa::protocol::{Answer, Call, Invocation, Payload, Reply, Request, Start, TaskResult};
use kappa::store::{Store, StoreError};
use kappa::task::{TaskCall, TaskFunction};
use kappa::worker::{WorkerEnd, run_invocation};
use std::collections::{BTreeMap, VecDeque};
use std::fmt::Debug;
use std::ops::Range;
use std::sync::{Arc, Mutex};

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
}

#[derive(Default)]
pub(crate) struct Harness {
    model: Mutex<Model>,
    functions: Mutex<BTreeMap<TaskId, String>>,
    checkpoints: Mutex<Vec<Checkpoint>>,
    committed: Mutex<BTreeMap<TaskId, u64>>,
    store: Arc<MemoryStore>,
}

struct HarnessLink(Arc<Harness>);

#[async_trait]
impl Link for HarnessLink {
    async fn send(&self, request: Request) -> Reply {
        let harness = &self.0;
        let deferred = request.deferred.into_iter();
        for (_, call) in deferred.filter(|(number, _)| *number > harness.committed(request.task)) {
            assert_eq!(harness.answer(call).await, Answer::Done);
        }
        harness.committed.lock().unwrap().insert(request.task, request.sequence);
        if let Call::Exit(result) = request.call {
            harness.model.lock().unwrap().results.insert(request.task, result);
            return Reply::Answer(Answer::Done);
        }
        let answer = harness.answer(request.call).await;
        let function = harness.functions.lock().unwrap()[&request.task].clone();
        let model = harness.model.lock().unwrap().clone();
        harness.checkpoints.lock().unwrap().push(Checkpoint {
            task: request.task,
            function,
            sequence: request.sequence,
            continuation: request.continuation,
            answer: answer.clone(),
            model,
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
                        let mut model = self.model.lock().unwrap();
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
                let model = self.model.lock().unwrap();
                Answer::Results(tasks.iter().map(|task| model.results[task].clone()).collect())
            }
            Call::WaitAny(tasks) => match tasks.first() {
                Some(task) => Answer::First(0, self.model.lock().unwrap().results[task].clone()),
                None => Answer::Refused("waiting for the first of no tasks".into()),
            },
            Call::CreateQueue(_) => {
                let mut model = self.model.lock().unwrap();
                model.queues.push(Default::default());
                Answer::Queue(kappa::ids::QueueId(model.queues.len() as u64 - 1))
            }
            Call::Enqueue(queue, items) => {
                let mut model = self.model.lock().unwrap();
                let (queue, closed) = &mut model.queues[queue.0 as usize];
                if *closed {
                    return Answer::Refused("the queue is closed".into());
                }
                queue.extend(items);
                Answer::Done
            }
            Call::Dequeue(queue) => Answer::Item(self.model.lock().unwrap().queues[queue.0 as usize].0.pop_front()),
            Call::Close(queue) => {
                self.model.lock().unwrap().queues[queue.0 as usize].1 = true;
                Answer::Done
            }
            // Children have ended before anybody can cancel them, and time does not pass.
            Call::Cancel(_) | Call::Sleep(_) | Call::PutObject { .. } => Answer::Done,
            Call::Exit(_) => unreachable!("handled by the caller"),
        }
    }

    /// The number of the task's last committed call.
    fn committed(&self, task: TaskId) -> u64 {
        self.committed.lock().unwrap().get(&task).copied().unwrap_or(0)
    }

    /// How a task ended: its value as bytes, or the failure's text.
    fn result(&self, task: TaskId) -> Ended<Bytes> {
        match self.model.lock().unwrap().results[&task].clone() {
            Ok(Payload::Inline(bytes)) => Ok(bytes),
            Ok(Payload::Stored { key, .. }) => Ok(self.store.0.lock().unwrap()[&key].clone()),
            Err(error) => Err(error.kind.to_string()),
        }
    }

    async fn invoke(self: &Arc<Self>, task: TaskId, function: String, last_sequence: u64, start: Start) {
        self.functions.lock().unwrap().insert(task, function.clone());
        let invocation = Invocation {
            run: RunId::generate(),
            task,
            incarnation: 0,
            function,
            start,
            last_sequence,
            time_limit: None,
        };
        let end = run_invocation(invocation, Arc::new(HarnessLink(self.clone())), self.store.clone()).await;
        assert_eq!(end, WorkerEnd::Returned);
    }
}

/// How a task ended: its value, or the failure's text.
pub(crate) type Ended<V> = Result<V, String>;

fn ended<F: TaskFunction>(harness: &Harness, task: TaskId) -> Ended<F::Value> {
    harness.result(task).map(|bytes| postcard::from_bytes(&bytes).unwrap())
}

/// Runs a task straight, then resumes it from every one of its checkpoints, and its children from theirs; expects the same end each time. Gives the
/// end and the number of checkpoints.
pub(crate) fn everywhere<F: TaskFunction>(call: TaskCall<F>) -> (Ended<F::Value>, usize)
where
    F::Value: PartialEq + Debug + Clone,
{
    futures::executor::block_on(async {
        let harness = Arc::new(Harness::default());
        let (function, arguments) = call.into_spec_bytes().unwrap();
        harness
            .invoke(
                TaskId::ROOT,
                function.into(),
                0,
                Start::Begin(Payload::Inline(arguments.into())),
            )
            .await;
        let direct = ended::<F>(&harness, TaskId::ROOT);
        let checkpoints = std::mem::take(&mut *harness.checkpoints.lock().unwrap());
        let count = checkpoints
            .iter()
            .filter(|checkpoint| checkpoint.task == TaskId::ROOT)
            .count();
        for (at, checkpoint) in checkpoints.into_iter().enumerate() {
            let task = checkpoint.task;
            let child_result = harness.result(task);
            let again = Arc::new(Harness {
                store: harness.store.clone(),
                ..Harness::default()
            });
            *again.model.lock().unwrap() = checkpoint.model;
            let start = Start::Resume {
                continuation: checkpoint.continuation,
                answer: checkpoint.answer,
            };
            again
                .invoke(task, checkpoint.function, checkpoint.sequence, start)
                .await;
            if task == TaskId::ROOT {
                assert_eq!(
                    ended::<F>(&again, task),
                    direct,
                    "{}: resumed from checkpoint {at}",
                    F::NAME
                );
            } else {
                assert_eq!(
                    again.result(task),
                    child_result,
                    "{}: child resumed from checkpoint {at}",
                    F::NAME
                );
            }
        }
        (direct, count)
    })
}

#[derive(Debug, Default)]
pub(crate) struct MemoryStore(Mutex<BTreeMap<String, Bytes>>);

impl MemoryStore {
    pub(crate) fn objects(&self) -> usize {
        self.0.lock().unwrap().len()
    }
}

#[async_trait]
impl Store for MemoryStore {
    async fn put(&self, key: &str, bytes: Bytes) -> Result<(), StoreError> {
        assert!(
            self.0.lock().unwrap().insert(key.into(), bytes).is_none(),
            "{key} is written twice"
        );
        Ok(())
    }

    async fn get(&self, key: &str) -> Result<Bytes, StoreError> {
        Ok(self.0.lock().unwrap()[key].clone())
    }

    async fn get_ranges(&self, key: &str, ranges: &[Range<u64>]) -> Result<Vec<Bytes>, StoreError> {
        let object = self.get(key).await?;
        Ok(ranges
            .iter()
            .map(|range| object.slice(range.start as usize..range.end as usize))
            .collect())
    }

    async fn delete(&self, key: &str) -> Result<(), StoreError> {
        self.0.lock().unwrap().remove(key);
        Ok(())
    }

    async fn delete_prefix(&self, prefix: &str) -> Result<(), StoreError> {
        self.0
            .lock()
            .unwrap()
            .retain(|key, _| !key.starts_with(&format!("{prefix}/")));
        Ok(())
    }

    fn is_shared(&self) -> bool {
        false
    }

    fn url(&self) -> String {
        "memory:".into()
    }
}
