//! Objects that show whether they are what was put.
//!
//! Plans, schemas and manifests are read by decoders that panic, or worse, answer something else, if a disk has changed a byte. So the
//! bytes of each end with their checksum, which is looked at before anything else is. (The rows of units have theirs in the manifest.)

use crate::error::QueryError;
use bytes::Bytes;
use kappa::store::Store;

/// Bytes of the checksum: CRC-32, little end first.
const SEAL: usize = 4;

/// The bytes with their checksum behind them.
pub fn sealed(mut bytes: Vec<u8>) -> Bytes {
    let checksum = crc32fast::hash(&bytes);
    bytes.extend_from_slice(&checksum.to_le_bytes());
    bytes.into()
}

/// The bytes that were sealed; `None` if these are others.
pub fn opened(mut bytes: Bytes) -> Option<Bytes> {
    let seal = bytes.split_off(bytes.len().checked_sub(SEAL)?);
    (crc32fast::hash(&bytes).to_le_bytes() == *seal).then_some(bytes)
}

/// The bytes that were put sealed under a key.
///
/// # Errors
/// If the store fails, or its bytes are not those that were put there.
pub async fn get_sealed(store: &dyn Store, key: &str) -> Result<Bytes, QueryError> {
    opened(store.get(key).await?).ok_or_else(|| QueryError::Damaged { key: key.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_opened_is_what_was_sealed_or_nothing() {
        for text in ["", "a", "a manifest of some length"] {
            let bytes = sealed(text.into());
            assert_eq!(opened(bytes.clone()).unwrap(), text);
            for place in 0..bytes.len() {
                for bit in 0..8 {
                    let mut damaged = bytes.to_vec();
                    damaged[place] ^= 1 << bit;
                    assert_eq!(opened(damaged.into()), None, "byte {place}, bit {bit}");
                }
                assert_eq!(opened(bytes.slice(..place)), None, "cut off at {place}");
            }
        }
    }
}
