//! Does what the [state machine](super::state) decides: the shell around it.
//!
//! Guarantees that no action is performed before the event that led to it is recorded, that each invocation's end is reported exactly once, and
//! that a run which cannot be recorded any more stops at once, with a message that says how to go on.
//!
//! Where a call is applied depends on the journal:
//!
//! * Without a journal, or with one that is written at once (in memory, or a file that does not wait for the disk), on the caller's own thread, under one
//!   lock: an answer that is there at once is returned without a change of threads.
//! * With one that waits, by a recorder: whatever has arrived while the last batch was being written becomes the next batch (group commit).
//!   It is a thread of the run's own if the journal blocks the thread that writes it; a task if it only waits: where the journal itself works, if that
//!   has a runtime, so that a call changes threads on its way there and on its way back and not in between, or else on the coordinator's runtime.
//!
//! Everything else that waits (invocations, timers, deletions) runs on the coordinator's own runtime, apart from the one on which tasks compute:
//! a task that hogs its threads delays no timer and nobody else's checkpoint.
//!
//! Time, platform, store and journal are handed in, nothing is decided by the order of a hash table, by the system's clock or by chance: on one
//! thread, under a clock of its own, the same surroundings give the same history. `tests/simulation` lives by that.

mod answers;
pub mod clock;
mod finish;
mod garbage;
mod measured;
mod observers;
mod perform;
mod publish;
mod record;
#[cfg(test)]
mod tests;

use super::sabotage::{self, Sabotage};
use super::state::{Action, Environment, Event, RunEvent, RunStats, State, Timestamp, Tuning, decode_record};
use crate::ids::{Incarnation, RunId, Sequence, TaskId};
use crate::journal::{Journal, JournalError};
use crate::link::Link;
use crate::platform::Platform;
use crate::protocol::{Reply, Request, TaskSpec};
use crate::runtime::RunError;
use crate::store::Store;
use crate::store::counted::{Counted, Counts};
use crate::usage::Operations;
use async_trait::async_trait;
use bytes::Bytes;
use clock::Clock;
use futures::future::AbortHandle;
use garbage::Garbage;
pub use observers::{Observer, RunEnd};
use observers::{Outbox, Spans};
use parking_lot::Mutex;
pub(crate) use perform::BY_THE_COORDINATOR;
pub use publish::{Draft, Files, Gate, LocalFiles};
use record::{Compaction, Input, Milestone};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::{Notify, Semaphore, broadcast, mpsc, oneshot, watch};

/// How many events a slow watcher may be behind before it misses some.
const EVENTS_KEPT: usize = 4096;

/// No life of a coordinator gives so many invocations to a task.
const IN_ONE_LIFE: Incarnation = 1 << 32;

/// How many objects are put to external places at once, whatever the tasks ask for.
const PUBLISHED_AT_ONCE: usize = 8;

/// What a coordinator works with.
#[derive(Clone)]
pub struct Setup {
    /// The run.
    pub run: RunId,
    /// Another number, below 2^40, for each life of the run's coordinator: by chance, so that even one of which the journal knows nothing had another.
    pub life: u64,
    /// What starts invocations.
    pub platform: Arc<dyn Platform>,
    /// What starts those that are to run on this machine, whatever the platform is.
    pub here: Arc<dyn Platform>,
    /// Where the run's large values are kept.
    pub store: Arc<dyn Store>,
    /// Where objects are put that are to be files of this machine.
    pub files: Arc<dyn Files>,
    /// Where decisions are recorded; without it the run ends with this process.
    pub journal: Option<Arc<dyn Journal>>,
    /// The coordinator's own runtime. Tasks must not compute on it.
    pub runtime: Handle,
    /// What tells the time.
    pub clock: Arc<dyn Clock>,
    /// Limits and delays.
    pub tuning: Tuning,
    /// How long an invocation may run.
    pub time_limit: Option<Duration>,
    /// What identifies the build of this program; empty if nobody is to ask.
    pub program: String,
    /// A run on which another build has worked is gone on with all the same.
    pub same_program: bool,
    /// Who is told everything that happens, without a gap.
    pub observers: Vec<Arc<dyn Observer>>,
}

