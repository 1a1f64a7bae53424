//! Kills invocations of another platform at random moments, for tests and for users who want to see what their program is worth.
//!
//! Guarantees that the given share of invocations is killed, and that the decision about each, and the moment if it is a number of requests, depends
//! on nothing but the seed, the task and the incarnation. Moments lie everywhere: at the start, while computing, between a request and its
//! reply, just before and just after the last request.

use super::{Platform, PlatformError};
use crate::link::Link;
use crate::protocol::{Call, Invocation, InvocationOutcome, Reply, Request};
use crate::usage::Usage;
use async_trait::async_trait;
use parking_lot::Mutex;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use std::collections::HashMap;
use std::future::pending;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// How long an invocation is thought to take as long as none of its function has been seen.
const USUAL: Duration = Duration::from_millis(50);

/// What share of invocations to kill, and by which dice. Written as `kill=0.3,seed=7`; the seed may be left out and is then 0.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spec {
    /// The share of invocations to kill, from 0 to 1. Even with 1 a program ends: what happened before a moment counts.
    pub kill: f64,
    /// The same seed kills the same invocations.
    pub seed: u64,
}

impl FromStr for Spec {
    type Err = PlatformError;

    fn from_str(text: &str) -> Result<Self, PlatformError> {
        let invalid = |what: String| {
            PlatformError::Invalid(format!("chaos `{text}`: {what}; write for example `kill=0.3,seed=7`"))
        };
        let (mut kill, mut seed) = (None, None);
        for part in text.split(',') {
            let (name, value) = part
                .split_once('=')
                .ok_or_else(|| invalid(format!("`{part}` is not NAME=VALUE")))?;
            let (name, value) = (name.trim(), value.trim());
            let twice = match name {
                "kill" => {
                    let share: f64 = value
                        .parse()
                        .map_err(|_| invalid(format!("`{value}` is not a number")))?;
                    if !(0.0..=1.0).contains(&share) {
                        return Err(invalid(format!("the share `{value}` is not between 0 and 1")));
                    }
                    kill.replace(share).is_some()
                }
                "seed" => {
                    let number = value
                        .parse()
                        .map_err(|_| invalid(format!("`{value}` is not a whole number of at most 64 bits")))?;
                    seed.replace(number).is_some()
                }
                _ => return Err(invalid(format!("there is no `{name}`"))),
            };
            if twice {
                return Err(invalid(format!("`{name}` is there twice")));
            }
        }
        let kill = kill.ok_or_else(|| invalid("`kill` is missing".into()))?;
        Ok(Spec {
            kill,
            seed: seed.unwrap_or(0),
        })
    }
}

/// A platform around another.
pub struct Chaos {
    inner: Arc<dyn Platform>,
    spec: Spec,
    /// How long invocations of each function usually take, in microseconds.
    usual: Mutex<HashMap<String, f64>>,
}

/// When an invocation that was chosen is killed.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Moment {
    /// Before its n-th request is handed over (0 is the first).
    Before(u64),
    /// After its n-th request is handed over, before its reply is.
    After(u64),
    /// After this share of the usual time.
    Time(f64),
}

impl Chaos {
    /// Kills some of the invocations of a platform.
    pub fn new(inner: Arc<dyn Platform>, spec: Spec) -> Self {
        Chaos {
            inner,
            spec,
            usual: Mutex::default(),
        }
    }

    /// Whether to kill this invocation, and when.
    fn fate(&self, invocation: &Invocation) -> Option<Fate> {
        let mut dice = SmallRng::seed_from_u64(mix(self.spec.seed, invocation.task.0, invocation.incarnation));
        if !dice.random_bool(self.spec.kill) {
            return None;
        }
        // Most invocations make few requests.
        let request = (0..12).take_while(|_| dice.random_bool(0.5)).count() as u64;
        let moment = match dice.random_range(0..3) {
            0 => Moment::Before(request),
            1 => Moment::After(request),
            _ => Moment::Time(dice.random()),
        };
        Some(Fate {
            moment,
            exit_takes_effect: dice.random(),
        })
    }

    fn usual(&self, function: &str) -> Duration {
        self.usual
            .lock()
            .get(function)
            .map_or(USUAL, |microseconds| Duration::from_secs_f64(microseconds / 1e6))
    }

    fn learn(&self, function: String, took: Duration) {
        let took = took.as_secs_f64() * 1e6;
        self.usual
            .lock()
            .entry(function)
            .and_modify(|usual| *usual += (took - *usual) / 4.0)
            .or_insert(took);
    }
}

