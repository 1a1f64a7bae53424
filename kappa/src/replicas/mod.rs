//! Values replicated over independent Redis servers: what the store `redis:` and the journal in Redis are made of.
//!
//! Guarantees, as long as one server of one or two, or a majority of three or more, is left that has everything:
//!
//! * A write is acknowledged when every live server has it, and none of it is lost with a server.
//! * Of several who put a value under one key, exactly one wins: the first server decides, and the others follow it.
//! * A server that has missed something (it was away, paused, emptied, or started again) is not read from, and decides nothing, before it has been given all
//!   that it lacks and relieved of all that was deleted meanwhile.
//! * If the servers cannot be trusted to have everything, nothing is done, and the error says what is needed.
//!
//! The servers do not know each other; [`view`] has the rules by which clients agree on which of them count. [`server`] keeps the connections, and
//! [`introduction`] what a server says of itself; [`membership`] brings the view up to date, [`heal`] lets servers return, [`values`] reads and writes. What
//! this does *not* survive is the loss of a majority of three servers or more (it stops until they are back, or somebody says that they are lost for good:
//! that they refuse connections does not mean that they have ended), and a network that is split between the last two servers for longer than it takes to give a server up, with clients on both sides;
//! that is noticed afterwards, and refused. The module `simulation`, in tests, runs all of it on servers of its own, in a network that is split at any time.
//!
//! A value under the key `K` is the Redis string `kappa:K`: the id of its put, then its bytes.

pub(crate) mod address;
mod clock;
mod heal;
mod introduction;
mod line;
mod membership;
mod sabotage;
mod scripts;
mod server;
#[cfg(test)]
mod simulation;
mod tls;
pub(crate) mod values;
mod view;

pub(crate) use address::Addresses;
pub(crate) use scripts::{Guard, PutId};
pub(crate) use values::{New, Outcome};

use introduction::Told;
use parking_lot::{Mutex, RwLock};
use server::Connected;
use std::fmt;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use view::View;

/// How often servers are asked whether they are there.
const PULSE: Duration = Duration::from_millis(200);

/// How often those that are away are looked for.
const LOOK_FOR_LOST: Duration = Duration::from_millis(500);

/// How long an operation waits for servers that are needed and not there.
const PATIENCE: Duration = Duration::from_secs(8);

/// How long a server that does not take what it is given is left alone.
const SHUNNED_FOR: Duration = Duration::from_secs(10);

/// How long the end of a program waits for what is still to be written.
const FAREWELL: Duration = Duration::from_secs(2);

/// How long an operation is tried while servers come and go.
const PERSISTENCE: Duration = Duration::from_secs(60);

/// The servers of one URL. Everything that waits for them runs on a thread of their own, so that its methods can be awaited anywhere.
pub(crate) struct Replicas {
    me: Weak<Replicas>,
    addresses: Addresses,
    runtime: Handle,
    /// Dropped with this, which ends the thread.
    _stop: oneshot::Sender<()>,
    serving: RwLock<Option<Arc<Serving>>>,
    slots: Mutex<Vec<Slot>>,
    /// Held by whoever brings the view up to date.
    settling: tokio::sync::Mutex<()>,
    /// The set of servers that this client has worked with.
    set: Mutex<Option<String>>,
    /// The highest round of votes that it knows of.
    round: AtomicU64,
    /// Operations that wait for an answer.
    pending: AtomicUsize,
    /// Those whom the end of the program should wait for.
    busy: AtomicUsize,
    is_healing: AtomicBool,
}

/// The servers that work at present.
struct Serving {
    view: View,
    /// Everyone who gets writes, in the view's order. Never empty, and the first is a member, so `targets[0]` and the first answer of the members are there:
    /// `Replicas::publish` says why.
    targets: Vec<Arc<Connected>>,
}

impl Serving {
    fn members(&self) -> &[Arc<Connected>] {
        &self.targets[..self.view.members.len()]
    }

    fn learners(&self) -> &[Arc<Connected>] {
        &self.targets[self.view.members.len()..]
    }

    fn is_whole(&self) -> bool {
        !self.targets.iter().any(|target| target.is_cut())
    }
}

/// One named server.
#[derive(Default)]
struct Slot {
    connected: Option<Arc<Connected>>,
    /// What it has, as far as is known, of what it was told.
    told: Told,
    condition: Condition,
    /// Until when it is not let in again, because it does not take what the others have; and what it said.
    shunned: Option<(Instant, String)>,
    problem: Option<String>,
    /// Why it is not what it was, until it has everything again.
    lost: Option<String>,
}

/// How a server is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Condition {
    /// Nothing is known yet.
    #[default]
    Unknown,
    /// It has everything.
    Serving,
    /// It is being given what it lacks.
    Returning,
    /// It is there, but nothing is kept on it.
    Outside,
    /// It cannot be reached.
    Lost,
}

/// A server of a replicated store or state, as `kappa show` would tell it.
#[derive(Clone, Debug)]
pub struct ReplicaStatus {
    /// Host, port and database.
    pub server: String,
    /// How it is doing.
    pub condition: Condition,
    /// What went wrong last.
    pub problem: Option<String>,
    /// What a person should know of it though it is used.
    pub warning: Option<String>,
}

