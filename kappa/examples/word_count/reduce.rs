//! A reduce task: the counts of some words from all map tasks, added up.

use crate::Summary;
use crate::map::Counts;
use kappa::prelude::*;
use std::fs;
use std::io::Write;
use std::ops::Range;
use std::path::{Path, PathBuf};

#[kappa::task]
pub(crate) async fn reduce(cx: &mut Context, share: Vec<(String, Range<u64>)>, part: PathBuf) -> Result<Summary> {
    let mut counts = Counts::new();
    for (key, range) in share {
        let lines = cx.store().get_ranges(&key, std::slice::from_ref(&range)).await?;
        for line in lines
            .iter()
            .flat_map(|lines| lines.split(|byte| *byte == b'\n'))
            .filter(|line| !line.is_empty())
        {
            add(line, &mut counts)?;
        }
        cx.checkpoint_if_due().await;
    }
    // A name of its own for each invocation: one that was given up may still be writing.
    let temporary = part.with_extension(format!("{}~", cx.incarnation()));
    write(&counts, &temporary, &part)
        .map_err(|cause| Error::from(cause).context(format!("cannot write {}", part.display())))?;
    Ok(Summary {
        words: counts.values().sum(),
        distinct: counts.len() as u64,
    })
}

fn add(line: &[u8], counts: &mut Counts) -> Result<()> {
    let damaged = || Error::msg("a map task's object is damaged");
    let space = line.iter().position(|byte| *byte == b' ').ok_or_else(damaged)?;
    let count: u64 = std::str::from_utf8(&line[..space])?.parse()?;
    *counts.entry(line[space + 1..].to_vec()).or_default() += count;
    Ok(())
}

/// Writes the file as a whole or not at all. Doing it twice gives the same file.
fn write(counts: &Counts, temporary: &Path, part: &Path) -> std::io::Result<()> {
    let mut file = std::io::BufWriter::new(fs::File::create(temporary)?);
    for (word, count) in counts {
        write!(file, "{count:7} ")?;
        file.write_all(word)?;
        file.write_all(b"\n")?;
    }
    file.into_inner()?.sync_all()?;
    fs::rename(temporary, part)
}

/// Removes what killed invocations have left half written.
pub(crate) fn remove_leftovers(output: &Path) -> Result<()> {
    for entry in fs::read_dir(output)? {
        let path = entry?.path();
        if path.as_os_str().as_encoded_bytes().ends_with(b"~") {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}
