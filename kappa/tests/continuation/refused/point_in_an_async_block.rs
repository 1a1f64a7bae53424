use kappa::prelude::*;

#[kappa::task]
async fn f(cx: &mut Context) -> u64 {
    async {
        cx.checkpoint().await;
        1
    }
    .await
}

fn main() {}
