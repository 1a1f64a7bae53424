//! `--metrics`: numbers for Prometheus while a run goes on.

use crate::program::{Place, Running, wait_until};
use nix::sys::signal::Signal;
use std::io::{Read, Write};
use std::net::TcpStream;

/// What the server says to a request.
fn get(address: &str, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(address).ok()?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
    )
    .ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}

/// The sum of a metric's values over its labels.
fn value(page: &str, metric: &str) -> f64 {
    let lines = page.lines().filter(|line| {
        let rest = line.strip_prefix(metric);
        rest.is_some_and(|rest| rest.starts_with('{') || rest.starts_with(' '))
    });
    lines
        .map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap())
        .sum()
}

#[test]
fn a_run_can_be_watched_by_prometheus_and_by_this_machine_alone() {
    let place = Place::new();
    place.write("text", "the quick brown fox jumps over the lazy dog\n".repeat(600));
    let input = r#"{"files": ["text"], "output": "out", "split_bytes": 60}"#;
    let arguments = [
        "run",
        "--input",
        input,
        "--metrics",
        "0",
        "--state",
        "state",
        "--platform",
        "process",
        "--chaos",
        "kill=0.3",
    ];
    let mut running = Running::start(place.command("word_count", &arguments));
    running.run_id();
    let address = running
        .said
        .split("http://")
        .nth(1)
        .and_then(|rest| rest.split('/').next());
    let address = address.unwrap_or_else(|| panic!("{}", running.said)).to_string();
    assert!(address.starts_with("127.0.0.1:"), "{address}");
    let mut page = String::new();
    wait_until("there is something to count", || {
        page = get(&address, "/metrics").unwrap_or_default();
        value(&page, "kappa_invocations_ended_total") > 20.0
    });
    assert!(page.starts_with("HTTP/1.1 200"), "{page}");
    assert!(page.contains("application/openmetrics-text"), "{page}");
    let count = |metric: &str| value(&page, metric);
    let (started, ended) = (
        count("kappa_invocations_started_total"),
        count("kappa_invocations_ended_total"),
    );
    assert_eq!(started - ended, count("kappa_invocations_running"), "{page}");
    assert_eq!(count("kappa_invocation_seconds_count"), ended);
    assert_eq!(count("kappa_checkpoint_bytes_count"), count("kappa_checkpoints_total"));
    assert!(count("kappa_retries_total") > 0.0, "{page}");
    assert!(count("kappa_tasks_waiting") >= 1.0, "{page}");
    assert!(
        page.contains("kappa_tasks_spawned_total{function=\"word_count::word_count\"} 1"),
        "{page}"
    );
    assert!(page.contains("outcome=\"killed\""), "{page}");
    assert!(get(&address, "/").unwrap().starts_with("HTTP/1.1 404"));
    running.send(Signal::SIGINT);
    running.end();
}

#[test]
fn an_address_that_cannot_be_had_is_named() {
    let place = Place::new();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let ended = place.run("factorial", &["run", "--input", "5", "--metrics", &port]);
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(1), ""));
    assert!(
        ended
            .stderr
            .contains(&format!("cannot serve metrics at 127.0.0.1:{port}")),
        "{ended:?}"
    );
    let nonsense = place.run("factorial", &["run", "--input", "5", "--metrics", "everywhere"]);
    assert_eq!(nonsense.code, Some(2));
    assert!(nonsense.stderr.contains("0.0.0.0:9100"), "{nonsense:?}");
}
