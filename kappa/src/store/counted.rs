//! A store that counts what is asked of it: for whoever pays.
//!
//! It changes nothing else. [`crate::usage`] says what counts as what.

use super::{Store, StoreError};
use crate::usage::Operations;
use async_trait::async_trait;
use bytes::Bytes;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Another store, counted.
#[derive(Debug)]
pub struct Counted {
    inner: Arc<dyn Store>,
    counts: Arc<Counts>,
}

/// What has been asked of a [`Counted`] store.
#[derive(Debug, Default)]
pub struct Counts {
    puts: AtomicU64,
    gets: AtomicU64,
    ranges: AtomicU64,
    deletes: AtomicU64,
    lists: AtomicU64,
    bytes_up: AtomicU64,
    bytes_down: AtomicU64,
}

impl Counted {
    /// This store, counted from now on, and its counts.
    pub fn over(inner: Arc<dyn Store>) -> (Arc<dyn Store>, Arc<Counts>) {
        let counts = Arc::new(Counts::default());
        let counted = Counted {
            inner,
            counts: counts.clone(),
        };
        (Arc::new(counted), counts)
    }
}

impl Counts {
    /// What has been counted so far.
    pub fn total(&self) -> Operations {
        self.each(|count| count.load(Ordering::Relaxed))
    }

    /// What has been counted so far; from now on it begins again.
    pub fn take(&self) -> Operations {
        self.each(|count| count.swap(0, Ordering::Relaxed))
    }

    /// Counts what was done by another way.
    pub fn add(&self, operations: Operations) {
        let Operations {
            puts,
            gets,
            ranges,
            deletes,
            lists,
            bytes_up,
            bytes_down,
        } = operations;
        add(&self.puts, puts);
        add(&self.gets, gets);
        add(&self.ranges, ranges);
        add(&self.deletes, deletes);
        add(&self.lists, lists);
        add(&self.bytes_up, bytes_up);
        add(&self.bytes_down, bytes_down);
    }

    fn each(&self, of: impl Fn(&AtomicU64) -> u64) -> Operations {
        Operations {
            puts: of(&self.puts),
            gets: of(&self.gets),
            ranges: of(&self.ranges),
            deletes: of(&self.deletes),
            lists: of(&self.lists),
            bytes_up: of(&self.bytes_up),
            bytes_down: of(&self.bytes_down),
        }
    }
}

fn add(count: &AtomicU64, more: u64) {
    count.fetch_add(more, Ordering::Relaxed);
}

/// The store that keeps the objects, below those that only pass on what is asked: two that are the same keep the same objects.
pub fn innermost(store: &Arc<dyn Store>) -> &Arc<dyn Store> {
    let mut innermost = store;
    while let Some(inner) = innermost.inner() {
        innermost = inner;
    }
    innermost
}

#[async_trait]
impl Store for Counted {
    async fn put(&self, key: &str, bytes: Bytes) -> Result<(), StoreError> {
        add(&self.counts.puts, 1);
        add(&self.counts.bytes_up, bytes.len() as u64);
        self.inner.put(key, bytes).await
    }

    async fn get(&self, key: &str) -> Result<Bytes, StoreError> {
        add(&self.counts.gets, 1);
        let bytes = self.inner.get(key).await?;
        add(&self.counts.bytes_down, bytes.len() as u64);
        Ok(bytes)
    }

    async fn get_ranges(&self, key: &str, ranges: &[Range<u64>]) -> Result<Vec<Bytes>, StoreError> {
        add(&self.counts.ranges, ranges.len() as u64);
        let parts = self.inner.get_ranges(key, ranges).await?;
        let bytes: u64 = parts.iter().map(|part| part.len() as u64).sum();
        add(&self.counts.bytes_down, bytes);
        Ok(parts)
    }

    async fn delete(&self, key: &str) -> Result<(), StoreError> {
        add(&self.counts.deletes, 1);
        self.inner.delete(key).await
    }

    async fn delete_prefix(&self, prefix: &str) -> Result<(), StoreError> {
        add(&self.counts.lists, 1);
        self.inner.delete_prefix(prefix).await
    }

    fn is_shared(&self) -> bool {
        self.inner.is_shared()
    }

    fn url(&self) -> String {
        self.inner.url()
    }

    fn inner(&self) -> Option<&Arc<dyn Store>> {
        Some(&self.inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Memory, conformance};

    fn memory() -> (Arc<dyn Store>, Arc<dyn Store>, Arc<Counts>) {
        let memory: Arc<dyn Store> = Arc::new(Memory::new());
        let (counted, counts) = Counted::over(memory.clone());
        (memory, counted, counts)
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_counted_store_conforms() {
        let (_, counted, counts) = memory();
        conformance::check(counted).await;
        let total = counts.total();
        assert!(total.puts > 100 && total.bytes_up > 24 << 20, "{total:?}");
        assert!(
            total.gets > 0 && total.ranges > 0 && total.deletes > 0 && total.lists > 0,
            "{total:?}"
        );
    }

    #[tokio::test]
    async fn each_operation_counts_once_as_what_it_is_also_if_it_fails() {
        let (_, store, counts) = memory();
        store.put("a", Bytes::from_static(b"12345")).await.unwrap();
        assert!(store.put("a", Bytes::from_static(b"67")).await.is_err());
        store.get("a").await.unwrap();
        assert!(store.get("nothing").await.is_err());
        store.get_ranges("a", &[0..1, 2..4]).await.unwrap();
        assert!(store.get_ranges("a", &[0..1, 4..9, 0..0]).await.is_err());
        store.get_ranges("a", &[]).await.unwrap();
        store.delete("a").await.unwrap();
        store.delete_prefix("a").await.unwrap();
        let expected = Operations {
            puts: 2,
            gets: 2,
            ranges: 5,
            deletes: 1,
            lists: 1,
            bytes_up: 7,
            bytes_down: 5 + 3,
        };
        assert_eq!(counts.total(), expected);
        assert_eq!(counts.take(), expected);
        assert_eq!(counts.total(), Operations::default());
        counts.add(expected);
        counts.add(expected);
        assert_eq!(counts.total(), expected.plus(expected));
    }

    #[test]
    fn a_store_counted_twice_is_still_the_same_store() {
        let (memory, counted, _) = memory();
        let (again, _) = Counted::over(counted.clone());
        assert!(Arc::ptr_eq(innermost(&again), &memory));
        assert!(Arc::ptr_eq(innermost(&memory), &memory));
        assert_eq!((again.url(), again.is_shared()), (memory.url(), memory.is_shared()));
    }
}
