//! Programs of tasks as a person runs them: the examples, on the command line.
//!
//! The examples are built together with the tests of the package; after a change, `cargo build -p kappa --examples` does it for a single test.

mod bad_input;
mod endings;
mod examples;
mod inspect;
mod metrics;
mod operator;
mod pipeline;
mod program;
mod redis;
mod timeline;
mod word_count;
