//! The worker processes of one platform: started, kept warm, replaced, buried.
//!
//! Guarantees that there are never more processes than the bound, and that none outlives the pool or this process: a worker is killed
//! when its [`Busy`] is dropped and when the pool is closed; if this process dies without a word, the kernel kills its workers (a
//! parent-death signal) and their socket closes. A worker's temporary files go with it, and so do the processes that its tasks have started: a worker is
//! the leader of a process group, which is killed as a whole before its number can be another's, or by a shell that waits for the end of this process.
//!
//! The kernel sends a parent-death signal when the *thread* that started the child ends. So all workers are started, and waited for, by one thread
//! of the pool's own: the keeper.

use super::message::Configuration;
use super::scratch::Scratch;
use super::stderr::LastWords;
use super::worker::WORKER_VARIABLE;
use super::{ProcessOptions, exit};
use crate::platform::http::SECRET_VARIABLE;
use crate::protocol::InvocationOutcome;
use crate::replicas::address::PASSWORD_VARIABLE;
use nix::errno::Errno;
use nix::sys::signal::{Signal, killpg};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::Pid;
use parking_lot::Mutex;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, oneshot};

/// How long an invocation waits for room before it is turned away.
const PATIENCE: Duration = Duration::from_secs(1);

/// How long a worker that has closed its socket may take to end.
const LAST_BREATH: Duration = Duration::from_secs(2);

/// The pool.
pub(super) struct Pool {
    shared: Arc<Shared>,
}

struct Shared {
    program: PathBuf,
    arguments: Vec<String>,
    configuration: Configuration,
    room: Arc<Semaphore>,
    idle: Mutex<Vec<Worker>>,
    keeper: Sender<Errand>,
    alive: Arc<Alive>,
    scratch: Arc<Scratch>,
}

#[derive(Default)]
struct Alive {
    count: AtomicUsize,
    fewer: Notify,
}

/// What the keeper is asked.
enum Errand {
    Start(Box<Command>, Sender<Errand>, oneshot::Sender<io::Result<Newborn>>),
    Bury(Remains, Option<OwnedSemaphorePermit>),
}

/// A process, and the folder for its temporary files.
struct Remains {
    child: Child,
    folder: Option<TempDir>,
    /// Its status has been taken: from then on its number may be another's.
    is_reaped: bool,
}

impl Remains {
    /// Whether the process has ended. Its number stays its own.
    fn has_ended(&self) -> bool {
        let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
        self.is_reaped || !matches!(waitid(Id::Pid(self.group()), flags), Ok(WaitStatus::StillAlive))
    }

    fn group(&self) -> Pid {
        // A process's number is positive, and fits.
        Pid::from_raw(self.child.id() as i32)
    }

    /// SIGKILL to the process and to all that it has started.
    fn kill(&self) {
        if !self.is_reaped {
            // Fails only if nobody is left.
            let _ = killpg(self.group(), Signal::SIGKILL);
            // It may have left its group.
            let _ = nix::sys::signal::kill(self.group(), Signal::SIGKILL);
        }
    }

    /// How the process has ended, which it has; what it has started is killed before.
    fn reap(&mut self) -> Option<ExitStatus> {
        self.kill();
        let status = self.child.wait().ok();
        self.is_reaped = true;
        status
    }
}

/// A process that has just been started. Whoever asked for it may be gone by now; then it is buried.
struct Newborn {
    child: Option<Child>,
    keeper: Sender<Errand>,
}

impl Drop for Newborn {
    fn drop(&mut self) {
        if let Some(child) = self.child.take() {
            let remains = Remains {
                child,
                folder: None,
                is_reaped: false,
            };
            let _ = self.keeper.send(Errand::Bury(remains, None));
        }
    }
}

/// A living worker process.
struct Worker {
    body: Option<Remains>,
    socket: UnixStream,
    last_words: Arc<LastWords>,
    keeper: Sender<Errand>,
}

