//! The continuation compiler: every task here is run straight and then resumed from every one of its checkpoints, with equal results.

// What nobody uses belongs to what is tried.
#![allow(unused_variables)]

mod auto;
mod background;
mod calls;
mod control;
mod corners;
mod deep;
mod everyday;
mod expressions;
mod harness;
mod liveness;
mod mixed;
mod operations;
mod patterns;
mod quiet;
mod refusals;
mod twin;
mod values;
mod versions;
