//! Which servers count: the view, and what follows from what is seen of them.
//!
//! The view is the one thing that all servers and clients have to agree on: the servers that have every acknowledged write, in the order in which they
//! decide. Each server keeps the latest one that it was told. It changes in steps of one, each decided by the first server that stays.
//!
//! The danger is a server that has missed something and does not know. Three rules keep it from being trusted:
//!
//! * A member is a *process*, not an address: a server that has been started again is another one, whatever it has on its disk.
//! * A server may be left out only by a client that can vouch for those that stay: that has seen them answer without a gap since all of them, and all
//!   others, last agreed on the view. Otherwise it could be the ones that stay who were left out meanwhile.
//! * A view knows those before it. A server whose view is not among them has gone another way, and nothing is done with the two together.

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
    /// Tokens of the views before, oldest first.
    pub(super) past: Vec<String>,
}

pub(super) fn new_token() -> String {
    uuid::Uuid::new_v4().as_simple().to_string()
}

impl View {
    /// The first view of a new set.
    pub(super) fn first(mut members: Vec<Member>) -> Self {
        // Two clients that begin at the same time must ask the same server first, however they have been told of them.
        members.sort_by(|a, b| a.server.cmp(&b.server));
        View {
            set: new_token(),
            number: 1,
            token: new_token(),
            members,
            learners: Vec::new(),
            past: Vec::new(),
        }
    }

    /// The view after this one.
    pub(super) fn next(&self, members: Vec<Member>, learners: Vec<Member>) -> Self {
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
            past,
        }
    }

    /// Everyone who gets writes; the members first.
    pub(super) fn targets(&self) -> impl Iterator<Item = &Member> {
        self.members.iter().chain(&self.learners)
    }

    /// Whether `other` came before this one, or is it.
    pub(super) fn follows(&self, other: &View) -> bool {
        self.token == other.token || self.past.contains(&other.token)
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

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Everyone in the view is there; those who have not heard of it are to be told.
    Work(View),
    /// This view is to become the next one: some have been lost.
    Shrink { to: View },
    /// All have been started again: what any of them has is to be given to all of these, then this becomes the next view.
    Recover { to: View },
    /// Nobody knows of any view: this becomes the first.
    Begin(View),
    /// It may become better.
    Wait(String),
    /// It does not become better by itself.
    Refuse(String),
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
        .filter(|(server, view)| view.members.iter().any(|member| member.server == server.member.server))
        .collect();
    let mut of_set: Vec<_> = with_view.clone();
    if let Some(set) = asker.set {
        of_set.retain(|(_, view)| view.set == set);
    }
    let Some((newest_server, newest)) = of_set.iter().max_by_key(|(_, view)| view.number).copied() else {
        return match asker.set {
            Some(_) if silent.is_empty() => Verdict::Refuse(
                "the servers have been emptied, or replaced by others: what was stored is lost".to_string(),
            ),
            Some(_) => Verdict::Wait(format!("cannot reach {}, and the others are empty", silent.join(", "))),
            None if asker.is_worker => Verdict::Wait("the servers have not been made ready yet".to_string()),
            None if silent.is_empty() || asker.is_tired => {
                Verdict::Begin(View::first(seen.iter().map(|server| server.member.clone()).collect()))
            }
            None => Verdict::Wait(format!("cannot reach {}", silent.join(", "))),
        };
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
    weigh(seen, newest, &silent, asker)
}

/// Decides what becomes of the newest view.
fn weigh(seen: &[Seen], newest: &View, silent: &[&str], asker: Asker<'_>) -> Verdict {
    let at = |member: &Member| seen.iter().find(|server| server.member == *member);
    let staying: Vec<_> = newest.members.iter().filter_map(at).collect();
    let learners: Vec<_> = newest
        .learners
        .iter()
        .filter(|member| at(member).is_some())
        .cloned()
        .collect();
    if staying.len() == newest.members.len() {
        return match learners.len() == newest.learners.len() {
            true => Verdict::Work(newest.clone()),
            false if asker.is_worker => Verdict::Wait("a server that was to return is gone again".to_string()),
            false => Verdict::Shrink {
                to: newest.next(newest.members.clone(), learners),
            },
        };
    }
    let unreachable = || match silent {
        [] => "a server that had what was written has been emptied, or is not named".to_string(),
        silent => format!("cannot reach {}", silent.join(", ")),
    };
    if asker.is_worker {
        return Verdict::Wait(unreachable());
    }
    let is_there = |member: &Member| seen.iter().any(|server| server.member.server == member.server);
    let all_can_be_asked = newest.members.iter().all(is_there);
    let is_vouched = !staying.is_empty() && staying.iter().all(|server| server.is_vouched);
    if !(all_can_be_asked || is_vouched || asker.missing_is_lost) {
        return Verdict::Wait(format!(
            "{}, and what can be reached may lack what was written last; start it again, or, if it is lost for good, say so by `?missing=lost` at the URL's end",
            unreachable()
        ));
    }
    if !staying.is_empty() {
        let staying = staying.into_iter().map(|server| server.member.clone()).collect();
        return Verdict::Shrink {
            to: newest.next(staying, learners),
        };
    }
    let started_again: Vec<_> = newest
        .members
        .iter()
        .filter_map(|member| seen.iter().find(|server| server.member.server == member.server))
        .map(|server| server.member.clone())
        .collect();
    match started_again.is_empty() {
        true => Verdict::Wait(unreachable()),
        false => Verdict::Recover {
            to: newest.next(started_again, Vec::new()),
        },
    }
}

fn named_twice(seen: &[Seen]) -> Option<Verdict> {
    let is_same = |a: &Member, b: &Member| a.process == b.process || a.server == b.server;
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
        View::first(vec![member("a", 0), member("b", 0)])
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
        let Verdict::Shrink { to } = judge(&[seen("a", 0, Some(&view), true)], &NAMED, working) else {
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
        let Verdict::Shrink { to } = verdict else {
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
        let Verdict::Recover { to } = verdict else {
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
        assert!(matches!(judge(&empty, &NAMED, NEW), Verdict::Begin(_)));
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
