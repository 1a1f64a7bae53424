//! What starts invocations.
//!
//! | platform | an invocation is |
//! |---|---|
//! | [`in_process`] | a tokio task that can be dropped |
//! | [`process`] | a request to a pooled child process |
//! | `aws` | an invocation of a function of AWS Lambda |
//! | [`http`] | a request to a function behind an HTTP endpoint |
//! | [`chaos`] | one of another platform, which may be killed at any moment |
//!
//! A new platform is done when the suite in `tests/platform/conformance.rs` passes on it.

#[cfg(feature = "aws")]
pub mod aws;
pub mod chaos;
pub mod http;
pub mod in_process;
pub mod process;
// Its messages are between builds of the same program, and no interface.
pub(crate) mod remote;

use crate::link::Link;
use crate::protocol::{Invocation, InvocationOutcome};
use async_trait::async_trait;
use std::sync::Arc;
use std::time::Duration;

/// Starts invocations and sees how they end. One conformance suite holds for all.
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

    /// What people call it.
    fn name(&self) -> String {
        "custom".to_string()
    }

    /// How long an invocation may run here, if the platform itself ends it after that; a run's time limit is never longer.
    fn time_limit(&self) -> Option<Duration> {
        None
    }

    /// How much memory an invocation may use, in bytes, if the platform limits it.
    fn memory_limit(&self) -> Option<u64> {
        None
    }
}

/// Why a platform cannot be had.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlatformError {
    /// Worker processes cannot open the store.
    #[error(
        "the platform `process` cannot use the store `{store}`: other processes cannot reach it; use `file:DIR`, or the platform `in-process`"
    )]
    StoreNotShared {
        /// Its URL.
        store: String,
    },
    /// A worker process would start worker processes of its own.
    #[error("a worker process cannot start worker processes; `main` must begin with `kappa::serve_if_worker()`")]
    WithinWorker,
    /// The system has no room for it.
    #[error("cannot prepare a platform: {0}")]
    Unavailable(String),
    /// A description that cannot be read.
    #[error("{0}")]
    Invalid(String),
}
