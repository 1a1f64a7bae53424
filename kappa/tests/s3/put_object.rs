//! The coordinator is killed at every request that it makes to S3, before the request has arrived and after it has been carried out; what it has
//! sent may arrive when another coordinator is long further.

use crate::bucket::{Bucket, NAME};
use crate::proxy::{Proxy, Side, first_line};
use kappa::Kappa;
use kappa::prelude::*;
use kappa_test_servers::Server;
use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const STATE: &str = "KAPPA_TEST_S3_STATE";
const URL: &str = "KAPPA_TEST_S3_URL";
const OPENED: &str = "KAPPA_TEST_S3_OPENED";

/// Two parts.
const LONG: usize = (16 << 20) + 1;

/// What a run asks of S3: of the first object whether it is there, the beginning, two parts and the end; of the second the same with one part.
const REQUESTS: usize = 9;

/// Puts one object in the place of the other.
#[kappa::task]
async fn two_objects(cx: &mut Context, url: String) -> Result<u64> {
    cx.put_object(url.clone(), vec![1; LONG]).await;
    cx.put_object(url, "two").await;
    Ok(2)
}

/// The child of the tests: starts the run, or resumes it if there is one, and prints its result.
#[test]
#[ignore = "a helper of the others"]
fn child_that_runs_until_it_is_killed() {
    let (Ok(folder), Ok(url)) = (std::env::var(STATE), std::env::var(URL)) else {
        return;
    };
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let kappa = Kappa::builder().state_dir(&folder).build().await.expect("a place");
        let handle = match kappa.runs().expect("the runs").first() {
            Some(run) => kappa.resume(*run).await.expect("resumed"),
            None => kappa.start(two_objects(url)).await.expect("a run"),
        };
        println!("\nresult {:?}", handle.wait().await);
    });
}

fn child(server: &Server, endpoint: &str, state: &std::path::Path, url: &str) -> Child {
    let mut command = Command::new(std::env::current_exe().expect("this test"));
    server
        .serve(&mut command)
        .env("AWS_ENDPOINT_URL", endpoint)
        .args([
            "--exact",
            "put_object::child_that_runs_until_it_is_killed",
            "--ignored",
            "--nocapture",
        ])
        .env(STATE, state)
        .env(URL, url)
        .stdout(Stdio::piped())
        .spawn()
        .expect("a child")
}

fn result(mut child: Child) -> String {
    let mut said = String::new();
    child
        .stdout
        .take()
        .expect("its output")
        .read_to_string(&mut said)
        .expect("text");
    assert!(child.wait().expect("its end").success(), "{said}");
    let result = said.lines().find_map(|line| line.strip_prefix("result "));
    result.unwrap_or_else(|| panic!("no result: {said}")).to_string()
}

async fn is_exactly_once_when_killed(side: Side) {
    let server = Server::ministack();
    let bucket = Bucket::on(&server);
    let proxy = Proxy::before(&server.endpoint());
    for number in 0..=REQUESTS {
        let folder = tempfile::tempdir().expect("a folder");
        let key = format!("object-{number}");
        let url = format!("s3://{NAME}/{key}");
        proxy.stop_at(Some(number), side);
        let mut first = child(&server, &proxy.endpoint, folder.path(), &url);
        let Some(request) = proxy.stopped(Duration::from_secs(if number == REQUESTS { 3 } else { 60 })) else {
            assert_eq!(number, REQUESTS, "it makes fewer requests than this test believes");
            assert_eq!(result(first), "Ok(2)");
            break;
        };
        assert!(number < REQUESTS, "it makes more requests: {}", first_line(&request));
        first.kill().expect("kill");
        first.wait().expect("its end");
        proxy.go_on();
        // What begins an upload cannot arrive much later than it was sent: nobody would know of it. All else may.
        let begins = first_line(&request).starts_with("POST") && first_line(&request).contains("?uploads");
        let is_late = side == Side::Before && !begins;
        if side == Side::Before && begins {
            proxy.deliver(&request);
        }
        assert_eq!(result(child(&server, &proxy.endpoint, folder.path(), &url)), "Ok(2)");
        if is_late {
            proxy.deliver(&request);
        }
        let at = format!("killed at request {number}: {}", first_line(&request));
        assert_eq!(bucket.get(&key).await, b"two", "{at}");
        assert_eq!(bucket.uploads().await, Vec::<String>::new(), "{at}");
        assert_eq!(proxy.completions(), 2, "each object is written once; {at}");
    }
    let expected: Vec<_> = (0..=REQUESTS).map(|number| format!("object-{number}")).collect();
    assert_eq!(bucket.objects().await, expected, "and nothing else is there");
}

