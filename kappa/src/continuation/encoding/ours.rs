//! Types that are written in a form of ours, because `serde` and `postcard` together cannot.

use serde_json::{Map, Number, Value};
use std::any::Any;
use std::collections::{BTreeMap, HashMap};
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

/// A type with a form of ours.
trait Ours: Sized + 'static {
    fn write(&self, to: &mut Vec<u8>);
    fn read(from: &mut &[u8]) -> Result<Self, String>;
}

/// Appends a value if its type is one of ours. Of those, only a `HashMap` has canonical bytes.
#[inline]
pub(super) fn write<T: 'static>(value: &T, to: &mut Vec<u8>, canonical: bool) -> bool {
    let value: &dyn Any = value;
    macro_rules! try_all {
        ($($ty:ty)*) => {$(
            if let Some(value) = value.downcast_ref::<$ty>() {
                value.write(to);
                return true;
            }
        )*};
    }
    if let Some(map) = value.downcast_ref::<HashMap<String, Value>>() {
        let mut entries: Vec<_> = map.iter().collect();
        if canonical {
            entries.sort_unstable_by_key(|(key, _)| *key);
        }
        write_entries(entries.into_iter(), to);
        return true;
    }
    try_all!(Vec<u8> PathBuf Option<PathBuf> Vec<PathBuf> Value Option<Value> Vec<Value> Map<String, Value> Option<Map<String, Value>> Vec<Map<String, Value>>
        BTreeMap<String, Value>);
    false
}

/// Reads a value if its type is one of ours.
#[inline]
pub(super) fn read<T: 'static>(from: &mut &[u8]) -> Option<Result<T, String>> {
    let mut slot: Option<T> = None;
    let any: &mut dyn Any = &mut slot;
    macro_rules! try_all {
        ($($ty:ty)*) => {$(
            if let Some(slot) = any.downcast_mut::<Option<$ty>>() {
                return match <$ty>::read(from) {
                    Ok(value) => {
                        *slot = Some(value);
                        any.downcast_mut::<Option<T>>().and_then(Option::take).map(Ok)
                    }
                    Err(cause) => Some(Err(cause)),
                };
            }
        )*};
    }
    try_all!(Vec<u8> PathBuf Option<PathBuf> Vec<PathBuf> Value Option<Value> Vec<Value> Map<String, Value> Option<Map<String, Value>> Vec<Map<String, Value>>
        BTreeMap<String, Value> HashMap<String, Value>);
    None
}

fn write_length(length: usize, to: &mut Vec<u8>) {
    write_plain(&(length as u64), to);
}

fn write_plain(number: &u64, to: &mut Vec<u8>) {
    let mut rest = *number;
    while rest >= 0x80 {
        to.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    to.push(rest as u8);
}

fn read_plain<'a, T: serde::Deserialize<'a>>(from: &mut &'a [u8]) -> Result<T, String> {
    let (value, rest) = postcard::take_from_bytes(from).map_err(|cause| cause.to_string())?;
    *from = rest;
    Ok(value)
}

fn read_list<T: Ours>(from: &mut &[u8]) -> Result<Vec<T>, String> {
    let length: usize = read_plain(from)?;
    // What is damaged may say any length.
    let mut list = Vec::with_capacity(length.min(from.len()));
    for _ in 0..length {
        list.push(T::read(from)?);
    }
    Ok(list)
}

/// `serde` takes them one by one, at 2.5 ns each: a buffer would take longer to be saved than to be stored.
impl Ours for Vec<u8> {
    fn write(&self, to: &mut Vec<u8>) {
        write_length(self.len(), to);
        to.extend_from_slice(self);
    }

    fn read(from: &mut &[u8]) -> Result<Self, String> {
        read_plain::<&[u8]>(from).map(<[u8]>::to_vec)
    }
}

/// A path need not be UTF-8.
impl Ours for PathBuf {
    fn write(&self, to: &mut Vec<u8>) {
        let bytes = self.as_os_str().as_bytes();
        write_length(bytes.len(), to);
        to.extend_from_slice(bytes);
    }

    fn read(from: &mut &[u8]) -> Result<Self, String> {
        Vec::read(from).map(|bytes| PathBuf::from(OsString::from_vec(bytes)))
    }
}

/// A tag, and what follows from it.
impl Ours for Value {
    fn write(&self, to: &mut Vec<u8>) {
        match self {
            Value::Null => to.push(0),
            Value::Bool(false) => to.push(1),
            Value::Bool(true) => to.push(2),
            Value::Number(number) => write_number(number, to),
            Value::String(text) => {
                to.push(7);
                write_text(text, to);
            }
            Value::Array(values) => {
                to.push(8);
                values.write(to);
            }
            Value::Object(fields) => {
                to.push(9);
                fields.write(to);
            }
        }
    }

    fn read(from: &mut &[u8]) -> Result<Self, String> {
        let tag: u8 = read_plain(from)?;
        Ok(match tag {
            0 => Value::Null,
            1 => Value::Bool(false),
            2 => Value::Bool(true),
            3 => Value::Number(read_plain::<u64>(from)?.into()),
            4 => Value::Number(read_plain::<i64>(from)?.into()),
            5 => {
                let float = Number::from_f64(read_plain(from)?);
                Value::Number(float.ok_or("a number in JSON is neither infinite nor NaN")?)
            }
            6 => {
                let text: &str = read_plain(from)?;
                Value::Number(text.parse().map_err(|_| format!("{text:?} is not a number in JSON"))?)
            }
            7 => Value::String(read_plain(from)?),
            8 => Value::Array(read_list(from)?),
            9 => Value::Object(Map::read(from)?),
            _ => return Err(format!("no value in JSON begins with {tag}")),
        })
    }
}

fn write_number(number: &Number, to: &mut Vec<u8>) {
    if let Some(number) = number.as_u64() {
        to.push(3);
        write_plain(&number, to);
    } else if let Some(number) = number.as_i64() {
        to.push(4);
        // Zigzag, as in `postcard`.
        write_plain(&((number << 1) ^ (number >> 63)).cast_unsigned(), to);
    } else if let Some(float) = number
        .as_f64()
        .filter(|float| Number::from_f64(*float).as_ref() == Some(number))
    {
        to.push(5);
        to.extend_from_slice(&float.to_le_bytes());
    } else {
        // With serde_json's feature `arbitrary_precision`.
        to.push(6);
        write_text(&number.to_string(), to);
    }
}

fn write_text(text: &str, to: &mut Vec<u8>) {
    write_length(text.len(), to);
    to.extend_from_slice(text.as_bytes());
}

fn write_entries<'a>(entries: impl ExactSizeIterator<Item = (&'a String, &'a Value)>, to: &mut Vec<u8>) {
    write_length(entries.len(), to);
    for (key, value) in entries {
        write_text(key, to);
        value.write(to);
    }
}

