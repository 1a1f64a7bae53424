//! Bringing the view up to date: connecting, judging what is seen, asking for votes, and telling the servers what follows.

use super::clock;
use super::heal::Scan;
use super::introduction::Told;
use super::sabotage::{self, Sabotage};
use super::server::{Connected, Trouble, Vote};
use super::values::PATTERN;
use super::view::{Asker, Member, Verdict, View, Votes, judge, new_token, to_be_voted_for};
use super::{Condition, PATIENCE, Problem, Replicas, Serving};
use futures::future::join_all;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Between two looks at servers that are not as they should be.
const RETRY: Duration = Duration::from_millis(50);

/// So often is looked again without a pause when the view has changed.
const AT_ONCE: u32 = 3;

/// Digits of a ballot's round.
const ROUND_DIGITS: usize = 20;

/// Why there is nothing to work with at present.
enum Hitch {
    /// The view has changed: look again.
    Again,
    /// It may become better.
    Wait(String),
    /// It does not become better by itself.
    Refuse(String),
}

impl Replicas {
    /// Waits for servers to work with.
    pub(super) async fn settle(&self) -> Result<Arc<Serving>, Problem> {
        let _settling = self.settling.lock().await;
        let started = clock::now();
        let mut changes = 0;
        loop {
            if let Some(serving) = self.present() {
                return Ok(serving);
            }
            let is_tired = clock::since(started) > PATIENCE / 2;
            let cause = match self.look(is_tired).await {
                Ok(serving) => return Ok(serving),
                Err(Hitch::Refuse(cause)) => return Err(Problem::Refused(cause)),
                Err(Hitch::Again) if changes < AT_ONCE => {
                    changes += 1;
                    continue;
                }
                Err(Hitch::Again) => self.with_problems(
                    "the servers do not agree on which of them count: others change it all the time, or a server does not keep what it is told"
                        .to_string(),
                ),
                Err(Hitch::Wait(cause)) => cause,
            };
            if clock::since(started) > PATIENCE {
                return Err(Problem::Unreachable(cause));
            }
            clock::sleep(RETRY.mul_f64(chance())).await;
        }
    }

    /// Looks for servers that are away, gives up those that are lost, and lets those return that are back.
    pub(super) async fn maintain(&self) {
        {
            // Whoever holds it does the same.
            let Ok(_settling) = self.settling.try_lock() else {
                return;
            };
            let is_well = |serving: &Serving| {
                serving.view.members.len() == self.addresses.servers().len()
                    && serving.targets.iter().all(|target| target.is_vouched())
            };
            if self.present().is_some_and(|serving| is_well(&serving)) {
                return;
            }
            // What is wrong is said by whoever needs the servers.
            if self.look(false).await.is_err() {
                return;
            }
        }
        if !self.is_healing.swap(true, Ordering::AcqRel) {
            self.heal().await;
            self.is_healing.store(false, Ordering::Release);
        }
    }

