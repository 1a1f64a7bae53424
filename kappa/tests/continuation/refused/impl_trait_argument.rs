use kappa::prelude::*;

#[kappa::task]
async fn f(cx: &mut Context, words: impl Iterator<Item = String>) -> usize {
    cx.checkpoint().await;
    words.count()
}

fn main() {}
