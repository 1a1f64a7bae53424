use kappa::prelude::*;

#[kappa::task]
async fn inner(cx: &mut Context, n: u64) -> u64 {
    cx.checkpoint().await;
    n
}

#[kappa::task]
async fn f(cx: &mut Context) -> u64 {
    inner(5).await
}

fn main() {}
