use kappa::prelude::*;

macro_rules! stop {
    () => {
        break
    };
}

#[kappa::task]
async fn f(cx: &mut Context) {
    loop {
        cx.checkpoint().await;
        stop!();
    }
}

fn main() {}
