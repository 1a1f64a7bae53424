//! The task that drives a query: starts the stages whose inputs are closed, closes those whose tasks have ended, deletes what is spent.
//!
//! Its state, [`Progress`], is part of its continuation; the fragments and the manifests lie in the store. Between two calls it only
//! writes objects with unique names and deletes objects that no committed state needs, so running that code twice does no harm. What is
//! deleted of a spent stage is everything below its prefix: also what attempts left that were killed before they were committed.

use crate::exec::fragments;
use crate::exec::program::{Program, schema_key};
use crate::exec::progress::{Progress, StageTotals};
use crate::exec::stage_task::{StageWork, run_units};
use crate::session::SessionOptions;
use crate::shuffle::object::{Manifest, UnitOutput};
use crate::shuffle::sealed::{get_sealed, sealed};
use crate::stage::StageId;
use bytes::Bytes;
use kappa::prelude::*;
use kappa::store::Store;
use kappa::{Failure, TaskError};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// What is left in the store when a query has ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Finished {
    /// First segments of the keys of the query's objects.
    pub prefix: String,
    /// Key of the encoded root stage.
    pub fragment: String,
    /// The root stage.
    pub root: StageId,
    /// Key of its manifest: the result.
    pub manifest: String,
    /// How sessions are made.
    pub options: SessionOptions,
    /// The schema of the result, as in the [`Program`].
    pub schema: Bytes,
    /// What each stage did.
    pub totals: Vec<StageTotals>,
    /// For `EXPLAIN ANALYZE`: the stages as text.
    pub analyze: Option<Vec<String>>,
}

/// Runs a query to its end.
#[kappa::task]
pub async fn drive(cx: &mut Context, program: Program) -> Result<Finished> {
    let mut progress = Progress::default();
    loop {
        for stage in progress.startable(&program) {
            let tasks = cx
                .spawn_all(works(&program, &progress, stage).into_iter().map(run_units))
                .await;
            progress.started(stage, tasks);
        }
        let mut closed = false;
        while let Some((stage, outputs)) = progress.closable() {
            fragments::release(&program.stages[stage.index()].fragment);
            let manifest = write_manifest(cx.store().as_ref(), &program, stage, outputs).await?;
            for spent in progress.close(&program, stage, manifest) {
                tracing::debug!(stage = %spent, "deleting the output of a spent stage");
                cx.store().delete_prefix(&program.stage_prefix(spent)).await?;
            }
            closed = true;
        }
        if let Some(manifest) = progress.result(&program) {
            let root = program.root();
            let fragment = program.stages[root.index()].fragment.clone();
            let manifest = manifest.to_owned();
            let totals = progress.totals(&program);
            return Ok(Finished {
                prefix: program.prefix,
                fragment,
                root,
                manifest,
                options: program.options,
                schema: program.schema,
                totals,
                analyze: program.analyze,
            });
        }
        if closed {
            continue;
        }
        let (position, outputs) = cx.wait_any(&progress.running()).await;
        finish(&program, &mut progress, position, outputs)?;
    }
}

/// The task at this position has ended.
fn finish(
    program: &Program,
    progress: &mut Progress,
    position: usize,
    outputs: Result<Vec<UnitOutput>, TaskError>,
) -> Result<()> {
    let outputs = outputs.map_err(|error| explained(error, program, progress, position))?;
    progress.finished(position, outputs);
    Ok(())
}

/// The error of a stage's task. That a unit runs out of time is no news to whoever set the limit; what it needs the time for, is.
fn explained(error: TaskError, program: &Program, progress: &Progress, position: usize) -> anyhow::Error {
    let (Failure::OutOfTime { limit_ms, .. }, Some(stage)) = (&error.kind, progress.stage_of(position)) else {
        return error.into();
    };
    let inputs = program.stages.get(stage.index()).map(|stage| stage.inputs.as_slice());
    let is_broadcast = |input: &&StageId| {
        let input = program.stages.get(input.index());
        input.is_some_and(|input| input.is_broadcast)
    };
    let broadcast: Vec<&StageId> = inputs.unwrap_or_default().iter().filter(is_broadcast).collect();
    let bytes: u64 = broadcast.iter().map(|input| progress.totals_of(**input).bytes).sum();
    let limit = Duration::from_millis(*limit_ms);
    let unit = format!(
        "one unit of stage {stage} takes longer than the time limit of {limit:?}, in which nothing of it can be stored"
    );
    if broadcast.is_empty() {
        return anyhow::anyhow!("{unit}; raise the limit (--time-limit)");
    }
    let megabytes = bytes.div_ceil(1_000_000);
    anyhow::anyhow!(
        "{unit}: it begins by reading {megabytes} MB, one side of a join, into memory, and each attempt does that anew; raise the limit \
         (--time-limit), or have both sides split: SET datafusion.optimizer.hash_join_single_partition_threshold = 0 and \
         SET datafusion.optimizer.hash_join_single_partition_threshold_rows = 0"
    )
}

