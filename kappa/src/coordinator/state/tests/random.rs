//! Random programs under random schedules and misfortunes: killed, crashed and timed-out invocations, lost replies, doubled and late requests,
//! overtaken checkpoints, zombies, and a coordinator that dies between any two events. The result must be the model's.

use super::model::{Arguments, Child, Memory, Mode, Program, Step};
use super::*;
use crate::coordinator::state::calls::into_payloads;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use std::collections::BTreeMap;

/// What the outside world looks like: lambdas, requests under way, and the store.
struct World {
    program: Program,
    bench: Bench,
    random: SmallRng,
    lambdas: BTreeMap<(TaskId, Incarnation), Lambda>,
    /// Requests that will arrive again, or only after their sender was given up.
    late: Vec<Request>,
    /// Checkpoints in the background that are under way.
    floating: Vec<Request>,
    /// Objects that are to be put to external places.
    publishing: Vec<(TaskId, Sequence, String, Payload)>,
    /// Those that are there.
    objects: BTreeMap<String, Vec<u8>>,
    store: BTreeMap<String, Vec<u8>>,
    next_key: u64,
    events: u64,
    faults: Faults,
}

struct Lambda {
    memory: Memory,
    sequence: Sequence,
    /// Calls that it does not know to be committed.
    deferred: Vec<(Sequence, Call)>,
    activity: Activity,
}

enum Activity {
    /// Its request is under way.
    Calling(Request),
    /// Its request has arrived.
    Waiting,
    /// It is about to leave.
    Leaving,
}

/// How much goes wrong.
#[derive(Clone, Copy)]
struct Faults {
    /// Chance that a step is a misfortune.
    rate: f64,
    /// None any more after so many events, so that every program ends.
    until: u64,
    /// The coordinator dies after this event.
    coordinator_dies_after: Option<u64>,
}

const NO_FAULTS: Faults = Faults {
    rate: 0.0,
    until: 0,
    coordinator_dies_after: None,
};

impl World {
    fn new(seed: u64, faults: Faults) -> Self {
        let mut random = SmallRng::seed_from_u64(seed ^ 0x5eed);
        let program = Program::random(seed);
        let environment = Environment {
            concurrency: random.random_range(1..6),
            ..Environment::default()
        };
        let tuning = Tuning {
            crash_limit: 1000,
            time_out_limit: 1000,
            kill_limit: 1000,
            ..Tuning::default()
        };
        let bench = Bench {
            state: State::new(run_id()),
            now: Timestamp(1),
            journal: Vec::new(),
            snapshot: None,
            environment: environment.clone(),
        };
        let arguments = Arguments {
            node: Child::Node(program.root()),
            queue: None,
            producer: 0,
        };
        let bytes = postcard::to_stdvec(&arguments).expect("arguments");
        let root = TaskSpec::new("node", Payload::Inline(bytes.into()));
        let lambdas = BTreeMap::new();
        let mut world = World {
            program,
            bench,
            random,
            lambdas,
            late: vec![],
            floating: vec![],
            publishing: vec![],
            objects: BTreeMap::new(),
            store: BTreeMap::new(),
            next_key: 0,
            events: 0,
            faults,
        };
        world.happen(Event::Started {
            root,
            tuning,
            environment,
        });
        world
    }

    fn happen(&mut self, event: Event) {
        let actions = self.bench.apply(event);
        self.events += 1;
        if self.events.is_multiple_of(37) {
            self.bench.compact();
        }
        if self.faults.coordinator_dies_after == Some(self.events) {
            // Dead before a single action was performed.
            self.coordinator_dies();
        } else {
            self.perform(actions);
        }
    }

    fn coordinator_dies(&mut self) {
        for (_, lambda) in std::mem::take(&mut self.lambdas) {
            if let Activity::Calling(request) = lambda.activity {
                self.late.push(request);
            }
        }
        // What was being written is half there, or there and not reported.
        for (.., url, content) in std::mem::take(&mut self.publishing) {
            if self.random.random() {
                self.put_object(&url, &content);
            }
        }
        let actions = self.bench.crash();
        self.perform(actions);
    }

