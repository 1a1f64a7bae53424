//! What the terminal, or whoever started the program, has a say in: signals that are to be ignored, and where words go.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;

/// Whether this process was started with the signal of this number ignored, as `nohup` and shells without job control do it. It should stay ignored then: whoever
/// catches it would be ended by what was not meant for it.
///
/// Only Linux tells.
pub fn is_ignored(signal: i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    u32::try_from(signal).is_ok_and(|signal| ignores(&status, signal))
}

/// By the line `SigIgn` of proc(5): a bit for each signal, the lowest for number 1.
fn ignores(status: &str, signal: u32) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| (1..=64).contains(&signal) && mask >> (signal - 1) & 1 == 1)
}

/// A text without what could move a terminal's cursor, change its colours or its title: such characters are written as Rust writes them. Lines stay.
///
/// For messages that quote what others have said: names of files, errors of servers, words of tasks.
pub fn harmless(text: &str) -> String {
    let is_harmful = |c: char| (c.is_control() && c != '\n' && c != '\t') || is_direction(c);
    match text.chars().any(is_harmful) {
        false => text.to_string(),
        true => text
            .chars()
            .map(|c| match is_harmful(c) {
                true => c.escape_default().to_string(),
                false => c.to_string(),
            })
            .collect(),
    }
}

/// Whether it changes the order in which the characters around it are shown.
fn is_direction(c: char) -> bool {
    matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A line on stderr, unless that is closed.
pub(super) fn say(line: &str) {
    let _ = writeln!(io::stderr().lock(), "{}", harmless(line));
}

/// The program's stdout, kept for its result: what tasks print from now on goes to stderr, as it does from worker processes.
pub(super) fn stdout_for_the_result() -> io::Result<File> {
    io::stdout().flush()?;
    let stdout = io::stdout().as_fd().try_clone_to_owned()?;
    nix::unistd::dup2_stdout(io::stderr().as_fd())?;
    Ok(stdout.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_is_ignored_if_its_bit_says_so() {
        let status = "Name:\tx\nSigBlk:\t0000000000000001\nSigIgn:\t0000000000001003\nSigCgt:\t0000000000004000\n";
        assert!(ignores(status, 1) && ignores(status, 2) && ignores(status, 13));
        assert!(!ignores(status, 15) && !ignores(status, 3));
        assert!(!ignores("", 1));
    }

    #[test]
    fn what_moves_the_cursor_is_written_out_and_lines_stay() {
        assert_eq!(harmless("a line\n\tand ünother"), "a line\n\tand ünother");
        assert_eq!(harmless("\u{1b}]0;title\u{7}"), "\\u{1b}]0;title\\u{7}");
        assert_eq!(
            harmless("over\rwritten \u{9b}31m \u{202e}"),
            "over\\rwritten \\u{9b}31m \\u{202e}"
        );
    }
}
