//! Seeing that a value survives being saved, before anybody relies on it.
//!
//! Guarantees that a value whose type is not read back as it was written is an error when it is first saved, in a run without a single kill. What is
//! written is read back, written again, and compared.
//!
//! * In debug builds, and with the environment variable `KAPPA_READ_BACK=always`, each time. Otherwise each time if that is short (4 KiB), and now
//!   and then if it is long: whether a type survives seldom depends on the value.
//! * Reading back makes a second value, whose destructor nobody expects to run. A type of the standard library may be dropped; of any other with a
//!   destructor, the second value is forgotten. So that this does not use up the memory, those are read back once for each combination of enums'
//!   variants in them (always: until 64 MiB are lost).

use super::save::{Reader, Save, Unsaved, Writer};
use parking_lot::Mutex;
use std::any::type_name;
use std::collections::HashMap;
use std::mem::{forget, needs_drop};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The environment variable that says `always` or `never`.
const VARIABLE: &str = "KAPPA_READ_BACK";

/// Values up to this many bytes are read back each time.
const SHORT: usize = 4 << 10;

/// How many times longer values of one type are read back, and others with a destructor.
const TIMES: usize = 16;

/// How many bytes of second values may be forgotten by those who want each read back.
const MOST_FORGOTTEN: usize = 64 << 20;

/// Appends a value, having seen that it comes back.
///
/// # Errors
/// It cannot be written, or not be read back, or comes back as another.
#[inline]
pub(crate) fn save<T: Save>(value: &T, to: &mut Writer) -> Result<(), Unsaved> {
    let start = to.bytes.len();
    let before = std::mem::take(&mut to.variants);
    value.save(to)?;
    let kind = Kind::of::<T>();
    if kind.is_due::<T>(to.bytes.len() - start, to.variants) {
        let variants = to.variants;
        compare(value, &to.bytes[start..], kind).inspect_err(|_| is_bad(type_name::<T>(), variants))?;
    }
    to.variants |= before;
    Ok(())
}

/// What can be done with the second value.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Nobody notices when it is dropped.
    Dropped,
    /// Its destructor is not known.
    Forgotten,
}

impl Kind {
    #[inline]
    fn of<T>() -> Self {
        if !needs_drop::<T>() || is_of_std(type_name::<T>()) {
            Kind::Dropped
        } else {
            Kind::Forgotten
        }
    }

    #[inline]
    fn is_due<T>(self, length: usize, variants: u64) -> bool {
        match (how_often(), self) {
            (Often::Never, _) => false,
            (Often::Always, Kind::Dropped) => true,
            (Often::Always, Kind::Forgotten) => {
                FORGOTTEN.fetch_add(length, Ordering::Relaxed) < MOST_FORGOTTEN || is_new(type_name::<T>(), variants)
            }
            (Often::Sometimes, Kind::Dropped) if length <= SHORT => true,
            (Often::Sometimes, _) => is_new(type_name::<T>(), variants),
        }
    }
}

static FORGOTTEN: AtomicUsize = AtomicUsize::new(0);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Often {
    Always,
    Sometimes,
    Never,
}

fn how_often() -> Often {
    static OFTEN: OnceLock<Often> = OnceLock::new();
    *OFTEN.get_or_init(|| match std::env::var(VARIABLE).as_deref() {
        Ok("always") => Often::Always,
        Ok("never") => Often::Never,
        _ if cfg!(debug_assertions) => Often::Always,
        _ => Often::Sometimes,
    })
}

/// The combinations of variants of which values have been read back, by the names of their types.
fn seen() -> parking_lot::MutexGuard<'static, HashMap<&'static str, Vec<u64>>> {
    static SEEN: OnceLock<Mutex<HashMap<&'static str, Vec<u64>>>> = OnceLock::new();
    SEEN.get_or_init(Mutex::default).lock()
}

/// Has the next value like this read back, too: it is no better for being the second.
#[cold]
fn is_bad(name: &'static str, variants: u64) {
    if let Some(seen) = seen().get_mut(name) {
        seen.retain(|combination| *combination != variants);
    }
}

/// Whether a value like this has not been read back yet.
fn is_new(name: &'static str, variants: u64) -> bool {
    let mut seen = seen();
    let seen = seen.entry(name).or_default();
    let is_new = seen.len() < TIMES && !seen.contains(&variants);
    if is_new {
        seen.push(variants);
    }
    is_new
}

/// Whether everything in a type's name is of the standard library, whose destructors only free memory.
fn is_of_std(name: &str) -> bool {
    name.split(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':'))
        .filter(|word| word.contains("::"))
        .all(|path| {
            ["alloc::", "core::", "std::", "serde_json::"]
                .iter()
                .any(|root| path.starts_with(root))
        })
        && !name.contains('{')
        && !name.contains("dyn ")
}

#[inline(never)]
fn compare<T: Save>(value: &T, bytes: &[u8], kind: Kind) -> Result<(), Unsaved> {
    let changed = |what: &dyn std::fmt::Display| {
        Unsaved::of::<T>(
            "would not come back from a checkpoint, or from another process, as it was",
            &format!(
                "{what}; its `Serialize` and `Deserialize` do not fit together; keep it as something else (text: `serde_json::to_string`), or make \
                 it again with `cx.shared(|| ..)`"
            ),
        )
    };
    let mut reader = Reader { bytes };
    let again = T::restore(&mut reader).map_err(|cause| changed(&cause.cause_of::<T>()))?;
    let unread = reader.bytes.len();
    let same = if unread == 0 {
        is_same(value, &again, bytes)
    } else {
        Ok(false)
    };
    match kind {
        Kind::Dropped => drop(again),
        Kind::Forgotten => forget(again),
    }
    match (same, unread) {
        (Ok(true), _) => Ok(()),
        (Ok(false), 0) => Err(changed(&"it is read back as another value")),
        (Ok(false), unread) => Err(changed(&format_args!(
            "reading it back leaves {unread} of {} bytes",
            bytes.len()
        ))),
        (Err(cause), _) => Err(changed(&cause.cause_of::<T>())),
    }
}

