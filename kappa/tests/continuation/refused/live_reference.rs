use kappa::prelude::*;

#[kappa::task]
async fn longest(cx: &mut Context, words: Vec<String>) -> usize {
    let first = &words[0];
    cx.checkpoint().await;
    first.len()
}

fn main() {}