/// A worker that has been taken out of the pool. Dropping it kills the process.
pub(super) struct Busy {
    worker: Option<Worker>,
    permit: Option<OwnedSemaphorePermit>,
    shared: Arc<Shared>,
    /// It was started just now and is not configured yet.
    pub(super) is_new: bool,
}

impl Pool {
    pub(super) fn new(options: &ProcessOptions, configuration: Configuration) -> io::Result<Self> {
        let program = match &options.program {
            Some(program) => program.clone(),
            None => this_program()?,
        };
        let scratch = Arc::new(Scratch::new()?);
        let (keeper, errands) = channel();
        let alive = Arc::new(Alive::default());
        let (counting, groups) = (alive.clone(), scratch.clone());
        std::thread::Builder::new()
            .name("kappa-keeper".into())
            .spawn(move || keep(errands, &counting, &groups))?;
        let shared = Shared {
            program,
            arguments: options.arguments.clone(),
            configuration,
            room: Arc::new(Semaphore::new(options.workers)),
            idle: Mutex::new(Vec::new()),
            keeper,
            alive,
            scratch,
        };
        Ok(Pool {
            shared: Arc::new(shared),
        })
    }

    pub(super) fn configuration(&self) -> &Configuration {
        &self.shared.configuration
    }

    pub(super) fn program(&self) -> &PathBuf {
        &self.shared.program
    }

    /// What it means that a worker has ended like this before it was ready, if that is the memory limit's doing: no other one will start either.
    pub(super) fn too_little_memory(&self, death: &exit::Death) -> Option<InvocationOutcome> {
        let limit = self.shared.configuration.memory_limit.filter(|_| death.is_its_own())?;
        Some(InvocationOutcome::NeedsRepair(death.describe(&format!(
            "no worker process can start within the memory limit of {limit} bytes; raise --memory-limit"
        ))))
    }

    /// What it means that a worker with a memory limit was not ready in time.
    pub(super) fn never_served(&self, death: exit::Death) -> InvocationOutcome {
        let limit = self.shared.configuration.memory_limit.unwrap_or(u64::MAX);
        let seconds = super::START_LIMIT_WITHIN_MEMORY.as_secs();
        InvocationOutcome::NeedsRepair(death.describe(&format!(
            "no worker process served within {seconds} s within the memory limit of {limit} bytes; raise --memory-limit"
        )))
    }

    /// A worker process, warm if there is one; or why there is none.
    pub(super) async fn take(&self) -> Result<Busy, InvocationOutcome> {
        let room = self.shared.room.clone();
        let permit = match tokio::time::timeout(PATIENCE, room.acquire_owned()).await {
            Ok(Ok(permit)) => permit,
            Ok(Err(_)) => return Err(InvocationOutcome::Killed("the platform has been shut down".into())),
            Err(_) => return Err(InvocationOutcome::Throttled("all worker processes are busy".into())),
        };
        let mut busy = Busy {
            worker: None,
            permit: Some(permit),
            shared: self.shared.clone(),
            is_new: false,
        };
        loop {
            let idle = self.shared.idle.lock().pop();
            let Some(worker) = idle else { break };
            if worker.is_alive() {
                busy.worker = Some(worker);
                return Ok(busy);
            }
        }
        busy.worker = Some(self.start().await?);
        busy.is_new = true;
        Ok(busy)
    }

