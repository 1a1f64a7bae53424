//! A batch of records as one value, and values that say whether they are as they were written.

use crc32fast::Hasher;

/// What a sealed value begins with; it names the version of this format.
const MARK: [u8; 8] = *b"kappa-r2";

/// By how many bytes a sealed value is longer than its content.
pub(super) const SEAL: usize = MARK.len() + 4;

/// Why a sealed value is not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unsealed {
    /// It is not as it was written, or not what was written under this key.
    Damaged,
    /// It has not the beginning of this format: another version has written it.
    OfAnotherVersion,
}

impl std::fmt::Display for Unsealed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Unsealed::Damaged => "is damaged: it is not what was written there",
            Unsealed::OfAnotherVersion => {
                "is damaged, or was written by another version of Kappa: go on with the run by the program that began it"
            }
        })
    }
}

/// A value behind a mark and its checksum, the CRC-32 of the key, its length and the content: a value under another key is not taken for this one.
pub(super) fn seal(key: &str, content: &[u8]) -> Vec<u8> {
    let mut value = Vec::with_capacity(SEAL + content.len());
    value.extend_from_slice(&MARK);
    value.extend_from_slice(&checksum(key, content).to_be_bytes());
    value.extend_from_slice(content);
    value
}

/// The content of a sealed value.
pub(super) fn unseal<'a>(key: &str, value: &'a [u8]) -> Result<&'a [u8], Unsealed> {
    let rest = value.strip_prefix(&MARK).ok_or(Unsealed::OfAnotherVersion)?;
    let (sum, content) = rest.split_first_chunk::<4>().ok_or(Unsealed::Damaged)?;
    match u32::from_be_bytes(*sum) == checksum(key, content) {
        true => Ok(content),
        false => Err(Unsealed::Damaged),
    }
}

fn checksum(key: &str, content: &[u8]) -> u32 {
    let mut hasher = Hasher::new();
    hasher.update(&(key.len() as u64).to_be_bytes());
    hasher.update(key.as_bytes());
    hasher.update(content);
    hasher.finalize()
}

/// Records one after the other, each behind its length.
pub(super) fn join(records: &[Vec<u8>]) -> Vec<u8> {
    let length = records.iter().map(|record| record.len() + 8).sum();
    let mut value = Vec::with_capacity(length);
    for record in records {
        value.extend_from_slice(&(record.len() as u64).to_be_bytes());
        value.extend_from_slice(record);
    }
    value
}

/// The records of a joined value; nothing if it is damaged.
pub(super) fn split(mut value: &[u8], records: &mut Vec<Vec<u8>>) -> Option<()> {
    while let Some((length, rest)) = value.split_first_chunk::<8>() {
        let length = usize::try_from(u64::from_be_bytes(*length)).ok()?;
        let (record, rest) = rest.split_at_checked(length)?;
        records.push(record.to_vec());
        value = rest;
    }
    value.is_empty().then_some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_split_as_they_were_joined_and_damage_is_seen() {
        let records = vec![vec![], vec![1, 2, 3], vec![0; 1000]];
        let value = join(&records);
        let mut back = Vec::new();
        assert_eq!(split(&value, &mut back), Some(()));
        assert_eq!(back, records);
        for length in [1, 7, 9, value.len() - 1] {
            assert_eq!(split(&value[..length], &mut Vec::new()), None);
        }
    }

    #[test]
    fn a_sealed_value_is_read_under_its_own_key_and_only_if_no_byte_of_it_has_changed() {
        for content in [&b""[..], &b"x"[..], &[7; 1000]] {
            let sealed = seal("key", content);
            assert_eq!(sealed.len(), content.len() + SEAL);
            assert_eq!(unseal("key", &sealed), Ok(content));
            assert_eq!(unseal("other", &sealed), Err(Unsealed::Damaged));
            for at in 0..sealed.len() {
                let mut changed = sealed.clone();
                changed[at] ^= 1;
                assert!(unseal("key", &changed).is_err(), "byte {at}");
                assert!(unseal("key", &sealed[..at]).is_err(), "{at} bytes");
            }
            assert!(unseal("key", &[&sealed[..], b"x"].concat()).is_err());
        }
        // As it was before there were checksums.
        assert_eq!(unseal("key", &join(&[vec![1]])), Err(Unsealed::OfAnotherVersion));
    }
}
