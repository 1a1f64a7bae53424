//! Stores that are damaged, full or not to be written: a run stops, nothing of it fails, and it goes on when somebody has mended the store.

use async_trait::async_trait;
use bytes::Bytes;
use kappa::ids::RunId;
use kappa::prelude::*;
use kappa::store::{FileStore, Store, StoreError};
use kappa::{Kappa, RunError};
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Longer than what travels in messages.
const LENGTH: u64 = 100_000;

fn large(seed: u8) -> Vec<u8> {
    (0..LENGTH).map(|n| (n % 251) as u8 ^ seed).collect()
}

fn sum(bytes: &[u8]) -> u64 {
    bytes.iter().zip(1..).map(|(byte, at)| u64::from(*byte) * at).sum()
}

#[kappa::task]
async fn until_open(cx: &mut Context, gate: PathBuf) {
    while !gate.exists() {
        cx.sleep(Duration::from_millis(10)).await;
    }
}

#[kappa::task]
async fn make(_cx: &mut Context, seed: u8) -> Vec<u8> {
    large(seed)
}

#[kappa::task]
async fn sum_of(_cx: &mut Context, bytes: Vec<u8>) -> u64 {
    sum(&bytes)
}

/// Has one of everything that is stored, until the gate is opened: a result, a queue's item, an argument, a saved variable, an object of its own, and an
/// object on its way to a file.
#[kappa::task]
async fn holds_everything(cx: &mut Context, gate: PathBuf, target: PathBuf) -> Result<u64> {
    let opening = cx.spawn(until_open(gate.clone())).await;
    let made = cx.spawn(make(1)).await;
    let queue = cx.queue(4).await;
    cx.enqueue(&queue, large(2)).await;
    let summed = cx.spawn(sum_of(large(3))).after(&[opening]).await;
    let saved = large(4);
    let key = format!("own/{}", cx.idempotency_key());
    cx.store().put(&key, large(5).into()).await?;
    cx.wait(&opening).await?;
    let mut total = sum(&saved) + cx.wait(&summed).await? + sum(&cx.wait(&made).await?);
    let item: Option<Vec<u8>> = cx.dequeue(&queue).await;
    total += sum(&item.unwrap_or_default());
    let own = cx
        .store()
        .get_ranges(&key, &[0..10_000, 10_000..LENGTH])
        .await?
        .concat();
    total += sum(&own);
    cx.put_object(&format!("file:{}", target.display()), own).await;
    Ok(total)
}

fn right() -> u64 {
    (1..6).map(|seed| sum(&large(seed))).sum()
}

async fn place(state: &Path) -> Kappa {
    Kappa::builder().state_dir(state).build().await.expect("a place")
}

/// The objects below a folder, by what they are and where.
fn objects(folder: &Path) -> BTreeMap<PathBuf, u64> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        match path.is_dir() {
            true => found.extend(objects(&path)),
            false => drop(found.insert(path, entry.metadata().map_or(0, |about| about.len()))),
        }
    }
    found
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder");
    for entry in std::fs::read_dir(from).expect("a folder").flatten() {
        let target = to.join(entry.file_name());
        match entry.path().is_dir() {
            true => copy(&entry.path(), &target),
            false => drop(std::fs::copy(entry.path(), target).expect("a copy")),
        }
    }
}

