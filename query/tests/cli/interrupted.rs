//! Ctrl-C and SIGKILL in the middle of a query.

use crate::support::{PATIENCE, Ran, Shop};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::io::{BufRead, BufReader, Read};
use std::process::Child;
use std::time::{Duration, Instant};

/// Too long for any test: 8 * 10^12 pairs.
const ENDLESS: &str = "SELECT sum(a.id * b.id - c.id) FROM orders a, orders b, orders c WHERE a.id + b.id > c.id";

/// Long enough to be interrupted, short enough to be waited for: 10^8 pairs.
const LONG: &str = "SELECT a.city, sum(a.id * b.id) AS s, count(*) AS n FROM orders a, orders b WHERE a.id % 7 <> b.id % 7 AND b.id <= 5000 \
                    GROUP BY a.city ORDER BY a.city";

fn signal(child: &Child, signal: Signal) {
    kill(Pid::from_raw(child.id().try_into().unwrap()), signal).unwrap();
}

/// Waits until the program has started so many processes, itself included.
fn wait_for_processes(shop: &Shop, count: usize) {
    let deadline = Instant::now() + PATIENCE;
    while shop.processes().len() < count {
        assert!(Instant::now() < deadline, "it did not start {count} processes");
        std::thread::sleep(Duration::from_millis(10));
    }
    // Into the middle of what they do.
    std::thread::sleep(Duration::from_millis(500));
}

fn ends(child: Child) -> Ran {
    let started = Instant::now();
    let ran = Ran::of(child.wait_with_output().unwrap());
    assert!(
        started.elapsed() < PATIENCE,
        "it took {:?} to end: {ran:?}",
        started.elapsed()
    );
    ran
}

/// Starts a query with a state folder, and gives its run id as soon as it is known.
fn start_with_state(shop: &Shop, sql: &str) -> (Child, String) {
    let mut command = shop.program();
    command.args([
        "--data",
        "data",
        "--format",
        "csv",
        "--platform",
        "process",
        "--workers",
        "2",
        "--state",
        "state",
        "-c",
        sql,
    ]);
    let mut child = shop.start(&mut command);
    let mut line = String::new();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    stderr.read_line(&mut line).unwrap();
    let run = line
        .strip_prefix("run ")
        .and_then(|rest| rest.split_once(';'))
        .map(|(run, _)| run.to_owned());
    let run = run.unwrap_or_else(|| panic!("no run id in {line:?}"));
    assert!(
        line.contains(&format!("kappa-sql resume {run} --state state")),
        "{line}"
    );
    // Somebody has to read what else is said.
    std::thread::spawn(move || stderr.read_to_string(&mut String::new()));
    (child, run)
}

#[test]
fn ctrl_c_ends_a_query_and_everything_it_has_started() {
    let shop = Shop::large();
    for platform in ["process", "in-process"] {
        for (name, code) in [(Signal::SIGINT, 130), (Signal::SIGTERM, 143)] {
            let mut command = shop.program();
            command.args([
                "--data",
                "data",
                "--platform",
                platform,
                "--workers",
                "2",
                "--output",
                "out",
                "-c",
                ENDLESS,
            ]);
            let child = shop.start(&mut command);
            wait_for_processes(&shop, if platform == "process" { 2 } else { 1 });
            signal(&child, name);
            ends(child).failed(code, &["kappa-sql: interrupted\n"]);
            shop.assert_nothing_is_left();
            assert!(!shop.path("out").exists());
        }
    }
}

#[test]
fn r13_workers_of_a_killed_program_go_and_its_files_with_the_next() {
    let shop = Shop::large();
    let mut command = shop.program();
    command.args([
        "--data",
        "data",
        "--platform",
        "process",
        "--workers",
        "2",
        "-c",
        ENDLESS,
    ]);
    let mut child = shop.start(&mut command);
    wait_for_processes(&shop, 2);
    child.kill().unwrap();
    child.wait().unwrap();
    shop.assert_no_process_is_left();
    // Nobody was there to remove its store: the next program does.
    shop.sql(
        "SELECT count(*) AS n FROM orders",
        &["--platform", "process", "--format", "csv"],
    )
    .wrote("n\n20000\n");
}

#[test]
fn an_interrupted_run_is_resumed() {
    let shop = Shop::large();
    let expected = shop.sql(LONG, &["--format", "csv"]);
    assert_eq!(expected.out.lines().count(), 4, "{expected:?}");
    let (child, run) = start_with_state(&shop, LONG);
    wait_for_processes(&shop, 2);
    signal(&child, Signal::SIGINT);
    let ran = ends(child);
    assert!(matches!(ran.code, Some(0 | 130)), "{ran:?}");
    shop.assert_nothing_is_left();
    shop.run(&["resume", &run, "--state", "state", "--format", "csv"])
        .wrote(&expected.out);
}

#[test]
fn a_run_whose_program_was_killed_is_resumed_and_gives_its_result_again() {
    let shop = Shop::large();
    let expected = shop.sql(LONG, &["--format", "csv"]);
    let (mut child, run) = start_with_state(&shop, LONG);
    wait_for_processes(&shop, 2);
    child.kill().unwrap();
    child.wait().unwrap();
    shop.assert_no_process_is_left();
    let resume = [
        "resume",
        &run,
        "--state",
        "state",
        "--format",
        "csv",
        "--platform",
        "process",
    ];
    shop.run(&resume).wrote(&expected.out);
    shop.run(&resume).wrote(&expected.out);
}

/// TRAPS q24: rows of two files are never in one answer.
#[test]
fn q24_a_run_whose_file_was_replaced_after_a_kill_says_so() {
    let shop = Shop::large();
    let expected = shop.sql(LONG, &["--format", "csv"]);
    let (mut child, run) = start_with_state(&shop, LONG);
    wait_for_processes(&shop, 2);
    child.kill().unwrap();
    child.wait().unwrap();
    shop.assert_no_process_is_left();
    let (file, other) = (shop.data().join("orders.parquet"), shop.path("other"));
    std::fs::copy(&file, &other).unwrap();
    std::fs::rename(&other, &file).unwrap();
    let ran = shop.run(&["resume", &run, "--state", "state", "--format", "csv"]);
    // On a fast machine it may have read everything before it was killed.
    if ran.code == Some(0) {
        assert_eq!(ran.out, expected.out);
        return;
    }
    let words = "orders.parquet has changed since the query was planned";
    ran.failed(1, &[words, "start the query anew"]);
}
