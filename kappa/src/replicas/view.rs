//! Which servers count: the view, and what follows from what is seen of them.
//!
//! The view is the one thing that all servers and clients have to agree on: the servers that have every acknowledged write, in the order in which they
//! decide. Each server keeps the latest one that it was told. It changes in steps of one. What the next one is, its members vote on as in Paxos: a client asks
//! for promises under a ballot, then for votes, for the view that was voted for before if there is one. So two clients never get different views from it.
//!
//! The danger is a server that has missed something and does not know. These rules keep it from being trusted:
//!
//! * A member is a *process*, not an address: a server that has been started again is another one, whatever it has on its disk.
//! * A server that has lost its name was emptied, and is another one too. One that has lost its token or its view has lost a part of what it was told, so
//!   nobody knows what else: it counts as one that is away.
//! * Where there are three servers or more, some may be left out only by the votes of a majority: those of another part of a network that is split cannot do
//!   the same, and a minority never goes on by itself: a server that refuses connections may still serve those that it has. When only two members are left,
//!   the other servers that the view lists as witnesses vote, too: a *process* each, as a server that has been started again may have lost its vote.
//! * Of two, one may be left out only by a client that can vouch for the other: that has seen it answer without a gap since both last agreed on the view.
//!   Otherwise it could be that one who was left out meanwhile. (If the network is split between two servers with a client on each side, both go on; that is
//!   noticed afterwards. Only a third server helps.)
//! * A view knows those before it. A server whose view is not among them has gone another way, and nothing is done with the two together.

use super::sabotage::{self, Sabotage};
use serde::{Deserialize, Serialize};

/// How many views back a server that returns is still known.
const REMEMBERED: usize = 1000;

/// One process of one server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Member {
    /// Given once to a server's data; gone when it is emptied.
    pub(super) server: String,
    /// Given by Redis to each of its processes.
    pub(super) process: String,
}

/// Which servers count.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct View {
    /// Named when the first view was made; servers of different sets have nothing to do with each other.
    pub(super) set: String,
    /// One more than the view before.
    pub(super) number: u64,
    /// Unique; every write names the one it was made under.
    pub(super) token: String,
    /// They have every acknowledged write. The first decides.
    pub(super) members: Vec<Member>,
    /// They get every write too, but lack some of the earlier ones.
    pub(super) learners: Vec<Member>,
    /// They get nothing, and vote on the next view where the members have no majority among them.
    #[serde(default)]
    pub(super) witnesses: Vec<Member>,
    /// How many servers were named when it was made.
    #[serde(default)]
    pub(super) servers: usize,
    /// Tokens of the views before, oldest first.
    pub(super) past: Vec<String>,
}

pub(super) fn new_token() -> String {
    super::new_uuid().as_simple().to_string()
}

impl View {
    /// The first view of a new set, of so many servers that are named.
    pub(super) fn first(mut members: Vec<Member>, servers: usize) -> Self {
        // Two clients that begin at the same time must ask the same server first, however they have been told of them.
        members.sort_by(|a, b| a.server.cmp(&b.server));
        View {
            set: new_token(),
            number: 1,
            token: new_token(),
            members,
            learners: Vec::new(),
            witnesses: Vec::new(),
            servers,
            past: Vec::new(),
        }
    }

    /// The view after this one. Its witnesses are all of this one that are nothing else in it: whoever cannot be reached may be there again later, and is then
    /// the process that it was, or no witness any more.
    pub(super) fn next(&self, members: Vec<Member>, learners: Vec<Member>) -> Self {
        let is_other = |process: &&Member| {
            let mut others = members.iter().chain(&learners);
            others.all(|other| other.server != process.server)
        };
        let witnesses = self.targets().chain(&self.witnesses).filter(is_other);
        let witnesses = witnesses.cloned().collect();
        let mut past = self.past.clone();
        past.push(self.token.clone());
        let forgotten = past.len().saturating_sub(REMEMBERED);
        past.drain(..forgotten);
        View {
            set: self.set.clone(),
            number: self.number + 1,
            token: new_token(),
            members,
            learners,
            witnesses,
            servers: self.servers,
            past,
        }
        .without_surplus()
    }

