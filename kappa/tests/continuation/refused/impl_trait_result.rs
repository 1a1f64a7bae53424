use kappa::prelude::*;

#[kappa::task]
async fn f(cx: &mut Context) -> impl Clone {
    cx.checkpoint().await;
    1
}

fn main() {}
