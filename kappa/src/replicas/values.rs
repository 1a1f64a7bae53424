//! Reading and writing: each operation is tried under one view after the other until all servers of one have done it.

use super::clock;
use super::heal::{Scan, drop_all, give, ids};
use super::scripts::{self, Guard, ID_BYTES, Prepared, Put, PutId, Said};
use super::server::{Connected, Lane, Trouble};
use super::{PERSISTENCE, Pending, Problem, Replicas, Serving};
use bytes::Bytes;
use futures::future::join_all;
use redis::Value;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The keys of all values: objects of stores, journals, and records.
pub(super) const PATTERN: &str = "kappa:[ojr]:*";

/// Most bytes of one value: Redis takes strings of 512 MiB.
pub(crate) const VALUE_LIMIT: usize = (512 << 20) - 1024;

/// How long a beat is kept, in milliseconds.
const BEAT_FOR: u64 = 60_000;

/// How many keys are deleted in one step.
const DELETED_AT_ONCE: usize = 1000;

/// A value to be put.
#[derive(Clone)]
pub(crate) struct New<'a> {
    pub(crate) key: &'a str,
    pub(crate) value: &'a [u8],
    /// The id of the value that it replaces; `None` if there is none.
    pub(crate) replaces: Option<PutId>,
    /// What must be there, and be this.
    pub(crate) guard: Option<&'a Guard>,
    /// A key that must be there.
    pub(crate) previous: Option<&'a str>,
}

/// What has become of a value that was to be put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// All servers have it; it is named so.
    Done(PutId),
    /// All servers have another one instead.
    Taken,
    /// The guard is not what was named.
    Fenced,
    /// The key that must be there is not.
    NothingBefore,
}

pub(crate) fn new_id() -> PutId {
    super::new_uuid().into_bytes()
}

impl Replicas {
    /// Puts a value on all servers.
    pub(crate) async fn put(&self, new: New<'_>) -> Result<Outcome, Problem> {
        let _pending = Pending::begin(self);
        let id = new_id();
        let started = clock::now();
        loop {
            let serving = self.serving_since(started).await?;
            if !self.all_take(&serving, new.value.len()).await? {
                continue;
            }
            let put = Put {
                token: &serving.view.token,
                key: new.key,
                expected: new.replaces,
                id,
                value: new.value,
                guard: new.guard,
                previous: new.previous,
            };
            let said = self.put_on_members(&serving, put.prepare()).await;
            let Some(said) = self.sort_out(&serving, said)? else {
                continue;
            };
            match said[0] {
                Said::OtherView => self.unsettle(&serving),
                Said::Fenced => return Ok(Outcome::Fenced),
                Said::NothingBefore => return Ok(Outcome::NothingBefore),
                Said::Done => {
                    // It is decided; who has another value has it from somebody who has lost.
                    let others = serving.members().iter().zip(&said).skip(1);
                    let others = others
                        .filter(|(_, said)| **said != Said::Done)
                        .map(|(member, said)| follow(member, put, *said));
                    // Those who learn may not have yet what must be there before.
                    let unguarded = Put {
                        guard: None,
                        previous: None,
                        ..put
                    };
                    let learners = serving.learners().iter();
                    let learners = learners.map(|learner| follow(learner, unguarded, Said::Holds(put.expected)));
                    let (followed, learnt) = tokio::join!(join_all(others), join_all(learners));
                    let Some(followed) = self.sort_out(&serving, followed)? else {
                        continue;
                    };
                    let Some(learnt) = self.sort_out_learners(&serving, learnt).await else {
                        continue;
                    };
                    match followed.iter().chain(&learnt).find(|said| **said != Said::Done) {
                        None => return Ok(Outcome::Done(id)),
                        Some(Said::Fenced) => return Ok(Outcome::Fenced),
                        Some(Said::NothingBefore) => return Ok(Outcome::NothingBefore),
                        Some(_) => self.unsettle(&serving),
                    }
                }
                Said::Holds(None) => return Ok(Outcome::Taken),
                Said::Holds(Some(holder)) => {
                    let key = [new.key.to_string()];
                    let spread = self.spread(&serving, &put, holder, &key, &said).await;
                    let Some(spread) = self.sort_out(&serving, vec![spread])? else {
                        continue;
                    };
                    if spread == [true] {
                        return Ok(Outcome::Taken);
                    }
                }
            }
        }
    }

