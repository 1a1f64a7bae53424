//! What a run costs on rented functions: its invocations, their time and memory, and the requests to its store.
//!
//! The default prices are the public list prices of AWS Lambda and S3 Standard in `us-east-1` as of January 2025 (aws.amazon.com/lambda/pricing,
//! aws.amazon.com/s3/pricing), without free tiers and discounts: 0.20 USD per million invocations; per GB-second billed by the millisecond 0.0000166667 USD on x86
//! and 0.0000133334 USD on arm; 0.005 USD per thousand requests that write or list, 0.0004 USD per thousand that read; deletions are free. Prices differ
//! between regions and change: a JSON file with the fields of [`Prices`] replaces them all.
//!
//! A run that was not on AWS has cost nothing of this; then it is what it *would* have cost there ([`Cost::is_hypothetical`]). Its store counts as S3, unless it
//! is Redis: those servers are rented by the hour, so their operations are counted and by default cost nothing.
//!
//! Not counted: what tasks read and write by other ways than the run's store, traffic, the coordinator's machine, storage by the month.

use super::about::About;
use crate::protocol::Payload;
use crate::usage::{Operations, Totals};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Memory of a function that gets one whole processor, in bytes; for invocations whose memory was not limited.
pub const DEFAULT_MEMORY: u64 = 1769 << 20;

/// What things cost.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Prices {
    /// Whose prices they are, where, and of when.
    pub name: String,
    /// For example `USD`.
    pub currency: String,
    /// One invocation.
    pub invocation: f64,
    /// One invocation with one GB (2^30 bytes) for one second, on x86.
    pub gb_second: f64,
    /// The same on arm; if it is not there, as on x86.
    #[serde(default)]
    pub gb_second_arm: Option<f64>,
    /// One request that writes or lists: PUT, COPY, POST, LIST.
    pub store_write: f64,
    /// One request that reads: GET, of an object or of a range.
    pub store_read: f64,
    /// One operation on a store of Redis servers.
    #[serde(default)]
    pub redis_operation: f64,
}

impl Default for Prices {
    fn default() -> Self {
        Prices {
            name: "AWS Lambda and S3 Standard, us-east-1, public list prices of January 2025".to_string(),
            currency: "USD".to_string(),
            invocation: 0.20 / 1e6,
            gb_second: 0.000_016_666_7,
            gb_second_arm: Some(0.000_013_333_4),
            store_write: 0.005 / 1e3,
            store_read: 0.0004 / 1e3,
            redis_operation: 0.0,
        }
    }
}

impl Prices {
    /// Reads a price table.
    ///
    /// # Errors
    /// If the file cannot be read or is no price table: with the reason.
    pub fn read(file: &Path) -> Result<Self, String> {
        let text = std::fs::read_to_string(file)
            .map_err(|cause| format!("cannot read the prices {}: {cause}", file.display()))?;
        let no_table = |cause: String| {
            let example = serde_json::to_string(&Prices::default()).unwrap_or_default();
            format!("{} is no price table: {cause}; for example: {example}", file.display())
        };
        let prices: Prices = serde_json::from_str(&text).map_err(|cause| no_table(cause.to_string()))?;
        let Prices {
            name: _,
            currency: _,
            invocation,
            gb_second,
            gb_second_arm,
            store_write,
            store_read,
            redis_operation,
        } = &prices;
        let numbers = [invocation, gb_second, store_write, store_read, redis_operation];
        let is_price = |price: &f64| price.is_finite() && *price >= 0.0;
        let is_table = numbers.into_iter().chain(gb_second_arm).all(is_price);
        match is_table {
            true => Ok(prices),
            false => Err(no_table("a price is negative".to_string())),
        }
    }
}

/// The processor of a function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Architecture {
    /// x86, 64 bits.
    X86,
    /// ARM, 64 bits.
    Arm,
}

impl Architecture {
    /// This machine's.
    pub fn here() -> Self {
        match cfg!(target_arch = "aarch64") {
            true => Architecture::Arm,
            false => Architecture::X86,
        }
    }
}

/// What kind of thing keeps the objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StoreKind {
    /// S3, or something in its place that costs nothing.
    S3,
    /// Redis servers.
    Redis,
}

/// On what terms functions are, or would be, rented.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// Memory of each invocation in bytes, whatever it really had.
    pub memory: Option<u64>,
    /// The processor.
    pub architecture: Architecture,
    /// The store.
    pub store: StoreKind,
    /// They were not rented.
    pub is_hypothetical: bool,
}

impl Terms {
    /// Those of a run on this platform with this store, by their names.
    pub fn of(platform: &str, store: &str) -> Self {
        Terms {
            memory: None,
            architecture: Architecture::here(),
            store: match store.starts_with("redis") {
                true => StoreKind::Redis,
                false => StoreKind::S3,
            },
            // With chaos, it is `aws with chaos`.
            is_hypothetical: platform.split(' ').next() != Some("aws"),
        }
    }
}