    /// Looks at all servers once, and does what follows.
    async fn look(&self, is_tired: bool) -> Result<Arc<Serving>, Hitch> {
        let (slow, unwilling) = self.connect_all().await;
        // One that lets nobody in does not become better by waiting.
        if let (Some(cause), None) = (unwilling, &*self.set.lock()) {
            return Err(Hitch::Refuse(cause));
        }
        if !slow.is_empty() {
            // Whether it is only slow will show: its connections are cut if it stays silent.
            return Err(Hitch::Wait(format!("{} does not answer", slow.join(", "))));
        }
        let (seen, connected): (Vec<_>, Vec<_>) = {
            let slots = self.slots.lock();
            let there = slots
                .iter()
                .filter_map(|slot| Some((slot.connected.clone()?, &slot.told)));
            there.map(|(connected, told)| (connected.seen(told), connected)).unzip()
        };
        let named: Vec<_> = self.addresses.servers().iter().map(|address| address.name()).collect();
        let set = self.set.lock().clone();
        let options = self.addresses.options();
        let asker = Asker {
            set: set.as_deref(),
            is_worker: options.is_worker,
            // It was said of how things stood at the start, not of what gets lost from then on.
            missing_is_lost: options.missing_is_lost && set.is_none(),
            is_tired,
        };
        let verdict = judge(&seen, &named, asker);
        let find = |members: &[Member]| -> Vec<Arc<Connected>> {
            let found = members
                .iter()
                .filter_map(|member| connected.iter().find(|server| server.member == *member).cloned());
            found.collect()
        };
        let token_of = |server: &Connected| {
            let seen = seen.iter().find(|seen| seen.member == server.member);
            seen.map_or(String::new(), |seen| seen.token.clone())
        };
        match verdict {
            Verdict::Work(view) => {
                let targets: Vec<_> = view.targets().cloned().collect();
                let targets = find(&targets);
                for target in &targets {
                    self.tell(target, &token_of(target), &view).await?;
                }
                Ok(self.publish(view, targets))
            }
            Verdict::Begin { to, votes } => {
                let voters = find(&votes.voters);
                for voter in &voters {
                    has_no_values(voter).await?;
                }
                let voters = voters.into_iter().map(|voter| (token_of(&voter), voter)).collect();
                self.change(voters, &votes, to).await?;
                Err(Hitch::Again)
            }
            Verdict::Shrink { from, to, votes } => {
                let voters = self.told_of(&from, find(&votes.voters), token_of).await?;
                self.change(voters, &votes, to).await?;
                Err(Hitch::Again)
            }
            Verdict::Recover { from, to, votes } => {
                let voters = self.told_of(&from, find(&votes.voters), token_of).await?;
                let all: Vec<_> = voters.iter().map(|(_, voter)| voter.clone()).collect();
                let Some(first) = all.first() else {
                    return Err(Hitch::Again);
                };
                let lock = super::heal::Lock::take(first).await.map_err(hitch)?;
                let Some(lock) = lock else {
                    return Err(Hitch::Wait(
                        "somebody else is bringing the servers together".to_string(),
                    ));
                };
                let union = super::heal::unite(&all, &from.token).await;
                let changed = match union {
                    Ok(()) => self.change(voters, &votes, to).await.map(|_| ()),
                    Err(trouble) => Err(hitch(trouble)),
                };
                lock.free().await;
                changed?;
                Err(Hitch::Again)
            }
            Verdict::Wait(cause) => Err(Hitch::Wait(self.with_problems(cause))),
            Verdict::Refuse(cause) => Err(Hitch::Refuse(cause)),
        }
    }

    /// Lets these hear of the view on whose successor they are to vote.
    async fn told_of(
        &self,
        view: &View,
        voters: Vec<Arc<Connected>>,
        token_of: impl Fn(&Connected) -> String,
    ) -> Result<Vec<(String, Arc<Connected>)>, Hitch> {
        let mut told = Vec::with_capacity(voters.len());
        for voter in voters {
            self.tell(&voter, &token_of(&voter), view).await?;
            told.push((view.token.clone(), voter));
        }
        Ok(told)
    }

    /// Lets servers vote on a view, each on what comes after the view with this token that it has. Tells them of the view that was chosen, which may be another
    /// one: somebody else's.
    async fn change(&self, voters: Vec<(String, Arc<Connected>)>, votes: &Votes, own: View) -> Result<View, Hitch> {
        let view = match sabotage::is(Sabotage::NoVote) {
            true => own,
            false => self.vote(&voters, votes, own).await?,
        };
        for (after, voter) in &voters {
            if view.members.contains(&voter.member) {
                self.tell(voter, after, &view).await?;
            }
        }
        Ok(view)
    }

    async fn vote(&self, voters: &[(String, Arc<Connected>)], asked: &Votes, own: View) -> Result<View, Hitch> {
        let round = self.round.fetch_add(1, Ordering::Relaxed) + 1;
        let ballot = format!("{round:0width$}-{}", new_token(), width = ROUND_DIGITS);
        let promises = voters.iter().map(|(after, voter)| voter.vote(after, &ballot, None));
        let before = self.given(join_all(promises).await, asked)?;
        let view = to_be_voted_for(before.into_iter().flatten(), own);
        let votes = voters
            .iter()
            .map(|(after, voter)| voter.vote(after, &ballot, Some(&view)));
        self.given(join_all(votes).await, asked)?;
        Ok(view)
    }

