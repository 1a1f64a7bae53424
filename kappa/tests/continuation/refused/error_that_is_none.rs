use kappa::prelude::*;

#[derive(Debug)]
pub struct Failed;

#[kappa::task]
async fn f(cx: &mut Context, n: u64) -> Result<u64, Failed> {
    cx.checkpoint().await;
    if n > 1 { Ok(n) } else { Err(Failed) }
}

fn main() {}
