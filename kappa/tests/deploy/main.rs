//! `kappa deploy`, `undeploy` and `status` against a real emulator of AWS: the whole commands, killed and interrupted at each of their requests.
#![cfg(feature = "aws")]

mod emulator;
mod errors;
mod killed;
mod once;
mod proxy;
