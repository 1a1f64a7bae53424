//! A journal in memory: for tests, and to see what a run decided. It survives the coordinator, not the process.

use super::{Journal, JournalError};
use async_trait::async_trait;
use parking_lot::Mutex;
use std::sync::Arc;

/// A record in memory. Clones share it, so that another coordinator can go on with what the first one wrote.
#[derive(Clone, Debug, Default)]
pub struct MemoryJournal {
    content: Arc<Mutex<Content>>,
}

#[derive(Debug, Default)]
struct Content {
    snapshot: Option<Vec<u8>>,
    records: Vec<Vec<u8>>,
}

impl MemoryJournal {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }
}

#[async_trait]
impl Journal for MemoryJournal {
    async fn append(&self, records: Vec<Vec<u8>>) -> Result<(), JournalError> {
        self.content.lock().records.extend(records);
        Ok(())
    }

    async fn snapshot(&self, snapshot: Vec<u8>) -> Result<(), JournalError> {
        let mut content = self.content.lock();
        content.snapshot = Some(snapshot);
        content.records.clear();
        Ok(())
    }

    async fn load(&self) -> Result<(Option<Vec<u8>>, Vec<Vec<u8>>), JournalError> {
        let content = self.content.lock();
        Ok((content.snapshot.clone(), content.records.clone()))
    }

    fn is_immediate(&self) -> bool {
        true
    }

    async fn sync(&self) -> Result<(), JournalError> {
        Ok(())
    }

    /// It does not outlive this process, so there is no later one that could miss it.
    fn may_lose_its_end(&self) -> bool {
        false
    }

    fn longest_snapshot(&self) -> usize {
        usize::MAX
    }
}

#[cfg(test)]
mod tests {
    use super::super::conformance::{self, Place};
    use super::*;

    struct Memory(MemoryJournal);

    impl Place for Memory {
        fn open(&self) -> Arc<dyn Journal> {
            Arc::new(self.0.clone())
        }
    }

    #[tokio::test]
    async fn the_memory_journal_conforms() {
        conformance::check(|| Memory(MemoryJournal::new())).await;
    }

    #[test]
    fn appending_to_memory_completes_at_once() {
        use futures::FutureExt;
        assert!(MemoryJournal::new().append(vec![vec![1]]).now_or_never().is_some());
    }
}
