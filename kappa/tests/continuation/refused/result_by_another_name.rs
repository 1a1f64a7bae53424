use kappa::prelude::*;

type Answer = kappa::Result<u64>;

#[kappa::task]
async fn f(cx: &mut Context, n: u64) -> Answer {
    cx.checkpoint().await;
    Ok(n)
}

fn main() {}
