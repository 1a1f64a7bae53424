//! The platform `process`: what only real processes can do, and that none is left behind.

use crate::conformance;
use crate::tasks::{self, Yes, invocation};
use kappa::platform::chaos::Chaos;
use kappa::platform::process::{Process, ProcessOptions};
use kappa::platform::{Platform, PlatformError};
use kappa::protocol::InvocationOutcome;
use kappa::store::{FileStore, Memory, Store};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Not a test: worker processes of the tests are this test binary, told to run this function only.
#[test]
fn serving() {
    kappa::serve_if_worker();
}

/// Not a test: the same for a program whose `main` is asynchronous.
#[tokio::test]
async fn serving_within_a_runtime() {
    kappa::serve_if_worker();
}

/// Not a test either, unless it is told so: a parent process with workers, to be killed by the test.
#[test]
fn parenting() {
    if std::env::var_os("KAPPA_TEST_PARENT").is_none() {
        return;
    }
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let (platform, _folder) = platform(ProcessOptions::default());
        let links = [Arc::new(Yes::default()), Arc::new(Yes::default())];
        let all = links.map(|link| {
            let platform = platform.clone();
            async move {
                platform.invoke(invocation(tasks::process_id()), link.clone()).await;
                println!("\nworker {}", link.value::<u32>());
                platform.invoke(invocation(tasks::hogging()), link).await;
            }
        });
        futures::future::join_all(all).await;
    });
}

pub(crate) fn options() -> ProcessOptions {
    let arguments = ["--exact", "process::serving", "--nocapture"];
    ProcessOptions {
        workers: 2,
        arguments: arguments.map(String::from).to_vec(),
        ..ProcessOptions::default()
    }
}

/// A platform with a store of its own; with the arguments that make a worker of this binary.
fn platform(options_of: ProcessOptions) -> (Arc<dyn Platform>, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let store: Arc<dyn Store> = Arc::new(FileStore::open(folder.path()).unwrap());
    let options = ProcessOptions {
        workers: 2,
        arguments: options().arguments,
        ..options_of
    };
    (Arc::new(Process::new(options, &store).unwrap()), folder)
}

async fn outcome<F: kappa::task::TaskFunction>(
    platform: &Arc<dyn Platform>,
    call: kappa::TaskCall<F>,
) -> InvocationOutcome {
    platform.invoke(invocation(call), Arc::new(Yes::default())).await
}

async fn worker_id(platform: &Arc<dyn Platform>) -> i32 {
    let link = Arc::new(Yes::default());
    assert_eq!(
        platform.invoke(invocation(tasks::process_id()), link.clone()).await,
        InvocationOutcome::Returned
    );
    link.value::<u32>() as i32
}

fn is_running(process: i32) -> bool {
    match std::fs::read_to_string(format!("/proc/{process}/stat")) {
        // A process of several threads can be waited for only when the last of them has ended.
        Ok(stat) => {
            !stat.contains(") Z ")
                || std::fs::read_dir(format!("/proc/{process}/task")).is_ok_and(|threads| threads.count() > 1)
        }
        Err(_) => false,
    }
}

