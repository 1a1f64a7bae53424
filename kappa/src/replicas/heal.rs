//! How a server that has missed something gets it.
//!
//! It returns in steps, so that it is at no moment trusted with what it does not have:
//!
//! 1. It is told of the view in which it learns, before anyone else is. From then on nobody who still holds an older view can write to it.
//! 2. What it has and the others have not (it was deleted meanwhile, or never acknowledged) is taken from it.
//! 3. The others are told of that view. From then on it gets every write, and none is acknowledged without it; it is not read from, and decides nothing.
//! 4. It is given what it lacks. Then all that it has is looked at once more: something may have been deleted between its reading and its writing, or
//!    between steps 2 and 3 under the older view, by somebody who did not know of it.
//! 5. A view in which it is a member.
//!
//! Each copy and each deletion names the value that it replaces, so it can undo nothing that is newer. If whoever does this dies, the next one begins again.

use super::introduction::Told;
use super::sabotage::{self, Sabotage};
use super::scripts::{self, Put, PutId, Said};
use super::server::{Connected, Lane, Trouble};
use super::values::PATTERN;
use super::view::{Member, View};
use super::{Replicas, SHUNNED_FOR, Serving, clock};
use redis::Value;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::AbortHandle;

/// How long a lock outlives its holder, in milliseconds.
const LOCK_FOR: u64 = 10_000;

/// How many keys are looked at in one step.
const AT_ONCE: usize = 500;

/// Whoever holds it lets servers return; nobody else does meanwhile.
pub(super) struct Lock {
    server: Arc<Connected>,
    name: String,
    keeper: AbortHandle,
}

impl Lock {
    /// Takes the lock that this server keeps, unless somebody holds it.
    pub(super) async fn take(server: &Arc<Connected>) -> Result<Option<Self>, Trouble> {
        let name = super::view::new_token();
        let mut set = redis::cmd("SET");
        set.arg(scripts::LOCK).arg(&name).arg("NX").arg("PX").arg(LOCK_FOR);
        match server.ask(Lane::Control, &set).await? {
            Value::Okay => {}
            _ => return Ok(None),
        }
        let keeper = {
            let (server, name) = (server.clone(), name.clone());
            tokio::spawn(async move {
                loop {
                    clock::sleep(Duration::from_millis(LOCK_FOR / 4)).await;
                    if server
                        .ask(Lane::Control, &scripts::hold(&name, LOCK_FOR))
                        .await
                        .is_err()
                    {
                        return;
                    }
                }
            })
        };
        Ok(Some(Lock {
            server: server.clone(),
            name,
            keeper: keeper.abort_handle(),
        }))
    }

