use kappa::prelude::*;

pub struct Opaque;

#[kappa::task]
async fn f(cx: &mut Context, value: Opaque) -> u64 {
    cx.checkpoint().await;
    1
}

fn main() {}
