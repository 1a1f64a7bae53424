//! The property: any nest of control flow, resumed from any of its checkpoints, gives what plain Rust gives.
//!
//! `KAPPA_SEED=n` tries other programs, `KAPPA_PROGRAMS=n` another number of them; `KAPPA_SHOW=p17` prints one.

#![allow(clippy::all, clippy::pedantic, irrefutable_let_patterns, unused, while_true)]

#[path = "../continuation/harness.rs"]
mod harness;
#[path = "../continuation/twin.rs"]
mod twin;

use kappa::prelude::*;
use twin::{same, twins};

fn even(x: i64) -> Option<i64> {
    (x % 2 == 0).then_some(x / 2)
}

fn three(a: i64, b: i64, c: i64) -> i64 {
    a.wrapping_mul(3).wrapping_add(b).wrapping_mul(5).wrapping_sub(c)
}

fn at(index: i64) -> usize {
    index.rem_euclid(4) as usize
}

// Cargo compiles this file again when one of them changes.
const _: [Option<&str>; 2] = [option_env!("KAPPA_SEED"), option_env!("KAPPA_PROGRAMS")];
kappa_random_programs::random_programs!(1, 96);

mod auto {
    use super::*;

    kappa_random_programs::random_programs!(2, 24, auto);

    #[test]
    fn random_programs_with_a_checkpoint_in_every_loop_give_what_plain_rust_gives() {
        all();
    }
}

#[test]
fn random_programs_resumed_from_every_checkpoint_give_what_plain_rust_gives() {
    if let Ok(name) = std::env::var("KAPPA_SHOW") {
        let from = SOURCE.find(&format!("async fn {name}(")).unwrap_or_default();
        let length = SOURCE[from + 1..].find("async fn").unwrap_or(SOURCE.len() - from - 1);
        println!("{}", &SOURCE[from..=from + length]);
    }
    all();
}