    fn put_object(&mut self, url: &str, content: &Payload) {
        let path = url.strip_prefix("file:").expect("a file").to_string();
        let bytes = self.load(content);
        self.objects.insert(path, bytes);
    }

    fn perform(&mut self, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Invoke { invocation, .. } => self.start(invocation),
                Action::Publish {
                    task,
                    sequence,
                    url,
                    content,
                } => self.publishing.push((task, sequence, url, content)),
                Action::Reply {
                    task,
                    incarnation,
                    sequence,
                    reply,
                } => self.hear((task, incarnation), sequence, reply),
                Action::Kill { task, incarnation } => {
                    if let Some(lambda) = self.lambdas.get_mut(&(task, incarnation))
                        && let Activity::Calling(request) = std::mem::replace(&mut lambda.activity, Activity::Leaving)
                    {
                        // Nobody will ever hear of it.
                        for payload in into_payloads(request.call).into_iter().chain([request.continuation]) {
                            if let Payload::Stored { key, .. } = payload {
                                self.store.remove(&key);
                            }
                        }
                    }
                }
                Action::Delete { key, .. } => {
                    self.store.remove(&key);
                }
                Action::Observed(_) | Action::Ended => {}
                Action::Halt { .. } => panic!("no program is another one here"),
                Action::Broken(what) => panic!("{what}"),
                Action::Forget { .. } => {}
            }
        }
    }

    fn start(&mut self, invocation: Invocation) {
        let key = (invocation.task, invocation.incarnation);
        let (memory, answer) = match invocation.start {
            Start::Begin(arguments) => {
                let arguments = postcard::from_bytes(&self.load(&arguments)).expect("arguments");
                (Memory::new(arguments, invocation.last_sequence), None)
            }
            Start::Resume { continuation, answer } => (
                postcard::from_bytes(&self.load(&continuation)).expect("continuation"),
                Some(answer),
            ),
        };
        let mut lambda = Lambda {
            memory,
            sequence: invocation.last_sequence,
            deferred: Vec::new(),
            activity: Activity::Waiting,
        };
        self.call(key, &mut lambda, answer);
        assert!(self.lambdas.insert(key, lambda).is_none(), "started twice");
    }

    /// The lambda goes on until it waits for an answer.
    fn call(&mut self, key: (TaskId, Incarnation), lambda: &mut Lambda, mut answer: Option<Answer>) {
        loop {
            let (mode, request) = self.one_call(key, lambda, answer);
            match mode {
                Mode::Waiting => {
                    lambda.activity = Activity::Calling(request);
                    return;
                }
                Mode::Deferred => lambda.deferred.push((request.sequence, request.call)),
                Mode::Background => {
                    let is_older = |other: &Request| (other.task, other.incarnation) == key;
                    if self.random.random()
                        && let Some(older) = self.floating.iter().position(is_older)
                    {
                        // It had not been sent yet, and so it never will be.
                        let older = self.floating.swap_remove(older);
                        if let Payload::Stored { key, .. } = older.continuation {
                            self.store.remove(&key);
                        }
                    }
                    self.floating.push(request);
                }
            }
            answer = Some(Answer::Done);
        }
    }

    fn one_call(
        &mut self,
        (task, incarnation): (TaskId, Incarnation),
        lambda: &mut Lambda,
        answer: Option<Answer>,
    ) -> (Mode, Request) {
        let mut written = BTreeMap::new();
        let (next_key, random) = (&mut self.next_key, &mut self.random);
        let mut put = |bytes: Vec<u8>| {
            if random.random_bool(0.5) {
                return Payload::Inline(bytes.into());
            }
            *next_key += 1;
            let key = stored_key(&next_key.to_string());
            let length = bytes.len() as u64;
            written.insert(key.clone(), bytes);
            Payload::Stored { key, length }
        };
        let store = &self.store;
        let memory = &mut lambda.memory;
        let Step { call, mode } = memory.next(&self.program, answer, &mut put, &|payload| load(store, payload));
        let continuation = match call {
            _ if mode == Mode::Deferred => Payload::Inline(Bytes::new()),
            Call::Exit(_) => Payload::Inline(Bytes::new()),
            _ => put(postcard::to_stdvec(memory).expect("memory")),
        };
        self.store.extend(written);
        lambda.sequence += 1;
        let request = Request {
            task,
            incarnation,
            sequence: lambda.sequence,
            deferred: lambda.deferred.clone(),
            continuation,
            call,
        };
        (mode, request)
    }

    fn load(&self, payload: &Payload) -> Vec<u8> {
        load(&self.store, payload)
    }

    fn hear(&mut self, key: (TaskId, Incarnation), sequence: Sequence, reply: Reply) {
        let Some(mut lambda) = self.lambdas.remove(&key) else {
            return; // The lambda is gone.
        };
        let is_awaited = matches!(lambda.activity, Activity::Waiting) && lambda.sequence == sequence;
        if is_awaited {
            match reply {
                Reply::Answer(answer) if !lambda.memory.is_over() => {
                    // Whether it takes note at once must not matter.
                    if self.random.random() {
                        lambda.deferred.clear();
                    }
                    self.call(key, &mut lambda, Some(answer));
                }
                Reply::Answer(_) | Reply::Suspend | Reply::Fenced => lambda.activity = Activity::Leaving,
            }
        }
        self.lambdas.insert(key, lambda);
    }

    /// One thing happens. False when nothing is left to happen.
    fn step(&mut self) -> bool {
        let calm = self.events >= self.faults.until;
        if !calm && self.random.random_bool(self.faults.rate) {
            self.misfortune();
            return true;
        }
        if !self.floating.is_empty() && self.random.random_bool(0.3) {
            let index = self.random.random_range(0..self.floating.len());
            let request = self.floating.swap_remove(index);
            if self.random.random_bool(self.faults.rate) {
                self.late.push(request.clone());
            }
            self.happen(Event::Requested(request));
            return true;
        }
        if !self.publishing.is_empty() && self.random.random_bool(0.3) {
            let index = self.random.random_range(0..self.publishing.len());
            let (task, sequence, url, content) = self.publishing.swap_remove(index);
            self.put_object(&url, &content);
            self.happen(Event::Published {
                task,
                sequence,
                outcome: Ok(()),
            });
            return true;
        }
        let able: Vec<_> = self
            .lambdas
            .iter()
            .filter(|(_, l)| !matches!(l.activity, Activity::Waiting))
            .collect();
        if able.is_empty() || self.random.random_bool(0.1) {
            if let Some(at) = self.bench.state.next_timer() {
                self.bench.now = self.bench.now.max(at);
                self.happen(Event::Ticked);
                return true;
            }
            if able.is_empty() {
                return !self.floating.is_empty() || !self.publishing.is_empty();
            }
        }
        let key = *able[self.random.random_range(0..able.len())].0;
        self.go_on(key);
        true
    }

    fn go_on(&mut self, key: (TaskId, Incarnation)) {
        let Some(lambda) = self.lambdas.get_mut(&key) else {
            return;
        };
        match std::mem::replace(&mut lambda.activity, Activity::Waiting) {
            Activity::Calling(request) => {
                if self.random.random_bool(self.faults.rate) {
                    self.late.push(request.clone());
                }
                self.happen(Event::Requested(request));
            }
            Activity::Leaving => {
                self.lambdas.remove(&key);
                let (task, incarnation) = key;
                self.happen(Event::InvocationEnded {
                    task,
                    incarnation,
                    outcome: InvocationOutcome::Returned,
                    spent: Spent::default(),
                });
            }
            Activity::Waiting => {}
        }
    }

    fn misfortune(&mut self) {
        match self.random.random_range(0..11) {
            0 => self.coordinator_dies(),
            10 if !self.floating.is_empty() => {
                let index = self.random.random_range(0..self.floating.len());
                self.floating.swap_remove(index);
            }
            1..=3 if !self.late.is_empty() => {
                let index = self.random.random_range(0..self.late.len());
                let request = self.late.swap_remove(index);
                self.happen(Event::Requested(request));
            }
            kind => {
                let keys: Vec<_> = self.lambdas.keys().copied().collect();
                if keys.is_empty() {
                    return;
                }
                let key = keys[self.random.random_range(0..keys.len())];
                let lambda = self.lambdas.remove(&key);
                // Its request may arrive before its end is noticed, after it, or never.
                if let Some(Lambda {
                    activity: Activity::Calling(request),
                    ..
                }) = lambda
                {
                    match self.random.random_range(0..3) {
                        0 => self.happen(Event::Requested(request)),
                        1 => self.late.push(request),
                        _ => {}
                    }
                }
                let outcome = match kind {
                    4 => crashed(),
                    5 => InvocationOutcome::TimedOut,
                    6 => InvocationOutcome::Throttled("no room".to_string()),
                    7 => InvocationOutcome::StoreAway("connection refused".to_string()),
                    _ => killed(),
                };
                let (task, incarnation) = key;
                self.happen(Event::InvocationEnded {
                    task,
                    incarnation,
                    outcome,
                    spent: Spent::default(),
                });
            }
        }
    }

    /// What was to be put to external places is there, and nothing else.
    fn check_objects(&self) {
        let number = |bytes: &Vec<u8>| postcard::from_bytes(bytes).expect("a number");
        let found: BTreeMap<String, u64> = self
            .objects
            .iter()
            .map(|(path, bytes)| (path.clone(), number(bytes)))
            .collect();
        assert_eq!(found, self.program.objects(self.program.root()));
    }

    fn run(&mut self) -> Option<u64> {
        while self.bench.state.ended().is_none() {
            assert!(self.step(), "stuck: {:#?}", self.bench.state);
            assert!(self.events < 100_000, "never ends");
        }
        match self.bench.state.ended() {
            Some(Ok(payload)) => Some(postcard::from_bytes(&self.load(payload)).expect("a number")),
            _ => None,
        }
    }
}

