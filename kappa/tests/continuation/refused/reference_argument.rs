use kappa::prelude::*;

#[kappa::task]
async fn f(cx: &mut Context, text: &str) -> usize {
    text.len()
}

fn main() {}
