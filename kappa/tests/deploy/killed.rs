//! Deployments that are interrupted, and killed, at each of their requests.

use crate::emulator::{BUCKET, Emulator, Said};
use crate::proxy::{Fault, Proxy};
use nix::sys::signal::Signal;
use std::path::Path;
use std::process::Child;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// How many are done at once.
const AT_ONCE: usize = 4;

/// A command that takes longer hangs.
const LIMIT: Duration = Duration::from_secs(60);

/// Runs a command through a proxy that does this to it; gives what it said and how many requests it made.
fn with_fault(emulator: &Emulator, fault: Fault, arguments: &[&str]) -> (Said, usize) {
    let proxy = Proxy::start(emulator.server.endpoint(), fault);
    let child = emulator.command(&proxy.endpoint, arguments).spawn().unwrap();
    proxy.of_process(child.id());
    (end_of(child), proxy.count())
}

fn end_of(mut child: Child) -> Said {
    let begin = Instant::now();
    while child.try_wait().unwrap().is_none() {
        assert!(begin.elapsed() < LIMIT, "it hangs");
        std::thread::sleep(Duration::from_millis(5));
    }
    Said::of(child.wait_with_output().unwrap())
}

fn deploy_arguments<'a>(name: &'a str, program: &'a str) -> Vec<&'a str> {
    vec![
        "deploy",
        name,
        "--program",
        program,
        "--create-role",
        "--bucket",
        BUCKET,
        "--log-retention",
        "3",
    ]
}

/// Does something for each of the numbers from 1 on, some at once, until it says that there is no such request.
fn for_each_request(check: impl Fn(usize) -> bool + Sync) -> usize {
    let next = AtomicUsize::new(1);
    let first_without = AtomicUsize::new(usize::MAX);
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::SeqCst);
                    if at >= first_without.load(Ordering::SeqCst) {
                        return;
                    }
                    if !check(at) {
                        first_without.fetch_min(at, Ordering::SeqCst);
                    }
                }
            });
        }
    });
    first_without.into_inner() - 1
}

#[test]
fn r13_ctrl_c_at_any_request_of_a_first_deployment_leaves_nothing() {
    let emulator = Emulator::start();
    let program = emulator.program(b"one");
    let before = emulator.listing();
    let interrupted = AtomicUsize::new(0);
    let requests = for_each_request(|at| {
        let name = format!("interrupted-{at}");
        let arguments = deploy_arguments(&name, program.to_str().unwrap());
        let fault = Fault::Signal {
            at,
            signal: Signal::SIGINT,
        };
        let (said, count) = with_fault(&emulator, fault, &arguments);
        match said.code {
            Some(130) => {
                assert!(said.stderr.contains("interrupted"), "{said:?}");
                assert!(!said.stderr.contains("left, because"), "{said:?}");
                emulator.assert_nothing_of(&name);
                interrupted.fetch_add(1, Ordering::SeqCst);
            }
            // It came too late.
            _ => {
                assert_eq!(said.code, Some(0), "{said:?}");
                emulator.kappa(&["undeploy", &name]).done();
            }
        }
        count >= at
    });
    let interrupted = interrupted.into_inner();
    assert!(
        requests >= 10 && interrupted > requests / 2,
        "{interrupted} of {requests}"
    );
    assert_eq!(emulator.listing(), before);
}

#[test]
fn what_a_deployment_killed_at_any_request_has_left_is_removed_by_undeploy() {
    killed_anywhere(|emulator, name, _| {
        emulator.kappa(&["undeploy", name]).done();
        emulator.assert_nothing_of(name);
        let again = emulator.kappa(&["undeploy", name]);
        assert!(again.stderr.contains("there is nothing of"), "{again:?}");
    });
}

#[test]
fn what_a_deployment_killed_at_any_request_has_left_is_repaired_by_the_next() {
    killed_anywhere(|emulator, name, program| {
        let arguments = deploy_arguments(name, program.to_str().unwrap());
        emulator.kappa(&arguments).done();
        let again = emulator.kappa(&arguments).done();
        assert!(again.contains("nothing to change"), "{again}");
        emulator.kappa(&["undeploy", name]).done();
        emulator.assert_nothing_of(name);
    });
}

fn killed_anywhere(check: impl Fn(&Emulator, &str, &Path) + Sync) {
    let emulator = Emulator::start();
    let program = emulator.program(b"one");
    let before = emulator.listing();
    for is_after in [false, true] {
        let requests = for_each_request(|at| {
            let name = format!("killed-{is_after}-{at}");
            let arguments = deploy_arguments(&name, program.to_str().unwrap());
            let fault = if is_after {
                Fault::KilledAfter { at }
            } else {
                Fault::KilledBefore { at }
            };
            let (said, count) = with_fault(&emulator, fault, &arguments);
            assert_eq!(said.code.is_none(), count >= at, "{said:?}");
            check(&emulator, &name, &program);
            count >= at
        });
        assert!(requests >= 10, "{requests} requests");
    }
    assert_eq!(emulator.listing(), before);
}

