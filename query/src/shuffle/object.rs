//! What one unit of a stage leaves behind: one object of the store, with the rows of each bucket as an Arrow IPC stream.
//!
//! ```text
//! object:  | bucket 0: IPC stream | pad | bucket 2: IPC stream | pad | ...     a bucket without rows takes no bytes
//! manifest: unit -> (object key, [extent of bucket 0, extent of bucket 1, ...])
//! ```
//!
//! An object has a name of its own for each attempt, and exists for readers only if a committed checkpoint or result names it:
//! nothing is overwritten, renamed or listed. The rows of a bucket keep the order in which the unit produced them.

use crate::error::QueryError;
use crate::shuffle::sealed::get_sealed;
use bytes::Bytes;
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::buffer::Buffer;
use datafusion::arrow::compute::BatchCoalescer;
use datafusion::arrow::datatypes::{Schema, SchemaRef};
use datafusion::arrow::error::ArrowError;
use datafusion::arrow::ipc::reader::{StreamDecoder, StreamReader};
use datafusion::arrow::ipc::writer::StreamWriter;
use kappa::store::Store;
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// Rows per batch inside a bucket: what DataFusion itself works with.
const BATCH_ROWS: usize = 8192;

/// Buckets start at multiples of this many bytes, so that arrays read in place are aligned.
const ALIGNMENT: usize = 64;

/// Where a bucket lies in its object.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extent {
    /// First byte.
    pub start: u64,
    /// Length in bytes; 0 for a bucket without rows.
    pub length: u64,
    /// Number of rows.
    pub rows: u64,
    /// CRC-32 of the bytes: what a disk has changed must neither become an answer nor reach Arrow's decoder, which panics.
    pub checksum: u32,
}

impl Extent {
    /// The bytes of the bucket.
    pub fn range(&self) -> Range<u64> {
        self.start..self.start.saturating_add(self.length)
    }
}

/// What a unit produced.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnitOutput {
    /// The unit.
    pub unit: u32,
    /// The object's key; `None` if the unit produced no rows.
    pub object: Option<String>,
    /// One extent for each bucket.
    pub buckets: Vec<Extent>,
}

/// The output of a closed stage: fixed when its last unit has been committed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The schema, as an IPC stream without batches.
    schema: Bytes,
    /// The units in ascending order.
    pub units: Vec<UnitOutput>,
}

impl Manifest {
    /// The manifest of a stage with this schema (as [`encode_schema`] writes it). Units may come in any order.
    pub fn new(schema: &Bytes, mut units: Vec<UnitOutput>) -> Self {
        units.sort_by_key(|output| output.unit);
        debug_assert!(
            units.windows(2).all(|pair| pair[0].unit < pair[1].unit),
            "each unit is committed once"
        );
        Manifest {
            schema: schema.clone(),
            units,
        }
    }

    /// The manifest as bytes.
    ///
    /// # Errors
    /// Only if memory cannot hold them.
    pub fn to_bytes(&self) -> Result<Vec<u8>, postcard::Error> {
        postcard::to_stdvec(self)
    }

    /// Reads what [`Manifest::to_bytes`] wrote.
    ///
    /// # Errors
    /// If the bytes are not those of a manifest.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, postcard::Error> {
        postcard::from_bytes(bytes)
    }

    /// Reads the manifest that lies sealed under this key.
    ///
    /// # Errors
    /// If the store fails, or its bytes are not those that were put there.
    pub async fn read(store: &dyn Store, key: &str) -> Result<Self, QueryError> {
        Ok(Self::from_bytes(&get_sealed(store, key).await?)?)
    }

    /// The schema of the rows.
    ///
    /// # Errors
    /// If the manifest is damaged.
    pub fn schema(&self) -> Result<SchemaRef, ArrowError> {
        decode_schema(&self.schema)
    }
}

/// A schema as an IPC stream without batches.
///
/// # Errors
/// If the schema has a type that Arrow IPC cannot carry.
pub fn encode_schema(schema: &Schema) -> Result<Vec<u8>, ArrowError> {
    let mut writer = StreamWriter::try_new(Vec::new(), schema)?;
    writer.finish()?;
    writer.into_inner()
}

/// Reads what [`encode_schema`] wrote.
///
/// # Errors
/// If the bytes are not an IPC stream.
pub fn decode_schema(bytes: &[u8]) -> Result<SchemaRef, ArrowError> {
    Ok(StreamReader::try_new(bytes, None)?.schema())
}

/// Collects the rows of one unit, by bucket.
pub struct ObjectWriter {
    schema: SchemaRef,
    buckets: Vec<BucketWriter>,
    /// Bytes that are written so far.
    written: usize,
}

struct BucketWriter {
    pending: BatchCoalescer,
    /// Created with the first batch: most buckets of a small unit stay empty.
    stream: Option<StreamWriter<Vec<u8>>>,
    rows: u64,
}

