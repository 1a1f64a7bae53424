use super::super::conformance::{self, Place};
use super::*;
use rand::rngs::SmallRng;
use rand::{RngCore, SeedableRng};
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::Arc;

struct Folder {
    path: PathBuf,
    durability: Durability,
    _keep: Arc<tempfile::TempDir>,
}

impl Folder {
    fn new(durability: Durability) -> Self {
        let keep = tempfile::tempdir().expect("a folder");
        Folder {
            path: keep.path().join("journal"),
            durability,
            _keep: Arc::new(keep),
        }
    }
}

impl Place for Folder {
    fn open(&self) -> Arc<dyn Journal> {
        let journal = match self.path.exists() {
            true => FileJournal::open(&self.path, self.durability),
            false => FileJournal::create(&self.path, self.durability),
        };
        Arc::new(journal.expect("a journal"))
    }
}

#[tokio::test]
async fn the_file_journal_conforms() {
    conformance::check(|| Folder::new(Durability::Process)).await;
}

#[tokio::test]
async fn the_file_journal_conforms_with_fsync() {
    conformance::check(|| Folder::new(Durability::Machine)).await;
}

#[test]
fn a_missing_journal_is_not_found_and_nothing_is_made() {
    let folder = Folder::new(Durability::Process);
    let error = FileJournal::open(&folder.path, Durability::Process)
        .err()
        .expect("an error");
    assert!(matches!(error, JournalError::NotFound { .. }), "{error}");
    assert!(!folder.path.exists());
}

#[test]
fn a_journal_whose_maker_was_killed_is_not_found() {
    let folder = Folder::new(Durability::Process);
    drop(FileJournal::create(&folder.path, Durability::Process).expect("a journal"));
    std::fs::remove_file(seal_of(&folder.path)).expect("the last thing that its making does");
    let error = FileJournal::open(&folder.path, Durability::Process)
        .map(drop)
        .expect_err("not found");
    assert!(matches!(error, JournalError::NotFound { .. }), "{error}");
}

#[test]
fn an_existing_journal_is_never_created_over() {
    let folder = Folder::new(Durability::Process);
    drop(folder.open());
    let error = FileJournal::create(&folder.path, Durability::Process)
        .err()
        .expect("an error");
    assert!(error.to_string().contains("there is something already"), "{error}");
}

#[test]
fn a_second_writer_hears_that_the_journal_is_in_use() {
    let folder = Folder::new(Durability::Process);
    let first = folder.open();
    let error = FileJournal::open(&folder.path, Durability::Process)
        .err()
        .expect("an error");
    assert!(matches!(error, JournalError::InUse { .. }), "{error}");
    drop(first);
    drop(folder.open());
}

const CHILD_FOLDER: &str = "KAPPA_TEST_JOURNAL";

/// The child of the next test: appends numbered records and says when each is safe, until it is killed.
#[test]
#[ignore = "a helper of r16_what_was_acknowledged_survives_sigkill"]
fn child_that_appends_until_it_is_killed() {
    let Ok(path) = std::env::var(CHILD_FOLDER) else { return };
    let journal = FileJournal::create(Path::new(&path), Durability::Process).expect("a journal");
    for number in 0u64.. {
        // Long enough to span pages, so that a kill can hit the middle of a write.
        let mut record = vec![number as u8; 20_000];
        record[..8].copy_from_slice(&number.to_be_bytes());
        futures::executor::block_on(journal.append(vec![record, vec![7]])).expect("append");
        if number % 100 == 99 {
            let snapshot = number.to_be_bytes().to_vec();
            futures::executor::block_on(journal.snapshot(snapshot)).expect("snapshot");
        }
        println!("\nsafe {number}");
    }
}

#[tokio::test]
async fn r16_what_was_acknowledged_survives_sigkill() {
    for kill_after in [1, 50, 230] {
        let folder = Folder::new(Durability::Process);
        let mut child = Command::new(std::env::current_exe().expect("this test"))
            .args([
                "--exact",
                "journal::file::tests::child_that_appends_until_it_is_killed",
                "--ignored",
                "--nocapture",
            ])
            .env(CHILD_FOLDER, &folder.path)
            .stdout(Stdio::piped())
            .spawn()
            .expect("a child");
        let output = BufReader::new(child.stdout.take().expect("its output"));
        let mut safe = None;
        for line in output.lines().map_while(Result::ok) {
            let Some(number) = line.strip_prefix("safe ").and_then(|n| n.parse::<u64>().ok()) else {
                continue;
            };
            safe = Some(number);
            if number == kill_after {
                child.kill().expect("kill");
            }
        }
        child.wait().expect("its end");
        let safe = safe.expect("some records");
        assert!(safe >= kill_after);

        let (snapshot, records) = folder.open().load().await.expect("load");
        let behind = snapshot.map_or(0, |s| u64::from_be_bytes(s.try_into().expect("eight bytes")) + 1);
        let numbers: Vec<u64> = records
            .chunks(2)
            .map(|pair| {
                assert_eq!(pair.len(), 2, "half a batch");
                let (number, _) = pair[0].split_first_chunk::<8>().expect("a number");
                u64::from_be_bytes(*number)
            })
            .collect();
        let until = behind + numbers.len() as u64;
        assert_eq!(numbers, (behind..until).collect::<Vec<_>>());
        assert!(
            until > safe,
            "record {safe} was acknowledged, but there are only {until}"
        );
    }
}

#[tokio::test]
async fn a_batch_torn_in_the_middle_is_dropped_as_a_whole_and_writing_goes_on() {
    let folder = Folder::new(Durability::Process);
    let journal = folder.open();
    for number in 0u8..3 {
        journal
            .append(vec![vec![number; 5000], vec![number]])
            .await
            .expect("append");
    }
    drop(journal);
    let log = std::fs::read_dir(&folder.path)
        .expect("the folder")
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.extension().is_some_and(|extension| extension == "jnl"))
        .expect("a log");
    let content = std::fs::read(&log).expect("the log");
    let end = content.iter().rposition(|byte| *byte != 0).expect("content") + 1;
    for cut in [3, 40, 3000] {
        std::fs::write(&log, &content[..end - cut]).expect("cut");
        let journal = folder.open();
        let (_, records) = journal.load().await.expect("load");
        assert_eq!(records.len(), 4, "cut by {cut}");
        journal.append(vec![vec![9]]).await.expect("append");
        drop(journal);
        let (_, records) = folder.open().load().await.expect("load");
        assert_eq!(records[4..], [vec![9]]);
    }
}

/// Bytes on the disk: files are partly allocated in advance, and partly holes.
fn disk_use(folder: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let entries = std::fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
    entries
        .map(|entry| match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => disk_use(&entry.path()),
            Ok(metadata) => metadata.blocks() * 512,
            Err(_) => 0, // Deleted meanwhile.
        })
        .sum()
}

#[tokio::test]
async fn r17_what_a_snapshot_stands_for_leaves_the_disk_while_writing_goes_on() {
    let folder = Folder::new(Durability::Process);
    let journal = folder.open();
    let mut random = SmallRng::seed_from_u64(17);
    let mut most = 0;
    for _ in 0..40 {
        // Records that do not compress, 4 MiB between two snapshots, 160 MiB in all.
        for _ in 0..64 {
            let mut record = vec![0; 1 << 16];
            random.fill_bytes(&mut record);
            journal.append(vec![record]).await.expect("append");
        }
        journal.snapshot(vec![1; 1000]).await.expect("snapshot");
        most = most.max(disk_use(&folder.path));
    }
    assert!(most < 100 << 20, "{} MiB on the disk", most >> 20);
}
