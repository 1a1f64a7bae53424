//! When the next checkpoint of `checkpoint_if_due` is due.
//!
//! A checkpoint is due when [`INTERVAL`] has passed since the last committed call, or an eighth of the time limit if that is less; and once more
//! when only a tenth of the limit is left, so that little is lost when the limit strikes. Where the invocation leaves by itself before that, one is due
//! at the moment from which on it does.

use super::coarse;
use super::watch::Watch;
use std::time::{Duration, Instant};

/// The longest time without a checkpoint.
const INTERVAL: Duration = Duration::from_secs(1);

/// The moment from which on a checkpoint is due.
#[derive(Debug)]
pub(super) struct Due {
    at: Instant,
    /// The same for the clock that is looked at first.
    moment: u64,
    interval: Duration,
    last_call: Option<Instant>,
    watch: Watch,
}

impl Due {
    pub(super) fn new(watch: Watch, time_limit: Option<Duration>, leave_at: Option<Instant>) -> Self {
        let started = watch.started();
        let interval = time_limit.map_or(INTERVAL, |limit| INTERVAL.min(limit / 8));
        let last_call = leave_at.or_else(|| time_limit.and_then(|limit| started.checked_add(limit / 10 * 9)));
        let at = started + interval;
        Due {
            at,
            moment: Self::moment(at, interval, &watch),
            interval,
            last_call,
            watch,
        }
    }

    /// A call has just been committed.
    pub(super) fn renew(&mut self) {
        let now = self.watch.now();
        self.at = now + self.interval;
        match self.last_call {
            Some(last_call) if last_call > now => self.at = self.at.min(last_call),
            _ => {}
        }
        self.moment = Self::moment(self.at, self.interval, &self.watch);
    }

    fn moment(at: Instant, interval: Duration, watch: &Watch) -> u64 {
        // Without any time, everything is due at once, however exact the clock is; and only the system's time is written there.
        if interval.is_zero() || !watch.is_real() {
            0
        } else {
            coarse::moment(at)
        }
    }

    /// Costs about a nanosecond when nothing is due.
    #[inline]
    pub(super) fn is_due(&self) -> bool {
        coarse::has_come(self.moment) && self.is_due_now()
    }

    #[cold]
    fn is_due_now(&self) -> bool {
        if self.watch.is_real() {
            coarse::start();
        }
        self.watch.now() >= self.at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn with_a_short_limit_an_eighth_of_it_is_at_stake() {
        let watch = Watch::start();
        let due = Due::new(watch.clone(), Some(Duration::from_millis(800)), None);
        assert_eq!(due.at, watch.started() + Duration::from_millis(100));
    }

    #[test]
    fn one_is_due_when_it_is_time_to_leave() {
        let leave_at = Instant::now() + Duration::from_millis(500);
        let mut due = Due::new(Watch::start(), Some(Duration::from_secs(600)), Some(leave_at));
        due.renew();
        assert_eq!(due.at, leave_at);
    }

    #[test]
    fn a_committed_call_counts_as_a_checkpoint() {
        let mut due = Due::new(Watch::start(), None, None);
        due.at = Instant::now() - Duration::from_secs(9);
        due.moment = Due::moment(due.at, due.interval, &due.watch);
        assert!(due.is_due());
        due.renew();
        assert!(!due.is_due());
    }
}
