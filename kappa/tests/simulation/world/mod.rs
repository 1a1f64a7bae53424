//! The whole runtime in one thread, under a virtual clock: state machine, driver, worker loop, `Context`, tasks. Only what surrounds it is not real:
//! platform, link, store and journal hand over with random delays, and fail.
//!
//! Guarantees that a seed decides everything: the program, who overtakes whom, what goes wrong and where. [`simulate`] runs one seed and says what
//! was wrong; the same seed gives the same history in every process.

mod clock;
mod dice;
mod faults;
mod files;
mod history;
mod interpreter;
mod journal;
mod link;
pub(crate) mod many;
mod model;
mod observer;
mod platform;
mod script;
mod store;

use bytes::Bytes;
use clock::{MachineClock, VirtualClock};
use dice::Dice;
use faults::{Class, Ledger, Outage, Profile};
use files::{Disk, SimulatedFiles};
use history::{Finding, History};
use journal::{SimulatedJournal, Written};
use kappa::coordinator::driver::{Coordinator, Setup};
use kappa::coordinator::state::Event;
use kappa::ids::{Incarnation, RunId, Sequence, TaskId};
use kappa::link::Link;
use kappa::protocol::{InvocationOutcome, Payload, TaskSpec};
use kappa::runtime::{BackOff, RunError, RunEvent, RunStats, Tuning};
use kappa::{Failure, TaskError};
use model::Predicted;
use observer::SimulatedObserver;
use parking_lot::Mutex;
use platform::SimulatedPlatform;
use script::{Limits, Script};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use store::{SimulatedStore, User};
use tokio::runtime::Handle;
use tokio::sync::Notify;

/// Which life of the coordinator.
pub(crate) type Epoch = u64;

/// How often an invocation may end early without its task having made progress.
const MOST_BREAKS: u32 = 3;

/// How many of these without progress are too many: more than all that fate does.
const LIMIT: u32 = 6;

