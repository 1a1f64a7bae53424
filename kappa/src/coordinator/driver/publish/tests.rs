//! The coordinator is stopped between each two steps of an object's way, and resumed.

use crate::coordinator::driver::tests::{Scripted, exit, request, root, setup, soon};
use crate::coordinator::driver::{Coordinator, LocalFiles, Setup};
use crate::coordinator::state::{Event, decode_record};
use crate::ids::TaskId;
use crate::journal::{Journal, JournalError, MemoryJournal};
use crate::protocol::{Call, InvocationOutcome, Payload, Start, TaskSpec};
use crate::runtime::RunError;
use crate::store::{Memory, Store, StoreError};
use async_trait::async_trait;
use bytes::Bytes;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::Semaphore;

/// The object's length: several pieces.
const LENGTH: usize = (20 << 20) + 7;

/// A journal whose disk is full when an object's arrival is to be recorded.
#[derive(Default)]
struct Forgetful {
    inner: MemoryJournal,
    forgets: AtomicBool,
}

#[async_trait]
impl Journal for Forgetful {
    async fn append(&self, records: Vec<Vec<u8>>) -> Result<(), JournalError> {
        let is_arrival = |record: &Vec<u8>| matches!(decode_record(record), Ok((_, Event::Published { .. })));
        if self.forgets.load(Ordering::SeqCst) && records.iter().any(is_arrival) {
            return Err(JournalError::Unavailable {
                place: "here".to_string(),
                action: "append".to_string(),
                cause: "no space left on device".to_string(),
            });
        }
        self.inner.append(records).await
    }

    async fn snapshot(&self, snapshot: Vec<u8>) -> Result<(), JournalError> {
        self.inner.snapshot(snapshot).await
    }

    async fn load(&self) -> Result<(Option<Vec<u8>>, Vec<Vec<u8>>), JournalError> {
        self.inner.load().await
    }

    async fn sync(&self) -> Result<(), JournalError> {
        Ok(())
    }

    fn may_lose_its_end(&self) -> bool {
        false
    }

    fn longest_snapshot(&self) -> usize {
        usize::MAX
    }
}

/// A store that hangs, or fails for a while, when a piece is read.
#[derive(Debug)]
struct Unsteady {
    inner: Memory,
    /// From this piece on, it hangs.
    hangs_at: AtomicUsize,
    /// Lets those go on that hang.
    released: Semaphore,
    /// So many readings fail first.
    failures: AtomicUsize,
    readings: AtomicUsize,
}

impl Default for Unsteady {
    fn default() -> Self {
        Unsteady {
            inner: Memory::default(),
            hangs_at: AtomicUsize::new(usize::MAX),
            released: Semaphore::new(0),
            failures: AtomicUsize::new(0),
            readings: AtomicUsize::new(0),
        }
    }
}

#[async_trait]
impl Store for Unsteady {
    async fn put(&self, key: &str, bytes: Bytes) -> Result<(), StoreError> {
        self.inner.put(key, bytes).await
    }

    async fn get(&self, key: &str) -> Result<Bytes, StoreError> {
        self.inner.get(key).await
    }

    async fn get_ranges(&self, key: &str, ranges: &[Range<u64>]) -> Result<Vec<Bytes>, StoreError> {
        let number = self.readings.fetch_add(1, Ordering::SeqCst);
        if number >= self.hangs_at.load(Ordering::SeqCst) {
            self.released.acquire().await.expect("it is never closed").forget();
        }
        if number < self.failures.load(Ordering::SeqCst) {
            return Err(StoreError::Unavailable {
                store: self.url(),
                action: format!("read {key}"),
                cause: "connection reset".to_string(),
                retryable: true,
            });
        }
        self.inner.get_ranges(key, ranges).await
    }

    async fn delete(&self, key: &str) -> Result<(), StoreError> {
        self.inner.delete(key).await
    }

    async fn delete_prefix(&self, prefix: &str) -> Result<(), StoreError> {
        self.inner.delete_prefix(prefix).await
    }

    fn is_shared(&self) -> bool {
        false
    }

    fn url(&self) -> String {
        "memory:".to_string()
    }
}

fn content() -> Vec<u8> {
    (0..LENGTH).map(|at| (at % 251) as u8).collect()
}

