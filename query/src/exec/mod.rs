//! Running a [`StageGraph`](crate::stage::StageGraph) as Kappa tasks.
//!
//! ```text
//! Engine --start--> drive (one task)  --spawn--> run_units (tasks of stage 0)   unit, unit, unit, ...: a checkpoint after each
//!                        |    ^                  run_units (tasks of stage 1)
//!                        |    +---wait_any-----  ...
//!                        v
//!                   root manifest
//! ```
//!
//! * [`program`]: a query as data: what the driver needs to know, and where the fragments lie.
//! * [`progress`]: which stages are closed, running, ready: a pure value, the driver's state.
//! * [`driver`]: the task that drives a query.
//! * [`unit`](mod@unit): running one unit: execute, split, write one object.
//! * [`stage_task`]: the task that runs units of one stage.
//! * [`fragments`]: decoded fragments, shared by the units that one process runs.
//! * `planned_files`: the files that a fragment reads are those that it was planned with.
//! * `version`: a run goes on with the version of the program that began it.

pub mod driver;
pub mod fragments;
pub(crate) mod planned_files;
pub mod program;
pub mod progress;
pub mod stage_task;
pub mod unit;
mod unreadable;
pub(crate) mod version;
