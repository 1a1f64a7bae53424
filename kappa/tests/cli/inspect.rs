//! What can be asked about runs, of the programs themselves and of the binary `kappa`: while they go on, after their end, after the death of everything.

use crate::program::{Ended, Place, Running, wait_until};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// A run of many small tasks, long enough to be looked at.
const LONG: &str = r#"{"files": ["text"], "output": "out", "split_bytes": 60}"#;
const SHORT: &str = r#"{"files": ["text"], "output": "short", "split_bytes": 6000}"#;

/// Slow enough to be caught in the middle.
const SLOWLY: [&str; 6] = ["--platform", "process", "--workers", "1", "--chaos", "kill=0.5"];

fn place_with_text() -> Place {
    let place = Place::new();
    place.write("text", "the quick brown fox jumps over the lazy dog\n".repeat(600));
    place
}

fn run(input: &'static str, more: &[&'static str]) -> Vec<&'static str> {
    [&["run", "--input", input, "--state", "state"][..], more].concat()
}

/// What the binary says about the runs of `state`.
fn ask(place: &Place, arguments: &[&str]) -> Ended {
    place.kappa(&[arguments, &["--state", "state"]].concat())
}

fn ask_json(place: &Place, arguments: &[&str]) -> Value {
    ask(place, &[arguments, &["--json"]].concat()).value()
}

/// A run on which somebody is working, and which has done something.
fn going_on(place: &Place) -> (Running, String) {
    let mut running = Running::start(place.command("word_count", &run(LONG, &SLOWLY)));
    let id = running.run_id();
    wait_until("something has been done", || {
        fs::read(place.path(&format!("state/runs/{id}/events"))).is_ok_and(|events| events.len() > 20_000)
    });
    (running, id)
}

