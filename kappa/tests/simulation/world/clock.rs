//! Virtual time, and the one thread on which everything of a simulation runs.
//!
//! Time stands still while anything can go on; when nothing can, it jumps to the moment for which somebody waits. So hours cost nothing, no real
//! clock decides anything, and what happens depends on the seed alone.

use async_trait::async_trait;
use kappa::coordinator::driver::clock::Clock;
use kappa::coordinator::state::Timestamp;
use parking_lot::Mutex;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

/// No program takes so long, in virtual microseconds.
const PATIENCE: u64 = 6 * 3600 * 1_000_000;

/// A clock that goes on only when nothing else does.
#[derive(Default)]
pub(crate) struct VirtualClock {
    timers: Mutex<Timers>,
}

#[derive(Default)]
struct Timers {
    /// Microseconds since the start.
    now: u64,
    registered: u64,
    /// Who waits, by the moment and then in the order of coming.
    sleepers: BTreeMap<(u64, u64), Waker>,
    is_stuck: bool,
    /// Whoever wants to know that nothing will ever happen again.
    watcher: Option<Waker>,
}

impl VirtualClock {
    /// Microseconds since the start.
    pub(crate) fn elapsed(&self) -> u64 {
        self.timers.lock().now
    }

    /// Waits for so many microseconds.
    pub(crate) fn wait(self: &Arc<Self>, microseconds: u64) -> Sleep {
        Sleep {
            at: self.elapsed().saturating_add(microseconds),
            clock: self.clone(),
            key: None,
        }
    }

    /// Nothing can go on at this moment: the next one.
    fn advance(&self) {
        let mut timers = self.timers.lock();
        let next = timers.sleepers.pop_first().filter(|((at, _), _)| *at < PATIENCE);
        let woken = match next {
            Some(((at, _), sleeper)) => {
                timers.now = at;
                Some(sleeper)
            }
            None => {
                timers.is_stuck = true;
                timers.watcher.take()
            }
        };
        drop(timers);
        if let Some(woken) = woken {
            woken.wake();
        }
    }

    async fn until_stuck(&self) {
        poll_fn(|context| {
            let mut timers = self.timers.lock();
            if timers.is_stuck {
                return Poll::Ready(());
            }
            timers.watcher = Some(context.waker().clone());
            Poll::Pending
        })
        .await;
    }
}

/// The clock of one coordinator's machine: as fast as the others, but it shows another time.
pub(crate) struct MachineClock {
    pub(crate) clock: Arc<VirtualClock>,
    /// What it shows at the start of the simulation, in microseconds.
    pub(crate) origin: u64,
}

#[async_trait]
impl Clock for MachineClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.origin + self.clock.elapsed())
    }

    async fn sleep(&self, duration: Duration) {
        let microseconds = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        self.clock.wait(microseconds).await;
    }
}

/// A wait for a moment of virtual time.
pub(crate) struct Sleep {
    clock: Arc<VirtualClock>,
    at: u64,
    key: Option<(u64, u64)>,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let me = &mut *self;
        let mut timers = me.clock.timers.lock();
        if timers.now >= me.at {
            return Poll::Ready(());
        }
        let key = *me.key.get_or_insert_with(|| {
            timers.registered += 1;
            (me.at, timers.registered)
        });
        timers.sleepers.insert(key, context.waker().clone());
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            self.clock.timers.lock().sleepers.remove(&key);
        }
    }
}

thread_local! {
    /// The clock of the simulation that this thread is running.
    static ME: RefCell<Option<Arc<VirtualClock>>> = const { RefCell::new(None) };
}

/// Time that a task spends computing: virtual in a simulation, real elsewhere.
pub(crate) async fn work(microseconds: u64) {
    let clock = ME.with_borrow(Option::clone);
    match clock {
        Some(clock) => clock.wait(microseconds).await,
        None => tokio::time::sleep(Duration::from_micros(microseconds)).await,
    }
}

/// The time in microseconds, for tasks that measure it.
pub(crate) fn now() -> u64 {
    match ME.with_borrow(Option::clone) {
        Some(clock) => clock.elapsed(),
        None => std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .map_or(0, |time| time.as_micros() as u64),
    }
}

/// Runs a simulation on this thread to its end. `None` if it got stuck: nobody could go on any more, or it took hours.
pub(crate) fn run<F: Future>(clock: &Arc<VirtualClock>, simulation: F) -> Option<F::Output> {
    ME.set(Some(clock.clone()));
    let idle = clock.clone();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .on_thread_park(move || idle.advance())
        .build()
        .expect("a runtime without input and output takes nothing from the system");
    let output = runtime.block_on(async {
        tokio::select! {
            biased;
            output = simulation => Some(output),
            () = clock.until_stuck() => None,
        }
    });
    drop(runtime);
    ME.set(None);
    output
}
