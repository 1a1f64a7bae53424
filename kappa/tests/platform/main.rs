//! What every platform must do, and what only worker processes can.

mod chaos;
mod conformance;
mod in_process;
mod process;
mod tasks;