#[test]
fn a_run_that_has_ended_is_listed_and_shown_with_what_the_program_itself_said() {
    let place = place_with_text();
    let ended = place.run(
        "word_count",
        &run(SHORT, &["--platform", "process", "--chaos", "kill=0.4,seed=3"]),
    );
    assert_eq!(ended.value(), json!({"words": 5400, "distinct": 8}));
    let listed = ask_json(&place, &["runs"]);
    assert_eq!(listed.as_array().map(Vec::len), Some(1));
    assert_eq!(listed[0]["state"], "ended");
    assert!(
        listed[0]["program"].as_str().unwrap().ends_with("/word_count"),
        "{listed}"
    );

    let shown = ask_json(&place, &["show", "last"]);
    let (stats, sums) = (&shown["stats"], &shown["sums"]);
    for count in [
        "tasks",
        "invocations",
        "checkpoints",
        "resumed",
        "suspended",
        "killed",
        "timed_out",
        "out_of_memory",
        "crashed",
        "throttled",
    ] {
        assert_eq!(stats[count], sums[count], "{count}: {shown}");
    }
    assert_eq!(stats["checkpoint_bytes"], sums["bytes"]);
    assert!(stats["killed"].as_u64() > Some(0), "{stats}");
    let summary = ended.stderr.lines().last().unwrap();
    for (count, what) in [(&stats["tasks"], "tasks"), (&stats["invocations"], "invocations")] {
        assert!(summary.contains(&format!("{count} {what}")), "{summary}");
    }
    let names: Vec<_> = shown["functions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|of| &of["name"])
        .collect();
    for name in ["word_count", "map", "reduce"] {
        assert!(names.iter().any(|of| *of == name), "{names:?}");
    }
    assert_eq!(shown["damaged_lines"], 0);
    assert_eq!((&shown["failures"], &shown["waiting"]), (&json!([]), &json!([])));

    // The program says the same as the binary, and people are told as well as programs.
    let text = ask(&place, &["show", "last"]);
    assert_eq!(text.code, Some(0));
    let same = place.run("word_count", &["show", "last", "--state", "state"]);
    assert_eq!(same.stdout, text.stdout);
    assert!(text.stdout.contains("state        ended\n"), "{}", text.stdout);
    assert!(!text.stdout.contains('\u{1b}'), "no colours: {}", text.stdout);
    assert_eq!(text.stderr, "");
    let table = ask(&place, &["runs"]);
    assert!(table.stdout.starts_with("RUN "), "{}", table.stdout);
    assert!(
        table.stdout.lines().all(|line| line == line.trim_end()),
        "{}",
        table.stdout
    );
}

#[test]
fn a_run_may_be_named_by_the_beginning_of_its_id() {
    let place = place_with_text();
    place.run("word_count", &run(SHORT, &[]));
    place.write("other", "a b c");
    let input = r#"{"files": ["other"], "output": "out2"}"#;
    place.run("word_count", &run(input, &[]));
    let listed = ask_json(&place, &["runs"]);
    let ids: Vec<&str> = [0, 1].map(|index| listed[index]["run"].as_str().unwrap()).to_vec();
    let same = ids[0].bytes().zip(ids[1].bytes()).take_while(|(a, b)| a == b).count();
    assert_eq!(ask_json(&place, &["show", &ids[0][..same + 1]])["run"], ids[0]);
    assert_eq!(ask_json(&place, &["show", &ids[1].to_uppercase()])["run"], ids[1]);
    assert_eq!(ask_json(&place, &["show", "last"])["run"], ids[1]);
    let ambiguous = ask(&place, &["show", &ids[0][..same]]);
    assert_eq!(ambiguous.code, Some(1));
    assert!(ambiguous.stderr.contains("2 runs begin with"), "{ambiguous:?}");
    let result = place.run("word_count", &["resume", &ids[0][..same + 1], "--state", "state"]);
    assert_eq!(result.value(), json!({"words": 5400, "distinct": 8}));
}

#[test]
fn r16_a_run_whose_coordinator_was_killed_is_shown_as_it_was_and_resumed_by_the_binary() {
    let place = place_with_text();
    let (running, id) = going_on(&place);
    let during = ask_json(&place, &["show", &id]);
    assert_eq!(during["state"], "running");
    running.send(Signal::SIGKILL);
    assert_eq!(running.end().code, None);
    // It died in the middle of a line, and some bytes of the disk are not what they were.
    let events = place.path(&format!("state/runs/{id}/events"));
    let mut bytes = fs::read(&events).unwrap();
    bytes.extend(b"{\"n\":99999999,\"at\":17");
    fs::write(&events, bytes).unwrap();

    let after = ask_json(&place, &["show", &id]);
    assert_eq!(
        (&after["state"], &after["outcome"]),
        (&json!("interrupted"), &json!(null))
    );
    assert_eq!(after["damaged_lines"], 0, "a torn line is no damage");
    assert!(after["sums"]["checkpoints"].as_u64() >= during["sums"]["checkpoints"].as_u64());
    let waiting = &after["waiting"][0];
    assert_eq!(waiting["task"], 0, "{after}");
    assert!(
        waiting["text"].as_str().unwrap().contains("tasks, among them task "),
        "{waiting}"
    );
    let text = ask(&place, &["show", &id]).stdout;
    assert!(text.contains("because      its coordinator was killed"), "{text}");
    assert!(text.contains("\nwaiting:\n  task 0 (word_count) for "), "{text}");

    // From anywhere: the binary knows the program, its folder and its options.
    let state = place.path("state");
    let elsewhere = tempfile::tempdir().unwrap();
    let mut resume = place.kappa_command(&[
        "resume",
        "last",
        "--state",
        &state.to_string_lossy(),
        "--",
        "--workers",
        "2",
    ]);
    resume.current_dir(elsewhere.path());
    let resumed = Running::start(resume).end();
    assert_eq!(resumed.value(), json!({"words": 5400, "distinct": 8}));
    place.assert_nothing_is_left();

    let whole = ask_json(&place, &["show", &id]);
    let (stats, sums) = (&whole["stats"], &whole["sums"]);
    assert_eq!(whole["state"], "ended");
    assert_eq!(whole["damaged_lines"], 0);
    assert_eq!(whole["recoveries"].as_array().map(Vec::len), Some(1));
    // What the killed coordinator had not written was told again by the journal.
    for count in ["tasks", "invocations", "checkpoints", "resumed", "suspended"] {
        assert_eq!(stats[count], sums[count], "{count}: {whole}");
    }
    let ended = sums["ended"].as_u64();
    assert_eq!(ended, sums["tasks"].as_u64(), "{whole}");
}

#[test]
fn r16_however_often_everything_is_killed_the_record_adds_up() {
    let place = place_with_text();
    let rough = ["--platform", "process", "--chaos", "kill=0.4", "--state", "state"];
    let mut running = Running::start(place.command("word_count", &[&["run", "--input", LONG][..], &rough].concat()));
    let id = running.run_id();
    let mut kills = 0;
    for life in [20, 45, 70, 110, 95, 60, 33] {
        std::thread::sleep(std::time::Duration::from_millis(life));
        if running.is_over() {
            break;
        }
        running.send(Signal::SIGKILL);
        running.end();
        kills += 1;
        assert_eq!(ask_json(&place, &["show", &id])["state"], "interrupted");
        running = Running::start(place.command("word_count", &[&["resume", &id][..], &rough].concat()));
    }
    assert!(kills > 3, "it was done too soon");
    assert_eq!(running.end().value(), json!({"words": 5400, "distinct": 8}));
    let whole = ask_json(&place, &["show", &id]);
    let (stats, sums) = (&whole["stats"], &whole["sums"]);
    for count in ["tasks", "invocations", "checkpoints", "resumed", "suspended"] {
        assert_eq!(stats[count], sums[count], "{count}: {whole}");
    }
    assert_eq!(stats["checkpoint_bytes"], sums["bytes"]);
    assert_eq!(stats["recoveries"], whole["recoveries"].as_array().unwrap().len());
    assert_eq!((&whole["damaged_lines"], &whole["waiting"]), (&json!(0), &json!([])));
}

#[test]
fn what_interrupted_a_run_is_said() {
    let place = place_with_text();
    let (running, id) = going_on(&place);
    running.send(Signal::SIGINT);
    assert_eq!(running.end().code, Some(130));
    let shown = ask_json(&place, &["show", &id]);
    assert_eq!(shown["state"], "interrupted");
    let reason = shown["outcome"]["interrupted"].as_str().unwrap();
    assert!(reason.contains("was interrupted"), "{reason}");
}

#[test]
fn a_run_that_somebody_works_on_is_cancelled_by_that_process() {
    let place = place_with_text();
    let (running, id) = going_on(&place);
    let cancelled = ask(&place, &["cancel", &id]);
    assert_eq!(cancelled.code, Some(0), "{cancelled:?}");
    assert_eq!(cancelled.stdout, "");
    let ended = running.end();
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stderr.contains("was cancelled"), "{ended:?}");
    assert_eq!(ask_json(&place, &["runs"])[0]["state"], "cancelled");
    place.assert_nothing_is_left();
    assert_eq!(objects(&place.path("state/store")), 0, "objects are left");

    let again = ask(&place, &["cancel", &id]);
    assert_eq!(again.code, Some(0), "cancelling twice is fine: {again:?}");
    let resumed = place.run("word_count", &["resume", &id, "--state", "state"]);
    assert_eq!(resumed.code, Some(1), "a cancelled run is over");
    assert!(resumed.stderr.contains("was cancelled"), "{resumed:?}");
}

