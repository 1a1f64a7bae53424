//! Writes a run's record, on a thread of its own.

use super::about::{About, Outcome};
use super::line::Line;
use super::place::Place;
use super::thinning::Thinning;
use crate::coordinator::driver::{Observer, RunEnd};
use crate::coordinator::state::{Observation, RunEvent, RunStats, Timestamp};
use crate::ids::{RunId, TaskId};
use parking_lot::{Condvar, Mutex};
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::watch;

/// The name of the file with the events.
pub const EVENTS: &str = "events";

/// How long an event waits to be written with others.
pub const FLUSH: Duration = Duration::from_millis(100);

/// How often `run.json` is rewritten while the run goes on.
const REWRITE: Duration = Duration::from_secs(2);

/// A file of events that has grown to so many bytes takes no further details: about half a million events.
pub const MOST_BYTES: u64 = 64 << 20;

/// So many events at once wake the writer early.
const MANY: usize = 8192;

/// So many events that have not been written mean that the disk cannot follow, or hangs: the record stops, before it takes all memory.
const TOO_MANY: usize = 1 << 20;

/// The record of one run that this process works on. Dropping it finishes it as interrupted.
pub struct Recorder {
    shared: Arc<Shared>,
    finished: watch::Receiver<bool>,
}

struct Shared {
    pending: Mutex<Pending>,
    wake: Condvar,
    canceller: Mutex<Option<Box<dyn Fn() + Send>>>,
}

/// What the writer has not taken yet.
#[derive(Default)]
struct Pending {
    happened: Vec<Observation>,
    stats: RunStats,
    /// Told by the journal, so that what is known already has to be left out.
    again: Vec<Observation>,
    end: Option<RunEnd>,
    /// The writer has given up, for this reason.
    trouble: Option<String>,
}

impl Pending {
    /// Whether there is capacity for so many events more. If there is not, nothing is kept: the record stops.
    fn takes(&mut self, more: usize) -> bool {
        if self.trouble.is_none() && self.happened.len() + self.again.len() + more > TOO_MANY {
            self.trouble = Some(format!(
                "the record of the run stopped: more than {TOO_MANY} events wait to be written, the disk does not take them"
            ));
            (self.happened, self.again) = (Vec::new(), Vec::new());
        }
        self.trouble.is_none()
    }
}

impl Recorder {
    /// Begins the record of a new run.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn start(place: Box<dyn Place>, about: About) -> io::Result<Option<Arc<Self>>> {
        Self::open(place, about, Thinning::default(), 0)
    }

    /// Goes on with the record of a run that is resumed; `None` if that has ended, so that there is nothing to be added.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn resume(mut place: Box<dyn Place>, about: About) -> io::Result<Option<Arc<Self>>> {
        let before = match place.about() {
            Ok(before) => before,
            // Damaged, or from before there were records: what can be told is told from here on.
            Err(_) => about.clone(),
        };
        if before.outcome.as_ref().is_some_and(Outcome::is_final) {
            return Ok(None);
        }
        let about = About {
            started: before.started,
            function: before.function,
            origin: super::Origin {
                resume: about.origin.resume.clone().or(before.origin.resume),
                ..before.origin
            },
            ..about
        };
        let mut thinning = Thinning::default();
        let mut latest = 0;
        match place.mend() {
            Ok(bytes) if bytes >= place.most_bytes() => thinning.start_from(before.sums),
            Ok(_) => {}
            Err(cause) => tracing::warn!(run = about.run, %cause, "the run's events cannot be read"),
        }
        let is_summed = thinning.sums() != super::thinning::Sums::default();
        let read = place.lines(&mut |line| {
            latest = latest.max(line.n);
            if !is_summed {
                thinning.read(&line);
            }
        });
        if let Err(cause) = read {
            tracing::warn!(run = about.run, %cause, "the run's events cannot be read");
        }
        Self::open(place, about, thinning, latest)
    }

    fn open(place: Box<dyn Place>, about: About, thinning: Thinning, latest: u64) -> io::Result<Option<Arc<Self>>> {
        let writer = Writer::open(place, about, thinning, latest)?;
        let shared = Arc::new(Shared {
            pending: Mutex::default(),
            wake: Condvar::new(),
            canceller: Mutex::new(None),
        });
        let (sender, finished) = watch::channel(false);
        let of_thread = shared.clone();
        let write = move || {
            writer.write_until_the_end(&of_thread);
            // Nobody may be waiting.
            let _ = sender.send(true);
        };
        std::thread::Builder::new()
            .name("kappa-record".to_string())
            .spawn(write)?;
        Ok(Some(Arc::new(Recorder { shared, finished })))
    }

    /// What is to be done if somebody asks, where the record is, for the run's cancellation.
    pub fn on_cancel(&self, canceller: Box<dyn Fn() + Send>) {
        *self.shared.canceller.lock() = Some(canceller);
    }

    /// Why the record is not complete, if so.
    pub fn trouble(&self) -> Option<String> {
        self.shared.pending.lock().trouble.clone()
    }

    /// Returns when the record of a run that is over is complete, or has stopped.
    pub async fn finished(&self) {
        let mut finished = self.finished.clone();
        // An error is a thread that is gone.
        let _ = finished.wait_for(|finished| *finished).await;
    }
}

impl Observer for Recorder {
    fn observe(&self, _run: RunId, happened: &[Observation], stats: &RunStats) {
        let mut pending = self.shared.pending.lock();
        if pending.trouble.is_some() {
            return;
        }
        if !pending.takes(happened.len()) {
            return;
        }
        pending.happened.extend_from_slice(happened);
        pending.stats.clone_from(stats);
        if pending.happened.len() >= MANY {
            self.shared.wake.notify_one();
        }
    }

