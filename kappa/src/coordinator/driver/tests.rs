//! The shell, with a platform whose workers are the model programs of the state machine's tests, or scripts.

use super::*;
use crate::coordinator::state::BackOff;
use crate::coordinator::state::tests::model::{Arguments, Child, Memory, Mode, Program, Step};
use crate::error::Failure;
use crate::journal::{Durability, FileJournal, MemoryJournal};
use crate::protocol::{Answer, Call, Invocation, InvocationOutcome, Payload, Start};
use crate::store::Memory as MemoryStore;
use futures::FutureExt;
use futures::future::BoxFuture;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use std::path::Path;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Instant;

type Script = dyn Fn(Invocation, Arc<dyn Link>) -> BoxFuture<'static, InvocationOutcome> + Send + Sync;

/// A platform whose workers do what a function says.
pub(super) struct Scripted {
    script: Box<Script>,
    running: Arc<AtomicUsize>,
    concurrency: usize,
}

impl Scripted {
    pub(super) fn new<F>(
        concurrency: usize,
        script: impl Fn(Invocation, Arc<dyn Link>) -> F + Send + Sync + 'static,
    ) -> Arc<Self>
    where
        F: Future<Output = InvocationOutcome> + Send + 'static,
    {
        let script = Box::new(move |invocation, link| script(invocation, link).boxed());
        Arc::new(Scripted {
            script,
            running: Arc::default(),
            concurrency,
        })
    }
}

/// Counts down however the invocation ends.
struct Running(Arc<AtomicUsize>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[async_trait]
impl Platform for Scripted {
    async fn invoke(&self, invocation: Invocation, link: Arc<dyn Link>) -> InvocationOutcome {
        let before = self.running.fetch_add(1, Ordering::SeqCst);
        let _running = Running(self.running.clone());
        assert!(before < self.concurrency, "more invocations than the platform takes");
        (self.script)(invocation, link).await
    }

    async fn shutdown(&self) {}

    fn concurrency(&self) -> usize {
        self.concurrency
    }
}

pub(super) fn setup(platform: Arc<dyn Platform>, journal: Option<Arc<dyn Journal>>) -> Setup {
    let back_off = BackOff {
        immediate: 0,
        first: Duration::from_millis(1),
        cap: Duration::from_millis(5),
    };
    let tuning = Tuning {
        grace: Duration::from_millis(3),
        kill_limit: 1000,
        after_crash: back_off,
        after_kill: back_off,
        ..Tuning::default()
    };
    Setup {
        run: RunId::generate(),
        life: rand::random::<u64>() >> 24,
        here: platform.clone(),
        platform,
        store: Arc::new(MemoryStore::new()),
        files: Arc::new(LocalFiles::default()),
        journal,
        runtime: Handle::current(),
        clock: Arc::new(clock::SystemClock::start()),
        tuning,
        time_limit: None,
        program: String::new(),
        same_program: false,
        observers: Vec::new(),
    }
}

pub(super) fn root(arguments: Vec<u8>) -> TaskSpec {
    TaskSpec::new("root", Payload::Inline(arguments.into()))
}

pub(super) fn request(invocation: &Invocation, sequence: Sequence, call: Call) -> Request {
    Request {
        task: invocation.task,
        incarnation: invocation.incarnation,
        sequence,
        deferred: Vec::new(),
        continuation: Payload::Inline(Bytes::from_static(b"here")),
        call,
    }
}

pub(super) fn exit(value: &'static [u8]) -> Call {
    Call::Exit(Ok(Payload::Inline(Bytes::from_static(value))))
}

pub(super) async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), future)
        .await
        .expect("it takes too long")
}

/// A worker that executes model programs. Dies at random moments if `kill` says so.
fn model_platform(seed: u64, program: Program, store: Arc<dyn Store>, kill: f64) -> Arc<Scripted> {
    let program = Arc::new(program);
    let invocations = AtomicU64::new(0);
    Scripted::new(3, move |invocation, link| {
        let number = invocations.fetch_add(1, Ordering::Relaxed);
        let mut random = SmallRng::seed_from_u64(seed * 1_000_003 + number);
        let (program, store) = (program.clone(), store.clone());
        async move {
            let life = match random.random_bool(kill) {
                true => Duration::from_micros(random.random_range(0..3000)),
                false => Duration::from_secs(60),
            };
            match tokio::time::timeout(life, work(&program, invocation, link, store)).await {
                Ok(()) => InvocationOutcome::Returned,
                Err(_) => InvocationOutcome::Killed("by the test".to_string()),
            }
        }
    })
}

