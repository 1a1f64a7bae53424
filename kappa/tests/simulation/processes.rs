//! The same programs in real processes: coordinator, workers and the Redis servers that keep the state are killed and stopped by signals, again and again.
//! `KAPPA_SEEDS=n` runs more of them.

use crate::servers::Servers;
use crate::world::{self, verdict};
use kappa::Kappa;
use kappa::TaskError;
use kappa::platform::process::{Process, ProcessOptions};
use kappa::runtime::{RunError, Tuning, Undecoded};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

const STATE: &str = "KAPPA_TEST_SIMULATION_STATE";
const SEED: &str = "KAPPA_TEST_SIMULATION_SEED";

/// Not a test: worker processes are this test binary, told to run this function only.
#[test]
fn serving() {
    kappa::serve_if_worker();
}

/// Not a test either: the coordinator's process. Starts the seed's program, or resumes it, and prints its outcome.
#[test]
#[ignore = "a helper of the next test"]
fn coordinating() {
    let (Ok(state), Ok(seed)) = (std::env::var(STATE), std::env::var(SEED)) else {
        return;
    };
    let seed = seed.parse().expect("a number");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let outcome = runtime.block_on(coordinate(&state, seed));
    let bytes = postcard::to_stdvec(&outcome).expect("plain data");
    let text: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    println!("\noutcome {text}");
}

async fn coordinate(state: &str, seed: u64) -> Result<Vec<u8>, TaskError> {
    let store = match state.starts_with("redis://") {
        true => kappa::store::open(state),
        false => kappa::store::open(&format!("file:{state}/store")),
    };
    let store = store.expect("a store");
    let options = ProcessOptions {
        workers: 3,
        arguments: ["--exact", "processes::serving", "--nocapture"]
            .map(String::from)
            .to_vec(),
        ..ProcessOptions::default()
    };
    let platform = Process::new(options, &store).expect("a platform");
    let tuning = Tuning {
        grace: Duration::from_millis(5),
        crash_limit: 100,
        time_out_limit: 100,
        kill_limit: 100,
        ..Tuning::default()
    };
    let kappa = Kappa::builder()
        .platform(Arc::new(platform))
        .store(store)
        .state(state)
        .time_limit(Duration::from_secs(2))
        .tuning(tuning)
        .build()
        .await
        .expect("a place to run things");
    let mut handle = None;
    for run in kappa.runs().expect("the runs") {
        match kappa.resume_erased(run).await {
            Ok(resumed) => handle = Some(resumed),
            // Killed before its first event was recorded: there is no such run.
            Err(RunError::Unknown { .. }) => kappa.remove(run).await.expect("removed"),
            Err(error) => panic!("{error}"),
        }
    }
    let handle = match handle {
        Some(handle) => handle,
        None => {
            let (function, arguments) = world::call(&world::for_processes(seed));
            let started = kappa.start_erased::<Undecoded>(function, arguments.into()).await;
            started.expect("a run")
        }
    };
    println!("\nbegun");
    match handle.wait_bytes().await {
        Ok(bytes) => Ok(bytes.to_vec()),
        Err(RunError::Failed(error)) => Err(error),
        Err(error) => panic!("{error}"),
    }
}

/// The coordinator's process, and what it says.
struct Coordinator {
    child: Child,
    lines: Receiver<String>,
}

impl Coordinator {
    fn start(state: &str, seed: u64) -> Self {
        let mut child = Command::new(std::env::current_exe().expect("this test"))
            .args(["--exact", "processes::coordinating", "--ignored", "--nocapture"])
            .env(STATE, state)
            .env(SEED, seed.to_string())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a child");
        let output = BufReader::new(child.stdout.take().expect("its output"));
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Coordinator { child, lines }
    }

    fn until_begun(&self) {
        loop {
            match self.lines.recv_timeout(Duration::from_secs(60)) {
                Ok(line) if line == "begun" => return,
                Ok(_) => {}
                Err(trouble) => panic!("the coordinator does not begin: {trouble:?}"),
            }
        }
    }

    fn pid(&self) -> i32 {
        self.child.id() as i32
    }

    /// Its worker processes.
    fn workers(&self) -> Vec<i32> {
        let entries = std::fs::read_dir("/proc").expect("processes");
        let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok());
        let mut workers: Vec<_> = pids.filter(|pid| parent(*pid) == Some(self.pid())).collect();
        workers.sort_unstable();
        workers
    }

    fn kill(mut self) {
        self.child.kill().expect("killed");
        self.child.wait().expect("gone");
    }
}

fn status(pid: i32) -> Option<(char, i32)> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?.chars().next()?;
    Some((state, fields.next()?.parse().ok()?))
}

fn parent(pid: i32) -> Option<i32> {
    status(pid).map(|(_, parent)| parent)
}

/// When a process was started, in ticks since the machine was: another process with its number has another start.
fn started(pid: i32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()
}

/// The workers with their starts.
fn identified(workers: &[i32]) -> impl Iterator<Item = (i32, u64)> {
    workers.iter().filter_map(|pid| Some((*pid, started(*pid)?)))
}

/// One that is gone already needs no signal.
fn send(pid: i32, signal: Signal) {
    let _ = kill(Pid::from_raw(pid), signal);
}

#[derive(Debug, Default)]
struct Counts {
    coordinators_killed: u32,
    coordinators_stopped: u32,
    workers_killed: u32,
    workers_stopped: u32,
    servers_killed: u32,
    servers_stopped: u32,
}

