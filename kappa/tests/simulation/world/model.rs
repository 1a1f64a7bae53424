//! What a script must come to, without a coordinator: its result, and the calls that each of its tasks makes.

use super::interpreter::{self, Item, Yield};
use super::script::{End, How, Pipeline, Script, Step, place_of};
use kappa::protocol::Call;
use kappa::{Failure, Queue, Task};
use serde::de::DeserializeOwned;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

/// What a script comes to if it ends well.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Predicted {
    value: u64,
    /// The pipelines whose items are part of the result.
    pipelines: Vec<Pipeline>,
    padding: u32,
    /// External places and what must be there.
    objects: Vec<PathBuf>,
}

/// How it ends otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Misfortune {
    Returned,
    Crashed,
    OutOfTime,
    Dependency,
    Deadlock,
}

impl Misfortune {
    /// What it counts where it is handled; see [`interpreter::worth`].
    fn worth(self) -> u64 {
        match self {
            Misfortune::Returned => 10_000,
            Misfortune::Crashed => 20_000,
            Misfortune::OutOfTime => 30_000,
            Misfortune::Dependency => 40_000,
            Misfortune::Deadlock => 0,
        }
    }

    /// Whether a run that was to end like this has.
    pub(crate) fn is(self, failure: &Failure) -> bool {
        match self {
            Misfortune::Deadlock => matches!(failure, Failure::Deadlock(_)),
            other => interpreter::worth(failure) == other.worth(),
        }
    }
}

impl Predicted {
    fn add(&mut self, other: Predicted) {
        self.value += other.value;
        self.pipelines.extend(other.pipelines);
        self.objects.extend(other.objects);
    }

    fn add_result(&mut self, result: Result<Predicted, Misfortune>) {
        match result {
            Ok(other) => self.add(other),
            Err(misfortune) => self.value += misfortune.worth(),
        }
    }

    /// The external places at which something must be.
    pub(crate) fn objects(&self) -> impl Iterator<Item = &PathBuf> {
        self.objects.iter()
    }

    /// What is wrong with a result, if anything is.
    pub(crate) fn refute(&self, result: &Yield) -> Option<String> {
        if result.value != self.value {
            return Some(format!("the value is {}, not {}", result.value, self.value));
        }
        if result.padding.len() != self.padding as usize {
            return Some(format!(
                "{} bytes of padding, not {}",
                result.padding.len(),
                self.padding
            ));
        }
        let mut expected = BTreeMap::new();
        for pipeline in &self.pipelines {
            expected.insert(pipeline.id, pipeline);
        }
        let mut items: BTreeMap<u32, Vec<(u32, u32)>> = BTreeMap::new();
        let mut consumers: BTreeMap<u32, u32> = BTreeMap::new();
        for taken in &result.taken {
            let mut last = BTreeMap::new();
            for (producer, index) in &taken.items {
                if let Some(before) = last.insert(producer, index)
                    && before >= index
                {
                    let id = taken.pipeline;
                    return Some(format!(
                        "pipeline {id}: item {index} of producer {producer} came after {before}"
                    ));
                }
            }
            items.entry(taken.pipeline).or_default().extend(&taken.items);
            *consumers.entry(taken.pipeline).or_default() += 1;
        }
        if expected.len() != consumers.len() {
            return Some(format!(
                "consumers of {} pipelines, not of {}",
                consumers.len(),
                expected.len()
            ));
        }
        for (id, mut items) in items {
            let Some(pipeline) = expected.get(&id) else {
                return Some(format!("pipeline {id} is not in the program"));
            };
            items.sort_unstable();
            let all: Vec<_> = (0..pipeline.producers)
                .flat_map(|producer| (0..pipeline.items).map(move |index| (producer, index)))
                .collect();
            if items != all {
                return Some(format!("pipeline {id}: the items {items:?} instead of {all:?}"));
            }
            if consumers[&id] != pipeline.consumers {
                return Some(format!("pipeline {id}: {} consumers", consumers[&id]));
            }
        }
        None
    }
}

