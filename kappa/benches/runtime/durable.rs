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

/// How often raw writes and checkpoints take turns.
const ROUNDS: u32 = 5;

fn measure(durability: Durability, raw: &str) -> kappa::Result<Vec<Line>> {
    let runtime = tokio::runtime::Runtime::new()?;
    let mut lines = Vec::new();
    for (size, bytes, times) in [
        ("1 KB", 1 << 10, 400),
        ("64 KB", 64 << 10, 100),
        ("1 MB", 1 << 20, 40),
        ("16 MB", 16 << 20, 8),
    ] {
        let times = if durability == Durability::Machine {
            times.min(40)
        } else {
            times
        };
        let folder = tempfile::tempdir()?;
        let kappa = runtime.block_on(Kappa::builder().state_dir(folder.path()).durability(durability).build())?;
        let (mut plain, mut took) = (Vec::new(), Vec::new());
        // The first round warms up, and does not count.
        for round in 0..=ROUNDS {
            let raw = raw_writes(folder.path(), bytes, times, durability)?;
            if let Ok(mut ticks) = TICKS.lock() {
                ticks.clear();
            }
            runtime.block_on(kappa.run(keep(bytes, times)))?;
            let ticks = TICKS.lock().map(|ticks| ticks.clone()).unwrap_or_default();
            if round > 0 {
                plain.extend(raw);
                took.extend(ticks.windows(2).map(|pair| pair[1] - pair[0]));
            }
        }
        let middle = median(took.clone());
        lines.push(Line::ratio(
            format!("checkpoint of {size}, against {raw}"),
            middle,
            median(plain.clone()),
            1.3,
        ));
        lines.push(Line::ratio_only(
            format!("its 99th percentile, against its median ({size})"),
            quantile(took, 0.99),
            middle,
        ));
        lines.push(Line::ratio_only(
            format!("for comparison: that of {raw} ({size})"),
            quantile(plain.clone(), 0.99),
            median(plain),
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
