//! A platform whose invocations die at any moment, and sometimes go on after that.

use super::clock::MachineClock;
use super::faults::Class;
use super::link::SimulatedLink;
use super::store::{SimulatedStore, User};
use super::{Epoch, World};
use async_trait::async_trait;
use kappa::ids::{Sequence, TaskId};
use kappa::link::Link;
use kappa::platform::Platform;
use kappa::protocol::{Invocation, InvocationOutcome, Request};
use kappa::worker::{WorkerEnd, run_invocation_by};
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// The platform of one life of the coordinator.
pub(crate) struct SimulatedPlatform {
    pub(crate) world: Arc<World>,
    pub(crate) epoch: Epoch,
    pub(crate) concurrency: usize,
    /// It is the one for tasks that are to run on the coordinator's machine.
    pub(crate) is_here: bool,
    /// The program of this life does not have this function.
    pub(crate) lacks: Option<&'static str>,
}

/// One invocation, from outside.
pub(crate) struct Worker {
    pub(crate) world: Arc<World>,
    task: TaskId,
    /// Where it started.
    start: Sequence,
    fate: Option<Fate>,
    requests: AtomicU64,
    /// How the platform is told of its end.
    told: Mutex<Option<oneshot::Sender<InvocationOutcome>>>,
    /// The platform has given it up.
    given_up: AtomicBool,
    /// It goes on when it is given up.
    zombie: AtomicBool,
}

/// What will happen to an invocation.
#[derive(Clone, Copy, Debug)]
struct Fate {
    moment: Moment,
    how: How,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Moment {
    /// Before its n-th request is handed over (0 is the first).
    Before(u64),
    /// After the reply to its n-th request.
    After(u64),
    /// After so many microseconds.
    Time(u64),
}

/// A way to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum How {
    Killed,
    Crashed,
    TimedOut,
    OutOfMemory,
}

impl How {
    fn name(self) -> &'static str {
        match self {
            How::Killed => "invocation is killed",
            How::Crashed => "invocation crashes",
            How::TimedOut => "invocation times out",
            How::OutOfMemory => "invocation is out of memory",
        }
    }

    fn outcome(self) -> InvocationOutcome {
        let message = "fate".to_string();
        match self {
            How::Killed => InvocationOutcome::Killed(message),
            How::Crashed => InvocationOutcome::Crashed(message),
            How::TimedOut => InvocationOutcome::TimedOut,
            How::OutOfMemory => InvocationOutcome::OutOfMemory(message),
        }
    }
}

impl Worker {
    pub(crate) fn count_request(&self) -> u64 {
        self.requests.fetch_add(1, Ordering::Relaxed)
    }

    /// Whether it ends before it hands over this request.
    pub(crate) fn meets_before(&self, request: u64) -> Option<How> {
        self.fate
            .filter(|fate| fate.moment == Moment::Before(request))
            .map(|fate| fate.how)
    }

    /// Whether it ends when it has the reply to this request.
    pub(crate) fn meets_after(&self, request: u64) -> Option<How> {
        self.fate
            .filter(|fate| fate.moment == Moment::After(request))
            .map(|fate| fate.how)
    }

    /// The platform sees its end: its fate, or the time limit.
    pub(crate) fn end(&self, how: How, place: &str, is_fate: bool) {
        let Some(told) = self.told.lock().take() else { return };
        if is_fate {
            self.world.struck(how.name(), || place.to_string());
        }
        self.given_up.store(true, Ordering::Relaxed);
        if self
            .world
            .strikes(Class::Zombie, "invocation goes on after its end", || place.to_string())
        {
            self.zombie.store(true, Ordering::Relaxed);
        }
        // The platform may have seen another end at the same moment.
        let _ = told.send(how.outcome());
    }

    /// Whether the platform still listens.
    pub(crate) fn may_be_unlinked(&self) -> bool {
        self.told.lock().is_some()
    }

    /// It cannot reach the coordinator, and leaves with its request.
    pub(crate) fn leaves_with(&self, request: Request) {
        if let Some(told) = self.told.lock().take() {
            self.given_up.store(true, Ordering::Relaxed);
            // The platform may have seen another end at the same moment.
            let _ = told.send(InvocationOutcome::Unlinked(Box::new(request)));
        }
    }

    pub(crate) fn is_zombie(&self) -> bool {
        self.zombie.load(Ordering::Relaxed)
    }

    pub(crate) fn is_given_up(&self) -> bool {
        self.given_up.load(Ordering::Relaxed)
    }

    /// Whether one more misfortune of this invocation is within what its task can take without progress. One that was given up may do as it likes.
    pub(crate) fn may_break(&self) -> bool {
        self.is_given_up() || self.world.may_break(self.task, self.start)
    }