impl ObjectWriter {
    /// A writer for this many buckets of rows with this schema.
    pub fn new(schema: SchemaRef, buckets: usize) -> Self {
        let bucket = || BucketWriter {
            pending: BatchCoalescer::new(schema.clone(), BATCH_ROWS),
            stream: None,
            rows: 0,
        };
        ObjectWriter {
            buckets: (0..buckets).map(|_| bucket()).collect(),
            schema,
            written: 0,
        }
    }

    /// Appends rows to a bucket.
    ///
    /// # Errors
    /// If Arrow IPC cannot carry the rows.
    pub fn push(&mut self, bucket: usize, batch: RecordBatch) -> Result<(), ArrowError> {
        let bucket = &mut self.buckets[bucket];
        bucket.rows += batch.num_rows() as u64;
        // Some operators put out all their rows at once. Whoever merges holds a batch of every unit.
        for start in (0..batch.num_rows()).step_by(BATCH_ROWS) {
            let length = BATCH_ROWS.min(batch.num_rows() - start);
            bucket.pending.push_batch(batch.slice(start, length))?;
            self.written += bucket.write_completed(&self.schema)?;
        }
        Ok(())
    }

    /// How many bytes of memory it holds for rows that are written; those that still wait for a whole batch are not counted.
    pub fn memory(&self) -> usize {
        self.written
    }

    /// The finished object and the extents of its buckets; no bytes at all if there were no rows.
    ///
    /// # Errors
    /// If Arrow IPC cannot carry the rows.
    pub fn finish(self) -> Result<(Bytes, Vec<Extent>), ArrowError> {
        let mut object = Vec::new();
        let mut extents = Vec::with_capacity(self.buckets.len());
        for mut bucket in self.buckets {
            bucket.pending.finish_buffered_batch()?;
            bucket.write_completed(&self.schema)?;
            let Some(mut stream) = bucket.stream else {
                extents.push(Extent::default());
                continue;
            };
            stream.finish()?;
            let bytes = stream.into_inner()?;
            object.resize(object.len().next_multiple_of(ALIGNMENT), 0);
            extents.push(Extent {
                start: object.len() as u64,
                length: bytes.len() as u64,
                rows: bucket.rows,
                checksum: crc32fast::hash(&bytes),
            });
            if object.is_empty() {
                object = bytes;
            } else {
                object.extend_from_slice(&bytes);
            }
        }
        Ok((object.into(), extents))
    }
}

impl BucketWriter {
    /// Gives how many bytes were written.
    fn write_completed(&mut self, schema: &Schema) -> Result<usize, ArrowError> {
        let length =
            |stream: &Option<StreamWriter<Vec<u8>>>| stream.as_ref().map_or(0, |stream| stream.get_ref().len());
        let before = length(&self.stream);
        while let Some(batch) = self.pending.next_completed_batch() {
            let stream = match &mut self.stream {
                Some(stream) => stream,
                none => none.insert(StreamWriter::try_new(Vec::new(), schema)?),
            };
            stream.write(&batch)?;
        }
        Ok(length(&self.stream) - before)
    }
}

