use crate::support::{SCALE, data, on_data, signal, success, text};
use kappa_tpcds::data::{DataFolder, TABLES};
use kappa_tpcds::engine::{Engine, PlainEngine};
use kappa_tpcds::job::Job;
use kappa_tpcds::{queries, verify};
use nix::sys::signal::Signal;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Stdio;

/// So little data makes these divide by zero, on every engine.
const ALL_BUT_12_AND_90: &str = "1-11,13-89,91-99";

/// The numbers of the last line: equal, total, invocations, killed, timed out, resumed.
fn summary(output: &str) -> [u64; 6] {
    let line = output.lines().last().unwrap();
    let words: Vec<_> = line
        .split(|c: char| !c.is_ascii_digit())
        .filter(|word| !word.is_empty())
        .collect();
    let numbers: Vec<u64> = words.into_iter().map(|word| word.parse().unwrap()).collect();
    let [equal, total, invocations, killed, timed_out, resumed] = numbers[..] else {
        panic!("{line}")
    };
    let expected = format!(
        "{equal} of {total} equal; {invocations} invocations, {killed} killed, {timed_out} timed out, {resumed} resumed"
    );
    assert_eq!(line, expected);
    numbers.try_into().unwrap()
}

#[test]
fn all_queries_are_equal_in_process() {
    let output = success(on_data("verify", &["--queries", ALL_BUT_12_AND_90]));
    let [equal, total, invocations, killed, ..] = summary(&output);
    assert_eq!((equal, total, killed), (97, 97, 0));
    assert!(invocations > 97, "{invocations}");
}

#[test]
fn queries_are_equal_on_processes_that_are_killed_at_random() {
    let output = success(on_data(
        "verify",
        &[
            "--queries",
            "1,14,16,23,39,64,67,95",
            "--platform",
            "process",
            "--time-limit",
            "2s",
            "--chaos",
            "kill=0.3,seed=7",
        ],
    ));
    let [equal, total, _, killed, _, resumed] = summary(&output);
    assert_eq!((equal, total), (8, 8));
    assert!(killed > 0 && resumed > 0, "{output}");
}

#[test]
fn r16_a_verification_whose_process_is_killed_again_and_again_goes_on_where_it_stopped() {
    let state = tempfile::tempdir().unwrap();
    let start = || {
        let mut command = on_data(
            "verify",
            &["--queries", "1-8,14,16", "--platform", "process", "--state"],
        );
        command.arg(state.path()).stdout(Stdio::piped()).spawn().unwrap()
    };
    // Each attempt is killed just after another line has appeared: the next statement is being worked on.
    for lines_seen in [1, 2, 3, 4, 6, 8] {
        let mut child = start();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let lines: Vec<_> = stdout.lines().take(1 + lines_seen).map(Result::unwrap).collect();
        assert_eq!(lines.len(), 1 + lines_seen, "{lines:?}");
        signal(&child, Signal::SIGKILL);
        child.wait().unwrap();
    }
    let output = start().wait_with_output().unwrap();
    let stdout = text(&output.stdout);
    assert!(output.status.success(), "{stdout}");
    assert_eq!(summary(&stdout)[..2], [10, 10]);
    assert_eq!(
        stdout.lines().count(),
        1 + 11 + 1,
        "a line each, and none twice:\n{stdout}"
    );
    assert!(!state.path().join("tpcds-verify.jsonl").exists());
}

fn copy_tables(from: &Path, to: &Path) {
    for table in &TABLES {
        let (from, to) = (from.join(table.name), to.join(table.name));
        fs::create_dir_all(&to).unwrap();
        for file in fs::read_dir(from).unwrap() {
            let file = file.unwrap();
            fs::hard_link(file.path(), to.join(file.file_name())).unwrap();
        }
    }
}

#[tokio::test]
async fn q22_an_engine_that_sees_rows_twice_is_found_out() {
    let good = DataFolder::open(&data(), SCALE.parse().unwrap()).unwrap();
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    copy_tables(good.path(), folder.path());
    let part = folder.path().join("store_sales/part-0001.parquet");
    fs::hard_link(&part, part.with_file_name("part-0002.parquet")).unwrap();
    let bad = DataFolder::open(folder.path(), SCALE.parse().unwrap()).unwrap();

    let plain = PlainEngine::new(&good).await.unwrap();
    let mut outputs = Vec::new();
    for data in [&good, &bad] {
        let engine = Engine::Plain(PlainEngine::with_partitions(data, 3).await.unwrap());
        let job = Job::open(&engine, 0, None, "verify").unwrap();
        let mut output = Vec::new();
        let selected = queries::select("3,43,62,68").unwrap();
        let verification = verify::verify(job, &plain, &selected, &mut output).await.unwrap();
        outputs.push((verification.equal, verification.total, text(&output)));
    }
    assert_eq!((outputs[0].0, outputs[0].1), (4, 4), "{}", outputs[0].2);
    // Query 62 looks at web sales only; the others see every store sale twice.
    assert_eq!((outputs[1].0, outputs[1].1), (1, 4), "{}", outputs[1].2);
    assert!(
        outputs[1].2.contains("DIFFERENT") && outputs[1].2.contains("\n         - "),
        "{}",
        outputs[1].2
    );
    assert!(
        outputs[1]
            .2
            .ends_with("1 of 4 equal; 0 invocations, 0 killed, 0 timed out, 0 resumed\n"),
        "{}",
        outputs[1].2
    );
}

#[tokio::test]
async fn only_answers_that_were_equal_are_not_compared_again() {
    let good = DataFolder::open(&data(), SCALE.parse().unwrap()).unwrap();
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    copy_tables(good.path(), folder.path());
    let part = folder.path().join("store_sales/part-0001.parquet");
    fs::hard_link(&part, part.with_file_name("part-0002.parquet")).unwrap();
    let bad = DataFolder::open(folder.path(), SCALE.parse().unwrap()).unwrap();

    let state = tempfile::tempdir().unwrap();
    let ledger = state.path().join("tpcds-verify.jsonl");
    let plain = PlainEngine::new(&good).await.unwrap();
    let selected = queries::select("43,62").unwrap();
    let verified = async |data: &DataFolder| {
        let engine = Engine::Plain(PlainEngine::new(data).await.unwrap());
        let job = Job::open(&engine, 0, Some(state.path()), "verify").unwrap();
        let mut output = Vec::new();
        let verification = verify::verify(job, &plain, &selected, &mut output).await.unwrap();
        assert_eq!(verification.total, 2);
        (verification.equal, text(&output))
    };
    // Query 62 does not look at store sales.
    let (equal, first) = verified(&bad).await;
    assert_eq!(
        (equal, fs::read_to_string(&ledger).unwrap().lines().count()),
        (1, 1),
        "{first}"
    );
    let (equal, second) = verified(&good).await;
    assert_eq!(equal, 2, "{second}");
    let of_62 = |output: &str| output.lines().find(|line| line.starts_with("   62")).map(str::to_owned);
    assert_eq!(
        (of_62(&second), of_62(&second).is_some()),
        (of_62(&first), true),
        "it was not run again"
    );
    assert!(!ledger.exists(), "all is equal, so nothing is left to go on with");
}