/// What to simulate.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Simulation {
    pub(crate) seed: u64,
    /// Whether to keep the history, to be printed.
    pub(crate) is_recorded: bool,
    pub(crate) trouble: Trouble,
}

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// What the seed says.
    Random,
    /// Nothing but the death of the coordinator at its n-th write to the journal (1 is the first), if that; before it or after it.
    OneDeath(Option<(u64, &'static str)>),
}

/// What a simulation came to.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) faults: u64,
    /// Distinct places at which something went wrong, and what.
    pub(crate) points: BTreeSet<(String, &'static str)>,
    /// Calls that took effect.
    pub(crate) commits: u64,
    /// Writes to the journal.
    pub(crate) writes: u64,
    /// What happened, in the coordinator's own numbers.
    pub(crate) stats: RunStats,
    pub(crate) violations: Vec<String>,
    /// What happened, in order; if it was to be recorded.
    pub(crate) history: Vec<String>,
}

/// What everything in a simulation shares.
pub(crate) struct World {
    pub(crate) run: RunId,
    pub(crate) clock: Arc<VirtualClock>,
    pub(crate) dice: Dice,
    pub(crate) runtime: Handle,
    pub(crate) grace: Duration,
    simulation: Simulation,
    profile: Profile,
    outage: Option<Outage>,
    /// The journal does not wait for the disk.
    may_lose_power: bool,
    /// Whoever waits for the run knows its outcome.
    is_told: AtomicBool,
    is_over: AtomicBool,
    /// A coordinator has been paused.
    paused: Notify,
    inner: Mutex<Inner>,
}

struct Inner {
    /// See [`World::origin`].
    origin: u64,
    ledger: Ledger,
    /// The life of the coordinator that is going on; `None` between two.
    alive: Option<Epoch>,
    /// Lives that go on although somebody else has the run.
    paused: BTreeSet<Epoch>,
    /// The machine has lost its power since the journal was last read.
    is_power_lost: bool,
    /// Every object that ever was.
    ever: BTreeMap<String, Bytes>,
    /// How to reach it.
    way: Option<(Epoch, Arc<dyn Link>)>,
    written: Written,
    writes: u64,
    history: History,
    objects: BTreeMap<String, Bytes>,
    most_objects: usize,
    disk: Disk,
    /// Deletions that did not happen because the store was away.
    kept: usize,
    /// Everything of the run has been deleted, and what zombies have put since then.
    is_emptied: bool,
    late_objects: BTreeSet<String>,
    invocations: BTreeSet<(TaskId, Incarnation)>,
    breaks: BTreeMap<(TaskId, Sequence), u32>,
    violations: Vec<String>,
    lines: Vec<String>,
}

impl World {
    /// Some time passes, or none.
    pub(crate) async fn pause(&self) {
        let delay = self.dice.delay();
        if delay > 0 {
            self.clock.wait(delay).await;
        }
    }

    /// A line of the history.
    pub(crate) fn note(&self, line: impl FnOnce() -> String) {
        if self.simulation.is_recorded {
            let line = format!("{:>12} us  {}", self.clock.elapsed(), line());
            self.inner.lock().lines.push(line);
        }
    }

    pub(crate) fn violated(&self, what: String) {
        self.note(|| format!("VIOLATION: {what}"));
        self.inner.lock().violations.push(what);
    }

    /// Whether a misfortune of this class is due.
    pub(crate) fn is_due(&self, class: Class) -> bool {
        let rate = self.profile.rate(class);
        rate > 0.0 && self.inner.lock().ledger.faults < self.profile.most && self.dice.chance(rate)
    }

    /// Whether a misfortune of this class happens here and now.
    pub(crate) fn strikes(&self, class: Class, what: &'static str, place: impl FnOnce() -> String) -> bool {
        let strikes = self.is_due(class);
        if strikes {
            self.struck(what, place);
        }
        strikes
    }

    /// A misfortune has happened.
    pub(crate) fn struck(&self, what: &'static str, place: impl FnOnce() -> String) {
        let place = place();
        self.note(|| format!("FAULT: {what}: {place}"));
        let ledger = &mut self.inner.lock().ledger;
        ledger.faults += 1;
        ledger.points.insert((place, what));
    }

    /// Why the store cannot be reached now, if it cannot.
    pub(crate) fn outage(&self) -> Option<Outage> {
        let now = self.clock.elapsed();
        self.outage.filter(|outage| (outage.from..outage.until).contains(&now))
    }

    /// Somebody wants something of the store, and it is away.
    pub(crate) fn is_away(&self, action: &'static str, place: impl FnOnce() -> String) {
        let place = format!("{action}, {}", place());
        self.note(|| format!("the store is away: {place}"));
        let inner = &mut *self.inner.lock();
        inner.ledger.points.insert((place, "the store is away"));
        if action == "delete" {
            inner.kept += 1;
        }
    }

    /// Whether the task may lose one more invocation that started there.
    pub(crate) fn may_break(&self, task: TaskId, start: Sequence) -> bool {
        self.inner
            .lock()
            .breaks
            .get(&(task, start))
            .is_none_or(|count| *count < MOST_BREAKS)
    }

    pub(crate) fn breaks(&self, task: TaskId, start: Sequence) {
        *self.inner.lock().breaks.entry((task, start)).or_default() += 1;
    }

    pub(crate) fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }

    pub(crate) fn is_alive(&self, epoch: Epoch) -> bool {
        self.inner.lock().alive == Some(epoch)
    }

    /// What the clock of the coordinator's machine showed at the start. Each may be behind the one before; if it were ahead, sleeps would be shorter.
    pub(crate) fn origin(&self) -> u64 {
        let is_other = self.simulation.trouble == Trouble::Random && self.dice.chance(0.2);
        let behind = if is_other {
            self.dice.number(0..3_600_000_000)
        } else {
            0
        };
        let inner = &mut *self.inner.lock();
        inner.origin = inner.origin.saturating_sub(behind);
        inner.origin
    }

    pub(crate) fn coordinator_dies(&self, epoch: Epoch) {
        self.note(|| format!("coordinator {epoch} is gone"));
        let inner = &mut *self.inner.lock();
        if inner.alive == Some(epoch) {
            inner.alive = None;
            inner.way = None;
        }
    }

    /// The coordinator is stopped for a while, and somebody else takes the run, of which it knows nothing when it goes on.
    pub(crate) fn coordinator_is_paused(&self, epoch: Epoch) {
        self.coordinator_dies(epoch);
        self.inner.lock().paused.insert(epoch);
        self.paused.notify_one();
    }

    pub(crate) fn is_paused(&self, epoch: Epoch) -> bool {
        self.inner.lock().paused.contains(&epoch)
    }

    async fn until_paused(&self, epoch: Epoch) {
        while !self.is_paused(epoch) {
            self.paused.notified().await;
        }
    }

    /// The machine loses power: what the journal has not synced may be lost.
    fn power_is_lost(&self, epoch: Epoch) {
        self.coordinator_dies(epoch);
        self.inner.lock().is_power_lost = true;
    }

    /// Loses what a loss of power since the last reading may have taken: some of the last records.
    pub(crate) fn lose_the_end(&self) {
        if !std::mem::take(&mut self.inner.lock().is_power_lost) {
            return;
        }
        let (synced, written) = self.write(|written| written.unsynced());
        // A run of which not even the beginning is left cannot be resumed.
        let synced = synced.max(1);
        if synced >= written {
            return;
        }
        let kept = self.dice.number(synced as u64..written as u64 + 1) as usize;
        self.note(|| format!("{} of {written} records are lost", written - kept));
        let records = self.write(|written| written.cut(kept));
        let inner = &mut *self.inner.lock();
        inner.history = History::new(self.run);
        for record in &records {
            // What was wrong with it has been said.
            inner.history.follow(
                record,
                &|key| inner.ever.get(key).map(|bytes| bytes.to_vec()),
                &mut Vec::new(),
            );
        }
    }

    /// How the journal has the event of this number, if not so.
    pub(crate) fn differs(&self, number: u64, told: &RunEvent) -> Option<String> {
        let inner = &*self.inner.lock();
        match inner.history.event(number) {
            Some(recorded) if recorded == told => None,
            other => Some(format!("{other:?}")),
        }
    }

    /// Who is to be asked, if anybody is there.
    pub(crate) fn way(&self) -> Option<(Epoch, Arc<dyn Link>)> {
        self.inner.lock().way.clone()
    }

    /// The coordinator of this life can be reached.
    pub(crate) fn reached(&self, epoch: Epoch, link: Arc<dyn Link>) {
        let inner = &mut *self.inner.lock();
        if inner.alive == Some(epoch) {
            inner.way = Some((epoch, link));
        }
    }

    /// The coordinator has started an invocation, on its own machine or elsewhere.
    pub(crate) fn started(&self, task: TaskId, incarnation: Incarnation, is_here: bool) {
        let is_to_be_here = self.inner.lock().history.is_on_coordinator(task);
        if is_to_be_here != is_here {
            self.violated(format!("{task} was started on the wrong platform"));
        }
        self.note(|| format!("{task} invocation {incarnation} starts"));
        if !self.inner.lock().invocations.insert((task, incarnation)) {
            self.violated(format!("invocation {incarnation} of {task} was started twice"));
        }
    }

    pub(crate) fn count_write(&self) {
        self.inner.lock().writes += 1;
    }

    /// Whether the one death that was asked for is now.
    pub(crate) fn is_last_write(&self, how: &str) -> bool {
        match self.simulation.trouble {
            Trouble::OneDeath(Some((write, when))) => self.inner.lock().writes == write && how == when,
            _ => false,
        }
    }

    pub(crate) fn write<T>(&self, change: impl FnOnce(&mut Written) -> T) -> T {
        change(&mut self.inner.lock().written)
    }

    /// These records have been written.
    pub(crate) fn follow(&self, records: &[Vec<u8>]) {
        let mut found = Vec::new();
        {
            let inner = &mut *self.inner.lock();
            let objects = &inner.objects;
            let read = |key: &str| objects.get(key).map(|bytes| bytes.to_vec());
            for record in records {
                inner.history.follow(record, &read, &mut found);
            }
        }
        for finding in found {
            match finding {
                Finding::Note(line) => self.note(|| line),
                Finding::Violation(what) => self.violated(what),
            }
        }
    }

    /// Whether the bytes are the state that everything written so far leads to.
    pub(crate) fn check_state(&self, what: &str, snapshot: &[u8]) {
        let expected = self.inner.lock().history.snapshot();
        if expected != snapshot {
            self.violated(format!("{what} is not the state that was recorded"));
        }
    }

    /// Looks at the files of the coordinator's machine, or changes them.
    pub(crate) fn disk<T>(&self, change: impl FnOnce(&mut Disk) -> T) -> T {
        change(&mut self.inner.lock().disk)
    }

    /// An object has arrived at its place: whole, and while the run goes on.
    pub(crate) fn arrived(&self, place: &Path, epoch: Epoch) {
        self.note(|| format!("{} is there", place.display()));
        let content = self.disk(|disk| disk.get(place).map(|file| file.lock().clone()));
        if content.is_none_or(|content| !script::is_object(place, &content)) {
            self.violated(format!("{} is not what was put there", place.display()));
        }
        let is_past = self.inner.lock().history.is_past(&format!("file:{}", place.display()));
        if is_past && !self.is_alive(epoch) {
            self.violated(format!(
                "coordinator {epoch} has put {} there again, after another one had gone on",
                place.display()
            ));
        }
        if self.is_told.load(Ordering::Relaxed) {
            self.violated(format!(
                "{} came after the end of the run had been told",
                place.display()
            ));
        }
    }

    /// False if there is an object under this key.
    pub(crate) fn put(&self, key: &str, bytes: Bytes, is_zombie: bool) -> bool {
        let inner = &mut *self.inner.lock();
        if inner.objects.contains_key(key) {
            return false;
        }
        if inner.is_emptied && is_zombie {
            inner.late_objects.insert(key.to_string());
        }
        if self.may_lose_power {
            inner.ever.insert(key.to_string(), bytes.clone());
        }
        inner.objects.insert(key.to_string(), bytes);
        inner.most_objects = inner.most_objects.max(inner.objects.len());
        true
    }

    pub(crate) fn object(&self, key: &str) -> Option<Bytes> {
        self.inner.lock().objects.get(key).cloned()
    }

    pub(crate) fn delete(&self, key: &str) {
        let is_live = {
            let inner = &mut *self.inner.lock();
            inner.objects.remove(key);
            inner.history.is_live(key)
        };
        if is_live {
            self.violated("an object was deleted that the run still needs".to_string());
        }
    }

    pub(crate) fn delete_everything(&self) {
        self.note(|| "everything is deleted".to_string());
        let has_ended = {
            let inner = &mut *self.inner.lock();
            inner.objects.clear();
            inner.is_emptied = true;
            inner.late_objects.clear();
            inner.history.has_ended()
        };
        if !has_ended {
            self.violated("everything was deleted before the run's end".to_string());
        }
    }
}

