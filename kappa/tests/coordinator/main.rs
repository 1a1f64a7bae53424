//! Runs from end to end: what a user of the crate does, and what the coordinator makes of it.

mod api;
mod chaos;
mod killed;
mod operations;
mod programs;
