//! The operations, one by one.

use super::deep::DEEPEST;
use super::operation::{Performing, Request};
use super::{Context, Kind, Operation, Shared};
use crate::continuation::{Entry, Frame, Writer, read_all, save_and_read_back};
use crate::error::{Failure, TaskError};
use crate::ids::{QueueId, TaskId};
use crate::protocol::{Answer, Call, Payload, TaskOptions, TaskResult, TaskSpec};
use crate::task::{Queue, Sendable, Task, TaskCall, TaskFunction};
use bytes::Bytes;
use serde::de::DeserializeOwned;
use std::marker::PhantomData;
use std::time::Duration;

impl Context {
    /// Stores the continuation.
    pub fn checkpoint(&self) -> Operation<Checkpoint> {
        Operation(Checkpoint)
    }

    /// Stores the continuation if the last checkpoint is long ago for the time limit; otherwise costs nanoseconds.
    pub fn checkpoint_if_due(&self) -> Operation<Checkpoint> {
        Operation(Checkpoint)
    }

    /// Whether [`Context::checkpoint_if_due`] would store the continuation now.
    #[inline]
    pub fn is_checkpoint_due(&self) -> bool {
        self.due.is_due()
    }

    /// Runs another task function on this stack, as a frame; gives what its body returns.
    pub fn call<F: TaskFunction>(&self, call: TaskCall<F>) -> Operation<InnerCall<F>> {
        Operation(InnerCall(call))
    }

    /// Creates a parallel task. How it is run can be said by further methods: `cx.spawn(f(..)).after(&[&a]).named("second").await`.
    pub fn spawn<F: TaskFunction>(&self, call: TaskCall<F>) -> Operation<Spawn<F>> {
        Operation(Spawn(call, TaskOptions::default()))
    }

    /// Creates many parallel tasks at once, all or none, in this order.
    pub fn spawn_all<F: TaskFunction>(&self, calls: impl IntoIterator<Item = TaskCall<F>>) -> Operation<SpawnAll<F>> {
        Operation(SpawnAll(calls.into_iter().collect(), TaskOptions::default()))
    }

    /// Waits until the task has ended, and gives its value or why there is none.
    pub fn wait<R: DeserializeOwned + Send + 'static>(&self, task: &Task<R>) -> Operation<Wait<R>> {
        Operation(Wait(task.id(), PhantomData))
    }

    /// Waits until all have ended; gives their values in the order asked, or the first failure in that order.
    pub fn wait_all<R: DeserializeOwned + Send + 'static>(&self, tasks: &[Task<R>]) -> Operation<WaitAll<R>> {
        Operation(WaitAll(tasks.iter().map(Task::id).collect(), PhantomData))
    }

    /// Waits until one has ended; gives its index and its value, or why there is none.
    pub fn wait_any<R: DeserializeOwned + Send + 'static>(&self, tasks: &[Task<R>]) -> Operation<WaitAny<R>> {
        Operation(WaitAny(tasks.iter().map(Task::id).collect(), PhantomData))
    }

    /// Creates a queue that holds at most `capacity` items (at least 1).
    pub fn queue<T: 'static>(&self, capacity: usize) -> Operation<NewQueue<T>> {
        Operation(NewQueue(capacity as u64, PhantomData))
    }

    /// Appends an item, waiting while the queue is full. The task fails if the queue is closed.
    pub fn enqueue<T: Sendable>(&self, queue: &Queue<T>, item: T) -> Operation<Enqueue> {
        Operation(Enqueue(queue.id(), encode_items(std::iter::once(item))))
    }

    /// Appends items in order, waiting while the queue is full. The task fails if the queue is closed.
    pub fn enqueue_all<T: Sendable>(&self, queue: &Queue<T>, items: impl IntoIterator<Item = T>) -> Operation<Enqueue> {
        Operation(Enqueue(queue.id(), encode_items(items.into_iter())))
    }

    /// Takes the first item, waiting while there is none; `None` once the queue is closed and drained.
    pub fn dequeue<T: DeserializeOwned + Send + 'static>(&self, queue: &Queue<T>) -> Operation<Dequeue<T>> {
        Operation(Dequeue(queue.id(), PhantomData))
    }

    /// Says that no further items come. Closing twice is fine.
    pub fn close<T>(&self, queue: &Queue<T>) -> Operation<Close> {
        Operation(Close(queue.id()))
    }

    /// Ends a task and everything that it spawned, and what that spawned, and so on. They fail with
    /// [`Failure::Cancelled`]; those that have ended stay as they are. A task cannot cancel itself or what it descends from: it
    /// returns an error instead.
    pub fn cancel(&self, task: impl Into<TaskId>) -> Operation<Cancel> {
        Operation(Cancel(task.into()))
    }

    /// Goes on after so long. No lambda runs meanwhile, and the time also passes while the coordinator is gone.
    pub fn sleep(&self, duration: Duration) -> Operation<Sleep> {
        Operation(Sleep(duration))
    }

    /// Writes an object to an external place, exactly once. It appears whole or not at all, in the place of any that was there:
    ///
    /// * `file:PATH` is a file on the coordinator's machine, with the folders that lead to it. If the coordinator is killed after it has written the file
    ///   and before it has recorded that, it writes the same content once more.
    /// * `s3://BUCKET/KEY` is an object in S3. It carries a mark of this call (`kappa-put`), by which a coordinator that was killed knows that it is there.
    ///   Nothing that a killed one has sent appears later, and no part of an upload stays. `?endpoint=URL` names another S3 than that of AWS.
    ///
    /// The task fails if it cannot be written.
    pub fn put_object(&self, url: impl Into<String>, content: impl Into<Bytes>) -> Operation<PutObject> {
        Operation(PutObject(url.into(), content.into()))
    }

    /// Makes a value that is not stored: `let plan = cx.shared(|| parse(&text));`. After a resume the closure runs again; the variables it
    /// uses are kept for that. Not a suspension point.
    pub fn shared<T>(&self, make: impl FnOnce() -> T) -> Shared<T> {
        Shared(make())
    }

    async fn decode<T: DeserializeOwned + 'static>(&mut self, payload: Payload) -> Result<T, Failure> {
        let bytes = self.content(payload).await;
        read_all(&bytes).map_err(|cause| {
            Failure::Unusable(format!(
                "a message cannot be read as a {}: {cause}",
                std::any::type_name::<T>()
            ))
        })
    }

    async fn decode_result<T: DeserializeOwned + 'static>(
        &mut self,
        result: TaskResult,
    ) -> Result<Result<T, TaskError>, Failure> {
        match result {
            Ok(payload) => self.decode(payload).await.map(Ok),
            Err(error) => Ok(Err(error)),
        }
    }
}

