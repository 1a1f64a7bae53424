#![deny(unused_variables)]

use kappa::prelude::*;

#[kappa::task]
async fn taken_apart(cx: &mut Context, given: u64) -> u64 {
    let (used, never) = (1, 2);
    cx.checkpoint().await;
    if let Some(inner) = Some(used) {
        cx.checkpoint().await;
    }
    used
}

#[kappa::task]
async fn whole(_cx: &mut Context, given: u64) -> u64 {
    let never = 1;
    2
}

fn main() {}
