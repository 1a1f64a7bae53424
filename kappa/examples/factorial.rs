//! Recursion that survives its lambdas: n! with all its digits, one stack frame per factor.
//!
//! ```text
//! cargo run --release -p kappa --example factorial -- run --input 30
//! cargo run --release -p kappa --example factorial -- run --input 500 --platform process --chaos kill=0.3,seed=7
//! ```
//!
//! prints the number, and on stderr how many invocations and checkpoints it took. With chaos, many of the invocations are killed; each new
//! one rebuilds the stack as it was at the last checkpoint, however deep, and the digits stay the same.

use kappa::prelude::*;

/// The deepest recursion that fits the stack of a worker process, with room to spare.
const DEEPEST: u32 = 5000;

/// n! in decimal.
#[kappa::task]
async fn factorial(cx: &mut Context, n: u32) -> Result<String> {
    if n > DEEPEST {
        return Err(Error::msg(format!(
            "{n} is too deep a recursion; n is at most {DEEPEST}"
        )));
    }
    let number = cx.call(product(n)).await;
    Ok(to_decimal(&number))
}

/// n! as digits to the base 10⁹, the least significant first.
#[kappa::task]
async fn product(cx: &mut Context, n: u32) -> Vec<u32> {
    if n < 2 {
        cx.checkpoint().await; // the stack is at its deepest here: n frames
        return vec![1];
    }
    let mut number = cx.call(product(n - 1)).await;
    multiply(&mut number, n);
    if n.is_multiple_of(50) {
        cx.checkpoint().await;
    }
    number
}

const BASE: u64 = 1_000_000_000;

fn multiply(number: &mut Vec<u32>, factor: u32) {
    let mut carry = 0;
    for digit in number.iter_mut() {
        let product = u64::from(*digit) * u64::from(factor) + carry;
        *digit = (product % BASE) as u32;
        carry = product / BASE;
    }
    while carry > 0 {
        number.push((carry % BASE) as u32);
        carry /= BASE;
    }
}

fn to_decimal(number: &[u32]) -> String {
    let mut digits = number.iter().rev();
    let first = digits.next().map(u32::to_string).unwrap_or_default();
    digits.fold(first, |text, digit| format!("{text}{digit:09}"))
}

fn main() -> kappa::ExitCode {
    kappa::main(factorial)
}
