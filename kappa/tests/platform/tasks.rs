//! Task functions that behave well and badly, and a coordinator that says yes to everything.

use async_trait::async_trait;
use kappa::Context;
use kappa::ids::{RunId, TaskId};
use kappa::link::Link;
use kappa::protocol::{Answer, Call, Invocation, Payload, Reply, Request, Start};
use kappa::task::TaskFunction;
use std::sync::Mutex;
use std::time::Duration;

/// Makes so many calls, then returns their number.
#[kappa::task]
pub(crate) async fn well_behaved(cx: &mut Context, calls: u32) -> u32 {
    let mut done = 0;
    while done < calls {
        done += 1;
        cx.checkpoint().await;
    }
    done
}

/// Calls in the background; gives how many child processes it has seen of its own process, at the most.
#[kappa::task]
pub(crate) async fn calling_in_background(cx: &mut Context, calls: u32) -> usize {
    let mut most = 0;
    for _ in 0..calls {
        cx.checkpoint().in_background().await;
        cx.cancel(TaskId(9)).in_background().await;
        most = most.max(children_of(std::process::id()));
    }
    most
}

/// How many processes this one has started that are still there.
pub(crate) fn children_of(process: u32) -> usize {
    let threads = std::fs::read_dir(format!("/proc/{process}/task")).expect("its threads");
    let children = |thread: std::fs::DirEntry| std::fs::read_to_string(thread.path().join("children"));
    let counts = threads.flatten().filter_map(|thread| children(thread).ok());
    counts.map(|children| children.split_whitespace().count()).sum()
}

/// Makes a call after each pause, for ever.
#[kappa::task]
pub(crate) async fn endless(cx: &mut Context, pause_ms: u64) {
    loop {
        tokio::time::sleep(Duration::from_millis(pause_ms)).await;
        cx.checkpoint().await;
    }
}

/// Computes without end and without awaiting anything.
#[kappa::task]
pub(crate) async fn hogging(_cx: &mut Context) -> u64 {
    let mut number = 0u64;
    loop {
        number = std::hint::black_box(number.wrapping_mul(3).wrapping_add(1));
    }
}

#[kappa::task]
pub(crate) async fn panicking(cx: &mut Context, message: String) -> u32 {
    cx.checkpoint().await;
    panic!("{message}")
}

#[kappa::task]
pub(crate) async fn aborting(_cx: &mut Context) -> u32 {
    eprintln!("about to abort");
    std::process::abort()
}

#[kappa::task]
pub(crate) async fn leaving(_cx: &mut Context, code: i32) -> u32 {
    eprintln!("about to leave");
    std::process::exit(code)
}

/// Kills its own process with this signal.
#[kappa::task]
pub(crate) async fn killing_itself(_cx: &mut Context, signal: i32) -> u32 {
    let signal = nix::sys::signal::Signal::try_from(signal).unwrap();
    nix::sys::signal::raise(signal).unwrap();
    std::thread::sleep(Duration::from_secs(60));
    0
}

/// Uses more and more memory.
#[kappa::task]
pub(crate) async fn greedy(_cx: &mut Context) -> usize {
    let mut blocks = Vec::new();
    loop {
        blocks.push(vec![1u8; 16 << 20]);
        std::hint::black_box(&blocks);
        assert!(blocks.len() < 500, "there is no limit");
    }
}

/// Uses this many MiB.
#[kappa::task]
pub(crate) async fn modest(_cx: &mut Context, mebibytes: usize) -> usize {
    let block = vec![1u8; mebibytes << 20];
    std::hint::black_box(&block).len()
}

#[kappa::task]
pub(crate) async fn process_id(_cx: &mut Context) -> u32 {
    std::process::id()
}

/// Puts an object into the store, and checks that it is there.
#[kappa::task]
pub(crate) async fn storing(cx: &mut Context, key: String) -> u64 {
    let store = cx.store().clone();
    store
        .put(&key, bytes::Bytes::from_static(b"from a worker"))
        .await
        .unwrap();
    store.get(&key).await.unwrap().len() as u64
}

