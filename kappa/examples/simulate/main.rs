//! The whole runtime in one thread, under a virtual clock, while everything around it fails, as decided by a seed.
//!
//! ```sh
//! cargo run --release -p kappa --example simulate -- --seeds 20000    # as many seeds as you like, on all processors
//! cargo run --release -p kappa --example simulate -- --seed 17        # replays one, and prints its history
//! ```

#[path = "../../tests/simulation/world/mod.rs"]
#[allow(dead_code, reason = "the tests use more of it")]
mod world;

use clap::Parser;
use std::process::ExitCode;
use world::Report;
use world::many::{many, one};

/// Runs random programs on the whole runtime in virtual time, with faults at every boundary, and checks everything that took effect.
#[derive(Parser)]
struct Options {
    /// Run this many seeds: 0, 1, 2, ...
    #[arg(long, default_value_t = 1000, conflicts_with = "seed")]
    seeds: u64,
    /// The first of them.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Replay this seed and print its history.
    #[arg(long)]
    seed: Option<u64>,
    /// Threads to use; each seed runs on one.
    #[arg(long, default_value_t = std::thread::available_parallelism().map_or(1, usize::from))]
    threads: usize,
    /// Print where faults happened, how often, and what else there was.
    #[arg(long)]
    points: bool,
}

fn main() -> ExitCode {
    let options = Options::parse();
    if let Some(seed) = options.seed {
        return show(seed, &one(seed, true));
    }
    let totals = many(
        options.from..options.from.saturating_add(options.seeds),
        options.threads,
    );
    if options.points {
        for ((place, what), count) in &totals.points {
            println!("{count:>8}  {what}: {place}");
        }
        for (what, count) in &totals.happened {
            println!("{count:>8}  {what}");
        }
    }
    // The same seed does the same again; now it says so.
    if let Some(seed) = totals.violating.first() {
        show(*seed, &one(*seed, true));
        println!("all seeds with violations: {:?}", totals.violating);
    }
    println!("{}", totals.summary());
    match totals.violating.is_empty() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

fn show(seed: u64, report: &Report) -> ExitCode {
    for line in &report.history {
        println!("{line}");
    }
    println!(
        "seed {seed}: {} calls took effect, {} faults, {} writes to the journal",
        report.commits, report.faults, report.writes
    );
    for (place, what) in &report.points {
        println!("  fault: {what}: {place}");
    }
    for violation in &report.violations {
        println!("  VIOLATION: {violation}");
    }
    match report.violations.is_empty() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}
