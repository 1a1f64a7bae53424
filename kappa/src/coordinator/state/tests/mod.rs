//! The state machine is driven by hand: each test is a history of events, and looks at the actions.

mod blameless;
mod guarantees;
pub(in crate::coordinator) mod model;
mod operations;
mod random;
mod traps;
mod unlinked;
mod usage;

use super::*;
use crate::error::{Failure, TaskError};
use crate::ids::Sequence;
use crate::protocol::{
    Answer, Call, Invocation, InvocationOutcome, Payload, Reply, Request, Retry, Start, TaskOptions, TaskSpec,
};
use crate::usage::Spent;
use bytes::Bytes;
use std::time::Duration;

/// A coordinator without a driver. Every event is recorded; after each, the recorded events are checked to rebuild the same state.
struct Bench {
    state: State,
    now: Timestamp,
    journal: Vec<Vec<u8>>,
    snapshot: Option<Vec<u8>>,
    environment: Environment,
}

impl Bench {
    fn new(concurrency: u64) -> (Self, Vec<Action>) {
        Self::with_tuning(concurrency, Tuning::default())
    }

    fn with_tuning(concurrency: u64, tuning: Tuning) -> (Self, Vec<Action>) {
        let environment = Environment {
            concurrency,
            time_limit: Some(Duration::from_secs(2)),
            ..Environment::default()
        };
        let mut bench = Bench {
            state: State::new(run_id()),
            now: Timestamp(1_000_000),
            journal: Vec::new(),
            snapshot: None,
            environment: environment.clone(),
        };
        let root = spec("root", b"arguments of the root");
        let actions = bench.apply(Event::Started {
            root,
            tuning,
            environment,
        });
        (bench, actions)
    }

    fn apply(&mut self, event: Event) -> Vec<Action> {
        let record = encode_record(self.now, &event);
        self.journal.push(record);
        let mut actions = Vec::new();
        self.state.apply(self.now, event, &mut actions);
        assert_eq!(
            self.rebuilt().snapshot(),
            self.state.snapshot(),
            "the journal does not rebuild the state"
        );
        assert_eq!(self.state.check_if_small(), Ok(()));
        actions
    }

    /// What a coordinator that finds this journal knows.
    fn rebuilt(&self) -> State {
        let mut state = match &self.snapshot {
            Some(bytes) => State::restore(bytes).expect("snapshot"),
            None => State::new(run_id()),
        };
        for record in &self.journal {
            let (at, event) = decode_record(record).expect("record");
            state.apply(at, event, &mut Vec::new());
        }
        state
    }

    fn compact(&mut self) {
        self.snapshot = Some(self.state.snapshot());
        self.journal.clear();
    }

    /// The coordinator dies and comes back.
    fn crash(&mut self) -> Vec<Action> {
        self.state = self.rebuilt();
        let environment = self.environment.clone();
        self.apply(Event::Recovered(environment))
    }

    fn request(&mut self, task: u64, incarnation: Incarnation, sequence: Sequence, call: Call) -> Vec<Action> {
        let continuation = Payload::Inline(Bytes::from(format!("{task} after {sequence}")));
        self.request_at(task, incarnation, sequence, continuation, call)
    }

    fn request_at(
        &mut self,
        task: u64,
        incarnation: Incarnation,
        sequence: Sequence,
        continuation: Payload,
        call: Call,
    ) -> Vec<Action> {
        self.apply(Event::Requested(Request {
            task: TaskId(task),
            incarnation,
            sequence,
            deferred: Vec::new(),
            continuation,
            call,
        }))
    }

    /// A request of a task's first invocation that carries deferred calls.
    fn request_with(
        &mut self,
        task: u64,
        deferred: Vec<(Sequence, Call)>,
        sequence: Sequence,
        call: Call,
    ) -> Vec<Action> {
        self.apply(Event::Requested(Request {
            task: TaskId(task),
            incarnation: 0,
            sequence,
            deferred,
            continuation: Payload::Inline(Bytes::from(format!("{task} after {sequence}"))),
            call,
        }))
    }

    /// A child of the root with these options, spawned by this call of it.
    fn spawn_with(&mut self, sequence: Sequence, options: TaskOptions) -> Vec<Action> {
        let mut spec = spec("child", b"arguments");
        spec.options = options;
        self.request(0, 0, sequence, Call::Spawn(vec![spec]))
    }

    fn published(&mut self, task: u64, sequence: Sequence, outcome: Result<(), String>) -> Vec<Action> {
        self.apply(Event::Published {
            task: TaskId(task),
            sequence,
            outcome,
        })
    }

    fn end(&mut self, task: u64, incarnation: Incarnation, outcome: InvocationOutcome) -> Vec<Action> {
        self.apply(Event::InvocationEnded {
            task: TaskId(task),
            incarnation,
            outcome,
            spent: Spent::default(),
        })
    }

    fn pass(&mut self, duration: Duration) -> Vec<Action> {
        self.now = self.now.after(duration);
        self.apply(Event::Ticked)
    }

    /// Spawns tasks of the function `child` from the root's call 1 and returns the actions.
    fn spawn_children(&mut self, count: usize) -> Vec<Action> {
        self.spawn_children_at(1, count)
    }

    fn spawn_children_at(&mut self, sequence: Sequence, count: usize) -> Vec<Action> {
        let specs = (0..count)
            .map(|i| spec("child", format!("arguments {i}").as_bytes()))
            .collect();
        self.request(0, 0, sequence, Call::Spawn(specs))
    }

