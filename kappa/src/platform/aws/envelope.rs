//! Orders and reports as JSON, because that is what Lambda carries.
//!
//! Both are bounded (a01): a request to Lambda and its response may have 6 MiB, which an emulator need not enforce. What is longer goes through the
//! store, as [`remote`](crate::platform::remote) has it.

use super::base64;
use crate::platform::remote::{other_program, program};
use serde::{Deserialize, Serialize};

/// Longest request to Lambda and longest response from it, in bytes (developer guide, "Lambda quotas": 6 MB each, synchronous).
const LONGEST_PAYLOAD: usize = 6 << 20;

/// Longest order and longest report in bytes: what is around them takes less than the difference.
pub(super) const LONGEST_MESSAGE: usize = base64::room(LONGEST_PAYLOAD - 1024);

/// What an event is that a lambda is given.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Event {
    /// Absent in the events of others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    kappa: Option<Asked>,
}

/// What is asked of it.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Asked {
    /// Which program it is.
    Hello,
    /// To carry out an order.
    Order {
        /// The program that gives it.
        program: String,
        /// The order, in base64.
        order: String,
    },
}

/// What it answers.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Response {
    kappa: Answered,
}

/// What it answers if it is a worker of Kappa's.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Answered {
    /// The program that it is.
    Hello(String),
    /// Its report, in base64.
    Report(String),
    /// It cannot do what is asked, and never will.
    Unusable(String),
}

impl Event {
    /// Asks which program the function is.
    pub(super) fn hello() -> Self {
        Event {
            kappa: Some(Asked::Hello),
        }
    }

    /// Gives an order.
    pub(super) fn order(order: &[u8]) -> Self {
        Event {
            kappa: Some(Asked::Order {
                program: program(),
                order: base64::encode(order),
            }),
        }
    }

    /// What is asked; otherwise the answer to that.
    pub(super) fn open(self) -> Result<Option<Vec<u8>>, Answered> {
        match self.kappa {
            None => Err(Answered::Unusable(
                "this is no order of Kappa's: the function works for programs that run with `--platform aws`".into(),
            )),
            Some(Asked::Hello) => Ok(None),
            Some(Asked::Order { program: theirs, .. }) if theirs != program() => {
                Err(Answered::Unusable(other_program(&theirs, &program())))
            }
            Some(Asked::Order { order, .. }) => match base64::decode(&order) {
                Some(order) => Ok(Some(order)),
                None => Err(Answered::Unusable("the order is not base64".into())),
            },
        }
    }
}

impl Answered {
    /// Which program this is.
    pub(super) fn hello() -> Self {
        Answered::Hello(program())
    }

    /// The answer to an order.
    pub(super) fn report(report: &[u8]) -> Self {
        Answered::Report(base64::encode(report))
    }

    /// As it is sent.
    pub(super) fn response(self) -> Response {
        Response { kappa: self }
    }

    /// What a response says; `None` if it is not one of a worker's.
    pub(super) fn read(payload: &[u8]) -> Option<Self> {
        serde_json::from_slice::<Response>(payload)
            .ok()
            .map(|response| response.kappa)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn through_json(event: &Event) -> Event {
        serde_json::from_slice(&serde_json::to_vec(event).unwrap()).unwrap()
    }

    #[test]
    fn an_order_and_its_report_come_back_as_they_were() {
        let order = vec![0, 255, 7];
        assert_eq!(through_json(&Event::order(&order)).open(), Ok(Some(order)));
        assert_eq!(through_json(&Event::hello()).open(), Ok(None));
        let response = serde_json::to_vec(&Answered::report(b"report").response()).unwrap();
        assert_eq!(Answered::read(&response), Some(Answered::Report("cmVwb3J0".into())));
    }

    #[test]
    fn events_of_others_are_answered_with_what_the_function_is_for() {
        for event in [r#"{"key1": "value1"}"#, "{}", r#"{"Records": [{"s3": {}}]}"#] {
            let event: Event = serde_json::from_str(event).unwrap();
            let Err(Answered::Unusable(said)) = event.open() else {
                panic!("it was taken")
            };
            assert!(said.contains("--platform aws"), "{said}");
        }
    }

    #[test]
    fn orders_of_another_program_are_refused_with_both_their_names() {
        let event = Event {
            kappa: Some(Asked::Order {
                program: "0.0.1-77".into(),
                order: String::new(),
            }),
        };
        let Err(Answered::Unusable(said)) = event.open() else {
            panic!("it was taken")
        };
        assert!(
            said.contains("0.0.1-77") && said.contains(&program()) && said.contains("deploy"),
            "{said}"
        );
    }

    #[test]
    fn a01_the_longest_order_and_report_fit_into_lambda_s_payload() {
        let longest = vec![0xff; LONGEST_MESSAGE];
        let event = serde_json::to_vec(&Event::order(&longest)).unwrap();
        let response = serde_json::to_vec(&Answered::report(&longest).response()).unwrap();
        for length in [event.len(), response.len()] {
            assert!(length <= LONGEST_PAYLOAD && length > LONGEST_PAYLOAD - 2048, "{length}");
        }
    }

    #[test]
    fn what_other_functions_answer_is_no_answer() {
        for payload in [
            "null",
            "\"hello\"",
            r#"{"statusCode": 200, "body": "Hello from Lambda!"}"#,
            "{",
            "",
        ] {
            assert_eq!(Answered::read(payload.as_bytes()), None, "{payload}");
        }
    }
}