/// No task gets more units: its checkpoints name the objects of all units that it has done.
const MOST_UNITS_OF_A_TASK: u32 = 256;

/// Deals the units of a stage out to its tasks: contiguous shares, so that a task reads neighbouring parts of a file.
fn works(program: &Program, progress: &Progress, stage: StageId) -> Vec<StageWork> {
    let Some(plan) = program.stages.get(stage.index()) else {
        return Vec::new();
    };
    let tasks = plan
        .units
        .min(program.workers.max(plan.units.div_ceil(MOST_UNITS_OF_A_TASK)));
    let share = |task: u32| u64::from(plan.units) * u64::from(task) / u64::from(tasks);
    (0..tasks)
        .map(|task| StageWork {
            prefix: program.prefix.clone(),
            stage,
            fragment: plan.fragment.clone(),
            inputs: progress.inputs_of(program, stage),
            options: program.options.clone(),
            units: (share(task) as u32..share(task + 1) as u32).collect(),
        })
        .collect()
}

/// Fixes what the stage has put out. The object has a unique name: a second attempt writes another.
async fn write_manifest(
    store: &dyn Store,
    program: &Program,
    stage: StageId,
    outputs: &[UnitOutput],
) -> Result<String> {
    let schema = get_sealed(store, &schema_key(&program.stages[stage.index()].fragment)).await?;
    let manifest = Manifest::new(&schema, outputs.to_vec());
    let key = Program::unique_key(&program.prefix, stage, "manifest");
    store.put(&key, sealed(manifest.to_bytes()?)).await?;
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exec::program::StageProgram;
    use crate::shuffle::object::Extent;
    use kappa::ids::TaskId;

    fn task(id: u64) -> kappa::Task<Vec<UnitOutput>> {
        postcard::from_bytes(&postcard::to_stdvec(&TaskId(id)).unwrap()).unwrap()
    }

    #[test]
    fn a_side_of_a_join_that_takes_longer_than_the_time_limit_is_named() {
        let stage = |inputs: &[u32], is_broadcast| StageProgram {
            fragment: String::new(),
            units: 1,
            inputs: inputs.iter().copied().map(StageId).collect(),
            is_broadcast,
        };
        let program = Program {
            prefix: "queries/7".into(),
            stages: vec![stage(&[], true), stage(&[0], false), stage(&[1], false)],
            options: SessionOptions::default(),
            workers: 1,
            schema: Bytes::new(),
            analyze: None,
        };
        let mut progress = Progress::default();
        progress.started(StageId(0), vec![task(1)]);
        let extent = Extent {
            length: 7_500_000,
            ..Extent::default()
        };
        let output = UnitOutput {
            unit: 0,
            object: None,
            buckets: vec![extent],
        };
        progress.finished(0, vec![output]);
        progress.started(StageId(1), vec![task(2)]);
        progress.started(StageId(2), vec![task(3)]);
        let failed = |kind| TaskError {
            task: TaskId(2),
            function: "run_units".into(),
            kind,
            trace: vec![],
        };
        let out_of_time = || {
            failed(Failure::OutOfTime {
                attempts: 8,
                limit_ms: 2000,
            })
        };
        let said = explained(out_of_time(), &program, &progress, 0).to_string();
        let words = "one unit of stage 1 takes longer than the time limit of 2s";
        assert!(
            said.contains(words) && said.contains("reading 8 MB, one side of a join"),
            "{said}"
        );
        let said = explained(out_of_time(), &program, &progress, 1).to_string();
        assert!(said.contains("one unit of stage 2") && !said.contains("join"), "{said}");
        let other = failed(Failure::Returned("no such file".into()));
        assert!(
            explained(other, &program, &progress, 0)
                .to_string()
                .contains("no such file")
        );
    }
}
