//! The example `word_count` gives, byte by byte, what the shell pipeline of its header gives: on ten megabytes of text, also when invocations are killed all the
//! time, and when everything is.

use crate::program::{Place, Running};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use std::process::Command;
use std::time::Duration;

/// What `[:space:]` is in the C locale.
const SPACES: &[u8] = b" \t\n\x0b\x0c\r";

const FILES: [&str; 4] = ["a.txt", "b with a space", "c", "empty"];

const ROUGH: [&str; 6] = [
    "--platform",
    "process",
    "--chaos",
    "kill=0.3,seed=7",
    "--time-limit",
    "2s",
];

/// Ten megabytes in three files, as different as text is; and an empty one.
fn place_with_text() -> Place {
    let place = Place::new();
    for (seed, name) in FILES.iter().enumerate().take(3) {
        place.write(name, text(seed as u64, (10 << 20) / 3 + 1));
    }
    place.write("empty", "");
    place
}

fn text(seed: u64, bytes: usize) -> Vec<u8> {
    let mut dice = SmallRng::seed_from_u64(seed);
    let mut text = b" \n a file may begin with white space\r\n".to_vec();
    while text.len() < bytes {
        match dice.random_range(0..1000) {
            0 => text.extend((0..dice.random_range(1..2000)).map(|_| b'x')),
            1 => text.extend("größer \u{85} \u{a0} naïve".bytes()),
            2 => text.extend(b"\x00 \xff\xfe \x1f"),
            3..600 => text.extend(format!("w{}", dice.random_range(0..50u32)).bytes()),
            _ => text.extend(format!("Word{}", dice.random_range(0..20_000u32)).bytes()),
        }
        for _ in 0..dice.random_range(1..3) {
            text.push(SPACES[dice.random_range(0..SPACES.len())]);
        }
    }
    text.extend(b"a-word-at-the-end");
    text
}

fn shell(place: &Place, script: &str) -> Vec<u8> {
    let mut shell = Command::new("sh");
    shell
        .args(["-c", script])
        .current_dir(place.folder.path())
        .env("LC_ALL", "C");
    let output = shell.output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    output.stdout
}

/// What the pipeline says.
fn expected(place: &Place) -> Vec<u8> {
    let script = r#"for file in a.txt "b with a space" c empty; do cat "$file"; echo; done | tr -s '[:space:]' '\n' | sed '/^$/d' | sort | uniq -c"#;
    shell(place, script)
}

/// What the example has written, in one piece. Nothing else is there.
fn found(place: &Place, output: &str) -> Vec<u8> {
    assert_eq!(
        shell(place, &format!("ls -A {output}")),
        b"part-00000\npart-00001\npart-00002\npart-00003\n"
    );
    shell(place, &format!("sort -k2 {output}/part-*"))
}

fn input(output: &str) -> String {
    serde_json::json!({"files": FILES, "output": output, "split_bytes": 400_000}).to_string()
}

/// Words and different words of a count.
fn sums(counts: &[u8]) -> serde_json::Value {
    let text = String::from_utf8_lossy(counts).into_owned();
    let count = |line: &str| line.trim_start().split(' ').next().unwrap().parse::<u64>().unwrap();
    let counts: Vec<u64> = text.split_terminator('\n').map(count).collect();
    serde_json::json!({"words": counts.iter().sum::<u64>(), "distinct": counts.len()})
}

/// A number of the summary on stderr, for example that before `killed`.
fn told(stderr: &str, what: &str) -> u64 {
    let summary = stderr.lines().last().unwrap();
    let words: Vec<&str> = summary
        .split([' ', ',', '(', ')'])
        .filter(|word| !word.is_empty())
        .collect();
    let position = words.iter().position(|word| *word == what);
    position.map_or(0, |position| words[position - 1].parse().unwrap())
}

#[test]
fn ten_megabytes_give_what_the_pipeline_gives_also_under_chaos() {
    let place = place_with_text();
    let expected = expected(&place);

    let ended = place.run("word_count", &["run", "--input", &input("plain")]);
    assert_eq!(ended.value(), sums(&expected));
    assert!(found(&place, "plain") == expected, "the plain count differs");

    let rough = input("rough");
    let arguments = [&["run", "--input", &rough][..], &ROUGH].concat();
    let ended = place.run("word_count", &arguments);
    assert_eq!(ended.value(), sums(&expected));
    assert!(found(&place, "rough") == expected, "the count under chaos differs");
    for what in ["killed", "resumed"] {
        assert!(told(&ended.stderr, what) >= 3, "{what}: {}", ended.stderr);
    }

    let by_http = input("by_http");
    let arguments = [&["run", "--input", &by_http][..], &ROUGH, &["--link", "http"]].concat();
    let ended = place.run("word_count", &arguments);
    assert_eq!(ended.value(), sums(&expected));
    assert!(
        found(&place, "by_http") == expected,
        "the count with calls by HTTP differs"
    );
}

