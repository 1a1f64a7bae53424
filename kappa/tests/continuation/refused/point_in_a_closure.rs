use kappa::prelude::*;

#[kappa::task]
async fn f(cx: &mut Context) -> u64 {
    let wait = async || {
        cx.checkpoint().await;
    };
    let _ = wait;
    let _later = || async { cx.checkpoint().await };
    1
}

fn main() {}
