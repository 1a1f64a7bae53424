//! A store that fails as a test says, and a clock that jumps.

use super::*;
use crate::ids::{RunId, TaskId};
use crate::protocol::{Payload, Start};
use crate::store::Memory;
use futures::FutureExt;
use std::collections::VecDeque;

/// A clock on which every wait is over at once, and counts.
#[derive(Default)]
struct Jumping(Mutex<Duration>);

#[async_trait]
impl Clock for Jumping {
    fn now(&self) -> Timestamp {
        Timestamp::default().after(*self.0.lock())
    }

    async fn sleep(&self, duration: Duration) {
        *self.0.lock() += duration;
    }
}

/// What the store does about an attempt.
#[derive(Clone, Copy, PartialEq)]
enum Mood {
    /// It refuses, and another attempt may help.
    Refuses,
    /// It does what is asked, and then says that it has failed.
    DoesAndFails,
    /// It refuses for good.
    Breaks,
    /// It has something else than what was put there.
    Damages,
    /// It never answers this.
    Hangs,
}

#[derive(Debug, Default)]
struct Moody {
    inner: Memory,
    /// One for each attempt; then it does what is asked.
    moods: Mutex<VecDeque<Mood>>,
    /// What it says when it is only asked whether it is there.
    is_silent: bool,
    attempts: Mutex<u32>,
}

impl fmt::Debug for Mood {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a mood")
    }
}

fn unavailable(retryable: bool) -> StoreError {
    StoreError::Unavailable {
        store: "moody:".to_string(),
        action: "do it".to_string(),
        cause: "not now".to_string(),
        retryable,
    }
}

impl Moody {
    fn new(moods: impl IntoIterator<Item = Mood>) -> Self {
        Moody {
            moods: Mutex::new(moods.into_iter().collect()),
            ..Moody::default()
        }
    }

    async fn attempt<T: Send>(
        &self,
        done: impl Future<Output = Result<T, StoreError>> + Send,
    ) -> Result<T, StoreError> {
        *self.attempts.lock() += 1;
        let mood = self.moods.lock().pop_front();
        match mood {
            None => done.await,
            Some(Mood::Refuses) => Err(unavailable(true)),
            Some(Mood::Breaks) => Err(unavailable(false)),
            Some(Mood::Damages) => Err(StoreError::Damaged {
                store: "moody:".to_string(),
                key: "runs/x/y".to_string(),
                cause: "its block 0 does not fit its checksum".to_string(),
            }),
            Some(Mood::Hangs) => pending().await,
            Some(Mood::DoesAndFails) => {
                done.await?;
                Err(unavailable(true))
            }
        }
    }
}

#[async_trait]
impl Store for Moody {
    async fn put(&self, key: &str, bytes: Bytes) -> Result<(), StoreError> {
        self.attempt(self.inner.put(key, bytes)).await
    }

    async fn get(&self, key: &str) -> Result<Bytes, StoreError> {
        if !key.ends_with("/nothing") {
            return self.attempt(self.inner.get(key)).await;
        }
        match self.is_silent {
            true => pending().await,
            false => self.inner.get(key).await,
        }
    }

    async fn get_ranges(&self, key: &str, ranges: &[Range<u64>]) -> Result<Vec<Bytes>, StoreError> {
        self.attempt(self.inner.get_ranges(key, ranges)).await
    }

    async fn delete(&self, key: &str) -> Result<(), StoreError> {
        self.attempt(self.inner.delete(key)).await
    }

    async fn delete_prefix(&self, prefix: &str) -> Result<(), StoreError> {
        self.attempt(self.inner.delete_prefix(prefix)).await
    }

    fn is_shared(&self) -> bool {
        false
    }

    fn url(&self) -> String {
        "moody:secret@".to_string()
    }
}

fn invocation(time_limit: Option<Duration>) -> Invocation {
    Invocation {
        run: RunId::generate(),
        task: TaskId(3),
        incarnation: 4,
        function: "f".to_string(),
        start: Start::Begin(Payload::Inline(Bytes::new())),
        last_sequence: 0,
        time_limit,
    }
}

/// What became of something that was asked of the store.
enum End<T> {
    Answered(Result<T, StoreError>),
    /// The worker is to leave, since the store is away, and whoever asked waits for ever.
    Left(String),
    /// The same, since somebody has to mend the store.
    Stopped(String),
}

struct Bench {
    store: Arc<Moody>,
    clock: Arc<Jumping>,
    patient: Arc<Patient>,
    left: Option<oneshot::Receiver<WorkerEnd>>,
}

impl Bench {
    fn new(store: Moody, time_limit: Option<Duration>) -> Self {
        let (store, clock) = (Arc::new(store), Arc::new(Jumping::default()));
        let (patient, left) = Patient::new(store.clone(), &invocation(time_limit), clock.clone());
        Bench {
            store,
            clock,
            patient,
            left: Some(left),
        }
    }

    fn ask<T>(&mut self, question: impl Future<Output = Result<T, StoreError>>) -> End<T> {
        match question.now_or_never() {
            Some(answer) => End::Answered(answer),
            None => match self.left.take().map(|mut left| left.try_recv()) {
                Some(Ok(WorkerEnd::StoreAway(cause))) => End::Left(cause),
                Some(Ok(WorkerEnd::NeedsRepair(cause))) => End::Stopped(cause),
                other => panic!("it waits, and the worker does not leave: {other:?}"),
            },
        }
    }

