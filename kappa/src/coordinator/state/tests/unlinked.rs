//! Invocations that could not reach the coordinator and left with their request.

use super::*;

fn call(task: u64, incarnation: Incarnation, sequence: Sequence, call: Call) -> Request {
    Request {
        task: TaskId(task),
        incarnation,
        sequence,
        deferred: Vec::new(),
        continuation: Payload::Inline(Bytes::from(format!("{task} after {sequence}"))),
        call,
    }
}

impl Bench {
    /// The invocation leaves with this request.
    fn leave_with(&mut self, request: Request) -> Vec<Action> {
        let (task, incarnation) = (request.task.0, request.incarnation);
        self.end(task, incarnation, InvocationOutcome::Unlinked(Box::new(request)))
    }
}

#[test]
fn a_request_that_a_worker_left_with_takes_effect_and_the_next_invocation_has_its_answer() {
    let (mut bench, _) = Bench::new(8);
    let left = bench.leave_with(call(0, 0, 1, Call::Spawn(vec![spec("child", b"")])));
    assert_eq!(invoked(&left), vec![(1, 0), (0, 1)]);
    let next = invocations(&left)
        .into_iter()
        .find(|next| next.task == TaskId(0))
        .expect("the root");
    assert_eq!(next.last_sequence, 1);
    assert_eq!(
        next.start,
        Start::Resume {
            continuation: inline("0 after 1"),
            answer: Answer::Spawned(vec![TaskId(1)])
        }
    );
    assert_eq!(bench.state.stats().unlinked, 1);
}

#[test]
fn a_task_without_any_link_gets_to_its_end_and_nothing_counts_as_a_failure() {
    let (mut bench, _) = Bench::new(8);
    let queue = match only_start(&bench.leave_with(call(0, 0, 1, Call::CreateQueue(10)))) {
        Start::Resume {
            answer: Answer::Queue(queue),
            ..
        } => queue,
        other => panic!("{other:?}"),
    };
    for step in 1..200 {
        let incarnation = Incarnation::try_from(step).expect("a small number");
        let next = bench.leave_with(call(0, incarnation, step + 1, Call::Checkpoint));
        assert_eq!(invoked(&next), vec![(0, incarnation + 1)], "at once, without back-off");
    }
    bench.leave_with(call(0, 200, 201, Call::Enqueue(queue, vec![inline("x")])));
    let ended = bench.leave_with(call(0, 201, 202, Call::Exit(Ok(inline("result")))));
    assert!(ended.contains(&Action::Ended));
    assert_eq!(bench.state.ended(), Some(&Ok(inline("result"))));
    assert_eq!(bench.state.live_invocations(), 0);
    let stats = bench.state.stats();
    assert_eq!((stats.crashed, stats.killed, stats.unlinked), (0, 0, 202));
}

#[test]
fn a_request_that_had_arrived_and_whose_reply_was_lost_takes_effect_once() {
    let (mut bench, _) = Bench::new(8);
    let spawn = Call::Spawn(vec![spec("child", b"")]);
    bench.request(0, 0, 1, spawn.clone());
    let left = bench.leave_with(call(0, 0, 1, spawn));
    assert_eq!(bench.state.stats().tasks, 2);
    assert_eq!(invoked(&left), vec![(0, 1)]);
    assert!(matches!(
        only_start(&left),
        Start::Resume { answer: Answer::Spawned(ids), .. } if ids == vec![TaskId(1)]
    ));
}

#[test]
fn a_worker_that_leaves_with_a_call_that_waits_costs_nothing_until_the_answer_is_there() {
    let (mut bench, _) = Bench::new(8);
    bench.spawn_children(1);
    let left = bench.leave_with(call(0, 0, 2, Call::WaitAll(vec![TaskId(1)])));
    assert_eq!(invoked(&left), vec![]);
    assert_eq!(bench.state.live_invocations(), 1, "the child's");
    // Whether the call had arrived before or not.
    let next = bench.leave_with(call(1, 0, 1, Call::Exit(Ok(inline("value")))));
    assert!(matches!(
        only_start(&next),
        Start::Resume { answer: Answer::Results(results), .. } if results == vec![Ok(inline("value"))]
    ));
    let blocked = Call::WaitAll(vec![TaskId(2)]);
    bench.request(0, 1, 3, Call::Spawn(vec![spec("child", b"")]));
    bench.request(0, 1, 4, blocked.clone());
    assert_eq!(invoked(&bench.leave_with(call(0, 1, 4, blocked))), vec![]);
    let next = bench.request(2, 0, 1, Call::Exit(Ok(inline("other"))));
    assert_eq!(invoked(&next), vec![(0, 2)]);
}

#[test]
fn r15_a_worker_that_was_given_up_leaves_without_effect() {
    let (mut bench, _) = Bench::new(8);
    bench.spawn_children(1);
    bench.crash();
    // The invocation of before the coordinator's crash comes back with a request.
    let late = bench.leave_with(call(0, 0, 2, Call::CreateQueue(1)));
    assert_eq!(late, vec![]);
    assert_eq!(only_reply(&bench.request(0, 0, 2, Call::CreateQueue(1))), Reply::Fenced);
    assert!(matches!(
        only_answer(&bench.request(0, 1, 2, Call::CreateQueue(1))),
        Answer::Queue(_)
    ));
}

#[test]
fn a_request_in_another_task_s_name_or_out_of_turn_has_no_effect_and_counts_as_a_crash() {
    let (mut bench, _) = Bench::new(8);
    bench.spawn_children(1);
    let foreign = InvocationOutcome::Unlinked(Box::new(call(1, 0, 1, Call::Exit(Ok(inline("forged"))))));
    bench.end(0, 0, foreign);
    assert!(
        bench.state.tasks[&TaskId(1)].result().is_none(),
        "the other task goes on"
    );
    assert_eq!(bench.state.tasks[&TaskId(0)].attempts.crashed, 1);
    bench.pass(Duration::from_secs(10));
    bench.leave_with(call(0, 1, 1, Call::Exit(Ok(inline("too late")))));
    assert_eq!(bench.state.ended(), None);
    assert_eq!(bench.state.tasks[&TaskId(0)].attempts.crashed, 2);
}

#[test]
fn an_unlinked_end_is_recorded_and_survives_a_crash_of_the_coordinator() {
    let (mut bench, _) = Bench::new(8);
    bench.leave_with(call(0, 0, 1, Call::Spawn(vec![spec("child", b"")])));
    bench.compact();
    bench.leave_with(call(1, 0, 1, Call::Exit(Ok(inline("value")))));
    let again = bench.crash();
    assert_eq!(invoked(&again), vec![(0, 2)]);
    assert_eq!(
        only_answer(&bench.request(0, 2, 2, Call::WaitAll(vec![TaskId(1)]))),
        Answer::Results(vec![Ok(inline("value"))])
    );
}
