use kappa::prelude::*;

#[kappa::task]
async fn none() -> u64 {
    1
}

#[kappa::task]
async fn by_value(cx: Context, n: u64) -> u64 {
    n
}

#[kappa::task]
async fn shared(cx: &Context) -> u64 {
    1
}

fn main() {}
