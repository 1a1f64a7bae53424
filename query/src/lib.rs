//! SQL on Kappa.
pub mod error;
pub mod plan;
pub mod shuffle;
pub mod stage;
pub use error::{QueryError, Result};
