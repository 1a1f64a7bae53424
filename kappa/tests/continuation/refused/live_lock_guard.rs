use kappa::prelude::*;
use std::sync::{Arc, RwLock};

async fn table() -> Arc<RwLock<u64>> {
    Arc::default()
}

#[kappa::task]
async fn locked(cx: &mut Context) -> u64 {
    let table = cx.shared(|| RwLock::new(1_u64));
    let guard = table.read().unwrap();
    cx.checkpoint().await;
    *guard
}

fn main() {}
