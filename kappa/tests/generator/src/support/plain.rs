//! The context of plain twins: an operation is an ordinary future.

use super::log::take_history;
use kappa::ids::TaskId;
use kappa::{Failure, TaskError};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::{Future, Ready, ready};
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

pub struct Plain;

pub type Later<T> = Pin<Box<dyn Future<Output = T>>>;

#[derive(Clone)]
pub struct PlainQueue<T>(Rc<RefCell<VecDeque<T>>>);

/// The handle of a task that has run already.
#[derive(Clone)]
pub struct PlainTask<T>(Result<T, TaskError>);

#[must_use]
pub struct PlainCheckpoint;

impl PlainCheckpoint {
    pub fn in_background(self) -> Self {
        self
    }
}

impl std::future::IntoFuture for PlainCheckpoint {
    type Output = ();
    type IntoFuture = Ready<()>;

    fn into_future(self) -> Ready<()> {
        ready(())
    }
}

impl Plain {
    pub fn checkpoint(&self) -> PlainCheckpoint {
        PlainCheckpoint
    }

    pub fn checkpoint_if_due(&self) -> Ready<()> {
        ready(())
    }

    pub fn call<T>(&self, call: Later<T>) -> Later<T> {
        call
    }

    pub async fn spawn<T>(&self, call: Later<T>) -> PlainTask<T> {
        PlainTask(Ok(call.await))
    }

    pub async fn spawn_result<T>(&self, call: Later<kappa::Result<T>>) -> PlainTask<T> {
        let failed = |error| TaskError::new(TaskId(0), String::new(), Failure::Returned(format!("{error:#}")));
        PlainTask(call.await.map_err(failed))
    }

    pub fn wait<T: Clone>(&self, task: &PlainTask<T>) -> Ready<Result<T, TaskError>> {
        ready(task.0.clone())
    }

    pub fn wait_all<T: Clone>(&self, tasks: &[PlainTask<T>]) -> Ready<Result<Vec<T>, TaskError>> {
        ready(tasks.iter().map(|task| task.0.clone()).collect())
    }

    pub fn queue<T>(&self, _capacity: usize) -> Ready<PlainQueue<T>> {
        ready(PlainQueue(Rc::default()))
    }

    pub fn enqueue<T>(&self, queue: &PlainQueue<T>, item: T) -> Ready<()> {
        queue.0.borrow_mut().push_back(item);
        ready(())
    }

    pub fn enqueue_all<T>(&self, queue: &PlainQueue<T>, items: impl IntoIterator<Item = T>) -> Ready<()> {
        queue.0.borrow_mut().extend(items);
        ready(())
    }

    pub fn dequeue<T>(&self, queue: &PlainQueue<T>) -> Ready<Option<T>> {
        ready(queue.0.borrow_mut().pop_front())
    }

    pub fn close<T>(&self, _queue: &PlainQueue<T>) -> Ready<()> {
        ready(())
    }

    pub fn sleep(&self, _duration: Duration) -> Ready<()> {
        ready(())
    }

    pub fn shared<T>(&self, make: impl FnOnce() -> T) -> Box<T> {
        Box::new(make())
    }

    pub fn task_id(&self) -> TaskId {
        TaskId::ROOT
    }

    pub fn incarnation(&self) -> u64 {
        0
    }
}

/// Runs a plain twin to its end, in a new "process".
pub fn run<T>(future: Later<T>) -> T {
    take_history();
    futures::executor::block_on(future)
}
