//! A program as a user has it, deployed as it is: the words of text, counted by lambdas under all circumstances.

use crate::emulator::{BUCKET, Emulator, server};
use crate::program::{Ended, Place, Running, files_of};
use kappa_test_servers::Server;
use nix::sys::signal::Signal;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// The program; the tests lie beside the examples.
pub(crate) fn example() -> PathBuf {
    let this = std::env::current_exe().unwrap();
    let program = this.ancestors().nth(2).unwrap().join("examples/word_count");
    assert!(program.exists(), "do `cargo build --release -p kappa --examples`");
    program
}

/// A function whose program it is; Lambda ends it after three seconds.
fn deployed(server: &Server) -> Emulator {
    let emulator = Emulator::at(&server.endpoint());
    let program = std::fs::read(example()).unwrap();
    block_on(emulator.make("words", &program, 3));
    emulator
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Runtime::new().unwrap().block_on(future)
}

/// So many words of a few thousand different ones, and how often each of them is there.
fn text(words: usize) -> (String, BTreeMap<String, u64>) {
    let mut counts = BTreeMap::new();
    let mut text = String::new();
    let mut state = 7u64;
    for _ in 0..words {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let word = format!("w{}", (state >> 33) % 3000);
        text.push_str(&word);
        text.push(if state >> 60 == 0 { '\n' } else { ' ' });
        *counts.entry(word).or_default() += 1;
    }
    (text, counts)
}

/// What the program has written.
fn counted(output: &Path) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for (name, content) in files_of(output) {
        for line in String::from_utf8(content).unwrap().lines() {
            let (count, word) = line.trim_start().split_once(' ').unwrap();
            let before = counts.insert(word.to_string(), count.parse().unwrap());
            assert_eq!(before, None, "{word} is in {name} and before");
        }
    }
    counts
}

/// Paths are absolute: lambdas run in folders of their own.
fn input(place: &Place, split_bytes: u64) -> String {
    let (text, output) = (place.path("text"), place.path("out"));
    serde_json::json!({ "files": [text], "output": output, "split_bytes": split_bytes }).to_string()
}

fn command(place: &Place, server: &Server, arguments: &[&str]) -> Command {
    let store = format!("s3://{BUCKET}/words");
    let on = ["--platform", "aws", "--function", "words", "--store", &store];
    let mut command = place.command("word_count", &[arguments, &on].concat());
    server.serve(&mut command);
    command
}

fn ended(command: Command) -> Ended {
    Running::start(command).end()
}

/// Whatever of a run is left in the bucket.
fn objects(server: &Server) -> String {
    let url = format!("{}/{BUCKET}?list-type=2", server.endpoint());
    block_on(async { reqwest::get(url).await.unwrap().text().await.unwrap() })
}

#[test]
fn words_are_counted_by_lambdas_and_nothing_is_left_in_the_bucket() {
    let (server, place) = (server(), Place::new());
    deployed(&server);
    let (text, counts) = text(100_000);
    place.write("text", text);
    let input = &input(&place, 50000);
    let ended = ended(command(&place, &server, &["run", "--input", input]));
    assert_eq!(ended.value()["words"], 100_000, "{}", ended.stderr);
    assert_eq!(counted(&place.path("out")), counts);
    assert!(!objects(&server).contains("<Key>"), "{}", objects(&server));
}

#[test]
fn words_are_counted_while_lambdas_are_killed_throttled_and_out_of_time() {
    let (server, place) = (server(), Place::new());
    let emulator = deployed(&server);
    block_on(emulator.reserve("words", 2));
    let (text, counts) = text(400_000);
    place.write("text", text);
    let input = &input(&place, 200000);
    let chaos = ["run", "--input", input, "--chaos", "kill=0.3,seed=7", "--workers", "20"];
    // A run that is over before enough of its lambdas were killed proves too little: then there is another one.
    let (mut killed, mut is_throttled) = (0, false);
    for _ in 0..20 {
        let mut running = Running::start(command(&place, &server, &chaos));
        let mut killed_of_run = 0;
        while !running.is_over() {
            std::thread::sleep(Duration::from_millis(200));
            if killed_of_run < 15 {
                killed_of_run += u32::from(crate::runs::kill_a_lambda(emulator.endpoint()));
            }
        }
        let ended = running.end();
        assert_eq!(ended.value()["words"], 400_000, "{}", ended.stderr);
        assert_eq!(counted(&place.path("out")), counts);
        killed += killed_of_run;
        is_throttled |= ended.stderr.contains("throttled");
        if killed > 2 && is_throttled {
            return;
        }
    }
    panic!("{killed} lambdas were killed in 20 runs; throttled: {is_throttled}");
}

#[test]
fn words_are_counted_after_the_coordinator_was_killed_again_and_again() {
    let (server, place) = (server(), Place::new());
    deployed(&server);
    let (text, counts) = text(400_000);
    place.write("text", text);
    let input = &input(&place, 20000);
    let state = ["--state", "state"];
    let begin = command(&place, &server, &[&["run", "--input", input][..], &state].concat());
    let mut running = Running::start(begin);
    let run = running.run_id();
    let mut killed = 0;
    let ended = loop {
        std::thread::sleep(Duration::from_millis(700));
        if running.is_over() {
            break running.end();
        }
        if killed < 5 {
            running.send(Signal::SIGKILL);
            running.end();
            killed += 1;
            running = Running::start(command(&place, &server, &[&["resume", &run][..], &state].concat()));
        }
    };
    assert_eq!(ended.value()["words"], 400_000, "{}", ended.stderr);
    assert!(killed >= 3, "it was killed only {killed} times before it was done");
    assert_eq!(counted(&place.path("out")), counts);
    assert!(!objects(&server).contains("<Key>"), "{}", objects(&server));
}

#[test]
fn a_function_that_is_not_there_is_said_at_once() {
    let (server, place) = (server(), Place::new());
    let ended = ended(command(
        &place,
        &server,
        &["run", "--input", r#"{"files": [], "output": "out"}"#],
    ));
    assert_ne!(ended.code, Some(0));
    assert!(
        ended.stderr.contains("no function `words`") && ended.stderr.contains("kappa deploy"),
        "{}",
        ended.stderr
    );
}