    /// The same with these witnesses, of so many servers that are named.
    fn witnessed(mut self, witnesses: Vec<Member>, servers: usize) -> Self {
        self.witnesses = witnesses;
        self.servers = servers;
        self.without_surplus()
    }

    /// One server, emptied again and again, must not become many voters.
    fn without_surplus(mut self) -> Self {
        let others = self.servers.saturating_sub(self.targets().count());
        self.witnesses.truncate(others);
        self
    }

    /// How many servers there are at least.
    fn count(&self) -> usize {
        self.servers.max(self.targets().count() + self.witnesses.len())
    }

    /// Everyone who gets writes; the members first.
    pub(super) fn targets(&self) -> impl Iterator<Item = &Member> {
        self.members.iter().chain(&self.learners)
    }

    /// Whether `other` came before this one, or is it.
    pub(super) fn follows(&self, other: &View) -> bool {
        knows_of(self, &other.token)
    }
}

/// A server that answers.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    /// How messages name it.
    pub(super) name: String,
    pub(super) member: Member,
    /// The latest view it was told.
    pub(super) view: Option<View>,
    /// That view's token, kept apart.
    pub(super) token: String,
    /// What it has lost of what it was told.
    pub(super) damage: Option<String>,
    /// It has answered without a gap since everyone agreed.
    pub(super) is_vouched: bool,
}

/// Who asks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asker<'a> {
    /// The set that the client has worked with before.
    pub(super) set: Option<&'a str>,
    /// It leaves changes of the view to others.
    pub(super) is_worker: bool,
    /// It was told that what cannot be reached is lost.
    pub(super) missing_is_lost: bool,
    /// It has waited long enough for servers that were never seen.
    pub(super) is_tired: bool,
}

/// Whose votes decide what the next view is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Votes {
    pub(super) voters: Vec<Member>,
    /// So many of them are needed.
    pub(super) needed: usize,
    /// The first so many of them are needed in any case.
    pub(super) essential: usize,
}

impl Votes {
    fn of_all(voters: Vec<Member>) -> Self {
        Votes {
            needed: voters.len(),
            essential: voters.len(),
            voters,
        }
    }

    /// Of servers that are all there: a majority, of three or more.
    pub(super) fn of_members(members: &[Member]) -> Self {
        Votes {
            voters: members.to_vec(),
            needed: majority_of(members.len()),
            essential: 0,
        }
    }
}

/// So many of so many servers decide. Of two there is no majority but both.
fn majority_of(count: usize) -> usize {
    count / 2 + 1
}

/// From so many servers on, a majority is needed.
const MANY: usize = 3;

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Everyone in the view is there; those who have not heard of it are to be told.
    Work(View),
    /// This view is to become the one after `from`: some have been lost.
    Shrink { from: View, to: View, votes: Votes },
    /// All have been started again: what any of them has is to be given to all of these, then this becomes the view after `from`.
    Recover { from: View, to: View, votes: Votes },
    /// Nobody knows of any view: this is to become the first.
    Begin { to: View, votes: Votes },
    /// It may become better.
    Wait(String),
    /// It does not become better by itself.
    Refuse(String),
}

/// The view to be voted for: the one that was voted for under the highest ballot, or else the own one.
pub(super) fn to_be_voted_for(votes_before: impl IntoIterator<Item = (String, View)>, own: View) -> View {
    let latest = votes_before.into_iter().max_by(|(a, _), (b, _)| a.cmp(b));
    latest.map_or(own, |(_, view)| view)
}

