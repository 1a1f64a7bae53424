//! Whole runs whose state is in Redis, on worker processes, while servers, workers and coordinator are killed.

use crate::servers::{Servers, wait_until};
use kappa::ids::RunId;
use kappa::platform::Platform;
use kappa::platform::chaos::{Chaos, Spec};
use kappa::platform::process::{Process, ProcessOptions};
use kappa::prelude::*;
use kappa::runtime::Condition;
use kappa::store::{RedisStore, Store};
use kappa::{Kappa, RunError};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Not a test: worker processes are this test binary, told to run this function only.
#[test]
fn serving() {
    kappa::serve_if_worker();
}

#[kappa::task]
async fn produce(cx: &mut Context, queue: Queue<u64>, from: u64, to: u64) -> Result<u64> {
    // Too long for a message: the continuation goes to the store.
    let ballast = vec![from as u8; 100_000];
    for i in from..to {
        tokio::time::sleep(Duration::from_millis(3)).await;
        cx.enqueue(&queue, i).await;
    }
    anyhow_if(
        ballast.iter().any(|byte| *byte != from as u8),
        "the ballast has changed",
    )?;
    Ok(to - from)
}

#[kappa::task]
async fn consume(cx: &mut Context, queue: Queue<u64>) -> Result<Vec<u64>> {
    let mut items = Vec::new();
    while let Some(item) = cx.dequeue(&queue).await {
        items.push(item);
    }
    Ok(items)
}

fn anyhow_if(is_wrong: bool, message: &str) -> Result<()> {
    match is_wrong {
        true => Err(Error::msg(message.to_string())),
        false => Ok(()),
    }
}

/// Passes numbers through a queue, again and again until the file is there; fails if one is ever lost or doubled. Gives the number of rounds.
#[kappa::task]
async fn rounds(cx: &mut Context, end: String) -> Result<u64> {
    let mut rounds = 0;
    while !Path::new(&end).exists() {
        let queue = cx.queue::<u64>(4).await;
        let producers = cx
            .spawn_all((0..2).map(|p| produce(queue.clone(), p * 20, (p + 1) * 20)))
            .await;
        let consumers = cx.spawn_all((0..2).map(|_| consume(queue.clone()))).await;
        for producer in producers {
            cx.wait(&producer).await?;
        }
        cx.close(&queue).await;
        let mut all = Vec::new();
        for consumer in consumers {
            let items = cx.wait(&consumer).await?;
            all.extend(items);
        }
        all.sort_unstable();
        anyhow_if(all != (0..40).collect::<Vec<_>>(), &format!("{all:?}"))?;
        rounds += 1;
    }
    Ok(rounds)
}

async fn place(url: &str, kill: f64) -> Kappa {
    let store: Arc<dyn Store> = kappa::store::open(url).expect("a store");
    let options = ProcessOptions {
        workers: 3,
        arguments: ["--exact", "runs::serving", "--nocapture"].map(String::from).to_vec(),
        ..ProcessOptions::default()
    };
    let process: Arc<dyn Platform> = Arc::new(Process::new(options, &store).expect("a platform"));
    let chaos = Chaos::new(process, Spec { kill, seed: 5 });
    let builder = Kappa::builder().platform(Arc::new(chaos)).store(store).state(url);
    builder.build().await.expect("a place to run things")
}

const URL: &str = "KAPPA_TEST_REDIS_URL";
const END: &str = "KAPPA_TEST_REDIS_END";

/// The child of the next test: starts the run, or resumes it if there is one, and says how it ends.
#[test]
#[ignore = "a helper of a_run_is_exactly_once_while_servers_workers_and_coordinator_are_killed_in_turn"]
fn child_that_runs_until_it_is_killed() {
    let (Ok(url), Ok(end)) = (std::env::var(URL), std::env::var(END)) else {
        return;
    };
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let kappa = place(&url, 0.3).await;
        let handle = match kappa.runs().expect("the runs").first() {
            Some(run) => match kappa.resume(*run).await {
                Ok(handle) => handle,
                Err(error) => return println!("\nstopped {error}"),
            },
            None => kappa.start(rounds(end)).await.expect("a run"),
        };
        println!("\nrun {}", handle.id());
        match handle.wait().await {
            Ok(rounds) => println!("\nresult {rounds}"),
            Err(error @ RunError::Failed(_)) => println!("\nfailed {error}"),
            Err(error) => println!("\nstopped {error}"),
        }
    });
}

