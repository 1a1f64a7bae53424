//! `postcard`'s format, written with an eye on what it does not keep.

use super::ranges;
use postcard::ser_flavors::Flavor;
use serde::ser::{self, Serialize};
use std::fmt;

/// What has been noticed while a value was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in super::super) struct Written {
    /// Which variants of enums were among it: two values with different ones may be read by different code.
    pub(in super::super) variants: u64,
}

/// Appends a value. `canonical` sorts what may come in any order: the same bytes for two `HashMap`s that are equal.
#[inline]
pub(super) fn write<T: Serialize + ?Sized>(value: &T, to: &mut Vec<u8>, canonical: bool) -> Result<Written, String> {
    let mut serializer = Serializer {
        to,
        doubtful: None,
        canonical,
        written: Written::default(),
    };
    serializer.value(value).map_err(|Unwritten(cause)| cause)?;
    match serializer.doubtful {
        None => Ok(serializer.written),
        Some(_) => Err(
            "an inclusive range of one value, `a..=a`, is inside of it, of which `serde` does not say whether it is exhausted; \
             keep its two ends, or a `Range`, instead"
                .to_string(),
        ),
    }
}

/// Why a value cannot be written.
#[derive(Debug)]
struct Unwritten(String);

impl fmt::Display for Unwritten {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Unwritten {}

impl ser::Error for Unwritten {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Unwritten(message.to_string())
    }
}

type Done = Result<(), Unwritten>;

struct Serializer<'a> {
    to: &'a mut Vec<u8>,
    /// Where an inclusive range begins of which it is not known whether it is exhausted: its ends are equal.
    doubtful: Option<usize>,
    canonical: bool,
    written: Written,
}

impl Serializer<'_> {
    /// Everything inside of a value passes here, with its type.
    #[inline]
    fn value<T: Serialize + ?Sized>(&mut self, value: &T) -> Done {
        let at = self.to.len();
        value.serialize(&mut *self)?;
        if self.doubtful.is_some_and(|doubtful| doubtful >= at) {
            self.settle(value, at);
        }
        Ok(())
    }

    #[cold]
    fn settle<T: ?Sized>(&mut self, value: &T, at: usize) {
        if let Some(bytes) = ranges::settle(value) {
            self.to.truncate(at);
            self.to.extend_from_slice(&bytes);
            self.doubtful = None;
        } else if ranges::is_of_another_type::<T>() {
            self.doubtful = None;
        }
    }

    /// What consists of nothing else.
    #[inline]
    fn plain<T: Serialize + ?Sized>(&mut self, value: &T) -> Done {
        let mut postcard = postcard::Serializer {
            output: Append(self.to),
        };
        value
            .serialize(&mut postcard)
            .map_err(|cause| Unwritten(cause.to_string()))
    }

    #[inline]
    fn variant(&mut self, name: &str, index: u32) -> Done {
        let of_name = name
            .bytes()
            .fold(0_u32, |hash, byte| hash.wrapping_mul(31) ^ u32::from(byte));
        self.written.variants |= 1 << (of_name.wrapping_add(index.wrapping_mul(7)) % 64);
        self.plain(&index)
    }

    #[inline]
    fn fields(&mut self, name: &'static str, length: usize) -> Fields<'_, Self> {
        // Once it is known that something is in doubt, there is no more to find out.
        let is_range = name == "RangeInclusive" && length == 2 && self.doubtful.is_none();
        Fields {
            range: is_range.then_some(Range {
                start: self.to.len(),
                end: 0,
            }),
            name,
            serializer: self,
        }
    }

    #[inline]
    fn elements(&mut self) -> Elements<'_, Self> {
        Elements {
            starts: Vec::new(),
            serializer: self,
        }
    }

    /// Sorts the elements that begin at these places.
    #[cold]
    fn sort(&mut self, starts: &[usize]) {
        let Some(&first) = starts.first() else { return };
        let ends = starts.iter().skip(1).copied().chain([self.to.len()]);
        let mut elements: Vec<Vec<u8>> = starts
            .iter()
            .zip(ends)
            .map(|(&start, end)| self.to[start..end].to_vec())
            .collect();
        elements.sort_unstable();
        self.to.truncate(first);
        self.to.extend(elements.into_iter().flatten());
    }
}

/// Elements in an order that may mean nothing.
struct Elements<'s, S> {
    serializer: &'s mut S,
    /// Where each begins; only for canonical bytes.
    starts: Vec<usize>,
}

impl Elements<'_, Serializer<'_>> {
    #[inline]
    fn begins(&mut self) {
        if self.serializer.canonical {
            self.starts.push(self.serializer.to.len());
        }
    }

    #[inline]
    fn end(self) -> Done {
        if self.serializer.canonical {
            self.serializer.sort(&self.starts);
        }
        Ok(())
    }
}