/// The coordinator of one run. Dropping it stops the run: what is running is killed; with a durable journal the run can be resumed.
pub struct Coordinator {
    shared: Arc<Shared>,
}

/// What all parts of the shell see.
struct Shared {
    me: Weak<Shared>,
    setup: Setup,
    /// What the coordinator itself does, as far as the state has not been told.
    doings: Doings,
    /// How far the run's time is ahead of the clock's: another machine's clock may have been before this one's.
    ahead: Duration,
    core: Mutex<Core>,
    /// The next timer has become an earlier one.
    earlier_timer: Notify,
    /// An invocation has ended.
    invocation_gone: Notify,
    events: broadcast::Sender<RunEvent>,
    outcome: watch::Sender<Option<Result<Bytes, RunError>>>,
    gate: Arc<Gate>,
    /// Room for objects on their way to external places: each takes memory here.
    publishing: Semaphore,
    garbage: Garbage,
    outbox: Outbox,
}

/// What the coordinator itself does, since it was last told.
struct Doings {
    /// Counts of `setup.store`.
    store: Arc<Counts>,
    /// The store as it was given.
    uncounted: Arc<dyn Store>,
    journal_writes: AtomicU64,
}

/// Which call waits for its reply, and where that goes.
type Waiting = (Sequence, oneshot::Sender<Reply>);

/// Which invocation.
type Key = (TaskId, Incarnation);

/// What the lock protects.
struct Core {
    state: State,
    /// Where replies go.
    waiting: BTreeMap<Key, Vec<Waiting>>,
    /// What is running, and how to kill it.
    invocations: BTreeMap<Key, AbortHandle>,
    /// Who has been answered through the store.
    long_answers: BTreeSet<Key>,
    /// How many objects are on their way to external places.
    publishing: usize,
    /// The timer that the clock is set to.
    armed: Option<Timestamp>,
    /// Nothing is applied any more.
    stopped: bool,
    /// Why it was stopped.
    reason: Option<RunError>,
    /// How it is over has been said.
    is_over: bool,
    compaction: Compaction,
    spans: Spans,
    /// The way to the recorder, if there is one.
    inputs: Option<mpsc::UnboundedSender<Input>>,
}

impl Coordinator {
    /// Starts a run with this task.
    ///
    /// # Errors
    /// If the journal cannot be written.
    pub async fn start(setup: Setup, root: TaskSpec) -> Result<Self, RunError> {
        let environment = environment(&setup, 0);
        let tuning = setup.tuning.clone();
        let state = State::new(setup.run);
        let coordinator = Self::around(state, setup, Compaction::default())?;
        let started = Event::Started {
            root,
            tuning,
            environment,
        };
        coordinator.begin(started).await
    }

