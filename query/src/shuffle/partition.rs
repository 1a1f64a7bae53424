//! Which bucket a row goes to.
//!
//! The one function that every shuffle writer uses, whatever it writes to: both sides of a join, and every attempt of a
//! unit on any machine, must agree. The hash is seeded with a constant and depends on the row's key values and their types
//! only; rows whose keys are equal (NULL is equal to NULL here) go to the same bucket.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, RecordBatch, UInt32Array};
use datafusion::arrow::compute::take_record_batch;
use datafusion::common::hash_utils::{RandomState, create_hashes};
use datafusion::common::{Result, internal_err};
use datafusion::physical_expr::PhysicalExpr;

/// Splits batches by the hash of keys; reuses its buffers from batch to batch.
#[derive(Debug)]
pub struct HashPartitioner {
    keys: Vec<Arc<dyn PhysicalExpr>>,
    buckets: usize,
    seed: RandomState,
    hashes: Vec<u64>,
    rows: Vec<Vec<u32>>,
}

/// Part of the format of stored shuffle data: a run that is resumed must find its rows where it put them.
const SEED: u64 = 0x006b_6170_7061;

impl HashPartitioner {
    /// A partitioner by `keys` into `buckets`, which must not be zero.
    ///
    /// # Errors
    /// If `buckets` is zero.
    pub fn try_new(keys: Vec<Arc<dyn PhysicalExpr>>, buckets: usize) -> Result<Self> {
        if buckets == 0 {
            return internal_err!("rows cannot be split into no buckets");
        }
        Ok(Self {
            keys,
            buckets,
            seed: RandomState::with_seed(SEED),
            hashes: vec![],
            rows: vec![vec![]; buckets],
        })
    }

    /// The rows of `batch` for each bucket, in their order; `None` for a bucket that gets none.
    ///
    /// # Errors
    /// If a key cannot be evaluated or its type cannot be hashed.
    pub fn split(&mut self, batch: &RecordBatch) -> Result<Vec<Option<RecordBatch>>> {
        if batch.num_rows() == 0 {
            return Ok(vec![None; self.buckets]);
        }
        if self.buckets == 1 {
            return Ok(vec![Some(batch.clone())]);
        }
        let keys: Vec<ArrayRef> = self
            .keys
            .iter()
            .map(|key| key.evaluate(batch)?.into_array(batch.num_rows()))
            .collect::<Result<_>>()?;
        self.hashes.clear();
        self.hashes.resize(batch.num_rows(), 0);
        create_hashes(&keys, &self.seed, &mut self.hashes)?;
        self.rows.iter_mut().for_each(Vec::clear);
        for (row, hash) in self.hashes.iter().enumerate() {
            // Lossless: a batch has fewer than 2³² rows, a bucket index is below the bucket count.
            self.rows[(hash % self.buckets as u64) as usize].push(row as u32);
        }
        let mut parts = Vec::with_capacity(self.buckets);
        for rows in &self.rows {
            parts.push(match rows.len() {
                0 => None,
                all if all == batch.num_rows() => Some(batch.clone()),
                _ => Some(take_record_batch(batch, &UInt32Array::from(rows.clone()))?),
            });
        }
        Ok(parts)
    }
}