fn assert_ends(process: i32) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while is_running(process) {
        assert!(Instant::now() < deadline, "process {process} lives on");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn r18_calls_in_the_background_start_no_process() {
    let (platform, _folder) = platform(ProcessOptions::default());
    let worker = worker_id(&platform).await;
    let before = tasks::children_of(std::process::id());
    assert!(before > 0, "the worker is not seen");
    let link = Arc::new(Yes::default());
    let call = invocation(tasks::calling_in_background(300));
    assert_eq!(platform.invoke(call, link.clone()).await, InvocationOutcome::Returned);
    assert_eq!(link.value::<usize>(), 0);
    assert_eq!(tasks::children_of(std::process::id()), before);
    assert_eq!(worker_id(&platform).await, worker, "it was not the same worker");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_process_platform_conforms() {
    let (platform, folder) = platform(options());
    conformance::check(platform).await;
    assert!(
        folder.path().join("conformance/seen=").exists(),
        "workers and parent share the store"
    );
}

#[tokio::test]
async fn a_worker_stays_warm_and_is_replaced_when_it_was_killed() {
    let (platform, _folder) = platform(options());
    let first = worker_id(&platform).await;
    assert_eq!(worker_id(&platform).await, first);
    assert_ne!(first as u32, std::process::id());

    let mut endless = invocation(tasks::hogging());
    endless.time_limit = Some(Duration::from_millis(100));
    assert_eq!(
        platform.invoke(endless, Arc::new(Yes::default())).await,
        InvocationOutcome::TimedOut
    );
    assert_ends(first);
    let second = worker_id(&platform).await;
    assert_ne!(second, first);

    // One that is killed while it has nothing to do is not even noticed.
    kill(Pid::from_raw(second), Signal::SIGKILL).unwrap();
    assert_ends(second);
    assert_ne!(worker_id(&platform).await, second);
}

#[tokio::test]
async fn the_way_in_which_a_worker_ended_is_told() {
    let (platform, _folder) = platform(options());
    let aborted = outcome(&platform, tasks::aborting()).await;
    assert!(
        matches!(&aborted, InvocationOutcome::Crashed(message) if message.contains("SIGABRT") && message.contains("about to abort")),
        "{aborted:?}"
    );
    let left = outcome(&platform, tasks::leaving(3)).await;
    assert!(
        matches!(&left, InvocationOutcome::Crashed(message) if message.contains("exit code 3") && message.contains("about to leave")),
        "{left:?}"
    );
    let left = outcome(&platform, tasks::leaving(0)).await;
    assert!(
        matches!(&left, InvocationOutcome::Crashed(message) if message.contains("exit code 0")),
        "{left:?}"
    );
    let killed = outcome(&platform, tasks::killing_itself(Signal::SIGKILL as i32)).await;
    assert!(
        matches!(&killed, InvocationOutcome::Killed(message) if message.contains("SIGKILL")),
        "{killed:?}"
    );
    let killed = outcome(&platform, tasks::killing_itself(Signal::SIGTERM as i32)).await;
    assert!(
        matches!(&killed, InvocationOutcome::Killed(message) if message.contains("SIGTERM")),
        "{killed:?}"
    );
    let broken = outcome(&platform, tasks::killing_itself(Signal::SIGILL as i32)).await;
    assert!(
        matches!(&broken, InvocationOutcome::Crashed(message) if message.contains("SIGILL")),
        "{broken:?}"
    );
    let printed = outcome(&platform, tasks::printing()).await;
    assert!(
        matches!(&printed, InvocationOutcome::Crashed(message) if message.contains("said on stdout")),
        "{printed:?}"
    );
    let talked = outcome(&platform, tasks::talking()).await;
    let InvocationOutcome::Crashed(message) = talked else {
        panic!("{talked:?}")
    };
    assert!(
        message.ends_with("last line") && message.len() < 50_000,
        "{} bytes",
        message.len()
    );
}

#[tokio::test]
async fn the_memory_limit_is_enforced_and_named() {
    let (platform, _folder) = platform(ProcessOptions {
        memory_limit: Some(256 << 20),
        ..options()
    });
    let greedy = outcome(&platform, tasks::greedy()).await;
    let InvocationOutcome::OutOfMemory(message) = &greedy else {
        panic!("{greedy:?}")
    };
    assert!(message.contains("memory allocation of"), "{message}");
    let link = Arc::new(Yes::default());
    assert_eq!(
        platform.invoke(invocation(tasks::modest(128)), link.clone()).await,
        InvocationOutcome::Returned
    );
    assert_eq!(link.value::<usize>(), 128 << 20);
    // What an invocation leaves behind is not the next one's loss.
    for mebibytes in [10, 150, 20, 160, 30, 170, 40, 150] {
        let modest = outcome(&platform, tasks::modest(mebibytes)).await;
        assert_eq!(modest, InvocationOutcome::Returned, "{mebibytes} MiB");
    }
}

#[tokio::test]
async fn a_worker_serves_from_within_an_asynchronous_main() {
    let folder = tempfile::tempdir().unwrap();
    let store: Arc<dyn Store> = Arc::new(FileStore::open(folder.path()).unwrap());
    let arguments = ["--exact", "process::serving_within_a_runtime", "--nocapture"];
    let options = ProcessOptions {
        arguments: arguments.map(String::from).to_vec(),
        ..options()
    };
    let platform: Arc<dyn Platform> = Arc::new(Process::new(options, &store).unwrap());
    assert_eq!(
        outcome(&platform, tasks::well_behaved(2)).await,
        InvocationOutcome::Returned
    );
}

#[tokio::test]
async fn chaos_kills_the_worker_process_itself() {
    let (inner, _folder) = platform(options());
    let chaos: Arc<dyn Platform> = Arc::new(Chaos::new(inner.clone(), "kill=1,seed=7".parse().unwrap()));
    for task in 0..20 {
        let before = worker_id(&inner).await;
        let killed = chaos
            .invoke(tasks::numbered(task, tasks::well_behaved(2)), Arc::new(Yes::default()))
            .await;
        assert_eq!(killed, InvocationOutcome::Killed("chaos".into()));
        assert_ends(before);
    }
}

#[tokio::test]
async fn r11_a_message_over_the_bound_is_a_clear_error_and_no_hang() {
    let (platform, _folder) = platform(ProcessOptions {
        message_limit: 1 << 20,
        ..options()
    });
    let link = Arc::new(Yes::default());
    let sent = platform.invoke(invocation(tasks::fanning_out(40, 50_000)), link.clone());
    let sent = tokio::time::timeout(Duration::from_secs(20), sent)
        .await
        .expect("no hang");
    assert_eq!(sent, InvocationOutcome::Returned);
    let failure = link.failure();
    assert!(failure.contains("is longer than the 1048576 bytes"), "{failure}");

    let lamented = tokio::time::timeout(Duration::from_secs(20), outcome(&platform, tasks::lamenting(2 << 20)));
    let lamented = lamented.await.expect("no hang");
    assert!(
        matches!(&lamented, InvocationOutcome::Crashed(message) if message.contains("too long")),
        "{} bytes",
        format!("{lamented:?}").len()
    );

    let received = outcome(&platform, tasks::panicking("x".repeat(2 << 20))).await;
    assert!(
        matches!(&received, InvocationOutcome::Crashed(message) if message.contains("1048576")),
        "{received:?}"
    );
    assert_eq!(
        outcome(&platform, tasks::well_behaved(1)).await,
        InvocationOutcome::Returned
    );
}

#[tokio::test]
async fn r19_there_are_never_more_processes_than_the_bound_and_the_rest_is_throttled() {
    let (platform, _folder) = platform(options());
    let links: Vec<_> = (0..12).map(|_| Arc::new(Yes::default())).collect();
    let all = links.iter().map(|link| {
        let (platform, link) = (platform.clone(), link.clone());
        tokio::spawn(async move {
            let mut limited = invocation(tasks::endless(1000));
            limited.time_limit = Some(Duration::from_secs(3));
            platform.invoke(limited, link).await
        })
    });
    let all: Vec<_> = all.collect();
    let mut most = 0;
    for _ in 0..20 {
        tokio::time::sleep(Duration::from_millis(50)).await;
        let workers = children_of(std::process::id())
            .into_iter()
            .filter(|child| is_worker(*child));
        most = most.max(workers.count());
    }
    assert_eq!(most, 2);
    let mut outcomes = Vec::new();
    for one in all {
        outcomes.push(one.await.unwrap());
    }
    let throttled = outcomes
        .iter()
        .filter(|outcome| matches!(outcome, InvocationOutcome::Throttled(_)))
        .count();
    let timed_out = outcomes
        .iter()
        .filter(|outcome| **outcome == InvocationOutcome::TimedOut)
        .count();
    assert_eq!((throttled, timed_out), (10, 2), "{outcomes:?}");
    platform.shutdown().await;
    assert_eq!(children_of(std::process::id()), Vec::<i32>::new());
}

/// Whether it was started to serve; the other children see to temporary files.
fn is_worker(process: i32) -> bool {
    let environment = std::fs::read(format!("/proc/{process}/environ")).unwrap_or_default();
    String::from_utf8_lossy(&environment).contains("KAPPA_WORKER_OF=")
}

/// Processes whose parent this is, zombies included.
fn children_of(parent: u32) -> Vec<i32> {
    let mut children = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Ok(id) = entry.file_name().to_string_lossy().parse::<i32>() else {
            continue;
        };
        let Ok(stat) = std::fs::read_to_string(entry.path().join("stat")) else {
            continue;
        };
        let after_name = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
        if after_name.split(' ').nth(1) == Some(parent.to_string().as_str()) {
            children.push(id);
        }
    }
    children
}

#[tokio::test]
async fn after_shutdown_or_drop_no_process_is_left() {
    let (platform, _folder) = platform(options());
    let (one, other) = tokio::join!(worker_id(&platform), worker_id(&platform));
    platform.shutdown().await;
    assert!(!is_running(one) && !is_running(other), "shutdown waits for them");

    let (platform, _folder) = self::platform(options());
    let idle = worker_id(&platform).await;
    drop(platform);
    assert_ends(idle);
}

async fn spilled(platform: &Arc<dyn Platform>) -> PathBuf {
    let link = Arc::new(Yes::default());
    let outcome = platform.invoke(invocation(tasks::spilling()), link.clone()).await;
    assert_eq!(outcome, InvocationOutcome::Returned);
    link.value()
}

#[tokio::test]
async fn r13_a_worker_s_temporary_files_go_with_it() {
    let (platform, _folder) = platform(ProcessOptions::default());
    let of_worker = spilled(&platform).await;
    let of_platform = of_worker.parent().unwrap().to_path_buf();
    assert!(of_worker.join("spilled/rows").exists(), "it is warm");
    let mut endless = invocation(tasks::hogging());
    endless.time_limit = Some(Duration::from_millis(100));
    let ended = platform.invoke(endless, Arc::new(Yes::default())).await;
    assert_eq!(ended, InvocationOutcome::TimedOut);
    assert_vanishes(&of_worker);

    let of_worker = spilled(&platform).await;
    platform.shutdown().await;
    assert!(!of_worker.exists() && !of_platform.exists(), "shutdown");

    let (platform, _folder) = self::platform(ProcessOptions::default());
    let of_worker = spilled(&platform).await;
    drop(platform);
    assert!(!of_worker.exists() && !of_worker.parent().unwrap().exists(), "drop");
}

fn assert_vanishes(folder: &Path) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while folder.exists() {
        assert!(Instant::now() < deadline, "{} is still there", folder.display());
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn r13_no_worker_survives_its_parent_however_that_one_dies() {
    let temporary = tempfile::tempdir().unwrap();
    for signal in [Signal::SIGKILL, Signal::SIGTERM, Signal::SIGINT] {
        let mut parent = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "process::parenting", "--nocapture"])
            .env("KAPPA_TEST_PARENT", "1")
            .env("TMPDIR", temporary.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(parent.stdout.take().unwrap()).lines();
        let workers: Vec<i32> = lines
            .map_while(Result::ok)
            .filter_map(|line| line.strip_prefix("worker ")?.parse().ok())
            .take(2)
            .collect();
        assert_eq!(workers.len(), 2);
        // They compute without awaiting anything, so they do not look at their socket.
        std::thread::sleep(Duration::from_millis(100));
        assert!(workers.iter().all(|worker| is_running(*worker)));
        let names = std::fs::read_dir(temporary.path()).unwrap();
        let names = names.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned());
        let of_platforms = names.filter(|name| name.starts_with("kappa-workers-")).count();
        assert_eq!(
            of_platforms, 1,
            "this parent's own; what the one before had to leave is gone"
        );
        kill(Pid::from_raw(parent.id() as i32), signal).unwrap();
        parent.wait().unwrap();
        for worker in workers {
            assert_ends(worker);
        }
    }
}

