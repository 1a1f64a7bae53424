use kappa::prelude::*;

async fn helper(cx: &mut Context) {
    cx.checkpoint().await;
}

#[kappa::task]
async fn f(cx: &mut Context) -> u64 {
    helper(cx).await;
    1
}

fn main() {}