fn is_same<T: Save>(value: &T, again: &T, bytes: &[u8]) -> Result<bool, Unsaved> {
    let written = |value: &T, canonical| {
        let mut writer = Writer::onto(Vec::with_capacity(bytes.len()));
        writer.canonical = canonical;
        value.save(&mut writer).map(|()| writer.bytes)
    };
    // The order of a `HashMap` is another in each, and may be.
    Ok(written(again, false)? == bytes || written(again, true)? == written(value, true)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::{Deserialize, Serialize};
    use std::collections::{HashMap, HashSet};
    use std::sync::{Arc, Weak};

    fn said<T: Save>(value: &T) -> String {
        save(value, &mut Writer::default()).unwrap_err().to_string()
    }

    fn survives<T: Save>(value: &T) {
        save(value, &mut Writer::default()).unwrap();
    }

    #[derive(Serialize, Deserialize)]
    #[serde(untagged)]
    enum Untagged {
        Number(u8),
        Text(String),
    }

    #[derive(Serialize, Deserialize)]
    #[serde(tag = "kind")]
    enum Tagged {
        One { a: u8 },
    }

    #[derive(Serialize, Deserialize)]
    #[expect(dead_code, reason = "that is what it is about")]
    struct Unwritten {
        #[serde(skip_serializing)]
        a: u8,
        b: u8,
    }

    #[derive(Serialize, Deserialize)]
    struct Longer {
        #[serde(skip_deserializing)]
        a: u8,
        b: u8,
    }

    #[derive(Serialize, Deserialize)]
    struct Json {
        value: serde_json::Value,
    }

    /// Reads one byte, and gives the next greater.
    #[derive(Serialize)]
    struct Off(u8);
    impl<'de> Deserialize<'de> for Off {
        fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
            u8::deserialize(from).map(|byte| Off(byte + 1))
        }
    }

    #[test]
    fn what_does_not_come_back_is_an_error_that_says_why() {
        assert!(said(&Untagged::Number(1)).contains("untagged"));
        assert!(said(&vec![Untagged::Text("a".into())]).contains("untagged"));
        assert!(said(&Tagged::One { a: 1 }).contains("tag ="));
        assert!(said(&Json { value: 1.into() }).contains("serde_json::Value"));
        assert!(said(&Unwritten { a: 1, b: 2 }).contains("Hit the end of buffer"));
        assert!(said(&Longer { a: 1, b: 2 }).contains("leaves 1 of 2 bytes"));
        assert!(said(&Off(3)).contains("another value"));
        let strong = Arc::new(1_u8);
        assert!(said(&Arc::downgrade(&strong)).contains("another value"));
        survives(&Weak::<u8>::new());
    }

    #[test]
    fn the_error_names_the_type_once() {
        let said = said(&Off(3));
        assert_eq!(said.matches("Off").count(), 1, "{said}");
        let said = self::said(&Untagged::Number(1));
        assert_eq!(said.matches("Untagged").count(), 1, "{said}");
    }

    #[test]
    fn a_hash_map_may_come_back_in_another_order() {
        let map: HashMap<String, HashSet<u32>> = (0..20).map(|n| (n.to_string(), (n..n + 20).collect())).collect();
        survives(&map);
        survives(&(1, Some(vec![map])));
    }

    #[test]
    fn the_destructor_of_the_second_value_does_not_run() {
        static DROPPED: AtomicUsize = AtomicUsize::new(0);
        #[derive(Serialize, Deserialize)]
        struct Counted(u8);
        impl Drop for Counted {
            fn drop(&mut self) {
                DROPPED.fetch_add(1, Ordering::Relaxed);
            }
        }
        let values = vec![Counted(1), Counted(2)];
        survives(&values);
        assert_eq!(DROPPED.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn a_value_that_does_not_come_back_is_an_error_each_time() {
        #[derive(Serialize, Deserialize)]
        #[serde(untagged)]
        enum Again {
            Text(String),
        }
        for _ in 0..3 {
            assert!(said(&Again::Text("a".into())).contains("untagged"));
        }
    }

    #[test]
    fn only_types_that_are_made_of_those_of_the_standard_library_are_dropped() {
        assert!(is_of_std(type_name::<Vec<(String, HashMap<u8, [Option<char>; 3]>)>>()));
        assert!(is_of_std(type_name::<Vec<serde_json::Value>>()));
        assert!(is_of_std(type_name::<u8>()));
        assert!(!is_of_std(type_name::<Vec<Json>>()));
        assert!(!is_of_std(type_name::<Box<dyn Fn()>>()));
    }

    #[test]
    fn a_value_like_one_that_was_read_back_is_not_new() {
        assert!(is_new("a type of this test", 0b1));
        assert!(!is_new("a type of this test", 0b1));
        assert!(is_new("a type of this test", 0b10));
        assert!((0..100).filter(|variants| is_new("another", *variants)).count() == TIMES);
    }
}
