//! Random programs, and workers that execute them by the coordinator's answers alone: the continuation that they send and are given back is
//! everything they know.

use super::*;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use serde::{Deserialize, Serialize};

/// A program, as a tree. Its result does not depend on who is served first, so it can be computed without a coordinator.
#[derive(Debug)]
pub(in crate::coordinator) enum Node {
    /// So many checkpoints, then the value.
    Leaf {
        checkpoints: u64,
        background: bool,
        value: u64,
    },
    /// Sleeps, then gives the value.
    Sleeper {
        milliseconds: u64,
        value: u64,
    },
    /// Puts its value to an external place, and gives it.
    Publisher {
        value: u64,
    },
    /// Fails, and gives the value when it is begun again.
    FailsOnce {
        value: u64,
    },
    /// Spawns a task that waits for ever, and so do its descendants, and cancels it: 1.
    Canceller {
        depth: u64,
        background: bool,
    },
    /// The sum of the children's results (a failing child counts as 1), awaited in this way.
    Fork {
        children: Vec<usize>,
        how: How,
    },
    /// The sum of what `consumers` take from a queue into which each producer puts `items` items, in batches.
    Pipeline {
        producers: u64,
        consumers: u64,
        items: u64,
        batch: u64,
        capacity: u64,
        background: bool,
    },
    /// Ends with an error.
    Failing,
    /// A producer or consumer of a pipeline; their place and queue come with the arguments.
    Producer {
        items: u64,
        batch: u64,
    },
    Consumer,
    /// A task that waits for ever, and its descendants.
    Waiting {
        depth: u64,
    },
}

#[derive(Clone, Copy, Debug)]
pub(in crate::coordinator) enum How {
    AllAtOnce,
    OneByOne,
    AnyFirst,
    /// Each child begins after the one before; those after a failing one never do.
    Chained,
}

#[derive(Debug)]
pub(in crate::coordinator) struct Program {
    pub(in crate::coordinator) nodes: Vec<Node>,
    /// Where objects are put to.
    pub(in crate::coordinator) folder: String,
}

/// A call, and what the task does about its answer.
pub(in crate::coordinator) struct Step {
    pub(in crate::coordinator) call: Call,
    pub(in crate::coordinator) mode: Mode,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::coordinator) enum Mode {
    /// Waits for it.
    Waiting,
    /// Goes on while the checkpoint is stored.
    Background,
    /// Goes on; the call travels with later ones.
    Deferred,
}

impl Program {
    pub(in crate::coordinator) fn random(seed: u64) -> Self {
        let mut random = SmallRng::seed_from_u64(seed);
        let mut program = Program {
            nodes: Vec::new(),
            folder: "/out".to_string(),
        };
        program.grow(3, &mut random);
        program
    }

    /// Appends a random tree and returns its root's index; the root of the program is the last node.
    fn grow(&mut self, depth: u32, random: &mut SmallRng) -> usize {
        // The first task is worth its while.
        let kinds = if depth == 3 { 8 } else { 14 };
        let node = match random.random_range(0..kinds) {
            0..=5 if depth > 0 => {
                let children = (0..random.random_range(0..4))
                    .map(|_| self.grow(depth - 1, random))
                    .collect();
                let how = [How::AllAtOnce, How::OneByOne, How::AnyFirst, How::Chained][random.random_range(0..4)];
                Node::Fork { children, how }
            }
            6 | 7 if depth > 0 => Node::Pipeline {
                producers: random.random_range(1..4),
                consumers: random.random_range(1..4),
                items: random.random_range(0..6),
                batch: random.random_range(1..4),
                capacity: random.random_range(1..4),
                background: random.random(),
            },
            8 => Node::Failing,
            9 => Node::Sleeper {
                milliseconds: random.random_range(0..8) * random.random_range(0..8),
                value: random.random_range(0..1000),
            },
            10 => Node::Publisher {
                value: random.random_range(0..1000),
            },
            11 => Node::FailsOnce {
                value: random.random_range(0..1000),
            },
            12 => Node::Canceller {
                depth: random.random_range(0..3),
                background: random.random(),
            },
            _ => Node::Leaf {
                checkpoints: random.random_range(0..6),
                background: random.random(),
                value: random.random_range(0..1000),
            },
        };
        self.nodes.push(node);
        self.nodes.len() - 1
    }

