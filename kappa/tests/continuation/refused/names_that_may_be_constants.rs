#![allow(non_upper_case_globals)]
use kappa::prelude::*;

mod limits {
    pub const middle: u64 = 5;
}

#[kappa::task]
async fn f(cx: &mut Context, n: u64) -> u64 {
    use limits::middle;
    if let Some(middle) = n.checked_sub(1) {
        cx.checkpoint().await;
        middle
    } else {
        0
    }
}

fn main() {}
