//! Kappa.
