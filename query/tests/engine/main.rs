//! SQL through the whole engine: planned, published, run as tasks, read back.

mod answers;
mod runs;
mod support;
