//! A journal in Redis, on one server or replicated over several.
//!
//! Guarantees, beside what [`crate::replicas`] does for every value (a batch that was acknowledged is on every live server):
//!
//! * Batches are numbered, and put where there is none: of two coordinators, only one can write a batch of a number.
//! * One coordinator at a time: whoever opens the journal takes its *lease*, and every write names the lease under which it was made. A write under a lease that
//!   somebody else has taken is refused by the servers, in the same step, so a coordinator that was given up can write nothing any more.
//! * A lease is taken from a coordinator only if it gives no sign of life for [`WATCHED`]. No clocks are compared, and no server's signs with another's: one
//!   that was away may have an old one.
//! * A batch is put only if the one before it is there: a server that has forgotten something that it acknowledged is noticed, not built upon.
//! * A batch, and a snapshot, is read only if it is as it was written, byte for byte.
//!
//! Keys of run `R`: `R/lease`, `R/batch/N`, `R/snapshot/N` (stands for all batches before `N`). When a snapshot is there, what it stands for is deleted.

use super::records::{SEAL, join, seal, split, unseal};
use super::{Journal, JournalError};
use crate::ids::RunId;
use crate::record::servers::{about_key, record_keys};
use crate::replicas::{Busy, Guard, New, Outcome, Problem, PutId, Replicas};
use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;

/// What the keys of journals begin with.
const JOURNALS: &str = "kappa:j:";

/// How often a coordinator gives a sign of life.
const BEAT: Duration = Duration::from_millis(500);

/// How long one that gives none is watched before its lease is taken.
const WATCHED: Duration = Duration::from_secs(3);

/// How often it is looked at meanwhile.
const LOOK: Duration = Duration::from_millis(100);

/// So often is looked in vain for the first sign of life.
const FIRST_BEAT: u32 = 3;

/// So many batches are read at once: it is the way to the server and back that takes the time.
const READ_AT_ONCE: usize = 16;

/// Small, because there is a value for each batch, and all of them are read again at a resume.
const SNAPSHOT_FLOOR: usize = 1 << 20;

/// The record of one run.
pub(crate) struct RedisJournal {
    replicas: Arc<Replicas>,
    run: RunId,
    guard: Guard,
    /// What the run deletes is on the same servers.
    has_objects_beside: bool,
    batches: Mutex<Batches>,
    beating: tokio::task::AbortHandle,
    /// Until the lease is given back.
    busy: Option<Busy>,
}

#[derive(Clone, Debug)]
struct Batches {
    /// Number of the first batch that the snapshot does not stand for.
    first: u64,
    next: u64,
    /// The snapshot's id, if there is one.
    snapshot: Option<PutId>,
    /// What a write has failed with: it may have taken effect or not, so nothing more is written.
    failure: Option<JournalError>,
}

fn lease_key(run: RunId) -> String {
    format!("{JOURNALS}{run}/lease")
}

fn batch_key(run: RunId, number: u64) -> String {
    format!("{JOURNALS}{run}/batch/{number:020}")
}

fn snapshot_key(run: RunId, number: u64) -> String {
    format!("{JOURNALS}{run}/snapshot/{number:020}")
}

fn beat_key(run: RunId) -> String {
    format!("kappa:beat:{run}")
}

/// What a lease says when nobody has it.
const FREE: &[u8] = b"free";
const HELD: &[u8] = b"held";

/// The runs that have a journal, oldest first.
pub(crate) async fn runs(replicas: &Replicas) -> Result<Vec<RunId>, Problem> {
    // Whatever is left of a run: one that has lost a part is not to vanish from the list.
    let keys = replicas.list(&format!("{JOURNALS}*")).await?;
    let ids = keys
        .iter()
        .filter_map(|key| key.strip_prefix(JOURNALS)?.split('/').next());
    let mut runs: Vec<_> = ids.filter_map(RunId::parse).collect();
    runs.sort_unstable();
    runs.dedup();
    Ok(runs)
}

impl RedisJournal {
    /// Makes the journal of a new run.
    ///
    /// # Errors
    /// If there is one already, or the servers are not there.
    pub(crate) async fn create(replicas: &Arc<Replicas>, run: RunId) -> Result<Self, JournalError> {
        match take_lease(replicas, run, None).await? {
            Some(guard) => Ok(Self::with(replicas, run, guard, Batches::none())),
            None => Err(unavailable(replicas, run, "create it", "there is one already")),
        }
    }

