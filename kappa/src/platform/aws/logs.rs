//! The last lines that a lambda has said, for the message about its end.

use super::base64;
use std::collections::VecDeque;

/// How many lines are kept, and how long each may be in bytes.
const KEPT: usize = 8;
const LONGEST_LINE: usize = 400;

/// How Lambda's own lines begin.
const PLATFORM: [&str; 8] = [
    "START RequestId:",
    "END RequestId:",
    "REPORT RequestId:",
    "INIT_START ",
    "INIT_REPORT ",
    "XRAY TraceId:",
    "{\"time\":\"",
    "RequestId: ",
];

/// What a lambda and Lambda have said.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Log {
    /// The lambda's own last lines, the oldest first.
    pub(super) lines: Vec<String>,
    /// The line with which Lambda sums up, if it is there.
    pub(super) report: Option<String>,
}

impl Log {
    /// From the header that an invocation with `LogType: Tail` answers with: the last 4 KB, in base64.
    pub(super) fn of(tail: Option<&str>) -> Self {
        let bytes = tail.and_then(base64::decode).unwrap_or_default();
        let mut lines = VecDeque::new();
        let mut report = None;
        for line in String::from_utf8_lossy(&bytes).lines().map(str::trim_end) {
            if line.starts_with("REPORT RequestId:") {
                report = Some(line.to_string());
            }
            if line.is_empty() || is_platform_s(line) {
                continue;
            }
            if lines.len() == KEPT {
                lines.pop_front();
            }
            lines.push_back(shortened(line));
        }
        Log {
            lines: lines.into(),
            report,
        }
    }

    /// A sentence with the last words after it.
    pub(super) fn after(&self, sentence: &str) -> String {
        match self.lines.as_slice() {
            [] => sentence.to_string(),
            lines => format!("{sentence}; it said last: {}", lines.join(" | ")),
        }
    }
}

/// Lines of Lambda's own; with the log format JSON, those that have a type.
fn is_platform_s(line: &str) -> bool {
    let begins = PLATFORM.iter().any(|beginning| line.starts_with(beginning));
    begins && (!line.starts_with('{') || line.contains("\"type\":\"platform."))
}

fn shortened(line: &str) -> String {
    if line.len() <= LONGEST_LINE {
        return line.to_string();
    }
    let mut end = LONGEST_LINE;
    while !line.is_char_boundary(end) {
        end -= 1;
    }
    format!("{} ..", &line[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lambda_s_own_lines_are_kept_and_lambda_s_are_not() {
        let text = "START RequestId: 1 Version: $LATEST\nfirst\n\n{\"time\":\"t\",\"type\":\"platform.start\"}\n{\"time\":\"t\",\"level\":\"INFO\"}\n\
                    RequestId: 1 Error: Runtime exited with error: exit status 3\nEND RequestId: 1\n\
                    REPORT RequestId: 1\tDuration: 7 ms\tMax Memory Used: 9 MB\t\n";
        let log = Log::of(Some(&base64::encode(text.as_bytes())));
        assert_eq!(log.lines, ["first", "{\"time\":\"t\",\"level\":\"INFO\"}"]);
        assert!(log.report.as_deref().unwrap().ends_with("9 MB"));
        assert_eq!(
            log.after("it ended"),
            "it ended; it said last: first | {\"time\":\"t\",\"level\":\"INFO\"}"
        );
        assert_eq!(Log::of(None).after("it ended"), "it ended");
        assert_eq!(Log::of(Some("?")), Log::default());
    }

    #[test]
    fn many_and_long_lines_are_bounded() {
        let text: String = (0..100).map(|n| format!("{n} {}\n", "ä".repeat(1000))).collect();
        let log = Log::of(Some(&base64::encode(text.as_bytes())));
        assert_eq!(log.lines.len(), KEPT);
        assert!(log.lines[0].starts_with("92 ä") && log.lines[7].ends_with(" .."));
        assert!(log.lines.iter().all(|line| line.len() <= LONGEST_LINE + 3));
    }
}
