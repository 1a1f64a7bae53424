//! The coordinator's decisions, as a pure state machine: [`State::apply`] takes an event and says what is to be done.
//!
//! # What it guarantees
//!
//! 1. A call takes effect once. A duplicate gets the recorded answer; a request of an incarnation that is no longer current is fenced.
//! 2. A call, the checkpoint it carries and the calls that were deferred to it are committed together, or not at all.
//! 3. An item that was taken, or a result that was waited for, is held until the taker's next call is committed.
//! 4. Queues are first in, first out, also among waiting producers and among waiting consumers; nothing is lost or doubled.
//! 5. A blocked task costs nothing: after a short grace its invocation is sent away, and a new one starts when the answer is there.
//! 6. What breaks is retried with back-off, the count restarts after progress, and what cannot go on fails with a typed error. What is nobody's
//!    fault (no room, no store) is retried for ever; what only another program can go on with, or only after somebody has mended something (a full disk, a
//!    damaged store), halts the run, and nothing of it fails. When
//!    everybody waits, the run fails as a deadlock that names who waits for what. A sleeper's time, and an object on its way, are not lost with the
//!    coordinator.
//! 7. What nobody can need any more is deleted while the run goes on: superseded checkpoints, arguments once a checkpoint stands for them,
//!    items once their taker has gone on. Results are kept until the run ends, since a handle may be stored anywhere; at the end of the run
//!    everything goes.
//!
//! # How
//!
//! No I/O, clock, randomness, threads or hashing: the same events give the same state and the same actions, always. So recovery is to apply
//! the journal's events again, ignoring the actions, and then [`Event::Recovered`], which restarts whatever was running.
//!
//! | file | its thought |
//! |---|---|
//! | `message` | events and actions |
//! | `task` | what is known of one task |
//! | `calls` | a request is committed and carried out |
//! | `checks` | a request that makes no sense is refused, before anything of it is carried out |
//! | `waits` | tasks that wait for tasks, and tasks that begin after others |
//! | `queues` | tasks that exchange items |
//! | `outside` | tasks that wait for the clock, or for an object to be at its place |
//! | `invocations` | who runs, who gives way, who is tried again |
//! | `ending` | ends of tasks and of the run; deadlock |
//! | `invariants` | what is true of every state |
//! | `family` | what descends from a task: cancelling it, beginning again |
//! | `snapshot` | the state and the events as bytes |

mod calls;
mod checks;
mod ending;
mod family;
mod invariants;
mod invocations;
mod message;
mod observe;
mod outside;
mod queues;
mod snapshot;
mod task;
#[cfg(test)]
pub(super) mod tests;
mod tuning;
mod waits;

pub use message::{Action, Environment, Event, Halt, Timestamp};
pub use observe::{Observation, RunEvent, RunStats, WaitsFor};
pub use snapshot::{RestoreError, decode_record, encode_record};
pub use tuning::{BackOff, Tuning};

use super::sabotage::{self, Sabotage};
use crate::ids::{Incarnation, QueueId, RunId, Sequence, TaskId};
use crate::protocol::{InvocationOutcome, Payload, Request, TaskResult, TaskSpec};
use crate::usage::Spent;
use queues::Queue;
use serde::{Deserialize, Serialize};
use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use task::{Phase, Task};

/// Stops the run at a state that cannot be, and says so: going on would be a hang, or a wrong answer, that nobody can explain.
macro_rules! impossible {
    ($state:expr => $value:expr, $($message:tt)+) => {{
        $state.break_off(format!($($message)+));
        return $value;
    }};
    ($state:expr, $($message:tt)+) => {
        impossible!($state => (), $($message)+)
    };
}
use impossible;

/// What killed an invocation that was running when the coordinator was gone.
pub(crate) const WITH_ITS_COORDINATOR: &str = "with its coordinator";