#[test]
fn ctrl_c_at_any_request_of_an_update_leaves_the_old_function_or_the_new_one() {
    let emulator = Emulator::start();
    for_each_request(|at| {
        let name = format!("update-{at}");
        let describe = || {
            let said = emulator.kappa(&["status", &name, "--json"]).done();
            let status: serde_json::Value = serde_json::from_str(&said).unwrap();
            let function = &status["function"];
            (
                function["code_sha256"].to_string(),
                function["memory_mb"].to_string(),
                function["state"].to_string(),
            )
        };
        let folder = tempfile::tempdir().unwrap();
        let (old, new) = (folder.path().join("old"), folder.path().join("new"));
        let bytes = |what: &str| format!("\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x03\0\x3e\0made with kappa 1;{what}");
        std::fs::write(&old, bytes("old")).unwrap();
        std::fs::write(&new, bytes("new")).unwrap();
        emulator.deploy(&name, &old, &["--memory", "256MB"]).done();
        let before = describe();
        let arguments = ["deploy", &name, "--program", new.to_str().unwrap(), "--memory", "512MB"];
        let fault = Fault::Signal {
            at,
            signal: Signal::SIGINT,
        };
        let (said, count) = with_fault(&emulator, fault, &arguments);
        emulator.kappa(&["status", &name]).done();
        let after = describe();
        let is_old = after == before;
        let is_new = after.0 != before.0 && after.1 == "512";
        assert!(is_old || is_new, "{before:?} {after:?} {said:?}");
        if said.stderr.contains("everything is as it was before") {
            assert!(is_old, "{before:?} {after:?} {said:?}");
        }
        emulator.kappa(&["undeploy", &name]).done();
        count >= at
    });
}

#[test]
fn an_undeployment_killed_at_any_request_is_finished_by_the_next() {
    let emulator = Emulator::start();
    let program = emulator.program(b"one");
    let before = emulator.listing();
    let requests = for_each_request(|at| {
        let name = format!("undeploy-{at}");
        emulator.deploy(&name, &program, &["--bucket", BUCKET]).done();
        let (said, count) = with_fault(&emulator, Fault::KilledAfter { at }, &["undeploy", &name]);
        assert_eq!(said.code.is_none(), count >= at, "{said:?}");
        emulator.kappa(&["undeploy", &name]).done();
        emulator.assert_nothing_of(&name);
        count >= at
    });
    assert!(requests >= 6, "{requests} requests");
    assert_eq!(emulator.listing(), before);
}

#[test]
fn a_first_deployment_that_does_not_get_one_of_its_answers_comes_about_or_leaves_nothing() {
    let emulator = Emulator::start();
    let program = emulator.program(b"one");
    let before = emulator.listing();
    let failed = AtomicUsize::new(0);
    for_each_request(|at| {
        let name = format!("lost-{at:02}");
        let arguments = deploy_arguments(&name, program.to_str().unwrap());
        let (said, count) = with_fault(&emulator, Fault::AnswerLost { at }, &arguments);
        match said.code {
            Some(1) => {
                assert!(said.stderr.contains("closed without an answer"), "{said:?}");
                assert!(said.stderr.contains("everything is as it was before"), "{said:?}");
                emulator.assert_nothing_of(&name);
                failed.fetch_add(1, Ordering::SeqCst);
            }
            // What may be asked twice has been.
            _ => {
                assert_eq!(said.code, Some(0), "{said:?}");
                emulator.kappa(&["undeploy", &name]).done();
            }
        }
        count >= at
    });
    let failed = failed.into_inner();
    assert_eq!(failed, 3, "the log group, the role and the function are asked for once");
    assert_eq!(emulator.listing(), before);
}

#[test]
fn a_function_that_is_refused_because_of_too_many_requests_is_asked_for_again() {
    let emulator = Emulator::start();
    let program = emulator.program(b"one");
    let arguments = deploy_arguments("throttled", program.to_str().unwrap());
    // More often than the SDK would ask.
    let (said, _) = with_fault(&emulator, Fault::Throttled { times: 5 }, &arguments);
    said.done();
}

#[test]
fn a04_a_role_that_lambda_does_not_know_yet_is_waited_for() {
    let emulator = Emulator::start();
    let program = emulator.program(b"one");
    let arguments = deploy_arguments("patient", program.to_str().unwrap());
    let (said, _) = with_fault(&emulator, Fault::RoleUnknown { times: 3 }, &arguments);
    said.done();
}

#[test]
fn a04_a_given_role_that_lambda_cannot_assume_is_an_error_and_leaves_nothing() {
    let emulator = Emulator::start();
    let before = emulator.listing();
    let program = emulator.program(b"one");
    let role = "arn:aws:iam::000000000000:role/nobody";
    let arguments = [
        "deploy",
        "hopeless",
        "--program",
        program.to_str().unwrap(),
        "--role",
        role,
    ];
    let (said, _) = with_fault(&emulator, Fault::RoleUnknown { times: usize::MAX }, &arguments);
    let message = said.refused(1);
    assert!(message.contains("cannot be assumed by Lambda"), "{message}");
    assert!(message.contains("everything is as it was before"), "{message}");
    assert_eq!(emulator.listing(), before);
}

#[test]
fn a_second_deployment_asks_and_changes_nothing() {
    let emulator = Emulator::start();
    let program = emulator.program(b"one");
    emulator.deploy("twice", &program, &[]).done();
    let proxy = Proxy::start(emulator.server.endpoint(), Fault::None);
    let arguments = [
        "deploy",
        "twice",
        "--program",
        program.to_str().unwrap(),
        "--create-role",
    ];
    Said::of(emulator.command(&proxy.endpoint, &arguments).output().unwrap()).done();
    // IAM and the logs are asked by POST, whatever it is.
    let is_question = |request: &String| request.starts_with("GET ") || request == "POST /";
    assert!(proxy.requests().iter().all(is_question), "{:?}", proxy.requests());
}
