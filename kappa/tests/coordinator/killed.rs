//! The coordinator, and every worker with it, is killed by SIGKILL again and again, and the run is resumed.

use crate::programs::*;
use kappa::Kappa;
use kappa::ids::RunId;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

const STATE: &str = "KAPPA_TEST_STATE";
/// Set for the program with every kind of operation.
const EVERYTHING: &str = "KAPPA_TEST_EVERYTHING";
const PARTS: u64 = 3;
const EACH: u64 = 60;
const STEPS: u64 = 60;

/// The child of the next test: starts the run, or resumes it if there is one, and prints its result.
#[test]
#[ignore = "a helper of r16_a_run_whose_coordinator_is_killed_again_and_again_ends_with_its_result"]
fn child_that_runs_until_it_is_killed() {
    let Ok(folder) = std::env::var(STATE) else { return };
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let kappa = Kappa::builder().state_dir(&folder).build().await.expect("a place");
        let handle = match kappa.runs().expect("the runs").first() {
            Some(run) => kappa.resume(*run).await.expect("resumed"),
            None if std::env::var_os(EVERYTHING).is_some() => {
                let outside = std::path::PathBuf::from(folder).join("outside");
                kappa.start(everything(outside, PARTS, STEPS)).await.expect("a run")
            }
            None => kappa.start(long(PARTS, EACH)).await.expect("a run"),
        };
        println!("\nrun {}", handle.id());
        let result: u64 = handle.wait().await.expect("a result");
        println!("\nresult {result} after {} recoveries", handle.stats().recoveries);
    });
}

/// What a child said before its end.
struct Said {
    run: Option<RunId>,
    result: Option<String>,
}

fn child(folder: &std::path::Path, life: Option<Duration>) -> Said {
    child_of(folder, life, false)
}

fn child_of(folder: &std::path::Path, life: Option<Duration>, is_everything: bool) -> Said {
    let mut command = Command::new(std::env::current_exe().expect("this test"));
    if is_everything {
        command.env(EVERYTHING, "1");
    }
    let mut child = command
        .args([
            "--exact",
            "killed::child_that_runs_until_it_is_killed",
            "--ignored",
            "--nocapture",
        ])
        .env(STATE, folder)
        .stdout(Stdio::piped())
        .spawn()
        .expect("a child");
    let output = BufReader::new(child.stdout.take().expect("its output"));
    let mut said = Said {
        run: None,
        result: None,
    };
    for line in output.lines().map_while(Result::ok) {
        if let Some(run) = line.strip_prefix("run ") {
            said.run = RunId::parse(run);
            if let Some(life) = life {
                std::thread::sleep(life);
                child.kill().expect("kill");
            }
        }
        if let Some(result) = line.strip_prefix("result ") {
            said.result = Some(result.to_string());
        }
    }
    child.wait().expect("its end");
    said
}

#[test]
fn r16_a_run_whose_coordinator_is_killed_again_and_again_ends_with_its_result() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut first = None;
    for life in [1, 5, 20, 40, 60, 15] {
        let said = child(folder.path(), Some(Duration::from_millis(life)));
        assert_eq!(said.result, None, "it ended before it was killed: make it longer");
        let run = said.run.expect("a run");
        assert_eq!(*first.get_or_insert(run), run, "it is one and the same run");
    }
    let expected = format!("{} after 6 recoveries", expected_long(PARTS, EACH));
    assert_eq!(child(folder.path(), None).result, Some(expected.clone()));
    // It has ended, and can be asked again.
    let again = child(folder.path(), None).result.expect("a result");
    assert!(again.starts_with(&expected_long(PARTS, EACH).to_string()), "{again}");
    let objects = std::fs::read_dir(folder.path().join("store")).map_or(0, |entries| {
        entries
            .filter_map(Result::ok)
            .filter(|entry| entry.file_name() == "runs")
            .map(|runs| count_files(&runs.path()))
            .sum()
    });
    assert_eq!(objects, 0, "objects are left in the store");
}

#[test]
fn r16_neither_sleep_nor_background_nor_an_object_on_its_way_is_lost_with_the_coordinator() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut kills = 0;
    let mut lives = [1, 3, 5, 8, 12, 25, 50, 80, 7, 2].into_iter();
    let result = loop {
        let life = lives.next().map(Duration::from_millis);
        let said = child_of(folder.path(), life, true);
        match said.result {
            Some(result) => break result,
            None => kills += 1,
        }
    };
    assert!(kills >= 5, "it was killed only {kills} times: make it longer");
    let expected = format!("{} after {kills} recoveries", expected_everything(PARTS, STEPS));
    assert_eq!(result, expected);
    check_objects(&folder.path().join("outside"), PARTS, STEPS);
}

fn count_files(folder: &std::path::Path) -> usize {
    let entries = std::fs::read_dir(folder).expect("a folder");
    entries
        .map(|entry| entry.expect("an entry").path())
        .map(|path| if path.is_dir() { count_files(&path) } else { 1 })
        .sum()
}
