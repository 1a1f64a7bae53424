//! The chaos wrapper.

use crate::conformance;
use crate::tasks::{self, Yes, numbered};
use kappa::platform::Platform;
use kappa::platform::chaos::{Chaos, Spec};
use kappa::platform::in_process::{InProcess, InProcessOptions};
use kappa::protocol::InvocationOutcome;
use kappa::store::Memory;
use std::collections::BTreeSet;
use std::sync::Arc;

fn chaos(spec: &str) -> Arc<dyn Platform> {
    let inner = InProcess::new(InProcessOptions { workers: 2 }, Arc::new(Memory::new())).unwrap();
    Arc::new(Chaos::new(Arc::new(inner), spec.parse::<Spec>().unwrap()))
}

#[tokio::test]
async fn without_kills_chaos_is_the_platform_itself() {
    conformance::check(chaos("kill=0")).await;
}

/// The tasks that are killed, and how many requests each had made.
async fn killed(spec: &str, tasks: u64) -> BTreeSet<(u64, usize)> {
    let platform = chaos(spec);
    let mut killed = BTreeSet::new();
    for task in 0..tasks {
        let link = Arc::new(Yes::default());
        match platform
            .invoke(numbered(task, tasks::well_behaved(2)), link.clone())
            .await
        {
            InvocationOutcome::Killed(by) => {
                assert_eq!(by, "chaos");
                killed.insert((task, link.count()));
            }
            outcome => assert_eq!(outcome, InvocationOutcome::Returned),
        }
    }
    killed
}

#[tokio::test]
async fn the_share_is_killed_however_short_invocations_are() {
    let killed = killed("kill=0.3,seed=7", 1000).await;
    assert!((250..350).contains(&killed.len()), "{} of 1000", killed.len());
    // Everywhere: before the first request, in between, before and after the exit.
    let moments: BTreeSet<usize> = killed.iter().map(|(_, requests)| *requests).collect();
    assert_eq!(moments, BTreeSet::from([0, 1, 2, 3]));
}

#[tokio::test]
async fn the_seed_decides_who_is_killed() {
    let who = |killed: BTreeSet<(u64, usize)>| killed.into_iter().map(|(task, _)| task).collect::<Vec<_>>();
    let first = who(killed("kill=0.3,seed=7", 200).await);
    assert_eq!(first, who(killed("kill=0.3,seed=7", 200).await));
    assert_ne!(first, who(killed("kill=0.3,seed=8", 200).await));
}
