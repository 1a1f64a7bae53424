use kappa::prelude::*;

#[kappa::task]
async fn f(cx: &mut Context) -> u64 {
    let operation = cx.checkpoint();
    operation.await;
    1
}

fn main() {}