fn encode_items<T: Sendable>(items: impl Iterator<Item = T>) -> Result<Vec<Vec<u8>>, Failure> {
    items
        .map(|item| {
            let mut writer = Writer::default();
            save_and_read_back(&item, &mut writer)
                .map_err(|cause| Failure::Unusable(format!("an item for a queue: {cause}")))?;
            Ok(writer.bytes)
        })
        .collect()
}

async fn spec<F: TaskFunction>(call: TaskCall<F>, options: TaskOptions, cx: &mut Context) -> Result<TaskSpec, Failure> {
    let (function, arguments) = call.into_spec_bytes().map_err(Failure::Unusable)?;
    Ok(TaskSpec {
        function: function.to_string(),
        arguments: cx.payload("arguments", arguments).await,
        options,
    })
}

/// Gives an operation that is one call to the coordinator its [`Kind`].
macro_rules! kind {
    ($name:ty $(, $parameter:ident: $($bound:tt)+)?) => {
        impl$(<$parameter: $($bound)+>)? Kind for $name {
            type Output = <Self as Request>::Output;

            fn perform<'a>(
                operation: Option<Self>,
                cx: &'a mut Context,
                frame: &'a Frame<'a>,
            ) -> Performing<'a, Self::Output> {
                Box::pin(Self::exchange(operation, cx, frame))
            }
        }
    };
}

/// [`Context::checkpoint`].
pub struct Checkpoint;
kind!(Checkpoint);
impl Request for Checkpoint {
    type Output = ();

    async fn call(self, _: &mut Context) -> Result<Call, Failure> {
        Ok(Call::Checkpoint)
    }

    async fn result(answer: Answer, _: &mut Context) -> Result<Option<()>, Failure> {
        Ok(matches!(answer, Answer::Done).then_some(()))
    }
}

/// [`Context::call`].
pub struct InnerCall<F: TaskFunction>(TaskCall<F>);
impl<F: TaskFunction> Kind for InnerCall<F> {
    type Output = F::Output;

    fn perform<'a>(operation: Option<Self>, cx: &'a mut Context, frame: &'a Frame<'a>) -> Performing<'a, F::Output> {
        let depth = cx.depth.clone();
        if !depth.is_left() {
            let too_deep = format!(
                "{} functions are inside of one another by `cx.call`, and {DEEPEST} is the limit; if the recursion has an end, write it as a loop over a \
                 list of what is left to do",
                DEEPEST + 1
            );
            return Box::pin(cx.fail(Failure::Refused(too_deep)));
        }
        if let Some(InnerCall(call)) = operation {
            return depth.enter(F::run(cx, Some(frame), Entry::Begin(call.arguments)));
        }
        depth.enter(Box::pin(async move {
            let checked = match cx.next_frame() {
                Some(saved) => crate::task::check::<F>(saved),
                None => Err(format!("the checkpoint ends where this program calls {}", F::NAME)),
            };
            if let Err(cause) = checked {
                return cx.wrong_program(cause).await;
            }
            F::run(cx, Some(frame), Entry::Resume).await
        }))
    }
}