    /// Opens the journal that another coordinator has left. Takes some seconds if that one has not closed it.
    ///
    /// # Errors
    /// [`JournalError::NotFound`] if there is none, [`JournalError::InUse`] if another coordinator is working with it.
    pub(crate) async fn open(replicas: &Arc<Replicas>, run: RunId) -> Result<Self, JournalError> {
        let journal = match watch(replicas, run).await? {
            Some(lease) => Self::take_over(replicas, run, Some(lease)).await?,
            None => return Err(unavailable(replicas, run, "open it", &lease_is_gone(replicas))),
        };
        // What the one before was writing when it died may be on some of the servers only. Nobody writes here any more.
        let everything = format!("{JOURNALS}{run}/*");
        let failed = |problem: Problem| unavailable(replicas, run, "read it", &problem.to_string());
        replicas.align(&everything).await.map_err(failed)?;
        let keys = replicas.list(&everything).await.map_err(failed)?;
        journal.find(&keys).await?;
        Ok(journal)
    }

    /// The same without looking at what is in it, to delete it: also a journal that has lost its lease.
    ///
    /// # Errors
    /// As [`RedisJournal::open`].
    pub(crate) async fn take(replicas: &Arc<Replicas>, run: RunId) -> Result<Self, JournalError> {
        let lease = watch(replicas, run).await?;
        Self::take_over(replicas, run, lease).await
    }

    async fn take_over(replicas: &Arc<Replicas>, run: RunId, lease: Option<PutId>) -> Result<Self, JournalError> {
        match take_lease(replicas, run, lease).await? {
            Some(guard) => Ok(Self::with(replicas, run, guard, Batches::none())),
            None => Err(JournalError::InUse {
                place: place(replicas, run),
            }),
        }
    }

    /// Deletes the journal, and the run's record.
    pub(crate) async fn delete(&self) -> Result<(), JournalError> {
        let failed = |problem: Problem| unavailable(&self.replicas, self.run, "delete it", &problem.to_string());
        let mut keys = Vec::new();
        for pattern in [format!("{JOURNALS}{}/*", self.run), record_keys(self.run)] {
            keys.extend(self.replicas.list_on_all(&pattern).await.map_err(failed)?);
        }
        // The lease goes last: as long as it is there, the run is listed, and can be removed again; with it what the run is called in a list.
        let is_last = |key: &String| *key == self.guard.key || *key == about_key(self.run);
        let (last, others): (Vec<_>, Vec<_>) = keys.into_iter().partition(is_last);
        if !self.replicas.delete(&others, Some(&self.guard)).await.map_err(failed)? {
            return Err(self.fenced("delete it").await);
        }
        if self.replicas.delete(&last, Some(&self.guard)).await.map_err(failed)? {
            return Ok(());
        }
        // If servers came or went meanwhile, it may have been this that has deleted the lease.
        match self.replicas.get_named(&self.guard.key).await.map_err(failed)? {
            None => Ok(()),
            Some(_) => Err(self.in_use()),
        }
    }

    /// The same for a run whose objects are on the same servers, or not.
    pub(crate) fn beside_objects(mut self, are_here: bool) -> Self {
        self.has_objects_beside = are_here;
        self
    }

    pub(crate) fn run(&self) -> RunId {
        self.run
    }

    pub(crate) fn replicas(&self) -> &Arc<Replicas> {
        &self.replicas
    }

    /// What must be there for whoever writes in the name of this coordinator.
    pub(crate) fn guard(&self) -> &Guard {
        &self.guard
    }

    fn with(replicas: &Arc<Replicas>, run: RunId, guard: Guard, batches: Batches) -> Self {
        RedisJournal {
            replicas: replicas.clone(),
            run,
            guard,
            has_objects_beside: false,
            batches: Mutex::new(batches),
            beating: replicas.every(BEAT, beat_key(run)),
            busy: Some(replicas.busy()),
        }
    }

