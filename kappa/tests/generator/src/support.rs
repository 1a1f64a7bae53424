//! What compiled programs are linked with: things whose drops and effects are seen, tasks that they call, plain twins of operations, the comparison.

#![expect(missing_docs, reason = "names that generated programs use")]

pub mod both;
mod harness;
mod log;
mod plain;
mod report;
mod things;

pub use harness::{Outcome, compare, compare_all, show};
pub use kappa;
pub use log::{Noisy, log, noisy, note, take_history, take_log};
pub use plain::{Later, Plain, PlainCheckpoint, PlainQueue, PlainTask, run};
pub use report::{count, report};
pub use things::*;