    pub(super) async fn free(self) {
        self.keeper.abort();
        if let Err(cause) = self.server.ask(Lane::Control, &scripts::hold(&self.name, 0)).await {
            tracing::debug!(?cause, "a lock cannot be freed; it goes by itself");
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}

/// What the return of a server took.
#[derive(Debug, Default)]
struct Healed {
    given: usize,
    taken: usize,
}

impl Replicas {
    /// Lets one server return, if there is one that can.
    pub(super) async fn heal(&self) {
        let Some(serving) = self.present() else { return };
        let is_halfway = !serving.view.learners.is_empty();
        let candidate = self.candidate(&serving);
        if candidate.is_none() && !is_halfway {
            return;
        }
        let first = serving.targets[0].clone();
        let Ok(Some(lock)) = Lock::take(&first).await else {
            tracing::debug!(server = first.name, "somebody else lets a Redis server return");
            return;
        };
        if is_halfway {
            // Whoever was at it holds no lock any more: begin again.
            let without = serving.view.next(serving.view.members.clone(), Vec::new());
            match self.decide(&serving, &without).await {
                Ok(()) => self.unsettle(&serving),
                Err(trouble) => tracing::debug!(
                    ?trouble,
                    "a Redis server that was returning cannot be left out; this is tried again"
                ),
            }
        } else if let Some(candidate) = candidate {
            let server = candidate.name.clone();
            match self.admit(&serving, &candidate).await {
                Ok(Healed { given, taken }) => {
                    tracing::info!(server, given, taken, "a Redis server is back and has everything");
                }
                Err(trouble) => {
                    tracing::debug!(
                        server,
                        ?trouble,
                        "a Redis server could not be given what it lacks; this is tried again"
                    );
                    if let (Trouble::Unwilling(cause), Some(now)) = (trouble, self.present()) {
                        self.shun(&now, &candidate, &cause).await;
                    }
                }
            }
        }
        lock.free().await;
    }

    /// A server that is there and not in the view, and may be.
    fn candidate(&self, serving: &Serving) -> Option<Arc<Connected>> {
        let mut slots = self.slots.lock();
        slots.iter_mut().find_map(|slot| {
            let connected = slot.connected.as_ref().filter(|connected| !connected.is_cut())?;
            if serving.view.members.contains(&connected.member) {
                return None;
            }
            if let Some((until, cause)) = &slot.shunned
                && *until > clock::now()
            {
                slot.problem = Some(format!("cannot be given what it lacks: {cause}"));
                return None;
            }
            if may_return(&slot.told, &connected.member, &serving.view) {
                return Some(connected.clone());
            }
            if slot.problem.is_none() {
                let problem = "holds things that the other servers know nothing of; empty it, then it is used again";
                tracing::warn!(server = connected.name, "a Redis server {problem}");
                slot.problem = Some(problem.to_string());
            }
            None
        })
    }

    async fn admit(&self, serving: &Arc<Serving>, newcomer: &Arc<Connected>) -> Result<Healed, Trouble> {
        let changed = || Trouble::Gone("the view has changed".to_string());
        let first = &serving.targets[0];
        let members = serving.view.members.clone();
        let learning = serving.view.next(members.clone(), vec![newcomer.member.clone()]);
        let told = newcomer.told().await?;
        if !may_return(&told, &newcomer.member, &serving.view) {
            return Err(changed());
        }
        if told.damage.is_some() {
            newcomer.forget(&told).await?;
            return Err(Trouble::Gone("it counts as emptied from now on".to_string()));
        }
        newcomer
            .set_view(&told.token, &learning)
            .await?
            .map_err(|()| changed())?;
        self.note_view(newcomer, learning.clone());
        if sabotage::is(Sabotage::GivesNothing) {
            let whole = serving.view.next(learning.targets().cloned().collect(), Vec::new());
            self.decide(serving, &whole).await?;
            return Ok(Healed::default());
        }
        let mut taken = take_what_is_gone(first, newcomer, &learning.token).await?;

        self.decide(serving, &learning).await?;
        self.adopt(&learning.token).await?;
        let given = give_what_lacks(first, newcomer, &learning.token, true).await?;
        // Only now does every deletion reach the newcomer too, so only now is what has gone without it gone for certain.
        taken += take_what_is_gone(first, newcomer, &learning.token).await?;

        // Many views may have been published meanwhile, of this one or of others.
        let learnt = self.adopt(&learning.token).await?;
        let everyone = members.into_iter().chain([newcomer.member.clone()]).collect();
        let whole = learning.next(everyone, Vec::new());
        self.decide(&learnt, &whole).await?;
        self.adopt(&whole.token).await?;
        Ok(Healed { given, taken })
    }

    /// Leaves out a server that does not take what it is given, if it is only learning, and does not let it return for a while: the members have everything.
    pub(super) async fn shun(&self, serving: &Arc<Serving>, learner: &Arc<Connected>, cause: &str) {
        tracing::warn!(
            server = learner.name,
            cause,
            "a Redis server cannot be given what it lacks, and is left out for a while"
        );
        for slot in self.slots.lock().iter_mut() {
            if slot
                .connected
                .as_ref()
                .is_some_and(|there| there.member == learner.member)
            {
                slot.shunned = Some((clock::now() + SHUNNED_FOR, cause.to_string()));
            }
        }
        let (left, shunned): (Vec<_>, Vec<_>) =
            (serving.view.learners.iter().cloned()).partition(|other| *other != learner.member);
        if shunned.is_empty() {
            return;
        }
        let without = serving.view.next(serving.view.members.clone(), left);
        if let Err(trouble) = self.decide(serving, &without).await {
            tracing::debug!(?trouble, "a Redis server cannot be left out; this is tried again");
        }
        self.unsettle(serving);
    }

    /// Lets everyone hear of a view that has just been decided.
    async fn adopt(&self, token: &str) -> Result<Arc<Serving>, Trouble> {
        self.unsettle_unless(token);
        match self.settle().await {
            Ok(serving) if serving.view.token == token => Ok(serving),
            Ok(_) => Err(Trouble::Gone("the view has changed".to_string())),
            Err(problem) => Err(Trouble::Gone(problem.to_string())),
        }
    }
}

/// Whether a server that was told this may be given what it lacks: whether it is empty, or what it has comes from the same servers.
fn may_return(told: &Told, member: &Member, now: &View) -> bool {
    match &told.view {
        Some(view) => {
            let has_only_learned = view.learners.iter().any(|learner| learner.server == member.server);
            view.set == now.set && (now.follows(view) || has_only_learned)
        }
        None => told.token.is_empty() || told.token == now.token || now.past.contains(&told.token),
    }
}

/// Gives all of these, who have the view with this token, what any of them has. Of different values under one key, the first server's stays.
pub(super) async fn unite(all: &[Arc<Connected>], token: &str) -> Result<(), Trouble> {
    for other in &all[1..] {
        give_what_lacks(other, &all[0], token, false).await?;
    }
    for other in &all[1..] {
        give_what_lacks(&all[0], other, token, true).await?;
    }
    Ok(())
}

/// Walks over the keys of this pattern, some at a time.
pub(super) struct Scan<'a> {
    server: &'a Connected,
    pattern: &'a str,
    cursor: Option<u64>,
}

impl<'a> Scan<'a> {
    pub(super) fn new(server: &'a Connected, pattern: &'a str) -> Self {
        Scan {
            server,
            pattern,
            cursor: Some(0),
        }
    }

