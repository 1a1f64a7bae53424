//! A panic in a task is an outcome with a message and a place, not a dead thread and a line on stderr.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::pin::pin;
use std::sync::Once;
use std::task::Poll;

thread_local! {
    /// Whether this thread is polling a task just now.
    static IN_TASK: Cell<bool> = const { Cell::new(false) };
    /// Where the last panic of a task on this thread happened.
    static PLACE: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Runs a future; a panic inside it becomes an `Err` that says what and where.
pub(super) async fn caught<F: Future>(future: F) -> Result<F::Output, String> {
    install();
    let mut future = pin!(future);
    poll_fn(move |waker| {
        let outer = IN_TASK.replace(true);
        // The future is never polled again after a panic, so nobody sees what it left half done.
        let polled = catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(waker)));
        IN_TASK.set(outer);
        match polled {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(output)) => Poll::Ready(Ok(output)),
            Err(panic) => Poll::Ready(Err(describe(panic.as_ref()))),
        }
    })
    .await
}

fn describe(panic: &(dyn Any + Send)) -> String {
    let message = panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_string())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "something that is not text".to_string());
    match PLACE.take() {
        Some(place) => format!("panicked at {place}: {message}"),
        None => format!("panicked: {message}"),
    }
}

/// Notes the place of panics inside tasks; all others go to the hook that was there before.
fn install() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        let previous = take_hook();
        set_hook(Box::new(move |panic| {
            if IN_TASK.get() {
                PLACE.set(panic.location().map(ToString::to_string));
            } else {
                previous(panic);
            }
        }));
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_reported_with_message_and_place() {
        let end = caught(async {
            tokio::task::yield_now().await;
            panic!("no {}", "luck");
        })
        .await;
        let message: String = end.map(|()| String::new()).unwrap_err();
        assert!(
            message.contains("no luck") && message.contains("panics.rs:"),
            "{message}"
        );
    }
}
