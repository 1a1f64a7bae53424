//! Operations beyond calls that wait for each other: in the background, at their time, after others, once more, to the outside.

use super::*;
use std::collections::BTreeSet;

fn exit() -> Call {
    Call::Exit(Ok(inline("end")))
}

fn failing(message: &str) -> Call {
    Call::Exit(Err(TaskError::new(
        TaskId(0),
        "",
        Failure::Returned(message.to_string()),
    )))
}

fn waits_for(actions: &[Action], task: u64) -> TaskResult {
    match replies(actions).into_iter().find(|(id, ..)| *id == task) {
        Some((.., Reply::Answer(Answer::Results(mut results)))) => results.remove(0),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_checkpoint_in_the_background_may_be_skipped_or_come_too_late_and_changes_nothing_then() {
    let (mut bench, _) = Bench::new(8);
    // Calls 1 and 2 were superseded before they were sent.
    let continuation = stored("c3");
    assert_eq!(
        only_answer(&bench.request_at(0, 0, 3, continuation, Call::Checkpoint)),
        Answer::Done
    );
    // Call 4, a checkpoint in the background, is overtaken by the call after it.
    assert_eq!(
        only_answer(&bench.request_at(0, 0, 5, stored("c5"), Call::CreateQueue(1))),
        Answer::Queue(QueueId(0))
    );
    let late = bench.request_at(0, 0, 4, stored("c4"), Call::Checkpoint);
    assert_eq!(replies(&late), vec![(0, 0, 4, Reply::Answer(Answer::Done))]);
    assert_eq!(deleted(&late), vec![stored_key("c4")], "nobody else knows of it");
    match only_start(&bench.end(0, 0, killed())) {
        Start::Resume { continuation, answer } => {
            assert_eq!((continuation, answer), (stored("c5"), Answer::Queue(QueueId(0))));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(bench.state.stats().superseded, 1);
}

#[test]
fn a_late_checkpoint_never_deletes_what_is_still_needed() {
    let (mut bench, _) = Bench::new(8);
    bench.request_at(0, 0, 2, stored("same"), Call::Checkpoint);
    let late = bench.request_at(0, 0, 1, stored("same"), Call::Checkpoint);
    assert_eq!(deleted(&late), Vec::<String>::new());
}

#[test]
fn a_checkpoint_that_comes_after_its_invocation_was_sent_away_is_fenced_and_deleted() {
    let (mut bench, _) = Bench::new(8);
    bench.spawn_children(1);
    bench.request(0, 0, 3, Call::WaitAll(vec![TaskId(1)]));
    let late = |bench: &mut Bench, name| bench.request_at(0, 0, 2, stored(name), Call::Checkpoint);
    let during_the_grace = late(&mut bench, "c2");
    assert_eq!(only_answer(&during_the_grace), Answer::Done);
    bench.pass(Duration::from_secs(1));
    let afterwards = late(&mut bench, "c2");
    assert_eq!(only_reply(&afterwards), Reply::Fenced);
    assert_eq!(deleted(&afterwards), vec![stored_key("c2")]);
}

#[test]
fn r06_every_request_carries_what_is_not_acknowledged_and_it_takes_effect_once() {
    let (mut bench, _) = Bench::new(8);
    let queue = bench.queue(1, 10);
    bench.spawn_children_at(2, 2);
    // The checkpoint with the deferred calls is sent; the next call is made before its answer has been heard.
    let deferred = || vec![(3, Call::Close(queue)), (4, Call::Cancel(TaskId(1)))];
    let first = bench.request_with(0, deferred(), 5, Call::Checkpoint);
    assert_eq!(kills(&first), vec![(1, 0)]);
    let second = bench.request_with(0, deferred(), 6, Call::Dequeue(queue));
    assert_eq!(only_answer(&second), Answer::Item(None));
    assert_eq!(kills(&second), vec![]);
    assert_eq!(bench.state.stats().deferred, 2);
    assert_eq!(bench.state.stats().cancelled, 1);
}

#[test]
fn r06_the_exit_carries_them_too() {
    let (mut bench, _) = Bench::new(8);
    let queue = bench.queue(1, 10);
    bench.spawn_children_at(2, 1);
    bench.request(0, 0, 3, Call::Dequeue(queue));
    let ended = bench.request_with(1, vec![(1, Call::Close(queue))], 2, exit());
    assert!(replies(&ended).contains(&(0, 0, 3, Reply::Answer(Answer::Item(None)))));
}

#[test]
fn r22_a_group_is_carried_out_whole_or_not_at_all() {
    let unknown = TaskId(99);
    for (deferred, call) in [
        (vec![(4, Call::Cancel(unknown))], Call::Checkpoint),
        (
            vec![(4, Call::Close(QueueId(7)))],
            Call::Spawn(vec![spec("child", b"")]),
        ),
        // The group contradicts itself.
        (vec![], Call::Enqueue(QueueId(0), vec![inline("item")])),
        // What has to be waited for cannot be deferred.
        (vec![(4, Call::Dequeue(QueueId(0)))], Call::Checkpoint),
        // Numbers out of order.
        (vec![(3, Call::Close(QueueId(0)))], Call::Checkpoint),
        (vec![(9, Call::Close(QueueId(0)))], Call::Checkpoint),
        (vec![], Call::WaitAny(vec![])),
        (vec![], exit_with_long_key()),
        (vec![], Call::Sleep(Duration::from_secs(1))),
    ] {
        let (mut bench, _) = Bench::new(8);
        let queue = bench.queue(1, 10);
        let mut group = vec![(3, Call::Close(queue))];
        group.extend(deferred);
        let is_right = matches!(call, Call::Sleep(_)) && group.len() == 1;
        let said = format!("{group:?}");
        let actions = bench.request_with(0, group, 5, call);
        if is_right {
            assert!(
                !replies(&actions)
                    .iter()
                    .any(|(.., reply)| matches!(reply, Reply::Answer(_)))
            );
            assert!(bench.state.is_closed(queue));
            continue;
        }
        let is_over = bench.state.ended().is_some();
        assert!(is_over || is_refused(&actions), "{said}");
        assert!(
            is_over || !bench.state.is_closed(queue),
            "{said}: the first half was carried out"
        );
        assert_eq!(bench.state.stats().tasks, 1, "{said}");
    }
}

fn exit_with_long_key() -> Call {
    Call::Exit(Ok(Payload::Stored {
        key: "k".repeat(2000),
        length: 1,
    }))
}

#[test]
fn r22_what_builds_on_a_refused_group_is_refused_too_even_the_exit() {
    for last in [Call::Checkpoint, exit()] {
        let (mut bench, _) = Bench::new(8);
        let queue = bench.queue(1, 10);
        let deferred = || vec![(2, Call::Close(QueueId(7)))];
        assert!(is_refused(&bench.request_with(0, deferred(), 3, Call::Checkpoint)));
        // Its answer is not heard yet.
        let mut group = deferred();
        group.push((4, Call::Close(queue)));
        let actions = bench.request_with(0, group, 5, last);
        match bench.state.ended() {
            None => assert!(is_refused(&actions) && !bench.state.is_closed(queue)),
            ended => assert!(matches!(failure(ended), Failure::Refused(text) if text.contains("queue 7"))),
        }
    }
}

#[test]
fn a_sleeper_costs_no_lambda_is_no_deadlock_and_wakes_in_time_also_after_a_recovery() {
    let (mut bench, _) = Bench::new(8);
    let slept = bench.request(0, 0, 1, Call::Sleep(Duration::from_secs(3600)));
    assert_eq!(
        only_reply(&slept),
        Reply::Suspend,
        "at once, without waiting for the grace"
    );
    bench.end(0, 0, InvocationOutcome::Returned);
    assert_eq!((bench.state.live_invocations(), bench.state.ended()), (0, None));
    let wakes = bench.now.after(Duration::from_secs(3600));
    assert_eq!(bench.state.next_timer(), Some(wakes));
    bench.pass(Duration::from_secs(1800));
    assert_eq!(invoked(&bench.crash()), vec![]);
    bench.compact();
    assert_eq!(
        bench.state.next_timer(),
        Some(wakes),
        "the time goes on while the coordinator is gone"
    );
    assert_eq!(invoked(&bench.pass(Duration::from_secs(1799))), vec![]);
    let woken = bench.pass(Duration::from_secs(1));
    assert!(matches!(
        only_start(&woken),
        Start::Resume {
            answer: Answer::Done,
            ..
        }
    ));
    assert_eq!(bench.state.next_timer(), None);
}

#[test]
fn a_short_sleep_is_answered_to_the_same_invocation_and_none_at_all_at_once() {
    let (mut bench, _) = Bench::new(8);
    assert_eq!(
        only_answer(&bench.request(0, 0, 1, Call::Sleep(Duration::ZERO))),
        Answer::Done
    );
    assert_eq!(
        replies(&bench.request(0, 0, 2, Call::Sleep(Duration::from_millis(20)))),
        vec![]
    );
    assert_eq!(
        replies(&bench.pass(Duration::from_millis(20))),
        vec![(0, 0, 2, Reply::Answer(Answer::Done))]
    );
    // The longest possible one does not overflow.
    bench.request(0, 0, 3, Call::Sleep(Duration::MAX));
    assert_eq!(bench.state.next_timer(), Some(Timestamp(u64::MAX)));
}

#[test]
fn cancelling_ends_a_task_with_all_its_descendants_and_nobody_else() {
    let (mut bench, _) = Bench::new(100);
    bench.spawn_children(2);
    let grandchildren = || Call::Spawn(vec![spec("grandchild", b""), spec("grandchild", b"")]);
    bench.request(1, 0, 1, grandchildren()); // 3, 4
    bench.request(2, 0, 1, grandchildren()); // 5, 6
    bench.request(3, 0, 1, grandchildren()); // 7, 8
    bench.request(3, 0, 2, exit()); // It has ended; its own children have not.
    let queue = bench.queue(2, 1);
    bench.request(7, 0, 1, Call::Dequeue(queue));
    bench.request(8, 0, 1, Call::Sleep(Duration::from_secs(60)));
    bench.request(6, 0, 1, Call::WaitAll(vec![TaskId(4)]));
    let actions = bench.request(0, 0, 3, Call::Cancel(TaskId(1)));
    assert!(replies(&actions).contains(&(0, 0, 3, Reply::Answer(Answer::Done))));
    assert_eq!(failure(Some(&waits_for(&actions, 6))), Failure::Cancelled);
    let killed: BTreeSet<_> = kills(&actions).into_iter().map(|(task, _)| task).collect();
    assert_eq!(killed, BTreeSet::from([1, 4, 7]), "the sleeper has no invocation");
    for task in [1, 4, 7, 8] {
        assert_eq!(failure(bench.state.result(TaskId(task)).as_ref()), Failure::Cancelled);
    }
    assert_eq!(
        bench.state.result(TaskId(3)),
        Some(Ok(inline("end"))),
        "it had ended before"
    );
    for task in [2, 5, 6] {
        assert_eq!(bench.state.result(TaskId(task)), None);
    }
    assert_eq!(bench.state.stats().cancelled, 4);
    // Again, and of one that has ended: nothing happens.
    let again = bench.request(0, 0, 4, Call::Cancel(TaskId(1)));
    assert_eq!((only_answer(&again), kills(&again)), (Answer::Done, vec![]));
    // Nothing of it is left to disturb anyone.
    assert_eq!(
        only_answer(&bench.request(0, 0, 5, Call::Enqueue(queue, vec![inline("x")]))),
        Answer::Done
    );
    assert_eq!(bench.state.next_timer(), None);
}

#[test]
fn a_task_that_would_cancel_itself_is_refused() {
    let (mut bench, _) = Bench::new(8);
    bench.spawn_children(1);
    for (sequence, target) in [(1, 1), (2, 0)] {
        assert!(is_refused(&bench.request(1, 0, sequence, Call::Cancel(TaskId(target)))));
    }
    assert!(is_refused(&bench.request(0, 0, 2, Call::Cancel(TaskId::ROOT))));
    assert!(is_refused(&bench.request(0, 0, 3, Call::Cancel(TaskId(99)))));
    assert_eq!(bench.state.ended(), None);
}

#[test]
fn many_ready_tasks_are_cancelled_without_leaving_a_trace_in_the_queue_of_those_that_are_ready() {
    let (mut bench, _) = Bench::new(2);
    bench.spawn_children(50);
    for (sequence, task) in (2..).zip(2..=50) {
        bench.request(0, 0, sequence, Call::Cancel(TaskId(task)));
    }
    // Nobody is ready, so the root need not give way while it waits.
    assert_eq!(
        replies(&bench.request(0, 0, 60, Call::WaitAll(vec![TaskId(1)]))),
        vec![]
    );
    let ended = bench.request(1, 0, 1, exit());
    assert_eq!(waits_for(&ended, 0), Ok(inline("end")));
    bench.end(1, 0, InvocationOutcome::Returned);
    assert_eq!((bench.state.ready.len(), bench.state.stale), (0, 0));
}

#[test]
fn a_task_begins_after_others_and_not_before_all_have_ended() {
    let (mut bench, _) = Bench::new(8);
    bench.spawn_children(2);
    let after = |tasks: &[u64]| TaskOptions {
        after: tasks.iter().copied().map(TaskId).collect(),
        ..TaskOptions::default()
    };
    assert_eq!(invoked(&bench.spawn_with(2, after(&[1, 2, 1]))), vec![]);
    bench.request(0, 0, 3, Call::WaitAll(vec![TaskId(3)]));
    bench.crash();
    bench.request(1, 1, 1, exit());
    assert_eq!(bench.state.ended(), None);
    assert_eq!(invoked(&bench.request(2, 1, 1, exit())), vec![(3, 0)]);
    bench.request(3, 0, 1, exit());
    // What it waits for may have ended long ago.
    let (mut bench, _) = Bench::new(8);
    bench.spawn_children(1);
    bench.request(1, 0, 1, exit());
    assert_eq!(invoked(&bench.spawn_with(2, after(&[1]))), vec![(2, 0)]);
    assert!(is_refused(&bench.spawn_with(3, after(&[99]))));
}

#[test]
fn a_task_whose_predecessor_failed_fails_with_an_error_that_names_it_however_long_the_chain_is() {
    let (mut bench, _) = Bench::new(8);
    bench.spawn_children(1);
    let length = 200;
    for task in 2..=length {
        let options = TaskOptions {
            after: vec![TaskId(task - 1)],
            ..TaskOptions::default()
        };
        bench.spawn_with(task, options);
    }
    let last = TaskId(length);
    bench.request(0, 0, length + 1, Call::WaitAll(vec![last]));
    let error = waits_for(&bench.request(1, 0, 1, failing("no such file: x")), 0).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("task {length} (child) did not begin, because task 1 (child) failed: no such file: x")
    );
    assert_eq!(error.trace[0].task, TaskId(length - 1), "nearest first");
    assert_eq!(error.trace.len(), TaskError::LONGEST_TRACE);
    // Also one that is spawned afterwards.
    let options = TaskOptions {
        after: vec![TaskId(1)],
        ..TaskOptions::default()
    };
    bench.spawn_with(length + 2, options);
    let late = bench.request(0, 0, length + 3, Call::WaitAll(vec![TaskId(length + 1)]));
    let error = waits_for(&late, 0).unwrap_err();
    assert_eq!(
        error.kind,
        Failure::Dependency("task 1 (child) failed: no such file: x".to_string())
    );
    assert_eq!(bench.state.ended(), None);
}

#[test]
fn tasks_that_wait_to_begin_after_each_others_waiters_are_a_deadlock() {
    let (mut bench, _) = Bench::new(8);
    let options = TaskOptions {
        after: vec![TaskId::ROOT],
        name: Some("last".to_string()),
        ..TaskOptions::default()
    };
    bench.spawn_with(1, options);
    bench.request(0, 0, 2, Call::WaitAll(vec![TaskId(1)]));
    match failure(bench.state.ended()) {
        Failure::Deadlock(text) => assert_eq!(
            text,
            "task 0 (root) waits for task 1; task 1 (`last`, child) waits to begin after task 0"
        ),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_task_that_fails_is_begun_again_with_its_arguments_until_it_succeeds() {
    let (mut bench, _) = Bench::new(8);
    let mut spec = TaskSpec::new("child", stored("arguments"));
    spec.options.retry = Some(Retry::attempts(3));
    bench.request(0, 0, 1, Call::Spawn(vec![spec]));
    bench.request(0, 0, 2, Call::WaitAll(vec![TaskId(1)]));
    // What an attempt leaves behind goes; the arguments stay.
    let made = bench.request_at(1, 0, 1, stored("c1"), Call::Spawn(vec![super::spec("grandchild", b"")]));
    assert_eq!(deleted(&made), Vec::<String>::new());
    let failed = bench.request(1, 0, 2, failing("busy"));
    assert_eq!(deleted(&failed), vec![stored_key("c1")]);
    assert_eq!(
        kills(&failed),
        vec![(2, 0)],
        "what the failed attempt had spawned is cancelled"
    );
    assert_eq!(bench.state.result(TaskId(1)), None);
    bench.end(1, 0, InvocationOutcome::Returned);
    bench.crash();
    let again = bench.pass(Duration::from_millis(100));
    let again = invocations(&again)
        .into_iter()
        .find(|invocation| invocation.task == TaskId(1))
        .expect("begun again");
    assert_eq!((again.incarnation, again.last_sequence), (1, 2));
    assert_eq!(again.start, Start::Begin(stored("arguments")));
    // A zombie of the attempt before cannot disturb it.
    assert_eq!(only_reply(&bench.request(1, 0, 3, exit())), Reply::Fenced);
    bench.request_at(1, 1, 3, stored("c3"), Call::Checkpoint);
    let ended = bench.request(1, 1, 4, exit());
    assert_eq!(deleted(&ended), vec![stored_key("c3"), stored_key("arguments")]);
    assert_eq!(bench.state.result(TaskId(1)), Some(Ok(inline("end"))));
    assert_eq!(bench.state.stats().begun_again, 1);
}

#[test]
fn the_last_attempts_failure_is_final_and_cancelling_is_so_at_once() {
    let (mut bench, _) = Bench::new(8);
    let options = TaskOptions {
        retry: Some(Retry::attempts(3)),
        ..TaskOptions::default()
    };
    bench.spawn_with(1, options.clone());
    let mut delays = Vec::new();
    for incarnation in 0..3 {
        assert_eq!(bench.state.result(TaskId(1)), None);
        bench.request(1, incarnation, Sequence::from(incarnation) + 1, failing("busy"));
        bench.end(1, incarnation, InvocationOutcome::Returned);
        if let Some(at) = bench.state.next_timer() {
            delays.push(at.since(bench.now).as_millis());
            bench.pass(at.since(bench.now));
        }
    }
    assert_eq!(delays, [100, 200]);
    assert_eq!(
        failure(bench.state.result(TaskId(1)).as_ref()),
        Failure::Returned("busy".to_string())
    );
    bench.spawn_with(2, options);
    bench.request(0, 0, 3, Call::Cancel(TaskId(2)));
    assert_eq!(failure(bench.state.result(TaskId(2)).as_ref()), Failure::Cancelled);
}

#[test]
fn a_crash_for_good_counts_as_one_failed_attempt() {
    let (mut bench, _) = Bench::new(8);
    let options = TaskOptions {
        retry: Some(Retry::attempts(2)),
        ..TaskOptions::default()
    };
    bench.spawn_with(1, options);
    for incarnation in 0..8 {
        assert_eq!(bench.state.result(TaskId(1)), None);
        bench.end(1, incarnation, crashed());
        bench.pass(Duration::from_secs(10));
    }
    assert!(matches!(
        failure(bench.state.result(TaskId(1)).as_ref()),
        Failure::Crashed { attempts: 4, .. }
    ));
}

#[test]
fn options_reach_the_invocation() {
    let (mut bench, _) = Bench::new(8);
    let limits = [
        (Some(Duration::from_millis(5)), 5),
        (Some(Duration::from_secs(60)), 2000),
        (None, 2000),
    ];
    for (sequence, (time_limit, milliseconds)) in (1..).zip(limits) {
        let options = TaskOptions {
            name: Some(format!("number {sequence}")),
            time_limit,
            on_coordinator: sequence == 1,
            ..TaskOptions::default()
        };
        let spawned = bench.spawn_with(sequence, options);
        let named = Action::Observed(RunEvent::TaskSpawned {
            task: TaskId(sequence),
            parent: Some(TaskId::ROOT),
            function: "child".to_string(),
            name: Some(format!("number {sequence}")),
        });
        assert!(spawned.contains(&named), "{spawned:?}");
        let limit = invocations(&spawned)[0].time_limit;
        assert_eq!(limit, Some(Duration::from_millis(milliseconds)));
        let here = spawned.iter().find_map(|action| match action {
            Action::Invoke { on_coordinator, .. } => Some(*on_coordinator),
            _ => None,
        });
        assert_eq!(here, Some(sequence == 1));
    }
    let nothing = TaskOptions {
        time_limit: Some(Duration::ZERO),
        ..TaskOptions::default()
    };
    assert!(is_refused(&bench.spawn_with(4, nothing)));
    let long = TaskOptions {
        name: Some("n".repeat(2000)),
        ..TaskOptions::default()
    };
    assert!(is_refused(&bench.spawn_with(5, long)));
}

fn put(content: Payload) -> Call {
    Call::PutObject {
        url: "file:/out/x".to_string(),
        content,
    }
}

fn publishing(actions: &[Action]) -> Vec<(u64, Sequence)> {
    let publish = |action: &Action| match action {
        Action::Publish { task, sequence, .. } => Some((task.0, *sequence)),
        _ => None,
    };
    actions.iter().filter_map(publish).collect()
}

#[test]
fn an_object_is_published_after_its_call_is_committed_and_again_if_that_was_not_reported() {
    let (mut bench, _) = Bench::new(8);
    let asked = bench.request(0, 0, 1, put(stored("object")));
    assert_eq!((publishing(&asked), replies(&asked)), (vec![(0, 1)], vec![]));
    let duplicate = bench.request(0, 0, 1, put(stored("object")));
    assert_eq!((publishing(&duplicate), replies(&duplicate)), (vec![], vec![]));
    assert_eq!(bench.state.ended(), None, "no deadlock");
    // The worker is killed: nobody has to be there for it.
    assert_eq!(publishing(&bench.end(0, 0, killed())), vec![]);
    assert_eq!(publishing(&bench.crash()), vec![(0, 1)]);
    assert_eq!(bench.published(0, 7, Ok(())), vec![], "of another call");
    let done = bench.published(0, 1, Ok(()));
    assert_eq!(deleted(&done), vec![stored_key("object")]);
    assert!(matches!(
        only_start(&done),
        Start::Resume {
            answer: Answer::Done,
            ..
        }
    ));
    assert_eq!(publishing(&bench.crash()), vec![]);
    assert_eq!(bench.published(0, 1, Ok(())), vec![], "reported twice");
    assert_eq!(bench.state.stats().published, 1);
}

#[test]
fn an_object_that_cannot_be_published_fails_the_task_with_the_cause() {
    let (mut bench, _) = Bench::new(8);
    bench.request(0, 0, 1, put(inline("x")));
    let answer = only_answer(&bench.published(0, 1, Err("permission denied".to_string())));
    let expected = "cannot put an object to file:/out/x: permission denied".to_string();
    assert_eq!(answer, Answer::Refused(expected));
    for (sequence, url) in (2..).zip(["file:relative", "file:/", "s3:bucket/key", "file:/a\0b", "", "/etc/x"]) {
        let call = Call::PutObject {
            url: url.to_string(),
            content: stored("object"),
        };
        let refused = bench.request(0, 0, sequence, call);
        assert!(is_refused(&refused), "{url}");
        assert_eq!(deleted(&refused), vec![stored_key("object")]);
    }
}

#[test]
fn a_cancelled_task_waits_for_no_object_and_no_clock() {
    let (mut bench, _) = Bench::new(8);
    bench.spawn_children(2);
    bench.request(1, 0, 1, put(stored("object")));
    bench.request(2, 0, 1, Call::Sleep(Duration::from_secs(60)));
    let cancelled = bench.request(0, 0, 2, Call::Cancel(TaskId(1)));
    assert_eq!(deleted(&cancelled), vec![stored_key("object")]);
    bench.request(0, 0, 3, Call::Cancel(TaskId(2)));
    assert_eq!(bench.published(1, 1, Ok(())), vec![]);
    let queue = bench.queue(4, 1);
    bench.request(0, 0, 5, Call::Dequeue(queue));
    assert!(
        matches!(failure(bench.state.ended()), Failure::Deadlock(_)),
        "nobody else is there"
    );
}

#[test]
fn a_worker_that_cannot_reach_the_coordinator_leaves_with_its_request_and_is_started_again() {
    let (mut bench, _) = Bench::new(8);
    let mut incarnation = 0;
    let unlinked = |incarnation, sequence, call| {
        InvocationOutcome::Unlinked(Box::new(Request {
            task: TaskId::ROOT,
            incarnation,
            sequence,
            deferred: vec![],
            continuation: inline("here"),
            call,
        }))
    };
    // However often: it makes progress each time.
    for sequence in 1..=50 {
        let next = bench.end(0, incarnation, unlinked(incarnation, sequence, Call::CreateQueue(1)));
        incarnation += 1;
        let answer = Answer::Queue(QueueId(sequence - 1));
        assert_eq!(
            only_start(&next),
            Start::Resume {
                continuation: inline("here"),
                answer
            }
        );
        assert_eq!(invoked(&next), vec![(0, incarnation)]);
    }
    let blocked = bench.end(
        0,
        incarnation,
        unlinked(incarnation, 51, Call::Sleep(Duration::from_secs(1))),
    );
    assert_eq!(invoked(&blocked), vec![]);
    assert_eq!(invoked(&bench.pass(Duration::from_secs(1))), vec![(0, incarnation + 1)]);
    incarnation += 1;
    // In another invocation's name, or out of turn, it counts as a crash.
    for (claimed, sequence) in [(incarnation + 7, 52), (incarnation + 1, 3)] {
        let bad = unlinked(claimed, sequence, Call::CreateQueue(1));
        assert_eq!(invoked(&bench.end(0, incarnation, bad)), vec![]);
        incarnation += 1;
        assert_eq!(invoked(&bench.pass(Duration::from_secs(10))), vec![(0, incarnation)]);
    }
    bench.end(0, incarnation, unlinked(incarnation, 53, exit()));
    assert_eq!(bench.state.ended(), Some(&Ok(inline("end"))));
    assert_eq!(bench.state.stats().unlinked, 54);
}

#[test]
fn several_who_only_wait_give_way_at_once_as_many_as_are_wanted() {
    let (mut bench, _) = Bench::new(4);
    bench.spawn_children(3);
    let queue = bench.queue(2, 1);
    for task in 1..=3 {
        assert_eq!(replies(&bench.request(task, 0, 1, Call::Dequeue(queue))), vec![]);
    }
    // All four slots are in use, three of them by those who only wait. Two tasks more become ready at the same moment.
    let spawned = bench.request(0, 0, 3, Call::Spawn(vec![spec("child", b""), spec("child", b"")]));
    let sent_away: Vec<_> = replies(&spawned)
        .into_iter()
        .filter(|(.., reply)| *reply == Reply::Suspend)
        .map(|(task, ..)| task)
        .collect();
    assert_eq!(sent_away, [1, 2], "the two that have waited longest, and no more");
    assert_eq!(invoked(&bench.end(1, 0, InvocationOutcome::Returned)), vec![(4, 0)]);
    assert_eq!(invoked(&bench.end(2, 0, InvocationOutcome::Returned)), vec![(5, 0)]);
    // The third still holds on, and is answered at once.
    let served = bench.request(
        0,
        0,
        4,
        Call::Enqueue(queue, vec![inline("a"), inline("b"), inline("c")]),
    );
    let item = Reply::Answer(Answer::Item(Some(inline("c"))));
    assert!(
        replies(&served).contains(&(3, 0, 1, item)),
        "first come, first served: {served:?}"
    );
}

#[test]
fn r14_an_error_that_was_passed_on_says_by_which_tasks() {
    let (mut bench, _) = Bench::new(8);
    bench.spawn_children(2);
    let culprit = |task, function: &str| crate::Culprit {
        task: TaskId(task),
        function: function.to_string(),
    };
    let mut error = TaskError::new(TaskId(0), "", Failure::Returned("x".repeat(1 << 20)));
    error.trace = vec![culprit(9, "child"); 1000];
    error.trace[0].function = "f".repeat(100_000);
    bench.request(1, 0, 1, Call::Exit(Err(error)));
    let kept = waits_for(&bench.request(0, 0, 2, Call::WaitAll(vec![TaskId(1)])), 0).unwrap_err();
    assert_eq!(kept.trace.len(), TaskError::LONGEST_TRACE);
    assert!(kept.trace[0].function.len() <= 1024);
    assert_eq!(kept.trace[1], culprit(9, "child"));
    assert!(kept.to_string().len() < 20_000, "what cannot be kept is shortened");
}
