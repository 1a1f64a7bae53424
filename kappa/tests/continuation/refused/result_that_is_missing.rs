use kappa::prelude::*;

#[kappa::task]
async fn a_semicolon_too_many(cx: &mut Context, n: u64) -> u64 {
    cx.checkpoint().await;
    n + 1;
}

#[kappa::task]
async fn nothing_at_all(cx: &mut Context, n: u64) -> String {
    if n > 1 {
        cx.checkpoint().await;
    }
}

fn main() {}
