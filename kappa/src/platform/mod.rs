//! What starts invocations.

pub mod in_process;

use crate::link::Link;
use crate::protocol::{Invocation, InvocationOutcome};
use async_trait::async_trait;
use std::sync::Arc;

/// Starts invocations and sees how they end. One conformance suite holds for all (`conformance`).
#[async_trait]
pub trait Platform: Send + Sync {
    /// Runs one invocation to its end. The worker reaches the coordinator through `link`.
    ///
    /// The time limit of the invocation is the platform's to enforce, by force. Dropping the future kills the invocation: once it
    /// is dropped, the worker sends no further request. The outcome [`InvocationOutcome::Returned`] is reported only after every request of
    /// the invocation has been handed to `link`.
    async fn invoke(&self, invocation: Invocation, link: Arc<dyn Link>) -> InvocationOutcome;

    /// Ends everything that is still running and releases what the platform holds: processes, sockets, files.
    async fn shutdown(&self);

    /// How many invocations it runs well at once; the coordinator starts no more.
    fn concurrency(&self) -> usize;
}
