//! A loop of a million durable checkpoints in one task: what replaying systems cannot run, because the history that they replay grows with every
//! step. Here a checkpoint replaces the one before: the millionth costs what the hundredth did, and so does going on from it.
//!
//! ```text
//! cargo run --release -p kappa --example million_checkpoints
//! cargo run --release -p kappa --example million_checkpoints -- 100000
//! ```
//!
//! The task keeps 1 KB of state. Each checkpoint is recorded in a journal on disk (without fsync: it survives the death of the process). After the last one
//! the run is interrupted, and resumed by a new coordinator from what is on disk. The figures are medians over 200 checkpoints.

use kappa::prelude::*;
use kappa::runtime::{Kappa, RunError};
use std::io::{IsTerminal, Write};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{LazyLock, Mutex};
use std::time::{Duration, Instant};

/// Checkpoints over which a figure is taken.
const WINDOW: u64 = 200;

/// The steps that the task has done: how `main` watches it. It is not part of the task's state.
static STEPS: AtomicU64 = AtomicU64::new(0);

/// When the steps near those of interest were done.
static TIMES: LazyLock<Mutex<Vec<(u64, Instant)>>> = LazyLock::new(Mutex::default);

/// Adds up the numbers to `last`; each addition is a checkpoint.
#[kappa::task]
async fn add_up(cx: &mut Context, last: u64, interesting: Vec<u64>) -> u64 {
    let ballast = vec![7_u8; 1024];
    let mut sum = 0_u64;
    for step in 1..=last {
        sum = sum.wrapping_add(step ^ u64::from(ballast[(step % 1024) as usize]));
        cx.checkpoint().await;
        observe(step, &interesting);
    }
    sum
}

fn observe(step: u64, interesting: &[u64]) {
    if interesting.iter().any(|middle| step.abs_diff(*middle) <= WINDOW / 2)
        && let Ok(mut times) = TIMES.lock()
    {
        times.push((step, Instant::now()));
    }
    STEPS.store(step, Ordering::Release);
}

/// The median time of a checkpoint near this step, in microseconds.
fn microseconds_at(middle: u64) -> f64 {
    let Ok(times) = TIMES.lock() else { return f64::NAN };
    let near: Vec<_> = times
        .iter()
        .filter(|(step, _)| step.abs_diff(middle) <= WINDOW / 2)
        .collect();
    let mut took: Vec<Duration> = near.windows(2).map(|pair| pair[1].1 - pair[0].1).collect();
    took.sort_unstable();
    took.get(took.len() / 2)
        .map_or(f64::NAN, |median| median.as_secs_f64() * 1e6)
}

fn bytes_below(folder: &Path) -> std::io::Result<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let kind = entry.metadata()?;
        bytes += match kind.is_dir() {
            true => bytes_below(&entry.path())?,
            // What the file occupies.
            false => std::os::unix::fs::MetadataExt::blocks(&kind) * 512,
        };
    }
    Ok(bytes)
}

async fn measure(total: u64) -> Result<()> {
    let state = tempfile::tempdir()?;
    let mut interesting = vec![100, 100_000, total];
    interesting.retain(|step| *step <= total);
    interesting.dedup();

    let kappa = Kappa::builder().state_dir(state.path()).build().await?;
    let run = kappa.start(add_up(u64::MAX, interesting.clone())).await?;
    let (id, shows_progress) = (run.id(), std::io::stderr().is_terminal());
    while STEPS.load(Ordering::Acquire) < total + WINDOW / 2 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        if shows_progress {
            eprint!("\r{} checkpoints", STEPS.load(Ordering::Acquire));
            std::io::stderr().flush()?;
        }
        if let Some(Err(error)) = run_has_failed(&run).await {
            return Err(error.into());
        }
    }
    if shows_progress {
        eprint!("\r\x1b[K");
    }
    run.interrupt().await;
    drop((run, kappa));

    let before = STEPS.load(Ordering::Acquire);
    let started = Instant::now();
    let kappa = Kappa::builder().state_dir(state.path()).build().await?;
    let run = kappa.resume::<u64>(id).await?;
    while STEPS.load(Ordering::Acquire) <= before {
        tokio::time::sleep(Duration::from_micros(100)).await;
    }
    let resume = started.elapsed();
    run.interrupt().await;
    drop(run);

    let costs: Vec<String> = interesting
        .iter()
        .map(|step| format!("at {step}: {:.1} us", microseconds_at(*step)))
        .collect();
    println!(
        "{total} checkpoints; per checkpoint {}; resume: {:.1} ms; store now: {} KB",
        costs.join(", "),
        resume.as_secs_f64() * 1e3,
        bytes_below(state.path())? / 1024
    );
    Ok(())
}

/// How the run has ended, if it has: it should not.
async fn run_has_failed(run: &kappa::RunHandle<u64>) -> Option<std::result::Result<u64, RunError>> {
    tokio::time::timeout(Duration::ZERO, run.wait()).await.ok()
}

fn main() -> kappa::ExitCode {
    let total = match std::env::args().nth(1).map_or(Ok(1_000_000), |text| text.parse()) {
        Ok(total @ 200..) => total,
        _ => {
            eprintln!("usage: million_checkpoints [NUMBER OF CHECKPOINTS, at least 200]");
            return kappa::ExitCode::from(2);
        }
    };
    let measured = tokio::runtime::Runtime::new()
        .map_err(Error::from)
        .and_then(|runtime| runtime.block_on(measure(total)));
    match measured {
        Ok(()) => kappa::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            kappa::ExitCode::FAILURE
        }
    }
}
