//! How values become bytes and come back: `postcard`, and what it and `serde` alone would lose.
//!
//! Guarantees that what is written is what `serde` says, byte for byte as `postcard` writes it, but for these:
//!
//! * An inclusive range that is exhausted stays exhausted, wherever in a value it is ([`ranges`]); `serde` drops the flag.
//! * JSON values and paths that are not UTF-8 are written in a form of ours ([`ours`]).
//! * A field that `skip_serializing_if` leaves out is an error: nothing in the bytes would say that it is missing.

mod ours;
mod ranges;
mod serializer;

pub(super) use serializer::Written;

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Appends a value.
///
/// # Errors
/// What of the value cannot be written, for a person.
#[inline]
pub(super) fn write<T: Serialize + 'static>(value: &T, to: &mut Vec<u8>, canonical: bool) -> Result<Written, String> {
    if ours::write(value, to, canonical) {
        return Ok(Written::default());
    }
    if let Some(written) = ranges::write(value, to) {
        return written.map(|()| Written::default());
    }
    serializer::write(value, to, canonical)
}

/// Reads the value that [`write()`] has written at the front, and takes it off.
///
/// # Errors
/// Bytes that are no such value, or a type that cannot be read from bytes that do not describe themselves.
#[inline]
pub(crate) fn read<T: DeserializeOwned + 'static>(from: &mut &[u8]) -> Result<T, String> {
    if let Some(read) = ours::read(from) {
        return read;
    }
    if let Some(read) = ranges::read(from) {
        return read;
    }
    let (value, rest) = postcard::take_from_bytes(from).map_err(described)?;
    *from = rest;
    Ok(value)
}

/// Reads one value that is all there is.
///
/// # Errors
/// As [`read`]; or there is more.
pub(crate) fn read_all<T: DeserializeOwned + 'static>(mut from: &[u8]) -> Result<T, String> {
    let value = read(&mut from)?;
    match from.len() {
        0 => Ok(value),
        more => Err(format!("{more} bytes are left over")),
    }
}

fn described(cause: postcard::Error) -> String {
    match cause {
        postcard::Error::WontImplement => "its `Deserialize` asks what comes next, and the bytes do not say that \
            (`#[serde(untagged)]`, `#[serde(tag = \"..\")]`, a `serde_json::Value` inside of another type)"
            .to_string(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;
    use std::collections::{BTreeMap, BTreeSet, LinkedList, VecDeque};
    use std::net::IpAddr;
    use std::num::NonZeroU16;
    use std::ops::{Bound, Range};
    use std::time::Duration;

    #[derive(Serialize, Deserialize)]
    struct Unit;

    #[derive(Serialize, Deserialize)]
    struct Pair(i16, i128);

    #[derive(Serialize, Deserialize)]
    enum Shape {
        Nothing,
        New(String),
        Two(u8, u64),
        Named { at: i32, text: Option<char> },
    }

    fn same_as_postcard<T: Serialize + 'static>(value: T) {
        let mut bytes = Vec::new();
        write(&value, &mut bytes, false).unwrap();
        let expected = postcard::to_stdvec(&value).unwrap();
        assert_eq!(bytes, expected, "{}", std::any::type_name::<T>());
    }

    #[test]
    fn what_serde_keeps_is_written_as_postcard_writes_it() {
        same_as_postcard((true, 1_u8, 300_u16, 70_000_u32, u64::MAX, u128::MAX, usize::MAX));
        same_as_postcard((-1_i8, -300_i16, i32::MIN, i64::MIN, i128::MIN, isize::MAX));
        same_as_postcard((1.5_f32, f64::NAN, -0.0, 'ä', "text".to_string(), ()));
        same_as_postcard((
            Some(Some(())),
            Some(None::<()>),
            None::<u8>,
            Ok::<u8, String>(3),
            Err::<u8, i8>(-3),
        ));
        same_as_postcard((
            vec![1_u64, 300],
            vec![vec![0_u8; 200]],
            VecDeque::from([1]),
            LinkedList::from([2]),
        ));
        same_as_postcard((
            BTreeMap::from([(1, "a".to_string())]),
            BTreeSet::from([(1, 2)]),
            [1.5_f64; 3],
        ));
        same_as_postcard((
            Unit,
            Pair(-5, -6),
            Shape::Nothing,
            Shape::New("x".into()),
            Shape::Two(1, 2),
        ));
        same_as_postcard(Shape::Named {
            at: -4,
            text: Some('y'),
        });
        same_as_postcard((
            Duration::from_millis(1500),
            "::1".parse::<IpAddr>().unwrap(),
            NonZeroU16::MAX,
        ));
        same_as_postcard((
            Bound::Included(4),
            3..5,
            3..=5,
            Box::<str>::from("b"),
            std::sync::Arc::new(3),
        ));
        same_as_postcard((std::path::PathBuf::from("/a"), std::ffi::OsString::from("o")));
        same_as_postcard(vec![9_u8; 300]);
        same_as_postcard(std::path::PathBuf::from("/ä"));
    }

    #[test]
    fn more_or_fewer_bytes_than_a_value_are_refused() {
        assert!(read_all::<Range<u8>>(&[1]).is_err());
        assert!(read_all::<Range<u8>>(&[1, 2]).is_ok());
        assert_eq!(read_all::<Range<u8>>(&[1, 2, 3]).unwrap_err(), "1 bytes are left over");
    }

    #[test]
    fn what_needs_bytes_that_describe_themselves_says_so() {
        #[derive(Debug, Deserialize)]
        #[serde(untagged)]
        #[expect(dead_code, reason = "only read")]
        enum Either {
            Number(u8),
            Text(String),
        }
        let said = read_all::<Either>(&[1]).unwrap_err();
        assert!(said.contains("untagged"), "{said}");
    }
}
