//! One test or more for each of the seven guarantees in the module's description, named by its number.

use super::*;

#[test]
fn guarantee_1_a_call_takes_effect_once_and_its_duplicate_gets_the_recorded_answer() {
    let (mut bench, _) = Bench::new(8);
    let specs = || vec![spec("child", b"a"), spec("child", b"b")];
    let first = bench.request(0, 0, 1, Call::Spawn(specs()));
    let second = bench.request(0, 0, 1, Call::Spawn(specs()));
    assert_eq!(
        only_reply(&first),
        Reply::Answer(Answer::Spawned(vec![TaskId(1), TaskId(2)]))
    );
    assert_eq!(replies(&first), replies(&second));
    assert_eq!(invoked(&second), vec![]);
    assert_eq!(bench.state.stats().tasks, 3);
}

#[test]
fn guarantee_1_a_request_of_an_earlier_incarnation_is_fenced_and_changes_nothing() {
    let (mut bench, _) = Bench::new(8);
    let queue = bench.queue(1, 10);
    assert_eq!(invoked(&bench.end(0, 0, killed())), vec![(0, 1)]);
    for sequence in [1, 2, 3] {
        let late = bench.request(0, 0, sequence, Call::Enqueue(queue, vec![inline("ghost")]));
        assert_eq!(only_reply(&late), Reply::Fenced);
    }
    assert_eq!(only_answer(&bench.request(0, 1, 2, Call::Close(queue))), Answer::Done);
    assert_eq!(
        only_answer(&bench.request(0, 1, 3, Call::Dequeue(queue))),
        Answer::Item(None)
    );
}

#[test]
fn guarantee_1_a_call_out_of_turn_is_fenced() {
    let (mut bench, _) = Bench::new(8);
    bench.request(0, 0, 3, Call::Checkpoint);
    for sequence in [0, 1, 2] {
        assert_eq!(
            only_reply(&bench.request(0, 0, sequence, Call::CreateQueue(1))),
            Reply::Fenced
        );
    }
    assert_eq!(only_answer(&bench.request(0, 0, 4, Call::Checkpoint)), Answer::Done);
    // The new invocation did not make call 4 itself: it has been given its answer already.
    bench.end(0, 0, killed());
    assert_eq!(only_reply(&bench.request(0, 1, 4, Call::Checkpoint)), Reply::Fenced);
    assert_eq!(only_reply(&bench.request(0, 1, 3, Call::Checkpoint)), Reply::Fenced);
    assert_eq!(only_answer(&bench.request(0, 1, 5, Call::Checkpoint)), Answer::Done);
}

#[test]
fn guarantee_2_a_task_goes_on_after_its_last_committed_call_with_that_calls_checkpoint() {
    let (mut bench, started) = Bench::new(8);
    assert_eq!(only_start(&started), Start::Begin(inline("arguments of the root")));
    assert_eq!(
        only_start(&bench.end(0, 0, killed())),
        Start::Begin(inline("arguments of the root"))
    );
    bench.request(0, 1, 1, Call::CreateQueue(5));
    let again = bench.end(0, 1, killed());
    let invocation = &invocations(&again)[0];
    assert_eq!(invocation.last_sequence, 1);
    let answer = Answer::Queue(QueueId(0));
    assert_eq!(
        invocation.start,
        Start::Resume {
            continuation: inline("0 after 1"),
            answer
        }
    );
}

#[test]
fn guarantee_3_an_item_is_given_again_to_the_next_invocation_when_its_taker_is_killed() {
    let (mut bench, _) = Bench::new(8);
    let queue = bench.queue(1, 10);
    bench.request(0, 0, 2, Call::Enqueue(queue, vec![stored("item"), inline("next")]));
    let item = Answer::Item(Some(stored("item")));
    let taken = bench.request(0, 0, 3, Call::Dequeue(queue));
    assert_eq!((only_answer(&taken), deleted(&taken)), (item.clone(), vec![]));
    for incarnation in 0..2 {
        let again = bench.end(0, incarnation, killed());
        assert_eq!(deleted(&again), Vec::<String>::new());
        match only_start(&again) {
            Start::Resume { answer, .. } => assert_eq!(answer, item),
            other => panic!("{other:?}"),
        }
    }
    let committed = bench.request(0, 2, 4, Call::Checkpoint);
    assert_eq!(deleted(&committed), vec![stored_key("item")]);
    assert_eq!(
        only_answer(&bench.request(0, 2, 5, Call::Dequeue(queue))),
        Answer::Item(Some(inline("next")))
    );
}

