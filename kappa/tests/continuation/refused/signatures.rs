use kappa::prelude::*;

#[kappa::task]
async fn lifetime<'a>(cx: &'a mut Context, n: u64) -> u64 {
    cx.checkpoint().await;
    n
}

#[kappa::task]
async fn conditional(cx: &mut Context, #[cfg(any())] gone: u64, n: u64) -> u64 {
    n
}

#[kappa::task]
#[kappa::task]
async fn twice(cx: &mut Context) -> u64 {
    1
}

#[kappa::task]
#[tracing::instrument]
async fn traced(cx: &mut Context) -> u64 {
    1
}

#[kappa::task]
async fn nested(cx: &mut Context, names: Vec<Option<&str>>) -> u64 {
    1
}

fn main() {}
