//! What a live variable must be able to do: be written into a frame by reference, and be read back.

use postcard::ser_flavors::Flavor;
use serde::Serialize;
use serde::de::DeserializeOwned;
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
impl<T: Serialize + DeserializeOwned + Send + Sync> Save for T {
    fn save(&self, to: &mut Writer) -> Result<(), Unsaved> {
        let mut serializer = postcard::Serializer {
            output: Append(&mut to.bytes),
        };
        self.serialize(&mut serializer)
            .map_err(|cause| Unsaved::of::<T>("cannot be serialised", &cause))
    }

    fn restore(from: &mut Reader<'_>) -> Result<Self, Unsaved> {
        let (value, rest) = postcard::take_from_bytes(from.bytes)
            .map_err(|cause| Unsaved::of::<T>("cannot be read back from a checkpoint", &cause))?;
        from.bytes = rest;
        Ok(value)
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