async fn work(program: &Program, invocation: Invocation, link: Arc<dyn Link>, store: Arc<dyn Store>) {
    let get = |payload: &Payload| match payload {
        Payload::Inline(bytes) => bytes.to_vec(),
        Payload::Stored { key, .. } => store
            .get(key)
            .now_or_never()
            .expect("memory does not wait")
            .expect("an object that is needed")
            .to_vec(),
    };
    let (mut memory, mut answer) = match invocation.start {
        Start::Begin(arguments) => (
            Memory::new(
                postcard::from_bytes(&get(&arguments)).expect("arguments"),
                invocation.last_sequence,
            ),
            None,
        ),
        Start::Resume { continuation, answer } => (
            postcard::from_bytes(&get(&continuation)).expect("continuation"),
            Some(answer),
        ),
    };
    let mut sequence = invocation.last_sequence;
    let mut deferred = Vec::new();
    let mut background = tokio::task::JoinSet::new();
    loop {
        let mut written = Vec::new();
        let mut put = |bytes: Vec<u8>| {
            if bytes.len().is_multiple_of(2) {
                return Payload::Inline(bytes.into());
            }
            let key = format!("runs/{}/{}", invocation.run, uuid::Uuid::new_v4());
            let length = bytes.len() as u64;
            written.push((key.clone(), bytes));
            Payload::Stored { key, length }
        };
        let Step { call, mode } = memory.next(program, answer.take(), &mut put, &get);
        sequence += 1;
        if mode == Mode::Deferred {
            deferred.push((sequence, call));
            answer = Some(Answer::Done);
            continue;
        }
        let continuation = put(postcard::to_stdvec(&memory).expect("memory"));
        for (key, bytes) in written {
            store.put(&key, bytes.into()).await.expect("put");
        }
        let request = Request {
            task: invocation.task,
            incarnation: invocation.incarnation,
            sequence,
            deferred: deferred.clone(),
            continuation,
            call,
        };
        if mode == Mode::Background {
            let link = link.clone();
            background.spawn(async move { link.send(request).await });
            answer = Some(Answer::Done);
            continue;
        }
        match link.send(request).await {
            Reply::Answer(_) if memory.is_over() => return,
            Reply::Answer(given) => {
                deferred.clear();
                answer = Some(given);
            }
            Reply::Suspend | Reply::Fenced => return,
        }
        tokio::task::yield_now().await;
    }
}

fn model_root(program: &Program) -> TaskSpec {
    let arguments = Arguments {
        node: Child::Node(program.root()),
        queue: None,
        producer: 0,
    };
    root(postcard::to_stdvec(&arguments).expect("arguments"))
}

fn model_setup(seed: u64, kill: f64, journal: Option<Arc<dyn Journal>>, objects: &Path) -> (Setup, Arc<MemoryStore>) {
    let store = Arc::new(MemoryStore::new());
    let platform = model_platform(seed, model(seed, objects), store.clone(), kill);
    let mut setup = setup(platform, journal);
    setup.store = store.clone();
    (setup, store)
}

/// A random program that puts its objects into this folder.
fn model(seed: u64, objects: &Path) -> Program {
    let mut program = Program::random(seed);
    program.folder = objects.display().to_string();
    program
}

/// What is in the folder is what the program puts there: no object is missing, and no draft is left.
fn check_objects(program: &Program, objects: &Path) {
    let found = std::fs::read_dir(objects).expect("a folder").map(|entry| {
        let path = entry.expect("an entry").path();
        let bytes = std::fs::read(&path).expect("an object");
        (
            path.display().to_string(),
            postcard::from_bytes(&bytes).expect("a number"),
        )
    });
    let found: std::collections::BTreeMap<String, u64> = found.collect();
    assert_eq!(found, program.objects(program.root()));
}