    pub(in crate::coordinator) fn root(&self) -> usize {
        self.nodes.len() - 1
    }

    /// The result without any coordinator; `None` is a failure.
    pub(in crate::coordinator) fn expected(&self, node: usize) -> Option<u64> {
        match &self.nodes[node] {
            Node::Leaf { value, .. }
            | Node::Sleeper { value, .. }
            | Node::Publisher { value }
            | Node::FailsOnce { value } => Some(*value),
            Node::Fork { children, how } => {
                let begun = self.begun(children, *how);
                let never = (children.len() - begun.len()) as u64;
                Some(
                    never
                        + begun
                            .iter()
                            .map(|child| self.expected(*child).unwrap_or(1))
                            .sum::<u64>(),
                )
            }
            Node::Pipeline { producers, items, .. } => {
                Some((0..*producers).flat_map(|p| (0..*items).map(move |i| item(p, i))).sum())
            }
            Node::Canceller { .. } => Some(1),
            Node::Failing => None,
            Node::Producer { .. } | Node::Consumer | Node::Waiting { .. } => Some(0),
        }
    }

    /// Those of the children that begin.
    fn begun<'a>(&self, children: &'a [usize], how: How) -> &'a [usize] {
        let failing = children.iter().position(|child| self.expected(*child).is_none());
        match (how, failing) {
            (How::Chained, Some(failing)) => &children[..=failing],
            _ => children,
        }
    }

    /// The objects that will be at external places, by their paths.
    pub(in crate::coordinator) fn objects(&self, node: usize) -> BTreeMap<String, u64> {
        match &self.nodes[node] {
            Node::Publisher { value } => BTreeMap::from([(self.path(node), *value)]),
            Node::Fork { children, how } => {
                let begun = self.begun(children, *how).iter();
                begun.flat_map(|child| self.objects(*child)).collect()
            }
            _ => BTreeMap::new(),
        }
    }

    fn path(&self, node: usize) -> String {
        format!("{}/object-{node}", self.folder)
    }
}

/// The value of a producer's item; it tells who made it and in which place.
fn item(producer: u64, index: u64) -> u64 {
    producer * 1000 + index + 1
}

/// What a task is started with.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(in crate::coordinator) struct Arguments {
    pub(in crate::coordinator) node: Child,
    pub(in crate::coordinator) queue: Option<QueueId>,
    pub(in crate::coordinator) producer: u64,
}

/// Which program a task runs.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(in crate::coordinator) enum Child {
    Node(usize),
    Producer { items: u64, batch: u64 },
    Consumer,
    Waiting { depth: u64 },
}

/// Everything a task knows between two calls.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(in crate::coordinator) struct Memory {
    arguments: Arguments,
    /// It is not the task's first attempt.
    again: bool,
    /// Number of calls made.
    step: u64,
    sum: u64,
    tasks: Vec<TaskId>,
    queue: Option<QueueId>,
    /// Last item seen of each producer.
    seen: BTreeMap<u64, u64>,
    finished: bool,
}

impl Memory {
    /// A task at its beginning; `last_sequence` is 0 in its first attempt only.
    pub(in crate::coordinator) fn new(arguments: Arguments, last_sequence: Sequence) -> Self {
        let queue = arguments.queue;
        Memory {
            arguments,
            again: last_sequence > 0,
            step: 0,
            sum: 0,
            tasks: Vec::new(),
            queue,
            seen: BTreeMap::new(),
            finished: false,
        }
    }

