//! What the compiler makes of a task function.

use crate::context::Context;
use crate::continuation::{Entry, Frame, Function, Reader, Save, Unsaved, Writer, save_and_read_back};
use crate::error::Failed;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};
use std::future::Future;
use std::pin::Pin;

/// What can be an argument or a value of a task: everything that is `Serialize + DeserializeOwned + Send + Sync`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be sent to or from a task",
    label = "a task's arguments and its value travel between processes",
    note = "they must be `Serialize + DeserializeOwned + Send + Sync`: derive `serde::Serialize` and `serde::Deserialize` for your own types",
    note = "a task that can fail says so by the name `Result` in its signature, not by another name for it: `-> kappa::Result<..>`"
)]
pub trait Sendable: Serialize + DeserializeOwned + Send + Sync + 'static {}

#[diagnostic::do_not_recommend]
impl<T: Serialize + DeserializeOwned + Send + Sync + 'static> Sendable for T {}

/// A value that can be sent, as its own type: what generated code asks for, so that there is one error if it cannot.
#[doc(hidden)]
pub trait Sent {
    /// The type itself.
    type Itself: Sendable;
}

impl<T: Sendable> Sent for T {
    type Itself = T;
}

/// The arguments of a task: a tuple, each element of which can be sent.
pub trait Arguments: Sized + Send + Sync + 'static {
    /// Reads them as one tuple.
    ///
    /// # Errors
    /// Those of the deserializer.
    #[doc(hidden)]
    fn from_tuple<'de, D: Deserializer<'de>>(from: D) -> Result<Self, D::Error>;

    /// Appends them, one behind the other; these are their names.
    #[doc(hidden)]
    fn write(&self, names: &[&str], to: &mut Writer) -> Result<(), Unsaved>;

    /// Reads what [`Arguments::write`] wrote.
    #[doc(hidden)]
    fn read(from: &mut Reader<'_>) -> Result<Self, Unsaved>;
}

macro_rules! arguments {
    ($(($($argument:ident $index:tt),*))*) => {$(
        impl<$($argument: Sendable),*> Arguments for ($($argument,)*) {
            fn from_tuple<'de, De: Deserializer<'de>>(from: De) -> Result<Self, De::Error> {
                Self::deserialize(from)
            }

            fn write(&self, _names: &[&str], _to: &mut Writer) -> Result<(), Unsaved> {
                $(
                    let named = |cause: Unsaved| cause.at(&format_args!("the argument `{}`", _names.get($index).unwrap_or(&"?")));
                    save_and_read_back(&self.$index, _to).map_err(named)?;
                )*
                Ok(())
            }

            fn read(_from: &mut Reader<'_>) -> Result<Self, Unsaved> {
                Ok(($($argument::restore(_from)?,)*))
            }
        }
    )*};
}

arguments! {
    () (A 0) (A 0, B 1) (A 0, B 1, C 2) (A 0, B 1, C 2, D 3) (A 0, B 1, C 2, D 3, E 4) (A 0, B 1, C 2, D 3, E 4, G 5)
    (A 0, B 1, C 2, D 3, E 4, G 5, H 6) (A 0, B 1, C 2, D 3, E 4, G 5, H 6, I 7) (A 0, B 1, C 2, D 3, E 4, G 5, H 6, I 7, J 8)
    (A 0, B 1, C 2, D 3, E 4, G 5, H 6, I 7, J 8, K 9) (A 0, B 1, C 2, D 3, E 4, G 5, H 6, I 7, J 8, K 9, L 10)
    (A 0, B 1, C 2, D 3, E 4, G 5, H 6, I 7, J 8, K 9, L 10, M 11)
}

/// A task function. Implemented by `#[kappa::task]` only.
pub trait TaskFunction: Sized + Send + Sync + 'static {
    /// The parameters after `cx`, as a tuple: `()`, `(A,)`, `(A, B)`, ...
    type Arguments: Arguments;
    /// What the body returns, and so what `cx.call` gives.
    type Output: Send + 'static;
    /// What waiters get: the `Ok` type of a `Result`, otherwise the output itself.
    type Value: Sendable;

    /// `crate::module::function`: the name in the registry and in continuations.
    const NAME: &'static str;
    /// The names of the parameters after `cx`.
    const PARAMETERS: &'static [&'static str];
    /// A hash of the function's source text.
    const FINGERPRINT: u64;
    /// A hash of the sources of the crate that it is in, where its types are; 0 if they are not known.
    const SOURCES: u64 = 0;

    /// Name and fingerprint.
    const FUNCTION: Function = Function {
        name: Self::NAME,
        fingerprint: Self::FINGERPRINT,
    };

    /// Runs the body, from its beginning or from its saved frame.
    fn run<'a>(
        cx: &'a mut Context,
        caller: Option<&'a Frame<'a>>,
        entry: Entry<Self::Arguments>,
    ) -> Pin<Box<dyn Future<Output = Self::Output> + Send + 'a>>;

    /// Turns what the body returned into the task's value, or into that with which the task fails.
    fn conclude(output: Self::Output) -> Result<Self::Value, Failed>;
}

/// What `?` turns into a [`crate::Error`].
#[diagnostic::on_unimplemented(
    message = "a task cannot fail with `{Self}`",
    label = "a task's error is one that `?` turns into a `kappa::Error`",
    note = "write `kappa::Result<..>`, and `.map_err(kappa::Error::msg)` where the error is made (`|error| kappa::Error::msg(error.to_string())` for a \
            `Box<dyn Error>`); or let your type be a `std::error::Error` that is `Send + Sync`"
)]
pub trait TurnedIntoError: Into<crate::Error> {}

#[diagnostic::do_not_recommend]
impl<E: Into<crate::Error>> TurnedIntoError for E {}

/// A `Result` that a task's body can return: an error is reported with its chain of causes.
pub trait Returned {
    /// The `Ok` type.
    type Value;
    /// The value, or the error's message and causes on one line, and the tasks they come from.
    fn conclude(self) -> Result<Self::Value, Failed>;
}

impl<T, E: TurnedIntoError> Returned for Result<T, E> {
    type Value = T;

    fn conclude(self) -> Result<T, Failed> {
        self.map_err(|error| Failed::from(error.into()))
    }
}