#[tokio::test]
async fn r21_an_object_is_written_once_when_the_coordinator_is_killed_before_any_of_its_requests_arrives() {
    is_exactly_once_when_killed(Side::Before).await;
}

#[tokio::test]
async fn r21_an_object_is_written_once_when_the_coordinator_is_killed_before_it_is_told_what_was_done() {
    is_exactly_once_when_killed(Side::After).await;
}

#[kappa::task]
async fn one_object(cx: &mut Context, url: String, content: Vec<u8>) -> Result<u64> {
    cx.put_object(url, content).await;
    Ok(1)
}

/// The child of the next test.
#[test]
#[ignore = "a helper of another"]
fn child_that_opens_a_store() {
    if let Ok(url) = std::env::var(OPENED) {
        println!("\nopened {:?}", kappa::store::open(&url));
    }
}

#[test]
fn a_store_below_a_prefix_is_opened_by_a_list_that_its_policy_allows() {
    let server = Server::ministack();
    let proxy = Proxy::before(&server.endpoint());
    proxy.stop_at(Some(0), Side::Before);
    let mut command = Command::new(std::env::current_exe().expect("this test"));
    let mut child = server
        .serve(&mut command)
        .env("AWS_ENDPOINT_URL", &proxy.endpoint)
        .args([
            "--exact",
            "put_object::child_that_opens_a_store",
            "--ignored",
            "--nocapture",
        ])
        .env(OPENED, format!("s3://{NAME}/some/place"))
        .stdout(Stdio::null())
        .spawn()
        .expect("a child");
    let request = proxy.stopped(Duration::from_secs(60)).expect("a request");
    child.kill().expect("kill");
    child.wait().expect("its end");
    // The policy that `kappa policy` prints: `s3:prefix` is like `some/place/` or `some/place/*`.
    let line = first_line(&request).replace("%2F", "/");
    let prefix = line
        .split(['?', '&', ' '])
        .find_map(|part| part.strip_prefix("prefix="));
    assert_eq!(prefix, Some("some/place/"), "{line}");
}

const BUCKET_OF_NOBODY: &str = "KAPPA_TEST_S3_NOBODY";

/// The child of the next test.
#[tokio::test]
#[ignore = "a helper of another"]
async fn child_that_puts_some_objects() {
    let Ok(bucket) = std::env::var(BUCKET_OF_NOBODY) else {
        return;
    };
    let kappa = Kappa::builder().build().await.expect("a place");
    for (key, content) in [("empty", vec![]), ("a b/ä+%", vec![7; 10])] {
        let run = kappa.run(one_object(format!("s3://{NAME}/{key}"), content)).await;
        println!("\nresult {run:?}");
    }
    let run = kappa.run(one_object(format!("s3://{bucket}/x"), vec![1])).await;
    println!("\nfailure {}", run.expect_err("there is no such bucket"));
}

#[tokio::test]
async fn objects_may_be_empty_and_have_any_name_and_a_missing_bucket_fails_the_task() {
    for start in [Server::ministack, Server::seaweedfs] {
        let server = start();
        let bucket = Bucket::on(&server);
        let mut command = Command::new(std::env::current_exe().expect("this test"));
        let output = server
            .serve(&mut command)
            .args([
                "--exact",
                "put_object::child_that_puts_some_objects",
                "--ignored",
                "--nocapture",
            ])
            .env(BUCKET_OF_NOBODY, "nobodys-bucket")
            .output()
            .expect("a child");
        let said = String::from_utf8_lossy(&output.stdout);
        assert_eq!(said.matches("result Ok(1)").count(), 2, "{said}");
        assert_eq!(bucket.get("empty").await, b"");
        assert_eq!(bucket.get("a b/ä+%").await, [7; 10]);
        assert_eq!(bucket.objects().await, ["a b/ä+%", "empty"]);
        let failure = said
            .lines()
            .find(|line| line.starts_with("failure "))
            .unwrap_or_default();
        assert!(
            failure.contains("s3://nobodys-bucket/x") && failure.contains("there is no bucket nobodys-bucket"),
            "{said}"
        );
    }
}