    /// Goes on with the run that the journal has recorded. A run that had ended gives its result again.
    ///
    /// # Errors
    /// If there is nothing to go on with, or it cannot be read.
    pub async fn resume(setup: Setup) -> Result<Self, RunError> {
        let run = setup.run;
        let journal_failed = |cause| RunError::Journal { run, cause };
        let Some(journal) = setup.journal.clone() else {
            return Err(RunError::Unknown { run });
        };
        let (snapshot, records) = journal.load().await.map_err(journal_failed)?;
        if snapshot.is_none() && records.is_empty() {
            return Err(RunError::Unknown { run });
        }
        let damaged = |cause: super::state::RestoreError| {
            journal_failed(JournalError::Unavailable {
                place: format!("of run {run}"),
                action: "be read".to_string(),
                cause: cause.to_string(),
            })
        };
        let compaction = Compaction::loaded(snapshot.as_deref(), &records);
        let mut state = match snapshot {
            Some(bytes) => State::restore(&bytes).map_err(damaged)?,
            None => State::new(run),
        };
        let mut actions = Vec::new();
        for record in &records {
            let (at, event) = decode_record(record).map_err(damaged)?;
            state.apply(at, event, &mut actions);
            if let Some(cause) = state.broken() {
                return Err(broken(&setup, cause));
            }
            observers::replayed(&setup, at, state.observed(), &actions);
            actions.clear();
        }
        if !setup.same_program && crate::program::differ(state.program(), &setup.program) {
            return Err(RunError::OtherProgram {
                run,
                before: crate::program::shown(state.program()),
                now: crate::program::shown(&setup.program),
            });
        }
        // A journal that has lost its end does not know which numbers were given. In one life of a coordinator there are fewer than `IN_ONE_LIFE`.
        let ahead = match sabotage::is(Sabotage::RepeatsIncarnations) {
            true => 0,
            false => IN_ONE_LIFE.saturating_add(setup.life),
        };
        let mut environment = environment(&setup, ahead);
        if environment.program.is_empty() {
            environment.program = state.program().to_string(); // Who is nobody leaves the run to whom it belongs.
        }
        let coordinator = Self::around(state, setup, compaction)?;
        coordinator.begin(Event::Recovered(environment)).await
    }

    fn around(state: State, mut setup: Setup, compaction: Compaction) -> Result<Self, RunError> {
        let run = setup.run;
        let uncounted = setup.store;
        let (store, counts) = Counted::over(uncounted.clone());
        setup.store = store;
        let journal = setup.journal.clone().filter(|journal| !journal.is_immediate());
        let (inputs, received) = match journal {
            Some(journal) => {
                let (inputs, received) = mpsc::unbounded_channel();
                (Some(inputs), Some((journal, received)))
            }
            None => (None, None),
        };
        let ahead = state.now().since(setup.clock.now());
        let core = Core {
            state,
            waiting: BTreeMap::new(),
            invocations: BTreeMap::new(),
            long_answers: BTreeSet::new(),
            publishing: 0,
            armed: None,
            stopped: false,
            reason: None,
            is_over: false,
            compaction,
            spans: Spans::of(run),
            inputs,
        };
        let shared = Arc::new_cyclic(|me| Shared {
            me: me.clone(),
            setup,
            doings: Doings {
                store: counts,
                uncounted,
                journal_writes: AtomicU64::new(0),
            },
            ahead,
            core: Mutex::new(core),
            earlier_timer: Notify::new(),
            invocation_gone: Notify::new(),
            events: broadcast::channel(EVENTS_KEPT).0,
            outcome: watch::channel(None).0,
            gate: Arc::default(),
            publishing: Semaphore::new(PUBLISHED_AT_ONCE),
            garbage: Garbage::default(),
            outbox: Outbox::default(),
        });
        if let Some((journal, received)) = received {
            let recorder = shared.clone();
            let (is_blocking, own_runtime) = (journal.is_blocking(), journal.runtime());
            let recording = async move { recorder.record_batches(&*journal, received).await };
            if is_blocking {
                std::thread::Builder::new()
                    .name("kappa-journal".to_string())
                    .spawn(|| futures::executor::block_on(recording))
                    .map_err(|cause| RunError::Platform {
                        run,
                        cause: format!("cannot start a thread: {cause}"),
                    })?;
            } else {
                let runtime = own_runtime.unwrap_or_else(|| shared.setup.runtime.clone());
                runtime.spawn(recording);
            }
        }
        shared.setup.runtime.spawn(clock::keep_time(shared.me.clone()));
        Ok(Coordinator { shared })
    }

