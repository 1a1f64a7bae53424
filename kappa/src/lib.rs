//! Kappa runs long, parallel, stateful programs on functions that are short-lived, stateless and may be killed at any moment.
//!
//! | module | its thought |
//! |---|---|
//! | [`continuation`] | a task's stack as data: frames, saved and restored |
//! | [`context`] | the operations a task can ask for |
//! | [`task`] | task functions, call values, handles, the registry |
//! | [`protocol`] | what workers and the coordinator say to each other |
//! | [`coordinator`] | decides (a pure state machine) and does (its driver) |
//! | [`journal`] | the durable record of the decisions |
//! | [`store`] | where bytes are kept |
//! | [`platform`] | what starts invocations |
//! | [`link`] | how a worker reaches the coordinator |
//! | [`worker`] | one invocation, from its start to its end |

pub mod error;
pub mod ids;
pub mod journal;
pub mod link;
pub mod platform;
pub mod protocol;
pub mod store;

pub use error::{Error, Failure, Result, TaskError};
