//! Objects that nobody can need any more, on their way out of the store.
//!
//! Guarantees that whatever of the journal survives the machine finds the objects that it names: an object goes only once the decision that made it superfluous
//! cannot be lost any more. Where the journal may lose its end, deletions wait for a while, and then for the disk, together.

use super::Shared;
use crate::coordinator::state::Timestamp;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::Weak;
use std::time::Duration;

/// How long a deletion waits if the journal may lose its end: longer than what a machine usually keeps from the disk counts for little, but each round costs
/// one wait for the disk.
const HELD_BACK: Duration = Duration::from_secs(5);

/// No more is held back than so many objects, and bytes of them.
const MOST_OBJECTS: usize = 1000;
const MOST_BYTES: u64 = 64 << 20;

/// An object that is to be deleted.
pub(super) struct Superfluous {
    pub(super) key: String,
    pub(super) length: u64,
}

/// What is held back.
#[derive(Default)]
pub(super) struct Garbage(Mutex<Held>);

#[derive(Default)]
struct Held {
    objects: VecDeque<(Timestamp, Superfluous)>,
    bytes: u64,
    /// Somebody sees to it.
    is_seen_to: bool,
}

impl Held {
    /// What may go now, oldest first; and how long the next one stays.
    fn due(&mut self, now: Timestamp) -> (Vec<String>, Option<Duration>) {
        let mut due = Vec::new();
        while let Some((since, object)) = self.objects.front() {
            let left = HELD_BACK.saturating_sub(now.since(*since));
            let is_too_much = self.objects.len() > MOST_OBJECTS || self.bytes > MOST_BYTES;
            if !left.is_zero() && !is_too_much {
                return (due, Some(left));
            }
            self.bytes -= object.length;
            due.extend(self.objects.pop_front().map(|(_, object)| object.key));
        }
        (due, None)
    }
}

impl Shared {
    /// Deletes these objects, which are superfluous by what has been recorded.
    pub(super) fn delete(&self, objects: Vec<Superfluous>) {
        // Counted now: the run may end before they are done.
        self.count_deletions(objects.len());
        let Some(me) = self.me.upgrade() else { return };
        let may_be_needed_again = self
            .setup
            .journal
            .as_ref()
            .is_some_and(|journal| journal.may_lose_its_end());
        if !may_be_needed_again {
            let keys = objects.into_iter().map(|object| object.key).collect();
            self.setup.runtime.spawn(async move { me.delete_now(keys).await });
            return;
        }
        let mut held = self.garbage.0.lock();
        let now = self.setup.clock.now();
        for object in objects {
            held.bytes += object.length;
            held.objects.push_back((now, object));
        }
        if !std::mem::replace(&mut held.is_seen_to, true) {
            let clock = self.setup.clock.clone();
            let coordinator = self.me.clone();
            self.setup.runtime.spawn(async move {
                // Nothing of the coordinator is kept meanwhile: whoever resumes its run needs the journal.
                while let Some(pause) = see_to_garbage(&coordinator).await {
                    clock.sleep(pause).await;
                }
            });
        }
    }

    /// Deletes what may go now; gives how long to wait with the rest, if there is any.
    async fn see_to_due(&self) -> Option<Duration> {
        let (due, left) = {
            let mut held = self.garbage.0.lock();
            let (due, left) = held.due(self.setup.clock.now());
            if due.is_empty() && left.is_none() {
                held.is_seen_to = false;
                return None;
            }
            (due, left.unwrap_or_default())
        };
        if due.is_empty() {
            return Some(left);
        }
        let synced = match &self.setup.journal {
            Some(journal) => journal.sync().await,
            None => Ok(()),
        };
        match synced {
            Ok(()) => self.delete_now(due).await,
            // They are deleted with everything else at the run's end.
            Err(cause) => tracing::warn!(%cause, "objects that are not needed any more stay for now"),
        }
        Some(left)
    }

    async fn delete_now(&self, keys: Vec<String>) {
        for key in keys {
            if let Err(cause) = self.doings.uncounted.delete(&key).await {
                // It is deleted with everything else at the run's end.
                tracing::warn!(%cause, "an object that is not needed any more stays for now");
            }
        }
    }
}

async fn see_to_garbage(coordinator: &Weak<Shared>) -> Option<Duration> {
    let coordinator = coordinator.upgrade().filter(|shared| !shared.is_stopped())?;
    coordinator.see_to_due().await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hold(held: &mut Held, at: u64, length: u64) {
        let object = Superfluous {
            key: format!("{at}"),
            length,
        };
        held.bytes += length;
        held.objects.push_back((Timestamp(at), object));
    }

    #[test]
    fn what_is_held_back_goes_in_time_and_is_never_too_much() {
        let mut held = Held::default();
        hold(&mut held, 1_000_000, 10);
        hold(&mut held, 4_000_000, 10);
        assert_eq!(held.due(Timestamp(5_000_000)), (vec![], Some(Duration::from_secs(1))));
        let (due, left) = held.due(Timestamp(6_000_000));
        assert_eq!((due, left), (vec!["1000000".to_string()], Some(Duration::from_secs(3))));
        hold(&mut held, 6_000_000, MOST_BYTES);
        let (due, left) = held.due(Timestamp(6_000_000));
        assert_eq!((due.len(), left), (1, Some(HELD_BACK)), "the older one makes way");
        for _ in 0..MOST_OBJECTS {
            hold(&mut held, 6_000_000, 0);
        }
        assert_eq!(held.due(Timestamp(6_000_000)).0.len(), 1);
        assert_eq!(held.due(Timestamp(12_000_000)).0.len(), MOST_OBJECTS);
        assert_eq!((held.bytes, held.due(Timestamp(12_000_000))), (0, (vec![], None)));
    }
}