    /// It will end early.
    pub(crate) fn breaks(&self) {
        if !self.is_given_up() {
            self.world.breaks(self.task, self.start);
        }
    }
}

/// The invocation's task; it ends with this, unless it becomes a zombie.
struct Leash {
    worker: Arc<Worker>,
    running: JoinHandle<WorkerEnd>,
}

impl Drop for Leash {
    fn drop(&mut self) {
        let worker = &self.worker;
        let is_new = !worker.given_up.swap(true, Ordering::Relaxed) && !self.running.is_finished();
        let world = &worker.world;
        if is_new
            && !world.is_over()
            && world.strikes(Class::Zombie, "invocation goes on after it was stopped", || {
                "any place".to_string()
            })
        {
            worker.zombie.store(true, Ordering::Relaxed);
        }
        if !worker.is_zombie() || world.is_over() {
            self.running.abort();
        }
    }
}

impl SimulatedPlatform {
    fn fate(&self, invocation: &Invocation) -> Option<Fate> {
        let world = &self.world;
        let dice = &world.dice;
        if !world.may_break(invocation.task, invocation.last_sequence) || !world.is_due(Class::Death) {
            return None;
        }
        world.breaks(invocation.task, invocation.last_sequence);
        let request = (0..10).take_while(|_| dice.chance(0.6)).count() as u64;
        let moment = match dice.number(0..3) {
            0 => Moment::Before(request),
            1 => Moment::After(request),
            _ => Moment::Time(dice.number(0..50_000)),
        };
        let how = match invocation.time_limit {
            Some(_) => dice.one(&[How::Killed, How::Crashed, How::TimedOut, How::OutOfMemory]),
            None => dice.one(&[How::Killed, How::Killed, How::Crashed, How::OutOfMemory]),
        };
        Some(Fate { moment, how })
    }
}

#[async_trait]
impl Platform for SimulatedPlatform {
    async fn invoke(&self, invocation: Invocation, link: Arc<dyn Link>) -> InvocationOutcome {
        let world = &self.world;
        world.reached(self.epoch, link);
        let (task, incarnation) = (invocation.task, invocation.incarnation);
        world.started(task, incarnation, self.is_here);
        world.pause().await;
        if world.strikes(Class::Death, "invocation is throttled", || "start".to_string()) {
            return InvocationOutcome::Throttled("fate".to_string());
        }
        if self
            .lacks
            .is_some_and(|function| invocation.function.ends_with(function))
        {
            world.struck("program lacks the function", || invocation.function.clone());
            return InvocationOutcome::WrongProgram(format!("it has no task function {}", invocation.function));
        }
        let fate = self.fate(&invocation);
        let (told, hears) = oneshot::channel();
        let worker = Arc::new(Worker {
            world: world.clone(),
            task,
            start: invocation.last_sequence,
            fate,
            requests: AtomicU64::new(0),
            told: Mutex::new(Some(told)),
            given_up: AtomicBool::new(false),
            zombie: AtomicBool::new(false),
        });
        let link = Arc::new(SimulatedLink(worker.clone()));
        let store = Arc::new(SimulatedStore {
            world: world.clone(),
            user: User::Worker(worker.clone()),
        });
        let limit = match invocation.time_limit {
            Some(limit) => limit.as_micros() as u64,
            None => u64::MAX,
        };
        let clock = Arc::new(MachineClock {
            clock: world.clock.clone(),
            origin: 0,
        });
        let running = world.runtime.spawn(run_invocation_by(clock, invocation, link, store));
        let mut leash = Leash {
            worker: worker.clone(),
            running,
        };
        let moment = match fate {
            Some(Fate {
                moment: Moment::Time(time),
                ..
            }) => time,
            _ => u64::MAX,
        };
        let outcome = tokio::select! {
            biased;
            Ok(outcome) = hears => outcome,
            end = &mut leash.running => match end {
                Ok(end) => end.into(),
                Err(cause) => InvocationOutcome::Crashed(cause.to_string()),
            },
            () = world.clock.wait(moment.min(limit)) => {
                match fate {
                    Some(fate) if moment < limit => {
                        worker.end(fate.how, "any time", true);
                        fate.how.outcome()
                    }
                    _ => {
                        worker.end(How::TimedOut, "time limit", false);
                        InvocationOutcome::TimedOut
                    }
                }
            }
        };
        world.note(|| {
            format!(
                "{task} invocation {incarnation} ends: {}",
                super::outcome_name(&outcome)
            )
        });
        drop(leash);
        // Some time passes until it is noticed.
        world.pause().await;
        outcome
    }

    async fn shutdown(&self) {}

    fn concurrency(&self) -> usize {
        self.concurrency
    }
}
