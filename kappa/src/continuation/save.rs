//! What a live variable must be able to do: be written into a frame by reference, and be read back.

use postcard::ser_flavors::Flavor;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::any::{Any, TypeId};
use std::fmt;

/// A value that may be live across a suspension point: everything that is `Serialize + DeserializeOwned + Send + Sync`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is live across a suspension point, but it cannot be saved",
    label = "this variable is needed after a suspension point",
    note = "what is live across a `cx.<operation>(..).await` is stored, so it must be `Serialize + DeserializeOwned + Send + Sync`",
    note = "a reference: keep an index or a clone instead; a lock guard: end its scope before the suspension point; a file or connection: \
            open it again afterwards, or make it with `cx.shared(|| ..)`; a closure: write it after the suspension point"
)]
pub trait Save: Sized {
    /// Appends the value.
    fn save(&self, to: &mut Writer) -> Result<(), Unsaved>;

    /// Reads the value that [`Save::save`] wrote.
    fn restore(from: &mut Reader<'_>) -> Result<Self, Unsaved>;
}

#[diagnostic::do_not_recommend]
impl<T: Serialize + DeserializeOwned + Send + Sync + 'static> Save for T {
    fn save(&self, to: &mut Writer) -> Result<(), Unsaved> {
        // `serde` takes a `Vec<u8>` byte by byte, at 2.5 ns each: a buffer would take longer to be saved than to be stored.
        if let Some(bytes) = (self as &dyn Any).downcast_ref::<Vec<u8>>() {
            return save_bytes(bytes, to).map_err(|cause| Unsaved::of::<T>("cannot be serialised", &cause));
        }
        let mut serializer = postcard::Serializer {
            output: Append(&mut to.bytes),
        };
        self.serialize(&mut serializer)
            .map_err(|cause| Unsaved::of::<T>("cannot be serialised", &cause))
    }

    fn restore(from: &mut Reader<'_>) -> Result<Self, Unsaved> {
        let unread = |cause| Unsaved::of::<T>("cannot be read back from a checkpoint", &cause);
        if TypeId::of::<T>() == TypeId::of::<Vec<u8>>() {
            let (bytes, rest) = postcard::take_from_bytes::<&[u8]>(from.bytes).map_err(unread)?;
            let value: Box<dyn Any> = Box::new(bytes.to_vec());
            if let Ok(value) = value.downcast::<T>() {
                from.bytes = rest;
                return Ok(*value);
            }
        }
        let (value, rest) = postcard::take_from_bytes(from.bytes).map_err(unread)?;
        from.bytes = rest;
        Ok(value)
    }
}

/// Writes what `serde` would, whole.
fn save_bytes(bytes: &[u8], to: &mut Writer) -> postcard::Result<()> {
    let mut serializer = postcard::Serializer {
        output: Append(&mut to.bytes),
    };
    serde::Serializer::serialize_bytes(&mut serializer, bytes)
}

/// What `#[kappa::task(auto)]` asks of a variable that is needed for another pass of a loop: [`Save`], with a message that says why.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is needed for another pass of a loop in a `#[kappa::task(auto)]`, but it cannot be saved",
    label = "this variable is needed after the suspension point at the end of the loop",
    note = "`auto` makes the back edge of every loop a suspension point, and what is live there must be `Serialize + DeserializeOwned + Send + Sync`",
    note = "move the loop into a closure or a function of its own, or keep an index or a clone instead of a reference; or leave out `auto` and write \
            `cx.checkpoint_if_due().await` into the loops that need it"
)]
pub trait SaveInLoop: Save {}

#[diagnostic::do_not_recommend]
impl<T: Save> SaveInLoop for T {}

/// Where frames are written to: one growing buffer.
#[derive(Debug, Default)]
pub struct Writer {
    pub(crate) bytes: Vec<u8>,
}

/// The live variables of one saved frame, read from front to back.
#[derive(Debug)]
pub struct Reader<'a> {
    pub(crate) bytes: &'a [u8],
}

impl Reader<'_> {
    /// The end of the frame.
    ///
    /// # Errors
    /// There is more: it was written by other code.
    pub fn end(&self) -> Result<(), Unsaved> {
        match self.bytes.len() {
            0 => Ok(()),
            more => Err(Unsaved {
                what: format!("the checkpoint holds {more} bytes more than the function has live variables for"),
            }),
        }
    }
}

/// A value that could not be written or read back.
#[derive(Clone, Debug)]
pub struct Unsaved {
    pub(crate) what: String,
}

impl Unsaved {
    fn of<T>(problem: &str, cause: &dyn fmt::Display) -> Self {
        Unsaved {
            what: format!("a value of type {} {problem}: {cause}", std::any::type_name::<T>()),
        }
    }
}

impl fmt::Display for Unsaved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

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

    #[test]
    fn a_vector_of_bytes_is_saved_as_serde_would_and_read_back() {
        for length in [0, 1, 127, 128, 70_000] {
            let bytes: Vec<u8> = (0..length).map(|byte: u32| byte as u8).collect();
            let mut writer = Writer::default();
            bytes.save(&mut writer).unwrap();
            7u8.save(&mut writer).unwrap();
            let expected = postcard::to_stdvec(&(&bytes, 7u8)).unwrap();
            assert_eq!(writer.bytes, expected);
            let mut reader = Reader { bytes: &writer.bytes };
            assert_eq!(Vec::<u8>::restore(&mut reader).unwrap(), bytes);
            assert_eq!(u8::restore(&mut reader).unwrap(), 7);
            reader.end().unwrap();
        }
    }

    #[test]
    fn a_vector_of_bytes_that_is_cut_off_is_refused() {
        let mut writer = Writer::default();
        vec![5u8; 300].save(&mut writer).unwrap();
        for cut in [0, 1, 2, 301] {
            let mut reader = Reader {
                bytes: &writer.bytes[..cut],
            };
            let said = Vec::<u8>::restore(&mut reader).unwrap_err().to_string();
            assert!(
                said.contains("Vec<u8>") && said.contains("cannot be read back"),
                "{said}"
            );
        }
    }
}