#[test]
fn a_run_that_nobody_works_on_is_cancelled_without_starting_anything() {
    let place = place_with_text();
    let (running, id) = going_on(&place);
    running.send(Signal::SIGKILL);
    running.end();
    let before = ask_json(&place, &["show", &id])["sums"]["checkpoints"].clone();
    let cancelled = ask(&place, &["cancel", "last"]);
    assert_eq!(cancelled.code, Some(0), "{cancelled:?}");
    let shown = ask_json(&place, &["show", &id]);
    assert_eq!(shown["state"], "cancelled");
    let after = shown["sums"]["checkpoints"].as_u64().unwrap();
    // What the journal knew and the killed coordinator had not written may be added, but nothing new.
    assert_eq!(shown["stats"]["checkpoints"], after);
    assert!(after - before.as_u64().unwrap() < 200, "{before} {after}");
    assert_eq!(objects(&place.path("state/store")), 0, "objects are left");
    let over = ask(&place, &["cancel", "last"]);
    assert_eq!(over.code, Some(0));
}

#[test]
fn only_what_is_over_is_removed_and_what_is_left_in_the_store() {
    let place = place_with_text();
    place.run("word_count", &run(SHORT, &[]));
    let (running, id) = going_on(&place);
    // A run that used this store from elsewhere, and is gone.
    let orphan = place.path("state/store/runs/01a20a85f7637394b05ae92a820b294d");
    fs::create_dir_all(&orphan).unwrap();
    fs::write(orphan.join("x="), "x").unwrap();

    let would = ask_json(&place, &["gc", "--all", "--dry-run"]);
    assert_eq!(would.as_array().map(Vec::len), Some(1), "{would}");
    assert_eq!(
        (&would[0]["what"], &would[0]["removed"]),
        (&json!("ended"), &json!(false))
    );
    assert_eq!(ask_json(&place, &["gc", "--older-than", "1h"]), json!([]));
    assert_eq!(ask_json(&place, &["runs"]).as_array().map(Vec::len), Some(2));
    let removed = ask_json(&place, &["gc", "--all"]);
    assert_eq!(removed.as_array().map(Vec::len), Some(1), "{removed}");
    assert_eq!(ask_json(&place, &["runs"])[0]["run"], id.as_str());
    assert!(orphan.exists(), "it is too new to be sure that nobody needs it");

    running.send(Signal::SIGKILL);
    running.end();
    place.assert_nothing_is_left();
    assert_eq!(ask_json(&place, &["gc"]), json!([]), "it can still be resumed");
    std::thread::sleep(std::time::Duration::from_millis(20));
    let removed = ask(&place, &["gc", "--all", "--older-than", "1ms"]);
    assert_eq!(removed.code, Some(0), "{removed:?}");
    assert!(
        removed.stdout.contains(&id) && removed.stdout.contains("left in the store"),
        "{removed:?}"
    );
    assert_eq!(ask_json(&place, &["runs"]), json!([]));
    assert_eq!(objects(&place.path("state/store")), 0);
    let nothing = ask(&place, &["gc", "--all"]);
    assert_eq!((nothing.code, nothing.stdout.as_str()), (Some(0), ""));
}

