//! Inclusive ranges that are exhausted.
//!
//! A `RangeInclusive` that has given its last value has equal ends, as one has that holds one value; a flag that `serde` does not see
//! tells them apart. A value that is itself such a range is written with the flag. Inside of other values, an exhausted range is written as another that is empty: the values behind `end` up to `end`. It iterates, contains and
//! slices as the exhausted one does; only `==` and `start()`, which `std` leaves open for exhausted ranges, can tell.

use serde::Serialize;
use std::any::{Any, type_name};
use std::collections::VecDeque;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::ops::RangeInclusive;
use std::sync::Arc;
use try_specialize::Specialization;

/// The bytes of a value that is an inclusive range or directly holds such, with those that are exhausted as what stands for them; `None` if it is
/// not such a value.
macro_rules! settle {
    ($($index:ty: $min:expr, $max:expr;)*) => {
        pub(super) fn settle<T: ?Sized>(value: &T) -> Option<Vec<u8>> {
            $(
                let settled = |range: &RangeInclusive<$index>| {
                    let (start, end) = (*range.start(), *range.end());
                    if !range.is_empty() || start > end {
                        return (start, end);
                    }
                    let behind = (end..=$max).nth(1).map(|behind| (behind, end));
                    let before = || ($min..=end).rev().nth(1).map(|before| (end, before));
                    // A type with two values or more has a neighbour for each.
                    behind.or_else(before).unwrap_or((start, end))
                };
                if let Some(same) = Specialization::<T, RangeInclusive<$index>>::try_new() {
                    return bytes(&settled(same.specialize_ref(value)));
                }
                if let Some(same) = Specialization::<T, Box<RangeInclusive<$index>>>::try_new() {
                    return bytes(&settled(same.specialize_ref(value)));
                }
                if let Some(same) = Specialization::<T, Arc<RangeInclusive<$index>>>::try_new() {
                    return bytes(&settled(same.specialize_ref(value)));
                }
                if let Some(same) = Specialization::<T, Vec<RangeInclusive<$index>>>::try_new() {
                    return bytes(&same.specialize_ref(value).iter().map(settled).collect::<Vec<_>>());
                }
                if let Some(same) = Specialization::<T, VecDeque<RangeInclusive<$index>>>::try_new() {
                    return bytes(&same.specialize_ref(value).iter().map(settled).collect::<Vec<_>>());
                }
                if let Some(same) = Specialization::<T, Box<[RangeInclusive<$index>]>>::try_new() {
                    return bytes(&same.specialize_ref(value).iter().map(settled).collect::<Vec<_>>());
                }
            )*
            None
        }

        /// Appends a value that is itself an inclusive range, with its flag.
        #[inline]
        pub(super) fn write<T: 'static>(value: &T, to: &mut Vec<u8>) -> Option<Result<(), String>> {
            let value: &dyn Any = value;
            $(
                if let Some(range) = value.downcast_ref::<RangeInclusive<$index>>() {
                    let (start, end) = (*range.start(), *range.end());
                    let is_exhausted = range.is_empty() && start <= end;
                    return Some(append(&(start, end, is_exhausted), to));
                }
            )*
            None
        }

        /// Reads such a value.
        #[inline]
        pub(super) fn read<T: 'static>(from: &mut &[u8]) -> Option<Result<T, String>> {
            let mut slot: Option<T> = None;
            let any: &mut dyn Any = &mut slot;
            $(
                if let Some(slot) = any.downcast_mut::<Option<RangeInclusive<$index>>>() {
                    let read = postcard::take_from_bytes::<($index, $index, bool)>(from);
                    let ((start, end, is_exhausted), rest) = match read {
                        Ok(read) => read,
                        Err(cause) => return Some(Err(cause.to_string())),
                    };
                    *from = rest;
                    let mut range = start..=end;
                    if is_exhausted {
                        range = end..=end;
                        range.next();
                    }
                    *slot = Some(range);
                    return slot_of(any);
                }
            )*
            None
        }
    };
}