/// An event's name.
pub(crate) fn event_name(event: &Event) -> String {
    match event {
        Event::Started { .. } => "start".to_string(),
        Event::Requested(request) => format!("call {}", model::name(&request.call)),
        Event::InvocationEnded { outcome, .. } => format!("end {}", outcome_name(outcome)),
        Event::Ticked => "timer".to_string(),
        Event::Recovered(_) => "recovery".to_string(),
        Event::Cancelled => "cancel".to_string(),
        Event::ResultCollected(_) => "result".to_string(),
        Event::Published { .. } => "publication".to_string(),
        Event::Confirmed => "confirmation".to_string(),
    }
}

/// An outcome without its message, in which there may be keys.
pub(crate) fn outcome_name(outcome: &InvocationOutcome) -> &'static str {
    match outcome {
        InvocationOutcome::Returned => "returned",
        InvocationOutcome::Crashed(_) => "crashed",
        InvocationOutcome::Killed(_) => "killed",
        InvocationOutcome::TimedOut => "timed out",
        InvocationOutcome::OutOfMemory(_) => "out of memory",
        InvocationOutcome::Throttled(_) => "throttled",
        InvocationOutcome::Unstartable(_) => "unstartable",
        InvocationOutcome::Unlinked(_) => "unlinked",
        InvocationOutcome::StoreAway(_) => "without the store",
        InvocationOutcome::WrongProgram(_) => "wrong program",
        InvocationOutcome::NeedsRepair(_) => "needs repair",
    }
}

