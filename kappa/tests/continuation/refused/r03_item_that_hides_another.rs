use kappa::prelude::*;

const LIMIT: u64 = 3;

#[kappa::task]
async fn f(cx: &mut Context) -> u64 {
    let outer = LIMIT;
    {
        const LIMIT: u64 = 5;
        cx.checkpoint().await;
        outer + LIMIT
    }
}

fn main() {}
