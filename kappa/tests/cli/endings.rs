//! How programs end: well, interrupted, killed. Nothing is left, and what was recorded can be gone on with.

use crate::program::{Place, Running, wait_until};
use nix::sys::signal::Signal;
use serde_json::json;

/// A run of many small tasks, long enough to be interrupted.
const LONG: &str = r#"{"files": ["text"], "output": "out", "split_bytes": 60}"#;

fn place_with_text() -> Place {
    let place = Place::new();
    place.write("text", "the quick brown fox jumps over the lazy dog\n".repeat(600));
    place
}

#[test]
fn the_result_and_nothing_else_is_on_stdout() {
    let place = Place::new();
    for platform in ["in-process", "process"] {
        let ended = place.run("factorial", &["run", "--input", "30", "--platform", platform]);
        assert_eq!(ended.code, Some(0));
        assert_eq!(ended.stdout, "\"265252859812191058636308480000000\"\n");
        assert!(ended.stderr.starts_with("1 task, 1 invocation, "), "{}", ended.stderr);
    }
    let quiet = place.run("factorial", &["run", "--input", "5", "--quiet"]);
    assert_eq!((quiet.stdout.as_str(), quiet.stderr.as_str()), ("\"120\"\n", ""));
}

#[test]
fn input_comes_from_a_file_or_from_stdin_too() {
    let place = Place::new();
    let file = place.write("five.json", "{\"n\": 5}");
    assert_eq!(
        place.run("factorial", &["run", "--input", "@five.json"]).value(),
        json!("120")
    );
    let mut command = place.command("factorial", &["run", "--input", "@-"]);
    let output = command.stdin(std::fs::File::open(file).unwrap()).output().unwrap();
    assert_eq!(output.stdout, b"\"120\"\n");
}

#[test]
fn deep_recursion_gives_the_same_number_however_often_it_is_killed() {
    let place = Place::new();
    let plain = place.run("factorial", &["run", "--input", "400"]).value();
    for seed in 1..6 {
        let chaos = format!("kill=0.5,seed={seed}");
        let killed = place.run(
            "factorial",
            &["run", "--input", "400", "--platform", "process", "--chaos", &chaos],
        );
        assert_eq!(killed.value(), plain);
    }
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let place = Place::new();
    let mut command = place.command("factorial", &["run", "--input", "400", "--quiet"]);
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = command.stdout(writer).output().unwrap();
    assert_eq!((output.status.code(), output.stderr.len()), (Some(0), 0));
}

#[test]
fn r13_ctrl_c_ends_a_run_cleanly_and_says_how_to_go_on() {
    for (platform, signal, code) in [
        ("process", Signal::SIGINT, 130),
        ("process", Signal::SIGTERM, 143),
        ("in-process", Signal::SIGINT, 130),
    ] {
        let place = place_with_text();
        let arguments = ["run", "--input", LONG, "--state", "state", "--platform", platform];
        let mut running = Running::start(place.command("word_count", &arguments));
        let run = running.run_id();
        wait_until("something has been done", || place.path("state/store/runs").exists());
        running.send(signal);
        let ended = running.end();
        assert_eq!(ended.code, Some(code), "{ended:?}");
        assert_eq!(ended.stdout, "");
        let how = format!("interrupted; go on with `word_count resume {run} --state state`");
        assert!(ended.stderr.contains(&how), "{}", ended.stderr);
        place.assert_nothing_is_left();

        let resumed = place.run(
            "word_count",
            &["resume", &run, "--state", "state", "--platform", platform],
        );
        assert_eq!(resumed.value(), json!({"words": 5400, "distinct": 8}));
        let again = place.run("word_count", &["resume", &run, "--state", "state"]);
        assert_eq!(
            again.value(),
            resumed.value(),
            "a run that has ended gives its result again"
        );
    }
}

