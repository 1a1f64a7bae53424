use kappa::prelude::*;

struct Counter;

impl Counter {
    #[kappa::task]
    async fn f(&self, cx: &mut Context) -> u64 {
        cx.checkpoint().await;
        1
    }
}

fn main() {}
