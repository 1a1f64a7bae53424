use kappa::prelude::*;

macro_rules! save {
    ($operation:expr) => {
        $operation.await
    };
}

#[kappa::task]
async fn by_another_name(cx: &mut Context) -> u64 {
    let context = &mut *cx;
    context.checkpoint().await;
    1
}

#[kappa::task]
async fn by_path(cx: &mut Context) -> u64 {
    Context::checkpoint(cx).await;
    1
}

#[kappa::task]
async fn by_macro(cx: &mut Context) -> u64 {
    save!(cx.checkpoint());
    1
}

fn main() {}
