//! How far a query is: which stages are closed, which are running, which can start. No I/O: the driver task does what this says.
//!
//! A stage starts when all its inputs are closed. It is closed when the last of its tasks has ended; its manifest is then fixed, and no
//! consumer sees anything else. A closed stage is *spent* when all its consumers are closed: its objects can be deleted.

use crate::exec::program::Program;
use crate::shuffle::object::UnitOutput;
use crate::stage::StageId;
use kappa::Task;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The state of a query between two calls of its driver.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Progress {
    running: Vec<Running>,
    /// Outputs of the running stages' finished tasks.
    outputs: BTreeMap<StageId, Vec<UnitOutput>>,
    /// Keys of the manifests of closed stages.
    closed: BTreeMap<StageId, String>,
    /// What the stages have done so far.
    totals: BTreeMap<StageId, StageTotals>,
}

/// What a stage did, in numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StageTotals {
    /// Tasks that worked on it.
    pub tasks: u64,
    /// Objects that its units wrote; a unit without rows writes none.
    pub objects: u64,
    /// Rows in them.
    pub rows: u64,
    /// Bytes of the rows in them.
    pub bytes: u64,
}

impl StageTotals {
    fn add(&mut self, outputs: &[UnitOutput]) {
        self.tasks += 1;
        for output in outputs {
            self.objects += u64::from(output.object.is_some());
            self.rows += output.buckets.iter().map(|extent| extent.rows).sum::<u64>();
            self.bytes += output.buckets.iter().map(|extent| extent.length).sum::<u64>();
        }
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Running {
    stage: StageId,
    task: Task<Vec<UnitOutput>>,
}

impl Progress {
    /// The stages that can start now, in order.
    pub fn startable(&self, program: &Program) -> Vec<StageId> {
        let is_closed = |stage: &StageId| self.closed.contains_key(stage);
        (0u32..)
            .map(StageId)
            .zip(&program.stages)
            .filter(|(id, stage)| {
                !is_closed(id) && !self.outputs.contains_key(id) && stage.inputs.iter().all(is_closed)
            })
            .map(|(id, _)| id)
            .collect()
    }

    /// These tasks now work on the stage. With none (a stage without units) it can be closed at once.
    pub fn started(&mut self, stage: StageId, tasks: Vec<Task<Vec<UnitOutput>>>) {
        self.outputs.insert(stage, Vec::new());
        self.running
            .extend(tasks.into_iter().map(|task| Running { stage, task }));
    }

    /// The tasks that are running, in the order in which [`Progress::finished`] counts them.
    pub fn running(&self) -> Vec<Task<Vec<UnitOutput>>> {
        self.running.iter().map(|running| running.task).collect()
    }

    /// The stage of the task at this position of [`Progress::running`].
    pub fn stage_of(&self, position: usize) -> Option<StageId> {
        self.running.get(position).map(|running| running.stage)
    }

    /// What the stage has done so far.
    pub fn totals_of(&self, stage: StageId) -> StageTotals {
        self.totals.get(&stage).copied().unwrap_or_default()
    }

    /// The task at this position of [`Progress::running`] has ended with these outputs.
    pub fn finished(&mut self, position: usize, outputs: Vec<UnitOutput>) {
        let Running { stage, .. } = self.running.remove(position);
        self.totals.entry(stage).or_default().add(&outputs);
        self.outputs.entry(stage).or_default().extend(outputs);
    }

    /// A stage whose tasks have all ended and that is not closed yet, with everything its units put out.
    pub fn closable(&self) -> Option<(StageId, &[UnitOutput])> {
        self.outputs
            .iter()
            .find(|(stage, _)| self.running.iter().all(|running| running.stage != **stage))
            .map(|(stage, outputs)| (*stage, outputs.as_slice()))
    }

    /// The stage is closed: its manifest lies at this key. Gives the stages that are spent by that.
    pub fn close(&mut self, program: &Program, stage: StageId, manifest: String) -> Vec<StageId> {
        self.outputs.remove(&stage);
        self.closed.insert(stage, manifest);
        let inputs = program
            .stages
            .get(stage.index())
            .map(|program| program.inputs.as_slice())
            .unwrap_or_default();
        inputs
            .iter()
            .filter(|input| {
                (0u32..)
                    .map(StageId)
                    .zip(&program.stages)
                    .filter(|(_, consumer)| consumer.inputs.contains(input))
                    .all(|(id, _)| self.closed.contains_key(&id))
            })
            .copied()
            .collect()
    }

    /// The manifests of a stage's inputs.
    pub fn inputs_of(&self, program: &Program, stage: StageId) -> Vec<(StageId, String)> {
        let inputs = program
            .stages
            .get(stage.index())
            .map(|program| program.inputs.as_slice())
            .unwrap_or_default();
        inputs
            .iter()
            .filter_map(|input| self.closed.get(input).map(|key| (*input, key.clone())))
            .collect()
    }

    /// What each stage of the query has done.
    pub fn totals(&self, program: &Program) -> Vec<StageTotals> {
        let stages = (0u32..).map(StageId).take(program.stages.len());
        stages
            .map(|stage| self.totals.get(&stage).copied().unwrap_or_default())
            .collect()
    }

    /// The key of the result's manifest, once the root is closed.
    pub fn result(&self, program: &Program) -> Option<&str> {
        self.closed.get(&program.root()).map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exec::program::StageProgram;
    use crate::session::SessionOptions;

    /// 0 and 1 are scans, 2 joins them, 3 is the root and reads 2 and 0.
    fn program() -> Program {
        let stage = |units, inputs: &[u32]| StageProgram {
            fragment: String::new(),
            units,
            inputs: inputs.iter().copied().map(StageId).collect(),
            is_broadcast: false,
        };
        let stages = vec![stage(2, &[]), stage(0, &[]), stage(2, &[0, 1]), stage(1, &[0, 2])];
        Program {
            prefix: "queries/7".into(),
            stages,
            options: SessionOptions::default(),
            workers: 2,
            schema: bytes::Bytes::new(),
            analyze: None,
        }
    }

    fn task(id: u64) -> Task<Vec<UnitOutput>> {
        postcard::from_bytes(&postcard::to_stdvec(&kappa::ids::TaskId(id)).unwrap()).unwrap()
    }

    fn output(unit: u32) -> Vec<UnitOutput> {
        vec![UnitOutput {
            unit,
            object: None,
            buckets: vec![],
        }]
    }

    #[test]
    fn a_stage_starts_when_its_inputs_are_closed_and_is_spent_when_its_last_consumer_is() {
        let program = program();
        let mut progress = Progress::default();
        assert_eq!(progress.startable(&program), [StageId(0), StageId(1)]);

        progress.started(StageId(0), vec![task(1), task(2)]);
        progress.started(StageId(1), vec![]);
        assert!(progress.startable(&program).is_empty(), "each stage is started once");

        let (empty, outputs) = progress.closable().unwrap();
        assert_eq!(
            (empty, outputs),
            (StageId(1), [].as_slice()),
            "a stage without units is closed without tasks"
        );
        assert!(progress.close(&program, StageId(1), "m1".into()).is_empty());

        progress.finished(1, output(1));
        assert!(progress.closable().is_none(), "one of its tasks still runs");
        progress.finished(0, output(0));
        assert_eq!(progress.closable().unwrap().1.len(), 2);
        progress.close(&program, StageId(0), "m0".into());

        assert_eq!(progress.startable(&program), [StageId(2)]);
        assert_eq!(
            progress.inputs_of(&program, StageId(2)),
            [(StageId(0), "m0".into()), (StageId(1), "m1".into())]
        );
        progress.started(StageId(2), vec![task(3)]);
        progress.finished(0, output(0));
        let spent = progress.close(&program, StageId(2), "m2".into());
        assert_eq!(spent, [StageId(1)], "stage 0 is still to be read by the root");

        assert!(progress.result(&program).is_none());
        progress.started(StageId(3), vec![task(4)]);
        progress.finished(0, output(0));
        let spent = progress.close(&program, StageId(3), "m3".into());
        assert_eq!(spent, [StageId(0), StageId(2)]);
        assert_eq!(progress.result(&program), Some("m3"));
        let tasks: Vec<u64> = progress.totals(&program).iter().map(|stage| stage.tasks).collect();
        assert_eq!(tasks, [2, 0, 1, 1]);
    }

    #[test]
    fn progress_goes_on_after_it_was_stored() {
        let program = program();
        let mut progress = Progress::default();
        progress.started(StageId(0), vec![task(1)]);
        progress.started(StageId(1), vec![]);
        progress.close(&program, StageId(1), "m1".into());
        let stored = postcard::to_stdvec(&progress).unwrap();
        let mut again: Progress = postcard::from_bytes(&stored).unwrap();
        assert_eq!(again.running(), progress.running());
        again.finished(0, output(0));
        again.close(&program, StageId(0), "m0".into());
        assert_eq!(again.startable(&program), [StageId(2)]);
    }
}