#[test]
fn what_a_run_would_cost_follows_the_prices() {
    let place = place_with_text();
    place.run("word_count", &run(SHORT, &["--platform", "process"]));
    let cost = ask_json(&place, &["cost", "last", "--memory", "1GiB"]);
    let shown = ask_json(&place, &["show", "last"]);
    assert_eq!(cost["invocations"], shown["stats"]["invocations"]);
    let seconds = cost["seconds"].as_f64().unwrap();
    let computing = shown["sums"]["computing"].as_f64().unwrap();
    let invocations = cost["invocations"].as_f64().unwrap();
    // Handing over an invocation takes time too, and is not billed.
    assert!(
        seconds > 0.0 && seconds < computing + 0.001 * invocations,
        "{seconds} {computing}"
    );
    let store = &cost["store"];
    assert_eq!(store["lists"], 1, "everything goes at the end: {cost}");
    let requests = |kinds: [&str; 2]| kinds.iter().map(|kind| store[kind].as_f64().unwrap()).sum::<f64>();
    let for_store = requests(["puts", "lists"]) * 5e-6 + requests(["gets", "ranges"]) * 4e-7;
    let per_gb_second = match cost["architecture"].as_str() {
        Some("arm") => 0.0000133334,
        _ => 0.0000166667,
    };
    let expected = invocations * 2e-7 + seconds * per_gb_second + for_store;
    let total = cost["total"].as_f64().unwrap();
    assert!((total - expected).abs() < 1e-12, "{total} {expected}");

    let mut prices = cost["prices"].clone();
    prices["invocation"] = json!(1.0);
    for free in ["gb_second", "gb_second_arm", "store_write", "store_read"] {
        prices[free] = json!(0.0);
    }
    prices["currency"] = json!("EUR");
    place.write("mine.json", prices.to_string());
    let mine = ask_json(&place, &["cost", "last", "--prices", "mine.json"]);
    assert_eq!(mine["total"].as_f64(), Some(invocations));
    let text = ask(&place, &["cost", "last", "--prices", "mine.json"]);
    assert!(
        text.stdout.contains("EUR") && text.stdout.contains("this is what it would have cost on AWS"),
        "{text:?}"
    );
    place.write("bad.json", "{}");
    let bad = ask(&place, &["cost", "last", "--prices", "bad.json"]);
    assert_eq!(bad.code, Some(1));
    assert!(
        bad.stderr.contains("bad.json is no price table") && bad.stderr.contains("gb_second"),
        "{bad:?}"
    );
}

#[test]
fn what_is_wrong_is_one_message_and_nothing_on_stdout() {
    let place = place_with_text();
    fs::create_dir(place.path("empty")).unwrap();
    place.write("file", "x");
    let unknown = "01a20a85f7637394b05ae92a820b294d";
    place.run("word_count", &run(SHORT, &[]));
    let commands: [&[&str]; 5] = [
        &["show"],
        &["timeline", "--html", "x.html"],
        &["cancel"],
        &["cost"],
        &["resume"],
    ];
    for command in commands {
        for (state, run, code, reason) in [
            (
                "state",
                unknown,
                1,
                "there is no run 01a20a85f7637394b05ae92a820b294d in",
            ),
            ("state", "x!", 2, "that is not a run's id"),
            ("empty", "last", 1, "empty is not the state directory of any run"),
            ("nowhere", "last", 1, "there is no folder nowhere"),
            ("redis://a,,b", "last", 1, "has an empty host"),
            ("http://host", "last", 2, "a state is a folder, or Redis servers"),
            ("file", "last", 1, "file is not the state directory of any run"),
        ] {
            let arguments = [command, &[run, "--state", state]].concat();
            assert_refused(&place.kappa(&arguments), code, &[reason]);
        }
    }
    for command in ["runs", "gc"] {
        assert_refused(
            &place.kappa(&[command, "--state", "empty"]),
            1,
            &["empty is not the state directory"],
        );
        assert_refused(&place.kappa(&[command]), 2, &["--state <DIR"]);
    }
    let to_nowhere = ask(&place, &["timeline", "last", "--html", "no/such/file.html"]);
    assert_refused(&to_nowhere, 1, &["cannot write no/such/file.html", "No such file"]);
    assert!(!place.path("nowhere").exists(), "nothing is made");
}