#[derive(Clone, Copy, Debug)]
struct Fate {
    moment: Moment,
    /// If its moment has not come by the time of its exit: whether the exit is still handed over.
    exit_takes_effect: bool,
}

/// Well-distributed bits from three numbers (the finaliser of splitmix64, applied to each in turn).
fn mix(seed: u64, task: u64, incarnation: u64) -> u64 {
    [task, incarnation]
        .into_iter()
        .fold(scramble(seed), |state, number| scramble(state ^ scramble(number)))
}

fn scramble(number: u64) -> u64 {
    let number = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

/// The way to the coordinator of an invocation that will be killed.
struct Doomed {
    link: Arc<dyn Link>,
    fate: Fate,
    requests: AtomicU64,
    now: Notify,
}

impl Doomed {
    async fn die(&self) -> Reply {
        self.now.notify_one();
        pending().await
    }
}

#[async_trait]
impl Link for Doomed {
    async fn send(&self, request: Request) -> Reply {
        let number = self.requests.fetch_add(1, Ordering::SeqCst);
        let is_last = matches!(request.call, Call::Exit(_));
        let moment = self.fate.moment;
        if moment == Moment::Before(number)
            || (is_last && moment != Moment::After(number) && !self.fate.exit_takes_effect)
        {
            return self.die().await;
        }
        let reply = self.link.send(request).await;
        // One that is sent away would not live to see its moment.
        if is_last || moment == Moment::After(number) || !matches!(reply, Reply::Answer(_)) {
            return self.die().await;
        }
        reply
    }

    fn used(&self, usage: Usage) {
        self.link.used(usage);
    }
}

#[async_trait]
impl Platform for Chaos {
    async fn invoke(&self, invocation: Invocation, link: Arc<dyn Link>) -> InvocationOutcome {
        let function = invocation.function.clone();
        let started = Instant::now();
        let Some(fate) = self.fate(&invocation) else {
            let outcome = self.inner.invoke(invocation, link).await;
            if matches!(outcome, InvocationOutcome::Returned | InvocationOutcome::TimedOut) {
                self.learn(function, started.elapsed());
            }
            return outcome;
        };
        let time = match fate.moment {
            Moment::Time(share) => self.usual(&function).mul_f64(share),
            _ => Duration::MAX,
        };
        let doomed = Arc::new(Doomed {
            link,
            fate,
            requests: AtomicU64::new(0),
            now: Notify::new(),
        });
        tokio::select! {
            biased;
            () = doomed.now.notified() => InvocationOutcome::Killed("chaos".into()),
            () = tokio::time::sleep(time) => InvocationOutcome::Killed("chaos".into()),
            // Dropping this is the kill.
            outcome = self.inner.invoke(invocation, doomed.clone()) => outcome,
        }
    }

    async fn shutdown(&self) {
        self.inner.shutdown().await;
    }

    fn concurrency(&self) -> usize {
        self.inner.concurrency()
    }

    fn name(&self) -> String {
        format!("{} with chaos", self.inner.name())
    }

    fn time_limit(&self) -> Option<Duration> {
        self.inner.time_limit()
    }

    fn memory_limit(&self) -> Option<u64> {
        self.inner.memory_limit()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spec_is_read_as_it_is_written() {
        assert_eq!("kill=0.3,seed=7".parse(), Ok(Spec { kill: 0.3, seed: 7 }));
        assert_eq!("kill=0".parse(), Ok(Spec { kill: 0.0, seed: 0 }));
        assert_eq!(" seed = 1 , kill = .5 ".parse(), Ok(Spec { kill: 0.5, seed: 1 }));
    }

    #[test]
    fn a_wrong_spec_is_refused_with_the_reason_and_an_example() {
        for (text, reason) in [
            ("", "is not NAME=VALUE"),
            ("seed=7", "`kill` is missing"),
            ("kill=1.01", "between 0 and 1"),
            ("kill=-0.1", "between 0 and 1"),
            ("kill=NaN", "between 0 and 1"),
            ("kill=x", "not a number"),
            ("kill=0.1,seed=-1", "whole number"),
            ("kill=0.1,kill=0.2", "twice"),
            ("kill=0.1,speed=3", "no `speed`"),
        ] {
            let message = text.parse::<Spec>().unwrap_err().to_string();
            assert!(
                message.contains(reason) && message.contains("kill=0.3,seed=7"),
                "{text}: {message}"
            );
        }
    }
}
