//! Orders and reports between the two sides, and a worker that carries them out over loopback.

use super::message::{LONGEST_STORED, NoMessage, Part, Usage, program};
use super::worker::Stuck;
use super::*;
use crate::ids::{RunId, TaskId};
use crate::link::Link;
use crate::link::http::{Access, HttpClient, HttpLink, HttpOptions, HttpServer, Left, Opened};
use crate::prelude::*;
use crate::protocol::{Answer, Call, Invocation, InvocationOutcome, Payload, Reply, Request, Start};
use crate::store::{FileStore, Store};
use crate::task::{TaskCall, TaskFunction};
use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::sync::oneshot;

#[kappa::task]
async fn counting(cx: &mut Context, to: u64) -> u64 {
    let mut sum = 0;
    for number in 0..to {
        sum += number;
        cx.checkpoint().await;
    }
    sum
}

#[kappa::task]
async fn computing(cx: &mut Context) -> u64 {
    let mut passes = 0u64;
    loop {
        passes += 1;
        tokio::time::sleep(Duration::from_millis(1)).await;
        cx.checkpoint_if_due().await;
        if passes == u64::MAX {
            return passes;
        }
    }
}

#[kappa::task]
async fn resting(_cx: &mut Context) -> u64 {
    tokio::time::sleep(Duration::from_secs(60)).await;
    1
}

#[kappa::task]
async fn hogging(_cx: &mut Context) -> u64 {
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(5) {
        std::hint::black_box(started);
    }
    1
}

#[kappa::task]
async fn breaking(_cx: &mut Context, message: String) -> u64 {
    panic!("{message}")
}

#[kappa::task]
async fn sending(cx: &mut Context, tasks: usize, bytes: usize) -> usize {
    let calls = (0..tasks).map(|_| breaking("x".repeat(bytes)));
    cx.spawn_all(calls).await.len()
}

/// Says yes to everything, and remembers it.
#[derive(Default)]
struct Yes(Mutex<Vec<Request>>);

#[async_trait]
impl Link for Yes {
    async fn send(&self, request: Request) -> Reply {
        self.0.lock().push(request);
        Reply::Answer(Answer::Done)
    }
}

fn invocation<F: TaskFunction>(call: TaskCall<F>) -> Invocation {
    let (function, arguments) = call.into_spec_bytes().unwrap();
    Invocation {
        run: RunId::generate(),
        task: TaskId(3),
        incarnation: 1,
        function: function.to_string(),
        start: Start::Begin(Payload::Inline(arguments.into())),
        last_sequence: 0,
        time_limit: None,
    }
}

/// A store, both sides, and a coordinator that says yes.
struct Place {
    folder: TempDir,
    store: Arc<dyn Store>,
    worker: OrderWorker,
    server: HttpServer,
    link: Arc<Yes>,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Place {
            store: Arc::new(FileStore::open(folder.path()).unwrap()),
            folder,
            worker: OrderWorker::new(),
            server: HttpServer::start(HttpOptions::default()).unwrap(),
            link: Arc::default(),
        }
    }

    fn orders(&self, limit: usize) -> Orders {
        Orders::new(self.store.clone(), limit, limit)
    }

    /// The whole way, with messages of at most so many bytes.
    async fn run(&self, invocation: Invocation, linked: bool, limit: usize) -> InvocationOutcome {
        let opened = self.server.open(&invocation, self.link.clone()).unwrap();
        let access = linked.then(|| opened.access().clone());
        let orders = self.orders(limit);
        let written = match orders.write(invocation, access).await {
            Ok(written) => written,
            Err(outcome) => return outcome,
        };
        assert!(written.bytes.len() <= limit, "{}", written.bytes.len());
        let report = self.worker.run_order(decode(&written.bytes).unwrap(), None).await;
        let report = encode(&report.unwrap()).unwrap();
        assert!(report.len() <= limit, "{}", report.len());
        let opened = linked.then_some(&opened);
        let outcome = orders.read(&written, &report, &Deaf, opened).await;
        orders.forget(written).await;
        outcome
    }

    /// Objects in the store.
    fn objects(&self) -> usize {
        fn count(folder: &std::path::Path) -> usize {
            let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
            entries.map(|path| if path.is_dir() { count(&path) } else { 1 }).sum()
        }
        count(self.folder.path())
    }
}