/// The result of a script.
pub(crate) fn predict(script: &Script) -> Result<Predicted, Misfortune> {
    let mut sum = Predicted::default();
    for step in &script.steps {
        match step {
            Step::Work(_)
            | Step::Checkpoints(_)
            | Step::Background(..)
            | Step::Sleep(_)
            | Step::Ballast(_)
            | Step::Cancelled { .. } => {}
            Step::Object(number, size) => sum.objects.push(place_of(*number, *size)),
            Step::Auto(passes, _) => sum.value += u64::from(*passes),
            Step::Inner(inner) => sum.add(predict(inner)?),
            Step::Children { scripts, how, .. } => {
                for result in scripts.iter().map(predict) {
                    match how {
                        How::TogetherOrFail => sum.add(result.map_err(|_| Misfortune::Returned)?),
                        How::Never => {}
                        How::OneByOne | How::AnyFirst | How::Twice | How::ByAnother => sum.add_result(result),
                    }
                }
            }
            Step::Chain(scripts) => {
                let mut is_broken = false;
                for script in scripts {
                    let result = match is_broken {
                        true => Err(Misfortune::Dependency),
                        false => predict(script),
                    };
                    is_broken = result.is_err();
                    sum.add_result(result);
                }
            }
            Step::Pipeline(pipeline) => sum.pipelines.push(*pipeline),
            Step::PingPong(rounds) => sum.value += u64::from(*rounds) * 1001,
        }
    }
    match script.end {
        End::Value(value) | End::Flaky(_, value) => sum.value += value,
        End::Large(value, padding) => {
            sum.value += value;
            sum.padding = padding;
        }
        End::Failing => return Err(Misfortune::Returned),
        End::Panicking => return Err(Misfortune::Crashed),
        End::Overtime => return Err(Misfortune::OutOfTime),
        End::Deadlocked => return Err(Misfortune::Deadlock),
    }
    Ok(sum)
}