fn load(store: &BTreeMap<String, Vec<u8>>, payload: &Payload) -> Vec<u8> {
    match payload {
        Payload::Inline(bytes) => bytes.to_vec(),
        Payload::Stored { key, .. } => store
            .get(key)
            .unwrap_or_else(|| panic!("{key} was deleted too early"))
            .clone(),
    }
}

#[test]
fn random_programs_under_random_misfortunes_have_the_models_result() {
    let mut seen = [0; 6];
    for seed in 0..1000 {
        let faults = Faults {
            rate: 0.25,
            until: 600,
            coordinator_dies_after: None,
        };
        let mut world = World::new(seed, faults);
        let expected = world.program.expected(world.program.root());
        assert_eq!(world.run(), expected, "seed {seed}");
        world.check_objects();
        let stats = world.bench.state.stats();
        let counts = [
            stats.superseded,
            stats.deferred,
            stats.cancelled,
            stats.sleeps,
            stats.published,
            stats.begun_again,
        ];
        for (seen, count) in seen.iter_mut().zip(counts) {
            *seen += count;
        }
    }
    assert!(
        seen.iter().all(|count| *count > 100),
        "something hardly ever happens: {seen:?}"
    );
}

#[test]
fn a_coordinator_that_dies_after_any_event_loses_nothing() {
    for seed in 0..25 {
        let mut world = World::new(seed, NO_FAULTS);
        let expected = world.program.expected(world.program.root());
        assert_eq!(world.run(), expected, "seed {seed}");
        for crash_point in 1..=world.events {
            let faults = Faults {
                coordinator_dies_after: Some(crash_point),
                ..NO_FAULTS
            };
            let mut world = World::new(seed, faults);
            assert_eq!(world.run(), expected, "seed {seed}, death after event {crash_point}");
            world.check_objects();
        }
    }
}

#[test]
fn without_misfortunes_nothing_is_left_in_the_store_but_results() {
    for seed in 0..400 {
        let mut world = World::new(seed, NO_FAULTS);
        world.run();
        world.check_objects();
        // Nobody has heard of these.
        for request in std::mem::take(&mut world.floating) {
            if let Payload::Stored { key, .. } = request.continuation {
                world.store.remove(&key);
            }
        }
        // Results are kept while a handle may exist, and the root's arguments and result are inline or its own.
        let results = world.bench.state.stats().tasks as usize;
        assert!(
            world.store.len() <= results,
            "seed {seed}: {} objects for {results} tasks of {:?}: {:?}",
            world.store.len(),
            world.program,
            world.store,
        );
    }
}
