use kappa::prelude::*;

macro_rules! perhaps {
    ($e:expr) => {
        if true {
            $e
        }
    };
}

#[kappa::task]
async fn f(cx: &mut Context) -> u64 {
    loop {
        cx.checkpoint().await;
        perhaps!(break);
    }
    1
}

fn main() {}
