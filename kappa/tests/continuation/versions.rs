//! One invocation against a coordinator that is not there: other code, damaged bytes, panics, being stopped, keys for external services.

use async_trait::async_trait;
use kappa::Failure;
use kappa::ids::{RunId, TaskId};
use kappa::link::Link;
use kappa::prelude::*;
use kappa::protocol::{Answer, Call, Invocation, Payload, Reply, Request, Start};
use kappa::task::TaskFunction;
use kappa::worker::{WorkerEnd, run_invocation};
use std::sync::{Arc, Mutex};

/// Answers with what it was given, in order; then says that it is done.
#[derive(Default)]
struct Script {
    replies: Mutex<Vec<Reply>>,
    requests: Mutex<Vec<Request>>,
}

#[async_trait]
impl Link for Script {
    async fn send(&self, request: Request) -> Reply {
        self.requests.lock().unwrap().push(request);
        let mut replies = self.replies.lock().unwrap();
        if replies.is_empty() {
            Reply::Answer(Answer::Done)
        } else {
            replies.remove(0)
        }
    }
}

const RUN: &str = "01930000000070008000000000000000";

fn invoke(function: &str, start: Start, last_sequence: u64, replies: Vec<Reply>) -> (WorkerEnd, Vec<Request>) {
    let link = Arc::new(Script {
        replies: Mutex::new(replies),
        ..Script::default()
    });
    let invocation = Invocation {
        run: RunId::parse(RUN).unwrap(),
        task: TaskId(3),
        incarnation: 2,
        function: function.into(),
        start,
        last_sequence,
        time_limit: None,
    };
    let store = Arc::new(crate::harness::MemoryStore::default());
    let end = futures::executor::block_on(run_invocation(invocation, link.clone(), store));
    let requests = link.requests.lock().unwrap().clone();
    (end, requests)
}

fn begin<F: TaskFunction>(call: TaskCall<F>, replies: Vec<Reply>) -> (WorkerEnd, Vec<Request>) {
    let (function, arguments) = call.into_spec_bytes().unwrap();
    invoke(function, Start::Begin(Payload::Inline(arguments.into())), 0, replies)
}

/// Why the program cannot go on with the task, of which the coordinator is told nothing: it has not failed.
fn refusal((end, requests): (WorkerEnd, Vec<Request>)) -> String {
    assert_eq!(requests, []);
    match end {
        WorkerEnd::WrongProgram(cause) => cause,
        other => panic!("expected a refusal, not {other:?}"),
    }
}

fn resume(continuation: Vec<u8>, answer: Answer) -> (WorkerEnd, Vec<Request>) {
    let start = Start::Resume {
        continuation: Payload::Inline(continuation.into()),
        answer,
    };
    invoke(concat!(module_path!(), "::keys"), start, 1, vec![])
}

#[kappa::task]
async fn keys(cx: &mut Context, text: String) -> Vec<String> {
    let mut keys = vec![text, cx.idempotency_key()];
    cx.checkpoint().await;
    keys.push(cx.idempotency_key());
    cx.checkpoint().await;
    keys.push(cx.idempotency_key());
    keys
}

#[kappa::task]
async fn breaks(cx: &mut Context, at: u64) -> u64 {
    cx.checkpoint().await;
    assert!(at > 3, "at is only {at}");
    at
}

fn first_continuation() -> Vec<u8> {
    let (_, requests) = begin(keys("t".into()), vec![]);
    match &requests[0].continuation {
        Payload::Inline(bytes) => bytes.to_vec(),
        Payload::Stored { .. } => panic!("too small to be stored"),
    }
}

fn value(requests: &[Request]) -> Vec<String> {
    match &requests.last().unwrap().call {
        Call::Exit(Ok(Payload::Inline(bytes))) => postcard::from_bytes(bytes).unwrap(),
        other => panic!("expected a value, not {other:?}"),
    }
}