/// How a seed's program is run.
struct Plan {
    script: Script,
    concurrency: usize,
    is_immediate: bool,
    snapshot_floor: usize,
    /// The journal does not wait for the disk.
    may_lose_power: bool,
    tuning: Tuning,
    time_limit: Option<Duration>,
    /// Cancelled after so many microseconds.
    cancelled_after: Option<u64>,
}

impl Plan {
    fn of(dice: &Dice, trouble: Trouble) -> Self {
        let time_limit = dice.chance(0.4).then(|| Duration::from_micros(script::TIME_LIMIT));
        let is_random = trouble == Trouble::Random;
        let limits = Limits {
            work: dice.one(&[1000, 20_000, 200_000]),
            overtime: time_limit.is_some() && is_random,
            panics: dice.chance(0.3) && is_random,
            flaky: true,
            sleep: u64::MAX,
            objects: true,
            manners: is_random,
        };
        let grace = dice.one(&[0, 1, 50]);
        let tuning = Tuning {
            grace: Duration::from_millis(grace),
            crash_limit: LIMIT,
            out_of_memory_limit: LIMIT,
            time_out_limit: LIMIT,
            kill_limit: LIMIT,
            after_kill: BackOff {
                immediate: dice.one(&[0, 2]),
                ..Tuning::default().after_kill
            },
            ..Tuning::default()
        };
        Plan {
            concurrency: dice.number(1..7) as usize,
            is_immediate: dice.chance(0.5),
            snapshot_floor: dice.one(&[500, 3000, 4 << 20]),
            may_lose_power: is_random && dice.chance(0.3),
            tuning,
            time_limit,
            cancelled_after: (is_random && dice.chance(0.05)).then(|| dice.number(0..500_000)),
            script: script::generate(dice, limits),
        }
    }

