//! What a run uses: time and memory of its invocations, operations on its store, batches of its journal.
//!
//! How it is counted:
//!
//! * An operation counts when it is begun, whatever becomes of it: a request that fails has been made. Bytes sent count with it, bytes received when they are there.
//! * An invocation's own operations are told with its end. One that was ended by force cannot tell: the platform `in-process` knows all the same what
//!   it has done, `process` what it had done up to its last call through the socket, platforms whose workers call by HTTP nothing. What is not
//!   known is missing from the sums, which say how many invocations were ended by force.
//! * What the coordinator does itself (deletions, the result, objects for external places) is recorded with the next end of an invocation; of a coordinator that
//!   was killed, what it did after that is missing.
//! * Ends are recorded in the journal, each once: a resumed run goes on counting where the journal ends, and counts nothing twice.
//! * Time is the platform's, if it tells; otherwise that from handing over an invocation to its end. Each is rounded up to a whole millisecond, as Lambda
//!   does. An invocation that went with its coordinator is counted up to the latest moment that is recorded.
//! * Memory is what the platform limits an invocation to, also where it tells nothing else of it, as of most that are ended by force elsewhere.

use crate::protocol::InvocationOutcome;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// One mebibyte.
const MIB: u64 = 1 << 20;

/// Operations on a store, with the bytes of their objects.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Operations {
    /// Objects written.
    pub puts: u64,
    /// Objects read as a whole.
    pub gets: u64,
    /// Ranges read of objects; a call for three ranges is three.
    pub ranges: u64,
    /// Objects deleted one by one.
    pub deletes: u64,
    /// Deletions of all objects under a prefix, for which a store may have to list them.
    pub lists: u64,
    /// Bytes written.
    pub bytes_up: u64,
    /// Bytes read.
    pub bytes_down: u64,
}

impl Operations {
    /// All operations, of any kind.
    pub fn count(&self) -> u64 {
        let kinds = [self.puts, self.gets, self.ranges, self.deletes, self.lists];
        kinds.into_iter().fold(0, u64::saturating_add)
    }

    /// Those that write or list: what S3 prices as PUT, COPY, POST and LIST.
    pub fn writes(&self) -> u64 {
        self.puts.saturating_add(self.lists)
    }

    /// Those that read: what S3 prices as GET. (Deletions are free there.)
    pub fn reads(&self) -> u64 {
        self.gets.saturating_add(self.ranges)
    }

    /// What these have beyond those.
    #[must_use]
    pub fn minus(self, those: Operations) -> Operations {
        Operations {
            puts: self.puts.saturating_sub(those.puts),
            gets: self.gets.saturating_sub(those.gets),
            ranges: self.ranges.saturating_sub(those.ranges),
            deletes: self.deletes.saturating_sub(those.deletes),
            lists: self.lists.saturating_sub(those.lists),
            bytes_up: self.bytes_up.saturating_sub(those.bytes_up),
            bytes_down: self.bytes_down.saturating_sub(those.bytes_down),
        }
    }

    /// Both together.
    #[must_use]
    pub fn plus(self, other: Operations) -> Operations {
        Operations {
            puts: self.puts.saturating_add(other.puts),
            gets: self.gets.saturating_add(other.gets),
            ranges: self.ranges.saturating_add(other.ranges),
            deletes: self.deletes.saturating_add(other.deletes),
            lists: self.lists.saturating_add(other.lists),
            bytes_up: self.bytes_up.saturating_add(other.bytes_up),
            bytes_down: self.bytes_down.saturating_add(other.bytes_down),
        }
    }
}

/// What one invocation used, as its platform tells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Usage {
    /// How long it is billed, in milliseconds: its wall time, rounded up.
    pub billed_ms: u64,
    /// How much memory it was given, in bytes; 0 if that was not limited.
    pub memory: u64,
    /// What it did in the run's store.
    pub store: Operations,
}

impl Usage {
    /// An invocation that took so long.
    pub fn new(wall: Duration, store: Operations) -> Self {
        Usage {
            billed_ms: billed(wall),
            memory: 0,
            store,
        }
    }
}

/// What the end of an invocation adds to what a run uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Spent {
    /// What the invocation used; `None` if its platform does not tell.
    pub invocation: Option<Usage>,
    /// It ran on the coordinator's own machine, whatever the platform is: no function was rented for it.
    pub on_coordinator: bool,
    /// What the coordinator did in the store since the last end of an invocation.
    pub coordinator: Operations,
    /// How many batches were written to the journal since then.
    pub journal_writes: u64,
}

