use kappa::prelude::*;

#[kappa::task(auto)]
async fn position(cx: &mut Context, numbers: Vec<u64>) -> usize {
    let numbers = &numbers[1..];
    let mut at = 0;
    while at < numbers.len() && numbers[at] != 7 {
        at += 1;
    }
    at
}

fn main() {}
