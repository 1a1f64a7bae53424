//! TPC-DS for Kappa: the data, the 99 queries, a runner and a verifier.
//!
//! The data and the queries are *derived from* TPC-DS: they follow the specification, but results of running them are not TPC-DS results.
//!
//! | module | its thought |
//! |---|---|
//! | [`compare`] | whether two answers are the same |
//! | [`data`] | the 24 tables: how they are made and where they are kept |
//! | [`cli`] | the command line |
//! | [`queries`] | the 99 templates and their parameters |

pub mod cli;
pub mod compare;
pub mod data;
pub mod queries;
