//! The writer, as it meets full disks, torn lines, other processes and a million events.

use super::*;
use crate::record::folder::Lock;
use crate::record::history::lines;
use crate::record::history::tests::{about, spawned};
use crate::record::place::InFolder;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use tempfile::TempDir;

fn place(folder: &TempDir) -> Box<dyn Place> {
    Box::new(InFolder::new(folder.path()))
}

fn observation(number: u64, event: RunEvent) -> Observation {
    let at = Timestamp(number);
    Observation { number, at, event }
}

fn checkpoint(task: u64, sequence: u64) -> RunEvent {
    RunEvent::Checkpoint {
        task: TaskId(task),
        sequence,
        bytes: 10,
        call: "checkpoint".into(),
    }
}

fn started(task: u64) -> RunEvent {
    RunEvent::InvocationStarted {
        task: TaskId(task),
        incarnation: 0,
    }
}

fn end(recorder: &Recorder, run: RunId, end: &RunEnd) {
    recorder.over(run, end, &RunStats::default());
    futures::executor::block_on(recorder.finished());
}

fn read(folder: &Path) -> (Vec<Line>, u64) {
    let mut read = Vec::new();
    let damaged = lines(folder, |line| read.push(line)).unwrap();
    (read, damaged)
}

#[test]
fn what_happened_is_there_in_order_when_the_run_is_over() {
    let folder = tempfile::tempdir().unwrap();
    let run = RunId::generate();
    let recorder = Recorder::start(place(&folder), about(run)).unwrap().unwrap();
    for number in 1..=1000 {
        let observed = [observation(number, spawned(number, None, Some("a name")))];
        recorder.observe(run, &observed, &RunStats::default());
    }
    end(&recorder, run, &RunEnd::Failed("no".to_string()));
    let (lines, damaged) = read(folder.path());
    let numbers: Vec<_> = lines.iter().map(|line| line.n).collect();
    assert_eq!((numbers, damaged), ((1..=1000).collect(), 0));
    assert_eq!(lines[7].event, spawned(8, None, Some("a name")));
    let outcome = About::read(folder.path()).unwrap().outcome;
    assert_eq!(outcome, Some(Outcome::Failed("no".to_string())));
    assert!(
        Recorder::resume(place(&folder), about(run)).unwrap().is_none(),
        "nothing can follow"
    );
}

#[test]
fn a_resumed_run_is_told_again_what_was_not_written_and_nothing_twice() {
    let folder = tempfile::tempdir().unwrap();
    let run = RunId::generate();
    let recorder = Recorder::start(place(&folder), about(run)).unwrap().unwrap();
    let happened: Vec<_> = (1..=10)
        .map(|number| observation(number, spawned(number, None, None)))
        .collect();
    recorder.observe(run, &happened[..6], &RunStats::default());
    end(&recorder, run, &RunEnd::Interrupted("it was killed".to_string()));
    // As a killed writer leaves it: without the last line, in the middle of another one.
    let events = folder.path().join(EVENTS);
    let text = fs::read_to_string(&events).unwrap();
    let kept: Vec<&str> = text.lines().take(4).collect();
    fs::write(&events, format!("{}\n{{\"n\":5,\"at\":", kept.join("\n"))).unwrap();

    let recorder = Recorder::resume(place(&folder), about(run)).unwrap().unwrap();
    recorder.observe_again(run, &happened);
    recorder.observe(run, &[observation(11, RunEvent::Recovered)], &RunStats::default());
    end(&recorder, run, &RunEnd::Ended);
    let (lines, damaged) = read(folder.path());
    let numbers: Vec<_> = lines.iter().map(|line| line.n).collect();
    assert_eq!((numbers, damaged), ((1..=11).collect(), 0));
}

#[test]
fn a_full_disk_stops_the_record_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    symlink("/dev/full", folder.path().join(EVENTS)).unwrap();
    let run = RunId::generate();
    let recorder = Recorder::start(place(&folder), about(run)).unwrap().unwrap();
    recorder.observe(run, &[observation(1, started(0))], &RunStats::default());
    let deadline = Instant::now() + Duration::from_secs(10);
    while recorder.trouble().is_none() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(5));
    }
    let trouble = recorder.trouble().unwrap_or_default();
    assert!(trouble.contains("No space left on device"), "{trouble}");
    assert!(Lock::take(folder.path()).is_err(), "the run is still being worked on");
    recorder.observe(run, &[observation(2, started(1))], &RunStats::default());
    assert!(
        recorder.shared.pending.lock().happened.is_empty(),
        "nothing is kept that is never written"
    );
    end(&recorder, run, &RunEnd::Ended);
    assert!(Lock::take(folder.path()).is_ok());
}

#[test]
fn a_folder_that_is_not_there_means_no_record() {
    let folder = tempfile::tempdir().unwrap();
    let nowhere = folder.path().join("nowhere");
    assert!(Recorder::start(Box::new(InFolder::new(&nowhere)), about(RunId::generate())).is_err());
    assert!(!nowhere.exists());
}

