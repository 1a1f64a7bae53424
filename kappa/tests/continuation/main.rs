//! The continuation compiler: every task here is run straight and then resumed from every one of its checkpoints, with equal results.

mod background;
mod calls;
mod control;
mod expressions;
mod harness;
mod liveness;
mod operations;
mod patterns;
mod refusals;
mod twin;
mod versions;
