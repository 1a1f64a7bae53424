//! Each test that needs other surroundings starts itself in them: the variables of a process are set when it starts.

use super::*;
use aws_sdk_s3::config::Credentials;
use std::net::TcpListener;
use std::process::Command;
use std::time::Instant;

/// What finding out says where only these variables are set.
fn found_with(variables: &[(&str, &str)]) -> String {
    let output = Command::new(std::env::current_exe().expect("this test"))
        .args([
            "--exact",
            "aws::tests::says_what_is_found",
            "--include-ignored",
            "--nocapture",
        ])
        .env_clear()
        .env("HOME", "/nonexistent")
        .envs(variables.iter().copied())
        .output()
        .expect("this test, once more");
    let output = String::from_utf8_lossy(&output.stdout).into_owned();
    let said = output.split("found: ").nth(1).unwrap_or_else(|| panic!("{output}"));
    said.lines().next().unwrap_or_default().to_string()
}

#[tokio::test]
#[ignore = "started by the others with variables of theirs"]
async fn says_what_is_found() {
    match config().await {
        Ok(config) => println!("found: {:?} {:?}", config.region(), config.endpoint_url()),
        Err(cause) => println!("found: {cause}"),
    }
}

const NO_INSTANCE: (&str, &str) = ("AWS_EC2_METADATA_DISABLED", "true");

#[test]
fn a_missing_region_is_said_with_what_to_do() {
    let said = found_with(&[NO_INSTANCE]);
    assert!(
        said.contains("no AWS region") && said.contains("set AWS_REGION"),
        "{said}"
    );
}

#[test]
fn missing_credentials_are_said_with_what_to_do() {
    let said = found_with(&[NO_INSTANCE, ("AWS_REGION", "eu-north-1")]);
    assert!(
        said.contains("no usable AWS credentials") && said.contains("set AWS_ACCESS_KEY_ID"),
        "{said}"
    );
}

#[test]
fn region_credentials_and_endpoint_come_from_the_environment() {
    let said = found_with(&[
        NO_INSTANCE,
        ("AWS_REGION", "eu-north-1"),
        ("AWS_ACCESS_KEY_ID", "a"),
        ("AWS_SECRET_ACCESS_KEY", "b"),
        ("AWS_ENDPOINT_URL", "http://127.0.0.1:7"),
    ]);
    assert!(said.contains("eu-north-1") && said.contains("127.0.0.1:7"), "{said}");
}

#[test]
fn an_instance_that_does_not_answer_is_not_waited_for_long() {
    // Connections are taken by the system and never answered.
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = format!("http://{}", silent.local_addr().expect("its address"));
    let silence = ("AWS_EC2_METADATA_SERVICE_ENDPOINT", address.as_str());
    let begin = Instant::now();
    let said = found_with(&[silence]);
    assert!(said.contains("no AWS region"), "{said}");
    let said = found_with(&[silence, ("AWS_REGION", "eu-north-1")]);
    assert!(said.contains("no usable AWS credentials"), "{said}");
    assert!(begin.elapsed() < Duration::from_secs(10), "{:?}", begin.elapsed());
}

#[tokio::test]
async fn an_endpoint_that_is_not_there_is_said_with_what_to_check() {
    let free = TcpListener::bind("127.0.0.1:0")
        .expect("a port")
        .local_addr()
        .expect("its address");
    let client = aws_sdk_s3::Client::from_conf(
        aws_sdk_s3::Config::builder()
            .behavior_version(aws_sdk_s3::config::BehaviorVersion::latest())
            .http_client(http_client())
            .region(aws_sdk_s3::config::Region::new("eu-north-1"))
            .credentials_provider(Credentials::new("a", "b", None, None, "test"))
            .endpoint_url(format!("http://{free}"))
            .force_path_style(true)
            .build(),
    );
    let error = client
        .get_object()
        .bucket("b")
        .key("k")
        .send()
        .await
        .expect_err("nobody is there");
    assert!(is_retryable(&error));
    let said = said(&error);
    assert!(
        said.starts_with("s3 GetObject: the service cannot be reached: ") && said.contains("AWS_ENDPOINT_URL"),
        "{said}"
    );
    assert!(said.contains("refused"), "{said}");
}