    fn observe_again(&self, _run: RunId, happened: &[Observation]) {
        let mut pending = self.shared.pending.lock();
        if pending.takes(happened.len()) {
            pending.again.extend_from_slice(happened);
        }
    }

    fn over(&self, _run: RunId, end: &RunEnd, stats: &RunStats) {
        let mut pending = self.shared.pending.lock();
        pending.stats.clone_from(stats);
        pending.end.get_or_insert_with(|| end.clone());
        self.shared.wake.notify_one();
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        let mut pending = self.shared.pending.lock();
        let end = || RunEnd::Interrupted("it was given up".to_string());
        pending.end.get_or_insert_with(end);
        self.shared.wake.notify_one();
    }
}

/// The thread's own.
struct Writer {
    /// Its own as long as this process works on the run.
    place: Box<dyn Place>,
    about: About,
    thinning: Thinning,
    /// Length of the events.
    bytes: u64,
    most_bytes: u64,
    /// The number of the latest event that is written.
    latest: u64,
    rewritten: Instant,
    /// It could not be written. The place is held all the same.
    is_broken: bool,
}

impl Writer {
    fn open(mut place: Box<dyn Place>, about: About, thinning: Thinning, latest: u64) -> io::Result<Self> {
        let bytes = place.open()?;
        place.write_about(&about)?;
        Ok(Writer {
            most_bytes: place.most_bytes(),
            place,
            about,
            thinning,
            bytes,
            latest,
            rewritten: Instant::now(),
            is_broken: false,
        })
    }

    fn write_until_the_end(mut self, shared: &Shared) {
        let mut is_cancelled = false;
        let flush = self.place.flush();
        loop {
            let (again, happened, stats, end, is_given_up) = {
                let mut pending = shared.pending.lock();
                if pending.end.is_none() && pending.happened.len() < MANY {
                    shared.wake.wait_for(&mut pending, flush);
                }
                let pending = &mut *pending;
                let again = std::mem::take(&mut pending.again);
                let happened = std::mem::take(&mut pending.happened);
                let is_given_up = pending.trouble.is_some();
                (again, happened, pending.stats.clone(), pending.end.clone(), is_given_up)
            };
            self.about.stats = stats;
            let is_over = end.is_some();
            // More would be a gap: nothing of what was left out is written later.
            self.is_broken |= is_given_up;
            if !self.is_broken
                && let Err(cause) = self.write(again, happened, end)
            {
                let place = self.place.name();
                tracing::warn!(run = self.about.run, %cause, place, "the run's record stops here; the run goes on");
                self.is_broken = true;
                let mut pending = shared.pending.lock();
                pending.happened = Vec::new();
                pending.trouble = Some(format!("the record of the run stopped: {cause}"));
            }
            if is_over {
                return;
            }
            if !is_cancelled && self.place.is_cancellation_wanted() {
                is_cancelled = true;
                if let Some(cancel) = &*shared.canceller.lock() {
                    cancel();
                } else {
                    is_cancelled = false; // It is only just being resumed.
                }
            }
        }
    }

    fn write(&mut self, again: Vec<Observation>, happened: Vec<Observation>, end: Option<RunEnd>) -> io::Result<()> {
        let mut lines = Vec::new();
        let latest = self.latest;
        for observation in again.into_iter().filter(|observation| observation.number > latest) {
            self.latest = observation.number;
            self.thinning.take(observation, &mut lines);
        }
        for observation in happened {
            self.latest = observation.number;
            self.thinning.take(observation, &mut lines);
        }
        if matches!(end, Some(RunEnd::Interrupted(_))) {
            let observation = Observation {
                number: self.latest,
                at: now(),
                event: RunEvent::Interrupted,
            };
            self.thinning.take(observation, &mut lines);
        }
        self.append(&lines)?;
        if let Some(end) = end {
            self.finish(end)
        } else if self.rewritten.elapsed() >= REWRITE {
            self.rewrite()
        } else {
            Ok(())
        }
    }

    fn append(&mut self, lines: &[Line]) -> io::Result<()> {
        let mut buffer = Vec::new();
        for line in lines {
            if self.bytes + buffer.len() as u64 >= self.most_bytes && !is_landmark(&line.event) {
                self.about.trouble.get_or_insert_with(|| {
                    format!(
                        "the record has grown to {} bytes and takes no further details",
                        self.most_bytes
                    )
                });
                continue;
            }
            buffer.extend_from_slice(&line.to_bytes());
        }
        if buffer.is_empty() {
            return Ok(());
        }
        self.place.append(&buffer)?;
        self.bytes += buffer.len() as u64;
        Ok(())
    }

    fn finish(&mut self, end: RunEnd) -> io::Result<()> {
        let outcome = match end {
            RunEnd::Ended => Outcome::Ended,
            RunEnd::Failed(reason) => Outcome::Failed(reason),
            RunEnd::Cancelled => Outcome::Cancelled,
            RunEnd::Interrupted(reason) => Outcome::Interrupted(reason),
        };
        if outcome.is_final() {
            self.place.forget_cancellation();
        }
        self.about.outcome = Some(outcome);
        self.about.ended = Some(now().0);
        self.rewrite()
    }

    fn rewrite(&mut self) -> io::Result<()> {
        self.about.seen = now().0;
        self.about.sums = self.thinning.sums();
        self.rewritten = Instant::now();
        self.place.write_about(&self.about)
    }
}

/// What a record that takes no further details still takes.
fn is_landmark(event: &RunEvent) -> bool {
    match event {
        RunEvent::Recovered | RunEvent::Interrupted | RunEvent::Ended => true,
        RunEvent::TaskEnded { task, .. } => *task == TaskId::ROOT,
        _ => false,
    }
}

/// The time of day.
pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::default().after(since)
}

#[cfg(test)]
mod tests;
