use kappa::prelude::*;

#[kappa::task]
async fn f(cx: &mut Context, n: u64) -> u64 {
    let later = async { n + 1 };
    tokio::pin!(later);
    let a = later.as_mut().await;
    cx.checkpoint().await;
    a
}

fn main() {}
