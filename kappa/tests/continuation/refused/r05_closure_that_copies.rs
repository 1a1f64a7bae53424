use kappa::prelude::*;

#[kappa::task]
async fn echo(cx: &mut Context, n: u64) -> u64 {
    cx.checkpoint().await;
    n
}

fn apply(f: impl Fn() -> u64, n: u64) -> u64 {
    f() + n
}

#[kappa::task]
async fn f(cx: &mut Context, n: u64) -> u64 {
    let mut a = n;
    apply(move || a, cx.call(echo({ a += 1; a })).await)
}

fn main() {}
