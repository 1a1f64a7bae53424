//! `kappa-sql` as a person meets it: the built binary, real files, real signals.

mod errors;
mod formats;
mod interrupted;
mod limits;
mod prompt;
mod runs;
mod s3;
mod statements;
mod support;
