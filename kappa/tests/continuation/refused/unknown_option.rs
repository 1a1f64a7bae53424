use kappa::prelude::*;

#[kappa::task(fast)]
async fn f(cx: &mut Context) -> u64 {
    1
}

fn main() {}