#[test]
fn guarantee_3_a_result_can_be_waited_for_any_number_of_times_by_anyone() {
    let (mut bench, _) = Bench::new(8);
    bench.spawn_children(2);
    bench.request(1, 0, 1, Call::Exit(Ok(stored("result"))));
    let results = Answer::Results(vec![Ok(stored("result")), Ok(stored("result"))]);
    assert_eq!(
        only_answer(&bench.request(2, 0, 1, Call::WaitAll(vec![TaskId(1), TaskId(1)]))),
        results
    );
    let first = Answer::First(1, Ok(stored("result")));
    assert_eq!(
        only_answer(&bench.request(0, 0, 2, Call::WaitAny(vec![TaskId(2), TaskId(1)]))),
        first
    );
    bench.end(0, 0, killed());
    assert_eq!(
        only_answer(&bench.request(0, 1, 3, Call::WaitAny(vec![TaskId(2), TaskId(1)]))),
        first
    );
}

#[test]
fn guarantee_4_items_producers_and_consumers_are_served_first_come_first_served() {
    let (mut bench, _) = Bench::new(8);
    let queue = bench.queue(1, 1);
    let specs = (0..5).map(|_| spec("child", b"")).collect();
    bench.request(0, 0, 2, Call::Spawn(specs));
    // Three producers: the first fills the queue and waits with the rest of its batch, the others wait behind it.
    let batch = |name: &str| (0..2).map(|i| inline(&format!("{name}{i}"))).collect::<Vec<_>>();
    assert_eq!(
        replies(&bench.request(1, 0, 1, Call::Enqueue(queue, batch("a")))),
        vec![]
    );
    assert_eq!(
        replies(&bench.request(2, 0, 1, Call::Enqueue(queue, batch("b")))),
        vec![]
    );
    assert_eq!(
        replies(&bench.request(3, 0, 1, Call::Enqueue(queue, batch("c")))),
        vec![]
    );
    let mut taken = Vec::new();
    for sequence in 1..=6 {
        let actions = bench.request(4, 0, sequence, Call::Dequeue(queue));
        for (task, .., reply) in replies(&actions) {
            match reply {
                Reply::Answer(Answer::Item(Some(Payload::Inline(item)))) => {
                    taken.push(String::from_utf8_lossy(&item).into_owned());
                }
                Reply::Answer(Answer::Done) => taken.push(format!("{task} is in")),
                other => panic!("{other:?}"),
            }
        }
    }
    assert_eq!(
        taken,
        ["1 is in", "a0", "a1", "2 is in", "b0", "b1", "3 is in", "c0", "c1"]
    );
    // Two consumers wait: the one that came first gets the first item.
    assert_eq!(replies(&bench.request(4, 0, 7, Call::Dequeue(queue))), vec![]);
    assert_eq!(replies(&bench.request(5, 0, 1, Call::Dequeue(queue))), vec![]);
    let served = replies(&bench.request(
        0,
        0,
        3,
        Call::Enqueue(queue, vec![inline("x"), inline("y"), inline("z")]),
    ));
    let item = |text| Reply::Answer(Answer::Item(Some(inline(text))));
    let done = Reply::Answer(Answer::Done);
    assert_eq!(
        served,
        vec![(4, 0, 7, item("x")), (5, 0, 1, item("y")), (0, 0, 3, done)]
    );
}

