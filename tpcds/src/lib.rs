//! TPC-DS for Kappa: the data, the 99 queries, a runner and a verifier.
//!
//! The data and the queries are *derived from* TPC-DS: they follow the specification, but results of running them are not TPC-DS results.
//!
//! | module | its thought |
//! |---|---|
//! | [`compare`] | whether two answers are the same |
//! | [`data`] | the 24 tables: how they are made and where they are kept |
//! | [`cli`] | the command line |
//! | [`engine`] | what a query runs on |
//! | [`interrupt`] | Ctrl-C and SIGTERM |
//! | [`job`] | many statements, one after the other, whatever happens to the process |
//! | [`queries`] | the 99 templates and their parameters |
//! | [`reference`](mod@reference) | the right answer, and where it leaves the order open |
//! | [`runner`] | running queries and telling their times |
//! | [`verify`](mod@verify) | comparing two engines |

pub mod cli;
pub mod compare;
pub mod data;
pub mod engine;
pub mod interrupt;
pub mod job;
mod ledger;
pub mod queries;
pub mod reference;
pub mod runner;
pub mod verify;
