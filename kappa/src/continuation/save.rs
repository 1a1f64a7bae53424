//! What a live variable must be able to do: be written into a frame by reference, and be read back.

use super::encoding;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt;

/// A value that may be live across a suspension point: everything that is `Serialize + DeserializeOwned + Send + Sync`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is live across a suspension point, but it cannot be saved",
    label = "this variable is needed after a suspension point",
    note = "what is live across a `cx.<operation>(..).await` is stored, so it must be `Serialize + DeserializeOwned + Send + Sync`; for a type of your own: \
            `#[derive(serde::Serialize, serde::Deserialize)]`",
    note = "a reference: keep an index or a clone instead; a lock guard: end its scope before the suspension point; a file or connection: \
            open it again afterwards, or make it with `cx.shared(|| ..)`; a closure: write it after the suspension point",
    note = "an `Rc`: `Arc`; an array of more than 32: `Vec`; an `Instant`: `SystemTime`; an error: `error.to_string()`; an iterator: collect it, or go over \
            it by `for`; a timer: `cx.sleep`; a thread or tokio's task: `cx.spawn`"
)]
pub trait Save: Sized {
    /// Appends the value.
    fn save(&self, to: &mut Writer) -> Result<(), Unsaved>;

    /// Reads the value that [`Save::save`] wrote.
    fn restore(from: &mut Reader<'_>) -> Result<Self, Unsaved>;
}

#[diagnostic::do_not_recommend]
impl<T: Serialize + DeserializeOwned + Send + Sync + 'static> Save for T {
    #[inline]
    fn save(&self, to: &mut Writer) -> Result<(), Unsaved> {
        let written = encoding::write(self, &mut to.bytes, to.canonical)
            .map_err(|cause| Unsaved::of::<T>("cannot be saved", &cause))?;
        to.variants |= written.variants;
        Ok(())
    }

    #[inline]
    fn restore(from: &mut Reader<'_>) -> Result<Self, Unsaved> {
        encoding::read(&mut from.bytes).map_err(|cause| Unsaved::of::<T>("cannot be read back", &cause))
    }
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
    /// What may come in any order is to be sorted.
    pub(super) canonical: bool,
    /// Which variants of enums have been written.
    pub(super) variants: u64,
}

impl Writer {
    /// Appends to these bytes.
    pub(crate) fn onto(bytes: Vec<u8>) -> Self {
        Writer {
            bytes,
            ..Writer::default()
        }
    }
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
                what: format!("{more} bytes are left over, for which this program has no use"),
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
    pub(super) fn of<T>(problem: &str, cause: &dyn fmt::Display) -> Self {
        Unsaved {
            what: format!("a value of type {} {problem}: {cause}", std::any::type_name::<T>()),
        }
    }

    /// What it says of a value of this type, without naming the type again.
    pub(super) fn cause_of<T>(&self) -> String {
        let what = &self.what;
        let named = format!("a value of type {} ", std::any::type_name::<T>());
        what.strip_prefix(&named).unwrap_or(what).to_string()
    }

    /// The same, and where the value is.
    pub(crate) fn at(self, place: &dyn fmt::Display) -> Self {
        Unsaved {
            what: format!("{place}: {}", self.what),
        }
    }
}

impl std::error::Error for Unsaved {}

impl fmt::Display for Unsaved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
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