#[test]
fn calls_are_numbered_from_the_last_committed_one() {
    let (end, requests) = begin(keys("t".into()), vec![]);
    assert_eq!(end, WorkerEnd::Returned);
    assert_eq!(
        requests.iter().map(|request| request.sequence).collect::<Vec<_>>(),
        [1, 2, 3]
    );
    let (_, requests) = resume(first_continuation(), Answer::Done);
    assert_eq!(
        requests
            .iter()
            .map(|request| (request.sequence, request.incarnation))
            .collect::<Vec<_>>(),
        [(2, 2), (3, 2)]
    );
}

#[test]
fn idempotency_keys_are_the_same_after_a_resume_and_never_twice_the_same() {
    let (_, direct) = begin(keys("t".into()), vec![]);
    let (_, resumed) = resume(first_continuation(), Answer::Done);
    assert_eq!(value(&direct), value(&resumed));
    assert_eq!(
        value(&direct)[1..],
        [format!("{RUN}-3-0"), format!("{RUN}-3-1"), format!("{RUN}-3-2")]
    );
}

#[test]
fn changed_code_is_refused_by_the_functions_name() {
    let mut continuation = first_continuation();
    let name = concat!(module_path!(), "::keys");
    let at = continuation
        .windows(name.len())
        .position(|window| window == name.as_bytes())
        .unwrap()
        + name.len();
    continuation[at] ^= 1;
    let message = refusal(resume(continuation, Answer::Done));
    assert!(message.contains(name) && message.contains("changed"), "{message}");
}

#[test]
fn damaged_continuations_are_refused() {
    let whole = first_continuation();
    for end in 0..whole.len() {
        let cause = refusal(resume(whole[..end].to_vec(), Answer::Done));
        assert!(cause.contains("::keys"), "cut at {end}: {cause}");
    }
    let mut point = whole.clone();
    // Behind the format, the keys, the name with its length, and the fingerprint.
    point[1 + 8 + 2 + concat!(module_path!(), "::keys").len() + 8] = 99;
    let cause = refusal(resume(point, Answer::Done));
    assert!(cause.contains("suspension point"), "{cause}");
    let cause = refusal(resume(whole, Answer::Spawned(vec![])));
    assert!(cause.contains("another operation"), "{cause}");
}

#[test]
fn unknown_functions_and_wrong_arguments_are_refused() {
    let start = Start::Begin(Payload::Inline(vec![].into()));
    let message = refusal(invoke("nowhere::nothing", start.clone(), 0, vec![]));
    assert!(message.contains("nowhere::nothing"), "{message}");
    let message = refusal(invoke(concat!(module_path!(), "::keys"), start, 0, vec![]));
    assert!(message.contains("::keys"), "{message}");
}

#[test]
fn a_refused_call_fails_the_task() {
    let (end, requests) = begin(
        keys("t".into()),
        vec![Reply::Answer(Answer::Refused("no such queue".into()))],
    );
    assert_eq!(end, WorkerEnd::Returned);
    assert!(
        matches!(&requests[1].call, Call::Exit(Err(error)) if error.kind == Failure::Refused("no such queue".into()))
    );
}

#[test]
fn r15_after_suspend_or_fenced_nothing_of_the_task_runs() {
    for reply in [Reply::Suspend, Reply::Fenced] {
        let (end, requests) = begin(breaks(1), vec![reply]);
        assert_eq!(end, WorkerEnd::Returned);
        assert_eq!(requests.len(), 1);
    }
}

#[test]
fn r23_a_panic_is_reported_with_its_message_and_place() {
    let (end, requests) = begin(breaks(1), vec![]);
    let WorkerEnd::Panicked(message) = end else {
        panic!("{end:?}")
    };
    assert!(
        message.contains("at is only 1") && message.contains("versions.rs:"),
        "{message}"
    );
    assert_eq!(requests.len(), 1);
}