    /// What was given, if enough have.
    fn given(&self, votes: Vec<Result<Vote, Trouble>>, asked: &Votes) -> Result<Vec<Option<(String, View)>>, Hitch> {
        let mut given = Vec::with_capacity(votes.len());
        let mut is_enough = votes.len() == asked.voters.len();
        for (index, vote) in votes.into_iter().enumerate() {
            is_enough &= index >= asked.essential || matches!(vote, Ok(Vote::Given(_)));
            match vote {
                Ok(Vote::Given(before)) => given.push(before),
                Ok(Vote::Promised(ballot)) => {
                    let round = ballot.get(..ROUND_DIGITS).and_then(|round| round.parse().ok());
                    self.round.fetch_max(round.unwrap_or(0), Ordering::Relaxed);
                }
                Ok(Vote::OtherView) => return Err(Hitch::Again),
                // The others may be enough.
                Err(Trouble::Gone(_)) => {}
                Err(trouble) => return Err(hitch(trouble)),
            }
        }
        match is_enough && given.len() >= asked.needed {
            true => Ok(given),
            false => Err(Hitch::Again),
        }
    }

    /// What comes after the view that is worked with, decided by its members: `next`, or else somebody was faster.
    pub(super) async fn decide(&self, serving: &Serving, next: &View) -> Result<(), Trouble> {
        let votes = Votes::of_members(&serving.view.members);
        let voters = serving.members().iter();
        let voters = voters
            .map(|member| (serving.view.token.clone(), member.clone()))
            .collect();
        match self.change(voters, &votes, next.clone()).await {
            Ok(chosen) if chosen.token == next.token => Ok(()),
            Ok(_) | Err(Hitch::Again) => Err(Trouble::Gone("the view has changed".to_string())),
            Err(Hitch::Wait(cause)) => Err(Trouble::Gone(cause)),
            Err(Hitch::Refuse(cause)) => Err(Trouble::Unwilling(cause)),
        }
    }

    /// Makes this the server's view. Somebody else may have been faster: then everything is looked at again.
    async fn tell(&self, server: &Arc<Connected>, expected: &str, view: &View) -> Result<(), Hitch> {
        if expected == view.token {
            return Ok(());
        }
        match server.set_view(expected, view).await {
            Ok(Ok(())) => {
                self.note_view(server, view.clone());
                Ok(())
            }
            Ok(Err(_)) => Err(Hitch::Again),
            Err(trouble) => {
                if let Trouble::Gone(_) = trouble {
                    server.cut();
                }
                Err(hitch(trouble))
            }
        }
    }

    pub(super) fn note_view(&self, server: &Arc<Connected>, view: View) {
        let mut slots = self.slots.lock();
        let slot = slots.iter_mut().find(|slot| {
            slot.connected
                .as_ref()
                .is_some_and(|connected| Arc::ptr_eq(connected, server))
        });
        if let Some(slot) = slot {
            slot.told = Told::of(view);
        }
    }

    /// Connects to those that are not connected, and asks the others for their views. Gives the names of those that are slow to answer, and why
    /// one that is there is of no use.
    async fn connect_all(&self) -> (Vec<String>, Option<String>) {
        let present: Vec<_> = self.slots.lock().iter().map(|slot| slot.connected.clone()).collect();
        let is_worker = self.is_worker();
        let looks = self
            .addresses
            .servers()
            .iter()
            .zip(present)
            .map(|(address, connected)| async move {
                if let Some(connected) = connected.filter(|connected| !connected.is_cut()) {
                    match connected.told().await {
                        Ok(told) => return Ok((connected, told)),
                        // It is slow, or it is gone; connecting again will show.
                        Err(trouble) if !connected.is_cut() => return Err((Some(connected), trouble)),
                        Err(_) => {}
                    }
                }
                match Connected::open(address, is_worker).await {
                    Ok((connected, told)) => Ok((Arc::new(connected), told)),
                    Err(trouble) => Err((None, trouble)),
                }
            });
        let looks = join_all(looks).await;
        let mut slots = self.slots.lock();
        let (mut slow, mut unwilling) = (Vec::new(), None);
        for ((slot, look), address) in slots.iter_mut().zip(looks).zip(self.addresses.servers()) {
            match look {
                Ok((connected, told)) => {
                    let before = slot.connected.replace(connected.clone());
                    let is_emptied = |before: &Connected| {
                        before.member.process == connected.member.process
                            && before.member.server != connected.member.server
                    };
                    match &told.damage {
                        Some(damage) => slot.lost = Some(format!("it {damage}")),
                        None if before.is_some_and(|before| is_emptied(&before)) => {
                            slot.lost = Some("it has been emptied".to_string());
                        }
                        None => {}
                    }
                    slot.told = told;
                    slot.problem = None;
                }
                Err((Some(connected), _)) => slow.push(connected.name.clone()),
                Err((None, trouble)) => {
                    if let Trouble::Unwilling(cause) = &trouble {
                        unwilling = Some(format!("{}: {cause}", address.name()));
                    }
                    let (Trouble::Gone(cause) | Trouble::Unwilling(cause)) = trouble;
                    slot.connected = None;
                    slot.told = Told::default();
                    slot.problem = Some(cause);
                }
            }
        }
        (slow, unwilling)
    }

