//! Checkpoints into the embedded file journal and the file store, all included, against writing (and syncing) the same bytes to a file.

use crate::{Line, median, quantile};
use kappa::journal::Durability;
use kappa::prelude::*;
use kappa::runtime::Kappa;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;
use std::sync::{LazyLock, Mutex};
use std::time::{Duration, Instant};

/// When the task had made each of its checkpoints. Not part of its state: this is how the measurement watches it.
static TICKS: Mutex<Vec<Duration>> = Mutex::new(Vec::new());

static START: LazyLock<Instant> = LazyLock::new(Instant::now);

fn tick() {
    if let Ok(mut ticks) = TICKS.lock() {
        ticks.push(START.elapsed());
    }
}

/// Makes so many checkpoints with so many bytes live.
#[kappa::task]
async fn keep(cx: &mut Context, bytes: usize, times: u32) -> usize {
    let ballast = vec![7_u8; bytes];
    for _ in 0..times {
        tick();
        cx.checkpoint().await;
    }
    tick();
    ballast.len()
}

pub(crate) fn without_fsync() -> kappa::Result<Vec<Line>> {
    measure(Durability::Process, "write")
}

pub(crate) fn with_fsync() -> kappa::Result<Vec<Line>> {
    measure(Durability::Machine, "write and fsync")
}

fn measure(durability: Durability, raw: &str) -> kappa::Result<Vec<Line>> {
    let runtime = tokio::runtime::Runtime::new()?;
    let mut lines = Vec::new();
    for (size, bytes, times) in [
        ("1 KB", 1 << 10, 2000),
        ("64 KB", 64 << 10, 500),
        ("1 MB", 1 << 20, 100),
        ("16 MB", 16 << 20, 20),
    ] {
        let times = if durability == Durability::Machine {
            times.min(200)
        } else {
            times
        };
        let folder = tempfile::tempdir()?;
        let plain = raw_writes(folder.path(), bytes, times, durability)?;
        let kappa = runtime.block_on(Kappa::builder().state_dir(folder.path()).durability(durability).build())?;
        if let Ok(mut ticks) = TICKS.lock() {
            ticks.clear();
        }
        runtime.block_on(kappa.run(keep(bytes, times)))?;
        let ticks = TICKS.lock().map(|ticks| ticks.clone()).unwrap_or_default();
        let took: Vec<Duration> = ticks.windows(2).map(|pair| pair[1] - pair[0]).collect();
        let middle = median(took.clone());
        lines.push(Line::ratio(
            format!("checkpoint of {size}, against {raw}"),
            middle,
            median(plain),
            1.3,
        ));
        lines.push(Line::ratio(
            format!("the same, its 99th percentile against its median ({size})"),
            quantile(took, 0.99),
            middle,
            3.0,
        ));
    }
    Ok(lines)
}

/// The same bytes appended to one file.
fn raw_writes(folder: &Path, bytes: usize, times: u32, durability: Durability) -> kappa::Result<Vec<Duration>> {
    let ballast = vec![7_u8; bytes];
    let mut file = OpenOptions::new().create(true).append(true).open(folder.join("raw"))?;
    let mut took = Vec::new();
    for _ in 0..times {
        let started = Instant::now();
        file.write_all(&ballast)?;
        if durability == Durability::Machine {
            file.sync_data()?;
        }
        took.push(started.elapsed());
    }
    Ok(took)
}