    /// Hands over the coordinator once its first event is durable.
    async fn begin(self, event: Event) -> Result<Self, RunError> {
        let has_begun = self.shared.pass(Milestone::Recorded, event).await;
        // What stops it from then on is told to whoever waits for it.
        match self.shared.failure().filter(|_| !has_begun) {
            Some(error) => Err(error),
            None => Ok(self),
        }
    }

    /// The run.
    pub fn run(&self) -> RunId {
        self.shared.setup.run
    }

    /// How workers in this process reach the coordinator.
    pub fn link(&self) -> Arc<dyn Link> {
        self.shared.clone()
    }

    /// What happens from now on.
    pub fn events(&self) -> broadcast::Receiver<RunEvent> {
        self.shared.events.subscribe()
    }

    /// What has happened so far, in numbers.
    pub fn stats(&self) -> RunStats {
        self.shared.stats(&self.shared.core.lock())
    }

    /// Adds what was done in the store for the run, outside of the coordinator.
    pub fn count(&self, operations: Operations) {
        self.shared.doings.store.add(operations);
    }

    /// Ends the run with all its tasks. They fail with [`Failure::Cancelled`](crate::Failure::Cancelled).
    pub fn cancel(&self) {
        self.shared.happened(Event::Cancelled);
    }

    /// Does what [`Coordinator::cancel`] does, for whoever must not keep the coordinator alive.
    pub fn canceller(&self) -> Box<dyn Fn() + Send> {
        let shared = self.shared.me.clone();
        Box::new(move || {
            if let Some(shared) = shared.upgrade() {
                shared.happened(Event::Cancelled);
            }
        })
    }

    /// Stops working on the run, and returns when nothing of it is running in this process any more. It can be resumed if it has a durable
    /// journal.
    pub async fn interrupt(&self) {
        self.shared.stop(self.shared.interrupted());
        self.shared.until_nothing_runs().await;
    }

    /// The run's end: its result as `postcard`, or why there is none.
    ///
    /// # Errors
    /// If the run failed, was interrupted, or cannot be recorded any more.
    pub async fn wait(&self) -> Result<Bytes, RunError> {
        let mut outcome = self.shared.outcome.subscribe();
        let outcome = outcome.wait_for(Option::is_some).await;
        match outcome.ok().and_then(|outcome| outcome.clone()) {
            Some(outcome) => outcome,
            None => Err(self.shared.interrupted()),
        }
    }
}

impl Drop for Coordinator {
    fn drop(&mut self) {
        self.shared.stop(self.shared.interrupted());
    }
}

fn environment(setup: &Setup, incarnations_ahead: Incarnation) -> Environment {
    Environment {
        concurrency: setup.platform.concurrency() as u64,
        time_limit: setup.time_limit,
        incarnations_ahead,
        program: setup.program.clone(),
    }
}

fn broken(setup: &Setup, cause: &str) -> RunError {
    RunError::Broken {
        run: setup.run,
        cause: cause.to_string(),
        resumable: setup.journal.is_some(),
    }
}

#[async_trait]
impl Link for Shared {
    async fn send(&self, request: Request) -> Reply {
        let (key, sequence) = ((request.task, request.incarnation), request.sequence);
        let answer = self.with_core(|core| {
            if core.stopped || core.state.fences(&request) {
                return Ok(Reply::Fenced);
            }
            match &core.inputs {
                Some(inputs) => {
                    let (sender, receiver) = oneshot::channel();
                    // If the recorder is gone, so is the sender, and the receiver says so.
                    let _ = inputs.send(Input::Request(request, sender));
                    Err(receiver)
                }
                None => self.call(core, request),
            }
        });
        let reply = match answer {
            Ok(reply) => reply,
            Err(receiver) => receiver.await.unwrap_or(Reply::Fenced),
        };
        self.short_reply(key, sequence, reply).await
    }
}

impl Shared {
    /// Does this under the lock, and then, without it, tells those who watch what has come of it: what they do may take long, ask for the lock, or panic.
    fn with_core<T>(&self, step: impl FnOnce(&mut Core) -> T) -> T {
        let done = step(&mut self.core.lock());
        self.tell_observers();
        done
    }

