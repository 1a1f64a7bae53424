//! Recursion by spawning: every call of the naive Fibonacci function is a task of its own, which may run anywhere and be killed at any time.
//!
//! ```text
//! cargo run --release -p kappa --example fib -- run --input 15
//! cargo run --release -p kappa --example fib -- run --input 12 --platform process --chaos kill=0.3,seed=7
//! ```
//!
//! The first makes 1973 tasks, most of which wait for two others; a task that waits occupies no worker.

use kappa::prelude::*;

#[kappa::task]
async fn fib(cx: &mut Context, n: u32) -> Result<u64> {
    if n < 2 {
        return Ok(n.into());
    }
    let left = cx.spawn(fib(n - 1)).await;
    let right = cx.spawn(fib(n - 2)).await;
    Ok(cx.wait(&left).await? + cx.wait(&right).await?)
}

fn main() -> kappa::ExitCode {
    kappa::main(fib)
}
