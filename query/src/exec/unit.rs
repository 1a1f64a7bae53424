//! Running one unit of a stage: execute the partition, split the rows by the stage's exchange, write one object.

use crate::exec::fragments::Fragment;
use crate::exec::program::Program;
use crate::exec::stage_task::StageWork;
use crate::exec::unreadable::with_files;
use crate::shuffle::object::{ObjectWriter, UnitOutput};
use crate::shuffle::partition::HashPartitioner;
use crate::stage::Exchange;
use datafusion::common::{DataFusionError, Result};
use datafusion::execution::memory_pool::MemoryConsumer;
use futures::StreamExt;
use kappa::store::Store;
use std::sync::Arc;

/// Runs a unit to its end. The object that it writes has a unique name; it counts only if the caller commits the output.
///
/// # Errors
/// Whatever the fragment, the shuffle or the store reports.
pub async fn run_unit(store: &Arc<dyn Store>, fragment: &Fragment, work: &StageWork, unit: u32) -> Result<UnitOutput> {
    let mut rows = fragment
        .execute(unit, store)
        .map_err(|error| explained(error, fragment, unit))?;
    let exchange = &fragment.stage.output;
    let mut writer = ObjectWriter::new(fragment.stage.fragment.schema(), exchange.buckets());
    let mut partitioner = match exchange {
        Exchange::Hash { keys, partitions } => Some(HashPartitioner::try_new(keys.clone(), *partitions)?),
        Exchange::Broadcast | Exchange::Gather | Exchange::Merge { .. } => None,
    };
    // What is written is no operator's: counted, it makes those that can spill do so earlier.
    let memory = MemoryConsumer::new("shuffle writer").register(fragment.memory_pool());
    while let Some(batch) = rows.next().await {
        let batch = batch.map_err(|error| explained(error, fragment, unit))?;
        match &mut partitioner {
            None => writer.push(0, batch)?,
            Some(partitioner) => {
                for (bucket, part) in partitioner.split(&batch)?.into_iter().enumerate() {
                    if let Some(part) = part {
                        writer.push(bucket, part)?;
                    }
                }
            }
        }
        memory.resize(writer.memory());
    }
    // The stream holds the memory of the operators; it is released before the object is assembled.
    drop(rows);
    // The buckets are put together into one object.
    memory.resize(2 * writer.memory());
    let (bytes, buckets) = writer.finish()?;
    memory.resize(bytes.len());
    let object = if bytes.is_empty() {
        None
    } else {
        let key = Program::unique_key(&work.prefix, work.stage, &format!("unit-{unit}"));
        store
            .put(&key, bytes)
            .await
            .map_err(|error| datafusion::common::DataFusionError::External(Box::new(error)))?;
        Some(key)
    };
    Ok(UnitOutput { unit, object, buckets })
}

/// The error in the words of who has to do something about it.
fn explained(error: DataFusionError, fragment: &Fragment, unit: u32) -> DataFusionError {
    match fragment.changed_file() {
        Some(changed) => DataFusionError::Execution(changed),
        None => with_files(error, fragment.stage.fragment.as_ref(), unit as usize),
    }
}
