//! What is known to go wrong, as far as the state machine decides it; the numbers are those of the list of traps.

use super::*;

#[test]
fn r08_the_crash_count_goes_back_after_progress() {
    let (mut bench, _) = Bench::new(8);
    let mut incarnation = 0;
    for sequence in 1..=20 {
        for _ in 0..3 {
            bench.end(0, incarnation, crashed());
            bench.pass(Duration::from_secs(10));
            incarnation += 1;
        }
        assert_eq!(
            only_answer(&bench.request(0, incarnation, sequence, Call::Checkpoint)),
            Answer::Done
        );
    }
    assert_eq!(bench.state.ended(), None);
    assert_eq!(bench.state.stats().crashed, 60);
}

#[test]
fn r09_running_out_of_time_without_a_checkpoint_in_between_is_reported_and_not_repeated_for_ever() {
    let (mut bench, _) = Bench::new(8);
    let mut incarnation = 0;
    // With progress in between it may go on for ever.
    for sequence in 1..=50 {
        bench.request(0, incarnation, sequence, Call::Checkpoint);
        bench.end(0, incarnation, InvocationOutcome::TimedOut);
        incarnation += 1;
    }
    assert_eq!(bench.state.ended(), None);
    for _ in 0..7 {
        assert_eq!(bench.state.ended(), None);
        bench.end(0, incarnation, InvocationOutcome::TimedOut);
        bench.pass(Duration::from_secs(10));
        incarnation += 1;
    }
    assert_eq!(
        failure(bench.state.ended()),
        Failure::OutOfTime {
            attempts: 8,
            limit_ms: 2000
        }
    );
}