/// The id of a run of `word_count` that was interrupted when something had been done.
fn interrupted_word_count(place: &Place) -> String {
    let mut running = Running::start(place.command("word_count", &["run", "--input", LONG, "--state", "state"]));
    let run = running.run_id();
    wait_until("something has been done", || place.path("state/store/runs").exists());
    running.send(Signal::SIGINT);
    assert_eq!(running.end().code, Some(130));
    run
}

#[test]
fn another_program_is_refused_also_if_it_is_said_to_be_the_same_and_the_right_one_ends_the_run() {
    let place = place_with_text();
    let run = interrupted_word_count(&place);
    let refused = place.run("factorial", &["resume", &run, "--state", "state"]);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    for part in [
        "of `word_count` has worked on it so far",
        "of `factorial`",
        "--same-program",
    ] {
        assert!(refused.stderr.contains(part), "{}", refused.stderr);
    }
    for platform in ["in-process", "process"] {
        let arguments = [
            "resume",
            &run,
            "--state",
            "state",
            "--same-program",
            "--platform",
            platform,
        ];
        let refused = place.run("factorial", &arguments);
        assert_eq!(refused.code, Some(1), "{refused:?}");
        for part in [
            "has no task function word_count::",
            "kappa cancel",
            &format!("resume {run}"),
        ] {
            assert!(refused.stderr.contains(part), "{}", refused.stderr);
        }
    }
    // It was said to be the same: the run is the other one's since then, so the same has to be said again.
    let ended = place.run("word_count", &["resume", &run, "--state", "state", "--same-program"]);
    assert_eq!(ended.value(), json!({"words": 5400, "distinct": 8}));
}

#[test]
fn a_run_that_another_program_could_not_go_on_with_can_be_cancelled() {
    let place = place_with_text();
    let run = interrupted_word_count(&place);
    assert_eq!(
        place.run("factorial", &["resume", &run, "--state", "state"]).code,
        Some(1)
    );
    let cancelled = place.kappa(&["cancel", &run, "--state", "state"]);
    assert_eq!(cancelled.code, Some(0), "{cancelled:?}");
    let ended = place.run("word_count", &["resume", &run, "--state", "state"]);
    assert!(ended.stderr.contains("was cancelled"), "{}", ended.stderr);
}

#[test]
fn r13_without_a_state_directory_ctrl_c_leaves_nothing_at_all() {
    let place = place_with_text();
    let running = Running::start(place.command("word_count", &["run", "--input", LONG, "--platform", "process"]));
    wait_until("workers are there", || place.processes().len() > 3);
    running.send(Signal::SIGINT);
    let ended = running.end();
    assert_eq!(ended.code, Some(130), "{ended:?}");
    assert!(
        ended.stderr.contains("a run with --state DIR could be resumed"),
        "{}",
        ended.stderr
    );
    place.assert_nothing_is_left();
}

#[test]
fn r13_kill_9_leaves_neither_processes_nor_temporary_files() {
    let place = place_with_text();
    let running = Running::start(place.command("word_count", &["run", "--input", LONG, "--platform", "process"]));
    wait_until("workers are there", || place.processes().len() > 3);
    running.send(Signal::SIGKILL);
    assert_eq!(running.end().code, None);
    place.assert_nothing_is_left();
}

#[test]
fn two_programs_cannot_work_on_one_run() {
    let place = place_with_text();
    // Slow enough that the first is still there when the second comes.
    let slowly = [
        "--state",
        "state",
        "--platform",
        "process",
        "--workers",
        "1",
        "--chaos",
        "kill=0.6",
    ];
    let arguments = [&["run", "--input", LONG][..], &slowly].concat();
    let mut running = Running::start(place.command("word_count", &arguments));
    let run = running.run_id();
    let second = place
        .command("word_count", &["resume", &run, "--state", "state"])
        .output()
        .unwrap();
    let stderr = String::from_utf8(second.stderr).unwrap();
    assert_eq!(second.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("in use by another process"), "{stderr}");
    running.send(Signal::SIGINT);
    running.end();
}