/// Why the servers did not do what was asked.
#[derive(Clone, Debug)]
pub(crate) enum Problem {
    /// They may later.
    Unreachable(String),
    /// They will not.
    Refused(String),
}

impl Problem {
    pub(crate) fn is_retryable(&self) -> bool {
        matches!(self, Problem::Unreachable(_))
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Problem::Unreachable(cause) | Problem::Refused(cause) => f.write_str(cause),
        }
    }
}

impl Replicas {
    /// Servers that nothing has been asked of yet.
    ///
    /// # Errors
    /// If no thread can be started.
    pub(crate) fn new(addresses: Addresses) -> io::Result<Arc<Self>> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel::<()>();
        std::thread::Builder::new()
            .name("kappa-redis".to_string())
            .spawn(move || {
                // It ends when the other end is dropped.
                let _ = runtime.block_on(stopped);
                runtime.shutdown_background();
            })?;
        Ok(Self::on(addresses, handle, stop))
    }

    /// The same on this runtime.
    fn on(addresses: Addresses, runtime: Handle, stop: oneshot::Sender<()>) -> Arc<Self> {
        let slots = addresses.servers().iter().map(|_| Slot::default()).collect();
        let replicas = Arc::new_cyclic(|me| Replicas {
            me: me.clone(),
            addresses,
            runtime,
            _stop: stop,
            serving: RwLock::new(None),
            slots: Mutex::new(slots),
            settling: tokio::sync::Mutex::new(()),
            set: Mutex::new(None),
            round: AtomicU64::new(0),
            pending: AtomicUsize::new(0),
            busy: AtomicUsize::new(0),
            is_healing: AtomicBool::new(false),
        });
        replicas.runtime.spawn(watch(replicas.me.clone()));
        replicas
    }

    /// Waits until they are ready, blocking this thread.
    ///
    /// # Errors
    /// If they are not there, or cannot be used together.
    pub(crate) fn until_ready(&self) -> Result<(), Problem> {
        self.block_on(|replicas| async move { replicas.serving().await.map(|_| ()) })
    }

    /// Waits until they are ready.
    ///
    /// # Errors
    /// If they are not there, or cannot be used together.
    pub(crate) async fn ready(&self) -> Result<(), Problem> {
        self.serving().await.map(|_| ())
    }

    /// Runs this on the servers' thread, blocking the calling one.
    pub(crate) fn block_on<T, F>(&self, work: impl FnOnce(Arc<Replicas>) -> F) -> Result<T, Problem>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Problem>> + Send + 'static,
    {
        let Some(me) = self.me.upgrade() else {
            return Err(ended());
        };
        let (sender, receiver) = std::sync::mpsc::channel();
        let work = work(me);
        self.runtime.spawn(async move {
            // Whoever does not wait any more does not need to know.
            let _ = sender.send(work.await);
        });
        receiver.recv().unwrap_or_else(|_| Err(ended()))
    }

    /// Starts work that goes on after its cause is gone.
    pub(crate) fn in_background<F>(&self, work: impl FnOnce(Arc<Replicas>) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let Some(me) = self.me.upgrade() else { return };
        let work = work(me);
        self.runtime.spawn(work);
    }

    /// As long as this is kept, [`Replicas::until_quiet`] waits.
    pub(crate) fn busy(self: &Arc<Self>) -> Busy {
        self.busy.fetch_add(1, Ordering::AcqRel);
        Busy(self.clone())
    }

    /// Waits until nobody is busy, but not for long.
    pub(crate) async fn until_quiet(&self) {
        let Some(me) = self.me.upgrade() else { return };
        let waiting = self.runtime.spawn(async move {
            let started = clock::now();
            while me.busy.load(Ordering::Acquire) > 0 && clock::since(started) < FAREWELL {
                clock::sleep(Duration::from_millis(2)).await;
            }
        });
        // The thread has ended: then nothing goes on.
        let _ = waiting.await;
    }

    /// Writes a beat again and again, until it is aborted.
    pub(crate) fn every(&self, interval: Duration, beat: String) -> tokio::task::AbortHandle {
        let me = self.me.clone();
        let beating = self.runtime.spawn(async move {
            while let Some(me) = me.upgrade() {
                me.beat(&beat).await;
                drop(me);
                clock::sleep(interval).await;
            }
        });
        beating.abort_handle()
    }

    /// Sleeps, wherever it is awaited.
    pub(crate) async fn sleep(&self, duration: Duration) {
        // The thread has ended: then there is nothing to wait for.
        let _ = self.runtime.spawn(clock::sleep(duration)).await;
    }

    /// That of the servers' own thread.
    pub(crate) fn runtime(&self) -> Handle {
        self.runtime.clone()
    }

    /// How messages name the servers.
    pub(crate) fn name(&self) -> String {
        self.addresses.to_string()
    }

    /// The URL by which a worker process opens the same servers. Holds the password.
    pub(crate) fn url_for_workers(&self) -> String {
        self.addresses.url_for_workers()
    }

    /// How each server is doing.
    pub(crate) fn status(&self) -> Vec<ReplicaStatus> {
        let slots = self.slots.lock();
        let servers = self.addresses.servers().iter().zip(slots.iter());
        servers
            .map(|(address, slot)| ReplicaStatus {
                server: address.name().to_string(),
                condition: slot.condition,
                problem: slot.problem.clone().or_else(|| slot.lost.clone()),
                warning: slot.connected.as_ref().and_then(|connected| connected.warning.clone()),
            })
            .collect()
    }

    /// Most bytes of a value that all servers take that are there.
    pub(crate) fn longest_value(&self) -> usize {
        let slots = self.slots.lock();
        let longest = slots.iter().filter_map(|slot| slot.connected.as_ref()?.longest);
        let longest = longest.filter_map(|longest| usize::try_from(longest).ok()).min();
        longest.map_or(values::VALUE_LIMIT, |longest| {
            values::VALUE_LIMIT.min(longest.saturating_sub(scripts::ID_BYTES))
        })
    }

    /// How many operations wait for an answer.
    #[cfg(test)]
    pub(crate) fn pending(&self) -> usize {
        self.pending.load(Ordering::Relaxed)
    }

    fn is_worker(&self) -> bool {
        self.addresses.options().is_worker
    }

    /// The servers to work with, at once if nothing has changed.
    async fn serving(&self) -> Result<Arc<Serving>, Problem> {
        match self.present() {
            Some(serving) => Ok(serving),
            None => self.settled().await,
        }
    }

    fn present(&self) -> Option<Arc<Serving>> {
        self.serving.read().clone().filter(|serving| serving.is_whole())
    }

    /// These are not to be worked with any more.
    fn unsettle(&self, serving: &Arc<Serving>) {
        let mut present = self.serving.write();
        if present.as_ref().is_some_and(|present| Arc::ptr_eq(present, serving)) {
            *present = None;
        }
    }

    /// Whatever is worked with, unless it is the view with this token, is not to be worked with any more.
    fn unsettle_unless(&self, token: &str) {
        let mut present = self.serving.write();
        if present.as_ref().is_some_and(|present| present.view.token != token) {
            *present = None;
        }
    }

    /// Brings the view up to date, on the servers' own thread: timers are needed for it.
    async fn settled(&self) -> Result<Arc<Serving>, Problem> {
        let Some(me) = self.me.upgrade() else {
            return Err(ended());
        };
        let settling = self.runtime.spawn(async move { me.settle().await });
        settling.await.unwrap_or_else(|_| Err(ended()))
    }
}