/// [`Context::spawn`].
pub struct Spawn<F: TaskFunction>(TaskCall<F>, pub(super) TaskOptions);
kind!(Spawn<F>, F: TaskFunction);
impl<F: TaskFunction> Request for Spawn<F> {
    type Output = Task<F::Value>;

    async fn call(self, cx: &mut Context) -> Result<Call, Failure> {
        Ok(Call::Spawn(vec![spec(self.0, self.1, cx).await?]))
    }

    async fn result(answer: Answer, _: &mut Context) -> Result<Option<Task<F::Value>>, Failure> {
        match answer {
            Answer::Spawned(ids) if ids.len() == 1 => Ok(Some(Task::new(ids[0]))),
            _ => Ok(None),
        }
    }
}

/// [`Context::spawn_all`].
pub struct SpawnAll<F: TaskFunction>(Vec<TaskCall<F>>, pub(super) TaskOptions);
kind!(SpawnAll<F>, F: TaskFunction);
impl<F: TaskFunction> Request for SpawnAll<F> {
    type Output = Vec<Task<F::Value>>;

    async fn call(self, cx: &mut Context) -> Result<Call, Failure> {
        let calls = self.0.into_iter().map(TaskCall::into_spec_bytes);
        let (functions, arguments): (Vec<_>, Vec<_>) = calls
            .collect::<Result<Vec<_>, _>>()
            .map_err(Failure::Unusable)?
            .into_iter()
            .unzip();
        let arguments = cx.payloads("arguments", arguments).await;
        let specs = functions
            .into_iter()
            .zip(arguments)
            .map(|(function, arguments)| TaskSpec {
                function: function.to_string(),
                arguments,
                options: self.1.clone(),
            });
        Ok(Call::Spawn(specs.collect()))
    }

    async fn result(answer: Answer, _: &mut Context) -> Result<Option<Vec<Task<F::Value>>>, Failure> {
        match answer {
            Answer::Spawned(ids) => Ok(Some(ids.into_iter().map(Task::new).collect())),
            _ => Ok(None),
        }
    }
}

/// [`Context::wait`].
pub struct Wait<R>(TaskId, PhantomData<fn() -> R>);
kind!(Wait<R>, R: DeserializeOwned + Send + 'static);
impl<R: DeserializeOwned + Send + 'static> Request for Wait<R> {
    type Output = Result<R, TaskError>;

    async fn call(self, _: &mut Context) -> Result<Call, Failure> {
        Ok(Call::WaitAll(vec![self.0]))
    }

    async fn result(answer: Answer, cx: &mut Context) -> Result<Option<Result<R, TaskError>>, Failure> {
        match answer {
            Answer::Results(mut results) if results.len() == 1 => match results.pop() {
                Some(result) => cx.decode_result(result).await.map(Some),
                None => Ok(None),
            },
            _ => Ok(None),
        }
    }
}

/// [`Context::wait_all`].
pub struct WaitAll<R>(Vec<TaskId>, PhantomData<fn() -> R>);
kind!(WaitAll<R>, R: DeserializeOwned + Send + 'static);
impl<R: DeserializeOwned + Send + 'static> Request for WaitAll<R> {
    type Output = Result<Vec<R>, TaskError>;

    async fn call(self, _: &mut Context) -> Result<Call, Failure> {
        Ok(Call::WaitAll(self.0))
    }

    async fn result(answer: Answer, cx: &mut Context) -> Result<Option<Result<Vec<R>, TaskError>>, Failure> {
        let Answer::Results(results) = answer else {
            return Ok(None);
        };
        let mut values = Vec::with_capacity(results.len());
        for result in results {
            match cx.decode_result(result).await? {
                Ok(value) => values.push(value),
                Err(error) => return Ok(Some(Err(error))),
            }
        }
        Ok(Some(Ok(values)))
    }
}

/// [`Context::wait_any`].
pub struct WaitAny<R>(Vec<TaskId>, PhantomData<fn() -> R>);
kind!(WaitAny<R>, R: DeserializeOwned + Send + 'static);
impl<R: DeserializeOwned + Send + 'static> Request for WaitAny<R> {
    type Output = (usize, Result<R, TaskError>);

    async fn call(self, _: &mut Context) -> Result<Call, Failure> {
        Ok(Call::WaitAny(self.0))
    }

    async fn result(answer: Answer, cx: &mut Context) -> Result<Option<Self::Output>, Failure> {
        let Answer::First(index, result) = answer else {
            return Ok(None);
        };
        Ok(Some((index as usize, cx.decode_result(result).await?)))
    }
}