    async fn start(&self) -> Result<Worker, InvocationOutcome> {
        let program = &self.shared.program;
        let failed = |cause: io::Error| match cause.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied | io::ErrorKind::NotADirectory => {
                InvocationOutcome::Unstartable(format!(
                    "cannot start a worker process from {}: {cause}",
                    program.display()
                ))
            }
            _ => InvocationOutcome::Throttled(format!(
                "cannot start a worker process at present: {}",
                with_advice(&cause)
            )),
        };
        let (ours, theirs) = UnixStream::pair().map_err(failed)?;
        ours.set_nonblocking(true).map_err(failed)?;
        let folder = self.shared.scratch.worker().map_err(|cause| match cause.kind() {
            // It is full, or not to be written, or somebody has removed it.
            io::ErrorKind::StorageFull
            | io::ErrorKind::QuotaExceeded
            | io::ErrorKind::ReadOnlyFilesystem
            | io::ErrorKind::PermissionDenied
            | io::ErrorKind::NotFound => InvocationOutcome::NeedsRepair(cause.to_string()),
            _ => failed(cause),
        })?;
        let (said, saying) = io::pipe().map_err(failed)?;
        let mut command = Command::new(program);
        command
            .args(&self.shared.arguments)
            .env(WORKER_VARIABLE, std::process::id().to_string())
            .stdin(OwnedFd::from(theirs))
            .stdout(saying.try_clone().map_err(failed)?)
            .stderr(saying)
            .env("TMPDIR", folder.path())
            // What lets others in is not for tasks to see.
            .env_remove(SECRET_VARIABLE)
            // It is told by a message what it needs.
            .env_remove(PASSWORD_VARIABLE)
            // Ctrl-C on the terminal is for the coordinator.
            .process_group(0);
        if let Some(name) = std::env::args_os().next() {
            command.arg0(name);
        }
        if self.shared.configuration.memory_limit.is_some() {
            // mimalloc would reserve 1 GiB as memory in use, and the limit would refuse it.
            command.env("MIMALLOC_ARENA_EAGER_COMMIT", "0");
        }
        let (started, starting) = oneshot::channel();
        let gone = |_| io::Error::other("the thread that starts worker processes is gone");
        self.shared
            .keeper
            .send(Errand::Start(Box::new(command), self.shared.keeper.clone(), started))
            .map_err(|_| failed(gone(())))?;
        let mut newborn = starting
            .await
            .map_err(|_| failed(gone(())))
            .and_then(|newborn| newborn.map_err(failed))?;
        let child = newborn.child.take().ok_or_else(|| failed(gone(())))?;
        let body = Remains {
            child,
            folder: Some(folder),
            is_reaped: false,
        };
        let mut worker = Worker {
            body: Some(body),
            socket: ours,
            last_words: Arc::default(),
            keeper: self.shared.keeper.clone(),
        };
        worker.last_words = LastWords::listen(said).map_err(failed)?;
        Ok(worker)
    }

    /// Kills the idle workers, turns new invocations away, and waits until no worker process is left. The busy ones are their invocations' to end.
    pub(super) async fn close(&self) {
        self.shared.room.close();
        let idle = std::mem::take(&mut *self.shared.idle.lock());
        drop(idle);
        let deadline = Instant::now() + LAST_BREATH;
        while self.shared.alive.count.load(Ordering::SeqCst) > 0 && Instant::now() < deadline {
            let fewer = self.shared.alive.fewer.notified();
            let _ = tokio::time::timeout(Duration::from_millis(10), fewer).await;
        }
        self.shared.scratch.remove();
    }
}

impl Drop for Pool {
    /// Waits for what takes milliseconds, so that nothing is left even if the program ends right afterwards.
    fn drop(&mut self) {
        self.shared.room.close();
        let idle = std::mem::take(&mut *self.shared.idle.lock());
        drop(idle);
        let deadline = Instant::now() + LAST_BREATH;
        while self.shared.alive.count.load(Ordering::SeqCst) > 0 && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(1));
        }
        self.shared.scratch.remove();
    }
}