/// What follows from the servers that answer, out of those that `named` lists.
pub(super) fn judge(seen: &[Seen], named: &[&str], asker: Asker<'_>) -> Verdict {
    let silent: Vec<_> = named
        .iter()
        .filter(|name| !seen.iter().any(|server| server.name == **name))
        .copied()
        .collect();
    if let Some(twice) = named_twice(seen) {
        return twice;
    }
    if seen.is_empty() {
        return Verdict::Wait(format!("no server can be reached: {}", silent.join(", ")));
    }
    // A learner was told of a view before those who decide on it: it may have come to nothing.
    let with_view: Vec<_> = seen
        .iter()
        .filter_map(|server| Some((server, server.view.as_ref()?)))
        .filter(|(server, view)| view.members.iter().any(|member| is_of(server, member)))
        .collect();
    let mut of_set: Vec<_> = with_view.clone();
    if let Some(set) = asker.set {
        of_set.retain(|(_, view)| view.set == set);
    }
    let Some((newest_server, newest)) = of_set.iter().max_by_key(|(_, view)| view.number).copied() else {
        return without_view(seen, &silent, named.len(), asker);
    };
    for (server, view) in &with_view {
        if view.set != newest.set {
            // A client that works already lets it be; one that begins cannot know which is meant.
            if asker.set.is_none() {
                return Verdict::Refuse(format!(
                    "{} and {} hold different things, which cannot be put together: name only one of them, or empty the other",
                    newest_server.name, server.name
                ));
            }
        } else if !newest.follows(view) {
            return Verdict::Refuse(format!(
                "{} and {} have gone on without each other, so each lacks what was written to the other: name only one of them, and empty the other",
                newest_server.name, server.name
            ));
        }
    }
    if named.len() < newest.count() && newest.count() >= MANY && !asker.missing_is_lost {
        return Verdict::Refuse(format!(
            "what was written belongs to {} servers, of which {} are named: name them all, or, if those that are not named are gone for good, say so by \
             `?missing=lost` at the URL's end",
            newest.count(),
            named.len()
        ));
    }
    weigh(seen, newest, &silent, named.len(), asker)
}

/// Whether this is, or was before it lost its name, the server of this member.
fn is_of(server: &Seen, member: &Member) -> bool {
    server.member.server == member.server || (server.damage.is_some() && server.member.process == member.process)
}

/// Nobody knows of a view that the client could work with.
fn without_view(seen: &[Seen], silent: &[&str], named: usize, asker: Asker<'_>) -> Verdict {
    if let Some(damage) = damage_of(seen) {
        return Verdict::Refuse(damage);
    }
    let has_majority = named < MANY || seen.len() >= majority_of(named);
    let names: Vec<_> = seen.iter().map(|server| server.name.as_str()).collect();
    match asker.set {
        Some(_) if silent.is_empty() => Verdict::Refuse(format!(
            "the servers have been emptied, or replaced by others: what was stored on {} is lost",
            names.join(", ")
        )),
        Some(_) => Verdict::Wait(format!("cannot reach {}, and the others are empty", silent.join(", "))),
        None if asker.is_worker => Verdict::Wait("the servers have not been made ready yet".to_string()),
        None if seen.iter().any(was_told) => {
            let told: Vec<_> = seen.iter().filter(|server| was_told(server)).collect();
            let told: Vec<_> = told.iter().map(|server| server.name.as_str()).collect();
            let told = format!(
                "{} belongs to other servers, which hold what was written",
                told.join(", ")
            );
            match silent.is_empty() {
                true => Verdict::Refuse(format!("{told}: name those too, or empty it and begin again")),
                false => Verdict::Wait(format!("{told}, and cannot reach {}", silent.join(", "))),
            }
        }
        None if silent.is_empty() || (asker.is_tired && has_majority) => {
            let members: Vec<_> = seen.iter().map(|server| server.member.clone()).collect();
            let mut votes = Votes::of_all(members.clone());
            if named >= MANY {
                votes.needed = majority_of(named);
                votes.essential = 0;
            }
            Verdict::Begin {
                to: View::first(members, named),
                votes,
            }
        }
        None => Verdict::Wait(format!("cannot reach {}", silent.join(", "))),
    }
}

/// Whether a server has heard of a view.
fn was_told(server: &Seen) -> bool {
    server.view.is_some() || !server.token.is_empty()
}

/// What servers have lost of what they were told, in words.
fn damage_of<'a>(servers: impl IntoIterator<Item = &'a Seen>) -> Option<String> {
    let damages = servers
        .into_iter()
        .filter_map(|server| Some(format!("{} {}", server.name, server.damage.as_ref()?)));
    let damages: Vec<_> = damages.collect();
    (!damages.is_empty()).then(|| {
        format!(
            "{}; so something was deleted or evicted there, and what was stored may not be whole: restore that server, or empty it and begin again",
            damages.join("; ")
        )
    })
}

