use kappa::prelude::*;

#[kappa::task]
async fn borrowed(cx: &mut Context, words: Vec<String>) -> &str {
    cx.checkpoint().await;
    &words[0]
}

#[kappa::task]
async fn literal(_cx: &mut Context) -> Option<&'static str> {
    None
}

#[kappa::task]
async fn never(cx: &mut Context) -> ! {
    loop {
        cx.checkpoint().await;
    }
}

#[kappa::task]
async fn text(_cx: &mut Context) -> std::result::Result<u64, String> {
    Err("no number".to_string())
}

#[kappa::task]
async fn boxed(_cx: &mut Context) -> Result<u64, Box<dyn std::error::Error>> {
    Ok(1)
}

fn main() {}