    /// Takes the answer of the last call, and decides on the next one. `store` makes a payload of bytes.
    pub(in crate::coordinator) fn next(
        &mut self,
        program: &Program,
        answer: Option<Answer>,
        store: &mut impl FnMut(Vec<u8>) -> Payload,
        load: &impl Fn(&Payload) -> Vec<u8>,
    ) -> Step {
        let step = self.step;
        self.step += 1;
        let number = |payload: &Payload| postcard::from_bytes::<u64>(&load(payload)).expect("a number");
        let value_of = |result: &TaskResult| result.as_ref().map_or(1, &number);
        let index = match self.arguments.node {
            Child::Node(index) => index,
            _ => usize::MAX,
        };
        let node = match self.arguments.node {
            Child::Node(index) => &program.nodes[index],
            Child::Producer { items, batch } => &Node::Producer { items, batch },
            Child::Consumer => &Node::Consumer,
            Child::Waiting { depth } => &Node::Waiting { depth },
        };
        let mut mode = Mode::Waiting;
        let call = match node {
            Node::Leaf {
                checkpoints,
                background,
                value,
            } => {
                self.sum = *value;
                if step < *checkpoints {
                    if *background {
                        mode = Mode::Background;
                    }
                    Call::Checkpoint
                } else {
                    self.exit(store)
                }
            }
            Node::Sleeper { milliseconds, value } => {
                self.sum = *value;
                match step {
                    0 => Call::Sleep(Duration::from_millis(*milliseconds)),
                    _ => self.exit(store),
                }
            }
            Node::Publisher { value } => {
                self.sum = *value;
                match step {
                    0 => Call::PutObject {
                        url: format!("file:{}", program.path(index)),
                        content: store(number_bytes(*value)),
                    },
                    _ => self.exit(store),
                }
            }
            Node::FailsOnce { value } if self.again => {
                self.sum = *value;
                self.exit(store)
            }
            Node::FailsOnce { .. } | Node::Failing => {
                self.finished = true;
                let failure = Failure::Returned("as it should".to_string());
                Call::Exit(Err(TaskError::new(TaskId(0), "", failure)))
            }
            Node::Canceller { depth, background } => match (step, answer) {
                (0, None) => Call::CreateQueue(1),
                (1, Some(Answer::Queue(queue))) => {
                    let waiting = Child::Waiting { depth: *depth };
                    Call::Spawn(vec![spawn(waiting, Some(queue), 0, store)])
                }
                (2, Some(Answer::Spawned(tasks))) => {
                    self.tasks = tasks;
                    if *background {
                        mode = Mode::Deferred;
                    }
                    Call::Cancel(self.tasks[0])
                }
                (3, Some(Answer::Done)) => Call::WaitAll(self.tasks.clone()),
                (4, Some(Answer::Results(results))) => {
                    assert!(matches!(&results[0], Err(error) if error.kind == Failure::Cancelled));
                    self.sum = 1;
                    self.exit(store)
                }
                other => panic!("{other:?}"),
            },
            Node::Waiting { depth: 0 } => Call::Dequeue(self.queue.expect("a queue")),
            Node::Waiting { depth } => match answer {
                Some(Answer::Spawned(tasks)) => Call::WaitAll(tasks),
                _ => {
                    let waiting = Child::Waiting { depth: depth - 1 };
                    Call::Spawn(vec![
                        spawn(waiting, self.queue, 0, store),
                        spawn(waiting, self.queue, 0, store),
                    ])
                }
            },
            Node::Fork { children, how } => {
                match answer {
                    Some(Answer::Spawned(tasks)) => self.tasks.extend(tasks),
                    Some(Answer::Results(results)) => {
                        self.sum += results.iter().map(value_of).sum::<u64>();
                        if matches!(how, How::OneByOne) {
                            self.tasks.remove(0);
                        } else {
                            self.tasks.clear();
                        }
                    }
                    Some(Answer::First(index, result)) => {
                        self.sum += value_of(&result);
                        self.tasks.remove(index as usize);
                    }
                    None => {}
                    other => panic!("{other:?}"),
                }
                let mut child = |index: usize, after: Option<&TaskId>| {
                    let mut spec = spawn(Child::Node(index), None, 0, store);
                    spec.options.after = after.into_iter().copied().collect();
                    if matches!(program.nodes[index], Node::FailsOnce { .. }) {
                        spec.options.retry = Some(Retry {
                            attempts: 2,
                            first_delay: Duration::from_millis(1),
                            longest_delay: Duration::from_millis(2),
                        });
                    }
                    spec
                };
                match (step, how, self.tasks.as_slice()) {
                    (_, How::Chained, tasks) if (step as usize) < children.len() => {
                        Call::Spawn(vec![child(children[step as usize], tasks.last())])
                    }
                    (0, How::AllAtOnce | How::OneByOne | How::AnyFirst, _) => {
                        Call::Spawn(children.iter().map(|index| child(*index, None)).collect())
                    }
                    (.., []) => self.exit(store),
                    (_, How::AllAtOnce | How::Chained, tasks) => Call::WaitAll(tasks.to_vec()),
                    (_, How::OneByOne, tasks) => Call::WaitAll(vec![tasks[0]]),
                    (_, How::AnyFirst, tasks) => Call::WaitAny(tasks.to_vec()),
                }
            }
            Node::Pipeline {
                producers,
                consumers,
                items,
                batch,
                capacity,
                background,
            } => match (step, answer) {
                (0, None) => Call::CreateQueue(*capacity),
                (1, Some(Answer::Queue(queue))) => {
                    self.queue = Some(queue);
                    let producer = Child::Producer {
                        items: *items,
                        batch: *batch,
                    };
                    let producers = (0..*producers).map(|p| (producer, p));
                    let consumers = (0..*consumers).map(|_| (Child::Consumer, 0));
                    Call::Spawn(
                        producers
                            .chain(consumers)
                            .map(|(c, p)| spawn(c, self.queue, p, store))
                            .collect(),
                    )
                }
                (2, Some(Answer::Spawned(tasks))) => {
                    self.tasks = tasks;
                    Call::WaitAll(self.tasks[..*producers as usize].to_vec())
                }
                (3, Some(Answer::Results(_))) => {
                    if *background {
                        mode = Mode::Deferred;
                    }
                    Call::Close(self.queue.expect("a queue"))
                }
                (4, Some(Answer::Done)) => Call::WaitAll(self.tasks[*producers as usize..].to_vec()),
                (5, Some(Answer::Results(results))) => {
                    self.sum = results.iter().map(value_of).sum();
                    self.exit(store)
                }
                other => panic!("{other:?}"),
            },
            Node::Producer { items, batch } => {
                let from = step * batch;
                let producer = self.arguments.producer;
                let to = (from + batch).min(*items);
                if from >= *items {
                    self.exit(store)
                } else {
                    let items = (from..to).map(|i| store(number_bytes(item(producer, i)))).collect();
                    Call::Enqueue(self.queue.expect("a queue"), items)
                }
            }
            Node::Consumer => {
                match answer {
                    None => {}
                    Some(Answer::Item(Some(payload))) => {
                        let value = number(&payload);
                        let before = self.seen.insert(value / 1000, value).unwrap_or(0);
                        assert!(before < value, "out of order: {value} after {before}");
                        self.sum += value;
                    }
                    Some(Answer::Item(None)) => {
                        let call = self.exit(store);
                        return Step { call, mode };
                    }
                    other => panic!("{other:?}"),
                }
                Call::Dequeue(self.queue.expect("a queue"))
            }
        };
        Step { call, mode }
    }

    fn exit(&mut self, store: &mut impl FnMut(Vec<u8>) -> Payload) -> Call {
        self.finished = true;
        Call::Exit(Ok(store(number_bytes(self.sum))))
    }

    /// Whether its last call was to exit.
    pub(in crate::coordinator) fn is_over(&self) -> bool {
        self.finished
    }
}

fn number_bytes(number: u64) -> Vec<u8> {
    postcard::to_stdvec(&number).expect("a number")
}

fn spawn(node: Child, queue: Option<QueueId>, producer: u64, store: &mut impl FnMut(Vec<u8>) -> Payload) -> TaskSpec {
    let arguments = Arguments { node, queue, producer };
    let bytes = postcard::to_stdvec(&arguments).expect("arguments");
    TaskSpec::new("node", store(bytes))
}