/// Decides what becomes of the newest view.
fn weigh(seen: &[Seen], newest: &View, silent: &[&str], named: usize, asker: Asker<'_>) -> Verdict {
    let at = |member: &Member| {
        seen.iter()
            .find(|server| server.member == *member && server.damage.is_none())
    };
    let staying: Vec<_> = newest.members.iter().filter_map(at).collect();
    let learners: Vec<_> = newest
        .learners
        .iter()
        .filter(|member| at(member).is_some())
        .cloned()
        .collect();
    // Only where it is said that the others are lost is it taken for granted that there are fewer than there were.
    let count = match asker.missing_is_lost {
        true => named,
        false => newest.count().max(named),
    };
    if staying.len() == newest.members.len() {
        let is_whole = learners.len() == newest.learners.len() && count >= newest.count();
        return match is_whole {
            true => Verdict::Work(newest.clone()),
            false if asker.is_worker => Verdict::Wait("a server that was to return is gone again".to_string()),
            false => Verdict::Shrink {
                from: newest.clone(),
                to: after(seen, newest, newest.members.clone(), learners, count),
                votes: Votes::of_members(&newest.members),
            },
        };
    }
    if asker.is_worker {
        return Verdict::Wait(why_not_all(seen, newest, silent));
    }
    let members = |servers: &[&Seen]| servers.iter().map(|server| server.member.clone()).collect::<Vec<_>>();
    let (staying, there) = (members(&staying), members(&servers_of(seen, newest)));
    let parted = Parted {
        seen,
        newest,
        staying: &staying,
        there: &there,
        count: newest.count().max(named),
    };
    let Some(votes) = parted.may_go_on(asker) else {
        return Verdict::Wait(format!(
            "{}, and what can be reached may lack what was written last; start it again, or, if it is lost for good, say so by `?missing=lost` at the URL's end",
            why_not_all(seen, newest, silent)
        ));
    };
    if !staying.is_empty() {
        return Verdict::Shrink {
            from: newest.clone(),
            to: after(seen, newest, staying, learners, count),
            votes,
        };
    }
    if there.is_empty() {
        let of_members = seen
            .iter()
            .filter(|server| newest.members.iter().any(|member| is_of(server, member)));
        return match damage_of(of_members) {
            Some(damage) => Verdict::Refuse(damage),
            None => Verdict::Wait(why_not_all(seen, newest, silent)),
        };
    }
    Verdict::Recover {
        from: newest.clone(),
        to: after(seen, newest, there, Vec::new(), count),
        votes,
    }
}

/// The view after this one, of so many servers. Those that are seen and are neither members nor learners become its witnesses as what they are now.
fn after(seen: &[Seen], view: &View, members: Vec<Member>, learners: Vec<Member>, count: usize) -> View {
    let is_other = |server: &&Seen| {
        let mut others = members.iter().chain(&learners);
        others.all(|other| other.server != server.member.server)
    };
    let witnesses = seen
        .iter()
        .filter(is_other)
        .filter(|server| server.damage.is_none() && knows_of(view, &server.token));
    let mut witnesses: Vec<_> = witnesses.map(|server| server.member.clone()).collect();
    let next = view.next(members, learners);
    let unseen = next.witnesses.iter();
    let unseen = unseen.filter(|process| !seen.iter().any(|server| is_of(server, process)));
    witnesses.extend(unseen.cloned());
    next.witnessed(witnesses, count)
}

/// The servers of the view's members that have all that they were told, as whatever process.
fn servers_of<'a>(seen: &'a [Seen], view: &View) -> Vec<&'a Seen> {
    let of = |member: &Member| {
        seen.iter()
            .find(|server| server.member.server == member.server && server.damage.is_none())
    };
    view.members.iter().filter_map(of).collect()
}

/// Some members of a view are not there as they were.
struct Parted<'a> {
    seen: &'a [Seen],
    newest: &'a View,
    /// The members that are there.
    staying: &'a [Member],
    /// The servers of members that are there, as whatever process.
    there: &'a [Member],
    /// How many servers there should be.
    count: usize,
}

