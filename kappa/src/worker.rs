//! One invocation, from its start to its end.
//!
//! Guarantees that a task's code runs at most up to the point where the coordinator says stop: after [`Reply::Suspend`](crate::protocol::Reply::Suspend)
//! and [`Reply::Fenced`](crate::protocol::Reply::Fenced) the task's future is dropped and nothing of it runs any more. And that a task fails neither because its
//! store was away, full or damaged, nor because this is not its program: then the worker leaves, and says why.

mod panics;
mod patience;

use crate::context::{Context, Stop, Watch, whole};
use crate::continuation::Continuation;
use crate::coordinator::driver::clock::{Clock, SystemClock};
use crate::error::Failed;
use crate::link::Link;
use crate::protocol::{Invocation, InvocationOutcome, Payload, Start};
use crate::store::Store;
use crate::task;
use bytes::Bytes;
use patience::Patient;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::oneshot;

/// How an invocation ended, as the worker saw it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum WorkerEnd {
    /// The task has exited, was suspended or was fenced; the coordinator knows.
    Returned,
    /// Its time is up: it left after a call that is committed, with whose answer the next invocation goes on.
    OutOfTime,
    /// The program broke: the panic's message and place, or what of the system failed.
    Panicked(String),
    /// The store could not be reached, for longer than a worker waits: its last error.
    StoreAway(String),
    /// This program cannot go on with the task: what does not fit.
    WrongProgram(String),
    /// Neither this program nor another can go on before somebody has done something about the store, or another place: what.
    NeedsRepair(String),
}

impl From<WorkerEnd> for InvocationOutcome {
    fn from(end: WorkerEnd) -> Self {
        match end {
            WorkerEnd::Returned => InvocationOutcome::Returned,
            WorkerEnd::OutOfTime => InvocationOutcome::TimedOut,
            WorkerEnd::Panicked(message) => InvocationOutcome::Crashed(message),
            WorkerEnd::StoreAway(cause) => InvocationOutcome::StoreAway(cause),
            WorkerEnd::WrongProgram(cause) => InvocationOutcome::WrongProgram(cause),
            WorkerEnd::NeedsRepair(cause) => InvocationOutcome::NeedsRepair(cause),
        }
    }
}

/// Runs an invocation to its end, making the task's calls through `link`.
pub async fn run_invocation(invocation: Invocation, link: Arc<dyn Link>, store: Arc<dyn Store>) -> WorkerEnd {
    run_invocation_until(invocation, link, store, None).await
}

/// The same; from the given moment on it leaves as soon as a call of it is committed, so that its time limit finds nothing to destroy. A task that
/// makes no call, not even [`Context::checkpoint_if_due`], is not kept from running on.
pub(crate) async fn run_invocation_until(
    invocation: Invocation,
    link: Arc<dyn Link>,
    store: Arc<dyn Store>,
    leave_at: Option<Instant>,
) -> WorkerEnd {
    let (store, given_up) = Patient::new(store, &invocation, Arc::new(SystemClock::start()));
    unless_given_up(run_to_end(&invocation, link, store, Watch::start(), leave_at), given_up).await
}

/// The same by another clock than the system's.
pub async fn run_invocation_by(
    clock: Arc<dyn Clock>,
    invocation: Invocation,
    link: Arc<dyn Link>,
    store: Arc<dyn Store>,
) -> WorkerEnd {
    let (store, given_up) = Patient::new(store, &invocation, clock.clone());
    unless_given_up(run_to_end(&invocation, link, store, Watch::by(clock), None), given_up).await
}

/// Runs it to its end, or until its store says that nothing more can be done.
async fn unless_given_up(
    running: impl Future<Output = WorkerEnd>,
    given_up: oneshot::Receiver<WorkerEnd>,
) -> WorkerEnd {
    tokio::select! {
        biased;
        end = running => end,
        Ok(end) = given_up => end,
    }
}

async fn run_to_end(
    invocation: &Invocation,
    link: Arc<dyn Link>,
    store: Arc<dyn Store>,
    watch: Watch,
    leave_at: Option<Instant>,
) -> WorkerEnd {
    let (mut cx, stopped) = Context::new(invocation, link, store.clone(), watch, leave_at);
    let end = run(invocation, &mut cx, stopped, &store).await;
    let result = match end {
        Ok(value) => Ok(value),
        Err(Stop::Fail(failure)) => Err(failure),
        Err(Stop::Leave) => {
            cx.settle().await;
            return WorkerEnd::Returned;
        }
        Err(Stop::OutOfTime) => {
            cx.settle().await;
            return WorkerEnd::OutOfTime;
        }
        Err(Stop::Break(reason)) => return WorkerEnd::Panicked(reason),
        Err(Stop::WrongProgram(cause)) => return WorkerEnd::WrongProgram(cause),
        Err(Stop::NeedsRepair(cause)) => return WorkerEnd::NeedsRepair(cause),
    };
    match exit(invocation, &mut cx, result).await {
        Ok(()) => WorkerEnd::Returned,
        Err(Stop::NeedsRepair(cause)) => WorkerEnd::NeedsRepair(cause),
        Err(Stop::Break(reason)) => WorkerEnd::Panicked(reason),
        // Whatever else stops it: the coordinator knows.
        Err(_) => WorkerEnd::Returned,
    }
}

/// Sends the task's end. Fails if its value is too long for a message and cannot be stored.
async fn exit(invocation: &Invocation, cx: &mut Context, result: Result<Vec<u8>, Failed>) -> Result<(), Stop> {
    let stopped = cx.rearm();
    tokio::select! {
        biased;
        () = async {
            cx.exit(result, &invocation.function).await;
            cx.settle().await;
        } => Ok(()),
        stop = stopped => Err(stop.unwrap_or(Stop::Leave)),
    }
}

/// Runs the task until it ends or has to stop.
async fn run(
    invocation: &Invocation,
    cx: &mut Context,
    stopped: oneshot::Receiver<Stop>,
    store: &Arc<dyn Store>,
) -> Result<Vec<u8>, Stop> {
    let found = task::find(&invocation.function).map_err(|two| Stop::WrongProgram(two.to_string()))?;
    let Some(function) = found else {
        let cause = format!(
            "it has no task function {}; the task was begun by another program, or by another version of this one",
            invocation.function
        );
        return Err(Stop::WrongProgram(cause));
    };
    let arguments;
    let running = match &invocation.start {
        Start::Begin(payload) => {
            arguments = read(payload, store).await?;
            function.begin(cx, &arguments)
        }
        Start::Resume { continuation, answer } => {
            let bytes = read(continuation, store).await?;
            let continuation = Continuation::decode(&bytes)
                .map_err(|cause| Stop::WrongProgram(format!("{}: {cause}", invocation.function)))?;
            let answer = whole(answer.clone(), &**store).await;
            cx.rebuild(
                continuation,
                answer.map_err(|(key, cause)| Stop::of_reading(&key, &cause))?,
            );
            function.resume(cx)
        }
    };
    tokio::select! {
        biased;
        end = panics::caught(running) => match end {
            Ok(result) => result,
            Err(panic) => Err(Stop::Break(panic)),
        },
        stop = stopped => Err(stop.unwrap_or(Stop::Leave)),
    }
}

async fn read(payload: &Payload, store: &Arc<dyn Store>) -> Result<Bytes, Stop> {
    match payload {
        Payload::Inline(bytes) => Ok(bytes.clone()),
        Payload::Stored { key, .. } => store.get(key).await.map_err(|cause| Stop::of_reading(key, &cause)),
    }
}
