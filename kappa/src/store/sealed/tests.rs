use super::*;
use futures::FutureExt;

const KEY: &str = "runs/7/item/3";

fn content(length: u64) -> Vec<u8> {
    (0..length).map(|n| (n * 31 % 251) as u8).collect()
}

fn get_of(key: &str, stored: &Bytes) -> Result<Bytes, StoreError> {
    let read = || std::future::ready(Ok(stored.clone()));
    get("memory:", key, read).now_or_never().unwrap()
}

fn ranges_of(key: &str, stored: &Bytes, ranges: &[Range<u64>]) -> Result<Vec<Bytes>, StoreError> {
    let clamped = |range: &Range<u64>| {
        let at = |position: u64| position.min(stored.len() as u64) as usize;
        stored.slice(at(range.start)..at(range.end))
    };
    let read = |ranges: Vec<Range<u64>>| std::future::ready(Ok(ranges.iter().map(clamped).collect()));
    get_ranges("memory:", key, ranges, read).now_or_never().unwrap()
}

fn is_damaged<T: std::fmt::Debug>(read: Result<T, StoreError>) -> bool {
    matches!(read, Err(StoreError::Damaged { .. }))
}

/// Lengths around the ends of blocks.
const LENGTHS: [u64; 9] = [0, 1, 15, 4095, 4096, 4097, 8191, 8192, 12_300];

#[test]
fn whatever_is_sealed_is_read_whole_and_by_ranges() {
    for length in LENGTHS {
        let content = content(length);
        let stored = seal(KEY, &content);
        assert_eq!(stored.len() as u64, length + overhead(length));
        assert_eq!(get_of(KEY, &stored).unwrap(), content);
        let ends = [0, 1, length / 2, length.saturating_sub(1), length, 4095, 4096, 4097];
        for start in ends {
            for end in ends {
                let read = ranges_of(KEY, &stored, &[0..0, start..end]);
                match start <= end && end <= length {
                    true => assert_eq!(read.unwrap()[1], content[start as usize..end as usize]),
                    false => assert!(
                        matches!(&read, Err(StoreError::OutOfRange { .. })),
                        "{start}..{end} of {length}: {read:?}"
                    ),
                }
            }
        }
        for range in [
            0..u64::MAX,
            u64::MAX..u64::MAX,
            length + 1..length + 1,
            length..length + 1,
        ] {
            let read = ranges_of(KEY, &stored, std::slice::from_ref(&range));
            assert!(
                matches!(read, Err(StoreError::OutOfRange { .. })),
                "{range:?}: {read:?}"
            );
        }
    }
}

#[test]
fn every_changed_bit_is_noticed_by_whoever_reads_that_block() {
    for length in LENGTHS {
        let content = content(length);
        let stored = seal(KEY, &content);
        // All bytes of seals and beside them, and some between.
        let sealed = (BLOCK + SEAL) as usize;
        let told = |at: &usize| {
            at % sealed < 20 || at % sealed > sealed - 40 || stored.len() - at < 40 || at.is_multiple_of(97)
        };
        for at in (0..stored.len()).filter(told) {
            // Of each byte one bit: together all eight of them.
            let mut changed = stored.to_vec();
            changed[at] ^= 1 << (at % 8);
            let changed = Bytes::from(changed);
            assert!(is_damaged(get_of(KEY, &changed)), "byte {at} of {length}");
            let block = at as u64 / (BLOCK + SEAL);
            let (start, end) = (block * BLOCK, length.min((block + 1) * BLOCK));
            for range in [start..end, end..end, start.min(end.saturating_sub(1))..end] {
                let read = ranges_of(KEY, &changed, std::slice::from_ref(&range));
                if covering(&range).contains(&block) {
                    assert!(is_damaged(read), "byte {at} of {length}, range {range:?}");
                }
            }
            for other in (0..blocks(length)).filter(|other| *other != block) {
                let range = other * BLOCK..length.min((other + 1) * BLOCK);
                let read = ranges_of(KEY, &changed, std::slice::from_ref(&range)).unwrap();
                assert_eq!(read[0], content[range.start as usize..range.end as usize]);
            }
        }
    }
}

#[test]
fn an_object_that_is_cut_off_or_has_grown_is_noticed_wherever_it_ends() {
    for length in LENGTHS {
        let stored = seal(KEY, &content(length));
        let sealed = (BLOCK + SEAL) as usize;
        let told = |end: &usize| {
            end % sealed < 3 || end % sealed > sealed - 20 || stored.len() - end < 20 || end.is_multiple_of(97)
        };
        for end in (0..stored.len()).filter(told) {
            let cut = stored.slice(..end);
            assert!(is_damaged(get_of(KEY, &cut)), "{end} of {}", stored.len());
            let read = ranges_of(KEY, &cut, std::slice::from_ref(&(0..length)));
            assert!(is_damaged(read), "{end} of {}", stored.len());
        }
        for more in [1, 15, 16, 17, 5000] {
            let mut grown = stored.to_vec();
            grown.extend(std::iter::repeat_n(0, more));
            assert!(is_damaged(get_of(KEY, &grown.into())), "{more} behind {length}");
        }
    }
}

#[test]
fn blocks_that_were_exchanged_and_objects_of_other_names_are_noticed() {
    let stored = seal(KEY, &content(3 * BLOCK));
    assert!(is_damaged(get_of("runs/7/item/4", &stored)));
    assert!(is_damaged(ranges_of(
        "runs/7/item/4",
        &stored,
        std::slice::from_ref(&(0..1))
    )));
    let (first, rest) = stored.split_at((BLOCK + SEAL) as usize);
    let (second, third) = rest.split_at((BLOCK + SEAL) as usize);
    assert!(is_damaged(get_of(KEY, &[second, first, third].concat().into())));
    assert!(is_damaged(get_of(KEY, &[first, first, third].concat().into())));
    assert!(is_damaged(get_of(KEY, &[first, third].concat().into())));
    let shorter = seal(KEY, &content(2 * BLOCK));
    let (_, of_shorter) = shorter.split_at((BLOCK + SEAL) as usize);
    assert!(is_damaged(get_of(KEY, &[first, of_shorter, third].concat().into())));
    // What was never sealed, such as an object of a version without seals.
    assert!(is_damaged(get_of(KEY, &Bytes::from(content(100)))));
}

#[test]
fn an_object_that_comes_damaged_once_is_read_again() {
    let content = content(5000);
    let stored = seal(KEY, &content);
    let readings = std::cell::Cell::new(0);
    let read = || {
        readings.set(readings.get() + 1);
        let mut coming = stored.to_vec();
        coming[17] ^= u8::from(readings.get() == 1);
        std::future::ready(Ok(Bytes::from(coming)))
    };
    assert_eq!(get("memory:", KEY, read).now_or_never().unwrap().unwrap(), content);
    assert_eq!(readings.get(), 2);
}