fn append<T: Serialize>(value: &T, to: &mut Vec<u8>) -> Result<(), String> {
    to.extend(postcard::to_stdvec(value).map_err(|cause| cause.to_string())?);
    Ok(())
}

fn slot_of<T: 'static>(any: &mut dyn Any) -> Option<Result<T, String>> {
    any.downcast_mut::<Option<T>>().and_then(Option::take).map(Ok)
}

/// Whether it is a range that cannot be gone over, and so never is exhausted.
pub(super) fn is_of_another_type<T: ?Sized>() -> bool {
    type_name::<T>()
        .trim_start_matches('&')
        .starts_with("core::ops::range::RangeInclusive<")
        && !KNOWN
            .iter()
            .any(|index| type_name::<T>().ends_with(&format!("RangeInclusive<{index}>")))
}

fn bytes<T: Serialize>(ends: &T) -> Option<Vec<u8>> {
    postcard::to_stdvec(ends).ok()
}

settle! {
    u8: u8::MIN, u8::MAX;
    u16: u16::MIN, u16::MAX;
    u32: u32::MIN, u32::MAX;
    u64: u64::MIN, u64::MAX;
    u128: u128::MIN, u128::MAX;
    usize: usize::MIN, usize::MAX;
    i8: i8::MIN, i8::MAX;
    i16: i16::MIN, i16::MAX;
    i32: i32::MIN, i32::MAX;
    i64: i64::MIN, i64::MAX;
    i128: i128::MIN, i128::MAX;
    isize: isize::MIN, isize::MAX;
    char: char::MIN, char::MAX;
    Ipv4Addr: Ipv4Addr::UNSPECIFIED, Ipv4Addr::BROADCAST;
    Ipv6Addr: Ipv6Addr::UNSPECIFIED, Ipv6Addr::from_bits(u128::MAX);
}

/// The names of the types above.
const KNOWN: [&str; 15] = [
    "u8",
    "u16",
    "u32",
    "u64",
    "u128",
    "usize",
    "i8",
    "i16",
    "i32",
    "i64",
    "i128",
    "isize",
    "char",
    "core::net::ip_addr::Ipv4Addr",
    "core::net::ip_addr::Ipv6Addr",
];

#[cfg(test)]
mod tests {
    use super::super::{read_all, write};
    use super::*;
    use serde::Deserialize;
    use serde::de::DeserializeOwned;
    use std::fmt::Debug;

