//! What a person is told who cannot deploy.

use crate::emulator::{Emulator, Said};
use std::process::Command;

fn kappa_with(variables: &[(&str, &str)], arguments: &[&str]) -> Said {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kappa"));
    command
        .env_clear()
        .env("HOME", "/nonexistent")
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .envs(variables.iter().copied())
        .args(arguments);
    Said::of(command.output().unwrap())
}

#[test]
fn without_region_or_credentials_is_said_what_to_set() {
    let said = kappa_with(&[], &["status"]).refused(1);
    assert!(
        said.contains("no AWS region is set") && said.contains("AWS_REGION"),
        "{said}"
    );
    let said = kappa_with(&[("AWS_REGION", "eu-north-1")], &["undeploy", "fib"]).refused(1);
    assert!(
        said.contains("no usable AWS credentials") && said.contains("AWS_PROFILE"),
        "{said}"
    );
}

#[test]
fn a_command_line_that_makes_no_sense_is_refused_before_anything_is_asked() {
    for (arguments, reason) in [
        (&["deploy", "fib"][..], "--program"),
        (&["deploy", "a b", "--program", "x"], "letters, digits"),
        (
            &["deploy", "fib", "--program", "x", "--memory", "64MB"],
            "128MB to 10240MB",
        ),
        (&["deploy", "fib", "--program", "x", "--timeout", "1h"], "`15m`"),
        (
            &[
                "deploy",
                "fib",
                "--program",
                "x",
                "--create-role",
                "--role",
                "arn:aws:iam::1:role/x",
            ],
            "cannot be used with",
        ),
        (
            &["deploy", "fib", "--program", "x", "--log-retention", "2"],
            "numbers of days",
        ),
    ] {
        let said = kappa_with(&[], arguments).refused(2);
        assert!(said.contains(reason), "{arguments:?}: {said}");
    }
    let said = kappa_with(&[], &["deploy", "fib", "--program", "/nonexistent/fib"]).refused(1);
    assert!(said.contains("cannot read the program /nonexistent/fib"), "{said}");
}

#[test]
fn policies_are_printed_without_asking_anybody() {
    let said = kappa_with(&[], &["policy", "--bucket", "bucket/runs", "--name", "fib"]).done();
    let policies: serde_json::Value = serde_json::from_str(&said).unwrap();
    for (whom, words) in [
        ("role", "arn:aws:s3:::bucket/runs/*"),
        ("trust", "lambda.amazonaws.com"),
        ("deploy", "iam:PassRole"),
        ("run", "lambda:InvokeFunction"),
    ] {
        assert_eq!(policies[whom]["Version"], "2012-10-17");
        assert!(policies[whom].to_string().contains(words), "{whom}: {said}");
        let alone = kappa_with(
            &[],
            &["policy", "--for", whom, "--bucket", "bucket/runs", "--name", "fib"],
        )
        .done();
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(&alone).unwrap(),
            policies[whom]
        );
    }
}

/// The emulator evaluates the policies of its users then.
#[test]
fn the_printed_policy_is_enough_to_deploy_and_without_it_one_is_told_of_it() {
    let emulator = Emulator::start_with(&[("AUTH", "true")]);
    let root = |action: &str| {
        let form = [("content-type", "application/x-www-form-urlencoded")];
        emulator.ask("iam", "POST", "/", &form, &format!("{action}&Version=2010-05-08"))
    };
    root("Action=CreateUser&UserName=someone");
    let keys = root("Action=CreateAccessKey&UserName=someone");
    let part = |name: &str| {
        let after = keys.split(&format!("<{name}>")).nth(1).unwrap();
        after.split('<').next().unwrap().to_string()
    };
    let (key, secret) = (part("AccessKeyId"), part("SecretAccessKey"));
    let program = emulator.program(b"one");
    let kappa = |arguments: &[&str]| {
        let mut command = emulator.command(&emulator.server.endpoint(), arguments);
        command
            .env("AWS_ACCESS_KEY_ID", &key)
            .env("AWS_SECRET_ACCESS_KEY", &secret);
        Said::of(command.output().unwrap())
    };
    let deploy = [
        "deploy",
        "fib",
        "--program",
        program.to_str().unwrap(),
        "--create-role",
        "--bucket",
        "the-bucket/runs",
    ];
    let refused = kappa(&deploy).refused(1);
    assert!(refused.contains("`kappa policy` prints the policies"), "{refused}");

    let policy = kappa_with(
        &[],
        &[
            "policy",
            "--for",
            "deploy",
            "--bucket",
            "the-bucket/runs",
            "--name",
            "fib",
        ],
    )
    .done();
    let allow = |name: &str, policy: &str| {
        let encoded: String = policy.bytes().map(|byte| format!("%{byte:02X}")).collect();
        root(&format!(
            "Action=PutUserPolicy&UserName=someone&PolicyName={name}&PolicyDocument={encoded}"
        ));
    };
    allow("kappa", &policy);
    // The emulator does not look for the name of a function that is made, which is in the request's body; AWS does.
    let create = r#"{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "lambda:CreateFunction", "Resource": "*"}]}"#;
    allow("emulator", create);
    kappa(&deploy).done();
    assert!(kappa(&deploy).done().contains("nothing to change"));
    kappa(&[
        "deploy",
        "fib",
        "--program",
        program.to_str().unwrap(),
        "--memory",
        "256MB",
        "--concurrency",
        "2",
        "--log-retention",
        "1",
    ])
    .done();
    assert!(kappa(&["status"]).done().contains("fib"));
    kappa(&["status", "fib"]).done();
    kappa(&["undeploy", "fib"]).done();
    emulator.assert_nothing_of("kappa-fib");
    // Nothing but this function.
    let other = [
        "deploy",
        "other",
        "--program",
        program.to_str().unwrap(),
        "--create-role",
    ];
    kappa(&other).refused(1);
}
