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

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::{AsArray, Int32Array, Int64Array, StringArray};
    use datafusion::arrow::datatypes::Int32Type;
    use datafusion::physical_expr::expressions::col;

    use super::*;

    fn rows() -> RecordBatch {
        let number = Int32Array::from_iter((0..1000).map(|row| (row % 10 != 0).then_some(row % 37)));
        let word = StringArray::from_iter_values((0..1000).map(|row| format!("w{}", row % 5)));
        RecordBatch::try_from_iter([
            ("number", Arc::new(number) as ArrayRef),
            ("word", Arc::new(word) as ArrayRef),
        ])
        .unwrap()
    }

    fn split(keys: &[&str], batch: &RecordBatch, buckets: usize) -> Vec<Option<RecordBatch>> {
        let keys = keys.iter().map(|key| col(key, &batch.schema()).unwrap()).collect();
        HashPartitioner::try_new(keys, buckets).unwrap().split(batch).unwrap()
    }

    #[test]
    fn every_row_is_in_one_bucket_and_equal_keys_are_together() {
        let batch = rows();
        let mut bucket_of = std::collections::HashMap::new();
        let mut total = 0;
        for (bucket, part) in split(&["number"], &batch, 7).into_iter().enumerate() {
            let Some(part) = part else { continue };
            total += part.num_rows();
            for key in part.column(0).as_primitive::<Int32Type>() {
                assert_eq!(*bucket_of.entry(key).or_insert(bucket), bucket, "{key:?}");
            }
        }
        assert_eq!(total, 1000);
        assert_eq!(bucket_of.len(), 38, "the 37 numbers and NULL");
    }

    #[test]
    fn q11_rows_go_where_they_went_in_earlier_versions() {
        // Stored shuffle data depends on it: if this fails, the format of stored runs has changed.
        let keys = Int64Array::from_iter([Some(0), Some(1), Some(2), Some(42), Some(-7), None]);
        let batch = RecordBatch::try_from_iter([("key", Arc::new(keys) as ArrayRef)]).unwrap();
        let sizes: Vec<usize> = split(&["key"], &batch, 4)
            .iter()
            .map(|part| part.as_ref().map_or(0, RecordBatch::num_rows))
            .collect();
        assert_eq!(sizes, [2, 1, 3, 0]);
    }
    #[test]
    fn rows_keep_their_order_within_a_bucket() {
        let batch = rows();
        for part in split(&["word"], &batch, 3).into_iter().flatten() {
            let words: std::collections::BTreeSet<&str> = part.column(1).as_string::<i32>().iter().flatten().collect();
            let expected: Vec<Option<i32>> = (0..1000)
                .filter(|row| words.contains(format!("w{}", row % 5).as_str()))
                .map(|row| (row % 10 != 0).then_some(row % 37))
                .collect();
            let found: Vec<Option<i32>> = part.column(0).as_primitive::<Int32Type>().iter().collect();
            assert_eq!(found, expected);
        }
    }

    #[test]
    fn one_bucket_and_no_rows_are_cheap_cases_of_the_same() {
        let batch = rows();
        assert_eq!(split(&["word"], &batch, 1), [Some(batch.clone())]);
        assert_eq!(split(&["word"], &batch.slice(0, 0), 3), [None, None, None]);
        assert!(HashPartitioner::try_new(vec![], 0).is_err());
    }
}
