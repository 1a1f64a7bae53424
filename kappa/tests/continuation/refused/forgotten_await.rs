use kappa::prelude::*;

#[kappa::task]
async fn one(cx: &mut Context) -> u64 {
    cx.checkpoint();
    1
}

#[kappa::task]
async fn f(cx: &mut Context, queue: Queue<u64>) -> u64 {
    let _ = cx.enqueue(&queue, 1);
    let n: u64 = cx.call(one());
    cx.spawn(one()).named("one");
    if n > 1 { cx.checkpoint() } else { cx.checkpoint() }.await;
    n
}

fn main() {}
