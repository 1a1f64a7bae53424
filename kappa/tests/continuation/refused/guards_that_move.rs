use kappa::prelude::*;

#[derive(serde::Serialize, serde::Deserialize)]
struct Ticket(u64);

#[kappa::task]
async fn is_large(cx: &mut Context, n: usize) -> bool {
    cx.checkpoint().await;
    n > 10
}

#[kappa::task]
async fn in_a_pattern(cx: &mut Context, text: Option<String>) -> String {
    match text {
        Some(text) if cx.call(is_large(text.len())).await => text + "!",
        Some(text) => text,
        None => "none".to_string(),
    }
}

#[kappa::task]
async fn as_a_whole(cx: &mut Context, n: u64) -> u64 {
    let ticket = Ticket(n);
    match ticket {
        large if cx.call(is_large(large.0 as usize)).await => large.0,
        small => small.0 + 100,
    }
}

fn main() {}
