//! What the runtime costs, as one table: each line a median (or what it says) of one run on this machine, beside what it is compared with and the project's
//! target. What is compared is measured in turn, in this process. Above the table: on what it was measured.
//!
//! ```text
//! cargo bench -p kappa --bench runtime            all lines
//! cargo bench -p kappa --bench runtime -- queue   those whose name has this in it
//! ```
//!
//! | file | its lines |
//! |---|---|
//! | `redis` | checkpoints to two Redis servers, against the raw writes (the bench `redis` says more about where the time goes) |
//! | `durable` | checkpoints into the file journal, against the raw writes |
//! | `steady` | the hundredth checkpoint and the hundred-thousandth, and resuming after each; many tasks at once |
//! | `spawning` | tasks that do nothing |
//! | `queues` | items through a queue |

mod durable;
mod queues;
mod redis;
mod spawning;
mod steady;

use comfy_table::{Table, presets};
use std::time::Duration;

/// One line of the table.
pub(crate) struct Line {
    what: String,
    measured: String,
    target: String,
    is_met: Option<bool>,
}

impl Line {
    /// A time that should not be exceeded.
    pub(crate) fn time(what: impl Into<String>, measured: Duration, most: Option<Duration>) -> Self {
        Line {
            what: what.into(),
            measured: shown(measured),
            target: most.map(shown).map_or(String::new(), |most| format!("at most {most}")),
            is_met: most.map(|most| measured <= most),
        }
    }

    /// A ratio that should not be exceeded.
    pub(crate) fn ratio(what: impl Into<String>, measured: Duration, raw: Duration, most: f64) -> Self {
        let ratio = measured.as_secs_f64() / raw.as_secs_f64();
        Line {
            what: what.into(),
            measured: format!("{} = {ratio:.2} x {}", shown(measured), shown(raw)),
            target: format!("at most {most} x"),
            is_met: Some(ratio <= most),
        }
    }

    /// A ratio that has no target of its own.
    pub(crate) fn ratio_only(what: impl Into<String>, measured: Duration, raw: Duration) -> Self {
        Line {
            target: String::new(),
            is_met: None,
            ..Self::ratio(what, measured, raw, f64::INFINITY)
        }
    }

    /// A time, as long as another one, more or less.
    pub(crate) fn equal(what: impl Into<String>, measured: Duration, other: Duration, most: f64) -> Self {
        let ratio = measured.as_secs_f64() / other.as_secs_f64();
        Line {
            what: what.into(),
            measured: format!("{} = {ratio:.2} x {}", shown(measured), shown(other)),
            target: format!("{:.2} to {most} x", 1.0 / most),
            // Who became faster has not grown slower.
            is_met: Some(ratio <= most),
        }
    }

    /// So many per second, at least.
    pub(crate) fn rate(what: impl Into<String>, count: u64, took: Duration, least: Option<f64>) -> Self {
        let rate = count as f64 / took.as_secs_f64();
        Line {
            what: what.into(),
            measured: format!("{rate:.0}/s"),
            target: least.map_or(String::new(), |least| format!("at least {least:.0}/s")),
            is_met: least.map(|least| rate >= least),
        }
    }
}

fn shown(time: Duration) -> String {
    let nanoseconds = time.as_nanos() as f64;
    match nanoseconds {
        ..1e4 => format!("{nanoseconds:.0} ns"),
        1e4..1e6 => format!("{:.1} us", nanoseconds / 1e3),
        1e6..1e9 => format!("{:.2} ms", nanoseconds / 1e6),
        _ => format!("{:.2} s", nanoseconds / 1e9),
    }
}

/// The middle one.
pub(crate) fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

/// The share `part` (0.99: all but one in a hundred) of the times is not longer.
pub(crate) fn quantile(mut times: Vec<Duration>, part: f64) -> Duration {
    times.sort_unstable();
    let index = ((times.len() as f64 * part) as usize).min(times.len().saturating_sub(1));
    times.get(index).copied().unwrap_or_default()
}

/// A name, and what measures its lines.
type Measurement = (&'static str, fn() -> kappa::Result<Vec<Line>>);

const MEASUREMENTS: [Measurement; 8] = [
    ("redis", on_redis),
    ("durable, without fsync", durable::without_fsync),
    ("durable, with fsync", durable::with_fsync),
    ("steady", steady::hundredth_and_hundred_thousandth),
    ("many tasks at once", steady::many_tasks),
    ("spawn in-process", spawning::in_process),
    ("spawn process", spawning::process),
    ("queue", queues::one_by_one_and_in_batches),
];

fn on_redis() -> kappa::Result<Vec<Line>> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    let all = runtime.block_on(redis::measure(&[
        ("1 KB", 1 << 10, 10, 200),
        ("64 KB", 64 << 10, 10, 100),
        ("1 MB", 1 << 20, 10, 20),
        ("16 MB", 16 << 20, 3, 8),
    ]));
    let mut lines = Vec::new();
    for measured in all {
        let middle = median(measured.durable.clone());
        lines.push(Line::ratio(
            format!(
                "checkpoint of {} to two Redis servers, against writing the bytes there",
                measured.size
            ),
            middle,
            median(measured.raw.clone()),
            1.3,
        ));
        lines.push(Line::ratio(
            format!("its 99th percentile, against its median ({})", measured.size),
            quantile(measured.durable, 0.99),
            middle,
            3.0,
        ));
        lines.push(Line::ratio_only(
            format!("for comparison: that of the raw writes ({})", measured.size),
            quantile(measured.raw.clone(), 0.99),
            median(measured.raw),
        ));
    }
    Ok(lines)
}

/// On what this runs: what makes numbers comparable, or not.
fn conditions() -> String {
    let read = |file: &str| std::fs::read_to_string(file).unwrap_or_default();
    let processor = read("/proc/cpuinfo");
    let processor = processor.lines().find_map(|line| line.strip_prefix("model name"));
    let processor = processor.map_or("unknown", |name| name.trim_start_matches(['\t', ':', ' ']));
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let load = read("/proc/loadavg");
    let load = load.split(' ').next().unwrap_or("?").to_string();
    let folder = std::env::temp_dir();
    format!(
        "{processors} processors ({processor}), load average {load} at the start, files and servers' files in {}",
        folder.display()
    )
}

fn main() -> kappa::ExitCode {
    kappa::serve_if_worker();
    // `cargo bench` adds `--bench`.
    let wanted: Vec<String> = std::env::args()
        .skip(1)
        .filter(|word| !word.starts_with("--"))
        .collect();
    let conditions = conditions();
    let started = std::time::Instant::now();
    let mut table = Table::new();
    table.load_preset(presets::UTF8_HORIZONTAL_ONLY);
    table.set_header(["what", "measured", "target", ""]);
    for (name, measure) in MEASUREMENTS {
        if !wanted.is_empty() && !wanted.iter().any(|word| name.contains(word.as_str())) {
            continue;
        }
        eprintln!("measuring: {name} ({:.0} s so far)", started.elapsed().as_secs_f64());
        match measure() {
            Ok(lines) => {
                for line in lines {
                    let verdict = line.is_met.map_or("", |is_met| if is_met { "met" } else { "missed" });
                    table.add_row([&line.what, &line.measured, &line.target, verdict]);
                }
            }
            Err(error) => {
                eprintln!("error: {name}: {error:#}");
                return kappa::ExitCode::FAILURE;
            }
        }
    }
    println!("{conditions}\n{table}");
    kappa::ExitCode::SUCCESS
}
