//! A query as data: all that the driver task starts from.
//!
//! Fragments and manifests are objects of the store, and tasks are given their keys: what travels with a task stays small however many
//! files and stages there are (TRAPS q19).

use crate::error::QueryError;
use crate::exec::version;
use crate::session::SessionOptions;
use crate::shuffle::object::encode_schema;
use crate::shuffle::sealed::sealed;
use crate::stage::{Exchange, StageGraph, StageId};
use bytes::Bytes;
use datafusion::error::DataFusionError;
use kappa::store::Store;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A planned query whose fragments are in the store.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Program {
    /// First segments of the key of every object that belongs to the query.
    pub prefix: String,
    /// The stages in topological order; the last one is the root.
    pub stages: Vec<StageProgram>,
    /// How sessions are made, in every process.
    pub options: SessionOptions,
    /// How many tasks work on a stage at once.
    pub workers: u32,
    /// The schema of the result as the query named its columns, as an Arrow IPC stream without batches.
    pub schema: Bytes,
    /// For `EXPLAIN ANALYZE`: the stages as text. The result is then this text with what the stages did, and not their rows.
    pub analyze: Option<Vec<String>>,
}

/// A stage as the driver sees it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StageProgram {
    /// Key of the encoded stage.
    pub fragment: String,
    /// Number of units; may be 0.
    pub units: u32,
    /// The stages it reads.
    pub inputs: Vec<StageId>,
    /// Whether each of its readers' units reads all that it has put out.
    pub is_broadcast: bool,
}

impl Program {
    /// Puts the fragments of a graph into the store, under a prefix that nobody else uses.
    ///
    /// # Errors
    /// If a fragment cannot be encoded or the store fails; what was put before is left there.
    pub async fn publish(
        graph: &StageGraph,
        store: &dyn Store,
        prefix: String,
        options: SessionOptions,
        workers: usize,
    ) -> Result<Self, QueryError> {
        version::record(store, &prefix).await?;
        let mut stages = Vec::with_capacity(graph.stages.len());
        for stage in &graph.stages {
            let fragment = format!("{prefix}/fragments/{}", stage.id);
            store.put(&fragment, sealed(stage.to_bytes()?)).await?;
            let schema = encode_schema(&stage.fragment.schema()).map_err(DataFusionError::from)?;
            store.put(&schema_key(&fragment), sealed(schema)).await?;
            let units = stage.units as u32;
            stages.push(StageProgram {
                fragment,
                units,
                inputs: stage.inputs.clone(),
                is_broadcast: stage.output == Exchange::Broadcast,
            });
        }
        let schema = encode_schema(&graph.schema).map_err(DataFusionError::from)?.into();
        Ok(Program {
            schema,
            prefix,
            stages,
            options,
            workers: workers.max(1) as u32,
            analyze: None,
        })
    }

    /// The root stage, whose output is the result.
    pub fn root(&self) -> StageId {
        StageId(self.stages.len().saturating_sub(1) as u32)
    }

    /// A key for an object of a stage that nobody else will ever use.
    pub fn unique_key(prefix: &str, stage: StageId, what: &str) -> String {
        format!("{prefix}/stages/{stage}/{what}-{}", Uuid::now_v7().as_simple())
    }

    /// What the keys of all objects of a stage begin with, of whatever attempt.
    pub fn stage_prefix(&self, stage: StageId) -> String {
        format!("{}/stages/{stage}", self.prefix)
    }
}

/// Where the schema of a stage's rows lies, as an Arrow IPC stream without batches.
pub(crate) fn schema_key(fragment: &str) -> String {
    format!("{fragment}.schema")
}
