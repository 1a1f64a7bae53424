//! What every platform must do, and what only worker processes can.

/// The allocator of Kappa's own programs: how much it reserves decides what a memory limit means.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

mod background;
mod chaos;
mod conformance;
mod endpoint;
mod http;
mod http_function;
mod in_process;
mod process;
mod proxy;
mod tasks;
mod usage;