    fn setup(&self, world: &Arc<World>, epoch: Epoch, lacks: Option<&'static str>) -> Setup {
        let platform = |is_here| {
            Arc::new(SimulatedPlatform {
                world: world.clone(),
                epoch,
                concurrency: self.concurrency,
                lacks,
                is_here,
            })
        };
        Setup {
            run: world.run,
            life: world.dice.number(0..1 << 40),
            platform: platform(false),
            here: platform(true),
            store: Arc::new(SimulatedStore {
                world: world.clone(),
                user: User::Coordinator(epoch),
            }),
            files: Arc::new(SimulatedFiles {
                world: world.clone(),
                epoch,
            }),
            journal: Some(Arc::new(SimulatedJournal {
                world: world.clone(),
                epoch,
                is_immediate: self.is_immediate,
                snapshot_floor: self.snapshot_floor,
                may_lose_its_end: self.may_lose_power,
            })),
            runtime: world.runtime.clone(),
            clock: Arc::new(MachineClock {
                clock: world.clock.clone(),
                origin: world.origin(),
            }),
            tuning: self.tuning.clone(),
            time_limit: self.time_limit,
            program: String::new(),
            same_program: false,
            observers: vec![SimulatedObserver::new(world)],
        }
    }
}

/// The program of a seed, for real processes: quick, and without anything that only one process can know.
pub(crate) fn for_processes(seed: u64) -> Script {
    let limits = Limits {
        work: 5000,
        overtime: false,
        panics: false,
        flaky: false,
        sleep: 40_000,
        objects: false,
        manners: false,
    };
    script::generate(&Dice::new(seed), limits)
}

