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
        value: u64,
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
    },
    /// Ends with an error.
    Failing,
    /// A producer or consumer of a pipeline; their place and queue come with the arguments.
    Producer {
        items: u64,
        batch: u64,
    },
    Consumer,
}

#[derive(Clone, Copy, Debug)]
pub(in crate::coordinator) enum How {
    AllAtOnce,
    OneByOne,
    AnyFirst,
}

#[derive(Debug)]
pub(in crate::coordinator) struct Program {
    pub(in crate::coordinator) nodes: Vec<Node>,
}

impl Program {
    pub(in crate::coordinator) fn random(seed: u64) -> Self {
        let mut random = SmallRng::seed_from_u64(seed);
        let mut program = Program { nodes: Vec::new() };
        program.grow(3, &mut random);
        program
    }

    /// Appends a random tree and returns its root's index; the root of the program is the last node.
    fn grow(&mut self, depth: u32, random: &mut SmallRng) -> usize {
        let node = match random.random_range(0..6) {
            0..=2 if depth > 0 => {
                let children = (0..random.random_range(0..4))
                    .map(|_| self.grow(depth - 1, random))
                    .collect();
                let how = [How::AllAtOnce, How::OneByOne, How::AnyFirst][random.random_range(0..3)];
                Node::Fork { children, how }
            }
            3 if depth > 0 => Node::Pipeline {
                producers: random.random_range(1..4),
                consumers: random.random_range(1..4),
                items: random.random_range(0..6),
                batch: random.random_range(1..4),
                capacity: random.random_range(1..4),
            },
            4 if depth < 3 => Node::Failing,
            _ => Node::Leaf {
                checkpoints: random.random_range(0..4),
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
            Node::Leaf { value, .. } => Some(*value),
            Node::Fork { children, .. } => Some(children.iter().map(|child| self.expected(*child).unwrap_or(1)).sum()),
            Node::Pipeline { producers, items, .. } => {
                Some((0..*producers).flat_map(|p| (0..*items).map(move |i| item(p, i))).sum())
            }
            Node::Failing => None,
            Node::Producer { .. } | Node::Consumer => Some(0),
        }
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
}

/// Everything a task knows between two calls.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(in crate::coordinator) struct Memory {
    arguments: Arguments,
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
    pub(in crate::coordinator) fn new(arguments: Arguments) -> Self {
        let queue = arguments.queue;
        Memory {
            arguments,
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
    ) -> Call {
        let step = self.step;
        self.step += 1;
        let number = |payload: &Payload| postcard::from_bytes::<u64>(&load(payload)).expect("a number");
        let value_of = |result: &TaskResult| result.as_ref().map_or(1, &number);
        let node = match self.arguments.node {
            Child::Node(index) => &program.nodes[index],
            Child::Producer { items, batch } => &Node::Producer { items, batch },
            Child::Consumer => &Node::Consumer,
        };
        match node {
            Node::Leaf { checkpoints, value } => {
                self.sum = *value;
                if step < *checkpoints {
                    Call::Checkpoint
                } else {
                    self.exit(store)
                }
            }
            Node::Failing => {
                self.finished = true;
                let kind = Failure::Returned("as it should".to_string());
                Call::Exit(Err(TaskError {
                    task: TaskId(0),
                    function: String::new(),
                    kind,
                }))
            }
            Node::Fork { children, how } => {
                match answer {
                    Some(Answer::Spawned(tasks)) => self.tasks = tasks,
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
                match (step, how, self.tasks.as_slice()) {
                    (0, ..) => Call::Spawn(
                        children
                            .iter()
                            .map(|c| spawn(Child::Node(*c), None, 0, store))
                            .collect(),
                    ),
                    (.., []) => self.exit(store),
                    (_, How::AllAtOnce, tasks) => Call::WaitAll(tasks.to_vec()),
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
                (3, Some(Answer::Results(_))) => Call::Close(self.queue.expect("a queue")),
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
                    return self.exit(store);
                }
                let items = (from..to).map(|i| store(number_bytes(item(producer, i)))).collect();
                Call::Enqueue(self.queue.expect("a queue"), items)
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
                    Some(Answer::Item(None)) => return self.exit(store),
                    other => panic!("{other:?}"),
                }
                Call::Dequeue(self.queue.expect("a queue"))
            }
        }
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
    TaskSpec {
        function: "node".to_string(),
        arguments: store(bytes),
    }
}
