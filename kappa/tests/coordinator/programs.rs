//! Small programs for these tests.

use kappa::Kappa;
use kappa::prelude::*;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
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

/// A place whose state is in this folder.
pub(crate) async fn kappa_in(folder: &Path) -> Kappa {
    Kappa::builder().state_dir(folder).build().await.expect("a place")
}

/// Counts, with a checkpoint after every step.
#[kappa::task]
pub async fn counts(cx: &mut Context, to: u64) -> u64 {
    let mut n = 0;
    while n < to {
        n += 1;
        cx.checkpoint().await;
    }
    n
}

/// Sums up, with a checkpoint in the background after every step.
#[kappa::task]
pub async fn hurry(cx: &mut Context, steps: u64) -> u64 {
    let mut sum = 0;
    for i in 0..steps {
        sum += i;
        cx.checkpoint().in_background().await;
    }
    sum
}

/// The same with so much to be stored that it does not fit into a message.
#[kappa::task]
pub async fn hurry_with_luggage(cx: &mut Context, steps: u64) -> u64 {
    let luggage = vec![7u8; 100_000];
    for _ in 0..steps {
        cx.checkpoint().in_background().await;
        tokio::time::sleep(Duration::from_micros(200)).await;
    }
    luggage.len() as u64
}

/// Fails as long as it has not been begun so many times; the file counts.
#[kappa::task]
pub async fn fails_at_first(cx: &mut Context, file: PathBuf, times: u64) -> Result<u64> {
    let before = std::fs::read(&file).map_or(0, |bytes| bytes.len() as u64);
    std::fs::write(&file, vec![b'.'; before as usize + 1])?;
    cx.checkpoint().await;
    if before < times {
        return Err(Error::msg(format!("attempt {before} failed")));
    }
    Ok(before)
}

#[kappa::task]
pub async fn retries(cx: &mut Context, file: PathBuf, times: u64, attempts: u32) -> Result<u64> {
    let retry = Retry {
        first_delay: Duration::from_millis(1),
        ..Retry::attempts(attempts)
    };
    let task = cx.spawn(fails_at_first(file, times)).retry(retry).await;
    let value = cx.wait(&task).await?;
    Ok(value)
}

#[kappa::task]
pub async fn passes_on(cx: &mut Context, depth: u64) -> Result<u64> {
    if depth == 0 {
        return Err(Error::msg("no such file: x"));
    }
    let task = cx.spawn(passes_on(depth - 1)).await;
    let value = cx.wait(&task).await?;
    Ok(value)
}

/// Waits for ever, as do its descendants.
#[kappa::task]
pub async fn waits_with_descendants(cx: &mut Context, queue: Queue<u64>, depth: u64) -> Result<u64> {
    if depth > 0 {
        let tasks = cx
            .spawn_all((0..2).map(|_| waits_with_descendants(queue, depth - 1)))
            .await;
        let values = cx.wait_all(&tasks).await?;
        return Ok(values.iter().sum());
    }
    Ok(cx.dequeue(&queue).await.unwrap_or(0))
}

#[kappa::task]
pub async fn cancels(cx: &mut Context, in_background: bool) -> Result<String> {
    let queue = cx.queue::<u64>(1).await;
    let task = cx.spawn(waits_with_descendants(queue, 2)).named("in vain").await;
    cx.sleep(Duration::from_millis(5)).await;
    if in_background {
        cx.cancel(&task).in_background().await;
    } else {
        cx.cancel(&task).await;
    }
    match cx.wait(&task).await {
        Ok(value) => Ok(value.to_string()),
        Err(error) => Ok(error.kind.to_string()),
    }
}

#[kappa::task]
pub async fn naps(cx: &mut Context, milliseconds: u64) -> u64 {
    cx.sleep(Duration::from_millis(milliseconds)).await;
    milliseconds
}

/// Puts an object to a place after a while, and gives the while.
#[kappa::task]
pub async fn makes_later(cx: &mut Context, folder: PathBuf) -> u64 {
    cx.sleep(Duration::from_millis(20)).await;
    cx.put_object(format!("file:{}/made", folder.display()), "here").await;
    20
}

/// Tasks of which each begins after those before it; the second needs what the first has made.
#[kappa::task]
pub async fn in_order(cx: &mut Context, folder: PathBuf) -> Result<Vec<u64>> {
    let first = cx.spawn(makes_later(folder.clone())).await;
    let second = cx.spawn(read_length(folder.join("made"))).after(&[&first]).await;
    let third = cx.spawn(naps(1)).after(&[first.id(), second.id()]).await;
    let tasks = [first, second, third];
    let values = cx.wait_all(&tasks).await?;
    Ok(values)
}

#[kappa::task]
pub async fn read_length(_cx: &mut Context, file: PathBuf) -> Result<u64> {
    Ok(std::fs::read(file)?.len() as u64)
}

#[kappa::task]
pub async fn after_a_failure(cx: &mut Context) -> Result<u64> {
    let first = cx.spawn(fails("no such file: x".to_string())).await;
    let second = cx.spawn(square(3)).after(&[&first]).await;
    let third = cx.spawn(square(4)).after(&[&second]).await;
    let value = cx.wait(&third).await?;
    Ok(value)
}

/// The thread on which it runs.
#[kappa::task]
pub async fn thread(_cx: &mut Context) -> Option<String> {
    std::thread::current().name().map(str::to_string)
}