    pub(super) async fn next(&mut self) -> Result<Option<Vec<String>>, Trouble> {
        let Some(cursor) = self.cursor else { return Ok(None) };
        let mut scan = redis::cmd("SCAN");
        scan.arg(cursor)
            .arg("MATCH")
            .arg(self.pattern)
            .arg("COUNT")
            .arg(AT_ONCE);
        let answer = self.server.ask(Lane::Small, &scan).await?;
        let (cursor, keys): (u64, Vec<String>) =
            redis::from_redis_value(answer).map_err(|cause| Trouble::Unwilling(cause.to_string()))?;
        self.cursor = (cursor != 0).then_some(cursor);
        Ok(Some(keys))
    }
}

/// The ids of the values under these keys.
pub(super) async fn ids(server: &Connected, keys: &[String]) -> Result<Vec<Option<PutId>>, Trouble> {
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    let mut pipeline = redis::pipe();
    for key in keys {
        pipeline.cmd("GETRANGE").arg(key).arg(0).arg(scripts::ID_BYTES - 1);
    }
    let answers = server.ask_all(Lane::Small, &pipeline).await?;
    let ids = answers.iter().map(|answer| match answer {
        Value::BulkString(bytes) => Ok(scripts::read_id(bytes)),
        other => Err(Trouble::nonsense(other)),
    });
    ids.collect()
}

/// Takes from the newcomer what the source does not have, and replaces what the source has in another form. Gives how many were taken.
async fn take_what_is_gone(source: &Connected, newcomer: &Connected, token: &str) -> Result<usize, Trouble> {
    let mut taken = 0;
    let mut scan = Scan::new(newcomer, PATTERN);
    while let Some(mut keys) = scan.next().await? {
        while !keys.is_empty() {
            // Here before there, one after the other: whatever comes here is there first, so what is seen here and then not there has been deleted. The
            // other way round a value that was acknowledged between the two looks would be taken.
            let here = ids(newcomer, &keys).await?;
            let there = ids(source, &keys).await?;
            let (mut gone, mut other) = (Vec::new(), Vec::new());
            for (key, (here, there)) in keys.into_iter().zip(here.into_iter().zip(there)) {
                match (here, there) {
                    (Some(here), None) => gone.push((key, here)),
                    (here, there) if here != there => other.push(key),
                    _ => {}
                }
            }
            taken += gone.len();
            drop_all(newcomer, token, &gone).await?;
            // Whoever put another one there may have died before it came here: taken away, there would be none left if that server is lost. What is
            // copied may be deleted there on its way, so it is looked at again.
            give(source, newcomer, token, true, other.clone()).await?;
            keys = other;
        }
    }
    Ok(taken)
}

/// Copies to the target what it lacks and, if it is to be like the source, what it has in another form. Gives how many were copied.
async fn give_what_lacks(
    source: &Connected,
    target: &Connected,
    token: &str,
    is_to_be_alike: bool,
) -> Result<usize, Trouble> {
    let mut copied = 0;
    let mut scan = Scan::new(source, PATTERN);
    while let Some(keys) = scan.next().await? {
        copied += give(source, target, token, is_to_be_alike, keys).await?;
    }
    Ok(copied)
}

/// The same for these keys.
pub(super) async fn give(
    source: &Connected,
    target: &Connected,
    token: &str,
    is_to_be_alike: bool,
    keys: Vec<String>,
) -> Result<usize, Trouble> {
    let mut copied = 0;
    let (there, here) = tokio::try_join!(ids(source, &keys), ids(target, &keys))?;
    for (key, (there, here)) in keys.into_iter().zip(there.into_iter().zip(here)) {
        let is_lacking = there.is_some() && there != here && (here.is_none() || is_to_be_alike);
        if !is_lacking {
            continue;
        }
        let Some(value) = source.get(Lane::Large, &key).await? else {
            continue; // Deleted meanwhile.
        };
        let Some((id, bytes)) = value.split_first_chunk() else {
            continue;
        };
        target.takes(bytes.len()).map_err(Trouble::Unwilling)?;
        let put = Put {
            token,
            key: &key,
            expected: here,
            id: *id,
            value: bytes,
            guard: None,
            previous: None,
        };
        match target.put(&put.prepare()).await? {
            Said::Done => copied += 1,
            Said::OtherView => return Err(Trouble::Gone("the view has changed".to_string())),
            // Whoever wrote there since has written to both.
            Said::Holds(_) | Said::Fenced | Said::NothingBefore => {}
        }
    }
    Ok(copied)
}

pub(super) async fn drop_all(server: &Connected, token: &str, values: &[(String, PutId)]) -> Result<(), Trouble> {
    if values.is_empty() {
        return Ok(());
    }
    match server.ask(Lane::Small, &scripts::drop(token, values)).await? {
        Value::Int(0) => Ok(()),
        Value::Int(1) => Err(Trouble::Gone("the view has changed".to_string())),
        other => Err(Trouble::nonsense(&other)),
    }
}
