//! Time: what the state machine is told, and when its timers are served.

use super::Shared;
use crate::coordinator::state::{Event, Timestamp};
use std::sync::Weak;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The time of day when the coordinator started, going on steadily from there: it never goes back, whatever is done to the system's clock.
pub(super) struct Clock {
    origin: Duration,
    started: Instant,
}

impl Clock {
    pub(super) fn start() -> Self {
        let origin = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Clock {
            origin,
            started: Instant::now(),
        }
    }

    pub(super) fn now(&self) -> Timestamp {
        Timestamp::default().after(self.origin + self.started.elapsed())
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
        let left = at.since(shared.clock.now());
        if !left.is_zero() {
            tokio::select! {
                () = tokio::time::sleep(left) => {}
                () = shared.earlier_timer.notified() => continue,
            }
        }
        // Whoever applies the event sets the next timer.
        shared.core.lock().armed = None;
        shared.happened(Event::Ticked);
    }
}
