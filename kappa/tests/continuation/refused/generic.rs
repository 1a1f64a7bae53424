use kappa::prelude::*;

#[kappa::task]
async fn f<T: Clone>(cx: &mut Context, value: T) -> T {
    cx.checkpoint().await;
    value
}

fn main() {}
