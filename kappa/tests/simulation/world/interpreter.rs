//! The tasks that play scripts: ordinary programs, as a user would write them.

use super::clock::{now, work};
use super::script::{End, How, Manner, Pipeline, Script, Step, filler, place_of};
use kappa::prelude::*;
use kappa::protocol::Retry;
use kappa::{Failure, TaskError};
use serde::{Deserialize, Serialize};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Duration;

/// The message with which a task fails that is to fail.
pub(crate) const AS_IT_SHOULD: &str = "as it should";

/// What a script comes to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Yield {
    /// The sum of everything.
    pub(crate) value: u64,
    /// What the consumers of its pipelines took.
    pub(crate) taken: Vec<Taken>,
    pub(crate) padding: String,
}

/// What one consumer took, in this order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Taken {
    pub(crate) pipeline: u32,
    /// Producer, and number of the item.
    pub(crate) items: Vec<(u32, u32)>,
}

/// What goes through the queue of a pipeline.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Item {
    producer: u32,
    index: u32,
    content: String,
}

impl Item {
    fn new(producer: u32, index: u32, size: u32) -> Self {
        Item {
            producer,
            index,
            content: filler(producer * 1000 + index, size),
        }
    }
}

impl Yield {
    fn add(&mut self, other: Yield) {
        self.value += other.value;
        self.taken.extend(other.taken);
    }

    /// What a child came to; each way of failing that a script can ask for has its own value.
    fn add_result(&mut self, result: Result<Yield, TaskError>) {
        match result {
            Ok(other) => self.add(other),
            Err(error) => self.value += worth(&error.kind),
        }
    }
}

/// What a failure counts where it is handled.
pub(crate) fn worth(failure: &Failure) -> u64 {
    match failure {
        // The message of a parent has the child's in it.
        Failure::Returned(message) if message.contains(AS_IT_SHOULD) || message.contains("ran out of time") => 10_000,
        Failure::Crashed { last, .. } if last.contains(AS_IT_SHOULD) => 20_000,
        Failure::OutOfTime { .. } => 30_000,
        Failure::Dependency(_) => 40_000,
        _ => 1 << 40,
    }
}

thread_local! {
    /// How often each flaky end has been reached: something outside of the program, which nothing rolls back.
    static FLAKY: RefCell<BTreeMap<u32, u32>> = const { RefCell::new(BTreeMap::new()) };
}

/// Nothing flaky has been reached.
pub(crate) fn forget() {
    FLAKY.take();
}

fn is_reached_again(number: u32) -> bool {
    FLAKY.with_borrow_mut(|reached| {
        let count = reached.entry(number).or_default();
        *count += 1;
        *count > 2
    })
}

fn retry(attempts: u32) -> Retry {
    Retry {
        first_delay: Duration::from_millis(20),
        ..Retry::attempts(attempts)
    }
}

