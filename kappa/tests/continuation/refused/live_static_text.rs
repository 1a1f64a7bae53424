use kappa::prelude::*;

#[kappa::task]
async fn f(cx: &mut Context, n: u64) -> usize {
    let text = if n > 3 { "many" } else { "few" };
    cx.checkpoint().await;
    text.len()
}

fn main() {}