/// A coordinator in a process of its own, and what it has said.
struct Coordinator {
    child: Child,
    said: Arc<Mutex<Vec<String>>>,
}

impl Coordinator {
    fn start(url: &str, end: &Path) -> Self {
        let mut child = Command::new(std::env::current_exe().expect("this test"))
            .args([
                "--exact",
                "runs::child_that_runs_until_it_is_killed",
                "--ignored",
                "--nocapture",
            ])
            .env(URL, url)
            .env(END, end)
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .expect("a child");
        let output = BufReader::new(child.stdout.take().expect("its output"));
        let said = Arc::new(Mutex::new(Vec::new()));
        let lines = said.clone();
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                lines.lock().expect("lines").push(line);
            }
        });
        Coordinator { child, said }
    }

    fn says(&self, what: &str) -> Option<String> {
        let said = self.said.lock().expect("lines");
        said.iter()
            .find_map(|line| line.strip_prefix(what))
            .map(|rest| rest.trim().to_string())
    }

    fn until_running(&self) {
        wait_until("the run goes on", || {
            if let Some(stopped) = self.says("stopped").or(self.says("failed")) {
                panic!("it stopped: {stopped}");
            }
            self.says("run ").is_some()
        });
    }

    fn kill(mut self) {
        self.child.kill().expect("kill");
        self.child.wait().expect("its end");
    }
}

impl Drop for Coordinator {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_run_is_exactly_once_while_servers_workers_and_coordinator_are_killed_in_turn() {
    let mut servers = Servers::start(2);
    let url = servers.url();
    let folder = tempfile::tempdir().expect("a folder");
    let end = folder.path().join("end");
    let store = RedisStore::open(&url).expect("a store");
    let healed = || {
        wait_until("all servers have everything", || {
            store
                .replicas()
                .iter()
                .all(|status| status.condition == Condition::Serving)
        });
    };
    let mut coordinator = Coordinator::start(&url, &end);
    for (number, fault) in ["kill", "pause", "empty", "kill", "empty", "coordinator", "pause"]
        .into_iter()
        .enumerate()
    {
        coordinator.until_running();
        std::thread::sleep(Duration::from_millis(700));
        let server = &mut servers.0[number % 2];
        match fault {
            "kill" => {
                server.kill();
                std::thread::sleep(Duration::from_millis(700));
                server.restart();
            }
            "empty" => {
                server.empty();
                std::thread::sleep(Duration::from_millis(300));
                server.restart();
            }
            "pause" => {
                server.pause();
                std::thread::sleep(Duration::from_millis(6000));
                server.go_on();
            }
            _ => {
                coordinator.kill();
                coordinator = Coordinator::start(&url, &end);
            }
        }
        std::thread::sleep(Duration::from_millis(1200));
        healed();
    }
    // All of them: the run stops, and says that it can go on.
    servers.0[0].kill();
    servers.0[1].kill();
    wait_until("the run stops", || coordinator.says("stopped").is_some());
    let stopped = coordinator.says("stopped").expect("its message");
    assert!(
        stopped.contains("no server can be reached") && stopped.contains("resume"),
        "{stopped}"
    );
    drop(coordinator);
    servers.0[1].restart();
    servers.0[0].restart();

