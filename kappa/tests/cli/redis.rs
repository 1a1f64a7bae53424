//! Runs whose state is on Redis servers, looked at and looked after by the binary `kappa` and by the programs themselves, while servers and coordinators are
//! killed.

#[path = "../redis/servers.rs"]
mod servers;

use crate::program::{Ended, Place, Running};
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use servers::{Server, Servers, wait_until};
use std::fs;
use std::time::{Duration, Instant};

/// A run of many small tasks, long enough to be looked at.
const LONG: &str = r#"{"files": ["text"], "output": "out", "split_bytes": 60}"#;
const SHORT: &str = r#"{"files": ["text"], "output": "short", "split_bytes": 6000}"#;

fn place_with_text() -> Place {
    let place = Place::new();
    place.write("text", "the quick brown fox jumps over the lazy dog\n".repeat(600));
    place
}

fn ask(place: &Place, url: &str, arguments: &[&str]) -> Ended {
    place.kappa(&[arguments, &["--state", url]].concat())
}

fn ask_json(place: &Place, url: &str, arguments: &[&str]) -> Value {
    ask(place, url, &[arguments, &["--json"]].concat()).value()
}

fn checkpoints(place: &Place, url: &str, run: &str) -> u64 {
    ask_json(place, url, &["show", run])["sums"]["checkpoints"]
        .as_u64()
        .expect("a number")
}

/// A run on which somebody is working, and of which something is known.
fn going_on(place: &Place, url: &str) -> (Running, String) {
    let arguments = ["run", "--input", LONG, "--state", url];
    let slowly = ["--platform", "process", "--workers", "1", "--chaos", "kill=0.5"];
    let mut running = Running::start(place.command("word_count", &[&arguments[..], &slowly].concat()));
    let id = running.run_id();
    wait_until("something has been done", || checkpoints(place, url, &id) > 50);
    (running, id)
}

#[test]
fn a_run_on_redis_is_shown_resumed_drawn_and_removed_after_a_server_was_lost_and_its_coordinator_killed() {
    let place = place_with_text();
    let mut servers = Servers::start(2);
    let url = servers.url();
    let (running, id) = going_on(&place, &url);
    let listed = ask_json(&place, &url, &["runs"]);
    assert_eq!(listed.as_array().map(Vec::len), Some(1));
    assert_eq!(
        (&listed[0]["run"], &listed[0]["state"]),
        (&json!(id), &json!("running"))
    );
    let busy = ask(&place, &url, &["resume", "last"]);
    assert_eq!(busy.code, Some(1));
    assert!(busy.stderr.contains("is being worked on by process"), "{busy:?}");

    // The first server decides; the record goes on without it.
    servers.0[0].kill();
    let before = checkpoints(&place, &url, &id);
    wait_until("it goes on without the lost server", || {
        checkpoints(&place, &url, &id) > before + 20
    });
    running.send(Signal::SIGKILL);
    assert_eq!(running.end().code, None);
    let after = ask_json(&place, &url, &["show", &id[..14]]);
    assert_eq!(
        (&after["state"], &after["outcome"]),
        (&json!("interrupted"), &json!(null)),
        "{after}"
    );
    let text = ask(&place, &url, &["show", "last"]).stdout;
    assert!(text.contains("because      its coordinator was killed"), "{text}");
    assert!(text.contains("\nwaiting:\n  task 0 (word_count) for "), "{text}");
    assert!(
        ask(&place, &url, &["gc"]).stderr.contains("there is nothing to remove"),
        "it can be resumed"
    );

    // It is given what it has missed while the run goes on.
    servers.0[0].restart();
    // Nor is what that server still has of the killed coordinator taken for a sign of its life.
    let resumed = ask(&place, &url, &["resume", "last"]);
    assert_eq!(resumed.value(), json!({"words": 5400, "distinct": 8}));
    place.assert_nothing_is_left();

    let whole = ask_json(&place, &url, &["show", &id]);
    let (stats, sums) = (&whole["stats"], &whole["sums"]);
    assert_eq!((&whole["state"], &whole["damaged_lines"]), (&json!("ended"), &json!(0)));
    assert_eq!(whole["recoveries"].as_array().map(Vec::len), Some(1));
    // What the killed coordinator had not written was told again by the journal.
    for count in ["tasks", "invocations", "checkpoints", "resumed", "suspended"] {
        assert_eq!(stats[count], sums[count], "{count}: {whole}");
    }
    let drawn = ask(&place, &url, &["timeline", "last", "--html", "run.html"]);
    assert_eq!(drawn.code, Some(0), "{drawn:?}");
    let page = fs::read_to_string(place.path("run.html")).expect("a page");
    assert!(page.contains(&id) && page.contains("word_count"));
    let cost = ask_json(&place, &url, &["cost", "last"]);
    assert!(cost["invocations"].as_u64() >= stats["tasks"].as_u64(), "{cost}");
    let again = place.run("word_count", &["resume", "last", "--state", &url]);
    assert_eq!(again.value(), json!({"words": 5400, "distinct": 8}), "its result again");

    let would = ask_json(&place, &url, &["gc", "--dry-run"]);
    assert_eq!((&would[0]["name"], &would[0]["removed"]), (&json!(id), &json!(false)));
    let removed = ask_json(&place, &url, &["gc"]);
    assert_eq!(
        (&removed[0]["name"], &removed[0]["removed"]),
        (&json!(id), &json!(true))
    );
    assert_eq!(ask_json(&place, &url, &["runs"]), json!([]));
    let gone = ask(&place, &url, &["show", &id]);
    assert_eq!(gone.code, Some(1));
    assert!(gone.stderr.contains("there is no run"), "{gone:?}");
    for server in &servers.0 {
        assert_eq!(server.values(), Vec::<String>::new(), "{}", server.address());
    }
}