fn assert_refused(ended: &Ended, code: i32, reasons: &[&str]) {
    assert_eq!(ended.code, Some(code), "{ended:?}");
    assert_eq!(ended.stdout, "", "{ended:?}");
    assert!(!ended.stderr.contains("panicked"), "{ended:?}");
    assert_eq!(ended.stderr.matches("error:").count(), 1, "{ended:?}");
    for reason in reasons {
        assert!(ended.stderr.contains(reason), "{reason:?} is not in: {}", ended.stderr);
    }
}

#[test]
fn a_damaged_record_is_named_and_damaged_lines_are_left_out() {
    let place = place_with_text();
    place.run("word_count", &run(SHORT, &[]));
    let id = ask_json(&place, &["runs"])[0]["run"].as_str().unwrap().to_string();
    let folder = place.path("state/runs").join(&id);
    let events = fs::read(folder.join("events")).unwrap();
    let whole = ask_json(&place, &["show", "last"]);
    for (damage, lines) in [
        (&b"\xff\xfe\x00garbage\n"[..], 1),
        (b"{\"n\":1,\"at\":2,\"event\":\"something later\"}\nnull\n", 2),
        (b"{\"n\":5,\"at\":99999999999", 0),
    ] {
        fs::write(folder.join("events"), [&events, damage].concat()).unwrap();
        let shown = ask_json(&place, &["show", "last"]);
        assert_eq!(shown["damaged_lines"], lines);
        assert_eq!(shown["sums"], whole["sums"]);
    }
    fs::remove_file(folder.join("events")).unwrap();
    assert_eq!(
        ask_json(&place, &["show", "last"])["stats"],
        whole["stats"],
        "what is there is shown"
    );

    for damage in ["", "{", "[1, 2]", "{\"run\": 7}"] {
        fs::write(folder.join("run.json"), damage).unwrap();
        for command in [
            &["show", "last"][..],
            &["cost", "last"],
            &["timeline", "last", "--html", "x.html"],
            &["resume", "last"],
        ] {
            assert_refused(
                &ask(&place, command),
                1,
                &[&format!("the record of run {id} cannot be read")],
            );
        }
        assert_eq!(ask_json(&place, &["runs"])[0]["state"], "unknown");
    }
    // The run itself does not depend on its record.
    let result = place.run("word_count", &["resume", &id, "--state", "state"]);
    assert_eq!(result.value(), json!({"words": 5400, "distinct": 8}));
}

#[test]
fn a_state_directory_that_may_not_be_read_is_named() {
    let place = place_with_text();
    place.run("word_count", &run(SHORT, &[]));
    fs::set_permissions(place.path("state"), fs::Permissions::from_mode(0o700)).unwrap();
    let kappa = place.kappa_command(&["runs", "--state", "state"]);
    // Root may read everything, so somebody else has to try.
    let mut nobody = std::process::Command::new("setpriv");
    nobody.args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
    let absolute = place.path("state");
    let output = nobody
        .arg(kappa.get_program())
        .args(["runs", "--state"])
        .arg(&absolute)
        .output();
    let Ok(output) = output else {
        eprintln!("not tested: this system has no setpriv");
        return;
    };
    let stderr = String::from_utf8_lossy(&output.stderr);
    if stderr.contains("setpriv:") {
        eprintln!("not tested: {stderr}");
        return;
    }
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(
        stderr.contains("Permission denied") && stderr.contains("state"),
        "{stderr}"
    );
}

#[test]
fn help_has_examples() {
    let place = Place::new();
    let help = place.kappa(&["--help"]);
    assert!(
        help.stdout.contains("kappa timeline last --state DIR --html run.html"),
        "{help:?}"
    );
    for command in ["runs", "show", "timeline", "cancel", "gc", "cost", "resume"] {
        let help = place.kappa(&[command, "--help"]);
        assert_eq!(help.code, Some(0));
        assert!(help.stdout.contains("Examples:"), "{help:?}");
        assert!(help.stdout.contains("--state <DIR"), "{help:?}");
    }
}

/// How many files there are in a tree.
fn objects(folder: &Path) -> usize {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.file_type() {
            Ok(kind) if kind.is_dir() => objects(&entry.path()),
            _ => 1,
        })
        .sum()
}
