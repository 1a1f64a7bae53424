//! Deployments that come to their end.

use crate::emulator::{BUCKET, Emulator};
use std::fs;
use std::path::PathBuf;

#[test]
fn a_second_deployment_of_the_same_changes_nothing_and_says_so() {
    let emulator = Emulator::start();
    let program = emulator.program(b"one");
    let options = [
        "--memory",
        "512MB",
        "--timeout",
        "3s",
        "--env",
        "RUST_LOG=info",
        "--bucket",
        BUCKET,
        "--log-retention",
        "7",
    ];
    let first = emulator.deploy("fib", &program, &options).done();
    for line in [
        "log group /aws/lambda/fib: created",
        "role kappa-fib-us-east-1: created",
        "function fib: created (x86_64, 512 MB, time limit 3 s)",
    ] {
        assert!(first.contains(line), "{first}");
    }
    let before = emulator.listing();
    for again in [&options[..], &[]] {
        let second = emulator.deploy("fib", &program, again).done();
        assert_eq!(second, "function fib: nothing to change\n");
        assert_eq!(emulator.listing(), before);
    }
}

#[test]
fn a_changed_program_is_new_code_and_a_changed_option_is_named() {
    let emulator = Emulator::start();
    emulator
        .deploy("fib", &emulator.program(b"one"), &["--memory", "512MB"])
        .done();
    let program = emulator.program(b"two");
    let said = emulator
        .deploy("fib", &program, &["--env", "SECRET=xyzzy", "--concurrency", "2"])
        .done();
    let lines: Vec<_> = said.lines().collect();
    assert_eq!(
        lines,
        [
            "function fib: variable SECRET set",
            "function fib: new code (x86_64)",
            "function fib: at most 2 at once"
        ]
    );
    let said = emulator
        .deploy("fib", &program, &["--memory", "1GB", "--log-retention", "1"])
        .done();
    assert!(said.contains("memory 512 MB -> 1024 MB"), "{said}");
    assert!(said.contains("keeps 14 -> 1 days"), "{said}");
    let status = emulator.kappa(&["status", "fib"]).done();
    for word in [
        "1024 MB",
        "SECRET",
        "kept 1 days",
        "at most 2 at once",
        "kappa-fib-us-east-1",
    ] {
        assert!(status.contains(word), "{word} is not in {status}");
    }
    assert!(!status.contains("xyzzy"), "{status}");
}

#[test]
fn after_undeploy_there_is_nothing_and_a_second_one_says_so() {
    let emulator = Emulator::start();
    let before = emulator.listing();
    let program = emulator.program(b"one");
    emulator.deploy("fib", &program, &["--bucket", BUCKET]).done();
    assert_ne!(emulator.listing(), before);
    let removed = emulator.kappa(&["undeploy", "fib"]).done();
    let expected = "function fib: removed\nrole kappa-fib-us-east-1: removed\nlog group /aws/lambda/fib: removed\n";
    assert_eq!(removed, expected);
    assert_eq!(emulator.listing(), before);
    let again = emulator.kappa(&["undeploy", "fib"]);
    assert!(
        again.stderr.contains("there is nothing of fib to remove in us-east-1"),
        "{again:?}"
    );
    assert_eq!(again.done(), "");
}

#[test]
fn a_package_of_more_than_50_mb_goes_by_the_bucket_and_does_not_stay_there() {
    let emulator = Emulator::start();
    // What cannot be made smaller.
    let mut state = 7u64;
    let noise: Vec<u8> = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    })
    .take((51 << 20) / 8)
    .flatten()
    .collect();
    let program = emulator.program(&noise);
    let before = emulator.listing();
    let refused = emulator.deploy("large", &program, &[]).refused(1);
    assert!(refused.contains("give --bucket BUCKET"), "{refused}");
    assert_eq!(emulator.listing(), before);
    let bucket = format!("{BUCKET}/some/where");
    let said = emulator.deploy("large", &program, &["--bucket", &bucket]).done();
    assert!(
        said.contains(&format!("package: sent to s3://{bucket}/kappa-deploy/large/")),
        "{said}"
    );
    assert!(said.contains("package: removed from"), "{said}");
    let again = emulator.deploy("large", &program, &[]).done();
    assert_eq!(again, "function large: nothing to change\n");
    emulator.kappa(&["undeploy", "large"]).done();
    assert_eq!(emulator.listing(), before);
}