#[test]
fn guarantee_4_closing_loses_nothing_that_was_asked_for_before() {
    let (mut bench, _) = Bench::new(8);
    let queue = bench.queue(1, 1);
    bench.request(0, 0, 2, Call::Spawn(vec![spec("child", b"")]));
    bench.request(1, 0, 1, Call::Enqueue(queue, vec![inline("a"), inline("b")]));
    assert_eq!(only_answer(&bench.request(0, 0, 3, Call::Close(queue))), Answer::Done);
    assert!(is_refused(&bench.request(
        0,
        0,
        4,
        Call::Enqueue(queue, vec![inline("late")])
    )));
    let first = bench.request(0, 0, 5, Call::Dequeue(queue));
    assert_eq!(replies(&first)[0], (1, 0, 1, Reply::Answer(Answer::Done)));
    assert_eq!(replies(&first)[1].3, Reply::Answer(Answer::Item(Some(inline("a")))));
    assert_eq!(
        only_answer(&bench.request(0, 0, 6, Call::Dequeue(queue))),
        Answer::Item(Some(inline("b")))
    );
    assert_eq!(
        only_answer(&bench.request(0, 0, 7, Call::Dequeue(queue))),
        Answer::Item(None)
    );
    assert_eq!(only_answer(&bench.request(0, 0, 8, Call::Close(queue))), Answer::Done);
}

#[test]
fn guarantee_5_an_answer_within_the_grace_reaches_the_same_invocation() {
    let (mut bench, _) = Bench::new(8);
    bench.spawn_children(1);
    assert_eq!(replies(&bench.request(0, 0, 2, Call::WaitAll(vec![TaskId(1)]))), vec![]);
    assert_eq!(replies(&bench.pass(Duration::from_millis(49))), vec![]);
    let ended = bench.request(1, 0, 1, Call::Exit(Ok(inline("7"))));
    assert!(replies(&ended).contains(&(0, 0, 2, Reply::Answer(Answer::Results(vec![Ok(inline("7"))])))));
    assert_eq!(invoked(&ended), vec![]);
    assert_eq!(bench.state.next_timer(), None);
}

#[test]
fn guarantee_5_after_the_grace_the_invocation_is_sent_away_and_a_new_one_starts_with_the_answer() {
    let (mut bench, _) = Bench::new(8);
    bench.spawn_children(1);
    bench.request(0, 0, 2, Call::WaitAll(vec![TaskId(1)]));
    assert_eq!(
        bench.state.next_timer(),
        Some(bench.now.after(Duration::from_millis(50)))
    );
    assert_eq!(
        replies(&bench.pass(Duration::from_millis(50))),
        vec![(0, 0, 2, Reply::Suspend)]
    );
    assert_eq!(invoked(&bench.end(0, 0, InvocationOutcome::Returned)), vec![]);
    assert_eq!(bench.state.live_invocations(), 1);
    let ended = bench.request(1, 0, 1, Call::Exit(Ok(inline("7"))));
    assert_eq!(invoked(&ended), vec![(0, 1)]);
    let answer = Answer::Results(vec![Ok(inline("7"))]);
    assert_eq!(
        only_start(&ended),
        Start::Resume {
            continuation: inline("0 after 2"),
            answer
        }
    );
}

#[test]
fn guarantee_5_a_kill_during_the_grace_costs_nothing_and_is_no_failed_attempt() {
    let (mut bench, _) = Bench::with_tuning(
        8,
        Tuning {
            kill_limit: 1,
            ..Tuning::default()
        },
    );
    bench.spawn_children(1);
    bench.request(0, 0, 2, Call::WaitAll(vec![TaskId(1)]));
    assert_eq!(invoked(&bench.end(0, 0, killed())), vec![]);
    assert_eq!(bench.state.next_timer(), None);
    assert_eq!(
        invoked(&bench.request(1, 0, 1, Call::Exit(Ok(inline("7"))))),
        vec![(0, 1)]
    );
}

#[test]
fn guarantee_5_those_who_only_wait_give_way_at_once_to_those_who_could_run() {
    let (mut bench, _) = Bench::new(2);
    bench.spawn_children(3);
    // Two slots: the root's and the first child's. Two more children queue.
    let waits = bench.request(0, 0, 2, Call::WaitAll(vec![TaskId(1), TaskId(2), TaskId(3)]));
    assert_eq!(replies(&waits), vec![(0, 0, 2, Reply::Suspend)]);
    assert_eq!(invoked(&bench.end(0, 0, InvocationOutcome::Returned)), vec![(2, 0)]);
    bench.request(2, 0, 1, Call::Exit(Ok(inline(""))));
    assert_eq!(invoked(&bench.end(2, 0, InvocationOutcome::Returned)), vec![(3, 0)]);
}

