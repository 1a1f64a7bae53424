//! Programs as data, generated from the seed.
//!
//! A script's result does not depend on who is served first, so [`super::model`] can predict it without a coordinator.

use super::dice::Dice;
use kappa::protocol::Payload;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// What one task does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Script {
    /// In this order.
    pub(crate) steps: Vec<Step>,
    /// At last.
    pub(crate) end: End,
}

/// How a task ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum End {
    /// With its value: the sum of everything, and this.
    Value(u64),
    /// The same, with so many bytes more.
    Large(u64, u32),
    /// With an error.
    Failing,
    /// By a panic, whenever it comes here.
    Panicking,
    /// Never within any time limit.
    Overtime,
    /// It waits for an item that never comes.
    Deadlocked,
    /// With an error, the first two times that it comes here; after that with its value. The number is its own.
    Flaky(u32, u64),
}

/// How children are waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum How {
    /// All in one call; the first failure is the parent's own.
    TogetherOrFail,
    /// One after the other; failures are handled.
    OneByOne,
    /// Whoever is first; failures are handled.
    AnyFirst,
    /// Each twice.
    Twice,
    /// By another child, which is given the handles.
    ByAnother,
    /// Not at all.
    Never,
}

/// How children are run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Manner {
    /// As the run says.
    Plain,
    /// On the coordinator's machine.
    OnCoordinator,
    /// Each invocation for so many microseconds at the most.
    Limited(u64),
}

/// One thing that a task does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Step {
    /// Computing, for so many microseconds.
    Work(u64),
    /// So many checkpoints.
    Checkpoints(u32),
    /// So many checkpoints for which the task does not wait, and the work between them in microseconds.
    Background(u32, u64),
    /// A loop of so many passes, of so many microseconds each, with a checkpoint at the end of those for which one is due.
    Auto(u32, u64),
    /// An object of so many bytes to an external place; its number in the program.
    Object(u32, u32),
    /// So many microseconds without an invocation.
    Sleep(u64),
    /// From now on the task has so many bytes with it.
    Ballast(u32),
    /// Another script on this task's own stack.
    Inner(Box<Script>),
    /// Other tasks.
    Children {
        scripts: Vec<Script>,
        /// Created by one call.
        together: bool,
        how: How,
        /// How often each of them may fail.
        attempts: u32,
        manner: Manner,
    },
    /// Tasks that begin one after the other, as long as none fails.
    Chain(Vec<Script>),
    /// A task that is cancelled after so many microseconds.
    Cancelled {
        script: Box<Script>,
        after: u64,
        /// The cancelling goes with the next call.
        deferred: bool,
    },
    /// Tasks that exchange items.
    Pipeline(Pipeline),
    /// Two tasks that hand a number back and forth.
    PingPong(u32),
}

/// Producers, a queue, consumers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Pipeline {
    /// Its number in the program.
    pub(crate) id: u32,
    pub(crate) producers: u32,
    pub(crate) consumers: u32,
    /// Of each producer.
    pub(crate) items: u32,
    /// Items put in by one call.
    pub(crate) batch: u32,
    pub(crate) capacity: u32,
    /// Bytes that come with each item.
    pub(crate) size: u32,
    /// Time that each item takes, in microseconds.
    pub(crate) pause: u64,
    /// The closing goes with the next call.
    pub(crate) deferred: bool,
}

/// What may be in a program.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// A single piece of work takes at most so many microseconds.
    pub(crate) work: u64,
    /// Whether children may be out of time: only with a limit.
    pub(crate) overtime: bool,
    /// Whether children may panic: each takes many attempts.
    pub(crate) panics: bool,
    /// Whether children may fail some times only: they remember it on their own thread.
    pub(crate) flaky: bool,
    /// A sleep takes at most so many microseconds.
    pub(crate) sleep: u64,
    /// Whether objects may be put to external places.
    pub(crate) objects: bool,
    /// Whether children may be run in another manner than the run says; some of those with a time limit are out of time.
    pub(crate) manners: bool,
}

/// The folder of external objects.
const OUTSIDE: &str = "/outside";

/// Time limits, in microseconds.
pub(crate) const TIME_LIMIT: u64 = 2_000_000;

/// Larger than a message takes.
const LARGE: u32 = Payload::INLINE_LIMIT as u32 + 7;

/// Grows a random program.
pub(crate) fn generate(dice: &Dice, limits: Limits) -> Script {
    let mut garden = Garden {
        dice,
        limits,
        pipelines: 0,
        tasks: 0,
        objects: 0,
        most_tasks: dice.one(&[4, 24, 40, 80]),
        flaky: 0,
    };
    let mut script = garden.script(3, Place::Root);
    if dice.chance(0.04) {
        script.end = dice.one(&[End::Failing, End::Deadlocked]);
    }
    script
}

/// The external place of an object.
pub(crate) fn place_of(number: u32, size: u32) -> PathBuf {
    PathBuf::from(format!("{OUTSIDE}/{number}-{size}"))
}

/// Whether this is the content of the object that belongs there.
pub(crate) fn is_object(place: &Path, content: &[u8]) -> bool {
    let name = place.file_name().unwrap_or_default().to_string_lossy();
    let parts = name.split_once('-');
    let numbers = parts.and_then(|(number, size)| Some((number.parse().ok()?, size.parse().ok()?)));
    numbers.is_some_and(|(number, size)| content == filler(number, size).as_bytes())
}

