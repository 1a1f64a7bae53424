//! Large values through the run's store: written once by one task, read in parts by others.
//!
//! ```text
//! cargo run --release -p kappa --example store_round_trip -- run --input '{"megabytes": 64, "readers": 4}'
//! cargo run --release -p kappa --example store_round_trip -- run --input '{"megabytes": 8, "readers": 4}' --platform process --store file:objects
//! ```
//!
//! prints the sum of all bytes. What travels with the tasks is the object's key; the object lies in whatever `--store` names.

use kappa::prelude::*;
use kappa::store::StoreError;

/// Writes the object and gives its key.
///
/// The key is made of an idempotency key: it is the same when this is executed again after a crash. An object that is there already is the one that
/// an earlier attempt has written.
#[kappa::task]
async fn write(cx: &mut Context, bytes: usize) -> Result<String> {
    let key = format!("examples/{}", cx.idempotency_key());
    let content: Vec<u8> = (0..bytes).map(|n| (n % 251) as u8).collect();
    match cx.store().put(&key, content.into()).await {
        Ok(()) | Err(StoreError::AlreadyExists { .. }) => Ok(key),
        Err(error) => Err(error.into()),
    }
}

/// The sum of one part of the object.
#[kappa::task]
async fn read(cx: &mut Context, key: String, start: u64, end: u64) -> Result<u64> {
    let part = cx.store().get_ranges(&key, std::slice::from_ref(&(start..end))).await?;
    Ok(part.iter().flatten().map(|byte| u64::from(*byte)).sum())
}

#[kappa::task]
async fn store_round_trip(cx: &mut Context, megabytes: usize, readers: u64) -> Result<u64> {
    let readers = readers.max(1);
    let bytes = megabytes << 20;
    let key = cx.call(write(bytes)).await?;
    cx.checkpoint().await; // from here on the object is there for good
    let border = |part: u64| bytes as u64 * part / readers;
    let parts: Vec<_> = (0..readers).map(|part| (border(part), border(part + 1))).collect();
    let tasks = cx
        .spawn_all(parts.into_iter().map(|(start, end)| read(key.clone(), start, end)))
        .await;
    let sum = cx.wait_all(&tasks).await?.into_iter().sum();
    // Whoever does this again deletes what is gone already: that is fine.
    cx.store().delete(&key).await?;
    Ok(sum)
}

fn main() -> kappa::ExitCode {
    kappa::main(store_round_trip)
}