#[test]
fn r09_a_deadlock_is_reported_and_names_who_waits_for_what() {
    let (mut bench, _) = Bench::new(8);
    let queue = bench.queue(1, 1);
    bench.request(0, 0, 2, Call::Spawn(vec![spec("producer", b""), spec("consumer", b"")]));
    let empty = bench.queue(3, 1);
    bench.request(1, 0, 1, Call::Enqueue(queue, vec![inline("a"), inline("b")]));
    bench.request(2, 0, 1, Call::Dequeue(empty));
    assert_eq!(bench.state.ended(), None);
    let actions = bench.request(0, 0, 4, Call::WaitAll(vec![TaskId(1), TaskId(2)]));
    assert!(actions.contains(&Action::Ended));
    match failure(bench.state.ended()) {
        Failure::Deadlock(text) => {
            assert_eq!(
                text,
                "task 0 (root) waits for task 1; task 1 (producer) waits to put into queue 0, which is full; \
                 task 2 (consumer) waits to take from queue 1, which is empty and not closed"
            );
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn r09_no_deadlock_is_seen_while_somebody_backs_off_or_queues() {
    let (mut bench, _) = Bench::new(1);
    bench.spawn_children(2);
    bench.request(0, 0, 2, Call::WaitAll(vec![TaskId(1)]));
    bench.end(0, 0, InvocationOutcome::Returned);
    bench.end(1, 0, crashed());
    bench.request(2, 0, 1, Call::Exit(Ok(inline(""))));
    bench.end(2, 0, InvocationOutcome::Returned);
    assert_eq!(bench.state.ended(), None);
    assert_eq!(invoked(&bench.pass(Duration::from_secs(1))), vec![(1, 1)]);
}

#[test]
fn r10_empty_and_absurd_requests_are_answered_or_refused_and_break_nothing() {
    let (mut bench, _) = Bench::new(8);
    assert_eq!(
        only_answer(&bench.request(0, 0, 1, Call::Spawn(vec![]))),
        Answer::Spawned(vec![])
    );
    assert_eq!(
        only_answer(&bench.request(0, 0, 2, Call::WaitAll(vec![]))),
        Answer::Results(vec![])
    );
    assert!(is_refused(&bench.request(0, 0, 3, Call::WaitAny(vec![]))));
    assert!(is_refused(&bench.request(0, 0, 4, Call::CreateQueue(0))));
    let queue = bench.queue(5, u64::MAX);
    assert_eq!(
        only_answer(&bench.request(0, 0, 6, Call::Enqueue(queue, vec![]))),
        Answer::Done
    );
    for (sequence, call) in (7..).zip([
        Call::WaitAll(vec![TaskId(9)]),
        Call::WaitAny(vec![TaskId(u64::MAX)]),
        Call::WaitAll(vec![TaskId(0)]),
        Call::Enqueue(QueueId(9), vec![inline("x")]),
        Call::Dequeue(QueueId(9)),
        Call::Close(QueueId(u64::MAX)),
        Call::Cancel(TaskId(u64::MAX)),
        Call::WaitAll(vec![TaskId(0); (1 << 20) + 1]),
        Call::Spawn(vec![spec(&"f".repeat(2000), b"")]),
    ]) {
        assert!(is_refused(&bench.request(0, 0, sequence, call)));
    }
    let endless = (16..).take(5000).map(|number| (number, Call::Close(queue))).collect();
    assert!(is_refused(&bench.request_with(0, endless, 6000, Call::Checkpoint)));
    // Requests and ends of what never was.
    assert_eq!(only_reply(&bench.request(77, 0, 1, Call::Checkpoint)), Reply::Fenced);
    assert_eq!(bench.end(77, 0, crashed()), vec![]);
    assert_eq!(bench.end(0, 55, crashed()), vec![]);
    assert_eq!(only_answer(&bench.request(0, 0, 6001, Call::Checkpoint)), Answer::Done);
}

#[test]
fn r14_a_childs_failure_is_an_answer_and_the_run_goes_on() {
    let (mut bench, _) = Bench::new(8);
    bench.spawn_children(2);
    let kind = Failure::Returned("no such file: x".to_string());
    let lie = TaskError::new(TaskId(0), "somebody else", kind.clone());
    bench.request(1, 0, 1, Call::Exit(Err(lie)));
    let error = TaskError::new(TaskId(1), "child", kind);
    assert_eq!(
        only_answer(&bench.request(0, 0, 2, Call::WaitAny(vec![TaskId(2), TaskId(1)]))),
        Answer::First(1, Err(error))
    );
    assert_eq!(only_answer(&bench.request(0, 0, 3, Call::Checkpoint)), Answer::Done);
}

#[test]
fn r15_a_zombies_late_call_is_fenced_and_never_answered_with_something() {
    let (mut bench, _) = Bench::new(8);
    bench.spawn_children(1);
    bench.request(0, 0, 2, Call::WaitAll(vec![TaskId(1)]));
    bench.pass(Duration::from_secs(1)); // suspended, but it does not leave
    bench.request(1, 0, 1, Call::Exit(Ok(inline("7"))));
    for incarnation in [0, 2, 3] {
        assert_eq!(
            only_reply(&bench.request(0, incarnation, 2, Call::WaitAll(vec![TaskId(1)]))),
            Reply::Fenced
        );
        assert_eq!(
            only_reply(&bench.request(0, incarnation, 3, Call::Checkpoint)),
            Reply::Fenced
        );
    }
    // Its end says nothing about its successor.
    assert_eq!(invoked(&bench.end(0, 0, crashed())), vec![]);
    assert_eq!(only_answer(&bench.request(0, 1, 3, Call::Checkpoint)), Answer::Done);
}

#[test]
fn r16_a_call_after_the_tasks_end_is_answered() {
    let (mut bench, _) = Bench::new(8);
    bench.spawn_children(1);
    let exit = || Call::Exit(Ok(inline("7")));
    assert_eq!(only_answer(&bench.request(1, 0, 1, exit())), Answer::Done);
    assert_eq!(
        only_answer(&bench.request(1, 0, 1, exit())),
        Answer::Done,
        "the reply was lost, and it asks again"
    );
    assert_eq!(only_reply(&bench.request(1, 0, 2, Call::Checkpoint)), Reply::Fenced);
    bench.end(1, 0, InvocationOutcome::Returned);
    assert_eq!(only_reply(&bench.request(1, 0, 1, exit())), Reply::Fenced);
}

#[test]
fn r17_nothing_of_an_ended_task_is_kept_but_its_result() {
    let (mut bench, _) = Bench::new(8);
    let queue = bench.queue(1, 10);
    bench.request(0, 0, 2, Call::Enqueue(queue, vec![stored("item")]));
    let arguments = TaskSpec::new("child", stored("arguments"));
    bench.request(0, 0, 3, Call::Spawn(vec![arguments]));
    bench.request_at(1, 0, 1, stored("continuation"), Call::Dequeue(queue));
    let actions = bench.request(1, 0, 2, Call::Exit(Ok(stored("result"))));
    assert_eq!(deleted(&actions), vec![stored_key("continuation"), stored_key("item")]);
}

#[test]
fn r19_no_more_invocations_than_the_platform_takes_and_first_come_first_served() {
    let (mut bench, _) = Bench::new(3);
    let spawned = bench.spawn_children(200);
    assert_eq!(invoked(&spawned), vec![(1, 0), (2, 0)]);
    let mut running = std::collections::VecDeque::from([1, 2]);
    let mut order = vec![1, 2];
    while let Some(task) = running.pop_front() {
        bench.request(task, 0, 1, Call::Exit(Ok(inline(""))));
        assert!(bench.state.live_invocations() <= 3);
        bench.compact();
        for (next, _) in invoked(&bench.end(task, 0, InvocationOutcome::Returned)) {
            running.push_back(next);
            order.push(next);
        }
    }
    assert_eq!(order, (1..=200).collect::<Vec<_>>());
}

#[test]
fn r19_throttling_backs_off_to_a_cap_and_never_fails_the_task() {
    let (mut bench, _) = Bench::new(8);
    let whole = Tuning::default().after_throttling;
    for count in 0..100 {
        let incarnation = Incarnation::from(count);
        assert_eq!(
            invoked(&bench.end(0, incarnation, InvocationOutcome::Throttled("429".to_string()))),
            vec![]
        );
        let delay = bench.state.next_timer().expect("a retry").since(bench.now);
        let most = whole.delay(count + 1);
        assert!(delay <= most && delay >= most / 2, "{delay:?} of {most:?}");
        assert_eq!(invoked(&bench.pass(delay)), vec![(0, incarnation + 1)]);
        bench.compact();
    }
    assert_eq!(whole.delay(100), Duration::from_secs(5));
    assert_eq!(bench.state.ended(), None);
}

#[test]
fn r19_what_was_turned_away_together_does_not_come_again_together() {
    let back_off = Tuning::default().after_throttling;
    let mut delays: Vec<_> = (0..1000).map(|task| back_off.jittered(20, task)).collect();
    delays.sort_unstable();
    let (first, last) = (delays[0], delays[999]);
    assert!(
        first < Duration::from_millis(2550) && last > Duration::from_millis(4950),
        "{first:?} {last:?}"
    );
    let in_the_middle = delays
        .iter()
        .filter(|delay| **delay < Duration::from_millis(3750))
        .count();
    assert!((400..600).contains(&in_the_middle), "{in_the_middle}");
}

#[test]
fn r22_a_call_that_is_refused_has_no_effect_at_all() {
    let (mut bench, _) = Bench::new(8);
    let specs = vec![spec("child", b""), spec(&"f".repeat(2000), b"")];
    assert!(is_refused(&bench.request(0, 0, 1, Call::Spawn(specs))));
    assert_eq!(bench.state.stats().tasks, 1);
    bench.request(0, 0, 2, Call::Spawn(vec![spec("child", b"")]));
    assert!(is_refused(&bench.request(
        0,
        0,
        3,
        Call::WaitAny(vec![TaskId(1), TaskId(99)])
    )));
    // Had the refused wait been registered, this would disturb the root.
    assert_eq!(replies(&bench.request(1, 0, 1, Call::Exit(Ok(inline(""))))).len(), 1);
}

#[test]
fn r23_an_error_names_its_task_function_and_cause() {
    let (mut bench, _) = Bench::new(8);
    for incarnation in 0..4 {
        bench.end(
            0,
            incarnation,
            InvocationOutcome::Crashed("panicked at src/x.rs:7: boom".to_string()),
        );
        bench.pass(Duration::from_secs(10));
    }
    let message = bench
        .state
        .ended()
        .and_then(|result| result.as_ref().err())
        .map(ToString::to_string);
    let expected =
        "task 0 (root) crashed 4 times without progress; the last time: panicked at src/x.rs:7: boom".to_string();
    assert_eq!(message, Some(expected));
}
