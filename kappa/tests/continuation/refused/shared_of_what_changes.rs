use kappa::prelude::*;

#[kappa::task]
async fn f(cx: &mut Context, n: usize) -> usize {
    let mut words = vec![n];
    let mut count = cx.shared(|| words.len());
    words.push(1);
    count = cx.shared(|| 7);
    cx.checkpoint().await;
    *count
}

fn main() {}