/// A name that nothing else has; in a simulation, one that its seed gives.
fn new_uuid() -> uuid::Uuid {
    #[cfg(test)]
    if let Some(uuid) = simulation::uuid() {
        return uuid;
    }
    uuid::Uuid::new_v4()
}

fn ended() -> Problem {
    Problem::Refused("the thread that talks to the servers has ended".to_string())
}

impl fmt::Debug for Replicas {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Replicas({})", self.addresses)
    }
}

/// Somebody who has something to finish.
pub(crate) struct Busy(Arc<Replicas>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.busy.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Counts an operation as pending for as long as it lives.
struct Pending<'a>(&'a AtomicUsize);

impl<'a> Pending<'a> {
    fn begin(replicas: &'a Replicas) -> Self {
        replicas.pending.fetch_add(1, Ordering::Relaxed);
        Pending(&replicas.pending)
    }
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Asks the servers again and again whether they are there, and looks for those that are not, until the replicas are gone.
async fn watch(replicas: Weak<Replicas>) {
    let mut looked = clock::now();
    loop {
        clock::sleep(PULSE).await;
        let Some(me) = replicas.upgrade() else { return };
        if me.is_worker() && me.pending.load(Ordering::Relaxed) == 0 {
            continue;
        }
        me.feel_pulses();
        if !me.is_worker() && clock::since(looked) >= LOOK_FOR_LOST && me.set.lock().is_some() {
            looked = clock::now();
            tokio::spawn(async move { me.maintain().await });
        }
    }
}

impl Replicas {
    fn feel_pulses(&self) {
        let mut connected: Vec<_> = self
            .slots
            .lock()
            .iter()
            .filter_map(|slot| slot.connected.clone())
            .collect();
        let at_work = self.present().map_or(Vec::new(), |serving| serving.targets.clone());
        for server in at_work {
            if !connected.iter().any(|other| Arc::ptr_eq(other, &server)) {
                connected.push(server);
            }
        }
        for server in connected.into_iter().filter(|server| !server.is_cut()) {
            let Some(me) = self.me.upgrade() else { return };
            tokio::spawn(async move {
                let serving = me.present();
                let token = serving.as_ref().map_or("", |serving| &serving.view.token);
                let is_as_told = server.pulse(token).await;
                // Somebody else has changed the view, or it has lost what it was told.
                if let (Some(serving), Some(false)) = (serving, is_as_told)
                    && serving.targets.iter().any(|target| Arc::ptr_eq(target, &server))
                {
                    me.unsettle(&serving);
                }
            });
        }
    }
}