#[test]
fn runs_on_redis_are_cancelled_by_whoever_works_on_them_or_without_anybody() {
    let place = place_with_text();
    let servers = Servers::start(2);
    let url = servers.url();
    let (running, id) = going_on(&place, &url);
    let cancelled = ask(&place, &url, &["cancel", &id]);
    assert_eq!(cancelled.code, Some(0), "{cancelled:?}");
    let ended = running.end();
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stderr.contains("was cancelled"), "{ended:?}");
    place.assert_nothing_is_left();

    let (running, id) = going_on(&place, &url);
    running.send(Signal::SIGKILL);
    running.end();
    let before = checkpoints(&place, &url, &id);
    let cancelled = ask(&place, &url, &["cancel", "last"]);
    assert_eq!(cancelled.code, Some(0), "{cancelled:?}");
    let shown = ask_json(&place, &url, &["show", &id]);
    assert_eq!(shown["state"], "cancelled");
    let after = shown["sums"]["checkpoints"].as_u64().expect("a number");
    assert_eq!(shown["stats"]["checkpoints"], after);
    assert!(after - before < 200, "nothing new: {before} {after}");
    for run in [0, 1] {
        assert_eq!(ask_json(&place, &url, &["runs"])[run]["state"], "cancelled");
    }
    let values = servers.0[0].values();
    assert!(!values.iter().any(|key| key.starts_with("kappa:o:")), "{values:?}");
    assert_eq!(ask(&place, &url, &["gc"]).code, Some(0));
    assert_eq!(servers.0[0].values(), Vec::<String>::new());
    place.assert_nothing_is_left();
}

#[test]
fn a_password_of_the_servers_is_passed_on_and_shown_nowhere() {
    let place = place_with_text();
    let server = Server::start(&["--requirepass", "not-to-be-seen"]);
    let url = format!("redis://:not-to-be-seen@{}", server.address());
    let ran = place.run("word_count", &["run", "--input", SHORT, "--state", &url]);
    assert_eq!(ran.value(), json!({"words": 5400, "distinct": 8}));
    assert!(!ran.stderr.contains("not-to-be-seen"), "{ran:?}");
    for asked in [
        &["runs"][..],
        &["runs", "--json"],
        &["show", "last"],
        &["show", "last", "--json"],
        &["show", "0123"],
        &["timeline", "last", "--html", "-"],
        &["cost", "last"],
        &["resume", "last"],
        &["gc"],
    ] {
        let said = ask(&place, &url, asked);
        assert!(!format!("{said:?}").contains("not-to-be-seen"), "{asked:?}: {said:?}");
    }
    let without = ask(&place, &url.replace(":not-to-be-seen@", ""), &["runs"]);
    assert_eq!(without.code, Some(1));
    assert!(
        without.stderr.contains("NOAUTH") || without.stderr.contains("uthentication"),
        "{without:?}"
    );
}

const PASSWORD: &str = "not-to-be-seen";

/// All that a server keeps, as bytes.
fn kept(server: &Server) -> Vec<u8> {
    let client = redis::Client::open(format!("redis://:{PASSWORD}@{}", server.address())).expect("an address");
    let mut connection = client.get_connection().expect("a connection");
    let keys: Vec<String> = redis::cmd("KEYS")
        .arg("kappa:[ojr]:*")
        .query(&mut connection)
        .expect("keys");
    assert!(!keys.is_empty());
    let values = keys.iter().map(|key| {
        let value: Vec<u8> = redis::cmd("GET").arg(key).query(&mut connection).expect("a value");
        value
    });
    values.collect::<Vec<_>>().concat()
}

