//! Functions inside of functions, as deep as memory allows.
//!
//! Guarantees that recursion through `cx.call` never overflows the stack, neither while it goes down or on nor while it is given up: each inner
//! function is polled, and dropped, on a stack that has [`RED_ZONE`] bytes left, or on a new one. And that recursion without an end is the failure of
//! its own task: at [`DEEPEST`] functions it is over, long before the memory that everybody shares is.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

/// What each function finds at least below it, in bytes: half of an ordinary thread's stack.
const RED_ZONE: usize = 1 << 20;

/// How large a new piece of stack is, in bytes. Only what is touched takes room.
const PIECE: usize = 16 << 20;

/// So many functions may be inside of one another.
pub(super) const DEEPEST: usize = 250_000;

/// How deep a task is just now.
#[derive(Clone, Debug, Default)]
pub(super) struct Depth(Arc<AtomicUsize>);

impl Depth {
    /// Whether another function can be called.
    pub(super) fn is_left(&self) -> bool {
        self.0.load(Ordering::Relaxed) < DEEPEST
    }

    /// One deeper, until the future is dropped.
    pub(super) fn enter<'a, T: 'a>(
        &self,
        inner: Pin<Box<dyn Future<Output = T> + Send + 'a>>,
    ) -> Pin<Box<dyn Future<Output = T> + Send + 'a>> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Box::pin(Deep {
            inner: Some(inner),
            depth: self.clone(),
        })
    }
}

/// An inner function.
struct Deep<'a, T> {
    /// Gone once it has ended.
    inner: Option<Pin<Box<dyn Future<Output = T> + Send + 'a>>>,
    depth: Depth,
}

impl<T> Future for Deep<'_, T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, waker: &mut Context<'_>) -> Poll<T> {
        let Some(inner) = &mut self.inner else {
            return Poll::Pending; // Nobody polls a future that has ended.
        };
        let inner = inner.as_mut();
        let polled = stacker::maybe_grow(RED_ZONE, PIECE, || inner.poll(waker));
        if polled.is_ready() {
            self.inner = None;
        }
        polled
    }
}

impl<T> Drop for Deep<'_, T> {
    fn drop(&mut self) {
        self.depth.0.fetch_sub(1, Ordering::Relaxed);
        if let Some(inner) = self.inner.take() {
            stacker::maybe_grow(RED_ZONE, PIECE, || drop(inner));
        }
    }
}
