//! The simulation's clock: it goes on when nobody has anything to do, to the next moment for which somebody waits.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

struct Clock {
    now: Instant,
    /// Who waits, by moment and in order.
    waiting: BTreeMap<(Instant, u64), Waker>,
    count: u64,
}

thread_local! {
    static CLOCK: RefCell<Option<Clock>> = const { RefCell::new(None) };
}

/// From now on this thread has a clock of its own, or none any more.
pub(super) fn set(is_simulated: bool) {
    CLOCK.set(is_simulated.then(|| Clock {
        now: Instant::now(),
        waiting: BTreeMap::new(),
        count: 0,
    }));
}

/// The simulation's time, if one goes on here.
pub(in super::super) fn now() -> Option<Instant> {
    CLOCK.with_borrow(|clock| Some(clock.as_ref()?.now))
}

/// Wakes whoever waits for the next moment.
pub(super) fn advance() {
    let next = CLOCK.with_borrow_mut(|clock| {
        let clock = clock.as_mut()?;
        let ((moment, _), waker) = clock.waiting.pop_first()?;
        clock.now = clock.now.max(moment);
        Some(waker)
    });
    if let Some(waker) = next {
        waker.wake();
    }
}

pub(in super::super) fn sleep(duration: Duration) -> impl Future<Output = ()> + Send {
    Sleep { duration, until: None }
}

struct Sleep {
    duration: Duration,
    until: Option<(Instant, u64)>,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        CLOCK.with_borrow_mut(|clock| {
            let Some(clock) = clock.as_mut() else {
                return Poll::Pending;
            };
            let duration = self.duration;
            let until = *self.until.get_or_insert_with(|| {
                clock.count += 1;
                (clock.now + duration, clock.count)
            });
            if until.0 <= clock.now {
                return Poll::Ready(());
            }
            clock.waiting.insert(until, cx.waker().clone());
            Poll::Pending
        })
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(until) = self.until {
            CLOCK.with_borrow_mut(|clock| clock.as_mut().and_then(|clock| clock.waiting.remove(&until)));
        }
    }
}
