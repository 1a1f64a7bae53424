//! Small programs for these tests.

use kappa::prelude::*;
use std::time::Duration;

#[kappa::task]
pub async fn square(cx: &mut Context, x: u64) -> u64 {
    cx.checkpoint().await;
    x * x
}

#[kappa::task]
pub async fn sum_of_squares(cx: &mut Context, n: u64) -> Result<u64> {
    let tasks = cx.spawn_all((0..n).map(square)).await;
    let mut sum = 0;
    for task in tasks {
        sum += cx.wait(&task).await?;
    }
    Ok(sum)
}

#[kappa::task]
pub async fn produce(cx: &mut Context, queue: Queue<u64>, from: u64, to: u64) -> Result<()> {
    for i in from..to {
        cx.enqueue(&queue, i).await;
    }
    Ok(())
}

#[kappa::task]
pub async fn consume(cx: &mut Context, queue: Queue<u64>) -> Result<Vec<u64>> {
    let mut items = Vec::new();
    while let Some(item) = cx.dequeue(&queue).await {
        items.push(item);
    }
    Ok(items)
}

/// Three producers, two consumers; gives all items, sorted.
#[kappa::task]
pub async fn pipeline(cx: &mut Context, each: u64) -> Result<Vec<u64>> {
    let queue = cx.queue::<u64>(4).await;
    let producers = cx
        .spawn_all((0..3).map(|p| produce(queue.clone(), p * each, (p + 1) * each)))
        .await;
    let consumers = cx.spawn_all((0..2).map(|_| consume(queue.clone()))).await;
    for producer in producers {
        cx.wait(&producer).await?;
    }
    cx.close(&queue).await;
    let mut all = Vec::new();
    for consumer in consumers {
        let items = cx.wait(&consumer).await?;
        all.extend(items);
    }
    all.sort_unstable();
    Ok(all)
}

#[kappa::task]
pub async fn fails(cx: &mut Context, what: String) -> Result<u64> {
    cx.checkpoint().await;
    Err(Error::msg(what))
}

#[kappa::task]
pub async fn handles_a_failure(cx: &mut Context) -> Result<String> {
    let task = cx.spawn(fails("no such file: x".to_string())).await;
    match cx.wait(&task).await {
        Ok(value) => Ok(format!("a value: {value}")),
        Err(error) => Ok(format!("an error: {error}")),
    }
}

#[kappa::task]
pub async fn panics(cx: &mut Context) -> u64 {
    cx.checkpoint().await;
    panic!("as it should")
}

#[kappa::task]
pub async fn waits_for_ever(cx: &mut Context) -> Result<Option<u64>> {
    let queue = cx.queue::<u64>(1).await;
    Ok(cx.dequeue(&queue).await)
}

#[kappa::task]
pub async fn length(cx: &mut Context, text: Vec<u8>) -> Vec<u8> {
    cx.checkpoint().await;
    let mut text = text;
    text.push(7);
    text
}

#[kappa::task]
pub async fn sleepy(cx: &mut Context) {
    loop {
        cx.checkpoint().await;
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[kappa::task]
pub async fn slow_sum(cx: &mut Context, from: u64, to: u64) -> u64 {
    let mut sum = 0;
    for i in from..to {
        sum += i;
        tokio::time::sleep(Duration::from_millis(2)).await;
        cx.checkpoint().await;
    }
    sum
}

/// Takes a while, in several tasks and with a queue, so that there is something to be killed.
#[kappa::task]
pub async fn long(cx: &mut Context, parts: u64, each: u64) -> Result<u64> {
    let tasks = cx
        .spawn_all((0..parts).map(|p| slow_sum(p * each, (p + 1) * each)))
        .await;
    let items = cx.call(pipeline(each)).await?;
    let mut sum: u64 = items.iter().sum();
    for task in tasks {
        sum += cx.wait(&task).await?;
    }
    Ok(sum)
}

pub(crate) fn expected_long(parts: u64, each: u64) -> u64 {
    (0..parts * each).sum::<u64>() + (0..3 * each).sum::<u64>()
}
