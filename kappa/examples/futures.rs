//! Handles of tasks as values: a task is given the handles of others as arguments, and waits for their results when it needs them.
//!
//! ```text
//! cargo run --release -p kappa --example futures -- run --input 10
//! ```
//!
//! ```text
//!        source
//!        /    \
//!    double  square       both wait for the source,
//!        \    /
//!         sum             and this one waits for both
//! ```
//!
//! prints 2·10 + 10² = 120. All four tasks exist at once; those that wait occupy no worker.

use kappa::prelude::*;

#[kappa::task]
async fn source(_cx: &mut Context, number: u64) -> u64 {
    number
}

#[kappa::task]
async fn double(cx: &mut Context, of: Task<u64>) -> Result<u64> {
    Ok(2 * cx.wait(&of).await?)
}

#[kappa::task]
async fn square(cx: &mut Context, of: Task<u64>) -> Result<u64> {
    let number = cx.wait(&of).await?;
    Ok(number * number)
}

#[kappa::task]
async fn sum(cx: &mut Context, of: Vec<Task<u64>>) -> Result<u64> {
    Ok(cx.wait_all(&of).await?.into_iter().sum())
}

#[kappa::task]
async fn diamond(cx: &mut Context, number: u64) -> Result<u64> {
    let source = cx.spawn(source(number)).await;
    let left = cx.spawn(double(source)).await;
    let right = cx.spawn(square(source)).await;
    let sum = cx.spawn(sum(vec![left, right])).await;
    Ok(cx.wait(&sum).await?)
}

fn main() -> kappa::ExitCode {
    kappa::main(diamond)
}
