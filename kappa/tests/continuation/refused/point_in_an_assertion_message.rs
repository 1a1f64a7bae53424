use kappa::prelude::*;

#[kappa::task]
async fn one(_cx: &mut Context) -> u64 {
    1
}

#[kappa::task]
async fn f(cx: &mut Context) -> u64 {
    assert!(true, "{}", cx.call(one()).await);
    1
}

fn main() {}