#[kappa::task]
pub async fn on_coordinator(cx: &mut Context) -> Result<Option<String>> {
    let task = cx.spawn(thread()).on_coordinator().await;
    let name = cx.wait(&task).await?;
    Ok(name)
}

#[kappa::task]
pub async fn too_slow(cx: &mut Context) -> Result<u64> {
    let task = cx.spawn(hogs()).time_limit(Duration::from_millis(5)).await;
    let value = cx.wait(&task).await?;
    Ok(value)
}

#[kappa::task]
pub async fn hogs(_cx: &mut Context) -> u64 {
    tokio::time::sleep(Duration::from_secs(600)).await;
    7
}

/// Computes without yielding, for a moment at a time.
#[kappa::task]
pub async fn does_not_yield(cx: &mut Context, times: u64) -> u64 {
    for _ in 0..times {
        std::thread::sleep(Duration::from_millis(150));
        cx.checkpoint().await;
    }
    times
}

/// Needs little time itself, beside many that need all of it.
#[kappa::task]
pub async fn is_innocent(cx: &mut Context, others: u64) -> Result<u64> {
    let hogs = cx.spawn_all((0..others).map(|_| does_not_yield(2))).await;
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_millis(20)).await;
        cx.checkpoint().await;
    }
    Ok(cx.wait_all(&hogs).await?.into_iter().sum())
}

/// Puts many items into a queue by one call, each of which a message could carry.
#[kappa::task]
pub async fn many_at_once(cx: &mut Context, items: u64, length: u64) -> Result<u64> {
    let queue = cx.queue(items as usize).await;
    cx.enqueue_all(&queue, (0..items).map(|item| vec![item as u8; length as usize]))
        .await;
    cx.close(&queue).await;
    let mut taken = 0;
    while let Some(item) = cx.dequeue(&queue).await {
        anyhow::ensure!(item == vec![taken as u8; length as usize], "item {taken} is another");
        taken += 1;
    }
    Ok(taken)
}

/// Never yields.
#[kappa::task]
pub async fn never_yields(_cx: &mut Context) -> u64 {
    loop {
        std::thread::sleep(Duration::from_secs(1));
    }
}

/// One of many that put their part to the outside: an object for every step.
#[kappa::task]
pub async fn publish(cx: &mut Context, folder: PathBuf, part: u64, steps: u64) -> u64 {
    let mut written = 0;
    for step in 0..steps {
        let text = content(part, step);
        written += text.len() as u64;
        cx.put_object(format!("file:{}/{part}/{step}", folder.display()), text)
            .await;
        cx.checkpoint().in_background().await;
    }
    written
}

/// The last one of each part does not fit into a message.
fn content(part: u64, step: u64) -> String {
    let times = if step % 4 == 3 { 30_000 } else { 1 };
    format!("part {part} step {step};").repeat(times)
}

/// Every kind of operation at once, so that whatever is killed, something of it is under way.
#[kappa::task]
pub async fn everything(cx: &mut Context, folder: PathBuf, parts: u64, steps: u64) -> Result<u64> {
    let objects = folder.join("objects");
    let tasks = cx
        .spawn_all((0..parts).map(|part| publish(objects.clone(), part, steps)))
        .named("part")
        .await;
    let after = cx.spawn(pipeline(steps)).after(&tasks).await;
    let mut sum = cx.call(hurry(steps * 50)).await;
    let queue = cx.queue::<u64>(2).await;
    cx.enqueue_all(&queue, [1, 2]).await;
    cx.close(&queue).in_background().await;
    cx.checkpoint().in_background().await;
    cx.sleep(Duration::from_millis(60)).await;
    while let Some(item) = cx.dequeue(&queue).await {
        sum += item;
        cx.sleep(Duration::from_millis(10)).await;
    }
    let text = cx.call(cancels(true)).await?;
    sum += text.len() as u64;
    for value in cx.wait_all(&tasks).await? {
        sum += value;
    }
    let items = cx.wait(&after).await?;
    Ok(sum + items.iter().sum::<u64>())
}

pub(crate) fn expected_everything(parts: u64, steps: u64) -> u64 {
    let objects: u64 = expected_objects(parts, steps)
        .values()
        .map(|text| text.len() as u64)
        .sum();
    (0..steps * 50).sum::<u64>() + 3 + "was cancelled".len() as u64 + objects + (0..3 * steps).sum::<u64>()
}

/// What [`everything`] puts into its folder, by path.
fn expected_objects(parts: u64, steps: u64) -> BTreeMap<String, String> {
    let all = (0..parts).flat_map(|part| (0..steps).map(move |step| (part, step)));
    all.map(|(part, step)| (format!("{part}/{step}"), content(part, step)))
        .collect()
}

/// Every object is there, whole, and nothing else: no draft is left.
pub(crate) fn check_objects(folder: &Path, parts: u64, steps: u64) {
    let mut found = BTreeMap::new();
    for part in std::fs::read_dir(folder.join("objects")).expect("a folder") {
        let part = part.expect("an entry");
        for object in std::fs::read_dir(part.path()).expect("a folder") {
            let object = object.expect("an entry");
            let name = format!("{}/{}", part.file_name().display(), object.file_name().display());
            found.insert(name, std::fs::read_to_string(object.path()).expect("an object"));
        }
    }
    let expected = expected_objects(parts, steps);
    assert!(found.keys().eq(expected.keys()), "{:?}", found.keys());
    assert!(found == expected, "an object has another content");
}
