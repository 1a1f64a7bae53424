//! What is used, on its way to where it is summed up.

use super::{Core, Shared};
use crate::coordinator::state::RunStats;
use crate::link::Link;
use crate::protocol::{Reply, Request};
use crate::usage::{Operations, Spent, Usage};
use async_trait::async_trait;
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::Ordering;

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

    /// The platform's last word. Where it says nothing of the memory, that is what its invocations are limited to.
    pub(super) fn usage(&self, memory_limit: Option<u64>) -> Option<Usage> {
        let mut usage = (*self.usage.lock())?;
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
