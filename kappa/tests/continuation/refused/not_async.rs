use kappa::prelude::*;

#[kappa::task]
fn f(cx: &mut Context) -> u64 {
    1
}

fn main() {}
