//! `kappa-tpcds` as a user meets it: the program itself, on small data.

mod bad_input;
mod generate;
mod interrupted;
mod plans;
mod run;
mod support;
mod verify;
