//! A clock that can be looked at in every pass of a loop.
//!
//! Asking the system for the time costs about 20 ns, which is many times what a short loop does in one pass. So a thread writes the time into an
//! atomic variable every [`TICK`], and a look is one load. The thread runs only while somebody looks: it stops after [`RUN`] and says so, and the next
//! look starts it again. Whoever finds that the time has come asks the system, so a moment is never reported too early.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, OnceLock};
use std::time::{Duration, Instant};

/// How often the time is written.
const TICK: Duration = Duration::from_millis(1);

/// How long the thread runs after it was started.
const RUN: Duration = Duration::from_secs(1);

/// In place of the time: nobody writes it.
const STOPPED: u64 = u64::MAX;

/// Milliseconds since [`epoch`], or [`STOPPED`].
static NOW: AtomicU64 = AtomicU64::new(STOPPED);

/// Whether the thread is to run, and whether there is one.
static WANTED: Mutex<(bool, bool)> = Mutex::new((false, false));
static CHANGED: Condvar = Condvar::new();

fn epoch() -> Instant {
    static EPOCH: OnceLock<Instant> = OnceLock::new();
    *EPOCH.get_or_init(Instant::now)
}

/// A moment as [`has_come`] takes it: one tick early, because what is written is up to one tick old.
pub(super) fn moment(at: Instant) -> u64 {
    millis(at).saturating_sub(1)
}

fn millis(at: Instant) -> u64 {
    let since = at.saturating_duration_since(epoch()).as_millis();
    u64::try_from(since).map_or(STOPPED - 1, |since| since.min(STOPPED - 1))
}

/// Whether the moment has come, or nobody knows.
#[inline]
pub(super) fn has_come(moment: u64) -> bool {
    NOW.load(Ordering::Relaxed) >= moment
}

/// Has the time written from now on, if it is not.
pub(super) fn start() {
    if NOW.load(Ordering::Relaxed) != STOPPED {
        return;
    }
    // Nothing below panics while it holds the lock; without the thread, every look asks the system.
    let Ok(mut wanted) = WANTED.lock() else { return };
    if !wanted.1 {
        let name = std::thread::Builder::new().name("kappa-clock".into());
        wanted.1 = name.spawn(write).is_ok();
    }
    if !wanted.0 {
        wanted.0 = true;
        CHANGED.notify_one();
    }
}

fn write() {
    while let Ok(wanted) = WANTED.lock() {
        let Ok(wanted) = CHANGED.wait_while(wanted, |wanted| !wanted.0) else {
            return;
        };
        drop(wanted);
        let stop = Instant::now() + RUN;
        loop {
            let now = Instant::now();
            if now >= stop {
                break;
            }
            NOW.store(millis(now), Ordering::Relaxed);
            std::thread::sleep(TICK);
        }
        let Ok(mut wanted) = WANTED.lock() else { return };
        NOW.store(STOPPED, Ordering::Relaxed);
        wanted.0 = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_comes_after_the_thread_has_stopped_and_started_again() {
        for _ in 0..2 {
            start();
            let soon = Instant::now() + Duration::from_millis(30);
            let started = Instant::now();
            while !has_come(moment(soon)) || Instant::now() < soon {
                start();
                assert!(started.elapsed() < Duration::from_secs(20), "the moment does not come");
                std::thread::yield_now();
            }
            std::thread::sleep(RUN + 100 * TICK);
        }
        let later = Instant::now() + Duration::from_secs(3600);
        start();
        let started = Instant::now();
        while has_come(moment(later)) {
            assert!(started.elapsed() < Duration::from_secs(20), "the clock is not written");
            std::thread::yield_now();
        }
    }
}
