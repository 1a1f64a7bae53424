//! A journal that has lost its end, as after a loss of power without `--sync`: the run goes on from what is left of it.

use crate::programs::kappa_in;
use kappa::ids::RunId;
use kappa::prelude::*;
use kappa::runtime::RunEvent;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Longer than what travels in a message.
const LONG: usize = 100_000;

/// Bytes of a file's, and of a batch's, header.
const FILE_HEADER: usize = 16;
const HEADER: usize = 12;

#[kappa::task]
async fn works(cx: &mut Context, number: u8, luggage: Vec<u8>, queue: Queue<Vec<u8>>) -> Result<Vec<u8>> {
    // Unique to this invocation, as the guide says.
    let key = format!("runs/{}/mine/{}-{}", cx.run_id(), cx.task_id().0, cx.incarnation());
    // Other content each time: what is put twice is not the same.
    let content = format!("{number} {:?}", std::time::Instant::now());
    cx.store().put(&key, content.clone().into()).await?;
    cx.checkpoint().await;
    anyhow::ensure!(cx.store().get(&key).await? == content, "somebody has replaced it");
    for part in 0..3u8 {
        cx.enqueue(&queue, vec![10 * number + part; LONG]).await;
    }
    Ok(luggage)
}

#[kappa::task]
async fn collects(cx: &mut Context, queue: Queue<Vec<u8>>) -> Vec<u8> {
    let mut taken = Vec::new();
    while let Some(item) = cx.dequeue(&queue).await {
        taken.push(item[0]);
    }
    taken.sort_unstable();
    taken
}

#[kappa::task]
async fn everything(cx: &mut Context, file: String) -> Result<(Vec<u8>, Vec<u8>)> {
    let queue = cx.queue(2).await;
    let collector = cx.spawn(collects(queue)).await;
    let workers = cx
        .spawn_all((0..3u8).map(|number| works(number, vec![number; LONG], queue)))
        .await;
    cx.sleep(Duration::from_millis(5)).await;
    let luggage = cx.wait_all(&workers).await?;
    cx.close(&queue).await;
    let taken = cx.wait(&collector).await?;
    cx.put_object(format!("file:{file}"), vec![1; LONG]).await;
    let mut firsts = Vec::new();
    for bytes in luggage {
        anyhow::ensure!(bytes.len() == LONG, "luggage was lost");
        firsts.push(bytes[0]);
        cx.sleep(Duration::from_millis(20)).await;
    }
    Ok((firsts, taken))
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        let place = to.join(entry.file_name());
        match entry.path().is_dir() {
            true => copy(&entry.path(), &place),
            false => drop(fs::copy(entry.path(), place).expect("a copy")),
        }
    }
}

fn log(state: &Path, run: RunId) -> PathBuf {
    state.join(format!("runs/{run}/journal/log-0"))
}

/// Where each batch of a log ends.
fn boundaries(log: &[u8]) -> Vec<usize> {
    let mut ends = Vec::new();
    let mut at = FILE_HEADER;
    while let Some(length) = log.get(at..at + 4) {
        at += HEADER + u32::from_le_bytes(length.try_into().expect("four bytes")) as usize;
        ends.push(at);
    }
    ends
}

#[tokio::test(flavor = "multi_thread")]
async fn a_journal_that_lost_its_end_at_any_record_is_gone_on_with_from_there_and_nothing_is_lost_or_doubled() {
    let folder = tempfile::tempdir().expect("a folder");
    let original = folder.path().join("original");
    let file = folder.path().join("object");
    let place = file.display().to_string();
    let kappa = kappa_in(&original).await;
    let handle = kappa.start(everything(place)).await.expect("started");
    let mut events = handle.events();
    while !matches!(events.recv().await.expect("an event"), RunEvent::Published { .. }) {}
    handle.interrupt().await;
    let run = handle.id();
    drop(handle);
    kappa.shutdown().await;
    drop(kappa);
    let written = fs::read(log(&original, run)).expect("a log");
    let ends = boundaries(&written);
    assert_eq!(
        ends.last(),
        Some(&written.len()),
        "the log is not what this test takes it for"
    );
    assert!(ends.len() > 30, "only {} records", ends.len());
    for end in ends {
        let state = folder.path().join(format!("cut at {end}"));
        copy(&original, &state);
        // Others had ended with its end, perhaps.
        fs::remove_file(&file).ok();
        fs::write(log(&state, run), &written[..end]).expect("cut");
        let kappa = kappa_in(&state).await;
        let handle = kappa.resume::<(Vec<u8>, Vec<u8>)>(run).await.expect("resumed");
        let (firsts, taken) = match handle.wait().await {
            Ok(value) => value,
            Err(error) => panic!("cut at {end} of {}: {error}", written.len()),
        };
        assert_eq!(firsts, [0, 1, 2]);
        assert_eq!(taken, [0, 1, 2, 10, 11, 12, 20, 21, 22], "cut at {end}");
        drop(handle);
        kappa.shutdown().await;
        fs::remove_dir_all(&state).expect("removed");
    }
}
