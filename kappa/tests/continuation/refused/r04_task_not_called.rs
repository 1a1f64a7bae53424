use kappa::prelude::*;

#[kappa::task]
async fn part(cx: &mut Context, n: u64) -> u64 {
    cx.checkpoint().await;
    n
}

#[kappa::task]
async fn whole(cx: &mut Context) -> u64 {
    let call = part(5);
    call.await + part(cx, 6).await
}

fn main() {}