/// Everything the coordinator knows of one run.
#[derive(Debug, Serialize, Deserialize)]
pub struct State {
    run: RunId,
    tuning: Tuning,
    environment: Environment,
    /// The latest time seen; never goes back.
    now: Timestamp,
    tasks: BTreeMap<TaskId, Task>,
    next_task: u64,
    queues: BTreeMap<QueueId, Queue>,
    next_queue: u64,
    /// Tasks in [`Phase::Ready`], first come, first served, and some that have ended since.
    ready: VecDeque<TaskId>,
    /// How many of those have ended.
    stale: usize,
    /// Invocations that the platform has been given and has not reported as ended.
    slots: BTreeMap<(TaskId, Incarnation), Slot>,
    /// How many of the slots have been told to leave.
    leaving: usize,
    /// Tasks in [`Phase::Blocked`] whose invocation still holds on, by the end of its grace.
    holding: BTreeSet<(Timestamp, TaskId)>,
    /// Tasks in [`Phase::BackOff`], by the time of the next try.
    backing_off: BTreeSet<(Timestamp, TaskId)>,
    /// Tasks with [`task::Wait::Sleep`], by the end of their sleep.
    sleeping: BTreeSet<(Timestamp, TaskId)>,
    /// Tasks with [`task::Wait::Publish`].
    publishing: BTreeSet<TaskId>,
    /// The places of objects that were on their way when their tasks were cancelled or failed, by task and call, until the driver says that they are not any more.
    withdrawn: BTreeMap<(TaskId, Sequence), String>,
    /// Tasks that can go on by themselves: ready, running or backing off. None of them, and nobody who waits for the world outside, is a deadlock.
    active: usize,
    ended: Option<TaskResult>,
    /// Nobody can go on with the run here and now: nothing is started before the next recovery.
    halted: bool,
    stats: RunStats,
    /// The number of a new task's first invocation.
    first_incarnation: Incarnation,
    /// How many events those who watch have been told.
    observed: u64,
    /// What cannot be, and is: nothing more is decided.
    #[serde(skip)]
    broken: OnceCell<String>,
}

/// One invocation that occupies the platform.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Slot {
    /// When it was handed over.
    started: Timestamp,
    /// It has been suspended or killed, or its task has exited: it is about to end.
    leaving: bool,
    /// We had it killed: its end is no misfortune to be counted.
    stopped: bool,
}

impl State {
    /// A run about which nothing is known yet; the first event must be [`Event::Started`].
    pub fn new(run: RunId) -> Self {
        State {
            run,
            tuning: Tuning::default(),
            environment: Environment::default(),
            now: Timestamp::default(),
            tasks: BTreeMap::new(),
            next_task: 0,
            queues: BTreeMap::new(),
            next_queue: 0,
            ready: VecDeque::new(),
            stale: 0,
            slots: BTreeMap::new(),
            leaving: 0,
            holding: BTreeSet::new(),
            backing_off: BTreeSet::new(),
            sleeping: BTreeSet::new(),
            publishing: BTreeSet::new(),
            withdrawn: BTreeMap::new(),
            active: 0,
            ended: None,
            halted: false,
            stats: RunStats::default(),
            first_incarnation: 0,
            observed: 0,
            broken: OnceCell::new(),
        }
    }

    /// Takes one event that happened at `now`, and appends what is to be done about it to `actions`.
    ///
    /// The actions may be performed only once the event is recorded; in a recovery they are dropped.
    pub fn apply(&mut self, now: Timestamp, event: Event, actions: &mut Vec<Action>) {
        let earlier = self.now;
        self.now = self.now.max(now);
        let before = actions.len();
        match event {
            Event::Started {
                root,
                tuning,
                environment,
            } => self.start(root, tuning, environment, actions),
            Event::Requested(request) => self.request(request, actions),
            Event::InvocationEnded {
                task,
                incarnation,
                outcome,
                spent,
            } => {
                self.invocation_ended(task, incarnation, outcome, &spent, actions);
            }
            Event::Ticked => self.tick(actions),
            Event::Recovered(environment) => self.recover(environment, earlier, actions),
            Event::Cancelled => self.cancel_run(actions),
            Event::Published {
                task,
                sequence,
                outcome,
            } => self.published(task, sequence, outcome, actions),
            Event::ResultCollected(result) => self.collect(result),
            Event::Confirmed => {}
        }
        if self.is_going_on() && !self.halted {
            self.detect_deadlock(actions);
            self.schedule(actions);
        }
        if let Some(cause) = self.broken() {
            let cause = cause.to_string();
            actions.truncate(before);
            actions.push(Action::Broken(cause));
            return;
        }
        let added = actions.iter().skip(before);
        self.observed += added.filter(|action| matches!(action, Action::Observed(_))).count() as u64;
    }

    /// The run.
    pub fn run(&self) -> RunId {
        self.run
    }

    /// The latest time it has heard of.
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// The build of the program that has worked on the run most lately.
    pub fn program(&self) -> &str {
        &self.environment.program
    }

