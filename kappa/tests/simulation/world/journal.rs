//! A journal at which the coordinator dies: before a write, after it, in the middle of one.

use super::faults::Class;
use super::{Epoch, World};
use async_trait::async_trait;
use kappa::coordinator::state::{State, decode_record};
use kappa::journal::{Journal, JournalError};
use std::sync::Arc;

/// The world's one journal, as the coordinator of one life sees it.
pub(crate) struct SimulatedJournal {
    pub(crate) world: Arc<World>,
    pub(crate) epoch: Epoch,
    /// Whether a call is recorded on the caller's own thread, or in groups while others are being written.
    pub(crate) is_immediate: bool,
    pub(crate) snapshot_floor: usize,
    /// It does not wait for the disk.
    pub(crate) may_lose_its_end: bool,
}

/// What has been written.
#[derive(Default)]
pub(crate) struct Written {
    snapshot: Option<Vec<u8>>,
    /// Groups, each of which counts only as a whole.
    groups: Vec<Group>,
    /// All records, from the first on.
    all: Vec<Vec<u8>>,
    /// How many of them the snapshot stands for.
    replaced: usize,
    /// How many of them no loss of power takes.
    synced: usize,
}

impl Written {
    /// How many records no loss of power takes, and how many there are.
    pub(crate) fn unsynced(&self) -> (usize, usize) {
        (self.synced, self.all.len())
    }

    /// Loses all but so many records; gives those that are left.
    pub(crate) fn cut(&mut self, kept: usize) -> Vec<Vec<u8>> {
        self.all.truncate(kept);
        self.groups = vec![Group {
            records: self.all[self.replaced..].to_vec(),
            is_whole: true,
        }];
        self.all.clone()
    }
}

struct Group {
    records: Vec<Vec<u8>>,
    is_whole: bool,
}

fn dead() -> JournalError {
    JournalError::Unavailable {
        place: "simulated".to_string(),
        action: "write".to_string(),
        cause: "the coordinator is dead".to_string(),
    }
}

impl SimulatedJournal {
    fn dies(&self, how: &'static str, what: &dyn Fn() -> String) -> bool {
        let dies = self.world.strikes(Class::Coordinator, how, what) || self.world.is_last_write(how);
        if dies {
            self.world.coordinator_dies(self.epoch);
        }
        dies
    }

    async fn pass(&self) -> Result<(), JournalError> {
        if !self.is_immediate {
            let time = self.world.dice.number(0..2000);
            self.world.clock.wait(time).await;
        }
        if self.world.is_paused(self.epoch) && !self.is_immediate {
            // It is stopped, and hears only later that somebody else has the run.
            self.world.clock.wait(2_000_000).await;
        }
        match self.world.is_alive(self.epoch) {
            true => Ok(()),
            false => Err(dead()),
        }
    }

    fn what(records: &[Vec<u8>]) -> String {
        match records {
            [record] => match decode_record(record) {
                Ok((_, event)) => format!("record of {}", super::event_name(&event)),
                Err(_) => "a record".to_string(),
            },
            _ => "a group of records".to_string(),
        }
    }
}

#[async_trait]
impl Journal for SimulatedJournal {
    async fn append(&self, records: Vec<Vec<u8>>) -> Result<(), JournalError> {
        self.pass().await?;
        self.world.count_write();
        let what = || Self::what(&records);
        if self.dies("coordinator dies before", &what) {
            return Err(dead());
        }
        if records.len() > 1 && self.dies("coordinator dies in the middle of", &what) {
            let part = self.world.dice.number(1..records.len() as u64) as usize;
            let torn = Group {
                records: records[..part].to_vec(),
                is_whole: false,
            };
            self.world.write(|written| written.groups.push(torn));
            return Err(dead());
        }
        let dies = self.dies("coordinator dies after", &what);
        self.world.follow(&records);
        let group = Group {
            records,
            is_whole: true,
        };
        self.world.write(|written| {
            written.all.extend(group.records.iter().cloned());
            written.groups.push(group);
        });
        match dies {
            true => Err(dead()),
            false => Ok(()),
        }
    }

    async fn snapshot(&self, snapshot: Vec<u8>) -> Result<(), JournalError> {
        self.pass().await?;
        if self.dies("coordinator dies before", &|| "snapshot".to_string()) {
            return Err(dead());
        }
        self.world.check_state("a snapshot", &snapshot);
        self.world.write(|written| {
            written.snapshot = Some(snapshot);
            written.groups.clear();
            // Other than records it is always waited for.
            written.replaced = written.all.len();
            written.synced = written.all.len();
        });
        match self.dies("coordinator dies after", &|| "snapshot".to_string()) {
            true => Err(dead()),
            false => Ok(()),
        }
    }

    async fn load(&self) -> Result<(Option<Vec<u8>>, Vec<Vec<u8>>), JournalError> {
        self.world.lose_the_end();
        let (snapshot, records) = self.world.write(|written| {
            written.groups.retain(|group| group.is_whole);
            let records: Vec<_> = written.groups.iter().flat_map(|group| group.records.clone()).collect();
            (written.snapshot.clone(), records)
        });
        if snapshot.is_some() || !records.is_empty() {
            let state = match &snapshot {
                Some(bytes) => State::restore(bytes).map_err(|_| dead())?,
                None => State::new(self.world.run),
            };
            let replayed = records.iter().try_fold(state, |mut state, record| {
                let (at, event) = decode_record(record)?;
                state.apply(at, event, &mut Vec::new());
                Ok::<_, kappa::coordinator::state::RestoreError>(state)
            });
            match replayed {
                Ok(state) => self.world.check_state("what a recovery reads", &state.snapshot()),
                Err(cause) => self.world.violated(format!("what was written cannot be read: {cause}")),
            }
        }
        Ok((snapshot, records))
    }

    fn is_immediate(&self) -> bool {
        self.is_immediate
    }

    fn is_blocking(&self) -> bool {
        false
    }

    fn snapshot_floor(&self) -> usize {
        self.snapshot_floor
    }

    async fn sync(&self) -> Result<(), JournalError> {
        let length = self.world.write(|written| written.all.len());
        self.pass().await?;
        self.world.write(|written| written.synced = written.synced.max(length));
        Ok(())
    }

    fn may_lose_its_end(&self) -> bool {
        self.may_lose_its_end
    }

    fn longest_snapshot(&self) -> usize {
        usize::MAX
    }
}