/// Reads the batches of one bucket; arrays share the memory of `bytes` where alignment allows.
///
/// # Errors
/// If the bytes are not those that were written there.
pub fn decode_bucket(bytes: Bytes, extent: &Extent) -> Result<Vec<RecordBatch>, ArrowError> {
    if crc32fast::hash(&bytes) != extent.checksum {
        return Err(ArrowError::IpcError(format!(
            "{} bytes from {} on are not those that were written there",
            bytes.len(),
            extent.start
        )));
    }
    let mut buffer = Buffer::from(bytes);
    let mut decoder = StreamDecoder::new();
    let mut batches = Vec::new();
    while !buffer.is_empty() {
        batches.extend(decoder.decode(&mut buffer)?);
    }
    decoder.finish()?;
    Ok(batches)
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::arrow::array::{ArrayRef, Int64Array, StringArray, StringViewArray, UInt32Array};
    use std::sync::Arc;

    fn rows(range: Range<i64>) -> RecordBatch {
        let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(range.clone()));
        let texts: ArrayRef = Arc::new(StringArray::from_iter(
            range.map(|n| (n % 3 != 0).then(|| format!("text {n}"))),
        ));
        RecordBatch::try_from_iter_with_nullable([("n", numbers, true), ("t", texts, true)]).unwrap()
    }

    #[test]
    fn a_bucket_gives_back_its_rows_in_order_whatever_the_other_buckets_hold() {
        let mut writer = ObjectWriter::new(rows(0..1).schema(), 3);
        for start in (0..30_000).step_by(1000) {
            writer.push(0, rows(start..start + 1000)).unwrap();
            writer.push(2, rows(-start..-start + 7)).unwrap();
        }
        let (object, extents) = writer.finish().unwrap();
        assert_eq!(
            extents.iter().map(|extent| extent.rows).collect::<Vec<_>>(),
            [30_000, 0, 210]
        );
        assert_eq!(extents[1].length, 0);
        let read = |extent: &Extent| {
            let range = extent.range();
            let bytes = object.slice(range.start as usize..range.end as usize);
            let batches = decode_bucket(bytes, extent).unwrap();
            datafusion::arrow::compute::concat_batches(&rows(0..1).schema(), &batches).unwrap()
        };
        assert_eq!(read(&extents[0]), rows(0..30_000));
        assert_eq!(read(&extents[2]).num_rows(), 210);
    }

    #[test]
    fn a_bucket_of_which_a_single_bit_has_changed_is_refused_wherever_that_is() {
        let mut writer = ObjectWriter::new(rows(0..1).schema(), 1);
        writer.push(0, rows(0..50)).unwrap();
        let (object, extents) = writer.finish().unwrap();
        assert!(decode_bucket(object.clone(), &extents[0]).is_ok());
        for place in 0..object.len() {
            let mut damaged = object.to_vec();
            damaged[place] ^= 4;
            let said = decode_bucket(damaged.into(), &extents[0]).unwrap_err().to_string();
            assert!(said.contains("not those that were written"), "byte {place}: {said}");
        }
        assert!(decode_bucket(object.slice(..object.len() - 1), &extents[0]).is_err());
    }

    #[test]
    fn a_unit_without_rows_has_no_bytes() {
        let (object, extents) = ObjectWriter::new(rows(0..1).schema(), 2).finish().unwrap();
        assert!(object.is_empty());
        assert_eq!(extents, [Extent::default(); 2]);
    }

    #[test]
    fn a_truncated_bucket_is_an_error_and_not_fewer_rows() {
        let mut writer = ObjectWriter::new(rows(0..1).schema(), 1);
        writer.push(0, rows(0..20_000)).unwrap();
        let (object, extents) = writer.finish().unwrap();
        for length in [1, 100, object.len() / 2, object.len() - 9] {
            assert!(
                decode_bucket(object.slice(..length), &extents[0]).is_err(),
                "cut off after {length} bytes"
            );
        }
    }

    /// TRAPS q15: views, too, of which a batch holds as many bytes as there are in the buffers that they point into.
    #[test]
    fn q15_views_into_large_buffers_do_not_drag_them_along() {
        let texts =
            StringViewArray::from_iter_values((0..100_000).map(|n| format!("a text that is too long for a view {n}")));
        let large = RecordBatch::try_from_iter([("t", Arc::new(texts) as ArrayRef)]).unwrap();
        let indices = UInt32Array::from_iter_values((0..100).map(|n| n * 1000));
        for part in [
            large.slice(50_000, 10),
            datafusion::arrow::compute::take_record_batch(&large, &indices).unwrap(),
        ] {
            let mut writer = ObjectWriter::new(large.schema(), 1);
            writer.push(0, part.clone()).unwrap();
            let (object, extents) = writer.finish().unwrap();
            assert!(
                object.len() < 16 << 10,
                "{} bytes for {} rows",
                object.len(),
                part.num_rows()
            );
            let back = decode_bucket(object, &extents[0]).unwrap();
            assert_eq!(
                datafusion::arrow::compute::concat_batches(&large.schema(), &back).unwrap(),
                part
            );
        }
    }

    #[test]
    fn the_memory_of_a_writer_is_that_of_what_it_has_written() {
        let mut writer = ObjectWriter::new(rows(0..1).schema(), 2);
        assert_eq!(writer.memory(), 0);
        for start in (0..200_000).step_by(1000) {
            writer
                .push((start % 2000 / 1000) as usize, rows(start..start + 1000))
                .unwrap();
        }
        let held = writer.memory();
        let (object, _) = writer.finish().unwrap();
        assert!(
            held > object.len() * 9 / 10 && held <= object.len(),
            "{held} of {}",
            object.len()
        );
    }

    /// TRAPS q15.
    #[test]
    fn q15_a_slice_of_a_large_batch_does_not_drag_the_rest_along() {
        let large = rows(0..1_000_000);
        let mut writer = ObjectWriter::new(large.schema(), 1);
        writer.push(0, large.slice(500_000, 10)).unwrap();
        let (object, _) = writer.finish().unwrap();
        assert!(object.len() < 4096, "{} bytes for ten rows", object.len());
    }

    #[test]
    fn a_manifest_survives_encoding_with_its_schema_and_sorts_its_units() {
        let output = |unit| UnitOutput {
            unit,
            object: None,
            buckets: vec![Extent {
                start: 0,
                length: 1,
                rows: 5,
                checksum: 9,
            }],
        };
        let schema = encode_schema(&rows(0..1).schema()).unwrap().into();
        let manifest = Manifest::new(&schema, vec![output(2), output(0), output(1)]);
        let back = Manifest::from_bytes(&manifest.to_bytes().unwrap()).unwrap();
        assert_eq!(back.schema().unwrap(), rows(0..1).schema());
        assert_eq!(
            back.units.iter().map(|output| output.unit).collect::<Vec<_>>(),
            [0, 1, 2]
        );
    }
}
