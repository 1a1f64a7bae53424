//! One function applied to many elements, each in a task of its own, and the results in the elements' order.
//!
//! ```text
//! cargo run --release -p kappa --example map -- run --input '{"numbers": [27, 97, 871, 6171, 77031]}'
//! ```
//!
//! prints how many steps each number takes to reach 1 by the rule of Collatz. No elements at all are fine, too.

use kappa::prelude::*;

/// Halve what is even, triple what is odd and add one; count the steps to 1.
#[kappa::task]
async fn collatz(cx: &mut Context, number: u64) -> Result<u64> {
    let mut value = u128::from(number);
    let mut steps = 0;
    if value == 0 {
        return Err(Error::msg("0 never reaches 1"));
    }
    while value != 1 {
        value = if value % 2 == 0 { value / 2 } else { 3 * value + 1 };
        steps += 1;
        cx.checkpoint_if_due().await;
    }
    Ok(steps)
}

#[kappa::task]
async fn map(cx: &mut Context, numbers: Vec<u64>) -> Result<Vec<u64>> {
    let tasks = cx.spawn_all(numbers.into_iter().map(collatz)).await;
    Ok(cx.wait_all(&tasks).await?)
}

fn main() -> kappa::ExitCode {
    kappa::main(map)
}
