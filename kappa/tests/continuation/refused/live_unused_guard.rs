use kappa::prelude::*;
use std::sync::RwLock;

static TABLE: RwLock<u64> = RwLock::new(1);

#[kappa::task]
async fn locked(cx: &mut Context) -> u64 {
    let _guard = TABLE.read().unwrap();
    cx.checkpoint().await;
    1
}

fn main() {}
