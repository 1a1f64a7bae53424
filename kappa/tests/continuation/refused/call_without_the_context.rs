use kappa::prelude::*;

#[kappa::task]
async fn part(cx: &mut Context, n: u64) -> u64 {
    cx.checkpoint().await;
    n
}

#[kappa::task]
async fn whole(cx: &mut Context, n: u64) -> u64 {
    let a = part(n).await;
    if n < 2 { a } else { whole(n - 1).await }
}

fn main() {}
