//! MapReduce: how often each word occurs in text files of any size.
//!
//! ```text
//! cargo run --release -p kappa --example word_count -- run --input '{"files": ["README.md"], "output": "/tmp/words"}'
//! LC_ALL=C sort -k2 /tmp/words/part-*
//! ```
//!
//! The files are split into ranges of bytes at the borders of words. A *map* task counts the words of its range and puts one object into the
//! store, in which each reducer's share is a range. A *reduce* task reads its share of all those objects and writes one file of the output
//! folder: `count word`, sorted by word. A word is what is between white space in the sense of the C locale, in one file. So the lines above
//! are, byte by byte, those of
//!
//! ```text
//! export LC_ALL=C
//! for file in README.md; do cat "$file"; echo; done | tr -s '[:space:]' '\n' | sed '/^$/d' | sort | uniq -c
//! ```
//!
//! Everything may be killed at any moment. A map task checkpoints its position and its counts, so that a time limit costs it no more than
//! the last chunk; try `--platform process --time-limit 500ms --chaos kill=0.3,seed=7`.

mod map;
mod reduce;
mod split;

use kappa::prelude::*;
use serde::{Deserialize, Serialize};
use std::ops::Range;
use std::path::{Path, PathBuf};

/// Bytes of text that a map task counts, if nothing else is said.
const SPLIT: u64 = 4 << 20;

/// Reduce tasks, if nothing else is said.
const REDUCERS: u32 = 4;

/// More tasks than this cost more than they gain.
const MOST_TASKS: u32 = 10_000;

/// What a map task leaves for the reduce tasks.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Shuffle {
    /// An object of the store.
    key: String,
    /// Each reducer's bytes of it.
    shares: Vec<Range<u64>>,
}

/// What came out.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Summary {
    words: u64,
    distinct: u64,
}

/// `split_bytes` and `reducers` may be left out.
#[kappa::task]
async fn word_count(
    cx: &mut Context,
    files: Vec<PathBuf>,
    output: PathBuf,
    split_bytes: Option<u64>,
    reducers: Option<u32>,
) -> Result<Summary> {
    let reducers = reducers.unwrap_or(REDUCERS).max(1);
    if reducers > MOST_TASKS {
        return Err(Error::msg(format!(
            "{reducers} reducers are too many: at most {MOST_TASKS}"
        )));
    }
    let splits = split::plan(&files, split_bytes.unwrap_or(SPLIT).max(1))?;
    make_output_folder(&output)?;

    let mappers = cx
        .spawn_all(splits.into_iter().map(|split| map::map(split, reducers)))
        .await;
    let shuffles = cx.wait_all(&mappers).await?;

    let shares = (0..reducers).map(|reducer| share_of(reducer, &shuffles));
    let calls = (0..reducers)
        .zip(shares)
        .map(|(reducer, share)| reduce::reduce(share, part(&output, reducer)));
    let reducing = cx.spawn_all(calls).await;
    let summaries = cx.wait_all(&reducing).await?;

    reduce::remove_leftovers(&output)?;
    Ok(Summary {
        words: summaries.iter().map(|summary| summary.words).sum(),
        distinct: summaries.iter().map(|summary| summary.distinct).sum(),
    })
}

/// What one reducer has to read, of all objects.
fn share_of(reducer: u32, shuffles: &[Shuffle]) -> Vec<(String, Range<u64>)> {
    let share = |shuffle: &Shuffle| (shuffle.key.clone(), shuffle.shares[reducer as usize].clone());
    shuffles
        .iter()
        .map(share)
        .filter(|(_, range)| !range.is_empty())
        .collect()
}

fn part(output: &Path, reducer: u32) -> PathBuf {
    output.join(format!("part-{reducer:05}"))
}

/// An empty folder: the parts of another count would look like this one's.
fn make_output_folder(output: &Path) -> Result<()> {
    let named = |cause: std::io::Error| {
        Error::from(cause).context(format!("cannot make the output folder {}", output.display()))
    };
    std::fs::create_dir_all(output).map_err(named)?;
    if std::fs::read_dir(output).map_err(named)?.next().is_some() {
        return Err(Error::msg(format!(
            "the output folder {} is not empty",
            output.display()
        )));
    }
    Ok(())
}

fn main() -> kappa::ExitCode {
    kappa::main(word_count)
}