/// A task that puts one large object into this folder.
fn putting(folder: PathBuf, journal: Arc<dyn Journal>, store: Arc<Unsteady>) -> Setup {
    let place = store.clone();
    let platform = Scripted::new(4, move |invocation, link| {
        let (place, folder) = (place.clone(), folder.clone());
        async move {
            let mut sequence = invocation.last_sequence;
            if matches!(invocation.start, Start::Begin(_)) {
                let key = format!("runs/{}/{}", invocation.run, uuid::Uuid::new_v4());
                place.put(&key, content().into()).await.expect("put");
                let url = format!("file:{}/a/object", folder.display());
                let content = Payload::Stored {
                    key,
                    length: LENGTH as u64,
                };
                sequence += 1;
                match link
                    .send(request(&invocation, sequence, Call::PutObject { url, content }))
                    .await
                {
                    crate::protocol::Reply::Answer(_) => {}
                    _ => return InvocationOutcome::Returned,
                }
            }
            link.send(request(&invocation, sequence + 1, exit(b"done"))).await;
            InvocationOutcome::Returned
        }
    });
    let mut setup = setup(platform, Some(journal));
    setup.store = store;
    setup
}

fn files(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder.join("a")).map_or_else(|_| Vec::new(), |entries| entries.collect());
    let name = |entry: std::io::Result<std::fs::DirEntry>| entry.expect("an entry").file_name();
    let mut names: Vec<_> = entries
        .into_iter()
        .map(|entry| name(entry).to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

async fn until(condition: impl Fn() -> bool) {
    soon(async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn nothing_appears_any_more_after_the_run_was_stopped_here() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = Arc::new(Unsteady::default());
    store.hangs_at.store(2, Ordering::SeqCst);
    let setup = putting(folder.path().into(), Arc::new(MemoryJournal::new()), store.clone());
    let coordinator = Coordinator::start(setup, root(vec![])).await.expect("start");
    until(|| store.readings.load(Ordering::SeqCst) > 2).await;
    let shared = coordinator.shared.clone();
    drop(coordinator);
    // The last piece comes after all.
    store.released.add_permits(1);
    until(|| shared.core.lock().publishing == 0).await;
    assert!(
        files(folder.path()).iter().all(|name| name.starts_with(".kappa-")),
        "it appeared"
    );
}

#[tokio::test]
async fn r21_an_object_whose_copying_was_cut_short_appears_after_the_resume_and_only_then() {
    for hangs_at in 0..3 {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Arc::new(Unsteady::default());
        store.hangs_at.store(hangs_at, Ordering::SeqCst);
        let journal = Arc::new(MemoryJournal::new());
        let setup = putting(folder.path().into(), journal, store.clone());
        let coordinator = Coordinator::start(setup.clone(), root(vec![])).await.expect("start");
        until(|| store.readings.load(Ordering::SeqCst) > hangs_at).await;
        // As when its process is killed: nobody waits for what is under way.
        drop(coordinator);
        assert!(
            files(folder.path()).iter().all(|name| name.starts_with(".kappa-")),
            "half an object"
        );
        store.hangs_at.store(usize::MAX, Ordering::SeqCst);
        let coordinator = Coordinator::resume(setup).await.expect("resume");
        assert_eq!(soon(coordinator.wait()).await.expect("a result"), "done");
        assert_eq!(files(folder.path()), ["object"]);
        assert!(std::fs::read(folder.path().join("a/object")).expect("the object") == content());
    }
}

#[tokio::test]
async fn an_object_whose_arrival_was_not_recorded_is_put_there_again_and_is_the_same() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = Arc::new(Unsteady::default());
    let journal = Arc::new(Forgetful::default());
    journal.forgets.store(true, Ordering::SeqCst);
    let setup = putting(folder.path().into(), journal.clone(), store);
    let coordinator = Coordinator::start(setup.clone(), root(vec![])).await.expect("start");
    assert!(matches!(soon(coordinator.wait()).await, Err(RunError::Journal { .. })));
    assert_eq!(files(folder.path()), ["object"], "it is there, and nobody knows");
    drop(coordinator);
    journal.forgets.store(false, Ordering::SeqCst);
    let coordinator = Coordinator::resume(setup).await.expect("resume");
    assert_eq!(soon(coordinator.wait()).await.expect("a result"), "done");
    assert_eq!(files(folder.path()), ["object"]);
    assert!(std::fs::read(folder.path().join("a/object")).expect("the object") == content());
}

#[tokio::test]
async fn an_object_outside_of_what_is_allowed_stops_the_run_which_says_how_to_allow_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut setup = putting(folder.path().into(), Arc::new(MemoryJournal::new()), Arc::default());
    setup.files = Arc::new(LocalFiles::below([folder.path().join("elsewhere")]));
    let coordinator = Coordinator::start(setup.clone(), root(vec![])).await.expect("start");
    let stopped = soon(coordinator.wait()).await.expect_err("it stops");
    let said = stopped.to_string();
    assert!(matches!(stopped, RunError::NeedsRepair { .. }), "{said}");
    assert!(said.contains("--objects-below") && said.contains("elsewhere"), "{said}");
    assert_eq!(files(folder.path()), Vec::<String>::new());
    drop(coordinator);
    setup.files = Arc::new(LocalFiles::below([folder.path().to_path_buf()]));
    let coordinator = Coordinator::resume(setup).await.expect("resume");
    assert_eq!(soon(coordinator.wait()).await.expect("a result"), "done");
    assert_eq!(files(folder.path()), ["object"]);
}

