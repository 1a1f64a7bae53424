use kappa::prelude::*;

#[kappa::task]
async fn f(cx: &mut Context) -> Vec<String> {
    let keys = (0..3).map(|_| cx.idempotency_key()).collect();
    cx.checkpoint().await;
    keys
}

fn main() {}
