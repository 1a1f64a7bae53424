//! Counts a word in all files of a folder, one task for each file.
//!
//! ```text
//! cargo run --release -p kappa --example grep -- run --input '{"folder": "kappa/src", "word": "checkpoint"}'
//! ```
//!
//! prints how often the word occurs. Add `--platform process --time-limit 200ms --chaos kill=0.3,seed=7` to see the same number come out of
//! worker processes that are killed all the time.

use kappa::prelude::*;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};

#[kappa::task]
async fn count(cx: &mut Context, file: PathBuf, word: String) -> Result<u64> {
    let mut hits = 0;
    for line in lines(&file)? {
        hits += line.matches(&word).count() as u64;
        cx.checkpoint_if_due().await; // a suspension point: what is live here can go on in another lambda
    }
    Ok(hits)
}

#[kappa::task]
async fn grep(cx: &mut Context, folder: PathBuf, word: String) -> Result<u64> {
    let files = files_below(&folder)?;
    let tasks = cx
        .spawn_all(files.into_iter().map(|file| count(file, word.clone())))
        .await;
    let mut total = 0;
    for task in tasks {
        total += cx.wait(&task).await?; // a suspension point inside an expression
    }
    Ok(total)
}

fn lines(file: &Path) -> Result<Vec<String>> {
    let named = |cause: io::Error| Error::from(cause).context(format!("cannot read {}", file.display()));
    let mut lines = Vec::new();
    for line in BufReader::new(File::open(file).map_err(named)?).split(b'\n') {
        lines.push(String::from_utf8_lossy(&line.map_err(named)?).into_owned());
    }
    Ok(lines)
}

/// All files in the folder and its sub-folders, in the order of their names.
fn files_below(folder: &Path) -> Result<Vec<PathBuf>> {
    let named = |cause: io::Error| Error::from(cause).context(format!("cannot read the folder {}", folder.display()));
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(named)? {
        let entry = entry.map_err(named)?;
        let kind = entry.file_type().map_err(named)?;
        if kind.is_dir() {
            files.extend(files_below(&entry.path())?);
        } else if kind.is_file() {
            files.push(entry.path());
        }
    }
    files.sort();
    Ok(files)
}

fn main() -> kappa::ExitCode {
    kappa::main(grep)
}