/// The call that plays a script: function and arguments.
pub(crate) fn call(script: &Script) -> (&'static str, Vec<u8>) {
    let call = interpreter::play(script.clone()).into_spec_bytes();
    call.expect("a script is plain data")
}

/// Runs one seed to its end.
pub(crate) fn simulate(simulation: Simulation) -> Report {
    let dice = Dice::new(simulation.seed);
    let plan = Plan::of(&dice, simulation.trouble);
    let profile = match simulation.trouble {
        Trouble::Random => Profile::random(&dice),
        Trouble::OneDeath(_) => Profile::CALM,
    };
    let outage = match simulation.trouble {
        Trouble::Random => Outage::random(&dice),
        Trouble::OneDeath(_) => None,
    };
    interpreter::forget();
    let clock = Arc::new(VirtualClock::default());
    let run = RunId::parse("01900000000070008000000000000000").expect("a well-formed id");
    let place = Mutex::new(None);
    let ended = clock::run(&clock, async {
        let world = Arc::new(World {
            run,
            clock: clock.clone(),
            dice,
            runtime: Handle::current(),
            grace: plan.tuning.grace,
            simulation,
            profile,
            outage,
            may_lose_power: plan.may_lose_power,
            is_told: AtomicBool::new(false),
            is_over: AtomicBool::new(false),
            paused: Notify::new(),
            inner: Mutex::new(Inner {
                origin: 1_000_000_000_000,
                ledger: Ledger::default(),
                alive: None,
                paused: BTreeSet::new(),
                is_power_lost: false,
                ever: BTreeMap::new(),
                way: None,
                written: Written::default(),
                writes: 0,
                history: History::new(run),
                objects: BTreeMap::new(),
                most_objects: 0,
                disk: Disk::new(),
                kept: 0,
                is_emptied: false,
                late_objects: BTreeSet::new(),
                invocations: BTreeSet::new(),
                breaks: BTreeMap::new(),
                violations: Vec::new(),
                lines: Vec::new(),
            }),
        });
        *place.lock() = Some(world.clone());
        world.note(|| format!("program: {:?}", plan.script));
        let outcome = live(&world, &plan).await;
        world.note(|| format!("the run ends: {}", describe(&outcome)));
        world.is_told.store(true, Ordering::Relaxed);
        judge_objects(&world, &plan, &outcome);
        judge(&world, &plan, outcome);
        // Whoever is still under way arrives: late messages, zombies.
        world.clock.wait(3_000_000).await;
        sweep(&world);
        world.is_over.store(true, Ordering::Relaxed);
    });
    let world = place.into_inner().expect("the simulation has begun");
    if ended.is_none() {
        world.is_over.store(true, Ordering::Relaxed);
        world.violated("the run is stuck: nobody can go on, or it takes hours".to_string());
    }
    let inner = &mut *world.inner.lock();
    Report {
        faults: inner.ledger.faults,
        points: std::mem::take(&mut inner.ledger.points),
        commits: inner.history.commits,
        writes: inner.writes,
        stats: inner.history.stats().clone(),
        violations: std::mem::take(&mut inner.violations),
        history: std::mem::take(&mut inner.lines),
    }
}

