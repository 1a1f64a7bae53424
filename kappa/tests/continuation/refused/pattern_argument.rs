use kappa::prelude::*;

#[kappa::task]
async fn f(cx: &mut Context, (a, b): (u64, u64)) -> u64 {
    a + b
}

fn main() {}
