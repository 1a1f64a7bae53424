//! What a worker says on stdout and stderr: passed on to this process's stderr line by line, and its last lines kept for the message about its end.

use parking_lot::{Condvar, Mutex};
use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader, PipeReader, Read, Write};
use std::sync::Arc;
use std::time::Duration;

/// How many lines are kept.
const KEPT: usize = 8;

/// Longest line; the rest goes into the next.
const LINE_LIMIT: u64 = 4096;

/// How Rust's allocator says that it has failed.
const OUT_OF_MEMORY: &str = "memory allocation of ";

/// What a worker has said last.
#[derive(Default)]
pub(super) struct LastWords {
    lines: Mutex<Lines>,
    ended: Condvar,
}

#[derive(Default)]
struct Lines {
    kept: VecDeque<String>,
    over: bool,
}

impl LastWords {
    /// Listens on a thread of its own until the worker and all its children have closed the pipe.
    pub(super) fn listen(pipe: PipeReader) -> io::Result<Arc<Self>> {
        let words = Arc::new(LastWords::default());
        let listening = words.clone();
        std::thread::Builder::new()
            .name("kappa-stderr".into())
            .stack_size(64 * 1024)
            .spawn(move || {
                let mut pipe = BufReader::new(pipe);
                let mut line = Vec::new();
                while matches!((&mut pipe).take(LINE_LIMIT).read_until(b'\n', &mut line), Ok(1..)) {
                    listening.hear(String::from_utf8_lossy(&line).trim_end());
                    line.clear();
                }
                listening.lines.lock().over = true;
                listening.ended.notify_all();
            })?;
        Ok(words)
    }

    fn hear(&self, line: &str) {
        // This one is told by the outcome; the others are for whoever started the program.
        if !line.starts_with(OUT_OF_MEMORY) {
            let _ = writeln!(io::stderr().lock(), "{line}");
        }
        let mut lines = self.lines.lock();
        if lines.kept.len() == KEPT {
            lines.kept.pop_front();
        }
        lines.kept.push_back(line.to_string());
    }

    /// The last lines of a worker that has ended. Waits a moment for those that are still on their way.
    pub(super) fn collect(&self) -> Vec<String> {
        let mut lines = self.lines.lock();
        if !lines.over {
            self.ended.wait_for(&mut lines, Duration::from_millis(200));
        }
        lines.kept.iter().cloned().collect()
    }
}

/// The line in which the allocator says that it has failed.
pub(super) fn out_of_memory(lines: &[String]) -> Option<&String> {
    lines.iter().rev().find(|line| line.starts_with(OUT_OF_MEMORY))
}