/// [`Context::queue`].
pub struct NewQueue<T>(u64, PhantomData<fn() -> T>);
kind!(NewQueue<T>, T: 'static);
impl<T: 'static> Request for NewQueue<T> {
    type Output = Queue<T>;

    async fn call(self, _: &mut Context) -> Result<Call, Failure> {
        Ok(Call::CreateQueue(self.0))
    }

    async fn result(answer: Answer, _: &mut Context) -> Result<Option<Queue<T>>, Failure> {
        match answer {
            Answer::Queue(id) => Ok(Some(Queue::new(id))),
            _ => Ok(None),
        }
    }
}

/// [`Context::enqueue`] and [`Context::enqueue_all`].
pub struct Enqueue(QueueId, Result<Vec<Vec<u8>>, Failure>);
kind!(Enqueue);
impl Request for Enqueue {
    type Output = ();

    async fn call(self, cx: &mut Context) -> Result<Call, Failure> {
        Ok(Call::Enqueue(self.0, cx.payloads("items", self.1?).await))
    }

    async fn result(answer: Answer, _: &mut Context) -> Result<Option<()>, Failure> {
        Ok(matches!(answer, Answer::Done).then_some(()))
    }
}

/// [`Context::dequeue`].
pub struct Dequeue<T>(QueueId, PhantomData<fn() -> T>);
kind!(Dequeue<T>, T: DeserializeOwned + Send + 'static);
impl<T: DeserializeOwned + Send + 'static> Request for Dequeue<T> {
    type Output = Option<T>;

    async fn call(self, _: &mut Context) -> Result<Call, Failure> {
        Ok(Call::Dequeue(self.0))
    }

    async fn result(answer: Answer, cx: &mut Context) -> Result<Option<Option<T>>, Failure> {
        match answer {
            Answer::Item(Some(payload)) => cx.decode(payload).await.map(|item| Some(Some(item))),
            Answer::Item(None) => Ok(Some(None)),
            _ => Ok(None),
        }
    }
}

/// [`Context::close`].
pub struct Close(pub(super) QueueId);
kind!(Close);
impl Request for Close {
    type Output = ();

    async fn call(self, _: &mut Context) -> Result<Call, Failure> {
        Ok(Call::Close(self.0))
    }

    async fn result(answer: Answer, _: &mut Context) -> Result<Option<()>, Failure> {
        Ok(matches!(answer, Answer::Done).then_some(()))
    }
}

/// [`Context::cancel`].
pub struct Cancel(pub(super) TaskId);
kind!(Cancel);
impl Request for Cancel {
    type Output = ();

    async fn call(self, _: &mut Context) -> Result<Call, Failure> {
        Ok(Call::Cancel(self.0))
    }

    async fn result(answer: Answer, _: &mut Context) -> Result<Option<()>, Failure> {
        Ok(matches!(answer, Answer::Done).then_some(()))
    }
}

/// [`Context::sleep`].
pub struct Sleep(Duration);
kind!(Sleep);
impl Request for Sleep {
    type Output = ();

    async fn call(self, _: &mut Context) -> Result<Call, Failure> {
        Ok(Call::Sleep(self.0))
    }

    async fn result(answer: Answer, _: &mut Context) -> Result<Option<()>, Failure> {
        Ok(matches!(answer, Answer::Done).then_some(()))
    }
}

/// [`Context::put_object`].
pub struct PutObject(String, Bytes);
kind!(PutObject);
impl Request for PutObject {
    type Output = ();

    async fn call(self, cx: &mut Context) -> Result<Call, Failure> {
        let PutObject(url, content) = self;
        let url = absolute(url)?;
        // Until it is at its place, this is the temporary object.
        let content = cx.payload("objects", content).await;
        Ok(Call::PutObject { url, content })
    }

    async fn result(answer: Answer, _: &mut Context) -> Result<Option<()>, Failure> {
        Ok(matches!(answer, Answer::Done).then_some(()))
    }
}

/// The URL of a file whose path does not depend on where a process was started.
fn absolute(url: String) -> Result<String, Failure> {
    let Some(path) = url.strip_prefix("file:") else {
        return Ok(url); // Whether there is such a place is for the coordinator to say.
    };
    let unusable = |cause: String| Failure::Unusable(format!("cannot put an object to `{url}`: {cause}"));
    let absolute = std::path::absolute(path).map_err(|cause| unusable(cause.to_string()))?;
    match absolute.to_str() {
        Some(absolute) => Ok(format!("file:{absolute}")),
        None => Err(unusable("the path of the working directory is not text".to_string())),
    }
}
