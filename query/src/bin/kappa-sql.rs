//! Kappa.

fn main() {}
