//! Ends of invocations that are nobody's fault: a store that is away, full or damaged, and a program that is another one.

use super::*;

fn store_away() -> InvocationOutcome {
    InvocationOutcome::StoreAway("connection refused".to_string())
}

fn wrong_program() -> InvocationOutcome {
    InvocationOutcome::WrongProgram("the source of root has changed".to_string())
}

fn halts(actions: &[Action]) -> Vec<(u64, String)> {
    let halts = actions.iter().filter_map(|action| match action {
        Action::Halt {
            task,
            cause: Halt::WrongProgram(cause) | Halt::NeedsRepair(cause),
        } => Some((task.0, cause.clone())),
        _ => None,
    });
    halts.collect()
}

#[test]
fn guarantee_6_a_store_that_is_away_for_long_backs_off_to_a_cap_and_never_fails_the_task() {
    let (mut bench, _) = Bench::new(8);
    let cap = Duration::from_secs(5);
    let mut delays = Vec::new();
    for incarnation in 0..100 {
        assert_eq!(invoked(&bench.end(0, incarnation, store_away())), vec![]);
        let delay = bench.state.next_timer().expect("a retry").since(bench.now);
        delays.push(delay);
        assert_eq!(invoked(&bench.pass(delay)), vec![(0, incarnation + 1)]);
        bench.compact();
    }
    // Those that wait for the store do not all come back at the same moment.
    assert!(
        delays[0] < cap / 2 && delays.iter().all(|delay| *delay <= cap),
        "{delays:?}"
    );
    assert!(delays[20..].iter().all(|delay| *delay >= cap / 2), "{delays:?}");
    assert_eq!(bench.state.ended(), None);
    assert_eq!(bench.state.stats().store_away, 100);
}

#[test]
fn guarantee_6_a_store_that_is_away_uses_up_no_attempt_of_those_that_the_program_has() {
    let (mut bench, _) = Bench::new(8);
    let limit = Tuning::default().crash_limit;
    let mut incarnation = 0;
    for crash in 1..=limit {
        for _ in 0..10 {
            bench.end(0, incarnation, store_away());
            bench.pass(Duration::from_secs(5));
            incarnation += 1;
        }
        bench.end(0, incarnation, crashed());
        incarnation += 1;
        assert_eq!(bench.state.ended().is_some(), crash == limit, "crash {crash}");
        bench.pass(Duration::from_secs(10));
    }
    assert!(matches!(failure(bench.state.ended()), Failure::Crashed { attempts, .. } if attempts == limit));
}

#[test]
fn a_program_that_cannot_go_on_halts_the_run_and_fails_nothing() {
    let (mut bench, _) = Bench::new(8);
    bench.request(0, 0, 1, Call::Spawn(vec![spec("child", b"1"), spec("child", b"2")]));
    let actions = bench.end(1, 0, wrong_program());
    assert_eq!(halts(&actions), [(1, "the source of root has changed".to_string())]);
    assert_eq!(invoked(&actions), vec![]);
    assert_eq!((bench.state.ended(), bench.state.stats().tasks_failed), (None, 0));
}

#[test]
fn what_somebody_has_to_mend_halts_the_run_fails_nothing_and_uses_up_no_attempt() {
    let (mut bench, _) = Bench::new(8);
    bench.request(0, 0, 1, Call::Checkpoint);
    for incarnation in 0..50 {
        let full = InvocationOutcome::NeedsRepair("No space left on device".to_string());
        let actions = bench.end(0, incarnation, full);
        let why = Halt::NeedsRepair("No space left on device".to_string());
        assert!(
            actions.contains(&Action::Halt {
                task: TaskId(0),
                cause: why
            }),
            "{actions:?}"
        );
        assert_eq!(bench.state.ended(), None);
        bench.compact();
        assert_eq!(invoked(&bench.crash()), vec![(0, incarnation + 1)]);
    }
    bench.request(0, 50, 2, Call::Exit(Ok(inline("done"))));
    assert_eq!(bench.state.ended(), Some(&Ok(inline("done"))));
}

#[test]
fn what_arrives_after_the_halt_takes_effect_but_nothing_is_started() {
    let (mut bench, _) = Bench::new(8);
    bench.request(0, 0, 1, Call::Spawn(vec![spec("child", b"1")]));
    bench.end(1, 0, wrong_program());
    // It was on its way already, and is told that it took effect.
    let actions = bench.request(0, 0, 2, Call::Spawn(vec![spec("child", b"2")]));
    assert_eq!(only_answer(&actions), Answer::Spawned(vec![TaskId(2)]));
    assert_eq!(invoked(&actions), vec![]);
    assert_eq!(invoked(&bench.pass(Duration::from_secs(100))), vec![]);
    bench.compact();
    let mut started = invoked(&bench.crash());
    started.sort_unstable();
    assert_eq!(started, vec![(0, 1), (1, 1), (2, 0)]);
}

#[test]
fn the_right_program_goes_on_where_the_wrong_one_could_not() {
    let (mut bench, _) = Bench::new(8);
    bench.request(0, 0, 1, Call::Checkpoint);
    for incarnation in 0..10 {
        assert_eq!(halts(&bench.end(0, incarnation, wrong_program())).len(), 1);
        let actions = bench.crash();
        assert_eq!(invoked(&actions), vec![(0, incarnation + 1)]);
        let Start::Resume { continuation, .. } = only_start(&actions) else {
            panic!("its checkpoint is gone")
        };
        assert_eq!(continuation, inline("0 after 1"));
    }
    bench.request(0, 10, 2, Call::Exit(Ok(inline("done"))));
    assert_eq!(bench.state.ended(), Some(&Ok(inline("done"))));
}

#[test]
fn a_halted_run_can_be_cancelled() {
    let (mut bench, _) = Bench::new(8);
    bench.end(0, 0, wrong_program());
    bench.crash();
    bench.apply(Event::Cancelled);
    assert_eq!(failure(bench.state.ended()), Failure::Cancelled);
}

#[test]
fn a_task_that_has_been_given_up_halts_nothing() {
    let (mut bench, _) = Bench::new(8);
    bench.request(0, 0, 1, Call::Spawn(vec![spec("child", b"1")]));
    bench.request(0, 0, 2, Call::Cancel(TaskId(1)));
    assert_eq!(halts(&bench.end(1, 0, wrong_program())), []);
}
