//! A batch of records as one value.

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
}