#[test]
fn what_is_somebody_elses_is_neither_changed_nor_removed() {
    let emulator = Emulator::start();
    let foreign = r#"{"FunctionName": "theirs", "Runtime": "provided.al2023", "Handler": "bootstrap", "Role": "arn:aws:iam::000000000000:role/x",
        "Code": {"ZipFile": "UEsFBgAAAAAAAAAAAAAAAAAAAAAAAA=="}}"#;
    emulator.ask("lambda", "POST", "/2015-03-31/functions", &[], foreign);
    std::thread::sleep(std::time::Duration::from_secs(1));
    let before = emulator.listing();
    let program = emulator.program(b"one");
    let refused = emulator.deploy("theirs", &program, &[]).refused(1);
    assert!(
        refused.contains("the function theirs is there already and not made by Kappa"),
        "{refused}"
    );
    assert!(refused.contains("--adopt"), "{refused}");
    let refused = emulator.kappa(&["undeploy", "theirs"]).refused(1);
    assert!(refused.contains("not Kappa's"), "{refused}");
    assert_eq!(emulator.kappa(&["status"]).done(), "");
    assert_eq!(emulator.listing(), before);
    emulator.deploy("theirs", &program, &["--adopt"]).done();
    assert!(emulator.kappa(&["status"]).done().contains("theirs"));
    emulator.kappa(&["undeploy", "theirs"]).done();
    emulator.assert_nothing_of("theirs");
}

#[test]
fn the_list_shows_every_function_that_was_deployed_and_no_other() {
    let emulator = Emulator::start();
    let empty = emulator.kappa(&["status"]);
    assert!(empty.stderr.contains("nothing is deployed in us-east-1"), "{empty:?}");
    let program = emulator.program(b"one");
    for name in ["one", "two"] {
        emulator.deploy(name, &program, &["--timeout", "3s"]).done();
    }
    let list = emulator.kappa(&["status"]).done();
    let rows: Vec<_> = list.lines().collect();
    assert_eq!(rows.len(), 3, "{list}");
    assert!(
        rows[0].starts_with("NAME") && rows[1].starts_with("one ") && rows[2].starts_with("two "),
        "{list}"
    );
    assert!(
        rows[1].contains("ready") && rows[1].contains("1769 MB") && rows[1].contains("3 s"),
        "{list}"
    );
    let json: serde_json::Value = serde_json::from_str(&emulator.kappa(&["status", "--json"]).done()).unwrap();
    assert_eq!(json[1]["name"], "two");
    let missing = emulator.kappa(&["status", "three"]).refused(1);
    assert!(missing.contains("there is no function three in us-east-1"), "{missing}");
}

#[test]
fn a_program_made_with_kappa_is_known_by_its_file_and_the_tool_itself_is_not_one() {
    let emulator = Emulator::start();
    let refused = emulator
        .deploy("tool", &PathBuf::from(env!("CARGO_BIN_EXE_kappa")), &[])
        .refused(1);
    assert!(refused.contains("not a program made with Kappa"), "{refused}");
    let this = std::env::current_exe().unwrap();
    let example = this.ancestors().nth(2).unwrap().join("examples/fib");
    assert!(fs::exists(&example).unwrap(), "do `cargo build -p kappa --examples`");
    let said = emulator.deploy("fib", &example, &[]).done();
    assert!(said.contains("function fib: created"), "{said}");
}