impl Spent {
    /// Whether there is nothing to tell.
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }

    /// As JSON without the zeros, of which there are many.
    pub(crate) fn without_zeros<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut value = serde_json::to_value(self).map_err(serde::ser::Error::custom)?;
        prune(&mut value);
        value.serialize(serializer)
    }
}

fn prune(value: &mut serde_json::Value) {
    use serde_json::Value;
    if let Value::Object(fields) = value {
        fields.values_mut().for_each(prune);
        fields.retain(|_, field| match field {
            Value::Null | Value::Bool(false) => false,
            Value::Number(number) => number.as_u64() != Some(0),
            Value::Object(fields) => !fields.is_empty(),
            _ => true,
        });
    }
}

/// What a run has used so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Totals {
    /// Invocations that were really started and have ended, without those on the coordinator's machine.
    pub invocations: u64,
    /// How long they are billed together, in milliseconds.
    pub billed_ms: u64,
    /// The part of that during which the memory was limited, in milliseconds.
    pub limited_ms: u64,
    /// Memory multiplied by time, of that part: mebibytes by milliseconds.
    pub mib_ms: u64,
    /// Invocations on the coordinator's own machine.
    pub on_coordinator: u64,
    /// Those of all invocations that were ended by force: their operations may be missing.
    pub cut_off: u64,
    /// What invocations did in the store.
    pub workers: Operations,
    /// What the coordinator did in the store.
    pub coordinator: Operations,
    /// Batches written to the journal.
    pub journal_writes: u64,
}

impl Totals {
    /// Adds the end of an invocation that ended so, `wall` after it was handed over.
    pub fn add(&mut self, outcome: &InvocationOutcome, spent: &Spent, wall: Duration) {
        let Spent {
            invocation,
            on_coordinator,
            coordinator,
            journal_writes,
        } = spent;
        self.add_coordinator(*coordinator, *journal_writes);
        let is_forced = match outcome {
            // Nothing was started.
            InvocationOutcome::Throttled(_) | InvocationOutcome::Unstartable(_) => return,
            InvocationOutcome::Returned
            | InvocationOutcome::Unlinked(_)
            | InvocationOutcome::StoreAway(_)
            | InvocationOutcome::WrongProgram(_)
            | InvocationOutcome::NeedsRepair(_) => false,
            InvocationOutcome::Crashed(_)
            | InvocationOutcome::Killed(_)
            | InvocationOutcome::TimedOut
            | InvocationOutcome::OutOfMemory(_) => true,
        };
        self.cut_off += u64::from(is_forced);
        let usage = invocation.unwrap_or_else(|| Usage::new(wall, Operations::default()));
        self.workers = self.workers.plus(usage.store);
        if *on_coordinator {
            self.on_coordinator += 1;
            return;
        }
        self.invocations += 1;
        self.billed_ms = self.billed_ms.saturating_add(usage.billed_ms);
        if usage.memory > 0 {
            self.limited_ms = self.limited_ms.saturating_add(usage.billed_ms);
            let mib_ms = usage.memory.div_ceil(MIB).saturating_mul(usage.billed_ms);
            self.mib_ms = self.mib_ms.saturating_add(mib_ms);
        }
    }

    /// Adds what the coordinator did.
    pub fn add_coordinator(&mut self, operations: Operations, journal_writes: u64) {
        self.coordinator = self.coordinator.plus(operations);
        self.journal_writes = self.journal_writes.saturating_add(journal_writes);
    }

    /// All operations on the store.
    pub fn store(&self) -> Operations {
        self.workers.plus(self.coordinator)
    }

    /// Gigabytes (2^30 bytes) by seconds. With a memory, as if every invocation had been given that; otherwise it stands in for those whose memory was not limited.
    pub fn gb_seconds(&self, memory: Option<u64>, unlimited: u64) -> f64 {
        let gb_seconds = |mib_ms: f64| mib_ms / 1024.0 / 1e3;
        let mib = |bytes: u64| bytes as f64 / MIB as f64;
        match memory {
            Some(memory) => gb_seconds(self.billed_ms as f64 * mib(memory)),
            None => {
                let unlimited_ms = self.billed_ms.saturating_sub(self.limited_ms);
                gb_seconds(self.mib_ms as f64 + unlimited_ms as f64 * mib(unlimited))
            }
        }
    }
}