#[test]
fn a_password_from_a_file_or_the_environment_is_in_no_command_line_and_in_no_record() {
    let place = place_with_text();
    place.write("password", format!("{PASSWORD}\n"));
    let server = Server::start(&["--requirepass", PASSWORD]);
    let url = format!("redis://{}", server.address());
    let by_file = format!("{url}?password-file=password");
    let (running, id) = going_on(&place, &by_file);
    let processes = place.processes();
    assert!(processes.len() > 1, "there are workers");
    for process in processes {
        let line = fs::read(format!("/proc/{process}/cmdline")).unwrap_or_default();
        assert!(!String::from_utf8_lossy(&line).contains(PASSWORD), "process {process}");
    }
    running.send(Signal::SIGKILL);
    running.end();
    assert!(
        !String::from_utf8_lossy(&kept(&server)).contains(PASSWORD),
        "it is recorded"
    );

    // Given by its URL, it is not on the command line of the program that goes on.
    let with_password = format!("redis://:{PASSWORD}@{}", server.address());
    let mut resumed = Running::start(place.kappa_command(&["resume", &id, "--state", &with_password]));
    resumed.run_id();
    for process in place.processes() {
        let line = fs::read(format!("/proc/{process}/cmdline")).unwrap_or_default();
        assert!(!String::from_utf8_lossy(&line).contains(PASSWORD), "process {process}");
    }
    resumed.send(Signal::SIGKILL);
    resumed.end();

    let mut command = place.kappa_command(&["resume", &id, "--state", &url]);
    command.env("KAPPA_REDIS_PASSWORD", PASSWORD);
    let resumed = Running::start(command).end();
    assert_eq!(resumed.value(), json!({"words": 5400, "distinct": 8}), "{resumed:?}");
    assert!(!format!("{resumed:?}").contains(PASSWORD));
    assert!(
        !String::from_utf8_lossy(&kept(&server)).contains(PASSWORD),
        "it is recorded"
    );
    let mut gc = place.kappa_command(&["gc", "--state", &url]);
    gc.env("KAPPA_REDIS_PASSWORD", PASSWORD);
    assert_eq!(Running::start(gc).end().code, Some(0));
    place.assert_nothing_is_left();
}

/// Waits until the program that was started here waits for SIGINT and SIGTERM. It opens its state after that.
fn until_signals_are_caught(place: &Place) {
    wait_until("it catches signals", || {
        place.processes().iter().any(|process| {
            let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
            let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
            let caught = caught
                .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
                .unwrap_or(0);
            let bit = |signal: Signal| 1 << (signal as u64 - 1);
            caught & bit(Signal::SIGINT) != 0 && caught & bit(Signal::SIGTERM) != 0
        })
    });
}

#[test]
fn signals_end_a_program_that_is_still_opening_its_state() {
    let place = place_with_text();
    let server = Server::start(&[]);
    let url = format!("redis://{}", server.address());
    let (running, id) = going_on(&place, &url);
    running.send(Signal::SIGKILL);
    running.end();
    // Its coordinator is watched for some seconds before the run is taken from it.
    for (signal, code) in [(Signal::SIGTERM, 143), (Signal::SIGINT, 130)] {
        let resumed = Running::start(place.command("word_count", &["resume", &id, "--state", &url]));
        until_signals_are_caught(&place);
        let started = Instant::now();
        resumed.send(signal);
        let ended = resumed.end();
        assert_eq!(ended.code, Some(code), "{ended:?}");
        assert!(ended.stderr.contains("interrupted"), "{ended:?}");
        assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    }
    // It does not answer.
    server.pause();
    for arguments in [
        &["run", "--input", SHORT, "--state", &url][..],
        &["run", "--input", SHORT, "--store", &url],
    ] {
        let opening = Running::start(place.command("word_count", arguments));
        until_signals_are_caught(&place);
        let started = Instant::now();
        opening.send(Signal::SIGINT);
        let ended = opening.end();
        assert_eq!(ended.code, Some(130), "{ended:?}");
        assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    }
    server.go_on();
    let resumed = place.run("word_count", &["resume", &id, "--state", &url]);
    assert_eq!(
        resumed.value(),
        json!({"words": 5400, "distinct": 8}),
        "nothing is lost"
    );
}