/// Starts the run, and resumes it whenever its coordinator is gone, until it has ended and everything of it is deleted.
async fn live(world: &Arc<World>, plan: &Plan) -> Result<Bytes, TaskError> {
    let mut first: Option<Result<Bytes, TaskError>> = None;
    for epoch in 0.. {
        let lacks = other_program(world);
        let Some(coordinator) = begin(world, plan, epoch, lacks).await else {
            continue;
        };
        let outcome = watch(world, plan, &coordinator, epoch).await;
        let has_ended = match outcome {
            Ok(bytes) => Some(Ok(bytes)),
            Err(RunError::Failed(error)) => Some(Err(error)),
            Err(RunError::Interrupted { .. } | RunError::Journal { .. } | RunError::Store { .. }) => None,
            // The store has refused something for good; whoever resumes the run has mended it.
            Err(RunError::NeedsRepair { .. }) => None,
            Err(RunError::WrongProgram { .. }) if lacks.is_some() => None,
            Err(error) => {
                world.violated(format!("the run stops: {error}"));
                return first.unwrap_or(Ok(Bytes::new()));
            }
        };
        world.coordinator_dies(epoch);
        if world.is_paused(epoch) {
            // It goes on, and does not know.
            let time = world.dice.number(0..3_000_000);
            let resting = world.clone();
            world.runtime.spawn(async move {
                resting.clock.wait(time).await;
                drop(coordinator);
            });
        } else {
            drop(coordinator);
        }
        if let Some(outcome) = has_ended {
            match &first {
                Some(before) if *before != outcome => {
                    world.violated("asked again, the run has another result".to_string());
                }
                _ => {}
            }
            let is_emptied = world.inner.lock().is_emptied;
            if is_emptied && !world.dice.chance(0.1) {
                return outcome;
            }
            first = Some(outcome);
        }
        // Until it is noticed that nobody is there.
        let down = world.dice.number(0..300_000);
        world.clock.wait(down).await;
    }
    unreachable!("the epochs do not end")
}

/// In this life the program may be another one, which lacks a function that the run needs: it must not do any harm.
fn other_program(world: &World) -> Option<&'static str> {
    let is_other = world.simulation.trouble == Trouble::Random && world.dice.chance(0.04);
    is_other.then(|| {
        world
            .dice
            .one(&["::play", "::children", "::consume", "::produce", "::pong"])
    })
}

/// A new life of the coordinator; `None` if it dies at once.
async fn begin(world: &Arc<World>, plan: &Plan, epoch: Epoch, lacks: Option<&'static str>) -> Option<Coordinator> {
    world.note(|| format!("coordinator {epoch} begins"));
    world.inner.lock().alive = Some(epoch);
    let mut begun = Coordinator::resume(plan.setup(world, epoch, lacks)).await;
    if let Err(RunError::Unknown { .. }) = begun {
        let (function, arguments) = call(&plan.script);
        let root = TaskSpec::new(function, Payload::Inline(arguments.into()));
        begun = Coordinator::start(plan.setup(world, epoch, lacks), root).await;
    }
    match begun {
        Ok(coordinator) => {
            world.reached(epoch, coordinator.link());
            Some(coordinator)
        }
        Err(error) => {
            if !matches!(error, RunError::Journal { .. }) {
                world.violated(format!("the run cannot begin: {error}"));
            }
            world.coordinator_dies(epoch);
            None
        }
    }
}

/// Waits for the coordinator's end: the run's, its own at any moment, or an interruption. Cancels the run when that is planned.
async fn watch(world: &Arc<World>, plan: &Plan, coordinator: &Coordinator, epoch: Epoch) -> Result<Bytes, RunError> {
    let dies_after = match world.is_due(Class::Coordinator) {
        true => world.dice.number(0..200_000),
        false => u64::MAX,
    };
    let cancelled_after = match plan.cancelled_after {
        Some(at) => at.saturating_sub(world.clock.elapsed()),
        None => u64::MAX,
    };
    let cancel = async {
        if cancelled_after < u64::MAX {
            world.clock.wait(cancelled_after).await;
            world.note(|| "the run is cancelled".to_string());
            coordinator.cancel();
        }
        std::future::pending::<()>().await;
    };
    tokio::select! {
        biased;
        outcome = coordinator.wait() => outcome,
        () = cancel => Err(RunError::Unknown { run: world.run }),
        () = world.until_paused(epoch) => Err(RunError::Interrupted { run: world.run, resumable: true }),
        () = world.clock.wait(dies_after) => {
            if world.dice.chance(0.3) {
                world.struck("run is interrupted", || "any time".to_string());
                coordinator.interrupt().await;
            } else if world.dice.chance(0.3) {
                world.struck("coordinator is paused", || "any time".to_string());
                world.coordinator_is_paused(epoch);
            } else if world.may_lose_power && world.dice.chance(0.7) {
                world.struck("power is lost", || "any time".to_string());
                world.power_is_lost(epoch);
            } else {
                world.struck("coordinator dies", || "any time".to_string());
                world.coordinator_dies(epoch);
            }
            Err(RunError::Interrupted { run: world.run, resumable: true })
        }
    }
}

