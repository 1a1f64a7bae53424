//! The platform `in-process`.

use crate::conformance;
use crate::tasks::{self, Yes, invocation};
use kappa::platform::Platform;
use kappa::platform::in_process::{InProcess, InProcessOptions};
use kappa::protocol::InvocationOutcome;
use kappa::store::Memory;
use std::sync::Arc;
use std::time::{Duration, Instant};

fn platform(workers: usize) -> Arc<dyn Platform> {
    Arc::new(InProcess::new(InProcessOptions { workers }, Arc::new(Memory::new())).unwrap())
}

#[tokio::test]
async fn the_in_process_platform_conforms() {
    conformance::check(platform(2)).await;
}

#[tokio::test]
async fn a_task_that_hogs_its_threads_does_not_delay_whoever_watches_it() {
    let platform = platform(1);
    let mut hog = invocation(tasks::hogging());
    hog.time_limit = Some(Duration::from_millis(50));
    let started = Instant::now();
    let outcome = platform.invoke(hog, Arc::new(Yes::default())).await;
    assert_eq!(outcome, InvocationOutcome::TimedOut);
    assert!(started.elapsed() < Duration::from_secs(5));
}
