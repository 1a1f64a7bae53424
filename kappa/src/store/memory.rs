//! Objects in this process's memory: for tests and for runs whose workers share the process.
//!
//! Nothing is copied: what is put is what is got. An object is gone when the store is dropped.

use super::{Store, StoreError, key};
use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::RwLock;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fmt;
use std::ops::Range;

/// The store `memory:`.
#[derive(Default)]
pub struct Memory {
    objects: RwLock<BTreeMap<String, Bytes>>,
}

impl Memory {
    /// An empty store.
    pub fn new() -> Self {
        Memory::default()
    }

    /// How many objects there are, and their bytes together.
    pub fn usage(&self) -> (usize, u64) {
        let objects = self.objects.read();
        (objects.len(), objects.values().map(|bytes| bytes.len() as u64).sum())
    }

    fn object(&self, key: &str) -> Result<Bytes, StoreError> {
        key::check(key)?;
        let found = self.objects.read().get(key).cloned();
        found.ok_or_else(|| StoreError::NotFound {
            store: self.url(),
            key: key.to_string(),
        })
    }
}

#[async_trait]
impl Store for Memory {
    async fn put(&self, key: &str, bytes: Bytes) -> Result<(), StoreError> {
        key::check(key)?;
        match self.objects.write().entry(key.to_string()) {
            Entry::Vacant(place) => {
                place.insert(bytes);
                Ok(())
            }
            Entry::Occupied(_) => Err(StoreError::AlreadyExists {
                store: self.url(),
                key: key.to_string(),
            }),
        }
    }

    async fn get(&self, key: &str) -> Result<Bytes, StoreError> {
        self.object(key)
    }

    async fn get_ranges(&self, key: &str, ranges: &[Range<u64>]) -> Result<Vec<Bytes>, StoreError> {
        let object = self.object(key)?;
        let mut parts = Vec::with_capacity(ranges.len());
        for range in ranges {
            if range.start > range.end || range.end > object.len() as u64 {
                let store = self.url();
                return Err(StoreError::OutOfRange {
                    store,
                    key: key.to_string(),
                    start: range.start,
                    end: range.end,
                });
            }
            // Both fit `usize`: they are at most the object's length.
            parts.push(object.slice(range.start as usize..range.end as usize));
        }
        Ok(parts)
    }

    async fn delete(&self, key: &str) -> Result<(), StoreError> {
        key::check(key)?;
        self.objects.write().remove(key);
        Ok(())
    }

    async fn delete_prefix(&self, prefix: &str) -> Result<(), StoreError> {
        key::check(prefix)?;
        self.objects.write().retain(|key, _| !key::has_prefix(key, prefix));
        Ok(())
    }

    fn is_shared(&self) -> bool {
        false
    }

    fn url(&self) -> String {
        "memory:".to_string()
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (objects, bytes) = self.usage();
        write!(f, "Memory({objects} objects, {bytes} bytes)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::conformance;
    use std::sync::Arc;

    #[tokio::test(flavor = "multi_thread")]
    async fn the_memory_store_conforms() {
        let store = Arc::new(Memory::new());
        conformance::check(store.clone()).await;
        assert_eq!(store.usage(), (0, 0), "the suite deletes what it put");
    }
}
