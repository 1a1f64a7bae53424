//! The task that runs units of one stage.
//!
//! A unit is what is checkpointed: after each, the objects written so far are part of the task's continuation. A lambda that dies loses
//! one unit's work; the object that it may have written is named by nobody.

use crate::exec::fragments;
use crate::exec::unit::run_unit;
use crate::session::SessionOptions;
use crate::shuffle::object::UnitOutput;
use crate::stage::StageId;
use kappa::prelude::*;
use serde::{Deserialize, Serialize};

/// What a stage task is given.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StageWork {
    /// First segments of the keys of the query's objects.
    pub prefix: String,
    /// The stage.
    pub stage: StageId,
    /// Key of the encoded stage.
    pub fragment: String,
    /// The stages it reads, with their manifests' keys.
    pub inputs: Vec<(StageId, String)>,
    /// How the session is made.
    pub options: SessionOptions,
    /// The units to run.
    pub units: Vec<u32>,
}

/// Runs the units one after another.
#[kappa::task]
pub async fn run_units(cx: &mut Context, work: StageWork) -> Result<Vec<UnitOutput>> {
    let mut outputs = Vec::with_capacity(work.units.len());
    while outputs.len() < work.units.len() {
        let unit = work.units[outputs.len()];
        let fragment = fragments::load(cx.store(), &work, unit).await?;
        outputs.push(run_unit(cx.store(), &fragment, &work, unit).await?);
        drop(fragment);
        cx.checkpoint().await;
    }
    Ok(outputs)
}