impl Parted<'_> {
    /// Whether the other members may be left out, and by whose votes.
    fn may_go_on(&self, asker: Asker<'_>) -> Option<Votes> {
        let count = self.newest.members.len();
        let are_many = self.count >= MANY && !sabotage::is(Sabotage::NoMajority);
        let mut votes = Votes {
            voters: self.staying.to_vec(),
            needed: majority_of(count),
            essential: 0,
        };
        if are_many && count < MANY {
            votes.voters.extend(self.witnesses());
            votes.needed = majority_of(self.count);
            // Where all members vote by themselves, no one else must be able to.
            votes.essential = self.staying.len();
        }
        if are_many && !self.staying.is_empty() && votes.voters.len() >= votes.needed {
            return Some(votes);
        }
        if self.all_can_be_asked() && (!are_many || self.there.len() >= majority_of(count)) {
            return Some(Votes::of_all(self.there.to_vec()));
        }
        let is_vouched = |member: &Member| {
            let mut seen = self.seen.iter();
            seen.any(|server| server.member == *member && server.is_vouched)
        };
        if !self.staying.is_empty() && self.staying.iter().all(is_vouched) && !are_many {
            return Some(Votes::of_all(self.staying.to_vec()));
        }
        let left = if self.staying.is_empty() {
            self.there
        } else {
            self.staying
        };
        asker.missing_is_lost.then(|| Votes::of_all(left.to_vec()))
    }

    /// The learners and witnesses that are there as the view lists them. Of a server that has been started again since, nobody knows whether it has kept its
    /// vote: it may vote on what comes after a view that lists its new process.
    fn witnesses(&self) -> impl Iterator<Item = Member> {
        let is_listed = |server: &Seen| {
            let mut listed = self.newest.learners.iter().chain(&self.newest.witnesses);
            listed.any(|process| *process == server.member)
        };
        let witnesses = self
            .seen
            .iter()
            .filter(move |server| is_listed(server) && server.damage.is_none() && knows_of(self.newest, &server.token));
        witnesses.map(|server| server.member.clone())
    }

    /// Whether all members' servers are there and it is known what they were told.
    fn all_can_be_asked(&self) -> bool {
        let knows =
            |server: &Seen| server.damage.is_none() || server.view.is_some() || knows_of(self.newest, &server.token);
        let can_be_asked = |member: &Member| {
            let mut seen = self.seen.iter();
            seen.any(|server| is_of(server, member) && knows(server))
        };
        self.newest.members.iter().all(can_be_asked)
    }
}

/// Whether this is the token of the view or of one before it.
fn knows_of(view: &View, token: &str) -> bool {
    view.token == token || view.past.iter().any(|past| past == token)
}

/// Why not all members of the view are there as they were.
fn why_not_all(seen: &[Seen], newest: &View, silent: &[&str]) -> String {
    let mut causes = Vec::new();
    if !silent.is_empty() {
        causes.push(format!("cannot reach {}", silent.join(", ")));
    }
    for server in seen {
        let is_known = newest.members.iter().any(|member| is_of(server, member));
        let was_member = newest
            .members
            .iter()
            .any(|member| member.process == server.member.process);
        match &server.damage {
            Some(damage) => causes.push(format!("{} {damage}", server.name)),
            None if was_member && !is_known => causes.push(format!("{} has been emptied", server.name)),
            None => {}
        }
    }
    match causes.is_empty() {
        true => "a server that had what was written has been emptied, or is not named".to_string(),
        false => causes.join(", "),
    }
}

fn named_twice(seen: &[Seen]) -> Option<Verdict> {
    let is_same = |a: &Member, b: &Member| a.process == b.process || (a.server == b.server && !a.server.is_empty());
    seen.iter().enumerate().find_map(|(index, server)| {
        let other = seen[..index]
            .iter()
            .find(|other| is_same(&other.member, &server.member))?;
        Some(Verdict::Refuse(format!(
            "{} and {} are the same server, or one has the other's files: a copy there protects from nothing",
            other.name, server.name
        )))
    })
}

#[cfg(test)]
mod tests;
