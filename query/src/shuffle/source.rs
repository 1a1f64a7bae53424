//! The shuffle as a fragment reads it: closed stages, by their manifests, from the store.
//!
//! Every unit of the producer gives one stream, in unit order, so that a reader that concatenates them gets the same rows in the same
//! order at every attempt. Objects are fetched when their stream is first polled.

use crate::plan::{Bucket, ShuffleSource};
use crate::shuffle::object::{Manifest, UnitOutput, decode_bucket};
use crate::stage::StageId;
use bytes::Bytes;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::common::{DataFusionError, Result, exec_datafusion_err};
use datafusion::execution::SendableRecordBatchStream;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryPool};
use datafusion::physical_plan::coop::cooperative;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::{StreamExt, TryStreamExt, stream};
use kappa::store::Store;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Reads closed stages from a store.
#[derive(Debug)]
pub struct StoreShuffle {
    store: Arc<dyn Store>,
    inputs: Arc<BTreeMap<StageId, Input>>,
    /// Where the memory of what is read and not handed on yet is counted.
    pool: Arc<dyn MemoryPool>,
}

#[derive(Debug)]
struct Input {
    schema: SchemaRef,
    units: Vec<UnitOutput>,
}

impl StoreShuffle {
    /// The shuffle output of these stages.
    ///
    /// # Errors
    /// If a manifest is damaged.
    pub fn new(
        store: Arc<dyn Store>,
        manifests: impl IntoIterator<Item = (StageId, Manifest)>,
        pool: Arc<dyn MemoryPool>,
    ) -> Result<Self> {
        let input = |(stage, manifest): (StageId, Manifest)| {
            Ok((
                stage,
                Input {
                    schema: manifest.schema()?,
                    units: manifest.units,
                },
            ))
        };
        Ok(StoreShuffle {
            store,
            inputs: Arc::new(manifests.into_iter().map(input).collect::<Result<_>>()?),
            pool,
        })
    }

    /// The same stages, read through this store.
    #[must_use]
    pub fn through(&self, store: Arc<dyn Store>) -> Self {
        StoreShuffle {
            store,
            inputs: self.inputs.clone(),
            pool: self.pool.clone(),
        }
    }
}

impl ShuffleSource for StoreShuffle {
    fn read(&self, stage: StageId, bucket: Bucket) -> Result<Vec<SendableRecordBatchStream>> {
        let input = self
            .inputs
            .get(&stage)
            .ok_or_else(|| exec_datafusion_err!("stage {stage} was not handed to this task as an input"))?;
        let position = match bucket {
            Bucket::One(position) => position,
            Bucket::All => 0,
        };
        input
            .units
            .iter()
            .map(|output| self.read_unit(stage, &input.schema, output, position))
            .collect()
    }
}

impl StoreShuffle {
    fn read_unit(
        &self,
        stage: StageId,
        schema: &SchemaRef,
        output: &UnitOutput,
        bucket: usize,
    ) -> Result<SendableRecordBatchStream> {
        let extent = *output.buckets.get(bucket).ok_or_else(|| {
            exec_datafusion_err!(
                "unit {} has {} buckets, bucket {bucket} was asked for",
                output.unit,
                output.buckets.len()
            )
        })?;
        let object = output.object.clone().filter(|_| extent.length > 0);
        let (store, pool) = (self.store.clone(), self.pool.clone());
        let batches = stream::iter(object).then(move |key| {
            let (store, pool) = (store.clone(), pool.clone());
            async move {
                let memory = MemoryConsumer::new("shuffle reader").register(&pool);
                memory.grow(extent.length as usize);
                let mut read = store.get_ranges(&key, &[extent.range()]).await.map_err(external)?;
                let bytes: Bytes = read
                    .pop()
                    .ok_or_else(|| exec_datafusion_err!("object {key}: the store gave no bytes"))?;
                let batches = decode_bucket(bytes, &extent)
                    .map_err(|cause| exec_datafusion_err!("object {key} of stage {stage} is damaged: {cause}"))?;
                // Whoever gets a batch counts it from then on.
                let share = memory.size() / batches.len().max(1);
                Ok::<_, DataFusionError>(stream::iter(batches.into_iter().map(move |batch| {
                    memory.shrink(share);
                    Ok(batch)
                })))
            }
        });
        let rows = RecordBatchStreamAdapter::new(schema.clone(), batches.try_flatten().boxed());
        // What is read from memory is always ready: without this a unit would never yield, and could not be cancelled.
        Ok(Box::pin(cooperative(rows)))
    }
}

/// Keeps the store's own error, so that its message and kind reach the user.
fn external(error: kappa::store::StoreError) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}
