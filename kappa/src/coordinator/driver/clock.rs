//! Time: what the state machine is told, and when its timers are served.
//!
//! The clock is handed to the coordinator, so that a simulation can let hours pass in a moment.

use super::Shared;
use crate::coordinator::state::{Event, Timestamp};
use async_trait::async_trait;
use std::sync::Weak;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Tells the time and waits.
#[async_trait]
pub trait Clock: Send + Sync {
    /// The time now; never earlier than what was told before.
    fn now(&self) -> Timestamp;

    /// Returns when so much time has passed.
    async fn sleep(&self, duration: Duration);
}

/// The time of day when the clock was started, going on steadily from there: it never goes back, whatever is done to the system's clock.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock {
    origin: Duration,
    started: Instant,
}

impl SystemClock {
    /// A clock that starts now.
    pub fn start() -> Self {
        let origin = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        SystemClock {
            origin,
            started: Instant::now(),
        }
    }
}

#[async_trait]
impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::default().after(self.origin + self.started.elapsed())
    }

    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}

/// Serves the state's timers until the coordinator is gone.
pub(super) async fn keep_time(shared: Weak<Shared>) {
    while let Some(shared) = shared.upgrade() {
        let armed = {
            let core = shared.core.lock();
            if core.stopped {
                return;
            }
            core.armed
        };
        let Some(at) = armed else {
            shared.earlier_timer.notified().await;
            continue;
        };
        let left = at.since(shared.now());
        if !left.is_zero() {
            tokio::select! {
                biased;
                () = shared.setup.clock.sleep(left) => {}
                () = shared.earlier_timer.notified() => continue,
            }
        }
        // Whoever applies the event sets the next timer.
        shared.core.lock().armed = None;
        shared.happened(Event::Ticked);
    }
}