/// The fields of a struct.
struct Fields<'s, S> {
    serializer: &'s mut S,
    name: &'static str,
    range: Option<Range>,
}

/// Where the two ends of an inclusive range are.
struct Range {
    start: usize,
    end: usize,
}

impl Fields<'_, Serializer<'_>> {
    #[inline]
    fn field<T: Serialize + ?Sized>(&mut self, value: &T) -> Done {
        if let Some(range) = &mut self.range {
            range.end = self.serializer.to.len();
        }
        self.serializer.value(value)
    }

    fn skipped(&self, key: &str) -> Done {
        Err(Unwritten(format!(
            "the field `{key}` of `{}` is left out by `#[serde(skip_serializing_if = \"..\")]`, and nothing in the bytes would say so",
            self.name
        )))
    }

    #[inline]
    fn end(self) -> Done {
        if let Some(Range { start, end }) = self.range {
            let to = &self.serializer.to;
            if self.serializer.doubtful.is_none() && to[start..end] == to[end..] {
                self.serializer.doubtful = Some(start);
            }
        }
        Ok(())
    }
}

macro_rules! plain {
    ($($method:ident $ty:ty,)*) => {$(
        #[inline]
        fn $method(self, value: $ty) -> Done {
            self.plain(&value)
        }
    )*};
}

impl<'s, 'a> ser::Serializer for &'s mut Serializer<'a> {
    type Ok = ();
    type Error = Unwritten;
    type SerializeSeq = Elements<'s, Serializer<'a>>;
    type SerializeTuple = Self;
    type SerializeTupleStruct = Self;
    type SerializeTupleVariant = Self;
    type SerializeMap = Elements<'s, Serializer<'a>>;
    type SerializeStruct = Fields<'s, Serializer<'a>>;
    type SerializeStructVariant = Fields<'s, Serializer<'a>>;

    plain! {
        serialize_bool bool,
        serialize_i8 i8,
        serialize_i16 i16,
        serialize_i32 i32,
        serialize_i64 i64,
        serialize_i128 i128,
        serialize_u8 u8,
        serialize_u16 u16,
        serialize_u32 u32,
        serialize_u64 u64,
        serialize_u128 u128,
        serialize_f32 f32,
        serialize_f64 f64,
        serialize_char char,
        serialize_str &str,
    }

    #[inline]
    fn serialize_bytes(self, bytes: &[u8]) -> Done {
        self.plain(&bytes.len())?;
        self.to.extend_from_slice(bytes);
        Ok(())
    }

    #[inline]
    fn serialize_none(self) -> Done {
        self.plain(&0_u8)
    }

    #[inline]
    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Done {
        self.plain(&1_u8)?;
        self.value(value)
    }

    #[inline]
    fn serialize_unit(self) -> Done {
        Ok(())
    }

    #[inline]
    fn serialize_unit_struct(self, _: &'static str) -> Done {
        Ok(())
    }

    #[inline]
    fn serialize_unit_variant(self, name: &'static str, index: u32, _: &'static str) -> Done {
        self.variant(name, index)
    }

    #[inline]
    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Done {
        self.value(value)
    }

    #[inline]
    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        index: u32,
        _: &'static str,
        value: &T,
    ) -> Done {
        self.variant(name, index)?;
        self.value(value)
    }

    #[inline]
    fn serialize_seq(self, length: Option<usize>) -> Result<Self::SerializeSeq, Unwritten> {
        let length = length.ok_or_else(|| {
            Unwritten("it has a sequence whose length its `Serialize` does not know before".to_string())
        })?;
        self.plain(&length)?;
        Ok(self.elements())
    }

    #[inline]
    fn serialize_tuple(self, _: usize) -> Result<Self, Unwritten> {
        Ok(self)
    }

    #[inline]
    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Self, Unwritten> {
        Ok(self)
    }

    #[inline]
    fn serialize_tuple_variant(
        self,
        name: &'static str,
        index: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self, Unwritten> {
        self.variant(name, index)?;
        Ok(self)
    }

    #[inline]
    fn serialize_map(self, length: Option<usize>) -> Result<Self::SerializeMap, Unwritten> {
        let length = length.ok_or_else(|| {
            Unwritten(
                "it has a map whose length its `Serialize` does not know before, as with `#[serde(flatten)]`"
                    .to_string(),
            )
        })?;
        self.plain(&length)?;
        Ok(self.elements())
    }

    #[inline]
    fn serialize_struct(self, name: &'static str, length: usize) -> Result<Self::SerializeStruct, Unwritten> {
        Ok(self.fields(name, length))
    }

    #[inline]
    fn serialize_struct_variant(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Self::SerializeStructVariant, Unwritten> {
        self.variant(name, index)?;
        Ok(Fields {
            range: None,
            name: variant,
            serializer: self,
        })
    }

    fn is_human_readable(&self) -> bool {
        false
    }
}

impl ser::SerializeSeq for Elements<'_, Serializer<'_>> {
    type Ok = ();
    type Error = Unwritten;

    #[inline]
    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Done {
        self.begins();
        self.serializer.value(value)
    }

    #[inline]
    fn end(self) -> Done {
        Elements::end(self)
    }
}

impl ser::SerializeMap for Elements<'_, Serializer<'_>> {
    type Ok = ();
    type Error = Unwritten;

    #[inline]
    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Done {
        self.begins();
        self.serializer.value(key)
    }

    #[inline]
    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Done {
        self.serializer.value(value)
    }

    #[inline]
    fn end(self) -> Done {
        Elements::end(self)
    }
}

macro_rules! in_order {
    ($($compound:ident $method:ident)*) => {$(
        impl ser::$compound for &mut Serializer<'_> {
            type Ok = ();
            type Error = Unwritten;

            #[inline]
            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Done {
                self.value(value)
            }

            #[inline]
            fn end(self) -> Done {
                Ok(())
            }
        }
    )*};
}