/// Plays a script.
#[kappa::task]
pub(crate) async fn play(cx: &mut Context, script: Script) -> Result<Yield> {
    let Script { steps, end } = script;
    let mut sum = Yield::default();
    let mut ballast = String::new();
    for step in steps {
        match step {
            Step::Work(microseconds) => work(microseconds).await,
            Step::Checkpoints(count) => {
                for _ in 0..count {
                    cx.checkpoint().await;
                }
            }
            Step::Background(count, pause) => {
                for _ in 0..count {
                    cx.checkpoint().in_background().await;
                    work(pause).await;
                }
            }
            Step::Auto(passes, microseconds) => {
                let passed = cx.call(looping(passes, microseconds)).await;
                sum.value += passed;
            }
            Step::Object(number, size) => {
                let url = format!("file:{}", place_of(number, size).display());
                cx.put_object(url, filler(number, size)).await;
            }
            Step::Sleep(microseconds) => {
                let before = now();
                cx.sleep(Duration::from_micros(microseconds)).await;
                if now() < before + microseconds {
                    return Err(Error::msg("woken too early"));
                }
            }
            Step::Ballast(bytes) => ballast = filler(7, bytes),
            Step::Inner(inner) => {
                let inner = cx.call(play(*inner)).await?;
                sum.add(inner);
            }
            Step::Children {
                scripts,
                together,
                how,
                attempts,
                manner,
            } => {
                let children = cx.call(children(scripts, together, how, attempts, manner)).await?;
                sum.add(children);
            }
            Step::Chain(scripts) => {
                let chain = cx.call(chain(scripts)).await?;
                sum.add(chain);
            }
            Step::Cancelled {
                script,
                after,
                deferred,
            } => {
                let task = cx.spawn(play(*script)).named("to be cancelled").await;
                work(after).await;
                if deferred {
                    cx.cancel(&task).in_background().await;
                } else {
                    cx.cancel(&task).await;
                }
                // It may have been quicker; who knows.
                if let Err(error) = cx.wait(&task).await
                    && worth(&error.kind) > 40_000
                    && error.kind != Failure::Cancelled
                {
                    return Err(error.into());
                }
            }
            Step::Pipeline(pipeline) => {
                let taken = cx.call(exchange(pipeline)).await?;
                sum.taken.extend(taken);
            }
            Step::PingPong(rounds) => {
                let there = cx.queue::<u32>(1).await;
                let back = cx.queue::<u32>(1).await;
                let partner = cx.spawn(pong(there, back)).await;
                let mut ball = 0;
                for _ in 0..rounds {
                    cx.enqueue(&there, ball).await;
                    ball = match cx.dequeue(&back).await {
                        Some(ball) => ball,
                        None => return Err(Error::msg("the ball is gone")),
                    };
                }
                cx.close(&there).await;
                let played = cx.wait(&partner).await?;
                sum.value += u64::from(ball) * 1000 + played;
            }
        }
    }
    if ballast != filler(7, ballast.len() as u32) {
        return Err(Error::msg("the ballast has changed"));
    }
    match end {
        End::Value(value) => sum.value += value,
        End::Large(value, bytes) => {
            sum.value += value;
            sum.padding = filler(8, bytes);
        }
        End::Failing => return Err(Error::msg(AS_IT_SHOULD)),
        End::Panicking => panic!("{AS_IT_SHOULD}"),
        End::Overtime => work(u64::from(u32::MAX)).await,
        End::Deadlocked => {
            let queue = cx.queue::<u32>(1).await;
            cx.dequeue(&queue).await;
        }
        End::Flaky(number, value) => {
            if !is_reached_again(number) {
                return Err(Error::msg(AS_IT_SHOULD));
            }
            sum.value += value;
        }
    }
    Ok(sum)
}

/// A loop without a suspension point of its own: the compiler puts one at its end. Gives how many passes there were.
#[kappa::task(auto)]
pub(crate) async fn looping(_cx: &mut Context, passes: u32, microseconds: u64) -> u64 {
    let mut passed = 0;
    while passed < u64::from(passes) {
        work(microseconds).await;
        passed += 1;
    }
    passed
}

/// Creates children and waits for them.
#[kappa::task]
pub(crate) async fn children(
    cx: &mut Context,
    scripts: Vec<Script>,
    together: bool,
    how: How,
    attempts: u32,
    manner: Manner,
) -> Result<Yield> {
    let mut tasks = Vec::new();
    let retry = retry(attempts);
    if together {
        let calls = scripts.into_iter().map(play);
        tasks = match manner {
            Manner::Plain => cx.spawn_all(calls).retry(retry).await,
            Manner::OnCoordinator => cx.spawn_all(calls).retry(retry).on_coordinator().await,
            Manner::Limited(limit) => {
                cx.spawn_all(calls)
                    .retry(retry)
                    .time_limit(Duration::from_micros(limit))
                    .await
            }
        };
    } else {
        for script in scripts {
            let task = match manner {
                Manner::Plain => cx.spawn(play(script)).retry(retry).await,
                Manner::OnCoordinator => cx.spawn(play(script)).retry(retry).on_coordinator().await,
                Manner::Limited(limit) => {
                    cx.spawn(play(script))
                        .retry(retry)
                        .time_limit(Duration::from_micros(limit))
                        .await
                }
            };
            tasks.push(task);
        }
    }
    let mut sum = Yield::default();
    match how {
        How::TogetherOrFail => {
            for value in cx.wait_all(&tasks).await? {
                sum.add(value);
            }
        }
        How::OneByOne => {
            for task in tasks {
                let result = cx.wait(&task).await;
                sum.add_result(result);
            }
        }
        How::AnyFirst => {
            while !tasks.is_empty() {
                let (index, result) = cx.wait_any(&tasks).await;
                tasks.remove(index);
                sum.add_result(result);
            }
        }
        How::Twice => {
            for task in tasks {
                let first = cx.wait(&task).await;
                let again = cx.wait(&task).await;
                if first != again {
                    return Err(Error::msg("another result the second time"));
                }
                sum.add_result(again);
            }
        }
        How::ByAnother => {
            let other = cx.spawn(waits_for(tasks)).await;
            let result = cx.wait(&other).await?;
            sum.add(result);
        }
        How::Never => {}
    }
    Ok(sum)
}