    /// When the next [`Event::Ticked`] is due, if nothing else happens before.
    pub fn next_timer(&self) -> Option<Timestamp> {
        let grace = self.holding.first().map(|&(at, _)| at);
        let retry = self.backing_off.first().map(|&(at, _)| at);
        let sleep = self.sleeping.first().map(|&(at, _)| at);
        [grace, retry, sleep].into_iter().flatten().min()
    }

    /// Whether a request would be fenced in this state: its invocation is not (or no longer) its task's current one. Such a request
    /// changes nothing, so it may be answered without being recorded.
    pub fn fences(&self, request: &Request) -> bool {
        !sabotage::is(Sabotage::Unfenced)
            && self
                .tasks
                .get(&request.task)
                .is_none_or(|task| !task.is_current(request.incarnation) && !task.has_superseded(request))
    }

    /// The run's result, once it has ended.
    pub fn ended(&self) -> Option<&TaskResult> {
        self.ended.as_ref()
    }

    /// How many invocations the platform has been given and has not reported as ended.
    pub fn live_invocations(&self) -> usize {
        self.slots.len()
    }

    /// What has happened so far, in numbers.
    pub fn stats(&self) -> &RunStats {
        &self.stats
    }

    /// The number of the latest [`Action::Observed`]: they are numbered 1, 2, 3, ... in the order of the actions, and always in the same way.
    pub fn observed(&self) -> u64 {
        self.observed
    }

    /// What cannot be, and is: then nothing that the last event led to may be done, or recorded.
    pub fn broken(&self) -> Option<&str> {
        self.broken.get().map(String::as_str)
    }

    /// Only the first counts: the others may follow from it.
    fn break_off(&self, what: String) {
        let _ = self.broken.set(what);
    }

    fn is_going_on(&self) -> bool {
        self.next_task > 0 && self.ended.is_none()
    }

    fn start(&mut self, root: TaskSpec, tuning: Tuning, environment: Environment, actions: &mut Vec<Action>) {
        if self.next_task > 0 {
            impossible!(self, "the run is started a second time");
        }
        self.tuning = tuning;
        self.environment = environment;
        self.create_task(root, None, actions);
    }

    /// Brings every phase to what is true after the coordinator's process was gone: no invocation of before counts any more. Of its end is known only that it
    /// came after `earlier`, the latest moment before.
    fn recover(&mut self, environment: Environment, earlier: Timestamp, actions: &mut Vec<Action>) {
        let ahead = environment.incarnations_ahead;
        self.first_incarnation = self.first_incarnation.saturating_add(ahead);
        self.environment = environment;
        self.halted = false;
        let gone = InvocationOutcome::Killed(WITH_ITS_COORDINATOR.to_string());
        for slot in std::mem::take(&mut self.slots).values() {
            let wall = earlier.since(slot.started);
            self.stats.used.add(&gone, &Spent::default(), wall);
        }
        self.leaving = 0;
        self.holding.clear();
        self.stats.recoveries += 1;
        actions.push(Action::Observed(RunEvent::Recovered));
        for (&id, task) in &mut self.tasks {
            task.next_incarnation = task.next_incarnation.saturating_add(ahead);
            match &mut task.phase {
                Phase::Running(_) => {
                    task.phase = Phase::Ready;
                    self.ready.push_back(id);
                }
                Phase::Blocked { holding, .. } => *holding = None,
                Phase::Ended { leaving, .. } => *leaving = None,
                Phase::Ready | Phase::BackOff(_) => {}
            }
        }
        self.publish_again(actions);
        if self.ended.is_some() {
            actions.push(Action::Ended);
        }
    }

    /// Replaces the run's result by the same bytes without the store, which is about to be emptied.
    fn collect(&mut self, collected: Payload) {
        if let Some(Ok(result)) = &mut self.ended {
            *result = collected;
        }
    }

    /// Deletes an object that nobody can need any more. Only what lies under the run's own prefix: a worker names keys, and must not be able to
    /// have anything else deleted.
    fn discard(&self, payload: Payload, actions: &mut Vec<Action>) {
        if let Payload::Stored { key, length } = payload
            && !sabotage::is(Sabotage::KeepsGarbage)
            && key.starts_with(&format!("{}/", self.run.objects()))
        {
            actions.push(Action::Delete { key, length });
        }
    }
}
