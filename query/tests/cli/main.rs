//! `kappa-sql` as a person meets it: the built binary, real files, real signals.

mod errors;
mod formats;
mod interrupted;
mod prompt;
mod statements;
mod support;
