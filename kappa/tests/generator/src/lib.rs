//! Random programs for the continuation compiler: each is run as plain Rust and as a task, straight and from each of its checkpoints. The results and
//! the logs of what was dropped and done must be the same.
//!
//! [`program`] writes a program for a seed, [`batch`] compiles a hundred of them at a time and runs them, [`case`] is the form in which they are given
//! (programs of people have it too), [`shrink`] makes one that differs small. [`support`] is what a compiled batch is linked with.

pub mod batch;
pub mod case;
pub mod program;
pub mod shrink;
pub mod support;

#[doc(hidden)]
pub use postcard;
