//! Whole runs whose large values are in S3, on worker processes that are killed.

use crate::bucket::{Bucket, NAME};
use kappa::Kappa;
use kappa::platform::Platform;
use kappa::platform::chaos::{Chaos, Spec};
use kappa::platform::process::{Process, ProcessOptions};
use kappa::prelude::*;
use kappa::store::Store;
use kappa_test_servers::Server;
use std::process::Command;
use std::sync::Arc;

/// Not a test: worker processes are this test binary, told to run this function only.
#[test]
fn serving() {
    kappa::serve_if_worker();
}

const STORE: &str = "KAPPA_TEST_S3_STORE";

/// More than a message takes: arguments, checkpoints and results go through the store.
const BULK: usize = 1 << 20;

#[kappa::task]
async fn changed(cx: &mut Context, bulk: Vec<u8>, by: u8) -> Result<Vec<u8>> {
    let mut changed = bulk;
    for _ in 0..3 {
        changed.iter_mut().for_each(|byte| *byte = byte.wrapping_add(by));
        cx.checkpoint().await;
    }
    Ok(changed)
}

#[kappa::task]
async fn all_changed(cx: &mut Context, count: u8) -> Result<u64> {
    let tasks = cx.spawn_all((0..count).map(|n| changed(vec![n; BULK], 5))).await;
    let mut total = 0;
    for task in tasks {
        let bulk = cx.wait(&task).await?;
        total += bulk.iter().map(|byte| u64::from(*byte)).sum::<u64>();
    }
    Ok(total)
}

/// The child of the next test.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "a helper of a_run_on_worker_processes_that_are_killed_uses_s3_and_leaves_nothing_there"]
async fn child_with_worker_processes() {
    let Ok(url) = std::env::var(STORE) else { return };
    let store: Arc<dyn Store> = kappa::store::open(&url).expect("a store");
    let options = ProcessOptions {
        workers: 3,
        arguments: ["--exact", "runs::serving", "--nocapture"].map(String::from).to_vec(),
        ..ProcessOptions::default()
    };
    let process: Arc<dyn Platform> = Arc::new(Process::new(options, &store).expect("a platform"));
    let chaos = Chaos::new(process, Spec { kill: 0.3, seed: 5 });
    let kappa = Kappa::builder().platform(Arc::new(chaos)).store(store).build().await;
    let result = kappa.expect("a place").run(all_changed(6)).await;
    println!("\nresult {result:?}");
}

#[tokio::test]
async fn a_run_on_worker_processes_that_are_killed_uses_s3_and_leaves_nothing_there() {
    for start in [Server::ministack, Server::seaweedfs] {
        let server = start();
        let bucket = Bucket::on(&server);
        let mut command = Command::new(std::env::current_exe().expect("this test"));
        let output = server
            .serve(&mut command)
            .args([
                "--exact",
                "runs::child_with_worker_processes",
                "--ignored",
                "--nocapture",
            ])
            .env(STORE, format!("s3://{NAME}/some/place"))
            .output()
            .expect("a child");
        let said = String::from_utf8_lossy(&output.stdout);
        let expected: u64 = (0..6).map(|n| (n + 15) * BULK as u64).sum();
        assert!(said.contains(&format!("result Ok({expected})")), "{said}");
        assert_eq!(bucket.objects().await, Vec::<String>::new());
        assert_eq!(bucket.uploads().await, Vec::<String>::new());
    }
}
