//! Many seeds at once, on as many threads as are wanted; each seed on one of them.

use super::{Report, Simulation, Trouble, simulate};
use kappa::runtime::RunStats;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};

/// More violations than these are of no use.
const ENOUGH: usize = 20;

/// What many simulations came to.
#[derive(Debug, Default)]
pub(crate) struct Totals {
    pub(crate) seeds: u64,
    pub(crate) faults: u64,
    pub(crate) points: BTreeMap<(String, &'static str), u64>,
    pub(crate) commits: u64,
    /// What happened, in the coordinator's own words.
    pub(crate) happened: BTreeMap<&'static str, u64>,
    /// The seeds that broke a guarantee.
    pub(crate) violating: BTreeSet<u64>,
}

impl Totals {
    fn add(&mut self, seed: u64, report: Report) {
        self.seeds += 1;
        self.faults += report.faults;
        self.commits += report.commits;
        for (what, count) in counts(&report.stats) {
            *self.happened.entry(what).or_default() += count;
        }
        for point in report.points {
            *self.points.entry(point).or_default() += 1;
        }
        if !report.violations.is_empty() {
            self.violating.insert(seed);
        }
    }

    fn merge(&mut self, other: Totals) {
        self.seeds += other.seeds;
        self.faults += other.faults;
        self.commits += other.commits;
        for (what, count) in other.happened {
            *self.happened.entry(what).or_default() += count;
        }
        for (point, count) in other.points {
            *self.points.entry(point).or_default() += count;
        }
        self.violating.extend(other.violating);
    }

    /// The line with which it all ends.
    pub(crate) fn summary(&self) -> String {
        format!(
            "{} seeds, {} faults, {} crash points, {} violations",
            self.seeds,
            self.faults,
            self.points.len(),
            self.violating.len()
        )
    }
}

/// The numbers that show what was put to the test.
fn counts(stats: &RunStats) -> [(&'static str, u64); 17] {
    [
        ("tasks", stats.tasks),
        ("tasks that failed", stats.tasks_failed),
        ("tasks that were cancelled", stats.cancelled),
        ("tasks that were begun again", stats.begun_again),
        ("invocations", stats.invocations),
        ("invocations killed", stats.killed),
        ("invocations crashed", stats.crashed),
        ("invocations out of time", stats.timed_out),
        ("invocations out of memory", stats.out_of_memory),
        ("invocations throttled", stats.throttled),
        ("invocations without a way to the coordinator", stats.unlinked),
        ("invocations without the store", stats.store_away),
        ("invocations suspended", stats.suspended),
        ("calls deferred", stats.deferred),
        ("checkpoints superseded", stats.superseded),
        ("sleeps", stats.sleeps),
        ("recoveries of the coordinator", stats.recoveries),
    ]
}

/// One seed. A panic of ours is a violation like any other.
pub(crate) fn one(seed: u64, is_recorded: bool) -> Report {
    let simulation = Simulation {
        seed,
        is_recorded,
        trouble: Trouble::Random,
    };
    catch_unwind(AssertUnwindSafe(|| simulate(simulation))).unwrap_or_else(|_| Report {
        violations: vec!["the simulation panicked".to_string()],
        ..Report::default()
    })
}

/// All these seeds.
pub(crate) fn many(seeds: Range<u64>, threads: usize) -> Totals {
    let next = AtomicU64::new(seeds.start);
    let work = || {
        let mut totals = Totals::default();
        while totals.violating.len() < ENOUGH {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end {
                break;
            }
            totals.add(seed, one(seed, false));
        }
        totals
    };
    let mut all = Totals::default();
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads.max(1)).map(|_| scope.spawn(work)).collect();
        for thread in threads {
            match thread.join() {
                Ok(totals) => all.merge(totals),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
    });
    all
}