#[tokio::test]
async fn a_task_that_is_cancelled_while_its_object_is_read_stops_nothing_but_itself() {
    let folder = tempfile::tempdir().expect("a folder");
    // It hangs until the task is cancelled: then the object is deleted, and not found.
    let unsteady = Arc::new(Unsteady::default());
    unsteady.hangs_at.store(0, Ordering::SeqCst);
    let (place, its_store) = (folder.path().join("a/object"), unsteady.clone());
    let platform = Scripted::new(2, move |invocation, link| {
        let (place, store) = (place.clone(), its_store.clone());
        async move {
            match (&invocation.start, invocation.task) {
                (Start::Begin(_), TaskId::ROOT) => {
                    let child = TaskSpec::new("child", Payload::Inline(Bytes::new()));
                    link.send(request(&invocation, 1, Call::Spawn(vec![child]))).await;
                    while store.readings.load(Ordering::SeqCst) == 0 {
                        tokio::time::sleep(Duration::from_millis(2)).await;
                    }
                    link.send(request(&invocation, 2, Call::Cancel(TaskId(1)))).await;
                    while store.inner.usage().0 > 0 {
                        tokio::time::sleep(Duration::from_millis(2)).await;
                    }
                    store.released.add_permits(100);
                    tokio::time::sleep(Duration::from_millis(300)).await;
                    link.send(request(&invocation, 3, exit(b"done"))).await;
                }
                (Start::Begin(_), _) => {
                    let key = format!("{}/objects/1-x", invocation.run.objects());
                    store.put(&key, content().into()).await.expect("put");
                    let content = Payload::Stored {
                        key,
                        length: content().len() as u64,
                    };
                    let url = format!("file:{}", place.display());
                    link.send(request(&invocation, 1, Call::PutObject { url, content }))
                        .await;
                }
                (Start::Resume { .. }, _) => unreachable!("nobody is away"),
            }
            InvocationOutcome::Returned
        }
    });
    let mut setup = setup(platform, Some(Arc::new(MemoryJournal::new())));
    setup.files = Arc::new(LocalFiles::below([folder.path().to_path_buf()]));
    setup.store = unsteady;
    let coordinator = Coordinator::start(setup, root(vec![])).await.expect("start");
    assert_eq!(soon(coordinator.wait()).await.expect("a result"), "done");
    assert_eq!(files(folder.path()), Vec::<String>::new());
}

#[tokio::test]
async fn a_store_that_fails_for_a_moment_is_asked_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = Arc::new(Unsteady::default());
    store.failures.store(2, Ordering::SeqCst);
    let setup = putting(folder.path().into(), Arc::new(MemoryJournal::new()), store);
    let coordinator = Coordinator::start(setup, root(vec![])).await.expect("start");
    assert_eq!(soon(coordinator.wait()).await.expect("a result"), "done");
    assert_eq!(files(folder.path()), ["object"]);
}
