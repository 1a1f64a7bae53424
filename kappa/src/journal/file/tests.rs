use super::super::conformance::{self, Place};
use super::*;
use crate::disk::lossy;
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
fn others_cannot_read_a_journal_nor_what_lies_beside_it() {
    use std::os::unix::fs::PermissionsExt;
    let keep = tempfile::tempdir().expect("a folder");
    let run = keep.path().join("runs/1");
    drop(FileJournal::create(&run.join("journal"), Durability::Process).expect("a journal"));
    for folder in [keep.path().join("runs"), run.clone(), run.join("journal")] {
        let mode = std::fs::metadata(&folder).expect("the folder").permissions().mode();
        assert_eq!(mode & 0o777, 0o700, "{}", folder.display());
    }
}

#[test]
fn a_journal_whose_maker_was_killed_is_not_found() {
    let folder = Folder::new(Durability::Process);
    drop(FileJournal::create(&folder.path, Durability::Process).expect("a journal"));
    std::fs::remove_file(log_path(&folder.path, 0)).expect("the last thing that its making does");
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
    let log = log_path(&folder.path, 0);
    let content = std::fs::read(&log).expect("the log");
    let end = content.len();
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

#[tokio::test]
async fn what_is_damaged_before_the_end_is_refused_and_not_taken_for_the_end() {
    let folder = Folder::new(Durability::Process);
    let journal = folder.open();
    for number in 0u8..5 {
        journal.append(vec![vec![number; 500]]).await.expect("append");
    }
    drop(journal);
    let log = log_path(&folder.path, 0);
    let content = std::fs::read(&log).expect("the log");
    let batch = (content.len() - 16) / 5;
    // In the beginning of the file, a length, a number, a checksum, and what was written; of the first batch, and of the last but one.
    for place in [3, 16, 20, 24, 300, 16 + 3 * batch, 16 + 3 * batch + 300] {
        let mut other = content.clone();
        other[place] ^= 0x10;
        std::fs::write(&log, &other).expect("damage");
        let error = FileJournal::open(&folder.path, Durability::Process).err();
        let said = error.expect("an error").to_string();
        assert!(said.contains("cannot be trusted"), "byte {place}: {said}");
        assert_eq!(std::fs::read(&log).expect("the log"), other, "it was changed");
    }
    std::fs::write(&log, &content).expect("as it was");
    assert_eq!(folder.open().load().await.expect("load").1.len(), 5);
}

#[tokio::test]
async fn a_lost_page_in_the_middle_of_many_small_batches_is_refused() {
    let folder = Folder::new(Durability::Process);
    let journal = folder.open();
    for number in 0u32..500 {
        journal
            .append(vec![number.to_le_bytes().repeat(10)])
            .await
            .expect("append");
    }
    drop(journal);
    let log = log_path(&folder.path, 0);
    let mut content = std::fs::read(&log).expect("the log");
    content[8192..12288].fill(0);
    std::fs::write(&log, &content).expect("damage");
    let error = FileJournal::open(&folder.path, Durability::Process).err();
    let said = error.expect("an error").to_string();
    assert!(said.contains("cannot be trusted"), "{said}");
    assert_eq!(std::fs::read(&log).expect("the log"), content, "it was changed");
}

#[tokio::test]
async fn a_journal_that_did_not_wait_for_the_disk_can_be_gone_on_with_by_one_that_does() {
    let mut folder = Folder::new(Durability::Process);
    let journal = folder.open();
    journal.append(vec![vec![1]]).await.expect("append");
    journal.snapshot(vec![11]).await.expect("snapshot");
    journal.append(vec![vec![2]]).await.expect("append");
    drop(journal);
    folder.durability = Durability::Machine;
    let journal = folder.open();
    journal.append(vec![vec![3]]).await.expect("append");
    drop(journal);
    let loaded = folder.open().load().await.expect("load");
    assert_eq!(loaded, (Some(vec![11]), vec![vec![2], vec![3]]));
}

#[tokio::test]
async fn a_damaged_or_missing_snapshot_is_refused() {
    let folder = Folder::new(Durability::Process);
    let journal = folder.open();
    journal.append(vec![vec![1]]).await.expect("append");
    journal.snapshot(vec![7; 100]).await.expect("snapshot");
    journal.append(vec![vec![2]]).await.expect("append");
    drop(journal);
    let snapshot = snapshot_path(&folder.path, 1);
    let content = std::fs::read(&snapshot).expect("the snapshot");
    for change in [&content[..50], &[&content[..], b"more"].concat(), &[0; 128]] {
        std::fs::write(&snapshot, change).expect("damage");
        let error = FileJournal::open(&folder.path, Durability::Process).err();
        let said = error.expect("an error").to_string();
        assert!(said.contains("cannot be trusted"), "{said}");
    }
    std::fs::remove_file(&snapshot).expect("gone");
    let error = FileJournal::open(&folder.path, Durability::Process).err();
    let said = error.expect("an error").to_string();
    assert!(said.contains("snapshot-1 is not there"), "{said}");
}

#[tokio::test]
async fn a_log_whose_beginning_was_lost_is_damage_if_batches_follow() {
    let folder = Folder::new(Durability::Process);
    let journal = folder.open();
    journal.append(vec![vec![1; 100]]).await.expect("append");
    drop(journal);
    let log = log_path(&folder.path, 0);
    let mut content = std::fs::read(&log).expect("the log");
    content[..16].fill(0);
    std::fs::write(&log, &content).expect("damage");
    let error = FileJournal::open(&folder.path, Durability::Process).err();
    let said = error.expect("an error").to_string();
    assert!(said.contains("cannot be trusted"), "{said}");
    // Nothing of it has reached the disk but its length.
    std::fs::write(&log, vec![0; content.len()]).expect("damage");
    let error = FileJournal::open(&folder.path, Durability::Process).err();
    assert!(matches!(error, Some(JournalError::NotFound { .. })), "{error:?}");
}

#[tokio::test]
async fn a_death_at_any_step_of_a_snapshot_leaves_the_old_journal_or_the_new_one() {
    let folder = Folder::new(Durability::Process);
    let journal = folder.open();
    journal.append(vec![vec![1]]).await.expect("append");
    journal.snapshot(vec![11]).await.expect("snapshot");
    journal.append(vec![vec![2]]).await.expect("append");
    drop(journal);
    let before = contents(&folder.path);
    let journal = folder.open();
    journal.snapshot(vec![22]).await.expect("snapshot");
    drop(journal);
    let after = contents(&folder.path);
    let (new, log) = ("snapshot-2".to_string(), "log-2".to_string());
    let unfinished = ("snapshot-2.new".to_string(), after[&new][..20].to_vec());
    let unfinished_log = ("log-2.new".to_string(), vec![1, 2]);
    let empty_log = (log.clone(), after[&log].clone());
    let renamed = (new.clone(), after[&new].clone());
    let (old, changed) = ((Some(vec![11]), vec![vec![2]]), (Some(vec![22]), vec![]));
    // What the folder holds beside the old files when the writer dies, and what has to be read then.
    let deaths = [
        (vec![unfinished.clone()], &old),
        (vec![unfinished.clone(), unfinished_log], &old),
        (vec![unfinished, empty_log.clone()], &old),
        (vec![empty_log.clone(), renamed.clone()], &changed),
    ];
    for (step, (beside, expected)) in deaths.into_iter().enumerate() {
        std::fs::remove_dir_all(&folder.path).expect("removed");
        std::fs::create_dir(&folder.path).expect("a folder");
        for (name, content) in before.clone().into_iter().chain(beside) {
            std::fs::write(folder.path.join(name), content).expect("a file");
        }
        let journal = folder.open();
        assert_eq!(journal.load().await.expect("load"), *expected, "step {step}");
        journal.append(vec![vec![3]]).await.expect("append");
        drop(journal);
        let (_, records) = folder.open().load().await.expect("load");
        assert_eq!(records.last(), Some(&vec![3]), "step {step}");
        assert_eq!(contents(&folder.path).len(), 3, "step {step}: files are left");
    }
}

#[tokio::test]
async fn after_a_write_that_failed_nothing_more_is_written() {
    let folder = Folder::new(Durability::Process);
    let journal = folder.open();
    journal.append(vec![vec![1]]).await.expect("append");
    // A folder cannot be replaced by a file.
    std::fs::create_dir(snapshot_path(&folder.path, 1)).expect("in the way");
    let first = journal.snapshot(vec![1]).await.expect_err("an error").to_string();
    let second = journal.append(vec![vec![2]]).await.expect_err("an error").to_string();
    assert_eq!(first, second);
    drop(journal);
    std::fs::remove_dir(snapshot_path(&folder.path, 1)).expect("out of the way");
    assert_eq!(folder.open().load().await.expect("load"), (None, vec![vec![1]]));
}

fn contents(folder: &Path) -> std::collections::BTreeMap<String, Vec<u8>> {
    let entries = std::fs::read_dir(folder).expect("the folder").filter_map(Result::ok);
    entries
        .map(|entry| {
            let name = entry.file_name().into_string().expect("a name");
            (name, std::fs::read(entry.path()).expect("a file"))
        })
        .collect()
}

/// Bytes of all files.
fn disk_use(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
    entries.filter_map(|entry| Some(entry.metadata().ok()?.len())).sum()
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
    assert!(most < 1 << 20, "{} MiB on the disk", most >> 20);
}

/// A journal's life until the machine dies: batches, snapshots, and an owner after the first. Each step that is acknowledged is noted.
fn a_life(path: &Path) {
    let write = |journal: &FileJournal, records: std::ops::Range<usize>| {
        for record in records {
            let batch = vec![record.to_be_bytes().to_vec(), vec![record as u8; 700]];
            futures::executor::block_on(journal.append(batch)).expect("append");
            lossy::note(|| lossy::Step::Acknowledged(record + 1));
        }
    };
    let journal = FileJournal::create(path, Durability::Machine).expect("create");
    write(&journal, 0..5);
    for end in [10, 15] {
        let snapshot = (end - 5usize).to_be_bytes().to_vec();
        futures::executor::block_on(journal.snapshot(snapshot)).expect("snapshot");
        write(&journal, end - 5..end);
    }
    drop(journal);
    let journal = FileJournal::open(path, Durability::Machine).expect("open");
    write(&journal, 15..20);
}

/// How many records a journal holds that lies in this folder, counting those that its snapshot stands for; and that they are the first ones.
fn records_left(path: &Path) -> Result<usize, String> {
    let journal = match FileJournal::open(path, Durability::Process) {
        Err(JournalError::NotFound { .. }) => return Ok(0),
        opened => opened.map_err(|error| error.to_string())?,
    };
    let (snapshot, records) = futures::executor::block_on(journal.load()).map_err(|error| error.to_string())?;
    let number = |bytes: &[u8]| usize::from_be_bytes(bytes.try_into().expect("a number"));
    let mut next = snapshot.map_or(0, |bytes| number(&bytes));
    for pair in records.chunks(2) {
        if pair.len() < 2 || number(&pair[0]) != next || pair[1] != vec![next as u8; 700] {
            return Err(format!("record {next} is not what was written"));
        }
        next += 1;
    }
    Ok(next)
}

/// Loses power after each step in many ways; what is wrong with what is left.
fn refuted_by_losses_of_power() -> Option<String> {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("state/runs/7/journal");
    let steps = lossy::steps_of(|| a_life(&path));
    for end in 0..=steps.len() {
        let acknowledged = steps[..end].iter().rev().find_map(|step| match step {
            lossy::Step::Acknowledged(count) => Some(*count),
            _ => None,
        });
        for seed in 0..8 {
            let left = tempfile::tempdir().expect("a folder");
            lossy::Lossy::after(&steps[..end]).lose_power(seed, folder.path(), left.path());
            let known = acknowledged.unwrap_or(0);
            match records_left(&left.path().join("state/runs/7/journal")) {
                Ok(count) if count >= known => {}
                other => {
                    let last = end.checked_sub(1).map(|last| &steps[last]);
                    return Some(format!(
                        "step {end} ({last:?}), seed {seed}: {known} were safe, {other:?} is left"
                    ));
                }
            }
        }
    }
    None
}

#[test]
fn a_disk_that_drops_reorders_and_tears_what_was_not_waited_for_loses_nothing_that_was_acknowledged() {
    assert_eq!(refuted_by_losses_of_power(), None);
}

#[test]
fn a_journal_that_does_not_wait_for_the_disk_is_noticed() {
    crate::coordinator::sabotage::set(Some(crate::coordinator::sabotage::Sabotage::SkipsSync));
    let refuted = refuted_by_losses_of_power();
    crate::coordinator::sabotage::set(None);
    assert!(refuted.is_some());
}