    /// Finds out which batches there are, and deletes those that the snapshot stands for.
    async fn find(&self, keys: &[String]) -> Result<(), JournalError> {
        let number = |key: &str, kind: &str| -> Option<u64> {
            let rest = key.strip_prefix(&format!("{JOURNALS}{}/{kind}/", self.run))?;
            rest.parse().ok()
        };
        let snapshots: Vec<_> = keys.iter().filter_map(|key| number(key, "snapshot")).collect();
        let mut numbers: Vec<_> = keys.iter().filter_map(|key| number(key, "batch")).collect();
        numbers.sort_unstable();
        let first = snapshots.iter().copied().max().unwrap_or(0);
        let next = numbers.last().map_or(first, |last| first.max(last + 1));
        let counted = numbers.iter().filter(|number| **number >= first).count() as u64;
        if counted != next - first {
            return Err(self.unavailable(
                "read it",
                "a batch is missing: a server has lost what it had acknowledged",
            ));
        }
        let snapshot = match snapshots.is_empty() {
            true => None,
            false => {
                let key = snapshot_key(self.run, first);
                let read = self.replicas.get_named(&key).await;
                match read.map_err(|problem| self.problem("read it", &problem))? {
                    // What it stands for is the last thing that could help.
                    Some((id, value)) => {
                        self.unsealed("its snapshot", &key, &value)?;
                        Some(id)
                    }
                    // Without it, what came after it would be taken for all that there was.
                    None => return Err(self.unavailable("read it", "its snapshot is damaged")),
                }
            }
        };
        let old = snapshots
            .iter()
            .filter(|number| **number < first)
            .map(|number| snapshot_key(self.run, *number));
        let stood_for = numbers
            .iter()
            .filter(|number| **number < first)
            .map(|number| batch_key(self.run, *number));
        self.forget(old.chain(stood_for).collect()).await?;
        *self.batches.lock().await = Batches {
            first,
            next,
            snapshot,
            failure: None,
        };
        Ok(())
    }

    async fn forget(&self, keys: Vec<String>) -> Result<(), JournalError> {
        match self.replicas.delete(&keys, Some(&self.guard)).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(self.fenced("delete what is not needed any more").await),
            Err(problem) => Err(self.problem("delete what is not needed any more", &problem)),
        }
    }

    async fn put(
        &self,
        action: &str,
        key: &str,
        value: &[u8],
        replaces: Option<PutId>,
        previous: Option<&str>,
    ) -> Result<PutId, JournalError> {
        let longest = self.longest_snapshot();
        if value.len() > longest {
            let cause = format!(
                "it has {} bytes, and the servers take at most {longest} (their setting proto-max-bulk-len, which need not be more than 512 MB)",
                value.len()
            );
            return Err(self.unavailable(action, &cause));
        }
        let new = New {
            key,
            value: &seal(key, value),
            replaces,
            guard: Some(&self.guard),
            previous,
        };
        match self.replicas.put(new).await {
            Ok(Outcome::Done(id)) => Ok(id),
            Ok(Outcome::Taken) => Err(self.in_use()),
            Ok(Outcome::Fenced) => Err(self.fenced(action).await),
            Ok(Outcome::NothingBefore) => Err(self.unavailable(
                action,
                "what was written before is gone: a server has lost what it had acknowledged",
            )),
            Err(problem) => Err(self.problem(action, &problem)),
        }
    }

    async fn read(&self, key: String) -> Result<Bytes, JournalError> {
        let value = self.replicas.get(&key).await;
        let value = value.map_err(|problem| self.problem("read it", &problem))?;
        value.ok_or_else(|| {
            self.unavailable(
                "read it",
                "a part of it is missing: a server has lost what it had acknowledged",
            )
        })
    }

    async fn read_batch(&self, number: u64) -> Result<Vec<Vec<u8>>, JournalError> {
        let (key, name) = (batch_key(self.run, number), format!("batch {number}"));
        let value = self.read(key.clone()).await?;
        let mut records = Vec::new();
        split(self.unsealed(&name, &key, &value)?, &mut records)
            .ok_or_else(|| self.unavailable("read it", &format!("{name} is damaged")))?;
        Ok(records)
    }

    fn unsealed<'a>(&self, name: &str, key: &str, value: &'a [u8]) -> Result<&'a [u8], JournalError> {
        unseal(key, value).map_err(|cause| self.unavailable("read it", &format!("{name} {cause}")))
    }

    /// The lease is not this coordinator's any more: somebody else's, or gone.
    async fn fenced(&self, action: &str) -> JournalError {
        match self.replicas.get_named(&self.guard.key).await {
            Ok(None) => self.unavailable(action, &lease_is_gone(&self.replicas)),
            _ => self.in_use(),
        }
    }

    fn in_use(&self) -> JournalError {
        JournalError::InUse {
            place: place(&self.replicas, self.run),
        }
    }

    fn problem(&self, action: &str, problem: &Problem) -> JournalError {
        self.unavailable(action, &problem.to_string())
    }

    fn unavailable(&self, action: &str, cause: &str) -> JournalError {
        unavailable(&self.replicas, self.run, action, cause)
    }
}