/// The model has no failing roots: any failure is a fault of ours.
fn number(result: Result<Bytes, RunError>) -> Option<u64> {
    let bytes = result.expect("a result");
    Some(postcard::from_bytes(&bytes).expect("a number"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn programs_have_the_models_result_with_every_kind_of_journal_and_leave_nothing_in_the_store() {
    for seed in 0..30 {
        let folder = tempfile::tempdir().expect("a folder");
        let file = |name: &str, durability| -> Option<Arc<dyn Journal>> {
            let journal = FileJournal::create(&folder.path().join(name), durability).expect("a journal");
            Some(Arc::new(journal))
        };
        let mut journals = vec![
            None,
            Some(Arc::new(MemoryJournal::new()) as Arc<dyn Journal>),
            file("at-once", Durability::Process),
        ];
        // That one has a recorder, and waits for the disk.
        if seed % 5 == 0 {
            journals.push(file("recorded", Durability::Machine));
        }
        for journal in journals {
            let objects = tempfile::tempdir().expect("a folder");
            let (setup, store) = model_setup(seed, 0.3, journal, objects.path());
            let program = model(seed, objects.path());
            let coordinator = Coordinator::start(setup, model_root(&program)).await.expect("start");
            let result = number(soon(coordinator.wait()).await);
            assert_eq!(result, program.expected(program.root()), "seed {seed}");
            assert_eq!(store.usage().0, 0, "seed {seed}: objects are left");
            check_objects(&program, objects.path());
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn r16_a_coordinator_that_is_stopped_again_and_again_is_resumed_and_loses_nothing() {
    let mut resumes = 0;
    for seed in 0..60 {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("journal");
        let objects = tempfile::tempdir().expect("a folder");
        let program = model(seed, objects.path());
        let mut random = SmallRng::seed_from_u64(seed);
        let durability = match seed % 2 {
            0 => Durability::Process,
            _ => Durability::Machine,
        };
        let (mut setup, _store) = model_setup(seed, 0.2, None, objects.path());
        let result = loop {
            let is_first = !path.exists();
            let journal = match is_first {
                true => FileJournal::create(&path, durability),
                false => FileJournal::open(&path, durability),
            };
            setup.journal = Some(Arc::new(journal.expect("a journal")));
            let started = match is_first {
                true => Coordinator::start(setup.clone(), model_root(&program)).await,
                false => Coordinator::resume(setup.clone()).await,
            };
            let coordinator = started.expect("a coordinator");
            let life = Duration::from_micros(random.random_range(0..3000));
            if let Ok(result) = tokio::time::timeout(life, coordinator.wait()).await {
                break result;
            }
            coordinator.interrupt().await;
            match coordinator.wait().await {
                Err(RunError::Interrupted { resumable: true, .. }) => resumes += 1,
                ended => break ended, // It was quicker than the interruption.
            }
            setup.journal = None;
            drop(coordinator);
            until_unlocked(&path).await;
        };
        assert_eq!(number(result), program.expected(program.root()), "seed {seed}");
        check_objects(&program, objects.path());
    }
    assert!(resumes > 10, "only {resumes} resumes: the test shows nothing");
}

/// A recording thread lets go of the journal a moment after the coordinator is dropped.
async fn until_unlocked(path: &std::path::Path) {
    while let Err(JournalError::InUse { .. }) = FileJournal::open(path, Durability::Process).map(drop) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test]
async fn an_ended_run_gives_its_result_again_without_any_invocation() {
    let journal: Arc<dyn Journal> = Arc::new(MemoryJournal::new());
    let store = Arc::new(MemoryStore::new());
    let place = store.clone();
    let count = Arc::new(AtomicUsize::new(0));
    let counter = count.clone();
    let platform = Scripted::new(4, move |invocation, link| {
        let place = place.clone();
        counter.fetch_add(1, Ordering::SeqCst);
        async move {
            // A result that is too long for a message.
            let key = format!("runs/{}/result", invocation.run);
            place.put(&key, Bytes::from_static(b"long")).await.expect("put");
            let result = Payload::Stored { key, length: 4 };
            link.send(request(&invocation, 1, Call::Exit(Ok(result)))).await;
            InvocationOutcome::Returned
        }
    });
    let mut setup = setup(platform, Some(journal));
    setup.store = store.clone();
    let coordinator = Coordinator::start(setup.clone(), root(vec![])).await.expect("start");
    assert_eq!(soon(coordinator.wait()).await.expect("a result"), "long");
    assert_eq!(store.usage().0, 0);
    for _ in 0..2 {
        let again = Coordinator::resume(setup.clone()).await.expect("resume");
        assert_eq!(soon(again.wait()).await.expect("a result"), "long");
    }
    assert_eq!(count.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_blocked_invocation_is_sent_away_and_another_one_goes_on() {
    let platform = Scripted::new(4, |invocation, link| async move {
        match (&invocation.start, invocation.task) {
            (
                Start::Resume {
                    answer: Answer::Results(results),
                    ..
                },
                TaskId::ROOT,
            ) => {
                assert_eq!(results.len(), 1);
                link.send(request(&invocation, 3, exit(b"done"))).await;
            }
            (Start::Begin(_), TaskId::ROOT) => {
                let spec = TaskSpec::new("child", Payload::Inline(Bytes::new()));
                link.send(request(&invocation, 1, Call::Spawn(vec![spec]))).await;
                let reply = link.send(request(&invocation, 2, Call::WaitAll(vec![TaskId(1)]))).await;
                assert_eq!(reply, Reply::Suspend);
            }
            _ => {
                tokio::time::sleep(Duration::from_millis(50)).await;
                link.send(request(&invocation, 1, exit(b""))).await;
            }
        }
        InvocationOutcome::Returned
    });
    let coordinator = Coordinator::start(setup(platform, None), root(vec![]))
        .await
        .expect("start");
    assert_eq!(soon(coordinator.wait()).await.expect("a result"), "done");
    let stats = coordinator.stats();
    assert_eq!(
        (stats.invocations, stats.suspended, stats.resumed, stats.tasks),
        (3, 1, 1, 2)
    );
}

#[tokio::test]
async fn dropping_the_coordinator_kills_what_is_running_and_fences_who_calls_later() {
    let platform = Scripted::new(4, |_, _| async { std::future::pending().await });
    let coordinator = Coordinator::start(setup(platform.clone(), None), root(vec![]))
        .await
        .expect("start");
    let link = coordinator.link();
    while platform.running.load(Ordering::SeqCst) == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    drop(coordinator);
    soon(async {
        while platform.running.load(Ordering::SeqCst) > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
    let continuation = Payload::Inline(Bytes::new());
    let late = Request {
        task: TaskId::ROOT,
        incarnation: 0,
        sequence: 1,
        deferred: Vec::new(),
        continuation,
        call: Call::Checkpoint,
    };
    assert_eq!(soon(link.send(late)).await, Reply::Fenced);
}

#[tokio::test]
async fn cancelling_kills_the_tree_and_says_so() {
    let platform = Scripted::new(4, |_, _| async { std::future::pending().await });
    let coordinator = Coordinator::start(setup(platform.clone(), None), root(vec![]))
        .await
        .expect("start");
    let mut events = coordinator.events();
    coordinator.cancel();
    match soon(coordinator.wait()).await {
        Err(RunError::Failed(error)) => assert_eq!(error.kind, Failure::Cancelled),
        other => panic!("{other:?}"),
    }
    assert_eq!(platform.running.load(Ordering::SeqCst), 0);
    let mut last = None;
    while let Ok(event) = events.try_recv() {
        last = Some(event);
    }
    assert!(
        matches!(last, Some(RunEvent::InvocationEnded { .. } | RunEvent::Ended)),
        "{last:?}"
    );
}

#[tokio::test]
async fn a_platform_that_panics_is_a_crash_and_not_the_end_of_the_coordinator() {
    let platform = Scripted::new(4, |_, _| async { panic!("as it should") });
    let coordinator = Coordinator::start(setup(platform, None), root(vec![]))
        .await
        .expect("start");
    match soon(coordinator.wait()).await {
        Err(RunError::Failed(error)) => assert!(matches!(error.kind, Failure::Crashed { attempts: 4, .. })),
        other => panic!("{other:?}"),
    }
}

/// A journal on a disk that is full after so many batches.
struct FullDisk {
    left: AtomicUsize,
    immediate: bool,
}

#[async_trait]
impl Journal for FullDisk {
    async fn append(&self, _: Vec<Vec<u8>>) -> Result<(), JournalError> {
        let left = self
            .left
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        left.map(drop).map_err(|_| JournalError::Unavailable {
            place: "/state/runs/7/journal".to_string(),
            action: "append".to_string(),
            cause: "no space left on device".to_string(),
        })
    }

    async fn snapshot(&self, _: Vec<u8>) -> Result<(), JournalError> {
        Ok(())
    }

    async fn load(&self) -> Result<(Option<Vec<u8>>, Vec<Vec<u8>>), JournalError> {
        Ok((None, vec![]))
    }

    fn is_immediate(&self) -> bool {
        self.immediate
    }

    async fn sync(&self) -> Result<(), JournalError> {
        Ok(())
    }

    fn may_lose_its_end(&self) -> bool {
        false
    }

    fn longest_snapshot(&self) -> usize {
        usize::MAX
    }
}

#[tokio::test]
async fn what_cannot_be_recorded_does_not_happen_and_the_run_stops_with_advice() {
    for immediate in [false, true] {
        let acknowledged = Arc::new(AtomicU64::new(0));
        let counter = acknowledged.clone();
        let platform = Scripted::new(4, move |invocation, link| {
            let counter = counter.clone();
            async move {
                for sequence in 1.. {
                    match link.send(request(&invocation, sequence, Call::Checkpoint)).await {
                        Reply::Answer(_) => counter.fetch_add(1, Ordering::SeqCst),
                        _ => break,
                    };
                }
                InvocationOutcome::Returned
            }
        });
        let journal = FullDisk {
            left: AtomicUsize::new(11),
            immediate,
        };
        let setup = setup(platform.clone(), Some(Arc::new(journal)));
        let run = setup.run;
        let coordinator = Coordinator::start(setup, root(vec![])).await.expect("start");
        let message = soon(coordinator.wait()).await.expect_err("an error").to_string();
        let expected = format!(
            "run {run} stopped: journal /state/runs/7/journal: cannot append: no space left on device; \
             when the cause is gone, go on with it by `resume {run}`"
        );
        assert_eq!(message, expected);
        assert_eq!(
            acknowledged.load(Ordering::SeqCst),
            10,
            "one batch was the start, each other one a call"
        );
        soon(coordinator.shared.until_nothing_runs()).await;
    }
}

/// Is told numbers in order; then panics, or asks the run for more.
struct Nosy {
    shared: std::sync::OnceLock<Weak<Shared>>,
    told: Mutex<Vec<u64>>,
    is_over: AtomicUsize,
    panics: bool,
}

impl Nosy {
    fn new(panics: bool) -> Arc<Self> {
        Arc::new(Nosy {
            shared: std::sync::OnceLock::new(),
            told: Mutex::default(),
            is_over: AtomicUsize::new(0),
            panics,
        })
    }
}

impl Observer for Nosy {
    fn observe(&self, _: RunId, happened: &[crate::coordinator::state::Observation], _: &RunStats) {
        self.told
            .lock()
            .extend(happened.iter().map(|observation| observation.number));
        assert!(!self.panics, "as it should");
        if let Some(shared) = self.shared.get().and_then(Weak::upgrade) {
            let stats = shared.stats(&shared.core.lock());
            assert!(stats.tasks > 0);
            // What it does is told as well, later.
            shared.happened(Event::Ticked);
        }
    }

    fn over(&self, _: RunId, end: &RunEnd, _: &RunStats) {
        assert_eq!(*end, RunEnd::Ended);
        self.is_over.fetch_add(1, Ordering::SeqCst);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn r27_an_observer_that_panics_or_asks_the_run_for_more_harms_nobody() {
    let folder = tempfile::tempdir().expect("a folder");
    let slow = FileJournal::create(&folder.path().join("journal"), Durability::Machine).expect("a journal");
    let journals: [Option<Arc<dyn Journal>>; 3] = [None, Some(Arc::new(MemoryJournal::new())), Some(Arc::new(slow))];
    for journal in journals {
        let platform = Scripted::new(4, |invocation, link| async move {
            for sequence in 1..=50 {
                assert!(matches!(
                    link.send(request(&invocation, sequence, Call::Checkpoint)).await,
                    Reply::Answer(_)
                ));
            }
            link.send(request(&invocation, 51, exit(b"done"))).await;
            InvocationOutcome::Returned
        });
        let (panicking, asking) = (Nosy::new(true), Nosy::new(false));
        let mut setup = setup(platform, journal);
        setup.observers = vec![panicking.clone(), asking.clone()];
        let coordinator = Coordinator::start(setup, root(vec![])).await.expect("start");
        asking.shared.set(coordinator.shared.me.clone()).expect("once");
        assert_eq!(soon(coordinator.wait()).await.expect("a result"), "done");
        assert_eq!(
            asking.is_over.load(Ordering::SeqCst),
            1,
            "it was told before the result was given"
        );
        assert_eq!(panicking.is_over.load(Ordering::SeqCst), 0);
        let told = asking.told.lock().clone();
        assert!(
            told.len() > 50 && told.iter().copied().eq(1..=told.len() as u64),
            "{told:?}"
        );
    }
}

#[tokio::test]
async fn r28_a_run_whose_state_cannot_be_stops_and_says_so_and_records_nothing_of_it() {
    let journal = MemoryJournal::new();
    let snapshot = crate::coordinator::state::tests::impossible_snapshot();
    journal.snapshot(snapshot.clone()).await.expect("snapshot");
    let platform = Scripted::new(1, |_, _| async { panic!("nothing is started") });
    match Coordinator::resume(setup(platform, Some(Arc::new(journal.clone())))).await {
        Err(error @ RunError::Broken { .. }) => {
            let message = error.to_string();
            assert!(
                message.contains("task 99 is to be started, and is not there") && message.contains("resume"),
                "{message}"
            );
        }
        _ => panic!("it goes on"),
    }
    assert_eq!(journal.load().await.expect("load"), (Some(snapshot), vec![]));
}

/// A journal that takes nothing long.
struct Narrow(MemoryJournal);

const NARROW: usize = 2000;

#[async_trait]
impl Journal for Narrow {
    async fn append(&self, records: Vec<Vec<u8>>) -> Result<(), JournalError> {
        assert!(records.iter().all(|record| record.len() <= NARROW), "a long record");
        self.0.append(records).await
    }

    async fn snapshot(&self, snapshot: Vec<u8>) -> Result<(), JournalError> {
        assert!(snapshot.len() <= NARROW, "a long snapshot");
        self.0.snapshot(snapshot).await
    }

    async fn load(&self) -> Result<(Option<Vec<u8>>, Vec<Vec<u8>>), JournalError> {
        self.0.load().await
    }

    async fn sync(&self) -> Result<(), JournalError> {
        Ok(())
    }

    fn may_lose_its_end(&self) -> bool {
        false
    }

    fn longest_snapshot(&self) -> usize {
        NARROW
    }
}

#[tokio::test]
async fn r25_a_result_that_no_journal_takes_stays_in_the_store_until_the_run_is_removed() {
    const LONG: usize = 5000;
    let store = Arc::new(MemoryStore::new());
    let place = store.clone();
    let platform = Scripted::new(1, move |invocation, link| {
        let place = place.clone();
        async move {
            let key = format!("{}/result/0-x", invocation.run.objects());
            place.put(&key, vec![7; LONG].into()).await.expect("put");
            let value = Payload::Stored {
                key,
                length: LONG as u64,
            };
            link.send(request(&invocation, 1, Call::Exit(Ok(value)))).await;
            InvocationOutcome::Returned
        }
    });
    let mut setup = setup(platform, Some(Arc::new(Narrow(MemoryJournal::new()))));
    setup.store = store.clone();
    let coordinator = Coordinator::start(setup.clone(), root(vec![])).await.expect("start");
    assert_eq!(soon(coordinator.wait()).await.expect("a result"), vec![7; LONG]);
    drop(coordinator);
    for _ in 0..2 {
        let again = Coordinator::resume(setup.clone()).await.expect("resume");
        assert_eq!(soon(again.wait()).await.expect("a result"), vec![7; LONG]);
    }
    assert_eq!(store.usage(), (1, LONG as u64));
    let key = format!("{}/value-{:x}", setup.run.results(), setup.life);
    assert_eq!(store.get(&key).await.expect("it stays"), vec![7; LONG]);
}

#[tokio::test]
async fn another_build_goes_on_with_a_run_only_if_it_is_asked_to() {
    let journal = MemoryJournal::new();
    let platform = Scripted::new(1, |_, _| async { std::future::pending().await });
    let mut setup = setup(platform, Some(Arc::new(journal)));
    setup.program = "aa11 words".to_string();
    drop(Coordinator::start(setup.clone(), root(vec![])).await.expect("start"));
    setup.program = "bb22 words".to_string();
    match Coordinator::resume(setup.clone()).await {
        Err(error @ RunError::OtherProgram { .. }) => {
            let message = error.to_string();
            for part in ["build aa11 of `words`", "build bb22 of `words`", "--same-program"] {
                assert!(message.contains(part), "{message}");
            }
        }
        _ => panic!("another build goes on with it"),
    }
    setup.same_program = true;
    drop(Coordinator::resume(setup.clone()).await.expect("it was asked to"));
    // From now on the run is this build's.
    setup.same_program = false;
    drop(Coordinator::resume(setup.clone()).await.expect("the same build"));
    setup.program = String::new();
    drop(Coordinator::resume(setup.clone()).await.expect("nobody asks"));
    // Who has no build of its own does not take it over.
    setup.program = "aa11 words".to_string();
    assert!(matches!(
        Coordinator::resume(setup).await,
        Err(RunError::OtherProgram { .. })
    ));
}

#[tokio::test]
async fn nothing_to_resume_is_said_by_name() {
    let platform = Scripted::new(1, |_, _| async { InvocationOutcome::Returned });
    for journal in [None, Some(Arc::new(MemoryJournal::new()) as Arc<dyn Journal>)] {
        let setup = setup(platform.clone(), journal);
        let run = setup.run;
        match Coordinator::resume(setup).await {
            Err(RunError::Unknown { run: named }) => assert_eq!(named, run),
            _ => panic!("resumed nothing"),
        }
    }
}

#[tokio::test]
async fn a_damaged_journal_is_an_error_that_says_so() {
    let journal = MemoryJournal::new();
    journal.append(vec![vec![4, 255, 255, 255]]).await.expect("append");
    let platform = Scripted::new(1, |_, _| async { InvocationOutcome::Returned });
    match Coordinator::resume(setup(platform, Some(Arc::new(journal)))).await {
        Err(error @ RunError::Journal { .. }) => assert!(error.to_string().contains("damaged"), "{error}"),
        _ => panic!("resumed nonsense"),
    }
}

/// Not an assertion on time (tests share their machine), but the number is worth seeing: `cargo nextest run --no-capture`.
#[tokio::test]
async fn many_checkpoints_are_answered_on_the_callers_own_thread() {
    const CALLS: u64 = 100_000;
    let platform = Scripted::new(4, |invocation, link| async move {
        let started = Instant::now();
        for sequence in 1..=CALLS {
            let sent = link.send(request(&invocation, sequence, Call::Checkpoint));
            // Ready at once: nobody else had to do anything.
            assert_eq!(sent.now_or_never(), Some(Reply::Answer(Answer::Done)));
        }
        println!(
            "{:.2} us per checkpoint",
            started.elapsed().as_secs_f64() * 1e6 / CALLS as f64
        );
        link.send(request(&invocation, CALLS + 1, exit(b"done"))).await;
        InvocationOutcome::Returned
    });
    let coordinator = Coordinator::start(setup(platform, None), root(vec![]))
        .await
        .expect("start");
    assert_eq!(soon(coordinator.wait()).await.expect("a result"), "done");
    assert_eq!(coordinator.stats().checkpoints, CALLS + 1);
}
