//! Programs as data, generated from the seed.
//!
//! A script's result does not depend on who is served first, so [`super::model`] can predict it without a coordinator.

use super::dice::Dice;
use serde::{Deserialize, Serialize};

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

/// One thing that a task does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Step {
    /// Computing, for so many microseconds.
    Work(u64),
    /// So many checkpoints.
    Checkpoints(u32),
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
}

/// Larger than a message takes.
const LARGE: u32 = 65 * 1024 + 7;

/// Grows a random program.
pub(crate) fn generate(dice: &Dice, limits: Limits) -> Script {
    let mut garden = Garden {
        dice,
        limits,
        pipelines: 0,
        tasks: 0,
        most_tasks: dice.one(&[4, 24, 40]),
    };
    let mut script = garden.script(3, true);
    if dice.chance(0.04) {
        script.end = dice.one(&[End::Failing, End::Deadlocked]);
    }
    script
}

struct Garden<'a> {
    dice: &'a Dice,
    limits: Limits,
    pipelines: u32,
    tasks: u32,
    /// Beyond these nothing new grows.
    most_tasks: u32,
}

impl Garden<'_> {
    fn number(&self, from: u64, to: u64) -> u32 {
        self.dice.number(from..to) as u32
    }

    fn script(&mut self, depth: u32, is_root: bool) -> Script {
        self.tasks += 1;
        let count = match is_root {
            true => self.number(1, 8),
            false => self.number(0, 5),
        };
        let steps = (0..count).map(|_| self.step(depth)).collect();
        Script {
            steps,
            end: self.end(is_root),
        }
    }

    fn end(&self, is_root: bool) -> End {
        let value = self.dice.number(0..1000);
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
        match self.number(0, 20) {
            0..=6 if !is_full => {
                let together = self.dice.chance(0.6);
                let scripts = (0..self.number(0, 4)).map(|_| self.script(depth - 1, false)).collect();
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
                Step::Children { scripts, together, how }
            }
            7..=10 if !is_full => Step::Pipeline(self.pipeline()),
            11 if !is_full => {
                self.tasks += 1;
                Step::PingPong(self.number(1, 5))
            }
            12..=13 if depth > 0 => Step::Inner(Box::new(self.script(depth - 1, true))),
            14 => Step::Ballast(self.dice.one(&[0, 100, LARGE])),
            15..=16 => Step::Work(self.dice.number(1..self.limits.work)),
            _ => Step::Checkpoints(self.number(1, 5)),
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
        }
    }
}
