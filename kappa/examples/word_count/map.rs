//! A map task: the words of one range, counted.

use crate::Shuffle;
use crate::split::{Split, chunk, is_space};
use kappa::prelude::*;
use std::collections::BTreeMap;

/// Words with their counts, in the order of their bytes.
pub(crate) type Counts = BTreeMap<Vec<u8>, u64>;

#[kappa::task]
pub(crate) async fn map(cx: &mut Context, split: Split, reducers: u32) -> Result<Shuffle> {
    let mut counts = Counts::new();
    let mut position = split.start;
    while let Some((words, next)) = chunk(&split, position)? {
        count(&words, &mut counts);
        position = next;
        cx.checkpoint_if_due().await;
    }
    let (object, shares) = encode(&counts, reducers);
    // Unique to this invocation: if it is killed now, nobody ever names this object, and it goes with the run.
    let key = format!("runs/{}/words/{}-{}", cx.run_id(), cx.task_id().0, cx.incarnation());
    cx.store().put(&key, object.into()).await?;
    Ok(Shuffle { key, shares })
}

fn count(text: &[u8], counts: &mut Counts) {
    for word in text.split(|byte| is_space(*byte)).filter(|word| !word.is_empty()) {
        match counts.get_mut(word) {
            Some(count) => *count += 1,
            None => {
                counts.insert(word.to_vec(), 1);
            }
        }
    }
}

/// Each reducer's words, one reducer after the other, as lines `count word`.
fn encode(counts: &Counts, reducers: u32) -> (Vec<u8>, Vec<std::ops::Range<u64>>) {
    let mut shares = vec![Vec::new(); reducers as usize];
    for (word, count) in counts {
        let share = &mut shares[(hash(word) % u64::from(reducers)) as usize];
        share.extend_from_slice(format!("{count} ").as_bytes());
        share.extend_from_slice(word);
        share.push(b'\n');
    }
    let mut ranges = Vec::new();
    let mut object = Vec::new();
    for share in shares {
        let start = object.len() as u64;
        object.extend_from_slice(&share);
        ranges.push(start..object.len() as u64);
    }
    (object, ranges)
}

/// The same on every machine and in every process (FNV-1a).
fn hash(word: &[u8]) -> u64 {
    word.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
