//! The time as an invocation sees it: the system's, or that of a clock that was handed in.

use crate::coordinator::driver::clock::Clock;
use crate::coordinator::state::Timestamp;
use std::sync::Arc;
use std::time::Instant;

/// Tells the time since an invocation's start.
#[derive(Clone)]
pub(crate) struct Watch {
    started: Instant,
    /// In place of the system's, and what it showed at the start.
    other: Option<(Arc<dyn Clock>, Timestamp)>,
}

impl Watch {
    /// By the system's clock.
    pub(crate) fn start() -> Self {
        Watch {
            started: Instant::now(),
            other: None,
        }
    }

    /// By another clock.
    pub(crate) fn by(clock: Arc<dyn Clock>) -> Self {
        let start = clock.now();
        Watch {
            started: Instant::now(),
            other: Some((clock, start)),
        }
    }

    /// When the invocation started.
    pub(super) fn started(&self) -> Instant {
        self.started
    }

    /// The time: as long after the start as the clock says.
    pub(super) fn now(&self) -> Instant {
        match &self.other {
            None => Instant::now(),
            Some((clock, start)) => self.started + clock.now().since(*start),
        }
    }

    /// Whether it is the system's time.
    pub(super) fn is_real(&self) -> bool {
        self.other.is_none()
    }
}

impl std::fmt::Debug for Watch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Watch")
    }
}
