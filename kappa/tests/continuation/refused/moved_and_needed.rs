use kappa::prelude::*;

#[kappa::task]
async fn length(cx: &mut Context, text: String) -> u64 {
    cx.checkpoint().await;
    text.len() as u64
}

#[kappa::task]
async fn in_a_loop(cx: &mut Context, text: String) -> u64 {
    let mut sum = 0;
    for _ in 0..3 {
        sum += cx.call(length(text)).await;
    }
    sum
}

#[kappa::task]
async fn one_after_the_other(cx: &mut Context, text: String) -> u64 {
    let n = cx.call(length(text)).await;
    n + text.len() as u64
}

fn main() {}
