//! From the text a person or a message gives to a store.

use super::{FileStore, Memory, RedisStore, Store, StoreError};
use crate::journal::Durability;
use crate::replicas::address;
use std::path::Path;
use std::sync::Arc;

/// Opens the store that a URL names: `memory:` (a new one), `file:DIR`, `file+sync:DIR` (the same, waiting for the disk), `redis://HOST[:PORT][,HOST2[:PORT]..]`, or `s3://BUCKET[/PREFIX]`.
///
/// # Errors
/// [`StoreError::Invalid`] for a URL that names no store, [`StoreError::Unavailable`] if it is not there.
pub fn open(url: &str) -> Result<Arc<dyn Store>, StoreError> {
    let invalid = |what: &str| {
        Err(StoreError::Invalid(format!(
            "store {:?} {what}; a store is `memory:` or `file:DIR` or `redis://HOST[:PORT][,HOST2[:PORT]..]` or `s3://BUCKET[/PREFIX]`",
            address::shown(url)
        )))
    };
    match url.split_once(':') {
        Some(("memory", "")) => Ok(Arc::new(Memory::new())),
        Some(("memory", _)) => invalid("has text after `memory:`"),
        Some(("file", "")) => invalid("names no folder"),
        Some(("file", folder)) => Ok(Arc::new(FileStore::open(Path::new(folder))?)),
        Some(("file+sync", folder)) if !folder.is_empty() => {
            Ok(Arc::new(FileStore::open_as(Path::new(folder), Durability::Machine)?))
        }
        Some(("file+sync", _)) => invalid("names no folder"),
        Some(("redis" | "rediss", _)) => Ok(Arc::new(RedisStore::open(url)?)),
        #[cfg(feature = "aws")]
        Some(("s3", _)) => Ok(Arc::new(super::S3Store::open(url)?)),
        #[cfg(not(feature = "aws"))]
        Some(("s3", _)) => invalid("is in S3, which this program was built without; build it with the feature `aws`"),
        Some((scheme, _)) => invalid(&format!("is of the unknown kind `{scheme}`")),
        None => invalid("has no kind"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_that_name_no_store_are_refused_with_what_there_is() {
        for url in ["", "memory", "memory:7", "file:", "file+sync:", "/tmp", "ftp://x"] {
            let message = open(url).unwrap_err().to_string();
            assert!(message.contains("`memory:` or `file:DIR`"), "{url}: {message}");
        }
        assert!(!open("memory:").unwrap().is_shared());
    }
}