fn read_entries<C: FromIterator<(String, Value)>>(from: &mut &[u8]) -> Result<C, String> {
    let length: usize = read_plain(from)?;
    (0..length)
        .map(|_| Ok((read_plain(from)?, Value::read(from)?)))
        .collect()
}

impl Ours for Map<String, Value> {
    fn write(&self, to: &mut Vec<u8>) {
        write_entries(self.iter(), to);
    }

    fn read(from: &mut &[u8]) -> Result<Self, String> {
        read_entries(from)
    }
}

impl Ours for BTreeMap<String, Value> {
    fn write(&self, to: &mut Vec<u8>) {
        write_entries(self.iter(), to);
    }

    fn read(from: &mut &[u8]) -> Result<Self, String> {
        read_entries(from)
    }
}

impl Ours for HashMap<String, Value> {
    fn write(&self, to: &mut Vec<u8>) {
        write_entries(self.iter(), to);
    }

    fn read(from: &mut &[u8]) -> Result<Self, String> {
        read_entries(from)
    }
}

macro_rules! in_collections {
    ($($ty:ty)*) => {$(
        impl Ours for Option<$ty> {
            fn write(&self, to: &mut Vec<u8>) {
                to.push(self.is_some().into());
                if let Some(value) = self {
                    value.write(to);
                }
            }

            fn read(from: &mut &[u8]) -> Result<Self, String> {
                match read_plain(from)? {
                    0_u8 => Ok(None),
                    1 => Ours::read(from).map(Some),
                    other => Err(format!("an `Option` does not begin with {other}")),
                }
            }
        }

        impl Ours for Vec<$ty> {
            fn write(&self, to: &mut Vec<u8>) {
                write_length(self.len(), to);
                for value in self {
                    value.write(to);
                }
            }

            fn read(from: &mut &[u8]) -> Result<Self, String> {
                read_list(from)
            }
        }
    )*};
}

in_collections!(PathBuf Value Map<String, Value>);

#[cfg(test)]
mod tests {
    use super::super::{read_all, write};
    use super::*;
    use serde::Serialize;
    use serde::de::DeserializeOwned;
    use serde_json::json;
    use std::fmt::Debug;

    fn comes_back<T: Serialize + DeserializeOwned + PartialEq + Debug + 'static>(value: T) {
        let mut bytes = Vec::new();
        write(&value, &mut bytes, false).unwrap();
        assert_eq!(read_all::<T>(&bytes).unwrap(), value);
        for end in 0..bytes.len() {
            assert!(read_all::<T>(&bytes[..end]).is_err(), "{value:?} cut at {end}");
        }
    }

    #[test]
    fn json_comes_back_as_it_was() {
        let numbers = json!([
            0,
            u64::MAX,
            -1,
            i64::MIN,
            1.0,
            -0.0,
            0.1,
            f64::MIN_POSITIVE,
            1e308,
            2.225_073_858_507_201e-308
        ]);
        let value = json!({ "a": [null, true, false, "text"], "numbers": numbers, "": { "x": {} } });
        comes_back(value.clone());
        comes_back(vec![value.clone(), json!(3)]);
        comes_back(Some(value.clone()));
        comes_back(value.as_object().unwrap().clone());
        comes_back(value.as_object().cloned());
        comes_back(BTreeMap::from([("k".to_string(), value.clone())]));
        comes_back(HashMap::from([("k".to_string(), value)]));
    }

    #[test]
    fn paths_that_are_not_utf_8_come_back_as_they_were() {
        let path = PathBuf::from(OsString::from_vec(b"/tmp/\xff\xfe".to_vec()));
        comes_back(path.clone());
        comes_back(Some(path.clone()));
        comes_back(vec![PathBuf::from("/ä"), path]);
    }

    #[test]
    fn a_length_is_written_as_postcard_writes_it() {
        for length in [0, 1, 127, 128, 16_383, 16_384, usize::MAX] {
            let mut bytes = Vec::new();
            write_length(length, &mut bytes);
            assert_eq!(bytes, postcard::to_stdvec(&length).unwrap());
        }
    }
}