#[tokio::test]
async fn a_program_that_cannot_serve_is_unstartable_with_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    let store: Arc<dyn Store> = Arc::new(FileStore::open(folder.path()).unwrap());
    for (program, reason) in [
        (folder.path().join("vanished").as_path(), "No such file"),
        (Path::new("/bin/false"), "exit code 1"),
        (Path::new("/bin/true"), "serve_if_worker"),
        (folder.path(), "denied"),
    ] {
        let options = ProcessOptions {
            program: Some(program.to_path_buf()),
            ..ProcessOptions::default()
        };
        let platform: Arc<dyn Platform> = Arc::new(Process::new(options, &store).unwrap());
        let outcome = outcome(&platform, tasks::well_behaved(1)).await;
        let InvocationOutcome::Unstartable(message) = &outcome else {
            panic!("{program:?}: {outcome:?}")
        };
        assert!(
            message.contains(reason) && message.contains(&*program.to_string_lossy()),
            "{message}"
        );
    }
}

#[tokio::test]
async fn a_worker_that_cannot_open_the_store_says_so() {
    let (platform, folder) = platform(options());
    let above = folder.path().to_path_buf();
    drop(folder);
    std::fs::write(&above, "a file where the store was").unwrap();
    let outcome = outcome(&platform, tasks::well_behaved(1)).await;
    std::fs::remove_file(&above).unwrap();
    assert!(
        matches!(&outcome, InvocationOutcome::NeedsRepair(message) if message.contains("directory")),
        "{outcome:?}"
    );
}

#[test]
fn a_store_in_memory_is_refused_with_the_way_out() {
    let store: Arc<dyn Store> = Arc::new(Memory::new());
    let refused = Process::new(options(), &store).err().unwrap();
    assert!(matches!(refused, PlatformError::StoreNotShared { .. }));
    assert!(refused.to_string().contains("file:DIR"), "{refused}");
}
