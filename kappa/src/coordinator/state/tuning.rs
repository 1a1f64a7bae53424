//! Limits and delays. Fixed when a run starts, so that applying its journal again decides the same.

use serde::{Deserialize, Serialize};
use std::time::Duration;

/// How long to wait before trying again: nothing for the first tries, then doubling up to a cap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackOff {
    /// So many tries follow at once.
    pub immediate: u32,
    /// The first real delay.
    pub first: Duration,
    /// No delay is longer.
    pub cap: Duration,
}

impl BackOff {
    /// The delay after the `count`-th failure in a row (1, 2, ...).
    pub fn delay(&self, count: u32) -> Duration {
        let delayed = count.saturating_sub(self.immediate);
        if delayed == 0 {
            return Duration::ZERO;
        }
        let factor = 2u32.saturating_pow(delayed - 1);
        self.first.saturating_mul(factor).min(self.cap)
    }

    /// The same, shortened to something between half and all of it: many that were turned away together do not come again together. Deterministic,
    /// another for each `seed`.
    pub fn jittered(&self, count: u32, seed: u64) -> Duration {
        // The finaliser of splitmix64, and the upper half of its bits.
        let bits = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let part = f64::from((bits >> 32) as u32) / f64::from(u32::MAX);
        self.delay(count).mul_f64(0.5 + part / 2.0)
    }
}

/// When to suspend, how often to try again. All counts are of failures without progress (a committed call) in between.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tuning {
    /// How long an invocation whose call cannot be answered yet is kept, in case the answer comes soon.
    pub grace: Duration,
    /// Crashes until a task fails for good.
    pub crash_limit: u32,
    /// Ends by the memory limit until a task fails for good.
    pub out_of_memory_limit: u32,
    /// Ends by the time limit until a task fails for good.
    pub time_out_limit: u32,
    /// Kills from outside until a task fails for good.
    pub kill_limit: u32,
    /// Back-off after a crash or an end by the memory limit.
    pub after_crash: BackOff,
    /// Back-off after a kill or an end by the time limit: not the program's fault, or its normal life.
    pub after_kill: BackOff,
    /// Back-off when the platform has no room, or the store cannot be reached, jittered. There is no limit on the count.
    pub after_throttling: BackOff,
}

impl Default for Tuning {
    fn default() -> Self {
        Tuning {
            grace: Duration::from_millis(50),
            crash_limit: 4,
            out_of_memory_limit: 4,
            time_out_limit: 8,
            kill_limit: 30,
            after_crash: BackOff {
                immediate: 0,
                first: Duration::from_millis(100),
                cap: Duration::from_secs(10),
            },
            after_kill: BackOff {
                immediate: 2,
                first: Duration::from_millis(20),
                cap: Duration::from_secs(5),
            },
            after_throttling: BackOff {
                immediate: 0,
                first: Duration::from_millis(50),
                cap: Duration::from_secs(5),
            },
        }
    }
}
