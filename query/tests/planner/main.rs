//! The planner: what its graphs compute is what the query asked for, for every trap in the project's list.

mod data;
mod files;
mod floats;
mod graphs;
mod join_order;
mod meant;
mod put_right;
mod refused;
mod rewritten;
mod sessions;
mod support;
mod traps;
mod windows;
