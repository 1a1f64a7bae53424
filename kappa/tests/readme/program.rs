use kappa::prelude::*;
use std::fs::{read_dir, read_to_string};
use std::path::PathBuf;

#[kappa::task]
async fn count(cx: &mut Context, file: PathBuf, word: String) -> Result<usize> {
    let mut hits = 0;
    for line in read_to_string(&file)?.lines().map(str::to_owned).collect::<Vec<_>>() {
        hits += line.matches(&word).count();
        cx.checkpoint_if_due().await;
    }
    Ok(hits)
}

#[kappa::task]
async fn grep(cx: &mut Context, folder: PathBuf, word: String) -> Result<usize> {
    let found: Vec<PathBuf> = read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
    let (folders, files): (Vec<_>, Vec<_>) = found.into_iter().partition(|path| path.is_dir());
    let tasks = cx.spawn_all(files.into_iter().map(|file| count(file, word.clone()))).await;
    let mut total = 0;
    for task in tasks {
        total += cx.wait(&task).await?; // stops here, inside an expression, until the task has ended
    }
    for folder in folders {
        total += cx.call(grep(folder, word.clone())).await?; // the same on this task's own stack
    }
    Ok(total)
}