/// Creates tasks each of which begins after the one before.
#[kappa::task]
pub(crate) async fn chain(cx: &mut Context, scripts: Vec<Script>) -> Result<Yield> {
    let mut tasks: Vec<Task<Yield>> = Vec::new();
    for script in scripts {
        let before: Vec<Task<Yield>> = tasks.last().copied().into_iter().collect();
        let task = cx.spawn(play(script)).after(&before).await;
        tasks.push(task);
    }
    let mut sum = Yield::default();
    for task in tasks {
        let result = cx.wait(&task).await;
        sum.add_result(result);
    }
    Ok(sum)
}

/// Waits for tasks that another one has created.
#[kappa::task]
pub(crate) async fn waits_for(cx: &mut Context, tasks: Vec<Task<Yield>>) -> Result<Yield> {
    let mut sum = Yield::default();
    for task in tasks {
        let result = cx.wait(&task).await;
        sum.add_result(result);
    }
    Ok(sum)
}

/// Producers, a queue, consumers; gives what each consumer took.
#[kappa::task]
pub(crate) async fn exchange(cx: &mut Context, pipeline: Pipeline) -> Result<Vec<Taken>> {
    let queue = cx.queue::<Item>(pipeline.capacity as usize).await;
    let producers = cx
        .spawn_all((0..pipeline.producers).map(|number| produce(queue, pipeline, number)))
        .await;
    let consumers = cx
        .spawn_all((0..pipeline.consumers).map(|_| consume(queue, pipeline)))
        .await;
    cx.wait_all(&producers).await?;
    if pipeline.deferred {
        cx.close(&queue).in_background().await;
    } else {
        cx.close(&queue).await;
    }
    let taken = cx.wait_all(&consumers).await?;
    Ok(taken)
}

/// Puts its items into the queue.
#[kappa::task]
pub(crate) async fn produce(cx: &mut Context, queue: Queue<Item>, pipeline: Pipeline, number: u32) -> Result<()> {
    let mut next = 0;
    while next < pipeline.items {
        work(pipeline.pause).await;
        let end = pipeline.items.min(next + pipeline.batch);
        if pipeline.batch == 1 {
            cx.enqueue(&queue, Item::new(number, next, pipeline.size)).await;
        } else {
            cx.enqueue_all(&queue, (next..end).map(|index| Item::new(number, index, pipeline.size)))
                .await;
        }
        next = end;
    }
    Ok(())
}

/// Takes items until there are no more.
#[kappa::task]
pub(crate) async fn consume(cx: &mut Context, queue: Queue<Item>, pipeline: Pipeline) -> Result<Taken> {
    let mut items = Vec::new();
    while let Some(item) = cx.dequeue(&queue).await {
        if item != Item::new(item.producer, item.index, pipeline.size) {
            return Err(Error::msg("an item has changed"));
        }
        items.push((item.producer, item.index));
        work(pipeline.pause).await;
    }
    Ok(Taken {
        pipeline: pipeline.id,
        items,
    })
}

/// Gives back each ball, one larger; gives how many there were.
#[kappa::task]
pub(crate) async fn pong(cx: &mut Context, there: Queue<u32>, back: Queue<u32>) -> Result<u64> {
    let mut count = 0;
    while let Some(ball) = cx.dequeue(&there).await {
        count += 1;
        cx.enqueue(&back, ball + 1).await;
    }
    Ok(count)
}
