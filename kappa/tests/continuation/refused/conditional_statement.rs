use kappa::prelude::*;

#[kappa::task]
async fn f(cx: &mut Context) -> u64 {
    #[cfg(debug_assertions)]
    cx.checkpoint().await;
    1
}

fn main() {}