impl Busy {
    /// The socket, to be used on the runtime of the caller.
    pub(super) fn socket(&self) -> io::Result<tokio::net::UnixStream> {
        match &self.worker {
            Some(worker) => tokio::net::UnixStream::from_std(worker.socket.try_clone()?),
            None => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    /// Gives the worker back, for the next invocation; unless half of its memory limit is in use: allocators keep what tasks have given back,
    /// and the next invocation might not find enough.
    pub(super) fn release(mut self) {
        let limit = self.shared.configuration.memory_limit;
        if let Some(mut worker) = self.worker.take() {
            if limit.is_some_and(|limit| worker.data_size() > limit / 2) {
                return worker.kill(self.permit.take());
            }
            let mut idle = self.shared.idle.lock();
            // `close` closes the room first and then empties this list: so nobody is forgotten in it.
            if !self.shared.room.is_closed() {
                idle.push(worker);
            }
        }
    }

    /// Why the worker, which has closed its socket, has ended.
    pub(super) async fn autopsy(mut self) -> exit::Death {
        let Some(mut worker) = self.worker.take() else {
            return exit::Death::default();
        };
        let status = worker.wait_a_moment().await;
        let last_words = worker.last_words.clone();
        drop(worker);
        let lines = tokio::task::spawn_blocking(move || last_words.collect())
            .await
            .unwrap_or_default();
        exit::Death { status, lines }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        if let Some(mut worker) = self.worker.take() {
            worker.kill(self.permit.take());
        }
    }
}

impl Worker {
    fn is_alive(&self) -> bool {
        self.body.as_ref().is_some_and(|body| !body.has_ended())
    }

    /// What counts against the memory limit, in bytes; 0 if the system does not tell.
    fn data_size(&self) -> u64 {
        let status = self
            .body
            .as_ref()
            .and_then(|body| std::fs::read_to_string(format!("/proc/{}/status", body.child.id())).ok());
        let kibibytes = status.as_deref().and_then(|status| {
            let line = status.lines().find_map(|line| line.strip_prefix("VmData:"))?;
            line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()
        });
        kibibytes.unwrap_or(0).saturating_mul(1024)
    }

    /// The status of a process that is about to end; `None` if it does not.
    async fn wait_a_moment(&mut self) -> Option<ExitStatus> {
        let deadline = Instant::now() + LAST_BREATH;
        loop {
            let body = self.body.as_mut()?;
            match body.has_ended() {
                true => return body.reap(),
                false if Instant::now() < deadline => tokio::time::sleep(Duration::from_millis(1)).await,
                false => return None,
            }
        }
    }

    /// SIGKILL, now; the room is free again when the process is buried.
    fn kill(&mut self, permit: Option<OwnedSemaphorePermit>) {
        if let Some(body) = self.body.take() {
            body.kill();
            let _ = self.keeper.send(Errand::Bury(body, permit));
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.kill(None);
    }
}

/// The keeper: lives as long as anybody may still have an errand for it, that is as long as any worker does.
fn keep(errands: Receiver<Errand>, alive: &Alive, scratch: &Scratch) {
    for errand in errands {
        match errand {
            Errand::Start(mut command, keeper, started) => {
                let child = command.spawn();
                // The command holds the worker's end of the socket: close it, so that the worker's death is seen.
                drop(command);
                if let Ok(child) = &child {
                    scratch.begin_group(child.id());
                    alive.count.fetch_add(1, Ordering::SeqCst);
                }
                let newborn = child.map(|child| Newborn {
                    child: Some(child),
                    keeper,
                });
                // Whoever has gone meanwhile leaves it to be buried.
                let _ = started.send(newborn);
            }
            Errand::Bury(body, permit) => {
                let group = body.child.id();
                bury(body);
                scratch.end_group(group);
                drop(permit);
                alive.count.fetch_sub(1, Ordering::SeqCst);
                alive.fewer.notify_waiters();
            }
        }
    }
}

/// Ends what is left of it, and removes its folder.
fn bury(mut body: Remains) {
    if !body.is_reaped {
        body.reap();
    }
    drop(body.folder);
}

/// What the system said, and what can be done about it.
fn with_advice(cause: &io::Error) -> String {
    match cause.raw_os_error() {
        Some(code) if code == Errno::EMFILE as i32 || code == Errno::ENFILE as i32 => {
            format!("{cause}; raise the limit of open files (`ulimit -n`), or use fewer --workers")
        }
        Some(code) if code == Errno::EAGAIN as i32 => {
            format!("{cause}; raise the limit of processes (`ulimit -u`), or use fewer --workers")
        }
        _ => cause.to_string(),
    }
}

/// This very program, even if its file has been replaced since it was started.
fn this_program() -> io::Result<PathBuf> {
    let running = PathBuf::from("/proc/self/exe");
    if running.exists() {
        Ok(running)
    } else {
        std::env::current_exe()
    }
}
