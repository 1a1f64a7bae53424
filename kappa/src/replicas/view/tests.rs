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