/// What Lambda carries.
const LARGE: usize = 6 << 20;

#[tokio::test(flavor = "multi_thread")]
async fn an_order_is_carried_out_and_its_calls_reach_the_coordinator() {
    let place = Place::new();
    let outcome = place.run(invocation(counting(5)), true, LARGE).await;
    assert_eq!(outcome, InvocationOutcome::Returned);
    let requests = place.link.0.lock();
    assert_eq!(requests.len(), 6, "five checkpoints and the exit");
    assert_eq!(place.objects(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_without_a_way_back_leaves_with_its_request() {
    let place = Place::new();
    for _ in 0..2 {
        let outcome = place.run(invocation(counting(5)), false, LARGE).await;
        let InvocationOutcome::Unlinked(request) = outcome else {
            panic!("{outcome:?}")
        };
        assert_eq!((request.task, request.incarnation, request.sequence), (TaskId(3), 1, 1));
        assert_eq!(request.call, Call::Checkpoint);
    }
    assert_eq!(place.link.0.lock().len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a01_what_is_too_long_for_a_message_goes_through_the_store_and_is_deleted() {
    let place = Place::new();
    // The order.
    let long = invocation(breaking("long ".repeat(10_000)));
    let outcome = place.run(long, true, 2000).await;
    // The message of the panic is for people, and cut.
    let InvocationOutcome::Crashed(message) = outcome else {
        panic!("{outcome:?}")
    };
    assert!(
        message.contains("long long") && message.contains("bytes in all)"),
        "{message}"
    );
    assert_eq!(place.objects(), 0, "the order is deleted");
    // The report.
    let outcome = place.run(invocation(sending(20, 1000)), false, 2000).await;
    let InvocationOutcome::Unlinked(request) = outcome else {
        panic!("{outcome:?}")
    };
    assert!(matches!(&request.call, Call::Spawn(specs) if specs.len() == 20));
    assert_eq!(place.objects(), 0, "the request is deleted");
}

#[tokio::test(flavor = "multi_thread")]
async fn a01_an_order_that_is_too_long_even_so_is_refused_with_both_numbers() {
    let place = Place::new();
    let outcome = place.run(invocation(breaking("x".repeat(1000))), true, 50).await;
    let InvocationOutcome::Unstartable(message) = outcome else {
        panic!("{outcome:?}")
    };
    assert!(message.contains("more than the 50 bytes"), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_secret_does_not_go_through_the_store() {
    let place = Place::new();
    let long = invocation(breaking("long ".repeat(10_000)));
    let opened = place.server.open(&long, place.link.clone()).unwrap();
    let secret = postcard::to_stdvec(&opened.access().secret).unwrap();
    let key = {
        let written = place
            .orders(2000)
            .write(long, Some(opened.access().clone()))
            .await
            .ok()
            .unwrap();
        let order: Order = decode(&written.bytes).unwrap();
        assert!(
            !format!("{order:?}").contains(&format!("{:?}", secret)),
            "it is not printed"
        );
        order.invocation.key().unwrap().to_string()
    };
    let stored = place.store.get(&key).await.unwrap();
    assert!(stored.len() > 50_000);
    assert!(!stored.windows(secret.len()).any(|window| window == secret));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_is_reported_with_message_and_place_and_the_next_order_is_carried_out() {
    let place = Place::new();
    for _ in 0..3 {
        let outcome = place.run(invocation(breaking("no luck".into())), true, LARGE).await;
        let InvocationOutcome::Crashed(message) = outcome else {
            panic!("{outcome:?}")
        };
        assert!(
            message.contains("no luck") && message.contains("tests.rs:"),
            "r23: {message}"
        );
        let outcome = place.run(invocation(counting(1)), true, LARGE).await;
        assert_eq!(outcome, InvocationOutcome::Returned);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_leaves_with_a_checkpoint_before_its_time_is_over() {
    let place = Place::new();
    let mut limited = invocation(computing());
    limited.time_limit = Some(Duration::from_secs(1));
    let started = Instant::now();
    let outcome = place.run(limited, true, LARGE).await;
    let took = started.elapsed();
    assert_eq!(outcome, InvocationOutcome::TimedOut);
    assert!(
        took < Duration::from_secs(1),
        "it left by itself, and not late: {took:?}"
    );
    let requests = place.link.0.lock();
    assert!(requests.iter().all(|request| request.call == Call::Checkpoint));
    assert!(!requests.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sooner_of_the_two_limits_counts() {
    let place = Place::new();
    let mut limited = invocation(resting());
    limited.time_limit = Some(Duration::from_secs(50));
    let orders = place.orders(LARGE);
    let written = orders.write(limited, None).await.ok().unwrap();
    let started = Instant::now();
    let deadline = started + Duration::from_millis(400);
    let report = place
        .worker
        .run_order(decode(&written.bytes).unwrap(), Some(deadline))
        .await
        .unwrap();
    assert!(
        Instant::now() < deadline,
        "the report is there before the end: {:?}",
        started.elapsed()
    );
    assert_eq!(report.end, Part::Here(End::OutOfTime));
    assert!(
        report.usage.is_cold && report.usage.time >= Duration::from_millis(300),
        "{report:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_never_pauses_is_told_from_one_that_has_left() {
    let place = Place::new();
    let orders = place.orders(LARGE);
    let written = orders.write(invocation(hogging()), None).await.ok().unwrap();
    let deadline = Instant::now() + Duration::from_millis(100);
    let ran = place
        .worker
        .run_order(decode(&written.bytes).unwrap(), Some(deadline))
        .await;
    assert!(matches!(ran, Err(Stuck)), "{ran:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_an_invocation_runs_after_its_report() {
    let place = Place::new();
    let mut limited = invocation(counting(u64::MAX));
    limited.time_limit = Some(Duration::from_millis(200));
    assert_eq!(place.run(limited, true, LARGE).await, InvocationOutcome::TimedOut);
    let before = place.link.0.lock().len();
    assert!(before > 1, "{before}");
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(place.link.0.lock().len(), before);
}

#[tokio::test]
async fn an_order_of_another_program_is_not_carried_out() {
    let place = Place::new();
    let order = Order {
        program: "0.0.1-77".into(),
        invocation: Part::Here(invocation(counting(1))),
        access: None,
        store: place.store.url(),
        report_limit: 1000,
        time_limit: None,
    };
    let report = place.worker.run_order(order, None).await.unwrap();
    let Part::Here(End::WrongProgram(message)) = report.end else {
        panic!("{report:?}")
    };
    assert!(
        message.contains("0.0.1-77") && message.contains(&program()),
        "{message}"
    );
}

#[tokio::test]
async fn a_store_that_the_worker_cannot_reach_is_said() {
    let place = Place::new();
    for store in ["memory:", "nonsense:x"] {
        let order = Order {
            program: program(),
            invocation: Part::Here(invocation(resting())),
            access: None,
            store: store.into(),
            report_limit: 1000,
            time_limit: None,
        };
        let report = place.worker.run_order(order, None).await.unwrap();
        let Part::Here(End::Unusable(message)) = report.end else {
            panic!("{report:?}")
        };
        assert!(message.contains("store"), "{message}");
    }
}

/// Nobody listens.
struct Deaf;

#[async_trait]
impl Link for Deaf {
    async fn send(&self, _: Request) -> Reply {
        Reply::Fenced
    }
}

async fn read(place: &Place, end: Part<End>) -> InvocationOutcome {
    read_of(place, invocation(resting()), end, None, None).await
}

/// What is made of a report on this invocation, from the worker of this delivery.
async fn read_of(
    place: &Place,
    invocation: Invocation,
    end: Part<End>,
    delivery: Option<String>,
    opened: Option<&Opened>,
) -> InvocationOutcome {
    let orders = place.orders(LARGE);
    let written = orders.write(invocation, None).await.ok().unwrap();
    let usage = Usage::default();
    let report = encode(&Report { end, usage, delivery }).unwrap();
    orders.read(&written, &report, &Deaf, opened).await
}

/// A request of [`invocation`]'s.
fn checkpoint(sequence: u64) -> Request {
    Request {
        task: TaskId(3),
        incarnation: 1,
        sequence,
        deferred: Vec::new(),
        continuation: Payload::Inline(Bytes::new()),
        call: Call::Checkpoint,
    }
}

/// The ways of two workers that were given the same order.
fn twins(invocation: &Invocation, opened: &Opened) -> [(Arc<HttpLink>, oneshot::Receiver<Left>); 2] {
    let client = Arc::new(HttpClient::new());
    [(); 2].map(|()| client.link(invocation, opened.access()).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a03_what_another_worker_reports_than_the_one_that_is_heard_is_not_believed() {
    let place = Place::new();
    let invocation = invocation(resting());
    let opened = place.server.open(&invocation, place.link.clone()).unwrap();
    let [(first, _left), (twin, _also)] = twins(&invocation, &opened);
    assert_eq!(first.send(checkpoint(1)).await, Reply::Answer(Answer::Done));
    for (delivery, end) in [
        (Some(twin.delivery()), End::Unlinked(Box::new(checkpoint(6)))),
        (None, End::Unlinked(Box::new(checkpoint(6)))),
        (Some(twin.delivery()), End::Returned),
        (Some(twin.delivery()), End::Broken("it did".into())),
    ] {
        let outcome = read_of(&place, invocation.clone(), Part::Here(end), delivery, Some(&opened)).await;
        assert!(
            matches!(&outcome, InvocationOutcome::Killed(why) if why.contains("another worker")),
            "{outcome:?}"
        );
    }
    assert_eq!(first.send(checkpoint(2)).await, Reply::Answer(Answer::Done));
    assert_eq!(*place.link.0.lock(), [checkpoint(1), checkpoint(2)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a03_once_a_worker_has_reported_no_other_is_heard() {
    let place = Place::new();
    let invocation = invocation(resting());
    let opened = place.server.open(&invocation, place.link.clone()).unwrap();
    let [(first, _left), (twin, _also)] = twins(&invocation, &opened);
    let end = Part::Here(End::Unlinked(Box::new(checkpoint(6))));
    let outcome = read_of(&place, invocation.clone(), end, Some(first.delivery()), Some(&opened)).await;
    assert_eq!(outcome, InvocationOutcome::Unlinked(Box::new(checkpoint(6))));
    assert_eq!(twin.send(checkpoint(1)).await, Reply::Fenced);
    assert_eq!(place.link.0.lock().len(), 0);
}

/// Hears everything and answers nothing.
#[derive(Default)]
struct Mute(Mutex<Vec<Request>>);

#[async_trait]
impl Link for Mute {
    async fn send(&self, request: Request) -> Reply {
        self.0.lock().push(request);
        std::future::pending().await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_was_heard_and_whose_reply_is_lost_leaves_with_its_request() {
    let place = Place::new();
    let options = HttpOptions {
        patience: Duration::from_millis(300),
        ..HttpOptions::default()
    };
    let server = HttpServer::start(options).unwrap();
    let mute = Arc::new(Mute::default());
    let invocation = invocation(counting(5));
    let opened = server.open(&invocation, mute.clone()).unwrap();
    let orders = place.orders(LARGE);
    let access = opened.access().clone();
    let written = orders.write(invocation, Some(access)).await.ok().unwrap();
    let order: Order = decode(&written.bytes).unwrap();
    let stopping = async {
        while mute.0.lock().is_empty() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        server.stop().await;
    };
    let (report, ()) = tokio::join!(place.worker.run_order(order, None), stopping);
    let report = encode(&report.unwrap()).unwrap();
    let outcome = orders.read(&written, &report, &Deaf, Some(&opened)).await;
    assert!(
        matches!(&outcome, InvocationOutcome::Unlinked(request) if request.sequence == 1),
        "{outcome:?}"
    );
}

/// Makes an object one that cannot be read now and perhaps later: its file leads to itself.
fn hide(place: &Place, key: &str) -> std::path::PathBuf {
    let file = place.folder.path().join(format!("{key}="));
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    let _ = std::fs::remove_file(&file);
    std::os::unix::fs::symlink(&file, &file).unwrap();
    file
}

#[tokio::test]
async fn a_message_that_cannot_be_read_while_the_store_is_away_is_no_kill() {
    let place = Place::new();
    let long = invocation(breaking("long ".repeat(10_000)));
    let written = place.orders(2000).write(long, None).await.ok().unwrap();
    let order: Order = decode(&written.bytes).unwrap();
    let hidden = hide(&place, order.invocation.key().unwrap());
    let report = place.worker.run_order(order.clone(), None).await.unwrap();
    assert!(matches!(report.end, Part::Here(End::StoreAway(_))), "{report:?}");
    std::fs::remove_file(hidden).unwrap();
    let report = place.worker.run_order(order, None).await.unwrap();
    assert!(
        matches!(report.end, Part::Here(End::Killed(_))),
        "it is gone for good: {report:?}"
    );

    let invocation = invocation(resting());
    let key = format!("{}/messages/x", invocation.run.objects());
    hide(&place, &key);
    let end = Part::Stored { key, length: 1 };
    let outcome = read_of(&place, invocation, end, None, None).await;
    assert!(matches!(outcome, InvocationOutcome::StoreAway(_)), "{outcome:?}");
}

#[tokio::test]
async fn a_request_in_another_s_name_is_a_crash_of_the_worker_and_not_heard() {
    let place = Place::new();
    for (task, incarnation) in [(TaskId(4), 1), (TaskId(3), 2)] {
        let request = Request {
            task,
            incarnation,
            ..checkpoint(1)
        };
        let outcome = read(&place, Part::Here(End::Unlinked(Box::new(request)))).await;
        assert!(
            matches!(&outcome, InvocationOutcome::Crashed(m) if m.contains("another task")),
            "{outcome:?}"
        );
    }
}

#[tokio::test]
async fn a_report_can_name_no_object_but_those_of_its_run() {
    let place = Place::new();
    place
        .store
        .put("secret/of-others", Bytes::from_static(&[0]))
        .await
        .unwrap();
    for key in ["secret/of-others", "runs/x/../../secret/of-others", ""] {
        let key = key.to_string();
        let outcome = read(&place, Part::Stored { key, length: 1 }).await;
        assert!(
            matches!(&outcome, InvocationOutcome::Killed(m) if m.contains("no part of a message")),
            "{outcome:?}"
        );
    }
    let gone = Part::Stored {
        key: "runs/x/messages/y".into(),
        length: LONGEST_STORED + 1,
    };
    assert!(matches!(read(&place, gone).await, InvocationOutcome::Killed(_)));
    assert!(
        place.store.get("secret/of-others").await.is_ok(),
        "it is not deleted either"
    );
}

#[test]
fn another_version_and_nonsense_are_told_apart_and_never_a_panic() {
    let report = Report {
        end: Part::Here(End::Broken("it did".into())),
        usage: Usage::default(),
        delivery: Some("twin".into()),
    };
    let mut bytes = encode(&report).unwrap();
    assert_eq!(decode::<Report>(&bytes), Ok(report));
    for length in 0..bytes.len() {
        assert!(
            matches!(decode::<Report>(&bytes[..length]), Err(NoMessage::Nonsense(_))),
            "{length}"
        );
    }
    bytes.push(0);
    assert!(matches!(decode::<Report>(&bytes), Err(NoMessage::Nonsense(why)) if why.contains("follow")));
    bytes[0] = 77;
    let message = decode::<Report>(&bytes).unwrap_err().to_string();
    assert!(
        message.contains("version 77") && message.contains("same build"),
        "{message}"
    );
}

#[test]
fn an_access_is_part_of_an_order_and_its_secret_is_not_printed() {
    let access = Access {
        url: "http://a".into(),
        secret: crate::link::http::Secret::generate().unwrap(),
        patience: Duration::from_secs(1),
        message_limit: 5,
    };
    let order = Order {
        program: program(),
        invocation: Part::Here(invocation(counting(1))),
        access: Some(access),
        store: "redis://:password@a,b".into(),
        report_limit: 7,
        time_limit: None,
    };
    let shown = format!("{order:?}");
    assert!(shown.contains("not shown") && !shown.contains("password"), "{shown}");
    assert_eq!(decode(&encode(&order).unwrap()), Ok(order));
}
