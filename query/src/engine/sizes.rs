//! Sizes that follow from the machine and from how a query is run.

use kappa::cli::{PlatformKind, RunOptions};
use std::num::NonZeroUsize;
use std::time::Duration;

/// Memory of a machine whose memory cannot be found out, in bytes: a small one.
const UNKNOWN_MACHINE: u64 = 4 << 30;

/// Memory of a function elsewhere of which nobody has said how much it has, in bytes: what providers give by default, or more.
const UNKNOWN_FUNCTION: u64 = 512 << 20;

/// How many processors this process may use.
pub(super) fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, NonZeroUsize::get)
}

/// How many bytes the operators of one process may hold: half of what the process can have. What is read from and written to a shuffle
/// counts, too, so that operators spill earlier, but is never refused: for that, for batches on their way and for the shuffle data itself, if
/// it is kept in memory, is the other half.
pub(super) fn memory_of_a_process(options: &RunOptions, workers: usize) -> usize {
    let processes = match options.platform {
        PlatformKind::InProcess => 1,
        PlatformKind::Process => workers.max(1) as u64,
        // Their memory is not this machine's.
        _ => {
            let memory = options.memory_limit.unwrap_or(UNKNOWN_FUNCTION);
            return usize::try_from(memory / 2).unwrap_or(usize::MAX);
        }
    };
    let share = available_memory() / processes;
    let limit = options.memory_limit.map_or(share, |limit| limit.min(share));
    usize::try_from(limit / 2).unwrap_or(usize::MAX)
}

/// How many bytes of a file a unit of a scan reads, about. A unit is what a time limit must leave room for: where the limit is short, units
/// are small. (TPC-DS query 22 makes two million rows of each megabyte of the inventory table; with units of 16 MB it could not be run under
/// a limit of 2 s on a busy machine.)
pub(super) fn scan_unit_bytes(options: &RunOptions) -> u64 {
    const SHORT: Duration = Duration::from_secs(10);
    match options.time_limit {
        Some(limit) if limit < SHORT => 1 << 20,
        _ => 8 << 20,
    }
}

/// What the system could give to new programs now, in bytes; within a container not more than its limit.
fn available_memory() -> u64 {
    let read = |path: &str| std::fs::read_to_string(path).ok();
    let machine = read("/proc/meminfo").as_deref().and_then(parse_available);
    // Version 2 and version 1 of control groups, as a container sees its own. Where there is no limit it is `max`, or larger than any machine.
    let limits = [
        "/sys/fs/cgroup/memory.max",
        "/sys/fs/cgroup/memory/memory.limit_in_bytes",
    ];
    let limit = limits.iter().find_map(|path| read(path)?.trim().parse().ok());
    machine.unwrap_or(UNKNOWN_MACHINE).min(limit.unwrap_or(u64::MAX))
}

fn parse_available(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn available_memory_is_read_in_kibibytes() {
        assert_eq!(parse_available("MemTotal:  8 kB\nMemAvailable:    4 kB\n"), Some(4096));
        assert_eq!(parse_available("MemTotal:  8 kB\n"), None);
    }

    #[test]
    fn a_process_gets_half_of_its_share_and_never_more_than_half_its_limit() {
        let mut options = RunOptions {
            platform: PlatformKind::Process,
            ..RunOptions::default()
        };
        let share = memory_of_a_process(&options, 4);
        assert!(share as u64 <= available_memory() / 4);
        options.memory_limit = Some(1 << 20);
        assert_eq!(memory_of_a_process(&options, 4), 1 << 19);
    }
}