    let mut coordinator = Coordinator::start(&url, &end);
    coordinator.until_running();
    std::fs::write(&end, "").expect("the end");
    wait_until("the run ends", || {
        coordinator.says("result").is_some() || coordinator.child.try_wait().expect("its state").is_some()
    });
    std::thread::sleep(Duration::from_millis(100));
    let result = coordinator
        .says("result")
        .unwrap_or_else(|| panic!("{:?}", coordinator.said));
    let rounds: u64 = result.parse().expect("a number");
    assert!(rounds > 3, "only {rounds} rounds");
    // Nothing is left of it but its result.
    for server in &servers.0 {
        let values = server.values();
        assert_eq!(
            values.iter().filter(|key| key.starts_with("kappa:o:")).count(),
            0,
            "{values:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_in_redis_are_listed_resumed_and_removed() {
    let servers = Servers::start(2);
    let kappa = place(&servers.url(), 0.0).await;
    let folder = tempfile::tempdir().expect("a folder");
    let end = folder.path().join("end");
    assert_eq!(kappa.runs().expect("the runs"), []);
    let handle = kappa
        .start(rounds(end.to_string_lossy().into_owned()))
        .await
        .expect("a run");
    let run = handle.id();
    assert_eq!(kappa.runs().expect("the runs"), [run]);
    let other = place(&servers.url(), 0.0).await;
    let busy = other.resume_erased(run).await.err().expect("somebody works on it");
    assert!(busy.to_string().contains("in use"), "{busy}");
    assert!(other.remove(run).await.is_err(), "somebody works on it");
    handle.interrupt().await;
    drop(handle);
    let handle = other.resume::<u64>(run).await.expect("resumed by somebody else");
    std::fs::write(&end, "").expect("the end");
    let rounds = handle.wait().await.expect("a result");
    drop(handle);
    let again = kappa
        .resume::<u64>(run)
        .await
        .expect("it has ended, and can be asked again");
    assert_eq!(again.wait().await.expect("a result"), rounds);
    drop(again);
    kappa.remove(run).await.expect("removed");
    kappa.remove(run).await.expect("is removed");
    assert_eq!(other.runs().expect("the runs"), []);
    assert!(matches!(kappa.resume::<u64>(run).await, Err(RunError::Unknown { .. })));
    assert!(matches!(
        kappa.resume::<u64>(RunId::generate()).await,
        Err(RunError::Unknown { .. })
    ));
    for server in &servers.0 {
        assert_eq!(server.values(), Vec::<String>::new());
    }
}

#[kappa::task]
async fn many_checkpoints(cx: &mut Context, count: u64, size: u64) -> u64 {
    let ballast = vec![1_u8; size as usize];
    let mut done = 0;
    while done < count {
        cx.checkpoint().await;
        done += 1;
    }
    done + ballast.len() as u64
}

#[tokio::test(flavor = "multi_thread")]
async fn r17_a_task_that_checkpoints_a_hundred_thousand_times_leaves_redis_as_it_was() {
    let servers = Servers::start(2);
    let kappa = Kappa::builder().state(servers.url()).build().await.expect("a place");
    // The last ones are each longer than a message may be, so that each is an object too: a hundred thousand in all.
    for (count, size) in [(97_000, 1000), (3000, 100_000)] {
        let handle = kappa.start(many_checkpoints(count, size)).await.expect("a run");
        let (mut most_keys, mut most_bytes) = (0, 0);
        let waiting = handle.wait();
        tokio::pin!(waiting);
        let result = loop {
            tokio::select! {
                ended = &mut waiting => break ended.expect("a result"),
                () = tokio::time::sleep(Duration::from_millis(50)) => {
                    let server = &servers.0[0];
                    let keys: u64 = tokio::task::block_in_place(|| server.ask(&["DBSIZE"]));
                    most_keys = most_keys.max(keys);
                    most_bytes = most_bytes.max(tokio::task::block_in_place(|| server.info("used_memory")));
                }
            }
        };
        assert_eq!(result, count + size);
        // The journal is as long as a snapshot is not worth it: about a MiB in a batch for each checkpoint.
        assert!(most_bytes < 60 << 20, "{} MiB", most_bytes >> 20);
        assert!(most_keys < 4000, "{most_keys} keys");
    }
    for server in &servers.0 {
        let values = server.values();
        let (journals, records): (Vec<_>, Vec<_>) = values.iter().partition(|key| key.starts_with("kappa:j:"));
        assert_eq!(journals.len(), 4, "leases and last snapshots of two runs: {values:?}");
        assert!(records.len() < 20, "the record is thinned: {records:?}");
        assert!(server.info("used_memory") < 20 << 20);
    }
}
