use kappa::prelude::*;

pub struct Report;

#[kappa::task]
async fn f(cx: &mut Context, n: u64) -> Report {
    cx.checkpoint().await;
    Report
}

fn main() {}