/// The places of all objects that a script may put, whatever becomes of it.
pub(crate) fn objects(script: &Script) -> Vec<PathBuf> {
    let within = |scripts: &[Script]| scripts.iter().flat_map(objects).collect();
    let of_step = |step: &Step| match step {
        Step::Object(number, size) => vec![place_of(*number, *size)],
        Step::Inner(script) | Step::Cancelled { script, .. } => objects(script),
        Step::Children { scripts, .. } | Step::Chain(scripts) => within(scripts),
        _ => Vec::new(),
    };
    script.steps.iter().flat_map(of_step).collect()
}

/// So many bytes that nothing else looks like.
pub(crate) fn filler(number: u32, bytes: u32) -> String {
    let pattern = format!("{number}.");
    let mut text = pattern.repeat(bytes as usize / pattern.len());
    text.extend(pattern.chars().cycle().take(bytes as usize - text.len()));
    text
}

struct Garden<'a> {
    dice: &'a Dice,
    limits: Limits,
    pipelines: u32,
    tasks: u32,
    objects: u32,
    /// Beyond these nothing new grows.
    most_tasks: u32,
    flaky: u32,
}

/// Where a script grows, and so how it may end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// It may not fail by itself.
    Root,
    Child,
    /// A child that is begun again when it fails.
    Retried,
}

impl Garden<'_> {
    fn number(&self, from: u64, to: u64) -> u32 {
        self.dice.number(from..to) as u32
    }

    fn script(&mut self, depth: u32, place: Place) -> Script {
        self.tasks += 1;
        let count = match place {
            Place::Root => self.number(1, 8),
            Place::Child | Place::Retried => self.number(0, 5),
        };
        let steps = (0..count).map(|_| self.step(depth)).collect();
        Script {
            steps,
            end: self.end(place),
        }
    }

    fn end(&mut self, place: Place) -> End {
        let value = self.dice.number(0..1000);
        let is_root = place == Place::Root;
        if place == Place::Retried && self.limits.flaky && self.dice.chance(0.4) {
            self.flaky += 1;
            return End::Flaky(self.flaky, value);
        }
        match self.number(0, 40) {
            0..=2 if !is_root => End::Failing,
            3 if self.limits.panics && !is_root => End::Panicking,
            4 if self.limits.overtime && !is_root => End::Overtime,
            5 => End::Large(value, LARGE),
            _ => End::Value(value),
        }
    }

    fn step(&mut self, depth: u32) -> Step {
        let is_full = depth == 0 || self.tasks >= self.most_tasks;
        match self.number(0, 31) {
            0..=6 if !is_full => {
                let together = self.dice.chance(0.6);
                let attempts = if self.dice.chance(0.25) { 3 } else { 1 };
                let place = if attempts > 1 { Place::Retried } else { Place::Child };
                let mut scripts: Vec<_> = (0..self.number(0, 4)).map(|_| self.script(depth - 1, place)).collect();
                let manner = self.manner();
                if let (Manner::Limited(_), Some(last)) = (manner, scripts.last_mut())
                    && self.dice.chance(0.3)
                {
                    last.end = End::Overtime;
                }
                let how = self.dice.one(&[
                    How::TogetherOrFail,
                    How::TogetherOrFail,
                    How::OneByOne,
                    How::OneByOne,
                    How::AnyFirst,
                    How::Twice,
                    How::ByAnother,
                    How::Never,
                ]);
                Step::Children {
                    scripts,
                    together,
                    how,
                    attempts,
                    manner,
                }
            }
            7..=10 if !is_full => Step::Pipeline(self.pipeline()),
            11 if !is_full => {
                self.tasks += 1;
                Step::PingPong(self.number(1, 5))
            }
            12..=13 if depth > 0 => Step::Inner(Box::new(self.script(depth - 1, Place::Root))),
            14 => Step::Ballast(self.dice.one(&[0, 100, LARGE])),
            15..=16 => Step::Work(self.dice.number(1..self.limits.work)),
            17..=18 => Step::Background(self.number(1, 7), self.dice.one(&[0, 50, 1000, 20_000])),
            30 if self.limits.objects => {
                self.objects += 1;
                Step::Object(self.objects, self.dice.one(&[0, 1000, LARGE]))
            }
            28..=29 => Step::Auto(
                self.number(1, 20),
                self.dice.one(&[1000, 100_000, 300_000]).min(self.limits.work),
            ),
            19 => Step::Sleep(self.dice.one(&[0, 500, 40_000, 3_000_000]).min(self.limits.sleep)),
            20..=21 if !is_full => {
                let scripts = (0..self.number(1, 4))
                    .map(|_| self.script(depth - 1, Place::Child))
                    .collect();
                Step::Chain(scripts)
            }
            22..=23 if !is_full => Step::Cancelled {
                script: Box::new(self.script(depth - 1, Place::Child)),
                after: self.dice.one(&[0, 300, 5000, 100_000]),
                deferred: self.dice.chance(0.5),
            },
            _ => Step::Checkpoints(self.number(1, 5)),
        }
    }

    fn manner(&self) -> Manner {
        match self.limits.manners {
            true => self.dice.one(&[
                Manner::Plain,
                Manner::Plain,
                Manner::Plain,
                Manner::OnCoordinator,
                Manner::Limited(TIME_LIMIT),
            ]),
            false => Manner::Plain,
        }
    }

    fn pipeline(&mut self) -> Pipeline {
        self.pipelines += 1;
        let (producers, consumers) = (self.number(1, 4), self.number(1, 4));
        self.tasks += producers + consumers;
        let size = match self.dice.chance(0.1) {
            true => LARGE,
            false => self.number(0, 50),
        };
        Pipeline {
            id: self.pipelines,
            producers,
            consumers,
            items: self.number(0, 7),
            batch: self.number(1, 5),
            capacity: self.number(1, 5),
            size,
            pause: self.dice.number(0..3000),
            deferred: self.dice.chance(0.3),
        }
    }
}
