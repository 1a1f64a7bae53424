//! That nothing grows: the cost of a checkpoint and of resuming after a hundred of them and after a hundred thousand, and the throughput of many tasks.

use crate::{Line, median, quantile};
use kappa::platform::in_process::{InProcess, InProcessOptions};
use kappa::prelude::*;
use kappa::runtime::Kappa;
use kappa::store::Memory;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::{Duration, Instant};

/// The steps that the task has done.
static STEPS: AtomicU64 = AtomicU64::new(0);
static TIMES: Mutex<Vec<(u64, Duration)>> = Mutex::new(Vec::new());
static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Checkpoints for ever, with 1 KB live.
#[kappa::task]
async fn go_on(cx: &mut Context, last: u64) -> usize {
    let ballast = vec![7_u8; 1024];
    for step in 1..=last {
        cx.checkpoint().await;
        observe(step);
    }
    ballast.len()
}

fn observe(step: u64) {
    const NEAR: u64 = 100;
    if (step.abs_diff(200) <= NEAR || step.abs_diff(100_000) <= NEAR)
        && let Ok(mut times) = TIMES.lock()
    {
        times.push((step, START.elapsed()));
    }
    STEPS.store(step, Ordering::Release);
}

/// The median cost of a checkpoint near a step.
fn cost_near(middle: u64) -> Duration {
    let times = TIMES.lock().map(|times| times.clone()).unwrap_or_default();
    let near: Vec<_> = times.iter().filter(|(step, _)| step.abs_diff(middle) <= 100).collect();
    median(
        near.windows(2)
            .map(|pair| pair[1].1.saturating_sub(pair[0].1))
            .collect(),
    )
}

pub(crate) fn hundredth_and_hundred_thousandth() -> kappa::Result<Vec<Line>> {
    let runtime = tokio::runtime::Runtime::new()?;
    let (mut costs, mut resumes) = (Vec::new(), Vec::new());
    for steps in [300, 100_100] {
        let mut took = Vec::new();
        let mut cost = Vec::new();
        for _ in 0..3 {
            let folder = tempfile::tempdir()?;
            if let Ok(mut times) = TIMES.lock() {
                times.clear();
            }
            took.push(runtime.block_on(resume_after(folder.path(), steps))?);
            cost.push(cost_near(if steps > 1000 { 100_000 } else { 200 }));
        }
        resumes.push(median(took));
        costs.push(median(cost));
    }
    Ok(vec![
        Line::time("checkpoint of 1 KB near step 200 (file journal)", costs[0], None),
        Line::equal("the same near step 100000, against step 200", costs[1], costs[0], 1.2),
        Line::time("resume after 300 checkpoints, to its first new one", resumes[0], None),
        Line::equal("the same after 100100, against 300", resumes[1], resumes[0], 1.2),
    ])
}

/// Interrupts the run after so many steps, and gives the time until it goes on in another coordinator.
async fn resume_after(folder: &Path, steps: u64) -> kappa::Result<Duration> {
    STEPS.store(0, Ordering::Release);
    let kappa = Kappa::builder().state_dir(folder).build().await?;
    let run = kappa.start(go_on(u64::MAX)).await?;
    let id = run.id();
    while STEPS.load(Ordering::Acquire) < steps {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    run.interrupt().await;
    drop((run, kappa));
    let before = STEPS.load(Ordering::Acquire);
    let kappa = Kappa::builder().state_dir(folder).build().await?;
    let started = Instant::now();
    let run = kappa.resume::<usize>(id).await?;
    while STEPS.load(Ordering::Acquire) <= before {
        tokio::time::sleep(Duration::from_micros(50)).await;
    }
    let took = started.elapsed();
    run.interrupt().await;
    Ok(took)
}

/// How long each checkpoint took. Not part of the tasks' state, which would grow with it.
static TOOK: Mutex<Vec<Duration>> = Mutex::new(Vec::new());

#[kappa::task]
async fn timed(cx: &mut Context, times: u32) {
    let mut last = elapsed();
    for _ in 0..times {
        cx.checkpoint().await;
        let now = elapsed();
        took(now - last);
        last = now;
    }
}

fn took(nanoseconds: u64) {
    if let Ok(mut took) = TOOK.lock() {
        took.push(Duration::from_nanos(nanoseconds));
    }
}

fn elapsed() -> u64 {
    START.elapsed().as_nanos() as u64
}

#[kappa::task]
async fn all(cx: &mut Context, tasks: usize, times: u32) -> Result<usize> {
    let tasks = cx.spawn_all((0..tasks).map(|_| timed(times))).await;
    Ok(cx.wait_all(&tasks).await?.len())
}

/// On the memory journal's stead: no journal, so that nothing but the coordinator is measured.
pub(crate) fn many_tasks() -> kappa::Result<Vec<Line>> {
    let runtime = tokio::runtime::Runtime::new()?;
    let mut lines = Vec::new();
    let mut before: Option<f64> = None;
    for (tasks, times) in [(1_usize, 200_000_u32), (10, 20_000), (100, 2000), (1000, 200)] {
        let store = Arc::new(Memory::new());
        // A quarter: four invocations for each thread.
        let options = InProcessOptions {
            workers: usize::max(2, tasks.div_ceil(4)),
        };
        let platform = Arc::new(InProcess::new(options, store.clone())?);
        let kappa = runtime.block_on(Kappa::builder().platform(platform).store(store).build())?;
        let started = Instant::now();
        runtime.block_on(kappa.run(all(tasks, times)))?;
        let total = started.elapsed();
        let took = TOOK
            .lock()
            .map(|mut took| std::mem::take(&mut *took))
            .unwrap_or_default();
        let (count, middle) = (took.len() as u64, median(took.clone()));
        let rate = count as f64 / total.as_secs_f64();
        // Nothing falls, but for what two runs of the same differ by.
        let least = before.map(|rate| rate * 0.9);
        lines.push(Line::rate(
            format!("checkpoints of {tasks} tasks at once, not fewer than of a tenth of them"),
            count,
            total,
            least,
        ));
        // Who waits in a line of so many, of which the coordinator serves so many per second.
        let most = before.map(|rate| Duration::from_secs_f64(tasks as f64 / rate * 1.1));
        lines.push(Line::time(
            format!("the median checkpoint of {tasks} tasks at once, by the load over the throughput before"),
            middle,
            most,
        ));
        lines.push(Line::ratio_only(
            format!("its 99th percentile, against its median ({tasks} tasks)"),
            quantile(took, 0.99),
            middle,
        ));
        before = Some(rate);
    }
    Ok(lines)
}
