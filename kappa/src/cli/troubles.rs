//! What keeps a run from getting on and passes by itself, or never does: told when it has lasted for some tries, and again from time to time.

use super::progress::show_duration;
use crate::coordinator::state::RunEvent;
use crate::protocol::InvocationOutcome;
use std::time::{Duration, Instant};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::TryRecvError;

/// After so many tries in a row, with none between them that was any better.
const TRIES: u32 = 4;

/// How often it is told again.
const AGAIN: Duration = Duration::from_secs(60);

/// Follows a run.
#[derive(Debug)]
pub struct Troubles {
    events: Receiver<RunEvent>,
    tries: u32,
    since: Instant,
    told: Option<Instant>,
}

impl Troubles {
    /// Follows the run with these [events](crate::RunHandle::events).
    pub fn of(events: Receiver<RunEvent>) -> Self {
        Troubles {
            events,
            tries: 0,
            since: Instant::now(),
            told: None,
        }
    }

    /// What there is to tell now.
    pub fn news(&mut self) -> Option<String> {
        let mut latest = None;
        loop {
            match self.events.try_recv() {
                Ok(RunEvent::InvocationEnded { outcome, .. }) => latest = self.ended(outcome),
                Ok(_) | Err(TryRecvError::Lagged(_)) => {}
                Err(TryRecvError::Empty | TryRecvError::Closed) => break,
            }
        }
        let (what, cause) = latest?;
        let is_new = self.told.is_none_or(|told| told.elapsed() >= AGAIN);
        if self.tries < TRIES || !is_new {
            return None;
        }
        self.told = Some(Instant::now());
        Some(format!(
            "{what} for {} tries, {}: {cause}; it is tried again and again",
            self.tries,
            show_duration(self.since.elapsed())
        ))
    }

    fn ended(&mut self, outcome: InvocationOutcome) -> Option<(&'static str, String)> {
        let trouble = match outcome {
            InvocationOutcome::Throttled(cause) => ("the platform has started nothing", cause),
            InvocationOutcome::StoreAway(cause) => ("the store could not be used", cause),
            _ => {
                self.tries = 0;
                self.told = None;
                return None;
            }
        };
        if self.tries == 0 {
            self.since = Instant::now();
        }
        self.tries += 1;
        Some(trouble)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::TaskId;
    use crate::usage::Spent;
    use tokio::sync::broadcast;

    fn ended(outcome: InvocationOutcome) -> RunEvent {
        RunEvent::InvocationEnded {
            task: TaskId(0),
            incarnation: 0,
            outcome,
            spent: Spent::default(),
        }
    }

    #[test]
    fn trouble_is_told_after_a_few_tries_once_and_anew_when_it_comes_again() {
        let (sender, receiver) = broadcast::channel(100);
        let mut troubles = Troubles::of(receiver);
        let throttled = || ended(InvocationOutcome::Throttled("too many open files".into()));
        for _ in 1..TRIES {
            sender.send(throttled()).unwrap();
            assert_eq!(troubles.news(), None);
        }
        sender.send(throttled()).unwrap();
        let said = troubles.news().unwrap();
        for part in [
            "the platform has started nothing for 4 tries",
            "too many open files",
            "tried again",
        ] {
            assert!(said.contains(part), "{said}");
        }
        for _ in 0..20 {
            sender.send(throttled()).unwrap();
            assert_eq!(troubles.news(), None);
        }
        sender.send(ended(InvocationOutcome::Returned)).unwrap();
        assert_eq!(troubles.news(), None);
        for _ in 0..TRIES {
            sender
                .send(ended(InvocationOutcome::StoreAway("refused".into())))
                .unwrap();
        }
        assert!(troubles.news().unwrap().contains("the store could not be used"));
    }
}