    /// Sends a put to all members at once. What they say to a small one is gathered on the servers' own thread, so that the caller is woken once; a large
    /// one is better written by several threads.
    async fn put_on_members(&self, serving: &Arc<Serving>, prepared: Prepared) -> Vec<Result<Said, Trouble>> {
        if let Prepared::Staged(_) = prepared {
            return join_all(serving.members().iter().map(|member| member.put(&prepared))).await;
        }
        let to = serving.clone();
        let said = self
            .runtime
            .spawn(async move { join_all(to.members().iter().map(|member| member.put(&prepared))).await });
        said.await.unwrap_or_else(|_| {
            vec![Err(Trouble::Unwilling(
                "the thread that talks to the servers has ended".to_string(),
            ))]
        })
    }

    /// Makes the others follow the first one, which holds another value than the one that was to be put. False if that has changed meanwhile.
    async fn spread(
        &self,
        serving: &Arc<Serving>,
        put: &Put<'_>,
        holder: PutId,
        key: &[String; 1],
        said: &[Said],
    ) -> Result<bool, Trouble> {
        let token = &serving.view.token;
        let first = &serving.targets[0];
        for (index, target) in serving.targets.iter().enumerate().skip(1) {
            if said.get(index) == Some(&Said::Holds(Some(holder))) {
                continue;
            }
            match give(first, target, token, true, key.to_vec()).await {
                Err(Trouble::Unwilling(cause)) if index >= serving.members().len() => {
                    self.leave_out(serving, target, cause).await;
                    return Ok(false);
                }
                given => given?,
            };
            // If the first one has none any more, ours must not be all that is left.
            let (there, here) = (ids(first, key).await?, ids(target, key).await?);
            if there == [None] && here == [Some(put.id)] {
                drop_all(target, token, &[(key[0].clone(), put.id)]).await?;
            }
            if there != [Some(holder)] || here != there {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Servers to work with, for an operation that was begun then.
    async fn serving_since(&self, started: Instant) -> Result<Arc<Serving>, Problem> {
        if clock::since(started) > PERSISTENCE {
            return Err(Problem::Unreachable(
                "the servers come and go, and nothing can be completed".to_string(),
            ));
        }
        self.serving().await
    }

    /// The answers of all, unless one is gone or has heard of another view: then nothing, and the view is to be brought up to date.
    fn sort_out<T>(&self, serving: &Arc<Serving>, answers: Vec<Result<T, Trouble>>) -> Result<Option<Vec<T>>, Problem>
    where
        T: PartialEq,
    {
        let mut all = Vec::with_capacity(answers.len());
        let mut is_whole = true;
        let mut refused = None;
        for answer in answers {
            match answer {
                Ok(answer) => all.push(answer),
                Err(Trouble::Gone(_)) => is_whole = false,
                Err(Trouble::Unwilling(cause)) => refused = Some(cause),
            }
        }
        if let Some(cause) = refused {
            return Err(Problem::Refused(cause));
        }
        if !is_whole {
            self.unsettle(serving);
            return Ok(None);
        }
        Ok(Some(all))
    }

    /// The same of the answers of those who learn: what one of them does not take is no obstacle, as all members have it. It is left out.
    async fn sort_out_learners<T>(&self, serving: &Arc<Serving>, answers: Vec<Result<T, Trouble>>) -> Option<Vec<T>> {
        let mut all = Vec::with_capacity(answers.len());
        let mut is_whole = true;
        for (answer, learner) in answers.into_iter().zip(serving.learners()) {
            match answer {
                Ok(answer) => all.push(answer),
                Err(trouble) => {
                    is_whole = false;
                    if let Trouble::Unwilling(cause) = trouble {
                        self.leave_out(serving, learner, cause).await;
                    }
                }
            }
        }
        if !is_whole {
            self.unsettle(serving);
        }
        is_whole.then_some(all)
    }

    /// Both, of the answers of all targets.
    async fn sort_out_all<T>(
        &self,
        serving: &Arc<Serving>,
        mut answers: Vec<Result<T, Trouble>>,
    ) -> Result<Option<Vec<T>>, Problem>
    where
        T: PartialEq,
    {
        let learnt = answers.split_off(serving.members().len().min(answers.len()));
        let Some(mut all) = self.sort_out(serving, answers)? else {
            return Ok(None);
        };
        let learnt = self.sort_out_learners(serving, learnt).await;
        Ok(learnt.map(|learnt| {
            all.extend(learnt);
            all
        }))
    }

    /// Leaves out a learner that does not take what it is given; on the servers' own thread, as timers are needed for it.
    async fn leave_out(&self, serving: &Arc<Serving>, learner: &Arc<Connected>, cause: String) {
        let Some(me) = self.me.upgrade() else { return };
        let (serving, learner) = (serving.clone(), learner.clone());
        let left_out = self
            .runtime
            .spawn(async move { me.shun(&serving, &learner, &cause).await });
        // The thread has ended: then nothing goes on.
        let _ = left_out.await;
    }

    /// Whether all of the servers take a value of this length. A learner that does not is left out, and it is to be looked again.
    async fn all_take(&self, serving: &Arc<Serving>, length: usize) -> Result<bool, Problem> {
        for member in serving.members() {
            member.takes(length).map_err(Problem::Refused)?;
        }
        for learner in serving.learners() {
            if let Err(cause) = learner.takes(length) {
                self.leave_out(serving, learner, cause).await;
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Reads a value from any server.
    pub(crate) async fn get(&self, key: &str) -> Result<Option<Bytes>, Problem> {
        Ok(self.get_named(key).await?.map(|(_, value)| value))
    }

    /// The same with the id of its put.
    pub(crate) async fn get_named(&self, key: &str) -> Result<Option<(PutId, Bytes)>, Problem> {
        let read = self.read(|server| async move {
            let value = server.get(Lane::Large, key).await?;
            Ok(value.and_then(|value| Some((scripts::read_id(&value)?, Bytes::from(value).split_off(ID_BYTES)))))
        });
        read.await
    }

    /// Reads parts of a value, or says which of them it does not have.
    pub(crate) async fn get_ranges(&self, key: &str, ranges: &[Range<u64>]) -> Result<Option<Vec<Bytes>>, Problem> {
        self.read(|server| async move { read_ranges(&server, key, ranges).await })
            .await
    }

    /// Reads from the first server, or from another one if that is gone. What one does not have, none has.
    async fn read<T, F>(&self, ask: impl Fn(Arc<Connected>) -> F) -> Result<Option<T>, Problem>
    where
        F: Future<Output = Result<Option<T>, Trouble>>,
    {
        let _pending = Pending::begin(self);
        let started = clock::now();
        loop {
            let serving = self.serving_since(started).await?;
            for member in serving.members() {
                match ask(member.clone()).await {
                    Ok(Some(value)) => return Ok(Some(value)),
                    Ok(None) if self.is_current(&serving).await => return Ok(None),
                    Ok(None) => break,
                    Err(Trouble::Gone(_)) => {}
                    Err(Trouble::Unwilling(cause)) => return Err(Problem::Refused(cause)),
                }
            }
            self.unsettle(&serving);
        }
    }

    /// Whether all servers still have this view: only then does a missing value mean anything.
    async fn is_current(&self, serving: &Serving) -> bool {
        let tokens = serving
            .targets
            .iter()
            .map(|target| target.get(Lane::Control, scripts::TOKEN));
        join_all(tokens)
            .await
            .into_iter()
            .all(|token| token.is_ok_and(|token| token.as_deref() == Some(serving.view.token.as_bytes())))
    }

    /// Deletes values on all servers. False if the guard is not what was named.
    pub(crate) async fn delete(&self, keys: &[String], guard: Option<&Guard>) -> Result<bool, Problem> {
        let _pending = Pending::begin(self);
        let started = clock::now();
        for keys in keys.chunks(DELETED_AT_ONCE) {
            loop {
                let serving = self.serving_since(started).await?;
                let token = &serving.view.token;
                let cmd = scripts::delete(token, guard, keys);
                let said = join_all(serving.members().iter().map(|member| member.ask(Lane::Small, &cmd))).await;
                let Some(said) = self.sort_out(&serving, said)? else {
                    continue;
                };
                if said.contains(&Value::Int(2)) {
                    return Ok(false);
                }
                if said.iter().any(|said| *said != Value::Int(0)) {
                    self.unsettle(&serving);
                    continue;
                }
                // Those who learn follow now that it is decided, whether they have the guard yet or not.
                let cmd = scripts::delete(token, None, keys);
                let learnt = join_all(serving.learners().iter().map(|learner| learner.ask(Lane::Small, &cmd))).await;
                let Some(learnt) = self.sort_out_learners(&serving, learnt).await else {
                    continue;
                };
                match learnt.iter().all(|said| *said == Value::Int(0)) {
                    true => break,
                    false => self.unsettle(&serving),
                }
            }
        }
        Ok(true)
    }

    /// Deletes all values whose keys match, some at a time.
    pub(crate) async fn delete_matching(&self, pattern: &str) -> Result<(), Problem> {
        self.delete(&self.list_on_all(pattern).await?, None).await.map(|_| ())
    }

    /// The keys that match on any server: what somebody began to delete, and died, may be on some of them only.
    pub(crate) async fn list_on_all(&self, pattern: &str) -> Result<Vec<String>, Problem> {
        let _pending = Pending::begin(self);
        let started = clock::now();
        loop {
            let serving = self.serving_since(started).await?;
            let lists = serving.targets.iter().map(|target| keys_of(target, pattern));
            let lists = join_all(lists).await;
            if let Some(lists) = self.sort_out_all(&serving, lists).await? {
                return Ok(sorted(lists.concat()));
            }
        }
    }

    /// The keys that match. One that comes or goes meanwhile may be among them or not.
    pub(crate) async fn list(&self, pattern: &str) -> Result<Vec<String>, Problem> {
        let listed = self.read(|server| async move { keys_of(&server, pattern).await.map(Some) });
        Ok(sorted(listed.await?.unwrap_or_default()))
    }

    /// Makes all servers have, under these keys, what the first one has. Only for keys that nobody else writes to.
    pub(crate) async fn align(&self, pattern: &str) -> Result<(), Problem> {
        let _pending = Pending::begin(self);
        let started = clock::now();
        loop {
            let serving = self.serving_since(started).await?;
            let first = &serving.targets[0];
            let aligned = serving
                .targets
                .iter()
                .map(async |target| match Arc::ptr_eq(first, target) {
                    true => Ok(()),
                    false => align_one(first, target, &serving.view.token, pattern).await,
                });
            let aligned = join_all(aligned).await;
            if self.sort_out_all(&serving, aligned).await?.is_some() {
                return Ok(());
            }
        }
    }

    /// What beat each server has, by the server's process: only beats of the same one can be compared. A server that does not answer is left out.
    pub(crate) async fn beats(&self, beat: &str) -> Result<Vec<(String, Option<Vec<u8>>)>, Problem> {
        let serving = self.serving().await?;
        let asked = serving.targets.iter().map(|target| target.get(Lane::Small, beat));
        let said = join_all(asked).await;
        let beats = serving
            .targets
            .iter()
            .zip(said)
            .filter_map(|(target, said)| Some((target.member.process.clone(), said.ok()?)));
        Ok(beats.collect())
    }

    /// How long ago a beat was written, by the clocks of those servers that have it: the shortest of these times. Nothing if none has it any more.
    pub(crate) async fn silence(&self, beat: &str) -> Result<Option<Duration>, Problem> {
        let serving = self.serving().await?;
        let mut ask = redis::cmd("PTTL");
        ask.arg(beat);
        let left = join_all(serving.targets.iter().map(|target| target.ask(Lane::Small, &ask))).await;
        let left = left.into_iter().filter_map(|left| match left {
            Ok(Value::Int(left)) => u64::try_from(left).ok(),
            _ => None,
        });
        Ok(left
            .max()
            .map(|left| Duration::from_millis(BEAT_FOR.saturating_sub(left))))
    }

    /// Writes a beat to those servers that are there.
    pub(crate) async fn beat(&self, beat: &str) {
        let Some(serving) = self.present() else { return };
        let mut set = redis::cmd("SET");
        set.arg(beat).arg(&new_id()[..]).arg("PX").arg(BEAT_FOR);
        // One that does not get it is not missed.
        let _ = join_all(serving.targets.iter().map(|target| target.ask(Lane::Small, &set))).await;
    }
}

async fn keys_of(server: &Connected, pattern: &str) -> Result<Vec<String>, Trouble> {
    let mut found = Vec::new();
    let mut scan = Scan::new(server, pattern);
    while let Some(keys) = scan.next().await? {
        found.extend(keys);
    }
    Ok(found)
}

fn sorted(mut keys: Vec<String>) -> Vec<String> {
    keys.sort_unstable();
    keys.dedup();
    keys
}

/// Puts the decided value in the place of whatever this server has.
async fn follow(target: &Connected, put: Put<'_>, said: Said) -> Result<Said, Trouble> {
    let mut said = said;
    // Others may put theirs there meanwhile; each of them has lost, and gives up after one.
    for _ in 0..100 {
        let Said::Holds(holder) = said else { break };
        let again = Put {
            expected: holder,
            ..put
        };
        said = target.put(&again.prepare()).await?;
    }
    Ok(said)
}

async fn align_one(first: &Connected, target: &Connected, token: &str, pattern: &str) -> Result<(), Trouble> {
    let mut scan = Scan::new(first, pattern);
    while let Some(keys) = scan.next().await? {
        give(first, target, token, true, keys).await?;
    }
    let mut scan = Scan::new(target, pattern);
    while let Some(keys) = scan.next().await? {
        let (there, here) = (ids(first, &keys).await?, ids(target, &keys).await?);
        let extra: Vec<_> = keys
            .into_iter()
            .zip(there.into_iter().zip(here))
            .filter_map(|(key, (there, here))| here.filter(|_| there.is_none()).map(|here| (key, here)))
            .collect();
        drop_all(target, token, &extra).await?;
    }
    Ok(())
}

async fn read_ranges(server: &Connected, key: &str, ranges: &[Range<u64>]) -> Result<Option<Vec<Bytes>>, Trouble> {
    // Longer than any value, and still a number that Redis takes.
    let bounded = |at: u64| at.min(1 << 40) + ID_BYTES as u64;
    let mut pipeline = redis::pipe();
    pipeline.cmd("STRLEN").arg(key);
    for range in ranges.iter().filter(|range| range.start < range.end) {
        pipeline
            .cmd("GETRANGE")
            .arg(key)
            .arg(bounded(range.start))
            .arg(bounded(range.end) - 1);
    }
    let mut answers = server.ask_all(Lane::Large, &pipeline).await?.into_iter();
    let length = match answers.next() {
        Some(Value::Int(0)) => return Ok(None),
        Some(Value::Int(length)) => u64::try_from(length).unwrap_or(0).saturating_sub(ID_BYTES as u64),
        other => return Err(Trouble::nonsense(&other.unwrap_or(Value::Nil))),
    };
    let mut parts = Vec::with_capacity(ranges.len());
    for range in ranges {
        if range.start >= range.end {
            parts.push(Bytes::new());
            continue;
        }
        let there = range.end.min(length).saturating_sub(range.start);
        match answers.next() {
            Some(Value::BulkString(bytes)) if bytes.len() as u64 == there => parts.push(bytes.into()),
            // It was deleted between the two questions.
            Some(Value::BulkString(_)) => return Ok(None),
            other => return Err(Trouble::nonsense(&other.unwrap_or(Value::Nil))),
        }
    }
    Ok(Some(parts))
}