/// Runs a seed's program to its end, whatever it takes; gives its outcome. Of two servers one is killed and started again, and the other one only stopped: what is
/// left must have everything.
fn torment(
    seed: u64,
    state: &str,
    mut servers: Option<&mut Servers>,
    counts: &mut Counts,
) -> Result<Vec<u8>, TaskError> {
    let mut random = SmallRng::seed_from_u64(seed);
    let mut seen = BTreeSet::new();
    let mut left = 14;
    let outcome = 'lives: loop {
        let coordinator = Coordinator::start(state, seed);
        if servers.is_some() {
            // Whoever has left its lease behind is watched for some seconds.
            coordinator.until_begun();
        }
        loop {
            let pause = match left {
                0 => Duration::from_secs(60),
                _ => Duration::from_millis(random.random_range(1..60)),
            };
            match coordinator.lines.recv_timeout(pause) {
                Ok(line) => {
                    if let Some(text) = line.strip_prefix("outcome ") {
                        seen.extend(identified(&coordinator.workers()));
                        break 'lives text.to_string();
                    }
                    continue;
                }
                Err(RecvTimeoutError::Timeout) if left > 0 => {}
                other => panic!("seed {seed}: the coordinator does not come to its end: {other:?}"),
            }
            left -= 1;
            let workers = coordinator.workers();
            seen.extend(identified(&workers));
            let worker = (!workers.is_empty()).then(|| workers[random.random_range(0..workers.len())]);
            let kinds = if servers.is_some() { 9 } else { 6 };
            match (random.random_range(0..kinds), worker) {
                (0, _) => {
                    counts.coordinators_killed += 1;
                    coordinator.kill();
                    continue 'lives;
                }
                (1, _) => {
                    counts.coordinators_stopped += 1;
                    send(coordinator.pid(), Signal::SIGSTOP);
                    std::thread::sleep(Duration::from_millis(random.random_range(1..300)));
                    send(coordinator.pid(), Signal::SIGCONT);
                }
                (2 | 3, Some(worker)) => {
                    counts.workers_killed += 1;
                    send(worker, Signal::SIGKILL);
                }
                (6 | 7, _) => {
                    let Some(server) = servers.as_mut().map(|servers| &mut servers.0[0]) else {
                        continue;
                    };
                    counts.servers_killed += 1;
                    server.kill();
                    std::thread::sleep(Duration::from_millis(random.random_range(1..500)));
                    server.restart();
                }
                (8, _) => {
                    let Some(server) = servers.as_ref().map(|servers| &servers.0[1]) else {
                        continue;
                    };
                    counts.servers_stopped += 1;
                    server.pause();
                    std::thread::sleep(Duration::from_millis(random.random_range(1..500)));
                    server.go_on();
                }
                (_, Some(worker)) => {
                    counts.workers_stopped += 1;
                    send(worker, Signal::SIGSTOP);
                    std::thread::sleep(Duration::from_millis(random.random_range(1..100)));
                    // Some are never woken: the time limit, or the coordinator's end, is theirs.
                    if random.random_bool(0.7) {
                        send(worker, Signal::SIGCONT);
                    }
                }
                (_, None) => {}
            }
        }
    };
    assert_all_end(&seen);
    let bytes: Vec<u8> = outcome
        .as_bytes()
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).expect("text"), 16).expect("hexadecimal"))
        .collect();
    postcard::from_bytes(&bytes).expect("an outcome")
}

/// No worker process outlives its coordinator.
fn assert_all_end(workers: &BTreeSet<(i32, u64)>) {
    let deadline = Instant::now() + Duration::from_secs(20);
    for (pid, start) in workers {
        while started(*pid) == Some(*start) && status(*pid).is_some_and(|(state, _)| state != 'Z') {
            assert!(Instant::now() < deadline, "worker process {pid} lives on");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

fn files(folder: &Path) -> usize {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return 0;
    };
    let paths = entries.filter_map(|entry| entry.ok().map(|entry| entry.path()));
    paths.map(|path| if path.is_dir() { files(&path) } else { 1 }).sum()
}

#[test]
fn programs_whose_processes_are_killed_and_stopped_have_the_models_result_and_leave_nothing() {
    let mut counts = Counts::default();
    let seeds = std::env::var("KAPPA_SEEDS").ok().and_then(|count| count.parse().ok());
    for seed in 0..seeds.unwrap_or(12) {
        let folder = tempfile::tempdir().expect("a folder");
        let state = folder.path().to_str().expect("text");
        let outcome = torment(seed, state, None, &mut counts).map(Into::into);
        assert_eq!(verdict(&world::for_processes(seed), &outcome), None, "seed {seed}");
        let left = files(&folder.path().join("store/runs"));
        assert_eq!(left, 0, "seed {seed}: objects are left");
    }
    println!("{counts:?}");
    assert!(
        counts.coordinators_killed > 5 && counts.workers_killed > 10,
        "{counts:?}"
    );
}

#[test]
fn so_have_those_whose_state_is_on_redis_servers_that_are_killed_and_stopped_as_well() {
    let mut counts = Counts::default();
    let seeds = std::env::var("KAPPA_SEEDS").ok().and_then(|count| count.parse().ok());
    for seed in 100..100 + seeds.unwrap_or(40) {
        let mut servers = Servers::start(2);
        let url = servers.url();
        let outcome = torment(seed, &url, Some(&mut servers), &mut counts).map(Into::into);
        assert_eq!(verdict(&world::for_processes(seed), &outcome), None, "seed {seed}");
        let mut left = servers.0[1].values();
        left.retain(|key| key.starts_with("kappa:o:runs/"));
        assert_eq!(left, Vec::<String>::new(), "seed {seed}: objects are left");
    }
    println!("{counts:?}");
    assert!(
        counts.coordinators_killed > 2 && counts.workers_killed > 4 && counts.servers_killed > 4,
        "{counts:?}"
    );
}