#[test]
fn a_record_that_has_grown_too_long_takes_landmarks_only_and_goes_on_counting() {
    let folder = tempfile::tempdir().unwrap();
    let run = RunId::generate();
    let mut writer = Writer::open(place(&folder), about(run), Thinning::default(), 0).unwrap();
    writer.most_bytes = 10_000;
    let mut happened = Vec::new();
    for task in 0..1000 {
        happened.push(observation(3 * task + 1, started(task)));
        happened.push(observation(3 * task + 2, checkpoint(task, 1)));
        happened.push(observation(
            3 * task + 3,
            RunEvent::InvocationEnded {
                task: TaskId(task),
                incarnation: 0,
                outcome: crate::protocol::InvocationOutcome::Returned,
                spent: Default::default(),
            },
        ));
    }
    happened.push(observation(3001, RunEvent::Ended));
    writer.write(Vec::new(), happened, Some(RunEnd::Ended)).unwrap();
    let length = fs::metadata(folder.path().join(EVENTS)).unwrap().len();
    assert!((10_000..10_400).contains(&length), "{length}");
    let (lines, _) = read(folder.path());
    assert_eq!(lines.last().map(|line| &line.event), Some(&RunEvent::Ended));
    let about = About::read(folder.path()).unwrap();
    assert_eq!(about.sums.invocations, 1000);
    assert!(
        about
            .trouble
            .is_some_and(|trouble| trouble.contains("no further details"))
    );
}

#[test]
fn telling_the_record_costs_the_coordinator_next_to_nothing() {
    const EVENTS_TOLD: u64 = 1_000_000;
    let folder = tempfile::tempdir().unwrap();
    let run = RunId::generate();
    let recorder = Recorder::start(place(&folder), about(run)).unwrap().unwrap();
    recorder.observe(run, &[observation(1, started(0))], &RunStats::default());
    let begin = Instant::now();
    for number in 0..EVENTS_TOLD {
        let observed = [observation(number + 2, checkpoint(0, number + 1))];
        recorder.observe(run, &observed, &RunStats::default());
    }
    let each = begin.elapsed().as_nanos() as u64 / EVENTS_TOLD;
    end(&recorder, run, &RunEnd::Ended);
    let length = fs::metadata(folder.path().join(EVENTS)).unwrap().len();
    eprintln!("{each} ns for each event; {length} bytes for a million checkpoints");
    // Measured: 0.1 to 0.3 µs. The limit is for a machine that is busy with other things.
    assert!(each < 5000, "{each} ns");
    assert!(length < 40_000, "{length} bytes");
}

/// A folder on a disk that hangs until it is let go.
struct Hanging {
    inner: InFolder,
    go: Arc<(Mutex<bool>, Condvar)>,
}

impl Place for Hanging {
    fn name(&self) -> String {
        self.inner.name()
    }

    fn about(&self) -> io::Result<About> {
        self.inner.about()
    }

    fn mend(&mut self) -> io::Result<u64> {
        self.inner.mend()
    }

    fn lines(&self, take: &mut dyn FnMut(Line)) -> io::Result<u64> {
        self.inner.lines(take)
    }

    fn open(&mut self) -> io::Result<u64> {
        self.inner.open()
    }

    fn write_about(&mut self, about: &About) -> io::Result<()> {
        self.inner.write_about(about)
    }

    fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        let (goes, told) = &*self.go;
        let mut goes = goes.lock();
        while !*goes {
            told.wait(&mut goes);
        }
        self.inner.append(lines)
    }

    fn is_cancellation_wanted(&self) -> bool {
        false
    }

    fn forget_cancellation(&self) {}

    fn flush(&self) -> Duration {
        Duration::from_millis(1)
    }

    fn most_bytes(&self) -> u64 {
        self.inner.most_bytes()
    }
}

#[test]
fn r27_a_disk_that_hangs_stops_the_record_before_it_takes_all_memory() {
    let folder = tempfile::tempdir().unwrap();
    let run = RunId::generate();
    let go = Arc::new((Mutex::new(false), Condvar::new()));
    let inner = InFolder::new(folder.path());
    let place = Box::new(Hanging { inner, go: go.clone() });
    let recorder = Recorder::start(place, about(run)).unwrap().unwrap();
    let mut number = 0;
    let mut some = || {
        let observed = (0..10_000).map(|_| {
            number += 1;
            observation(number, started(number))
        });
        observed.collect::<Vec<_>>()
    };
    for _ in 0..=2 * TOO_MANY / 10_000 {
        recorder.observe(run, &some(), &RunStats::default());
        assert!(recorder.shared.pending.lock().happened.len() <= TOO_MANY);
    }
    let trouble = recorder.trouble().expect("it has stopped");
    assert!(trouble.contains("the disk does not take them"), "{trouble}");
    *go.0.lock() = true;
    go.1.notify_all();
    end(&recorder, run, &RunEnd::Ended);
    let (lines, _) = read(folder.path());
    let numbers: Vec<_> = lines.iter().map(|line| line.n).collect();
    assert!(numbers.iter().copied().eq(1..=numbers.len() as u64), "there is a gap");
}
