//! Every function in `twins! { .. }` exists twice, with the same text: as a task, and as plain `async` Rust in which an operation is an ordinary
//! future. Rust itself says what a task must give.

use kappa::ids::TaskId;
use kappa::{Failure, TaskError};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::{Future, Ready, ready};
use std::pin::Pin;
use std::rc::Rc;

/// The context of the plain twin.
pub(crate) struct Plain;

pub(crate) type Later<T> = Pin<Box<dyn Future<Output = T>>>;

/// The handle of a task that has run already.
#[derive(Clone)]
pub(crate) struct Done<T>(T);

/// A queue within one thread.
#[derive(Clone)]
pub(crate) struct PlainQueue<T>(Rc<RefCell<VecDeque<T>>>);

impl Plain {
    pub(crate) fn checkpoint(&self) -> Ready<()> {
        ready(())
    }

    pub(crate) fn checkpoint_if_due(&self) -> Ready<()> {
        ready(())
    }

    pub(crate) fn call<T>(&self, call: Later<T>) -> Later<T> {
        call
    }

    pub(crate) async fn spawn<R: PlainEnd>(&self, call: Later<R>) -> Done<Result<R::Value, TaskError>> {
        Done(call.await.plain_end().map_err(failed))
    }

    pub(crate) async fn spawn_all<R: PlainEnd>(
        &self,
        calls: impl IntoIterator<Item = Later<R>>,
    ) -> Vec<Done<Result<R::Value, TaskError>>> {
        let mut tasks = Vec::new();
        for call in calls {
            tasks.push(self.spawn(call).await);
        }
        tasks
    }

    pub(crate) fn wait<T: Clone>(&self, task: &Done<Result<T, TaskError>>) -> Ready<Result<T, TaskError>> {
        ready(task.0.clone())
    }

    pub(crate) fn wait_all<T: Clone>(&self, tasks: &[Done<Result<T, TaskError>>]) -> Ready<Result<Vec<T>, TaskError>> {
        ready(tasks.iter().map(|task| task.0.clone()).collect())
    }

    pub(crate) fn wait_any<T: Clone>(
        &self,
        tasks: &[Done<Result<T, TaskError>>],
    ) -> Ready<(usize, Result<T, TaskError>)> {
        ready((0, tasks[0].0.clone()))
    }

    pub(crate) fn queue<T>(&self, _capacity: usize) -> Ready<PlainQueue<T>> {
        ready(PlainQueue(Rc::default()))
    }

    pub(crate) fn enqueue<T>(&self, queue: &PlainQueue<T>, item: T) -> Ready<()> {
        queue.0.borrow_mut().push_back(item);
        ready(())
    }

    pub(crate) fn enqueue_all<T>(&self, queue: &PlainQueue<T>, items: impl IntoIterator<Item = T>) -> Ready<()> {
        queue.0.borrow_mut().extend(items);
        ready(())
    }

    pub(crate) fn dequeue<T>(&self, queue: &PlainQueue<T>) -> Ready<Option<T>> {
        ready(queue.0.borrow_mut().pop_front())
    }

    pub(crate) fn close<T>(&self, _queue: &PlainQueue<T>) -> Ready<()> {
        ready(())
    }

    pub(crate) fn cancel<T>(&self, _task: &Done<Result<T, TaskError>>) -> Ready<()> {
        ready(())
    }

    pub(crate) fn sleep(&self, _duration: std::time::Duration) -> Ready<()> {
        ready(())
    }

    pub(crate) fn put_object(&self, _url: impl Into<String>, _content: impl Into<bytes::Bytes>) -> Ready<()> {
        ready(())
    }

    pub(crate) fn shared<T>(&self, make: impl FnOnce() -> T) -> Box<T> {
        Box::new(make())
    }
}

fn failed(message: String) -> TaskError {
    TaskError::new(TaskId(0), String::new(), Failure::Returned(message))
}

/// How a twin's result compares with the end of a task.
pub(crate) trait PlainEnd {
    type Value;
    fn plain_end(self) -> Result<Self::Value, String>;
}

impl<T> PlainEnd for kappa::Result<T> {
    type Value = T;

    fn plain_end(self) -> Result<T, String> {
        self.map_err(|error| format!("{error:#}"))
    }
}

macro_rules! values {
    ($($value:ty)*) => {$(
        impl PlainEnd for $value {
            type Value = $value;

            fn plain_end(self) -> Result<$value, String> {
                Ok(self)
            }
        }
    )*};
}

values! { () bool i64 u64 u8 String Vec<i64> Vec<u64> Vec<String> Vec<u8> Option<i64> (i64, i64) (String, i64) (Vec<String>, i64) (Vec<i64>, i64) (i64, i64, i64) }

macro_rules! twins {
    ($($(#[$attribute:meta])* async fn $name:ident($cx:ident $(, $argument:ident : $ty:ty)*) -> $output:ty { $($body:tt)* })*) => {
        #[allow(unknown_lints, for_loops_over_fallibles, irrefutable_let_patterns)]
        mod tasks {
            #[allow(unused_imports)]
            use super::*;
            $(
                $(#[$attribute])*
                #[kappa::task]
                pub(crate) async fn $name($cx: &mut kappa::Context $(, $argument: $ty)*) -> $output { $($body)* }
            )*
        }

        #[allow(unused, clippy::all, clippy::pedantic, for_loops_over_fallibles, irrefutable_let_patterns)]
        mod plain {
            #[allow(unused_imports)]
            use super::*;
            $(
                pub(crate) fn $name($($argument: $ty),*) -> crate::twin::Later<$output> {
                    Box::pin(async move {
                        let $cx = &mut crate::twin::Plain;
                        $(#[allow(unused_mut)] let mut $argument = $argument;)*
                        $($body)*
                    })
                }
            )*
        }
    };
}
pub(crate) use twins;

/// Runs both twins, the task also from every checkpoint; the number of checkpoints is at least the one given.
macro_rules! same {
    ($name:ident($($argument:expr),*), $least:expr) => {{
        let (end, checkpoints) = crate::harness::everywhere(tasks::$name($($argument),*));
        let plain = crate::twin::PlainEnd::plain_end(futures::executor::block_on(plain::$name($($argument),*)));
        let plain = plain.map_err(|message| format!("failed: {message}"));
        assert_eq!(end, plain, "{}", stringify!($name));
        assert!(checkpoints + 1 > $least, "{}: only {checkpoints} checkpoints", stringify!($name));
    }};
}
pub(crate) use same;