    fn queue(&mut self, sequence: Sequence, capacity: u64) -> QueueId {
        match only_reply(&self.request(0, 0, sequence, Call::CreateQueue(capacity))) {
            Reply::Answer(Answer::Queue(id)) => id,
            other => panic!("{other:?}"),
        }
    }
}

/// A state that cannot be, as a snapshot: somebody is to be started who is not there.
pub(in crate::coordinator) fn impossible_snapshot() -> Vec<u8> {
    let (mut bench, _) = Bench::new(1);
    bench.state.ready.push_front(TaskId(99));
    bench.state.snapshot()
}

#[test]
fn r28_a_state_that_cannot_be_stops_the_run_with_its_name_and_nothing_is_done() {
    let (mut bench, _) = Bench::new(8);
    bench.state.ready.push_front(TaskId(99));
    let mut actions = vec![Action::Ended];
    bench.state.apply(bench.now, Event::Ticked, &mut actions);
    let cause = "task 99 is to be started, and is not there".to_string();
    assert_eq!(bench.state.broken(), Some(&*cause));
    assert_eq!(actions, [Action::Ended, Action::Broken(cause)], "what was before stays");
    assert!(bench.state.check_invariants().is_err());
}

#[test]
fn numbers_of_invocations_never_repeat_although_the_journal_has_lost_its_end() {
    let (mut bench, _) = Bench::new(8);
    bench.spawn_children(1);
    let short = bench.journal.clone();
    let mut given = vec![];
    for ahead in [1000, 5000] {
        // Each life finds the same journal, knows nothing of the one before, and goes on further than that.
        bench.journal = short.clone();
        bench.environment.incarnations_ahead = ahead;
        given.extend(invoked(&bench.crash()));
        given.extend(invoked(&bench.end(1, given[given.len() - 1].1, killed())));
        let actions = bench.request(0, given[given.len() - 2].1, 2, Call::Checkpoint);
        assert_eq!(replies(&actions).len(), 1);
    }
    let distinct: std::collections::BTreeSet<_> = given.iter().collect();
    assert_eq!(distinct.len(), given.len(), "{given:?}");
    assert!(given.len() >= 6, "{given:?}");
}

fn run_id() -> RunId {
    RunId::parse("00000000000000000000000000000007").expect("a run id")
}

fn spec(function: &str, arguments: &[u8]) -> TaskSpec {
    TaskSpec::new(function, Payload::Inline(Bytes::copy_from_slice(arguments)))
}

fn inline(text: &str) -> Payload {
    Payload::Inline(Bytes::copy_from_slice(text.as_bytes()))
}

fn stored(name: &str) -> Payload {
    Payload::Stored {
        key: format!("runs/{}/{name}", run_id()),
        length: 100_000,
    }
}

fn stored_key(name: &str) -> String {
    format!("runs/{}/{name}", run_id())
}

fn killed() -> InvocationOutcome {
    InvocationOutcome::Killed("SIGKILL".to_string())
}

fn crashed() -> InvocationOutcome {
    InvocationOutcome::Crashed("panicked at 'x'".to_string())
}

fn replies(actions: &[Action]) -> Vec<(u64, Incarnation, Sequence, Reply)> {
    actions
        .iter()
        .filter_map(|action| match action {
            Action::Reply {
                task,
                incarnation,
                sequence,
                reply,
            } => Some((task.0, *incarnation, *sequence, reply.clone())),
            _ => None,
        })
        .collect()
}

fn only_reply(actions: &[Action]) -> Reply {
    match replies(actions).as_slice() {
        [(.., reply)] => reply.clone(),
        other => panic!("expected one reply, found {other:?}"),
    }
}

fn only_answer(actions: &[Action]) -> Answer {
    match only_reply(actions) {
        Reply::Answer(answer) => answer,
        other => panic!("expected an answer, found {other:?}"),
    }
}

fn is_refused(actions: &[Action]) -> bool {
    matches!(only_answer(actions), Answer::Refused(_))
}

fn invocations(actions: &[Action]) -> Vec<Invocation> {
    actions
        .iter()
        .filter_map(|action| match action {
            Action::Invoke { invocation, .. } => Some(invocation.clone()),
            _ => None,
        })
        .collect()
}

fn invoked(actions: &[Action]) -> Vec<(u64, Incarnation)> {
    invocations(actions)
        .iter()
        .map(|invocation| (invocation.task.0, invocation.incarnation))
        .collect()
}

fn only_start(actions: &[Action]) -> Start {
    match invocations(actions).as_slice() {
        [invocation] => invocation.start.clone(),
        other => panic!("expected one invocation, found {other:?}"),
    }
}

fn deleted(actions: &[Action]) -> Vec<String> {
    actions
        .iter()
        .filter_map(|action| match action {
            Action::Delete { key, .. } => Some(key.clone()),
            _ => None,
        })
        .collect()
}

fn kills(actions: &[Action]) -> Vec<(u64, Incarnation)> {
    actions
        .iter()
        .filter_map(|action| match action {
            Action::Kill { task, incarnation } => Some((task.0, *incarnation)),
            _ => None,
        })
        .collect()
}

fn failure(result: Option<&TaskResult>) -> Failure {
    match result {
        Some(Err(TaskError { kind, .. })) => kind.clone(),
        other => panic!("expected a failure, found {other:?}"),
    }
}
