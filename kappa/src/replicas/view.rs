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
mod tests {
    use super::*;

    fn member(server: &str, process: u32) -> Member {
        Member {
            server: server.to_string(),
            process: format!("{server}{process}"),
        }
    }

    fn seen(server: &str, process: u32, view: Option<&View>, is_vouched: bool) -> Seen {
        Seen {
            name: server.to_string(),
            member: member(server, process),
            view: view.cloned(),
            token: view.map_or(String::new(), |view| view.token.clone()),
            damage: None,
            is_vouched,
        }
    }

    const NEW: Asker<'_> = Asker {
        set: None,
        is_worker: false,
        missing_is_lost: false,
        is_tired: false,
    };
    const NAMED: [&str; 2] = ["a", "b"];

    fn both() -> View {
        View::first(vec![member("a", 0), member("b", 0)], 2)
    }

    fn members(view: &View) -> Vec<&str> {
        view.members.iter().map(|member| &*member.process).collect()
    }

    #[test]
    fn servers_that_agree_are_worked_with() {
        let view = both();
        let verdict = judge(
            &[seen("b", 0, Some(&view), false), seen("a", 0, Some(&view), false)],
            &NAMED,
            NEW,
        );
        assert_eq!(verdict, Verdict::Work(view));
    }

    #[test]
    fn a_server_is_left_out_only_by_a_client_that_can_vouch_for_the_other() {
        let view = both();
        let working = Asker {
            set: Some(&view.set),
            ..NEW
        };
        let Verdict::Shrink { to, .. } = judge(&[seen("a", 0, Some(&view), true)], &NAMED, working) else {
            panic!("a is vouched for");
        };
        assert_eq!(members(&to), ["a0"]);
        assert!(to.follows(&view));
        // b may have gone on without a, and then have been lost.
        for asker in [working, NEW] {
            let verdict = judge(&[seen("a", 0, Some(&view), false)], &NAMED, asker);
            let Verdict::Wait(message) = verdict else {
                panic!("{verdict:?}")
            };
            assert!(
                message.contains("cannot reach b") && message.contains("missing=lost"),
                "{message}"
            );
        }
        let told = Asker {
            missing_is_lost: true,
            ..NEW
        };
        let verdict = judge(&[seen("a", 0, Some(&view), false)], &NAMED, told);
        assert!(matches!(verdict, Verdict::Shrink { .. }), "{verdict:?}");
        let worker = Asker {
            is_worker: true,
            ..working
        };
        let verdict = judge(&[seen("a", 0, Some(&view), true)], &NAMED, worker);
        assert!(matches!(verdict, Verdict::Wait(_)), "{verdict:?}");
    }

    #[test]
    fn a_server_that_was_started_again_is_no_member_any_more() {
        let view = both();
        let verdict = judge(
            &[seen("a", 0, Some(&view), false), seen("b", 1, Some(&view), false)],
            &NAMED,
            NEW,
        );
        let Verdict::Shrink { to, .. } = verdict else {
            panic!("{verdict:?}")
        };
        assert_eq!(members(&to), ["a0"]);
    }

    #[test]
    fn when_all_were_started_again_all_are_needed() {
        let view = both();
        let verdict = judge(
            &[seen("a", 1, Some(&view), false), seen("b", 1, Some(&view), false)],
            &NAMED,
            NEW,
        );
        let Verdict::Recover { to, .. } = verdict else {
            panic!("{verdict:?}")
        };
        let mut members = members(&to);
        members.sort_unstable();
        assert_eq!(members, ["a1", "b1"]);
        let verdict = judge(&[seen("a", 1, Some(&view), false)], &NAMED, NEW);
        assert!(matches!(verdict, Verdict::Wait(_)), "{verdict:?}");
    }

    #[test]
    fn the_newer_view_counts_even_if_only_a_server_that_was_left_out_is_there() {
        let view = both();
        let without_b = view.next(vec![member("a", 0)], Vec::new());
        // b was away when it was left out; a is the only one to be asked.
        let verdict = judge(
            &[seen("a", 0, Some(&without_b), false), seen("b", 1, Some(&view), false)],
            &NAMED,
            NEW,
        );
        assert_eq!(verdict, Verdict::Work(without_b.clone()));
        // And when a is gone, b alone is not trusted, however it came back.
        for process in [0, 1] {
            let verdict = judge(&[seen("b", process, Some(&view), false)], &NAMED, NEW);
            assert!(matches!(verdict, Verdict::Wait(_)), "{verdict:?}");
        }
    }

    #[test]
    fn servers_that_have_gone_on_without_each_other_are_not_put_together() {
        let view = both();
        let without_b = view.next(vec![member("a", 0)], Vec::new());
        let without_a = view.next(vec![member("b", 0)], Vec::new());
        let both_ways = [
            seen("a", 0, Some(&without_b), true),
            seen("b", 0, Some(&without_a), true),
        ];
        let verdict = judge(&both_ways, &NAMED, NEW);
        assert!(
            matches!(&verdict, Verdict::Refuse(message) if message.contains("without each other")),
            "{verdict:?}"
        );
        let strangers = [seen("a", 0, Some(&both()), false), seen("b", 0, Some(&both()), false)];
        let verdict = judge(&strangers, &NAMED, NEW);
        assert!(
            matches!(&verdict, Verdict::Refuse(message) if message.contains("different things")),
            "{verdict:?}"
        );
    }

    #[test]
    fn a_learner_that_was_told_first_decides_nothing() {
        let view = both().next(vec![member("a", 0)], Vec::new());
        let learning = view.next(vec![member("a", 0)], vec![member("b", 1)]);
        let verdict = judge(
            &[seen("a", 0, Some(&view), true), seen("b", 1, Some(&learning), true)],
            &NAMED,
            NEW,
        );
        assert_eq!(verdict, Verdict::Work(view));
    }

    #[test]
    fn emptied_servers_are_not_taken_for_new_ones_by_who_has_worked_with_them() {
        let view = both();
        let working = Asker {
            set: Some(&view.set),
            ..NEW
        };
        let empty = [seen("a", 1, None, false), seen("b", 1, None, false)];
        let verdict = judge(&empty, &NAMED, working);
        assert!(
            matches!(&verdict, Verdict::Refuse(message) if message.contains("emptied")),
            "{verdict:?}"
        );
        assert!(matches!(judge(&empty, &NAMED, NEW), Verdict::Begin { .. }));
    }

    const THREE: [&str; 3] = ["a", "b", "c"];

    fn three() -> View {
        View::first(vec![member("a", 0), member("b", 0), member("c", 0)], 3)
    }

    fn voters(votes: &Votes) -> Vec<&str> {
        votes.voters.iter().map(|member| &*member.process).collect()
    }

    #[test]
    fn of_three_servers_a_minority_leaves_nobody_out() {
        let view = three();
        let working = Asker {
            set: Some(&view.set),
            ..NEW
        };
        let alone = [seen("a", 0, Some(&view), true)];
        let verdict = judge(&alone, &THREE, working);
        assert!(
            matches!(&verdict, Verdict::Wait(message) if message.contains("cannot reach b, c")),
            "{verdict:?}"
        );
        // Only somebody who knows that the others are lost may say so.
        let told = Asker {
            missing_is_lost: true,
            ..NEW
        };
        let Verdict::Shrink { to, votes, .. } = judge(&alone, &THREE, told) else {
            panic!("it was said")
        };
        assert_eq!((members(&to), votes.needed), (vec!["a0"], 1));
        // Two are a majority, vouched for or not.
        let two = [seen("a", 0, Some(&view), false), seen("c", 0, Some(&view), false)];
        let Verdict::Shrink { to, votes, .. } = judge(&two, &THREE, NEW) else {
            panic!("a majority")
        };
        assert_eq!(
            (members(&to), voters(&votes), votes.needed),
            (vec!["a0", "c0"], vec!["a0", "c0"], 2)
        );
    }

    #[test]
    fn when_two_of_three_are_left_the_third_votes_too_if_it_is_the_process_that_the_view_lists() {
        let view = three();
        let of_two = view.next(vec![member("a", 0), member("b", 0)], Vec::new());
        assert_eq!(of_two.witnesses, [member("c", 0)]);
        let alone = of_two.clone().witnessed(Vec::new(), 3);
        let working = Asker {
            set: Some(&view.set),
            ..NEW
        };
        let with_third = [seen("b", 0, Some(&of_two), true), seen("c", 0, Some(&view), true)];
        let Verdict::Shrink { to, votes, .. } = judge(&with_third, &THREE, working) else {
            panic!("a majority")
        };
        assert_eq!(
            (members(&to), voters(&votes), votes.needed, votes.essential),
            (vec!["b0"], vec!["b0", "c0"], 2, 1)
        );
        let verdict = judge(&with_third[..1], &THREE, working);
        assert!(matches!(verdict, Verdict::Wait(_)), "{verdict:?}");
        // One that has been started again since may have lost the vote that it gave another client.
        let restarted = [seen("b", 0, Some(&of_two), true), seen("c", 1, Some(&view), true)];
        let verdict = judge(&restarted, &THREE, working);
        assert!(matches!(verdict, Verdict::Wait(_)), "{verdict:?}");
        // And so may one of which the view knows nothing.
        let with_third = [seen("b", 0, Some(&alone), true), seen("c", 0, Some(&view), true)];
        let verdict = judge(&with_third, &THREE, working);
        assert!(matches!(verdict, Verdict::Wait(_)), "{verdict:?}");
    }

    #[test]
    fn a_server_that_has_been_started_again_votes_on_what_comes_after_a_view_that_lists_its_new_process() {
        let view = three();
        let there = [
            seen("a", 0, Some(&view), false),
            seen("b", 0, Some(&view), false),
            seen("c", 1, Some(&view), false),
        ];
        let Verdict::Shrink { to, votes, .. } = judge(&there, &THREE, NEW) else {
            panic!("a majority")
        };
        assert_eq!(voters(&votes), ["a0", "b0"]);
        assert_eq!(
            (members(&to), to.witnesses.clone()),
            (vec!["a0", "b0"], vec![member("c", 1)])
        );
        let there = [seen("a", 0, Some(&to), false), seen("c", 1, Some(&view), false)];
        let Verdict::Shrink { to: last, votes, .. } = judge(&there, &THREE, NEW) else {
            panic!("a majority")
        };
        assert_eq!((members(&last), voters(&votes)), (vec!["a0"], vec!["a0", "c1"]));
        // As a learner it votes, too; a view lists each server once.
        let learning = to.next(to.members.clone(), vec![member("c", 1)]);
        assert_eq!(learning.witnesses, []);
        let there = [
            seen("a", 0, Some(&learning), false),
            seen("c", 1, Some(&learning), false),
        ];
        let Verdict::Shrink { votes, .. } = judge(&there, &THREE, NEW) else {
            panic!("a majority")
        };
        assert_eq!(voters(&votes), ["a0", "c1"]);
    }

    #[test]
    fn of_five_servers_those_that_only_vote_do_not_outvote_the_last_two_members() {
        let witnesses = ["c", "d", "e"].map(|server| member(server, 0));
        let view = View::first(vec![member("a", 0), member("b", 0)], 5).witnessed(witnesses.to_vec(), 5);
        let there = ["a", "c", "d", "e"].map(|server| seen(server, 0, Some(&view), true));
        let Verdict::Shrink { votes, .. } = judge(&there, &["a", "b", "c", "d", "e"], NEW) else {
            panic!("a majority")
        };
        // What both members decide by themselves must not be decided otherwise without either.
        assert_eq!((votes.needed, votes.essential), (3, 1));
        assert_eq!(voters(&votes)[0], "a0");
    }

    #[test]
    fn a_begin_with_some_of_three_servers_needs_a_majority_too() {
        let tired = Asker { is_tired: true, ..NEW };
        let one = [seen("a", 0, None, false)];
        assert!(matches!(judge(&one, &THREE, tired), Verdict::Wait(_)));
        let two = [seen("a", 0, None, false), seen("b", 0, None, false)];
        let Verdict::Begin { to, votes } = judge(&two, &THREE, tired) else {
            panic!("a majority")
        };
        assert_eq!((members(&to), votes.needed), (vec!["a0", "b0"], 2));
        assert!(matches!(judge(&two, &THREE, NEW), Verdict::Wait(_)), "not yet tired");
        assert!(matches!(judge(&one, &NAMED, tired), Verdict::Begin { .. }));
    }

    #[test]
    fn whoever_names_fewer_servers_than_there_are_does_not_leave_the_others_out() {
        let view = three();
        let verdict = judge(
            &[seen("a", 0, Some(&view), false), seen("b", 0, Some(&view), false)],
            &NAMED,
            NEW,
        );
        assert!(
            matches!(&verdict, Verdict::Refuse(message) if message.contains("3 servers, of which 2")),
            "{verdict:?}"
        );
        // Nor when one of them is not in the view at present.
        let of_two = view.next(vec![member("a", 0), member("b", 0)], Vec::new());
        let both = [seen("a", 0, Some(&of_two), true), seen("b", 0, Some(&of_two), true)];
        for there in [&both[..], &both[..1]] {
            let verdict = judge(there, &NAMED, NEW);
            assert!(
                matches!(&verdict, Verdict::Refuse(message) if message.contains("3 servers, of which 2") && message.contains("missing=lost")),
                "{verdict:?}"
            );
        }
        // Unless it is gone for good; from then on there are two.
        let told = Asker {
            missing_is_lost: true,
            ..NEW
        };
        let Verdict::Shrink { to, .. } = judge(&both, &NAMED, told) else {
            panic!("it was said")
        };
        assert_eq!((members(&to), to.servers), (vec!["a0", "b0"], 2));
        let both = [seen("a", 0, Some(&to), true), seen("b", 0, Some(&to), true)];
        for asker in [NEW, told] {
            assert_eq!(judge(&both, &NAMED, asker), Verdict::Work(to.clone()));
        }
    }

    #[test]
    fn nothing_is_begun_on_a_server_that_was_told_of_others() {
        let view = both();
        let tired = Asker { is_tired: true, ..NEW };
        // It was learning, or has lost nothing but its view.
        for server in [
            seen("c", 0, Some(&view), false),
            Seen {
                view: None,
                ..seen("c", 0, Some(&view), false)
            },
        ] {
            let there = [server];
            let verdict = judge(&there, &["c"], NEW);
            assert!(
                matches!(&verdict, Verdict::Refuse(message) if message.contains("c belongs to other servers")),
                "{verdict:?}"
            );
            let verdict = judge(&there, &["c", "d"], tired);
            assert!(
                matches!(&verdict, Verdict::Wait(message) if message.contains("cannot reach d")),
                "{verdict:?}"
            );
        }
    }

    #[test]
    fn a_view_that_was_voted_for_is_voted_for_again() {
        let view = three();
        let [one, other, own] = [0, 1, 2].map(|_| view.next(vec![member("a", 0)], Vec::new()));
        assert_eq!(to_be_voted_for([], own.clone()), own);
        let before = [("2-x".to_string(), one.clone()), ("3-a".to_string(), other.clone())];
        assert_eq!(to_be_voted_for(before, own.clone()), other);
    }

    fn damaged(mut server: Seen, lost: &str) -> Seen {
        server.damage = Some(format!("has lost `{lost}`"));
        match lost {
            "kappa:token" => server.token.clear(),
            "kappa:view" => server.view = None,
            _ => server.member.server.clear(),
        }
        server
    }

    #[test]
    fn a_server_that_has_lost_a_part_of_what_it_was_told_is_no_member_and_if_it_is_the_last_nothing_is_done() {
        for lost in ["kappa:token", "kappa:view", "kappa:server"] {
            let view = View::first(vec![member("a", 0)], 1);
            for set in [None, Some(view.set.as_str())] {
                let alone = damaged(seen("a", 0, Some(&view), true), lost);
                let verdict = judge(&[alone], &["a"], Asker { set, ..NEW });
                assert!(
                    matches!(&verdict, Verdict::Refuse(message) if message.contains("a has lost") && message.contains(lost)),
                    "{verdict:?}"
                );
            }
            let view = both();
            let with_other = [
                damaged(seen("a", 0, Some(&view), true), lost),
                seen("b", 0, Some(&view), false),
            ];
            let Verdict::Shrink { to, .. } = judge(&with_other, &NAMED, NEW) else {
                panic!("b has everything, and a can still be asked")
            };
            assert_eq!(members(&to), ["b0"]);
        }
    }

    #[test]
    fn an_emptied_server_is_no_member_though_it_is_the_same_process() {
        let view = both();
        let mut emptied = seen("a", 0, None, true);
        emptied.member.server = "new".to_string();
        let there = [emptied, seen("b", 0, Some(&view), true)];
        let working = Asker {
            set: Some(&view.set),
            ..NEW
        };
        let Verdict::Shrink { to, .. } = judge(&there, &NAMED, working) else {
            panic!("b is vouched for")
        };
        assert_eq!(members(&to), ["b0"]);
        // Whoever begins cannot know whether b was left out before a was emptied.
        let mut there = there;
        there[1].is_vouched = false;
        let verdict = judge(&there, &NAMED, NEW);
        assert!(
            matches!(&verdict, Verdict::Wait(message) if message.contains("a has been emptied") && message.contains("missing=lost")),
            "{verdict:?}"
        );
    }

    #[test]
    fn a_server_named_twice_is_found_out() {
        let view = both();
        let verdict = judge(
            &[seen("a", 0, Some(&view), false), seen("a", 0, Some(&view), false)],
            &NAMED,
            NEW,
        );
        assert!(
            matches!(&verdict, Verdict::Refuse(message) if message.contains("same server")),
            "{verdict:?}"
        );
    }

    #[test]
    fn a_server_that_was_away_for_very_many_views_is_not_known_any_more() {
        let first = both();
        let mut view = first.clone();
        for _ in 0..REMEMBERED {
            view = view.next(view.members.clone(), Vec::new());
        }
        assert!(view.follows(&first));
        view = view.next(view.members.clone(), Vec::new());
        assert!(!view.follows(&first));
        assert_eq!(view.past.len(), REMEMBERED);
    }
}
