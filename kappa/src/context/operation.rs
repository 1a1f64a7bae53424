//! What an operation is before it is performed.

use super::Context;
use crate::continuation::Frame;
use crate::error::Failure;
use crate::protocol::{Answer, Call};
use std::future::Future;
use std::pin::Pin;

/// Something a task asks for. Only the body of a `#[kappa::task]` function can `.await` it: that is a suspension point.
#[must_use = "an operation does nothing until it is awaited"]
pub struct Operation<K>(pub(super) K);

/// An operation under way.
pub type Performing<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// How one kind of operation is performed, and what it gives.
pub trait Kind: Send + Sized + 'static {
    /// What `.await` gives.
    type Output: Send;

    /// Performs the operation; `None` stands for the one in which the task was suspended.
    #[doc(hidden)]
    fn perform<'a>(operation: Option<Self>, cx: &'a mut Context, frame: &'a Frame<'a>) -> Performing<'a, Self::Output>;
}

/// A kind of operation that is one call to the coordinator.
#[doc(hidden)]
pub trait Request: Send + Sized + 'static {
    /// What `.await` gives.
    type Output: Send;

    /// The call. Payloads that are too long for a message go to the store first.
    fn call(self, cx: &mut Context) -> impl Future<Output = Result<Call, Failure>> + Send;

    /// Makes the result of the answer; `None` if the answer is of another kind of call.
    fn result(answer: Answer, cx: &mut Context) -> impl Future<Output = Result<Option<Self::Output>, Failure>> + Send;

    /// The whole way: call, answer, result.
    fn exchange(
        operation: Option<Self>,
        cx: &mut Context,
        frame: &Frame<'_>,
    ) -> impl Future<Output = Self::Output> + Send {
        async move {
            let answer = match operation {
                Some(operation) => {
                    let call = match operation.call(cx).await {
                        Ok(call) => call,
                        Err(failure) => return cx.fail(failure).await,
                    };
                    cx.request(call, frame).await
                }
                None => match cx.recorded_answer().await {
                    Answer::Refused(reason) => return cx.fail(Failure::Refused(reason)).await,
                    answer => answer,
                },
            };
            match Self::result(answer, cx).await {
                Ok(Some(result)) => result,
                Ok(None) => {
                    let cause = format!("{}: the answer is one of another operation", frame.function.name);
                    cx.wrong_program(cause).await
                }
                Err(failure) => cx.fail(failure).await,
            }
        }
    }
}

/// Says at compile time where an operation may be awaited. Nothing implements it; that it is asked of the operation's kind, and not of the operation, makes
/// rustc give these words and not those of `Future`.
#[doc(hidden)]
#[diagnostic::on_unimplemented(
    message = "a suspension point only works directly in the body of a `#[kappa::task]` function",
    label = "the task could not be resumed here",
    note = "write `cx.<operation>(..).await` in one expression, in a `#[kappa::task] async fn`; to share code between tasks, make it a task of \
            its own and `cx.call` it",
    note = "do not remove the `.await`: without it, the operation does nothing"
)]
pub trait AwaitedInATask {}

impl<K: Kind> Future for Operation<K>
where
    K: AwaitedInATask,
{
    type Output = K::Output;

    fn poll(self: Pin<&mut Self>, _: &mut std::task::Context<'_>) -> std::task::Poll<K::Output> {
        // No operation implements `AwaitedInATask`, so nobody can call this.
        std::task::Poll::Pending
    }
}
