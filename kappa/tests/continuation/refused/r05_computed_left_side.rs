use kappa::prelude::*;

#[kappa::task]
async fn text(cx: &mut Context, n: u64) -> String {
    cx.checkpoint().await;
    n.to_string()
}

#[kappa::task]
async fn join(cx: &mut Context) -> Vec<String> {
    let mut names = vec![String::new(), String::new()];
    let mut next = 0;
    names[{ next += 1; next }] += &cx.call(text(next as u64)).await;
    names
}

fn main() {}