/// A call, as far as it can be predicted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expected {
    /// This one.
    One(&'static str),
    /// As many of these as it takes.
    Any(&'static str),
    /// This one, or not: a later one may stand for it.
    Maybe(&'static str),
}

/// The calls of one task that are still to come.
#[derive(Debug)]
pub(crate) struct Calls {
    expected: Vec<Expected>,
    /// How many of them may have been made.
    made: BTreeSet<usize>,
}

impl Calls {
    /// The calls of a task with this function and these arguments.
    pub(crate) fn of(function: &str, arguments: &[u8]) -> Option<Self> {
        use Expected::{Any, One};
        let expected = match function {
            name if name.ends_with("::play") => {
                let (script,): (Script,) = decode(arguments)?;
                let mut calls = Vec::new();
                play(&script, &mut calls);
                if !matches!(script.end, End::Panicking | End::Overtime | End::Deadlocked) || fails_early(&script) {
                    calls.push(One("exit"));
                }
                calls
            }
            name if name.ends_with("::produce") => {
                let (_, pipeline, _): (Queue<Item>, Pipeline, u32) = decode(arguments)?;
                let calls = pipeline.items.div_ceil(pipeline.batch);
                let mut calls = vec![One("enqueue"); calls as usize];
                calls.push(One("exit"));
                calls
            }
            name if name.ends_with("::consume") => vec![Any("dequeue"), One("exit")],
            name if name.ends_with("::waits_for") => {
                let (tasks,): (Vec<Task<Yield>>,) = decode(arguments)?;
                let mut calls = vec![One("wait for all"); tasks.len()];
                calls.push(One("exit"));
                calls
            }
            name if name.ends_with("::pong") => vec![Any("dequeue or enqueue"), One("exit")],
            _ => return None,
        };
        let made = BTreeSet::from([0]);
        Some(Calls { expected, made })
    }

    /// The same calls, from the beginning.
    pub(crate) fn begin_again(&mut self) {
        self.made = BTreeSet::from([0]);
    }

    /// Whether this can be the next call.
    pub(crate) fn accept(&mut self, call: &'static str) -> bool {
        let mut next = BTreeSet::new();
        for &made in &self.made {
            for (number, expected) in self.expected.iter().enumerate().skip(made) {
                match expected {
                    Expected::One(one) => {
                        if *one == call {
                            next.insert(number + 1);
                        }
                        break;
                    }
                    Expected::Maybe(one) => {
                        if *one == call {
                            next.insert(number + 1);
                        }
                    }
                    Expected::Any(any) => {
                        if any.split(" or ").any(|one| one == call) {
                            next.insert(number);
                        }
                    }
                }
            }
        }
        self.made = next;
        !self.made.is_empty()
    }
}

fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Option<T> {
    postcard::from_bytes(bytes).ok()
}

/// Whether a script fails before its end, because of its children.
fn fails_early(script: &Script) -> bool {
    let calm = Script {
        steps: script.steps.clone(),
        end: End::Value(0),
    };
    predict(&calm).is_err()
}

/// Appends a script's calls, up to its end or failure.
fn play(script: &Script, calls: &mut Vec<Expected>) {
    use Expected::One;
    let add = |calls: &mut Vec<Expected>, call, count| calls.extend(std::iter::repeat_n(One(call), count));
    for step in &script.steps {
        match step {
            Step::Work(_) | Step::Ballast(_) => {}
            Step::Background(count, _) => {
                calls.extend(std::iter::repeat_n(Expected::Maybe("checkpoint"), *count as usize))
            }
            // How many are due depends on how long everything takes; at least, after every second without any.
            Step::Auto(..) => calls.push(Expected::Any("checkpoint")),
            Step::Object(..) => add(calls, "put object", 1),
            Step::Sleep(_) => add(calls, "sleep", 1),
            Step::Chain(scripts) => {
                add(calls, "spawn", scripts.len());
                add(calls, "wait for all", scripts.len());
            }
            Step::Cancelled { .. } => {
                for call in ["spawn", "cancel", "wait for all"] {
                    add(calls, call, 1);
                }
            }
            Step::Checkpoints(count) => add(calls, "checkpoint", *count as usize),
            Step::Inner(inner) => {
                play(inner, calls);
                if predict(inner).is_err() {
                    return;
                }
            }
            Step::Children {
                scripts, together, how, ..
            } => {
                let count = scripts.len();
                add(calls, "spawn", if *together { 1 } else { count });
                match how {
                    How::TogetherOrFail => {
                        add(calls, "wait for all", 1);
                        if scripts.iter().any(|script| predict(script).is_err()) {
                            return;
                        }
                    }
                    How::OneByOne => add(calls, "wait for all", count),
                    How::AnyFirst => add(calls, "wait for any", count),
                    How::Twice => add(calls, "wait for all", 2 * count),
                    How::ByAnother => {
                        add(calls, "spawn", 1);
                        add(calls, "wait for all", 1);
                    }
                    How::Never => {}
                }
            }
            Step::Pipeline(_) => {
                for call in [
                    "create queue",
                    "spawn",
                    "spawn",
                    "wait for all",
                    "close",
                    "wait for all",
                ] {
                    add(calls, call, 1);
                }
            }
            Step::PingPong(rounds) => {
                add(calls, "create queue", 2);
                add(calls, "spawn", 1);
                for _ in 0..*rounds {
                    add(calls, "enqueue", 1);
                    add(calls, "dequeue", 1);
                }
                add(calls, "close", 1);
                add(calls, "wait for all", 1);
            }
        }
    }
    if script.end == End::Deadlocked {
        add(calls, "create queue", 1);
        add(calls, "dequeue", 1);
    }
}

/// A call's name.
pub(crate) fn name(call: &Call) -> &'static str {
    match call {
        Call::Checkpoint => "checkpoint",
        Call::Spawn(_) => "spawn",
        Call::WaitAll(_) => "wait for all",
        Call::WaitAny(_) => "wait for any",
        Call::CreateQueue(_) => "create queue",
        Call::Enqueue(..) => "enqueue",
        Call::Dequeue(_) => "dequeue",
        Call::Close(_) => "close",
        Call::Cancel(_) => "cancel",
        Call::Sleep(_) => "sleep",
        Call::PutObject { .. } => "put object",
        Call::Exit(_) => "exit",
    }
}