/// A duration in milliseconds, rounded up.
pub fn billed(wall: Duration) -> u64 {
    u64::try_from(wall.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usage(billed_ms: u64, memory: u64, puts: u64) -> Spent {
        let store = Operations {
            puts,
            bytes_up: puts * 10,
            ..Operations::default()
        };
        Spent {
            invocation: Some(Usage {
                billed_ms,
                memory,
                store,
            }),
            ..Spent::default()
        }
    }

    #[test]
    fn time_is_rounded_up_to_a_millisecond_and_no_time_costs_nothing() {
        assert_eq!(billed(Duration::ZERO), 0);
        assert_eq!(billed(Duration::from_nanos(1)), 1);
        assert_eq!(billed(Duration::from_micros(999)), 1);
        assert_eq!(billed(Duration::from_millis(7)), 7);
        assert_eq!(billed(Duration::from_micros(7_000_001)), 7001);
        assert_eq!(billed(Duration::MAX), u64::MAX);
    }

    #[test]
    fn what_was_never_started_costs_nothing_and_what_ran_on_the_coordinator_is_not_rented() {
        let mut totals = Totals::default();
        let throttled = InvocationOutcome::Throttled("no room".to_string());
        totals.add(&throttled, &usage(900, 0, 3), Duration::from_secs(9));
        assert_eq!(totals, Totals::default());
        let spent = Spent {
            on_coordinator: true,
            ..usage(900, 0, 3)
        };
        totals.add(&InvocationOutcome::Returned, &spent, Duration::from_secs(9));
        let expected = Totals {
            on_coordinator: 1,
            workers: usage(900, 0, 3).invocation.unwrap().store,
            ..Totals::default()
        };
        assert_eq!(totals, expected);
    }

    #[test]
    fn the_platforms_own_time_counts_and_the_coordinators_only_without_it() {
        let mut totals = Totals::default();
        totals.add(&InvocationOutcome::Returned, &usage(5, 0, 0), Duration::from_millis(80));
        assert_eq!((totals.billed_ms, totals.cut_off), (5, 0));
        let killed = InvocationOutcome::Killed("chaos".to_string());
        totals.add(&killed, &Spent::default(), Duration::from_micros(79_001));
        assert_eq!((totals.invocations, totals.billed_ms, totals.cut_off), (2, 85, 1));
    }

    #[test]
    fn memory_is_multiplied_by_the_time_of_those_who_had_it() {
        let mut totals = Totals::default();
        let mut end = |spent: Spent| totals.add(&InvocationOutcome::Returned, &spent, Duration::ZERO);
        end(usage(1000, 512 * MIB, 0));
        end(usage(2000, 1024 * MIB, 0));
        end(usage(4000, 0, 0));
        let whole = 2048 * MIB;
        assert!((totals.gb_seconds(None, whole) - (0.5 + 2.0 + 8.0)).abs() < 1e-9);
        assert!(
            (totals.gb_seconds(Some(whole), 1) - 14.0).abs() < 1e-9,
            "as if all had had it"
        );
    }

    #[test]
    fn a_line_has_no_zeros_and_is_read_as_it_was_written() {
        let spent = Spent {
            coordinator: Operations {
                lists: 1,
                ..Operations::default()
            },
            ..usage(5, 0, 2)
        };
        let text = spent.without_zeros(serde_json::value::Serializer).unwrap().to_string();
        assert_eq!(
            text,
            r#"{"coordinator":{"lists":1},"invocation":{"billed_ms":5,"store":{"bytes_up":20,"puts":2}}}"#
        );
        assert_eq!(serde_json::from_str::<Spent>(&text).unwrap(), spent);
        assert_eq!(serde_json::from_str::<Spent>("{}").unwrap(), Spent::default());
    }

    #[test]
    fn absurd_numbers_from_a_worker_overflow_nothing() {
        let mut totals = Totals::default();
        for _ in 0..3 {
            let mut spent = usage(u64::MAX, u64::MAX, 0);
            if let Some(usage) = &mut spent.invocation {
                usage.store.puts = u64::MAX;
                usage.store.gets = u64::MAX;
            }
            totals.add(&InvocationOutcome::Returned, &spent, Duration::MAX);
        }
        assert_eq!(totals.store().count(), u64::MAX);
        assert!(totals.gb_seconds(None, u64::MAX).is_finite());
    }
}
