//! Tasks that do nothing: what it costs to have one.

use crate::{Line, median};
use kappa::platform::process::{Process, ProcessOptions};
use kappa::prelude::*;
use kappa::runtime::Kappa;
use kappa::store::{FileStore, Store};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

static START: LazyLock<Instant> = LazyLock::new(Instant::now);

fn elapsed() -> u64 {
    START.elapsed().as_nanos() as u64
}

#[kappa::task]
async fn nothing(_cx: &mut Context) {}

/// How long each spawning and waiting took, in nanoseconds.
#[kappa::task]
async fn one_by_one(cx: &mut Context, times: u32) -> Result<Vec<u64>> {
    let mut took = Vec::new();
    let mut last = elapsed();
    for _ in 0..times {
        let task = cx.spawn(nothing()).await;
        cx.wait(&task).await?;
        let now = elapsed();
        took.push(now.saturating_sub(last));
        last = now;
    }
    Ok(took)
}

#[kappa::task]
async fn all_at_once(cx: &mut Context, count: u32) -> Result<usize> {
    let tasks = cx.spawn_all((0..count).map(|_| nothing())).await;
    Ok(cx.wait_all(&tasks).await?.len())
}

pub(crate) fn in_process() -> kappa::Result<Vec<Line>> {
    let runtime = tokio::runtime::Runtime::new()?;
    let kappa = runtime.block_on(Kappa::builder().build())?;
    measure(
        &runtime,
        &kappa,
        "in-process",
        Duration::from_micros(50),
        50_000.0,
        50_000,
    )
}

pub(crate) fn process() -> kappa::Result<Vec<Line>> {
    let runtime = tokio::runtime::Runtime::new()?;
    let folder = tempfile::tempdir()?;
    let store: Arc<dyn Store> = Arc::new(FileStore::open(folder.path())?);
    // Process needs a runtime around it to talk to its workers.
    let _inside = runtime.enter();
    let platform = Arc::new(Process::new(ProcessOptions::default(), &store)?);
    let kappa = runtime.block_on(Kappa::builder().platform(platform).store(store).build())?;
    let lines = measure(&runtime, &kappa, "process", Duration::from_micros(300), 5_000.0, 5_000);
    runtime.block_on(kappa.shutdown());
    lines
}

fn measure(
    runtime: &tokio::runtime::Runtime,
    kappa: &Kappa,
    platform: &str,
    most: Duration,
    least: f64,
    count: u32,
) -> kappa::Result<Vec<Line>> {
    runtime.block_on(kappa.run(one_by_one(20)))?; // workers are warm from here on
    let took = runtime.block_on(kappa.run(one_by_one(1000)))?;
    let took = median(took.into_iter().map(Duration::from_nanos).collect());
    let started = Instant::now();
    runtime.block_on(kappa.run(all_at_once(count)))?;
    let total = started.elapsed();
    Ok(vec![
        Line::time(
            format!("spawn and wait for an empty task, {platform}"),
            took,
            Some(most),
        ),
        Line::rate(
            format!("{count} empty tasks, {platform}"),
            count.into(),
            total,
            Some(least),
        ),
    ])
}
