use kappa::prelude::*;

#[kappa::task]
async fn f(cx: &mut Context) -> u64 {
    cx.checkpoint().await;
    let cx = 1;
    cx
}

fn main() {}
