//! What rustc and clippy have nothing to say about as plain `async` Rust, they have nothing to say about as a task.

#![deny(let_underscore, nonstandard_style, rust_2018_idioms, unused)]
#![deny(
    missing_copy_implementations,
    missing_debug_implementations,
    missing_docs,
    unreachable_pub,
    unused_qualifications
)]
#![deny(clippy::all, clippy::pedantic, clippy::nursery)]

use kappa::prelude::*;
use std::collections::BTreeMap;

/// A program.
mod program {
    use kappa::prelude::*;

    /// Says its argument after a while.
    #[kappa::task]
    pub(super) async fn echo(cx: &mut Context, value: i64) -> i64 {
        cx.checkpoint().await;
        value
    }
}

use program::echo;

#[kappa::task]
async fn everything(cx: &mut Context, n: i64, mut list: Vec<i64>) -> Result<i64> {
    let mut sum = 0;
    let label;
    for (at, x) in list.clone().into_iter().enumerate() {
        let Some(y) = x.checked_add(1) else { continue };
        if y > n && cx.call(echo(y)).await == y {
            sum += y;
        } else if let Ok(z) = i64::try_from(at) {
            sum -= z;
        }
        match y {
            0 => break,
            z if cx.call(echo(z)).await > 5 => list.push(z),
            1..=3 => cx.checkpoint_if_due().await,
            _ => {}
        }
    }
    if sum > 3 {
        label = String::from("many");
    } else {
        label = String::from("few");
    }
    cx.checkpoint().await;
    let mut counts = BTreeMap::new();
    while let Some(x) = list.pop() {
        *counts.entry(x).or_insert(0) += 1;
        cx.checkpoint().await;
    }
    let found = 'search: {
        for (x, count) in counts {
            if count > 1 {
                break 'search x;
            }
            cx.checkpoint().await;
        }
        0
    };
    list.push(found);
    list[0] += cx.call(echo(found)).await;
    sum = sum.max(list[0]) + i64::try_from(label.len())?;
    Ok(sum)
}

#[kappa::task(auto)]
async fn every_loop(_cx: &mut Context, n: u64) -> u64 {
    let mut sum = 0;
    for i in 0..n {
        if i % 3 == 0 {
            continue;
        }
        sum += i;
    }
    loop {
        sum += 1;
        if sum % 5 == 0 {
            return sum;
        }
    }
}

#[test]
fn tasks_under_strict_lints_do_what_they_say() {
    use crate::harness::everywhere;
    let (end, checkpoints) = everywhere(everything(2, vec![1, 4, 4, 7]));
    assert_eq!((end, checkpoints), (Ok(22), 16));
    assert_eq!(everywhere(every_loop(5)), (Ok(10), 7));
}