fn describe(outcome: &Result<Bytes, TaskError>) -> String {
    match outcome {
        Ok(bytes) => format!("a result of {} bytes", bytes.len()),
        Err(error) => match &error.kind {
            Failure::Crashed { attempts, .. } => format!("{} crashed {attempts} times", error.task),
            kind => format!("{} {kind}", error.task),
        },
    }
}

/// Compares the outcome with the model's.
fn judge(world: &World, plan: &Plan, outcome: Result<Bytes, TaskError>) {
    let wrong = match outcome {
        Err(error) if error.kind == Failure::Cancelled && plan.cancelled_after.is_some() => None,
        outcome => verdict(&plan.script, &outcome),
    };
    if let Some(wrong) = wrong {
        world.violated(format!("the result is not the model's: {wrong}"));
    }
}

/// What the program has put outside is there, and nothing else is, except what tasks have put there that failed or were cancelled afterwards.
fn judge_objects(world: &World, plan: &Plan, outcome: &Result<Bytes, TaskError>) {
    let there: BTreeSet<_> = world.disk(|disk| disk.keys().cloned().collect());
    let possible: BTreeSet<_> = script::objects(&plan.script).into_iter().collect();
    for path in there.difference(&possible) {
        // A draft of a task that was cancelled, or that the run's end has overtaken, may be left.
        let is_draft = path
            .file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with(".kappa-"));
        if !is_draft {
            world.violated(format!("nobody has put {} there", path.display()));
        }
    }
    if outcome.is_ok()
        && let Ok(predicted) = model::predict(&plan.script)
    {
        for path in predicted.objects().filter(|path| !there.contains(*path)) {
            world.violated(format!("{} is not there", path.display()));
        }
    }
}

/// What is wrong with the outcome of a script, if anything is.
pub(crate) fn verdict(script: &Script, outcome: &Result<Bytes, TaskError>) -> Option<String> {
    match (outcome, model::predict(script)) {
        (Ok(bytes), Ok(predicted)) => refute(&predicted, bytes),
        (Err(error), Err(misfortune)) if misfortune.is(&error.kind) => None,
        (Err(error), Ok(_)) => Some(format!("it failed: {error}")),
        (Err(error), Err(misfortune)) => Some(format!("it failed by {error}, not by {misfortune:?}")),
        (Ok(_), Err(misfortune)) => Some(format!("it ended well, not by {misfortune:?}")),
    }
}

fn refute(predicted: &Predicted, bytes: &[u8]) -> Option<String> {
    match postcard::from_bytes(bytes) {
        Ok(result) => predicted.refute(&result),
        Err(cause) => Some(cause.to_string()),
    }
}

/// Nothing is left behind.
fn sweep(world: &World) {
    let (left, most_objects, most_live, faults, kept) = {
        let inner = &*world.inner.lock();
        let left = inner
            .objects
            .keys()
            .filter(|key| !inner.late_objects.contains(*key))
            .count();
        let faults = inner.ledger.faults as usize;
        (left, inner.most_objects, inner.history.most_live, faults, inner.kept)
    };
    if left > 0 {
        world.violated(format!("{left} objects are left in the store"));
    }
    // What is being written or deleted just now, and what a fault has left until the end.
    let held_back = if world.may_lose_power { 1000 } else { 0 };
    let most = 2 * most_live + 16 + 8 * faults + kept + held_back;
    if most_objects > most {
        world.violated(format!(
            "there were {most_objects} objects at once, {most_live} of them needed"
        ));
    }
}