/// The coordinator and all its workers at once.
fn kill_everything(place: &Place) {
    for process in place.processes() {
        // One that is gone already is as good.
        let _ = kill(Pid::from_raw(process), Signal::SIGKILL);
    }
}

#[test]
fn r16_ten_megabytes_survive_the_death_of_everything() {
    let place = place_with_text();
    let expected = expected(&place);
    let state = ["--state", "a state"];
    let input = input("out");
    // One worker at a time, so that the work lasts longer than the lives below on a fast machine, too.
    let one = ["--workers", "1"];
    let arguments = [&["run", "--input", &input][..], &ROUGH, &state, &one].concat();
    let mut running = Running::start(place.command("word_count", &arguments));
    let run = running.run_id();
    assert!(
        running
            .said
            .contains(&format!("`word_count resume {run} --state 'a state'`")),
        "{}",
        running.said
    );
    for life in [100, 250, 150, 350, 200] {
        std::thread::sleep(Duration::from_millis(life));
        assert!(
            !running.is_over(),
            "it was done before it was killed: {}",
            running.end().stderr
        );
        kill_everything(&place);
        assert_eq!(running.end().code, None);
        let arguments = [&["resume", &run][..], &ROUGH, &state, &one].concat();
        running = Running::start(place.command("word_count", &arguments));
    }
    let ended = running.end();
    assert_eq!(ended.value(), sums(&expected));
    assert!(found(&place, "out") == expected, "the count differs");
    assert_eq!(shell(&place, "find 'a state/store' -type f"), b"", "objects are left");
}

#[test]
fn what_is_said_about_going_on_is_all_that_is_needed() {
    let place = place_with_text();
    let elsewhere = [
        "--state",
        "it's here",
        "--store",
        "file:not there",
        "--platform",
        "process",
    ];
    let input = input("out");
    // One worker at a time and short lives, so that the work lasts longer than the wait below on a fast machine, too.
    let slowly = ["--workers", "1", "--chaos", "kill=0.3,seed=7"];
    let arguments = [&["run", "--input", &input][..], &elsewhere, &slowly].concat();
    let mut running = Running::start(place.command("word_count", &arguments));
    running.run_id();
    std::thread::sleep(Duration::from_millis(300));
    running.send(Signal::SIGINT);
    let ended = running.end();
    assert_eq!(ended.code, Some(130), "{ended:?}");
    let last = ended.stderr.lines().last().unwrap();
    let how = last.split('`').nth(1).unwrap_or_else(|| panic!("{ended:?}"));

    // A shell takes it apart; the program is the one that has this name.
    let words = String::from_utf8(shell(&place, &format!("printf '%s\\n' {how}"))).unwrap();
    let words: Vec<&str> = words.lines().collect();
    assert_eq!(words[0], "word_count");
    place.run("word_count", &words[1..]).value();
    assert!(found(&place, "out") == expected(&place), "the count differs");
}

#[test]
fn a_mistyped_state_directory_is_not_made() {
    let place = Place::new();
    let run = "01a20a85f7637394b05ae92a820b294d";
    let ended = place.run("word_count", &["resume", run, "--state", "sate"]);
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.contains(run) && ended.stderr.contains("sate"), "{ended:?}");
    assert!(!place.path("sate").exists());
}

#[test]
fn a_recursion_that_is_too_deep_is_refused_and_does_not_break_anything() {
    let place = Place::new();
    for platform in ["in-process", "process"] {
        let options = ["--platform", platform];
        let deepest = place.run("factorial", &[&["run", "--input", "5000"][..], &options].concat());
        assert_eq!(deepest.value().as_str().map(str::len), Some(16326));
        let ended = place.run("factorial", &[&["run", "--input", "5001"][..], &options].concat());
        assert_eq!(ended.code, Some(1), "{ended:?}");
        assert!(ended.stderr.contains("at most 5000"), "{ended:?}");
    }
}

#[test]
fn r10_more_tasks_than_make_sense_are_refused_before_anything_is_started() {
    let place = Place::new();
    place.write("text", "a ".repeat(20_000));
    for (more, reason) in [
        (r#""split_bytes": 1"#, "set a larger `split_bytes`"),
        (r#""split_bytes": 0"#, "set a larger `split_bytes`"),
        (r#""reducers": 4000000000"#, "4000000000 reducers are too many"),
    ] {
        let input = format!(r#"{{"files": ["text"], "output": "out", {more}}}"#);
        let ended = place.run("word_count", &["run", "--input", &input]);
        assert_eq!(ended.code, Some(1), "{ended:?}");
        assert!(ended.stderr.contains(reason), "{ended:?}");
        assert!(!place.path("out").exists());
    }
}
