//! What a program of tasks needs: `use kappa::prelude::*;`.

pub use crate::context::Context;
pub use crate::error::{Error, Result, TaskError};
pub use crate::protocol::Retry;
pub use crate::task::{Queue, Task, TaskCall};
pub use kappa_macros::task;
