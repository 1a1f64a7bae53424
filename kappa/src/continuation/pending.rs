//! A suspension point of a running function: what it has asked for, and the result.

use super::Frame;
use crate::context::{Context, Kind, Operation};
use std::fmt;
use std::future::Future;
use std::pin::Pin;

/// The operation of a suspension point before it is performed, and its result afterwards. One `.await` in the generated code serves all points.
pub struct Pending<K: Kind> {
    operation: Option<Operation<K>>,
    result: Option<K::Output>,
}

impl<K: Kind> Pending<K> {
    /// Of a point that is not reached yet.
    #[expect(clippy::new_without_default, reason = "only generated code makes one")]
    pub const fn new() -> Self {
        Pending {
            operation: None,
            result: None,
        }
    }

    /// Takes note of the operation that the function is to be suspended in.
    #[inline]
    pub fn begin(&mut self, operation: Operation<K>) {
        self.operation = Some(operation);
    }

    /// Performs the operation; without one, the function has been resumed here and the operation is that of its last invocation.
    pub fn perform<'a>(
        &'a mut self,
        cx: &'a mut Context,
        frame: &'a Frame<'a>,
    ) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>> {
        let operation = self.operation.take();
        Box::pin(async move { self.result = Some(cx.perform(operation, frame).await) })
    }

    /// The result. It is there: only [`Pending::perform`] leads to where generated code asks for it.
    #[inline]
    pub fn result(&mut self) -> K::Output {
        match self.result.take() {
            Some(result) => result,
            None => {
                unreachable!("the compiler has made code that asks for a result before the operation was performed")
            }
        }
    }
}

impl<K: Kind> fmt::Debug for Pending<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pending")
            .field("asked", &self.operation.is_some())
            .field("answered", &self.result.is_some())
            .finish()
    }
}
