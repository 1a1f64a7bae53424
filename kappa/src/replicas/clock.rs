//! Time: the system's, or that of a simulation that goes on in this thread.

use std::time::{Duration, Instant};

pub(super) fn now() -> Instant {
    #[cfg(test)]
    if let Some(now) = super::simulation::clock::now() {
        return now;
    }
    Instant::now()
}

/// How long ago this was.
pub(super) fn since(then: Instant) -> Duration {
    now().saturating_duration_since(then)
}

pub(super) async fn sleep(duration: Duration) {
    #[cfg(test)]
    if super::simulation::clock::now().is_some() {
        return super::simulation::clock::sleep(duration).await;
    }
    tokio::time::sleep(duration).await;
}

/// It was not done in time.
pub(super) struct Late;

/// What comes of this, if it is there in time.
pub(super) async fn timeout<F: Future>(limit: Duration, work: F) -> Result<F::Output, Late> {
    tokio::select! {
        biased;
        done = work => Ok(done),
        () = sleep(limit) => Err(Late),
    }
}
