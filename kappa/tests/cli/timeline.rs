//! The timeline: one file that needs nothing else and shows what happened.

use crate::program::{Place, Running, wait_until};
use nix::sys::signal::Signal;
use serde_json::Value;
use std::fs;
use std::process::Command;

const INPUT: &str = r#"{"files": ["text"], "output": "out", "split_bytes": 400}"#;

/// A run under chaos whose coordinator was killed once, as a page.
fn page_of_a_rough_run(place: &Place) -> String {
    place.write("text", "the quick brown fox jumps over the lazy dog\n".repeat(600));
    let rough = [
        "--state",
        "state",
        "--platform",
        "process",
        "--chaos",
        "kill=0.5,seed=1",
    ];
    let arguments = [&["run", "--input", INPUT][..], &rough].concat();
    let mut running = Running::start(place.command("word_count", &arguments));
    let run = running.run_id();
    wait_until("something has been done", || {
        fs::read(place.path(&format!("state/runs/{run}/events"))).is_ok_and(|events| events.len() > 4000)
    });
    running.send(Signal::SIGKILL);
    running.end();
    let resumed = place.run("word_count", &[&["resume", "last"][..], &rough].concat());
    assert_eq!(resumed.code, Some(0), "{resumed:?}");
    let drawn = place.kappa(&["timeline", "last", "--state", "state", "--html", "run.html"]);
    assert_eq!((drawn.code, drawn.stdout.as_str()), (Some(0), ""), "{drawn:?}");
    assert!(drawn.stderr.contains("run.html"), "{drawn:?}");
    fs::read_to_string(place.path("run.html")).unwrap()
}

/// The data in a page.
fn data(page: &str) -> Value {
    let line = page.lines().find_map(|line| line.strip_prefix("const RUN = ")).unwrap();
    serde_json::from_str(line.trim_end_matches(';')).unwrap()
}

#[test]
fn the_timeline_contains_what_happened_and_no_address_outside_of_itself() {
    let place = Place::new();
    let page = page_of_a_rough_run(&place);
    for outside in [
        "http://",
        "https://",
        "src=",
        "href=",
        "@import",
        "url(",
        "fetch(",
        "XMLHttpRequest",
    ] {
        assert!(!page.contains(outside), "{outside}");
    }
    let data = data(&page);
    let shown = place.kappa(&["show", "last", "--state", "state", "--json"]).value();
    assert_eq!(data["state"], "ended");
    let tasks = data["tasks"].as_array().unwrap();
    assert_eq!(shown["sums"]["tasks"], tasks.len());
    assert_eq!(data["recoveries"].as_array().map(Vec::len), Some(1));
    let invocations: Vec<&Value> = tasks
        .iter()
        .flat_map(|task| task["invocations"].as_array().unwrap())
        .collect();
    assert_eq!(shown["sums"]["invocations"], invocations.len());
    let killed = invocations
        .iter()
        .filter(|invocation| invocation[3] == "killed")
        .count() as u64;
    assert_eq!(shown["sums"]["killed"], killed);
    assert!(killed > 0);
    let checkpoints: u64 = invocations
        .iter()
        .map(|invocation| invocation[5].as_u64().unwrap())
        .sum();
    assert_eq!(shown["sums"]["checkpoints"], checkpoints);
    assert!(
        tasks[0]["waits"].as_array().is_some_and(|waits| !waits.is_empty()),
        "the first task waited"
    );
    assert_eq!(tasks[1]["parent"], 0);
}

#[test]
fn a_browser_shows_the_timeline_without_complaint() {
    let place = Place::new();
    let page = page_of_a_rough_run(&place);
    // What the page has understood is put where a browser without a screen can print it.
    let probe = "<script>draw(); choose(1, 0); zoom(.5); sideways(1); draw(); document.body.dataset.rows = rows.length; \
                 document.body.dataset.told = document.getElementById('detail').textContent;</script></body>";
    fs::write(place.path("probe.html"), page.replace("</body>", probe)).unwrap();
    let profile = tempfile::tempdir().unwrap();
    let mut browser = Command::new("chromium");
    browser.args([
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-background-networking",
        "--enable-logging=stderr",
    ]);
    browser.args(["--virtual-time-budget=3000", "--dump-dom"]);
    browser.arg(format!("--user-data-dir={}", profile.path().display()));
    browser.arg(format!("file://{}", place.path("probe.html").display()));
    let Ok(output) = browser.output() else {
        eprintln!("not tested: there is no browser here");
        return;
    };
    let (dom, log) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(!log.contains("CONSOLE"), "{log}");
    let rows = dom
        .split("data-rows=\"")
        .nth(1)
        .and_then(|rest| rest.split('"').next())
        .unwrap_or_default();
    assert!(rows.parse::<u32>().is_ok_and(|rows| rows >= 2), "{rows:?}: {log}");
    assert!(dom.contains("data-told="), "{log}");
    assert!(dom.contains(">word_count<"), "the title");
}
