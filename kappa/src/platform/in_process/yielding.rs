//! Who computes, who waits for a thread, and who does not yield one.
//!
//! Guarantees that an invocation's time limit counts the time in which it was polled, and the time in which it could have been: while every thread was busy with
//! others, it stands still. An invocation that does not yield is named; and if all threads are lost for good to invocations that were given up, the others are
//! told so, instead of waiting for ever.

use crate::protocol::Invocation;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

/// An invocation that has not yielded for so long is named.
const LONG: Duration = Duration::from_secs(10);

/// Threads that have been with invocations that were given up for so long are lost.
const LOST: Duration = Duration::from_secs(30);

/// The threads on which invocations compute.
pub(super) struct Threads {
    count: usize,
    next: AtomicU64,
    busy: Mutex<Busy>,
}

#[derive(Default)]
struct Busy {
    /// Who is being polled.
    polled: BTreeMap<u64, Polled>,
    /// Since when every thread is busy.
    full_since: Option<Instant>,
    /// How long every thread was busy before that.
    full: Duration,
}

struct Polled {
    name: Arc<str>,
    since: Instant,
    /// How long every thread had been busy by then.
    full_before: Duration,
    was_named: bool,
    given_up: Option<Instant>,
}

impl Threads {
    pub(super) fn new(count: usize) -> Arc<Self> {
        Arc::new(Threads {
            count,
            next: AtomicU64::new(0),
            busy: Mutex::default(),
        })
    }
}

impl Busy {
    /// How long every thread has been busy so far.
    fn full_until(&self, now: Instant) -> Duration {
        self.full
            + self
                .full_since
                .map_or(Duration::ZERO, |since| now.saturating_duration_since(since))
    }
}

/// One invocation, as it is seen from outside.
pub(super) struct Watched {
    threads: Arc<Threads>,
    number: u64,
    name: Arc<str>,
    started: Instant,
    full_before: Duration,
    /// How long every thread was busy while one of them was busy with this.
    own: Arc<Mutex<Duration>>,
}

impl Watched {
    /// An invocation that begins now.
    pub(super) fn new(threads: &Arc<Threads>, invocation: &Invocation) -> Self {
        let busy = threads.busy.lock();
        let started = Instant::now();
        let full_before = busy.full_until(started);
        drop(busy);
        Watched {
            threads: threads.clone(),
            number: threads.next.fetch_add(1, Ordering::Relaxed),
            name: format!("{} ({})", invocation.task, invocation.function).into(),
            started,
            full_before,
            own: Arc::default(),
        }
    }

    /// The same work, watched.
    pub(super) fn over<F: Future>(&self, work: F) -> Work<F> {
        Work {
            threads: self.threads.clone(),
            number: self.number,
            name: self.name.clone(),
            own: self.own.clone(),
            work: Box::pin(work),
        }
    }

    /// How much of its time is left.
    pub(super) fn left(&self, limit: Option<Duration>) -> Option<Duration> {
        let limit = limit?;
        let busy = self.threads.busy.lock();
        let now = Instant::now();
        let full = busy.full_until(now);
        let polled = busy.polled.get(&self.number);
        let own = *self.own.lock() + polled.map_or(Duration::ZERO, |polled| full.saturating_sub(polled.full_before));
        let excused = full.saturating_sub(self.full_before).saturating_sub(own);
        Some(limit.saturating_sub((now - self.started).saturating_sub(excused)))
    }

    /// Nobody waits for it any more; if it is being polled, its thread is not free yet.
    fn give_up(&self) {
        if let Some(polled) = self.threads.busy.lock().polled.get_mut(&self.number) {
            polled.given_up = Some(Instant::now());
        }
    }

    /// Names, once, who does not yield.
    pub(super) fn look_for_hogs(&self) {
        let now = Instant::now();
        for polled in self.threads.busy.lock().polled.values_mut() {
            if !polled.was_named && now - polled.since >= LONG {
                polled.was_named = true;
                tracing::warn!(
                    invocation = &*polled.name,
                    seconds = (now - polled.since).as_secs(),
                    "an invocation does not yield its thread to others; let it `.await` now and then, or use the platform `process`"
                );
            }
        }
    }

    /// Why this will never run, if all threads are lost.
    pub(super) fn lost_to(&self) -> Option<String> {
        let now = Instant::now();
        let busy = self.threads.busy.lock();
        let is_lost = |polled: &Polled| polled.given_up.is_some_and(|since| now - since >= LOST);
        let lost: Vec<_> = busy.polled.values().filter(|polled| is_lost(polled)).collect();
        (lost.len() >= self.threads.count).then(|| {
            let names: Vec<_> = lost.iter().take(3).map(|polled| &*polled.name).collect();
            format!(
                "each of the {} threads of this process is with an invocation that has been given up and does not yield: {}; let it `.await` now and \
                 then, or use the platform `process`, which can end it",
                self.threads.count,
                names.join(", ")
            )
        })
    }
}

impl Drop for Watched {
    /// However it ends: over its time, cancelled, or killed.
    fn drop(&mut self) {
        self.give_up();
    }
}

/// Work that is watched.
pub(super) struct Work<F> {
    threads: Arc<Threads>,
    number: u64,
    name: Arc<str>,
    own: Arc<Mutex<Duration>>,
    work: Pin<Box<F>>,
}

impl<F: Future> Future for Work<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = &mut *self;
        let _turn = Turn::begin(&this.threads, this.number, &this.name, &this.own);
        this.work.as_mut().poll(cx)
    }
}

/// One poll. It ends however that ends, also by a panic.
struct Turn<'a> {
    threads: &'a Threads,
    number: u64,
    own: &'a Mutex<Duration>,
}

impl<'a> Turn<'a> {
    fn begin(threads: &'a Threads, number: u64, name: &Arc<str>, own: &'a Mutex<Duration>) -> Self {
        let busy = &mut *threads.busy.lock();
        let now = Instant::now();
        let polled = Polled {
            name: name.clone(),
            since: now,
            full_before: busy.full_until(now),
            was_named: false,
            given_up: None,
        };
        busy.polled.insert(number, polled);
        if busy.polled.len() >= threads.count {
            busy.full_since.get_or_insert(now);
        }
        Turn { threads, number, own }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let busy = &mut *self.threads.busy.lock();
        let now = Instant::now();
        let full = busy.full_until(now);
        if let Some(polled) = busy.polled.remove(&self.number) {
            *self.own.lock() += full.saturating_sub(polled.full_before);
        }
        if busy.polled.len() < self.threads.count {
            busy.full = full;
            busy.full_since = None;
        }
    }
}
