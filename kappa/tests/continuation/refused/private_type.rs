use kappa::prelude::*;

#[derive(serde::Serialize, serde::Deserialize)]
struct Private;

#[kappa::task]
pub async fn f(cx: &mut Context, value: Private) -> u64 {
    cx.checkpoint().await;
    let _value = value;
    1
}

fn main() {}
