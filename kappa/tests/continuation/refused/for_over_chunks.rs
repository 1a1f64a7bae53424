use kappa::prelude::*;

#[kappa::task]
async fn sum(cx: &mut Context, numbers: Vec<u64>) -> u64 {
    let mut sum = 0;
    for chunk in numbers.chunks(2) {
        sum += chunk[0];
        cx.checkpoint().await;
    }
    sum
}

fn main() {}