#[test]
fn guarantee_6_a_crash_is_retried_with_growing_delay_and_then_fails_the_waiters_with_a_typed_error() {
    let (mut bench, _) = Bench::new(8);
    bench.spawn_children(1);
    bench.request(0, 0, 2, Call::WaitAll(vec![TaskId(1)]));
    let mut delays = Vec::new();
    for incarnation in 0..3 {
        assert_eq!(invoked(&bench.end(1, incarnation, crashed())), vec![]);
        let next = bench.state.backing_off.first().expect("a retry").0;
        delays.push(next.since(bench.now).as_millis());
        assert_eq!(invoked(&bench.pass(next.since(bench.now))), vec![(1, incarnation + 1)]);
    }
    assert_eq!(delays, [100, 200, 400]);
    bench.end(1, 3, crashed());
    let kind = Failure::Crashed {
        attempts: 4,
        last: "panicked at 'x'".to_string(),
    };
    let expected = TaskError::new(TaskId(1), "child", kind);
    // The root was suspended meanwhile; its next invocation has the error as the answer.
    match &bench.state.tasks[&TaskId(0)].position {
        task::Position::Checkpoint {
            answer: Some(recorded), ..
        } => {
            assert_eq!(bench.state.answer(recorded), Answer::Results(vec![Err(expected)]));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(bench.state.ended(), None);
}

#[test]
fn guarantee_6_out_of_memory_and_kills_have_their_own_limits() {
    let (mut bench, _) = Bench::new(8);
    for incarnation in 0..4 {
        assert_eq!(bench.state.ended(), None);
        bench.end(0, incarnation, InvocationOutcome::OutOfMemory("512 MB".to_string()));
        bench.pass(Duration::from_secs(10));
    }
    assert_eq!(
        failure(bench.state.ended()),
        Failure::OutOfMemory {
            attempts: 4,
            last: "512 MB".to_string()
        }
    );

    let (mut bench, _) = Bench::new(8);
    for incarnation in 0..30 {
        assert_eq!(bench.state.ended(), None);
        bench.end(0, incarnation, killed());
        bench.pass(Duration::from_secs(10));
    }
    assert!(matches!(
        failure(bench.state.ended()),
        Failure::Crashed { attempts: 30, .. }
    ));
}

#[test]
fn guarantee_6_an_invocation_that_cannot_be_started_fails_the_run() {
    let (mut bench, _) = Bench::new(8);
    bench.spawn_children(1);
    let actions = bench.end(1, 0, InvocationOutcome::Unstartable("no such file".to_string()));
    assert!(actions.contains(&Action::Ended));
    assert_eq!(kills(&actions), vec![(0, 0)]);
    match bench.state.ended() {
        Some(Err(TaskError {
            task: TaskId(1),
            kind: Failure::Unusable(text),
            ..
        })) => {
            assert!(text.contains("no such file"));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn guarantee_6_when_the_root_ends_the_rest_is_cancelled() {
    let (mut bench, _) = Bench::new(8);
    bench.spawn_children(2);
    let actions = bench.request(0, 0, 2, Call::Exit(Ok(inline("done"))));
    assert_eq!(only_answer(&actions), Answer::Done);
    assert_eq!(kills(&actions), vec![(1, 0), (2, 0)]);
    assert_eq!(bench.state.ended(), Some(&Ok(inline("done"))));
    assert_eq!(only_reply(&bench.request(1, 0, 1, Call::Checkpoint)), Reply::Fenced);
    assert_eq!(bench.state.live_invocations(), 3);
    bench.end(1, 0, killed());
    bench.end(2, 0, killed());
    bench.end(0, 0, InvocationOutcome::Returned);
    assert_eq!(bench.state.live_invocations(), 0);
    assert_eq!(bench.state.stats().killed, 0, "our own kills are no misfortunes");
}

#[test]
fn guarantee_6_cancelling_ends_the_run_and_kills_the_tree() {
    let (mut bench, _) = Bench::new(2);
    bench.spawn_children(3);
    let actions = bench.apply(Event::Cancelled);
    assert_eq!(kills(&actions), vec![(0, 0), (1, 0)]);
    assert_eq!(failure(bench.state.ended()), Failure::Cancelled);
    assert_eq!(bench.state.next_timer(), None);
    assert_eq!(invoked(&bench.end(0, 0, killed())), vec![]);
}

#[test]
fn guarantee_7_superseded_checkpoints_and_arguments_are_deleted_and_only_those() {
    let environment = Environment {
        concurrency: 8,
        ..Environment::default()
    };
    let mut state = State::new(run_id());
    let mut actions = Vec::new();
    let root = TaskSpec::new("root", stored("arguments"));
    let tuning = Tuning::default();
    state.apply(
        Timestamp(1),
        Event::Started {
            root,
            tuning,
            environment,
        },
        &mut actions,
    );
    let mut call = |sequence, continuation, call| {
        let request = Request {
            task: TaskId(0),
            incarnation: 0,
            sequence,
            deferred: Vec::new(),
            continuation,
            call,
        };
        let mut actions = Vec::new();
        state.apply(Timestamp(1), Event::Requested(request), &mut actions);
        deleted(&actions)
    };
    assert_eq!(call(1, stored("c1"), Call::Checkpoint), vec![stored_key("arguments")]);
    assert_eq!(call(2, stored("c2"), Call::Checkpoint), vec![stored_key("c1")]);
    // A key outside of the run's own prefix is nobody's to delete.
    let foreign = Payload::Stored {
        key: "runs/8/secret".to_string(),
        length: 1,
    };
    assert_eq!(call(3, foreign, Call::Checkpoint), vec![stored_key("c2")]);
    assert_eq!(call(4, stored("c4"), Call::Checkpoint), Vec::<String>::new());
    assert_eq!(
        call(4, stored("c4"), Call::Checkpoint),
        Vec::<String>::new(),
        "a duplicate deletes nothing"
    );
}

#[test]
fn guarantee_7_the_state_of_a_task_with_many_checkpoints_stays_flat() {
    let (mut bench, _) = Bench::new(8);
    let queue = bench.queue(1, 10);
    let mut sizes = Vec::new();
    let mut sequence = 1;
    for _ in 0..300 {
        for call in [
            Call::Checkpoint,
            Call::Enqueue(queue, vec![inline("item")]),
            Call::Dequeue(queue),
        ] {
            sequence += 1;
            let continuation = inline("always the same length");
            bench.request_at(0, 0, sequence, continuation, call);
        }
        bench.compact();
        sizes.push(bench.state.snapshot().len());
    }
    assert!(sizes[299] <= sizes[0] + 8, "{} -> {}", sizes[0], sizes[299]);
}

#[test]
fn the_coordinator_restarts_what_was_running_and_fences_what_ran_before() {
    let (mut bench, _) = Bench::new(8);
    bench.spawn_children(2);
    bench.request(1, 0, 1, Call::Checkpoint);
    bench.request(0, 0, 2, Call::WaitAll(vec![TaskId(1), TaskId(2)]));
    bench.compact();
    let restarted = bench.crash();
    assert_eq!(invoked(&restarted), vec![(1, 1), (2, 1)]);
    assert_eq!(
        bench.state.next_timer(),
        None,
        "no grace for an invocation that is gone"
    );
    assert_eq!(
        only_reply(&bench.request(1, 0, 2, Call::Exit(Ok(inline("zombie"))))),
        Reply::Fenced
    );
    bench.request(1, 1, 2, Call::Exit(Ok(inline("a"))));
    let last = bench.request(2, 1, 1, Call::Exit(Ok(inline("b"))));
    assert_eq!(invoked(&last), vec![(0, 1)]);
    bench.request(0, 1, 3, Call::Exit(Ok(inline("end"))));
    // Whoever comes back to a run that has ended hears that it has.
    assert!(bench.crash().contains(&Action::Ended));
    assert_eq!(bench.state.ended(), Some(&Ok(inline("end"))));
    assert_eq!(bench.state.stats().recoveries, 2);
}

#[test]
fn a_snapshot_of_another_version_is_refused_by_name_and_damage_is_never_a_panic() {
    let (bench, _) = Bench::new(8);
    let bytes = bench.state.snapshot();
    let mut other = bytes.clone();
    other[0] = 77;
    assert_eq!(
        State::restore(&other).expect_err("version"),
        RestoreError::Version { found: 77 }
    );
    for length in 0..bytes.len() {
        assert!(State::restore(&bytes[..length]).is_err());
    }
}
