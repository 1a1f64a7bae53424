//! What a run would cost on rented functions: its invocations, their time and memory, and the requests to the store that its checkpoints make.
//!
//! The default prices are the public list prices of AWS Lambda (x86) and S3 Standard in `us-east-1` as of January 2025, without free tiers and discounts:
//! 0.20 USD per million invocations, 0.0000166667 USD per GB-second billed by the millisecond, 0.005 USD per thousand writes, 0.0004 USD per thousand
//! reads. A JSON file with the fields of [`Prices`] replaces them.
//!
//! Not counted: what tasks themselves read and write, arguments and results too large for a message, the coordinator's machine, storage by the month.

use super::about::About;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Memory of a function that gets one whole processor, in bytes; for runs whose memory was not limited.
pub const DEFAULT_MEMORY: u64 = 1769 << 20;

/// What things cost.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Prices {
    /// Whose prices they are, and of when.
    pub name: String,
    /// For example `USD`.
    pub currency: String,
    /// One invocation.
    pub invocation: f64,
    /// One invocation with one GB (2^30 bytes) for one second.
    pub gb_second: f64,
    /// One write to the store.
    pub store_write: f64,
    /// One read from the store.
    pub store_read: f64,
}

impl Default for Prices {
    fn default() -> Self {
        Prices {
            name: "AWS Lambda (x86) and S3 Standard, us-east-1, list prices of January 2025".to_string(),
            currency: "USD".to_string(),
            invocation: 0.20 / 1e6,
            gb_second: 0.000_016_666_7,
            store_write: 0.005 / 1e3,
            store_read: 0.0004 / 1e3,
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
        let example = || serde_json::to_string(&Prices::default()).unwrap_or_default();
        let prices: Prices = serde_json::from_str(&text).map_err(|cause| {
            format!(
                "{} is no price table: {cause}; for example: {}",
                file.display(),
                example()
            )
        })?;
        let numbers = [
            prices.invocation,
            prices.gb_second,
            prices.store_write,
            prices.store_read,
        ];
        match numbers.iter().all(|price| price.is_finite() && *price >= 0.0) {
            true => Ok(prices),
            false => Err(format!("{} is no price table: a price is negative", file.display())),
        }
    }
}

/// What a run has used and what that costs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Cost {
    /// Invocations that were really started.
    pub invocations: u64,
    /// Their time, each rounded up to a millisecond, in seconds.
    pub seconds: f64,
    /// Memory of each, in bytes.
    pub memory: u64,
    /// Time multiplied by memory.
    pub gb_seconds: f64,
    /// Checkpoints written to the store.
    pub store_writes: u64,
    /// Checkpoints read from the store.
    pub store_reads: u64,
    /// Bytes of all checkpoints, those in messages included.
    pub checkpoint_bytes: u64,
    /// What the invocations cost, without their time.
    pub for_invocations: f64,
    /// What their time costs.
    pub for_time: f64,
    /// What the store's requests cost.
    pub for_store: f64,
    /// All together.
    pub total: f64,
    /// The prices.
    pub prices: Prices,
}

impl Cost {
    /// What the run has cost up to the time of its record.
    pub fn of(about: &About, memory: u64, prices: Prices) -> Self {
        let sums = &about.sums;
        let seconds = sums.billed_ms as f64 / 1e3;
        let gb_seconds = seconds * memory as f64 / f64::from(1u32 << 30);
        let for_invocations = sums.invocations as f64 * prices.invocation;
        let for_time = gb_seconds * prices.gb_second;
        let for_store =
            sums.stored_checkpoints as f64 * prices.store_write + sums.stored_resumes as f64 * prices.store_read;
        Cost {
            invocations: sums.invocations,
            seconds,
            memory,
            gb_seconds,
            store_writes: sums.stored_checkpoints,
            store_reads: sums.stored_resumes,
            checkpoint_bytes: about.stats.checkpoint_bytes,
            for_invocations,
            for_time,
            for_store,
            total: for_invocations + for_time + for_store,
            prices,
        }
    }
}