impl Batches {
    fn none() -> Self {
        Batches {
            first: 0,
            next: 0,
            snapshot: None,
            failure: None,
        }
    }

    /// Whatever has failed stays failed: nobody knows how much of it has been done.
    fn settle<T>(&mut self, outcome: Result<T, JournalError>) -> Result<T, JournalError> {
        if let Err(failure) = &outcome {
            self.failure = Some(failure.clone());
        }
        outcome
    }

    fn check(&self) -> Result<(), JournalError> {
        self.failure.clone().map_or(Ok(()), Err)
    }
}

#[async_trait]
impl Journal for RedisJournal {
    fn is_blocking(&self) -> bool {
        false
    }

    fn runtime(&self) -> Option<tokio::runtime::Handle> {
        Some(self.replicas.runtime())
    }

    async fn append(&self, records: Vec<Vec<u8>>) -> Result<(), JournalError> {
        if records.is_empty() {
            return Ok(());
        }
        let mut batches = self.batches.lock().await;
        batches.check()?;
        let number = batches.next;
        let previous = match number {
            _ if number > batches.first => batch_key(self.run, number - 1),
            _ if batches.snapshot.is_some() => snapshot_key(self.run, number),
            _ => self.guard.key.clone(),
        };
        let key = batch_key(self.run, number);
        let put = self.put("append", &key, &join(&records), None, Some(&previous)).await;
        batches.settle(put)?;
        batches.next += 1;
        Ok(())
    }

    async fn snapshot(&self, snapshot: Vec<u8>) -> Result<(), JournalError> {
        let mut batches = self.batches.lock().await;
        batches.check()?;
        let number = batches.next;
        let key = snapshot_key(self.run, number);
        let is_again = number == batches.first && batches.snapshot.is_some();
        let replaces = batches.snapshot.filter(|_| is_again);
        let put = self.put("write a snapshot", &key, &snapshot, replaces, None).await;
        let id = batches.settle(put)?;
        let mut old: Vec<_> = (batches.first..number)
            .map(|batch| batch_key(self.run, batch))
            .collect();
        if batches.snapshot.is_some() && !is_again {
            old.push(snapshot_key(self.run, batches.first));
        }
        batches.first = number;
        batches.snapshot = Some(id);
        let forgotten = self.forget(old).await;
        batches.settle(forgotten)
    }

    async fn load(&self) -> Result<(Option<Vec<u8>>, Vec<Vec<u8>>), JournalError> {
        let batches = self.batches.lock().await;
        let snapshot = match batches.snapshot {
            Some(_) => {
                let key = snapshot_key(self.run, batches.first);
                let value = self.read(key.clone()).await?;
                Some(self.unsealed("its snapshot", &key, &value)?.to_vec())
            }
            None => None,
        };
        let reads = (batches.first..batches.next).map(|number| self.read_batch(number));
        let mut reads = stream::iter(reads).buffered(READ_AT_ONCE);
        let mut records = Vec::new();
        while let Some(batch) = reads.try_next().await? {
            records.extend(batch);
        }
        Ok((snapshot, records))
    }

    async fn sync(&self) -> Result<(), JournalError> {
        Ok(())
    }

    /// What is acknowledged is on all servers, and few servers save what they are given before they say so: whichever is the last one, or the only one, may be
    /// started again without what it was given in the last second. If that is a decision after which an object was deleted from there, it has the object again.
    fn may_lose_its_end(&self) -> bool {
        !self.has_objects_beside
    }

    fn longest_snapshot(&self) -> usize {
        self.replicas.longest_value().saturating_sub(SEAL)
    }

    fn snapshot_floor(&self) -> usize {
        SNAPSHOT_FLOOR
    }
}

impl Drop for RedisJournal {
    /// Lets the next coordinator begin at once.
    fn drop(&mut self) {
        self.beating.abort();
        let (guard, run, busy) = (self.guard.clone(), self.run, self.busy.take());
        self.replicas.in_background(async move |replicas| {
            let free = New {
                key: &guard.key,
                value: FREE,
                replaces: Some(guard.id),
                guard: None,
                previous: None,
            };
            // If it cannot be freed, the next one waits until it is sure that nobody is here.
            if let Err(problem) = replicas.put(free).await {
                tracing::debug!(%run, %problem, "the journal's lease cannot be given back");
            }
            drop(busy);
        });
    }
}