/// What a run has used and what that costs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Cost {
    /// Nothing was rented: this is what it would have cost on AWS.
    pub is_hypothetical: bool,
    /// Invocations that were really started on functions.
    pub invocations: u64,
    /// Invocations on the coordinator's own machine, which cost nothing here.
    pub on_coordinator: u64,
    /// Invocations that were ended by force: some of their operations may be missing.
    pub cut_off: u64,
    /// The time of those on functions, each rounded up to a millisecond, in seconds.
    pub seconds: f64,
    /// Memory of each in bytes; the average over the time if they had different ones.
    pub memory: u64,
    /// The processor.
    pub architecture: Architecture,
    /// Time multiplied by memory.
    pub gb_seconds: f64,
    /// What was done in the store, by invocations and by the coordinator.
    pub store: Operations,
    /// What keeps the objects.
    pub store_kind: StoreKind,
    /// The record is of a time before operations were recorded: only checkpoints are counted.
    pub only_checkpoints: bool,
    /// Batches written to the journal; it is on the coordinator's machine and costs nothing here.
    pub journal_writes: u64,
    /// What the invocations cost, without their time.
    pub for_invocations: f64,
    /// What their time costs.
    pub for_time: f64,
    /// What the store's requests that write or list cost.
    pub for_writes: f64,
    /// What the store's requests that read cost.
    pub for_reads: f64,
    /// What operations on Redis cost.
    pub for_redis: f64,
    /// All together.
    pub total: f64,
    /// The prices.
    pub prices: Prices,
}

impl Cost {
    /// What this usage costs.
    pub fn of(used: &Totals, terms: Terms, prices: Prices) -> Self {
        let store = used.store();
        let seconds = used.billed_ms as f64 / 1e3;
        let gb_seconds = used.gb_seconds(terms.memory, DEFAULT_MEMORY);
        let gb_second = match terms.architecture {
            Architecture::X86 => prices.gb_second,
            Architecture::Arm => prices.gb_second_arm.unwrap_or(prices.gb_second),
        };
        let for_invocations = used.invocations as f64 * prices.invocation;
        let for_time = gb_seconds * gb_second;
        let (for_writes, for_reads, for_redis) = match terms.store {
            StoreKind::S3 => {
                let for_writes = store.writes() as f64 * prices.store_write;
                (for_writes, store.reads() as f64 * prices.store_read, 0.0)
            }
            StoreKind::Redis => (0.0, 0.0, store.count() as f64 * prices.redis_operation),
        };
        let average = (gb_seconds / seconds * f64::from(1 << 30)).round() as u64;
        Cost {
            is_hypothetical: terms.is_hypothetical,
            invocations: used.invocations,
            on_coordinator: used.on_coordinator,
            cut_off: used.cut_off,
            seconds,
            memory: terms.memory.unwrap_or(match used.billed_ms {
                0 => DEFAULT_MEMORY,
                _ => average,
            }),
            architecture: terms.architecture,
            gb_seconds,
            store,
            store_kind: terms.store,
            only_checkpoints: false,
            journal_writes: used.journal_writes,
            for_invocations,
            for_time,
            for_writes,
            for_reads,
            for_redis,
            total: for_invocations + for_time + for_writes + for_reads + for_redis,
            prices,
        }
    }

    /// What the run has cost up to the time of its record.
    pub fn of_run(about: &About, mut terms: Terms, prices: Prices) -> Self {
        let ends = |used: &Totals| used.invocations + used.on_coordinator;
        let (told, summed) = (&about.stats.used, &about.sums.used);
        // The coordinator's own numbers have the last things too; the record's are ahead of them if the coordinator was killed.
        let known = if ends(told) >= ends(summed) { told } else { summed };
        if ends(known) > 0 || about.sums.invocations == 0 {
            return Cost::of(known, terms, prices);
        }
        terms.memory = terms.memory.or(about.memory_limit);
        Cost {
            only_checkpoints: true,
            ..Cost::of(&before_usage(about), terms, prices)
        }
    }

    /// `0.0031 GB-seconds, 12 writes and 30 reads of the store, 0.000061 USD`; the amount only if it is real, or if what would have been is wanted too.
    pub fn in_short(&self, hypothetical: bool) -> String {
        let mut text = format!(
            "{:.3} GB-seconds, {} writes and {} reads of the store",
            self.gb_seconds,
            self.store.writes(),
            self.store.reads()
        );
        let amount = money(self.total);
        let currency = &self.prices.currency;
        if !self.is_hypothetical {
            text.push_str(&format!(", {amount} {currency}"));
        } else if hypothetical {
            text.push_str(&format!("; on AWS it would have cost {amount} {currency}"));
        }
        text
    }
}

/// An amount to a millionth.
pub fn money(amount: f64) -> String {
    format!("{amount:.6}")
}

/// What is known of a run that was recorded before usage was: its invocations, and the checkpoints that went through the store, each
/// longer than [`Payload::INLINE_LIMIT`].
fn before_usage(about: &About) -> Totals {
    let sums = &about.sums;
    let least = Payload::INLINE_LIMIT as u64;
    Totals {
        invocations: sums.invocations,
        billed_ms: sums.billed_ms,
        workers: Operations {
            puts: sums.stored_checkpoints,
            gets: sums.stored_resumes,
            bytes_up: sums.stored_checkpoints.saturating_mul(least),
            bytes_down: sums.stored_resumes.saturating_mul(least),
            ..Operations::default()
        },
        ..Totals::default()
    }
}

#[cfg(test)]
mod tests;