    /// What is said of servers, with what each of them said last.
    fn with_problems(&self, cause: String) -> String {
        let problems: Vec<_> = self
            .status()
            .into_iter()
            .filter_map(|status| Some(format!("{}: {}", status.server, status.problem?)))
            .collect();
        match problems.is_empty() {
            true => cause,
            false => format!("{cause} ({})", problems.join("; ")),
        }
    }

    /// These are to be worked with from now on. Everyone in the view has just agreed on it.
    ///
    /// There is always a first one, by which others go who decides (`targets[0]`): `judge` considers only views that have a member, and says `Work` only if
    /// all of them are there.
    fn publish(&self, view: View, targets: Vec<Arc<Connected>>) -> Arc<Serving> {
        targets.iter().for_each(|target| target.vouch());
        self.set.lock().get_or_insert_with(|| view.set.clone());
        self.report(&view);
        let serving = Arc::new(Serving { view, targets });
        *self.serving.write() = Some(serving.clone());
        serving
    }

    /// Says what has become of the servers since the last time.
    fn report(&self, view: &View) {
        let mut slots = self.slots.lock();
        let left = view.members.len();
        for (address, slot) in self.addresses.servers().iter().zip(slots.iter_mut()) {
            let server = address.name();
            let condition = match &slot.connected {
                None => Condition::Lost,
                Some(connected) if view.members.contains(&connected.member) => Condition::Serving,
                Some(connected) if view.learners.contains(&connected.member) => Condition::Returning,
                Some(_) => Condition::Outside,
            };
            let before = std::mem::replace(&mut slot.condition, condition);
            if condition == Condition::Serving {
                slot.lost = None;
            }
            if before == condition || self.is_worker() {
                continue;
            }
            let cause = slot.problem.as_deref().or(slot.lost.as_deref());
            let cause = cause.unwrap_or("it has been started again");
            match (before, condition) {
                (_, Condition::Lost) => {
                    tracing::warn!(
                        server,
                        cause,
                        left,
                        "a Redis server is lost; what is written goes to those that are left"
                    );
                }
                (Condition::Unknown | Condition::Returning, Condition::Outside) => {}
                (_, Condition::Outside) => {
                    tracing::warn!(
                        server,
                        cause,
                        left,
                        "a Redis server has missed something and is not used until it has it"
                    );
                }
                (Condition::Unknown, _) | (_, Condition::Unknown) => {}
                (_, Condition::Returning) => tracing::info!(server, "a Redis server is being given what it has missed"),
                (_, Condition::Serving) => tracing::info!(server, "a Redis server has everything again"),
            }
        }
    }
}

/// Refuses a server on which nothing was begun, as it seems, and which has values all the same.
async fn has_no_values(server: &Connected) -> Result<(), Hitch> {
    let mut scan = Scan::new(server, PATTERN);
    while let Some(keys) = scan.next().await.map_err(hitch)? {
        if !keys.is_empty() {
            return Err(Hitch::Refuse(format!(
                "{} holds values, but not all that belongs to them: it has lost what it was told of the other servers, or was being filled by one of them; \
                 name that one too, or empty this one and begin again",
                server.name
            )));
        }
    }
    Ok(())
}

/// A number up to one.
fn chance() -> f64 {
    f64::from(super::new_uuid().as_bytes()[0]) / 255.0
}

fn hitch(trouble: Trouble) -> Hitch {
    match trouble {
        Trouble::Gone(_) => Hitch::Again,
        Trouble::Unwilling(cause) => Hitch::Refuse(cause),
    }
}
