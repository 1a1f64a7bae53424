use kappa::prelude::*;

#[kappa::task]
async fn sum(cx: &mut Context, numbers: Vec<u64>) -> u64 {
    let mut sum = 0;
    for number in numbers.iter().map(|n| n + 1) {
        sum += number;
        cx.checkpoint().await;
    }
    sum
}

fn main() {}