    fn through<T: Serialize + DeserializeOwned + 'static>(value: &T) -> T {
        let mut bytes = Vec::new();
        write(value, &mut bytes, false).unwrap();
        read_all(&bytes).unwrap()
    }

    fn exhausted<A: Copy>(only: A) -> RangeInclusive<A>
    where
        RangeInclusive<A>: Iterator<Item = A>,
    {
        let mut range = only..=only;
        range.next();
        range
    }

    fn stays<A: Copy + PartialEq + Debug + Serialize + DeserializeOwned + 'static>(values: &[A])
    where
        RangeInclusive<A>: Iterator<Item = A> + DoubleEndedIterator,
    {
        for &value in values {
            let mut back = through(&exhausted(value));
            assert_eq!(back, exhausted(value));
            assert_eq!((back.next(), back.next_back()), (None, None), "{value:?}");
            let mut back = through(&(value..=value));
            assert_eq!((back.next(), back.next()), (Some(value), None), "{value:?}");
        }
    }

    #[test]
    fn an_exhausted_range_of_every_type_stays_exhausted_and_one_of_one_value_holds_it() {
        stays(&[u8::MIN, 3, u8::MAX]);
        stays(&[u16::MIN, 3, u16::MAX]);
        stays(&[u32::MIN, 3, u32::MAX]);
        stays(&[u64::MIN, 3, u64::MAX]);
        stays(&[u128::MIN, 3, u128::MAX]);
        stays(&[usize::MIN, 3, usize::MAX]);
        stays(&[i8::MIN, -1, 0, i8::MAX]);
        stays(&[i16::MIN, -1, i16::MAX]);
        stays(&[i32::MIN, -1, i32::MAX]);
        stays(&[i64::MIN, -1, i64::MAX]);
        stays(&[i128::MIN, -1, i128::MAX]);
        stays(&[isize::MIN, -1, isize::MAX]);
        stays(&[char::MIN, '\u{d7ff}', '\u{e000}', char::MAX]);
        stays(&[Ipv4Addr::UNSPECIFIED, Ipv4Addr::LOCALHOST, Ipv4Addr::BROADCAST]);
        stays(&[
            Ipv6Addr::UNSPECIFIED,
            Ipv6Addr::LOCALHOST,
            Ipv6Addr::from_bits(u128::MAX),
        ]);
    }

    #[test]
    fn ranges_stay_exhausted_inside_of_other_types() {
        #[derive(Serialize, Deserialize)]
        struct New(RangeInclusive<u8>);
        #[derive(Serialize, Deserialize)]
        enum Job {
            Named { text: String, ids: RangeInclusive<u8> },
            One(RangeInclusive<u8>),
        }
        let one = exhausted(3_u8);
        let value = (
            (
                Some(one.clone()),
                Box::new(one.clone()),
                Some(VecDeque::from([one.clone()])),
            ),
            vec![1..=1, one.clone(), 2..=5],
            New(one.clone()),
            [
                Job::Named {
                    text: "x".into(),
                    ids: one.clone(),
                },
                Job::One(one),
            ],
        );
        let ((mut option, mut boxed, deque), mut list, mut new, [mut named, mut other]) = through(&value);
        assert_eq!(option.as_mut().and_then(Iterator::next), None);
        assert_eq!(boxed.next(), None);
        assert!(deque.unwrap().iter().all(RangeInclusive::is_empty));
        let firsts: Vec<_> = list.iter_mut().map(Iterator::next).collect();
        assert_eq!(firsts, [Some(1), None, Some(2)]);
        assert_eq!(new.0.next(), None);
        for job in [&mut named, &mut other] {
            let (Job::Named { ids: range, .. } | Job::One(range)) = job;
            assert_eq!(range.next(), None);
        }
        assert!(matches!(named, Job::Named { text, .. } if text == "x"));
    }

    #[test]
    fn where_the_type_of_a_range_is_not_seen_one_that_may_be_exhausted_is_refused() {
        #[derive(Serialize)]
        #[serde(transparent)]
        struct Hidden(RangeInclusive<u8>);
        let written = |range| write(&(1, Hidden(range)), &mut Vec::new(), false);
        assert!(written(exhausted(3)).unwrap_err().contains("exhausted"));
        assert!(written(3..=3).is_err(), "they look the same");
        assert!(written(3..=4).is_ok());
        let of_floats = vec![1.0..=1.0];
        assert!(
            write(&(of_floats, 1), &mut Vec::new(), false).is_ok(),
            "nobody can go over it"
        );
    }

    #[test]
    fn the_names_of_types_are_as_expected() {
        assert!(!is_of_another_type::<RangeInclusive<u8>>() && !is_of_another_type::<&RangeInclusive<Ipv4Addr>>());
        assert!(!is_of_another_type::<RangeInclusive<Ipv6Addr>>() && !is_of_another_type::<u8>());
        assert!(is_of_another_type::<RangeInclusive<f64>>() && is_of_another_type::<&RangeInclusive<String>>());
    }

    #[test]
    fn what_stands_for_an_exhausted_range_takes_the_same_slice() {
        let bytes = [1, 2, 3];
        for end in 0..3 {
            let range = exhausted::<usize>(end);
            assert_eq!(bytes[range.clone()], bytes[through(&range)]);
        }
    }
}
