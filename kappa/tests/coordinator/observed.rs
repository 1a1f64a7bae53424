//! Those who watch a run are told everything: its record, an observer, traces.

use crate::programs::*;
use kappa::Kappa;
use kappa::ids::{RunId, TaskId};
use kappa::record::{History, StateFolder};
use kappa::runtime::{Observation, Observer, RunEnd, RunEvent, RunStats};
use std::io;
use std::sync::{Arc, Mutex};

#[tokio::test]
async fn the_record_of_a_run_adds_up_to_what_its_coordinator_counted() {
    let folder = tempfile::tempdir().expect("a folder");
    let kappa = kappa_in(folder.path()).await;
    let handle = kappa.start(long(3, 40)).await.expect("a run");
    let value: u64 = handle.wait().await.expect("a result");
    assert_eq!(value, expected_long(3, 40));
    // It is complete as soon as the result is there.
    let state = StateFolder::open(folder.path()).expect("a state directory");
    let history = History::read(&state, handle.id()).expect("a record");
    let (sums, stats) = (history.sums(), handle.stats());
    assert_eq!((sums.tasks, sums.ended), (stats.tasks, stats.tasks));
    assert_eq!(
        (sums.invocations, sums.resumed, sums.suspended),
        (stats.invocations, stats.resumed, stats.suspended)
    );
    assert_eq!(
        (sums.checkpoints, sums.bytes),
        (stats.checkpoints, stats.checkpoint_bytes)
    );
    assert_eq!(history.about.stats, stats);
    assert_eq!(
        (sums.computing, sums.waiting),
        (history.about.sums.computing, history.about.sums.waiting)
    );
    assert!(history.tasks.values().all(|task| task.ended.is_some()));
    assert_eq!(history.tasks[&TaskId(1)].parent, Some(TaskId::ROOT));
    assert_eq!(history.damaged, 0);
}

#[tokio::test]
async fn r17_the_record_of_a_task_with_a_hundred_thousand_checkpoints_stays_short() {
    let folder = tempfile::tempdir().expect("a folder");
    let kappa = kappa_in(folder.path()).await;
    let mut lengths = Vec::new();
    for checkpoints in [1000, 100_000] {
        let handle = kappa.start(counts(checkpoints)).await.expect("a run");
        assert_eq!(handle.wait().await.expect("a result"), checkpoints);
        let state = StateFolder::open(folder.path()).expect("a state directory");
        let history = History::read(&state, handle.id()).expect("a record");
        assert_eq!(history.sums().checkpoints, checkpoints + 1, "the exit is one too");
        let events = state.of(handle.id()).join("events");
        lengths.push(std::fs::metadata(events).expect("events").len());
    }
    assert!(lengths[1] < 2 * lengths[0], "{lengths:?}");
}

/// Keeps what it is told.
#[derive(Default)]
struct Told {
    numbers: Mutex<Vec<u64>>,
    failures: Mutex<Vec<String>>,
    end: Mutex<Vec<RunEnd>>,
}

impl Observer for Told {
    fn observe(&self, _run: RunId, happened: &[Observation], _stats: &RunStats) {
        for observation in happened {
            self.numbers.lock().expect("numbers").push(observation.number);
            if let RunEvent::TaskEnded { error: Some(error), .. } = &observation.event {
                self.failures.lock().expect("failures").push(error.to_string());
            }
        }
    }

    fn over(&self, _run: RunId, end: &RunEnd, _stats: &RunStats) {
        self.end.lock().expect("ends").push(end.clone());
    }
}

#[tokio::test]
async fn an_observer_is_told_everything_once_and_in_order() {
    let told = Arc::new(Told::default());
    let kappa = Kappa::builder().observer(told.clone()).build().await.expect("a place");
    let value = kappa.run(handles_a_failure()).await.expect("a result");
    assert!(value.contains("no such file: x"), "{value}");
    let numbers = told.numbers.lock().expect("numbers").clone();
    assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>());
    let failures = told.failures.lock().expect("failures").clone();
    assert!(
        matches!(failures.as_slice(), [one] if one.contains("no such file: x")),
        "{failures:?}"
    );
    assert_eq!(*told.end.lock().expect("ends"), [RunEnd::Ended]);
    let failed = kappa.run(fails("no".to_string())).await;
    assert!(failed.is_err());
    assert!(matches!(told.end.lock().expect("ends").last(), Some(RunEnd::Failed(reason)) if reason.contains("no")));
}

/// What a subscriber writes.
#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl io::Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0
            .lock()
            .map_err(|_| io::ErrorKind::Other)?
            .extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_run_can_be_followed_by_its_spans() {
    use tracing_subscriber::fmt::format::FmtSpan;
    let written = Written::default();
    let writer = written.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_span_events(FmtSpan::CLOSE)
        .with_env_filter("kappa=info")
        .with_writer(move || writer.clone())
        .finish();
    // Other tests of this process may write into it too: what counts is this run.
    tracing::subscriber::set_global_default(subscriber).expect("the only subscriber");
    let kappa = Kappa::builder().build().await.expect("a place");
    let handle = kappa.start(sum_of_squares(3)).await.expect("a run");
    assert_eq!(handle.wait().await.expect("a result"), 5);
    let run = handle.id().to_string();
    drop((handle, kappa));
    let text = String::from_utf8(written.0.lock().expect("text").clone()).expect("text");
    let mine: Vec<&str> = text.lines().filter(|line| line.contains(&run)).collect();
    let has = |parts: &[&str]| mine.iter().any(|line| parts.iter().all(|part| line.contains(part)));
    assert!(
        has(&[
            "run{run=",
            "task{task=0 ",
            "sum_of_squares",
            "invocation{task=0 incarnation=0"
        ]),
        "{text}"
    );
    assert!(
        has(&[
            "task{task=0 ",
            ":task{task=2 ",
            "square",
            "invocation{task=2 incarnation=0"
        ]),
        "{text}"
    );
}