/// Starts many tasks in one call, with this many bytes of arguments each.
#[kappa::task]
pub(crate) async fn fanning_out(cx: &mut Context, tasks: usize, bytes: usize) -> usize {
    let started = cx.spawn_all((0..tasks).map(|_| panicking("x".repeat(bytes)))).await;
    started.len()
}

/// Leaves something in the folder for temporary files, and says where that is.
#[kappa::task]
pub(crate) async fn spilling(_cx: &mut Context) -> std::path::PathBuf {
    let folder = std::env::temp_dir();
    std::fs::create_dir(folder.join("spilled")).unwrap();
    std::fs::write(folder.join("spilled/rows"), vec![1; 100_000]).unwrap();
    folder
}

/// Panics with a message of this many bytes.
#[kappa::task]
pub(crate) async fn lamenting(_cx: &mut Context, bytes: usize) -> u32 {
    panic!("{}", "x".repeat(bytes))
}

/// Speaks on stdout and aborts.
#[kappa::task]
pub(crate) async fn printing(_cx: &mut Context) -> u32 {
    println!("said on stdout");
    std::process::abort()
}

/// Speaks on stderr, without end of line and with bytes that are no text.
#[kappa::task]
pub(crate) async fn talking(_cx: &mut Context) -> u32 {
    use std::io::Write;
    let mut stderr = std::io::stderr();
    stderr.write_all(&vec![b'x'; 100_000]).unwrap();
    stderr.write_all(b"\nodd bytes \xff\xfe\nlast line").unwrap();
    std::process::abort()
}

/// As many functions inside of one another.
#[kappa::task]
pub(crate) async fn sum(cx: &mut Context, n: u64) -> u64 {
    if n == 0 {
        cx.checkpoint().await;
        return 0;
    }
    n + cx.call(sum(n - 1)).await
}

/// The work order for a call.
pub(crate) fn invocation<F: TaskFunction>(call: kappa::TaskCall<F>) -> Invocation {
    numbered(0, call)
}

/// The work order for a call by a task with this number.
pub(crate) fn numbered<F: TaskFunction>(task: u64, call: kappa::TaskCall<F>) -> Invocation {
    let (function, arguments) = call.into_spec_bytes().unwrap();
    Invocation {
        run: RunId::generate(),
        task: TaskId(task),
        incarnation: 0,
        function: function.to_string(),
        start: Start::Begin(Payload::Inline(arguments.into())),
        last_sequence: 0,
        time_limit: None,
    }
}

/// Says yes to everything, and remembers it.
#[derive(Default)]
pub(crate) struct Yes {
    requests: Mutex<Vec<Request>>,
}

impl Yes {
    pub(crate) fn count(&self) -> usize {
        self.requests.lock().unwrap().len()
    }

    pub(crate) fn last_call(&self) -> Option<Call> {
        self.requests.lock().unwrap().last().map(|request| request.call.clone())
    }

    /// The value with which the task ended.
    pub(crate) fn value<T: serde::de::DeserializeOwned>(&self) -> T {
        match self.last_call() {
            Some(Call::Exit(Ok(Payload::Inline(bytes)))) => postcard::from_bytes(&bytes).unwrap(),
            other => panic!("the last call was {other:?}"),
        }
    }

    /// The message with which the task failed.
    pub(crate) fn failure(&self) -> String {
        match self.last_call() {
            Some(Call::Exit(Err(error))) => error.to_string(),
            other => panic!("the last call was {other:?}"),
        }
    }
}

#[async_trait]
impl Link for Yes {
    async fn send(&self, request: Request) -> Reply {
        let answer = match &request.call {
            Call::Spawn(specs) => Answer::Spawned((1..=specs.len() as u64).map(TaskId).collect()),
            _ => Answer::Done,
        };
        self.requests.lock().unwrap().push(request);
        Reply::Answer(answer)
    }
}
