//! Runs from end to end: what a user of the crate does, and what the coordinator makes of it.

mod api;
mod changed;
mod chaos;
mod killed;
mod lost_end;
mod mended;
mod observed;
mod operations;
mod programs;
