//! Pass 8: stages that compute the same become one.
//!
//! ```text
//!   before (a CTE used twice)                    after
//!
//!   0: scan t ──Hash──> 1: aggregate ──┐         0: scan t ──Hash──> 1: aggregate ──┬─> 2: join
//!   2: scan t ──Hash──> 3: aggregate ──┴─> 4                                        └─>
//! ```
//!
//! Two stages are equal if their fragments (reading the same stages) and their exchanges have the same bytes. Stages that
//! call volatile functions, `random()` and the like, are never equal: the query asked for two draws.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::physical_plan::ExecutionPlan;

use super::cut::inputs_of;
use crate::error::Result;
use crate::plan::ShuffleReaderExec;
use crate::plan::codec::Encoded;
use crate::stage::{Exchange, Stage, StageGraph, StageId};

/// # Errors
/// If a fragment has no serialised form.
pub(super) fn merge(graph: StageGraph) -> Result<StageGraph> {
    let StageGraph { stages, schema } = graph;
    let mut kept: Vec<Stage> = Vec::with_capacity(stages.len());
    let mut new_ids: Vec<StageId> = Vec::with_capacity(stages.len());
    let mut by_bytes: HashMap<Vec<u8>, StageId> = HashMap::new();
    for Stage {
        id: _,
        fragment,
        units,
        output,
        inputs: _,
    } in stages
    {
        let fragment = renumber(fragment, &new_ids)?;
        // Cannot overflow: there are no more stages than before.
        let id = StageId(kept.len() as u32);
        let inputs = inputs_of(&fragment)?;
        let is_volatile = Encoded::of(&fragment)?.volatile || has_volatile_keys(&output)?;
        // The number is the one thing that may differ.
        let stage = Stage {
            id: StageId(0),
            fragment,
            units,
            output,
            inputs,
        };
        let bytes = stage.to_bytes()?;
        if !is_volatile && let Some(equal) = by_bytes.get(&bytes) {
            new_ids.push(*equal);
            continue;
        }
        by_bytes.insert(bytes, id);
        new_ids.push(id);
        kept.push(Stage { id, ..stage });
    }
    Ok(StageGraph { stages: kept, schema })
}

fn has_volatile_keys(output: &Exchange) -> Result<bool> {
    let Exchange::Hash { keys, .. } = output else {
        return Ok(false);
    };
    for key in keys {
        if key.exists(|part| Ok(part.is_volatile_node()))? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn renumber(fragment: Arc<dyn ExecutionPlan>, new_ids: &[StageId]) -> Result<Arc<dyn ExecutionPlan>> {
    let fragment = fragment.transform_up(|node| {
        let Some(reader) = node.downcast_ref::<ShuffleReaderExec>() else {
            return Ok(Transformed::no(node));
        };
        let renumbered = reader.reading(new_ids[reader.stage().index()], reader.exchange().clone())?;
        Ok(Transformed::yes(Arc::new(renumbered)))
    });
    Ok(fragment.data()?)
}
