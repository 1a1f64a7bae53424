use kappa::prelude::*;

#[kappa::task]
async fn is_large(_cx: &mut Context, n: u64) -> bool {
    n > 10
}

#[kappa::task]
async fn classify(cx: &mut Context, number: Option<u64>) -> String {
    match number {
        Some(n) if cx.call(is_large(n)).await => format!("large: {n}"),
        None => "none".to_string(),
    }
}

fn main() {}
