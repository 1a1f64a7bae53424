use kappa::prelude::*;

#[kappa::task(auto)]
async fn sum(cx: &mut Context, numbers: Vec<u64>) -> u64 {
    let mut sum = 0;
    for number in &numbers {
        sum += number;
    }
    sum
}

fn main() {}
