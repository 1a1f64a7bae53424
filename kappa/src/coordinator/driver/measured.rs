//! What is used, on its way to where it is summed up.

use super::{Core, Shared};
use crate::coordinator::state::RunStats;
use crate::link::Link;
use crate::protocol::{InvocationOutcome, Reply, Request};
use crate::usage::{Operations, Spent, Usage};
use async_trait::async_trait;
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// An invocation's way to the coordinator, which remembers what the platform says that it has used.
pub(super) struct Measured {
    shared: Arc<Shared>,
    usage: Mutex<Option<Usage>>,
}

impl Measured {
    pub(super) fn new(shared: Arc<Shared>) -> Arc<Self> {
        Arc::new(Measured {
            shared,
            usage: Mutex::new(None),
        })
    }

    /// What an invocation has used that ended so, `wall` after it was handed over: the platform's last word. Where it says nothing of the memory,
    /// that is what its invocations are limited to; so it is where it says nothing at all of one that was started.
    pub(super) fn usage(
        &self,
        memory_limit: Option<u64>,
        outcome: &InvocationOutcome,
        wall: Duration,
    ) -> Option<Usage> {
        let is_started = !matches!(
            outcome,
            InvocationOutcome::Throttled(_) | InvocationOutcome::Unstartable(_)
        );
        let untold = (is_started && memory_limit.is_some()).then(|| Usage::new(wall, Operations::default()));
        let told = *self.usage.lock();
        let mut usage = told.or(untold)?;
        if usage.memory == 0 {
            usage.memory = memory_limit.unwrap_or(0);
        }
        Some(usage)
    }
}

#[async_trait]
impl Link for Measured {
    async fn send(&self, request: Request) -> Reply {
        self.shared.send(request).await
    }

    fn used(&self, usage: Usage) {
        *self.usage.lock() = Some(usage);
    }
}

impl Shared {
    /// What an invocation used, together with what the coordinator has done since this was last asked.
    pub(super) fn spent(&self, invocation: Option<Usage>, on_coordinator: bool) -> Spent {
        Spent {
            invocation,
            on_coordinator,
            coordinator: self.doings.store.take(),
            journal_writes: self.doings.journal_writes.swap(0, Ordering::Relaxed),
        }
    }

    /// The numbers, with what the coordinator has done since the last event that told it.
    pub(super) fn stats(&self, core: &Core) -> RunStats {
        let mut stats = core.state.stats().clone();
        let journal_writes = self.doings.journal_writes.load(Ordering::Relaxed);
        stats.used.add_coordinator(self.doings.store.total(), journal_writes);
        stats
    }

    /// So many objects are about to be deleted, by the store that does not count.
    pub(super) fn count_deletions(&self, keys: usize) {
        self.doings.store.add(Operations {
            deletes: keys as u64,
            ..Operations::default()
        });
    }

    /// A batch goes to the journal.
    pub(super) fn writes_journal(&self) {
        self.doings.journal_writes.fetch_add(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coordinator::driver::Coordinator;
    use crate::coordinator::driver::tests::{Scripted, exit, request, root, setup, soon};
    use crate::platform::Platform;
    use crate::protocol::Invocation;

    const MIB: u64 = 1 << 20;

    /// A platform that limits the memory of its invocations and tells nothing of them.
    struct Silent(Arc<Scripted>);

    #[async_trait]
    impl Platform for Silent {
        async fn invoke(&self, invocation: Invocation, link: Arc<dyn Link>) -> InvocationOutcome {
            self.0.invoke(invocation, link).await
        }

        async fn shutdown(&self) {}

        fn concurrency(&self) -> usize {
            self.0.concurrency()
        }

        fn memory_limit(&self) -> Option<u64> {
            Some(256 * MIB)
        }
    }

    /// Turned away at first, then killed, then done.
    fn scripted() -> Arc<Scripted> {
        Scripted::new(4, |invocation, link| async move {
            tokio::time::sleep(Duration::from_millis(5)).await;
            match invocation.incarnation {
                0 => InvocationOutcome::Throttled("by the test".to_string()),
                1 => InvocationOutcome::Killed("by the test".to_string()),
                _ => {
                    link.send(request(&invocation, 1, exit(b"done"))).await;
                    InvocationOutcome::Returned
                }
            }
        })
    }

    #[tokio::test]
    async fn an_invocation_of_which_its_platform_tells_nothing_had_its_memory_all_the_time() {
        let platform = Arc::new(Silent(scripted()));
        let coordinator = Coordinator::start(setup(platform, None), root(vec![]))
            .await
            .expect("start");
        soon(coordinator.wait()).await.expect("a result");
        let used = coordinator.stats().used;
        assert_eq!((used.invocations, used.cut_off), (2, 1), "each once: {used:?}");
        assert!(used.billed_ms >= 10, "{used:?}");
        assert_eq!(used.limited_ms, used.billed_ms);
        assert_eq!(used.mib_ms, 256 * used.billed_ms);
        assert_eq!(used.workers, Operations::default());
    }

    #[tokio::test]
    async fn without_a_limit_of_memory_nothing_is_made_up() {
        let coordinator = Coordinator::start(setup(scripted(), None), root(vec![]))
            .await
            .expect("start");
        soon(coordinator.wait()).await.expect("a result");
        let used = coordinator.stats().used;
        assert_eq!((used.invocations, used.limited_ms, used.mib_ms), (2, 0, 0), "{used:?}");
    }

    #[tokio::test]
    async fn what_a_platform_tells_goes_before_what_is_measured() {
        let coordinator = Coordinator::start(setup(scripted(), None), root(vec![]))
            .await
            .expect("start");
        let (wall, limit) = (Duration::from_secs(1), Some(256 * MIB));
        let killed = InvocationOutcome::Killed("by the test".to_string());
        let throttled = InvocationOutcome::Throttled("by the test".to_string());
        let measured = Measured::new(coordinator.shared.clone());
        assert_eq!(measured.usage(None, &killed, wall), None);
        assert_eq!(measured.usage(limit, &throttled, wall), None, "nothing was started");
        let mut expected = Usage {
            memory: 256 * MIB,
            ..Usage::new(wall, Operations::default())
        };
        assert_eq!(measured.usage(limit, &killed, wall), Some(expected));
        measured.used(Usage::new(Duration::from_millis(7), Operations::default()));
        expected.billed_ms = 7;
        assert_eq!(measured.usage(limit, &killed, wall), Some(expected));
    }
}
