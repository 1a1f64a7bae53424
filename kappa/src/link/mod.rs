//! How a worker reaches the coordinator.

use crate::protocol::{Reply, Request};
use async_trait::async_trait;

/// A worker's way to the coordinator. Delivers each request at least once; the coordinator sorts out duplicates.
#[async_trait]
pub trait Link: Send + Sync {
    /// Sends a request and waits for its reply. When the coordinator is gone for good it returns [`Reply::Fenced`]: the invocation must stop.
    async fn send(&self, request: Request) -> Reply;
}