/// Waits until nobody works with the journal; gives its lease's id, or nothing if the lease is gone and something else is there. Then nobody can write under it.
async fn watch(replicas: &Arc<Replicas>, run: RunId) -> Result<Option<PutId>, JournalError> {
    let failed = |problem: Problem| unavailable(replicas, run, "open it", &problem.to_string());
    let in_use = || JournalError::InUse {
        place: place(replicas, run),
    };
    let not_found = || JournalError::NotFound {
        place: place(replicas, run),
    };
    let (lease, beat) = (lease_key(run), beat_key(run));
    let read = replicas.get_named(&lease).await.map_err(failed)?;
    let Some((id, says)) = read else {
        let left = replicas.list(&format!("{JOURNALS}{run}/*")).await.map_err(failed)?;
        return match left.is_empty() {
            true => Err(not_found()),
            false => Ok(None),
        };
    };
    if says == FREE {
        return Ok(Some(id));
    }
    let mut known = HashMap::new();
    heard(&mut known, replicas.beats(&beat).await.map_err(failed)?);
    // By looks and not by the clock: while the servers do not answer, nobody can give a sign of life, and nobody could see one.
    for _ in 0..WATCHED.as_millis() / LOOK.as_millis() {
        replicas.sleep(LOOK).await;
        let read = replicas.get_named(&lease).await.map_err(failed)?;
        let (now, says) = read.ok_or_else(not_found)?;
        if says == FREE {
            return Ok(Some(now));
        }
        let is_alive = heard(&mut known, replicas.beats(&beat).await.map_err(failed)?);
        // Or somebody else was faster.
        if is_alive || now != id {
            return Err(in_use());
        }
    }
    Ok(Some(id))
}

/// Whether any server has another beat than it had the last time, which `known` says by the servers' processes. Of one that was not looked at before nothing
/// follows: it may have been away, and come back with an old beat.
fn heard(known: &mut HashMap<String, Option<Vec<u8>>>, beats: Vec<(String, Option<Vec<u8>>)>) -> bool {
    let mut is_alive = false;
    for (server, beat) in beats {
        is_alive |= known
            .get(&server)
            .is_some_and(|before| beat.is_some() && *before != beat);
        known.insert(server, beat);
    }
    is_alive
}

/// Whether a coordinator works with the journal of this run. Whoever has not freed its lease is watched, if there was a sign of life of it a moment ago.
pub(crate) async fn is_worked_on(replicas: &Replicas, run: RunId) -> Result<bool, Problem> {
    let beat = beat_key(run);
    let mut looks_in_vain = 0;
    let mut known = HashMap::new();
    loop {
        match replicas.get_named(&lease_key(run)).await? {
            Some((_, says)) if says != FREE => {}
            _ => return Ok(false),
        }
        if heard(&mut known, replicas.beats(&beat).await?) {
            return Ok(true);
        }
        match replicas.silence(&beat).await? {
            Some(silence) if silence > WATCHED => return Ok(false),
            Some(_) => {}
            // It may have begun just now, and its first one is on its way.
            None if looks_in_vain == FIRST_BEAT => return Ok(false),
            None => looks_in_vain += 1,
        }
        replicas.sleep(LOOK).await;
    }
}

/// Takes the lease with this id, or a new one. Nothing if somebody was faster.
async fn take_lease(
    replicas: &Arc<Replicas>,
    run: RunId,
    replaces: Option<PutId>,
) -> Result<Option<Guard>, JournalError> {
    let key = lease_key(run);
    let new = New {
        key: &key,
        value: HELD,
        replaces,
        guard: None,
        previous: None,
    };
    match replicas.put(new).await {
        Ok(Outcome::Done(id)) => Ok(Some(Guard { key, id })),
        Ok(_) => Ok(None),
        Err(problem) => Err(unavailable(replicas, run, "open it", &problem.to_string())),
    }
}

fn lease_is_gone(replicas: &Replicas) -> String {
    format!(
        "its lease is gone: something was deleted or evicted on {}, which has lost what it had acknowledged",
        replicas.name()
    )
}

fn place(replicas: &Replicas, run: RunId) -> String {
    format!("of run {run} on {}", replicas.name())
}

fn unavailable(replicas: &Replicas, run: RunId, action: &str, cause: &str) -> JournalError {
    JournalError::Unavailable {
        place: place(replicas, run),
        action: action.to_string(),
        cause: cause.to_string(),
    }
}

#[cfg(test)]
mod tests;
