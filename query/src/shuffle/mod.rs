//! Moving rows from the units of one stage to the units of the next.

pub mod partition;
