//! How a worker reaches the coordinator.
//!
//! | way | used by |
//! |---|---|
//! | directly | the platform `in-process` |
//! | a Unix socket | the platform `process`, which owns both of its ends |
//! | [`http`] | lambdas elsewhere; the platform `process`, if it is to rehearse that |

pub mod http;

use crate::protocol::{Reply, Request};
use crate::usage::Usage;
use async_trait::async_trait;

/// A worker's way to the coordinator. Delivers each request at least once; the coordinator sorts out duplicates.
#[async_trait]
pub trait Link: Send + Sync {
    /// Sends a request and waits for its reply. When the coordinator is gone for good it returns [`Reply::Fenced`]: the invocation must stop.
    async fn send(&self, request: Request) -> Reply;

    /// Tells what the invocation has used so far. The last word before its end counts; a platform that does not know says nothing.
    fn used(&self, _usage: Usage) {}
}