in_order!(SerializeTuple serialize_element SerializeTupleStruct serialize_field SerializeTupleVariant serialize_field);

macro_rules! named {
    ($($compound:ident)*) => {$(
        impl ser::$compound for Fields<'_, Serializer<'_>> {
            type Ok = ();
            type Error = Unwritten;

            #[inline]
            fn serialize_field<T: Serialize + ?Sized>(&mut self, _: &'static str, value: &T) -> Done {
                self.field(value)
            }

            fn skip_field(&mut self, key: &'static str) -> Done {
                self.skipped(key)
            }

            #[inline]
            fn end(self) -> Done {
                Fields::end(self)
            }
        }
    )*};
}

named!(SerializeStruct SerializeStructVariant);

/// Appends to a borrowed vector, whole slices at a time.
struct Append<'a>(&'a mut Vec<u8>);

impl Flavor for Append<'_> {
    type Output = ();

    // Inlined into the code that serialises, which is the user's crate: bytes come one by one.
    #[inline]
    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        self.0.push(byte);
        Ok(())
    }

    #[inline]
    fn try_extend(&mut self, bytes: &[u8]) -> postcard::Result<()> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }

    fn finalize(self) -> postcard::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Serialize;
    use std::collections::HashMap;

    #[derive(Serialize)]
    struct Plain {
        a: u8,
        #[serde(skip_serializing_if = "Option::is_none")]
        b: Option<u8>,
    }

    #[derive(Serialize)]
    enum Variants {
        Named {
            #[serde(skip_serializing_if = "Vec::is_empty")]
            list: Vec<u8>,
        },
    }

    #[derive(Serialize)]
    struct Flat {
        #[serde(flatten)]
        plain: Plain,
    }

    fn said<T: Serialize>(value: &T) -> String {
        write(value, &mut Vec::new(), false).unwrap_err()
    }

    #[test]
    fn a_field_that_is_left_out_is_an_error_and_one_that_is_not_is_none() {
        assert!(said(&Plain { a: 1, b: None }).contains("the field `b` of `Plain` is left out"));
        assert!(
            said(&vec![Some(Variants::Named { list: Vec::new() })]).contains("the field `list` of `Named` is left out")
        );
        let mut bytes = Vec::new();
        write(
            &(Plain { a: 1, b: Some(2) }, Variants::Named { list: vec![3] }),
            &mut bytes,
            false,
        )
        .unwrap();
        assert_eq!(bytes, [1, 1, 2, 0, 1, 3]);
    }

    #[test]
    fn a_flattened_struct_is_an_error_that_says_so() {
        let flat = Flat {
            plain: Plain { a: 1, b: None },
        };
        assert!(said(&flat).contains("flatten"));
    }

    #[test]
    fn the_words_of_a_types_own_serialize_are_kept() {
        use std::os::unix::ffi::OsStrExt;
        let path = std::path::Path::new(std::ffi::OsStr::from_bytes(b"a\xff"));
        assert_eq!(said(&(1, path)), "path contains invalid UTF-8 characters");
    }

    #[test]
    fn canonical_bytes_do_not_depend_on_the_order_of_a_hash_map() {
        let numbers = (0..50_u32).map(|n| (n, vec![n; 2]));
        let forth: HashMap<_, _> = numbers.clone().collect();
        let back: HashMap<_, _> = numbers.rev().collect();
        let canonical = |map: &HashMap<u32, Vec<u32>>| {
            let mut bytes = Vec::new();
            write(&(map, 1), &mut bytes, true).unwrap();
            bytes
        };
        assert_eq!(canonical(&forth), canonical(&back));
        assert_ne!(
            canonical(&forth),
            canonical(&forth.iter().map(|(n, v)| (n + 1, v.clone())).collect())
        );
    }
}