    /// An event from this process: applied at once, or handed to the recorder.
    fn happened(&self, event: Event) {
        self.with_core(|core| {
            if core.stopped {
                return;
            }
            match &core.inputs {
                Some(inputs) => {
                    // A recorder that is gone has stopped the run, and said why.
                    let _ = inputs.send(Input::Event(event));
                }
                None => {
                    let actions = self.apply_now(core, event);
                    self.perform(core, actions);
                }
            }
        });
    }

    /// A call without a recorder: the reply, or where it will come from.
    fn call(&self, core: &mut Core, request: Request) -> Result<Reply, oneshot::Receiver<Reply>> {
        let (task, incarnation, sequence) = (request.task, request.incarnation, request.sequence);
        let mut actions = self.apply_now(core, Event::Requested(request));
        let is_mine = |action: &Action| {
            matches!(action, Action::Reply { task: t, incarnation: i, sequence: s, .. }
                if *t == task && *i == incarnation && *s == sequence)
        };
        // The others keep their order: they are numbered by it, here and when the journal is read again.
        let mine = match actions.iter().position(is_mine) {
            Some(index) if sabotage::is(Sabotage::ReordersActions) => Some(actions.swap_remove(index)),
            Some(index) => Some(actions.remove(index)),
            None => None,
        };
        self.perform(core, actions);
        match mine {
            Some(Action::Reply { reply, .. }) => Ok(reply),
            _ if core.stopped => Ok(Reply::Fenced),
            _ => {
                let (sender, receiver) = oneshot::channel();
                core.await_reply((task, incarnation), sequence, sender);
                Err(receiver)
            }
        }
    }

    /// The time. It never goes back, whatever clocks the coordinators before this one had: timers would wait until it has caught up.
    fn now(&self) -> Timestamp {
        let ahead = if sabotage::is(Sabotage::BelievesClock) {
            Duration::ZERO
        } else {
            self.ahead
        };
        self.setup.clock.now().after(ahead)
    }

    fn interrupted(&self) -> RunError {
        RunError::Interrupted {
            run: self.setup.run,
            resumable: self.setup.journal.is_some(),
        }
    }

    /// Why nobody can go on with the run before somebody has mended something.
    fn needs_repair(&self, cause: String) -> RunError {
        RunError::NeedsRepair {
            run: self.setup.run,
            cause,
            resumable: self.setup.journal.is_some(),
        }
    }

    /// Why the run has been stopped, if it has.
    fn failure(&self) -> Option<RunError> {
        match &self.core.lock().reason {
            Some(
                error @ (RunError::Journal { .. }
                | RunError::Platform { .. }
                | RunError::NeedsRepair { .. }
                | RunError::Broken { .. }),
            ) => Some(error.clone()),
            _ => None,
        }
    }

    fn is_stopped(&self) -> bool {
        self.core.lock().stopped
    }

    /// Ends all work on the run in this process.
    fn stop(&self, reason: RunError) {
        self.with_core(|core| self.stop_locked(core, reason));
    }

    fn stop_locked(&self, core: &mut Core, reason: RunError) {
        if core.stopped {
            return;
        }
        core.stopped = true;
        core.inputs = None; // The recorder ends when it has emptied its channel.
        core.waiting.clear();
        self.gate.close();
        for invocation in core.invocations.values() {
            invocation.abort();
        }
        self.earlier_timer.notify_one();
        core.reason = Some(reason.clone());
        self.is_over(core, Err(reason));
    }

    async fn until_nothing_runs(&self) {
        loop {
            let gone = self.invocation_gone.notified();
            {
                let core = self.core.lock();
                if core.invocations.is_empty() && core.publishing == 0 {
                    return;
                }
            }
            gone.await;
        }
    }
}
