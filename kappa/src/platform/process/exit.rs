//! From a dead process to an outcome.

use super::stderr::out_of_memory;
use crate::protocol::InvocationOutcome;
use nix::sys::signal::Signal;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

/// What is known about a worker that has ended by itself.
#[derive(Debug, Default)]
pub(super) struct Death {
    /// How it ended; `None` if it closed its socket but lived on.
    pub(super) status: Option<ExitStatus>,
    /// Its last lines on stderr.
    pub(super) lines: Vec<String>,
}

impl Death {
    /// The outcome of the invocation during which it happened.
    pub(super) fn outcome(self) -> InvocationOutcome {
        let Some(status) = self.status else {
            return InvocationOutcome::Crashed(
                "the worker process closed its connection in the middle of a task".into(),
            );
        };
        let Some(number) = status.signal() else {
            let code = status.code().unwrap_or_default();
            return InvocationOutcome::Crashed(self.describe(&format!(
                "the worker process left with exit code {code} in the middle of a task"
            )));
        };
        let signal =
            Signal::try_from(number).map_or_else(|_| format!("signal {number}"), |signal| signal.as_str().to_string());
        if number == Signal::SIGABRT as i32
            && let Some(line) = out_of_memory(&self.lines)
        {
            return InvocationOutcome::OutOfMemory(line.clone());
        }
        match Signal::try_from(number) {
            Ok(Signal::SIGKILL) => {
                InvocationOutcome::Killed("SIGKILL, from outside or by the kernel for lack of memory".into())
            }
            Ok(Signal::SIGTERM | Signal::SIGINT | Signal::SIGHUP | Signal::SIGQUIT) => {
                InvocationOutcome::Killed(format!("{signal}, from outside"))
            }
            _ => InvocationOutcome::Crashed(self.describe(&format!("the worker process was ended by {signal}"))),
        }
    }

    /// Whether nobody has killed it: it broke, or left.
    pub(super) fn is_its_own(&self) -> bool {
        let killed = [Signal::SIGKILL, Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP];
        let signal = self.status.and_then(|status| status.signal());
        self.status.is_some() && !killed.iter().any(|killed| signal == Some(*killed as i32))
    }

    /// What happened, and what it said last.
    pub(super) fn describe(&self, what: &str) -> String {
        let words = self.lines.join(" | ");
        if words.is_empty() {
            what.to_string()
        } else {
            format!("{what}; it said last: {words}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn death(raw: i32, lines: &[&str]) -> InvocationOutcome {
        Death {
            status: Some(ExitStatus::from_raw(raw)),
            lines: lines.iter().map(ToString::to_string).collect(),
        }
        .outcome()
    }

    #[test]
    fn the_signal_and_the_last_words_tell_what_happened() {
        assert!(matches!(death(9, &[]), InvocationOutcome::Killed(_)));
        assert!(matches!(death(15, &[]), InvocationOutcome::Killed(_)));
        assert_eq!(
            death(6, &["memory allocation of 99 bytes failed", "note: something"]),
            InvocationOutcome::OutOfMemory("memory allocation of 99 bytes failed".into())
        );
        assert!(
            matches!(death(6, &["stack overflow"]), InvocationOutcome::Crashed(message) if message.contains("stack overflow"))
        );
        assert!(matches!(death(11, &[]), InvocationOutcome::Crashed(message) if message.contains("SIGSEGV")));
        assert!(matches!(death(3 << 8, &[]), InvocationOutcome::Crashed(message) if message.contains("exit code 3")));
    }
}
