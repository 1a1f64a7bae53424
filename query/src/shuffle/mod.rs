//! Moving rows from the units of one stage to the units of the next.

pub mod object;
pub mod partition;
pub mod sealed;
pub mod source;