    fn put(&mut self, bytes: &'static [u8]) -> End<()> {
        let patient = self.patient.clone();
        self.ask(async move { patient.put("runs/x/y", Bytes::from_static(bytes)).await })
    }

    fn elapsed(&self) -> Duration {
        *self.clock.0.lock()
    }
}

#[test]
fn a_store_that_is_away_for_less_than_the_patience_is_waited_for() {
    let mut bench = Bench::new(Moody::new([Mood::Refuses; 12]), None);
    assert!(matches!(bench.put(b"x"), End::Answered(Ok(()))));
    assert_eq!(*bench.store.attempts.lock(), 13);
    assert!(bench.elapsed() > Duration::from_secs(5), "{:?}", bench.elapsed());
}

#[test]
fn after_the_patience_the_worker_leaves_and_says_why() {
    let mut bench = Bench::new(Moody::new([Mood::Refuses; 1000]), None);
    let End::Left(cause) = bench.put(b"x") else {
        panic!("it does not leave")
    };
    assert!(cause.contains("not now"), "{cause}");
    let elapsed = bench.elapsed();
    assert!(
        elapsed <= PATIENCE && elapsed + LONGEST_PAUSE >= PATIENCE,
        "{elapsed:?}"
    );
}

#[test]
fn a_worker_leaves_before_its_time_limit_and_not_much_before() {
    let limit = Duration::from_secs(10);
    let mut bench = Bench::new(Moody::new([Mood::Refuses; 1000]), Some(limit));
    assert!(matches!(bench.put(b"x"), End::Left(_)));
    let elapsed = bench.elapsed();
    assert!(elapsed < limit && elapsed > limit / 2, "{elapsed:?}");
}

#[test]
fn a_store_that_somebody_has_to_mend_stops_the_worker_at_once() {
    for mood in [Mood::Breaks, Mood::Damages] {
        let mut bench = Bench::new(Moody::new([Mood::Refuses, mood]), None);
        let End::Stopped(cause) = bench.put(b"x") else {
            panic!("it goes on")
        };
        assert!(cause.contains("not now") || cause.contains("its checksum"), "{cause}");
        assert!(bench.elapsed() < LONGEST_PAUSE, "{:?}", bench.elapsed());
    }
}

#[test]
fn what_is_the_programs_own_mistake_is_told_to_the_program_at_once() {
    let mut bench = Bench::new(Moody::new([]), None);
    let patient = bench.patient.clone();
    let missing = bench.ask(async move { patient.get("runs/x/missing").await });
    assert!(matches!(missing, End::Answered(Err(StoreError::NotFound { .. }))));
    let patient = bench.patient.clone();
    let malformed = bench.ask(async move { patient.put("../x", Bytes::new()).await });
    assert!(matches!(malformed, End::Answered(Err(StoreError::Invalid(_)))));
}

#[test]
fn an_object_that_was_put_by_an_attempt_that_failed_is_there() {
    let mut bench = Bench::new(Moody::new([Mood::DoesAndFails]), None);
    assert!(matches!(bench.put(b"x"), End::Answered(Ok(()))));
}

#[test]
fn an_object_of_somebody_else_is_still_not_replaced_and_not_taken_for_ones_own() {
    for moods in [vec![], vec![Mood::Refuses]] {
        let mut bench = Bench::new(Moody::new(moods), None);
        let other = bench.store.inner.put("runs/x/y", Bytes::from_static(b"other"));
        other.now_or_never().expect("memory does not wait").expect("put");
        let end = bench.put(b"mine");
        assert!(matches!(end, End::Answered(Err(StoreError::AlreadyExists { .. }))));
    }
}

#[test]
fn a_store_that_keeps_silent_makes_the_worker_leave_before_its_time_limit() {
    let store = Moody {
        is_silent: true,
        ..Moody::new([Mood::Hangs])
    };
    let limit = Duration::from_secs(10);
    let mut bench = Bench::new(store, Some(limit));
    let End::Left(cause) = bench.put(b"x") else {
        panic!("it does not leave")
    };
    assert!(cause.contains("silent") && !cause.contains("secret"), "{cause}");
    assert!(bench.elapsed() < limit, "{:?}", bench.elapsed());
}

#[test]
fn r09_a_store_that_is_only_slow_does_not_hide_that_the_time_is_too_short() {
    let limit = Duration::from_secs(10);
    let bench = Bench::new(Moody::new([Mood::Hangs]), Some(limit));
    let put = bench.patient.put("runs/x/y", Bytes::from_static(b"x"));
    assert!(put.now_or_never().is_none());
    let mut left = bench.left;
    assert!(left.take().is_some_and(|mut left| left.try_recv().is_err()), "it left");
}

#[test]
fn whoever_keeps_the_store_beyond_the_invocation_gets_the_error() {
    let mut bench = Bench::new(Moody::new([Mood::Refuses; 1000]), None);
    bench.left = None;
    assert!(matches!(bench.put(b"x"), End::Answered(Err(cause)) if cause.is_retryable()));
}
