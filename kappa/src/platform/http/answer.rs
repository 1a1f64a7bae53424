//! What an endpoint means by its answer.
//!
//! A worker's answers bear a header; all others come from something in between, a load balancer or the provider's own front, whose status is all that is
//! known.

use super::SECRET_VARIABLE;
use crate::protocol::InvocationOutcome;
use std::time::Duration;

/// Most bytes of what is said that are passed on.
const LONGEST_REASON: usize = 512;

/// An answer, as far as it matters.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    /// It comes from a worker.
    pub(super) is_worker: bool,
    pub(super) retry_after: Option<Duration>,
    /// No more of it than a report may be long, and a bit.
    pub(super) body: Vec<u8>,
}

/// What it means.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// The order is carried out, and this is the report.
    Report(Vec<u8>),
    /// It is not, and this is why.
    Outcome(InvocationOutcome),
    /// There is no room at present, and perhaps none for this long.
    Busy(String, Option<Duration>),
}

impl Answer {
    /// What it means, of the endpoint that is shown so.
    pub(super) fn meaning(self, shown: &str) -> Meaning {
        let said = self.said();
        let status = self.status;
        let never = |what: &str| Meaning::Outcome(InvocationOutcome::Unstartable(format!("{shown}: {what}{said}")));
        match status {
            200 if self.is_worker => Meaning::Report(self.body),
            200..=299 => never("something answers that is no worker; is it `PROGRAM serve` that runs there?"),
            300..=399 => never("it wants to redirect; give the address at which the function itself is"),
            401 if self.is_worker => never(&format!(
                "it refuses the secret; give {SECRET_VARIABLE} the same value here and there"
            )),
            401 | 403 => never(&format!(
                "something in front of the function refuses the request ({status}); let requests through, the function itself asks for {SECRET_VARIABLE}"
            )),
            404 => never("there is no function at this address (404)"),
            413 => never("it takes no request as long as this one (413)"),
            426 => never("the worker is of another build"),
            408 => Meaning::Outcome(InvocationOutcome::Killed(format!(
                "{shown}: the order did not arrive in time{said}"
            ))),
            429 | 503 => Meaning::Busy(
                format!("{shown} has no room at present ({status}){said}"),
                self.retry_after,
            ),
            504 => Meaning::Outcome(InvocationOutcome::TimedOut),
            500..=599 => Meaning::Outcome(InvocationOutcome::Killed(format!(
                "{shown} lost the invocation ({status}){said}"
            ))),
            _ => never(&format!("it refuses the request ({status})")),
        }
    }

    /// Its text, if it is one.
    fn said(&self) -> String {
        let start = &self.body[..self.body.len().min(LONGEST_REASON)];
        let text = String::from_utf8_lossy(start);
        match text.trim() {
            text if text.is_empty() || self.status == 200 && self.is_worker => String::new(),
            text => format!(": {}", text.replace(char::is_control, " ")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, is_worker: bool, body: &str) -> Answer {
        Answer {
            status,
            is_worker,
            retry_after: None,
            body: body.as_bytes().to_vec(),
        }
    }

    fn outcome(status: u16, is_worker: bool, body: &str) -> InvocationOutcome {
        match answer(status, is_worker, body).meaning("http://f") {
            Meaning::Outcome(outcome) => outcome,
            other => panic!("{status}: {other:?}"),
        }
    }

    #[test]
    fn what_only_a_person_can_change_is_said_with_the_way_out() {
        for (status, is_worker, way_out) in [
            (200, false, "`PROGRAM serve`"),
            (302, false, "redirect"),
            (401, true, "KAPPA_FUNCTION_SECRET the same value"),
            (401, false, "let requests through"),
            (403, false, "let requests through"),
            (404, false, "no function at this address"),
            (413, false, "as long as"),
            (426, true, "another build"),
            (400, true, "refuses the request (400)"),
        ] {
            let InvocationOutcome::Unstartable(message) = outcome(status, is_worker, "because") else {
                panic!("{status}")
            };
            assert!(
                message.contains(way_out) && message.ends_with(": because"),
                "{status}: {message}"
            );
        }
    }

    #[test]
    fn what_is_not_the_program_s_fault_is_tried_again() {
        for status in [408, 500, 502] {
            assert!(
                matches!(outcome(status, false, "<html>"), InvocationOutcome::Killed(_)),
                "{status}"
            );
        }
        assert_eq!(outcome(504, false, ""), InvocationOutcome::TimedOut);
    }

    #[test]
    fn a_busy_endpoint_says_for_how_long() {
        for status in [429, 503] {
            let mut busy = answer(status, false, "Rate exceeded.");
            busy.retry_after = Some(Duration::from_secs(3));
            let meant = busy.meaning("http://f");
            assert!(
                matches!(&meant, Meaning::Busy(why, Some(pause)) if why.contains("Rate exceeded.") && pause.as_secs() == 3),
                "{meant:?}"
            );
        }
    }

    #[test]
    fn a_report_is_passed_on_as_it_is() {
        assert_eq!(
            answer(200, true, "report").meaning("http://f"),
            Meaning::Report(b"report".to_vec())
        );
    }

    #[test]
    fn what_is_said_is_bounded_and_one_line() {
        let InvocationOutcome::Killed(message) = outcome(500, false, &format!("a\nb{}", "x".repeat(10_000))) else {
            panic!()
        };
        assert!(message.len() < 1000 && !message.contains('\n'), "{message}");
    }
}