/// A state directory with a run that has been interrupted while it held one of everything.
async fn interrupted(state: &Path, gate: &Path, target: &Path) -> RunId {
    let kappa = place(state).await;
    let handle = kappa
        .start(holds_everything(gate.to_path_buf(), target.to_path_buf()))
        .await
        .expect("a run");
    let deadline = Instant::now() + Duration::from_secs(60);
    let kinds = ["checkpoint", "result", "items", "arguments", "own"];
    let has_all = |objects: &BTreeMap<PathBuf, u64>| {
        let has = |kind: &str| {
            objects
                .keys()
                .any(|path| path.components().any(|part| part.as_os_str() == kind))
        };
        kinds.iter().all(|kind| has(kind))
    };
    while !has_all(&objects(&state.join("store"))) {
        assert!(Instant::now() < deadline, "{:?}", objects(&state.join("store")));
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    handle.interrupt().await;
    handle.id()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_bit_of_anything_that_is_stored_is_never_a_wrong_answer_and_mended_it_is_the_right_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let (gate, target) = (folder.path().join("gate"), folder.path().join("target"));
    let original = folder.path().join("state");
    let run = interrupted(&original, &gate, &target).await;
    std::fs::write(&gate, "").expect("the gate is opened");
    let stored = objects(&original.join("store"));
    assert!(stored.len() >= 5, "{stored:?}");
    let mut trial = 0;
    for (object, length) in &stored {
        for (place_in_object, bit) in [(0, 0), (length / 3, 3), (length / 2, 7), (length - 1, 5)] {
            trial += 1;
            let state = folder.path().join(format!("state-{trial}"));
            copy(&original, &state);
            let below = object.strip_prefix(&original).expect("it is below");
            let file = state.join(below);
            let whole = std::fs::read(&file).expect("the object");
            let mut changed = whole.clone();
            changed[place_in_object as usize] ^= 1 << bit;
            std::fs::write(&file, changed).expect("damaged");

            let kappa = place(&state).await;
            let handle = kappa.resume::<u64>(run).await.expect("resumed");
            let error = handle.wait().await.expect_err("something is damaged");
            let said = error.to_string();
            assert!(matches!(error, RunError::NeedsRepair { resumable: true, .. }), "{said}");
            let name = below.strip_prefix("store").expect("in the store").to_string_lossy();
            let name = name.trim_end_matches('=');
            for part in [name, "is not what was written there", "copy", "resume"] {
                assert!(said.contains(part), "{said}: {part}");
            }
            assert!(!said.contains("this program cannot"), "{said}");
            assert!(
                !target.exists(),
                "{}: the damaged object is at its place",
                object.display()
            );
            drop((handle, kappa));

            std::fs::write(&file, whole).expect("mended");
            let kappa = place(&state).await;
            let handle = kappa.resume::<u64>(run).await.expect("resumed");
            assert_eq!(handle.wait().await.expect("the result"), right());
            assert_eq!(std::fs::read(&target).expect("it is there"), large(5));
            std::fs::remove_file(&target).expect("it was there");
            std::fs::remove_dir_all(&state).expect("removed");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_is_lost_stops_the_run_and_brought_back_it_goes_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let (gate, target) = (folder.path().join("gate"), folder.path().join("target"));
    let original = folder.path().join("state");
    let run = interrupted(&original, &gate, &target).await;
    std::fs::write(&gate, "").expect("the gate is opened");
    let stored = objects(&original.join("store"));
    // What a task has put into the store itself, it may also look for in vain.
    let of_run = stored
        .keys()
        .filter(|path| !path.components().any(|part| part.as_os_str() == "own"));
    for (trial, object) in of_run.enumerate() {
        let state = folder.path().join(format!("state-{trial}"));
        copy(&original, &state);
        let file = state.join(object.strip_prefix(&original).expect("it is below"));
        let whole = std::fs::read(&file).expect("the object");
        std::fs::remove_file(&file).expect("lost");
        let kappa = place(&state).await;
        let handle = kappa.resume::<u64>(run).await.expect("resumed");
        let error = handle.wait().await.expect_err("something is lost");
        assert!(
            matches!(error, RunError::NeedsRepair { resumable: true, .. }),
            "{error}"
        );
        assert!(error.to_string().contains("no object runs/"), "{error}");
        drop((handle, kappa));

        std::fs::write(&file, whole).expect("brought back");
        let kappa = place(&state).await;
        let handle = kappa.resume::<u64>(run).await.expect("resumed");
        assert_eq!(handle.wait().await.expect("the result"), right());
    }
}

/// A store that takes nothing while it is full, or forbidden.
#[derive(Debug)]
struct Full {
    files: FileStore,
    is_full: AtomicBool,
}

#[async_trait]
impl Store for Full {
    async fn put(&self, key: &str, bytes: Bytes) -> Result<(), StoreError> {
        match self.is_full.load(Ordering::SeqCst) {
            true => Err(StoreError::Unavailable {
                store: self.url(),
                action: format!("write {key}"),
                cause: "No space left on device (os error 28); make room on the disk".to_string(),
                retryable: false,
            }),
            false => self.files.put(key, bytes).await,
        }
    }

    async fn get(&self, key: &str) -> Result<Bytes, StoreError> {
        self.files.get(key).await
    }

    async fn get_ranges(&self, key: &str, ranges: &[Range<u64>]) -> Result<Vec<Bytes>, StoreError> {
        self.files.get_ranges(key, ranges).await
    }

    async fn delete(&self, key: &str) -> Result<(), StoreError> {
        self.files.delete(key).await
    }

    async fn delete_prefix(&self, prefix: &str) -> Result<(), StoreError> {
        self.files.delete_prefix(prefix).await
    }

    fn is_shared(&self) -> bool {
        true
    }

    fn url(&self) -> String {
        self.files.url()
    }
}

#[kappa::task]
async fn part(cx: &mut Context, seed: u8) -> Vec<u8> {
    cx.sleep(Duration::from_millis(1)).await;
    large(seed)
}

/// Its parts, their results and its checkpoints are all too long for messages.
#[kappa::task]
async fn whole(cx: &mut Context, parts: u8) -> Result<u64> {
    let tasks = cx.spawn_all((0..parts).map(part)).await;
    let mut all = Vec::new();
    for task in tasks {
        all.extend(cx.wait(&task).await?);
        cx.checkpoint().in_background().await;
        let own = format!("own/{}", cx.idempotency_key());
        match cx.store().put(&own, Bytes::from(all.clone())).await {
            Ok(()) | Err(StoreError::AlreadyExists { .. }) => {}
            Err(cause) => return Err(cause.into()),
        }
    }
    Ok(sum(&all))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_full_stops_the_run_each_time_and_with_room_it_ends() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = Arc::new(Full {
        files: FileStore::open(&folder.path().join("objects")).expect("a store"),
        is_full: AtomicBool::new(false),
    });
    let place = async || {
        let builder = Kappa::builder()
            .store(store.clone())
            .state_dir(folder.path().join("state"));
        builder.build().await.expect("a place")
    };
    let kappa = place().await;
    let handle = kappa.start(whole(12)).await.expect("a run");
    let run = handle.id();
    let mut end = None;
    let mut handle = Some((handle, kappa));
    for stops in 0..100 {
        // Another while each time, so that it is full at another moment.
        let filling = async {
            tokio::time::sleep(Duration::from_millis(stops * 3 % 17)).await;
            store.is_full.store(true, Ordering::SeqCst);
        };
        let (current, _kappa) = handle.take().expect("one");
        let (ended, ()) = tokio::join!(current.wait(), filling);
        match ended {
            Ok(value) => {
                end = Some(value);
                break;
            }
            Err(error @ RunError::NeedsRepair { resumable: true, .. }) => {
                let said = error.to_string();
                assert!(said.contains("No space left") && said.contains("make room"), "{said}");
            }
            Err(error) => panic!("after {stops} stops: {error}"),
        }
        drop(current);
        store.is_full.store(stops % 2 == 0, Ordering::SeqCst);
        let kappa = place().await;
        if stops % 2 == 0 {
            // Somebody is too hasty: it is still full.
            let again = kappa.resume::<u64>(run).await.expect("resumed");
            let error = again.wait().await;
            assert!(
                matches!(&error, Ok(_) | Err(RunError::NeedsRepair { .. })),
                "after {stops} stops: {error:?}"
            );
            drop(again);
            store.is_full.store(false, Ordering::SeqCst);
        }
        handle = Some((kappa.resume::<u64>(run).await.expect("resumed"), kappa));
    }
    let all: Vec<u8> = (0..12).flat_map(large).collect();
    assert_eq!(end, Some(sum(&all)));
}

/// Needs room for temporary files, of which there is none while this file exists.
#[kappa::task]
async fn spills(cx: &mut Context, full: PathBuf) -> Result<u64> {
    cx.checkpoint().await;
    if full.exists() {
        // As a disk says it, with what a library says around it.
        return Err(Error::from(std::io::Error::from_raw_os_error(28)).context("cannot spill rows"));
    }
    Ok(7)
}

#[kappa::task]
async fn handles(cx: &mut Context, full: PathBuf) -> Result<u64> {
    let task = cx.spawn(spills(full)).await;
    // It fails only if its own program is to blame.
    Ok(cx.wait(&task).await.unwrap_or(0))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_whose_disk_is_full_does_not_fail_and_goes_on_when_there_is_room() {
    let folder = tempfile::tempdir().expect("a folder");
    let full = folder.path().join("full");
    std::fs::write(&full, "").expect("it is full");
    let state = folder.path().join("state");
    let kappa = place(&state).await;
    let handle = kappa.start(handles(full.clone())).await.expect("a run");
    let run = handle.id();
    let error = handle.wait().await.expect_err("it is full");
    assert!(
        matches!(error, RunError::NeedsRepair { resumable: true, .. }),
        "{error}"
    );
    let said = error.to_string();
    assert!(
        said.contains("cannot spill rows") && said.contains("No space left"),
        "{said}"
    );
    drop((handle, kappa));
    std::fs::remove_file(&full).expect("there is room");
    let kappa = place(&state).await;
    let handle = kappa.resume::<u64>(run).await.expect("resumed");
    assert_eq!(handle.wait().await.expect("the result"), 7);
}
