//! A task's stack as data.
//!
//! Guarantees that what a checkpoint stores is exactly what the task needs to go on from there, and that a continuation of other code, or
//! damaged bytes, is an error that names the function, never a wrong answer.
//!
//! While a task runs, each of its functions that is waiting in a `cx.call` has a [`Frame`] on the native stack: which function, at which suspension
//! point, and a closure that serialises what is live there, by reference. A checkpoint walks from the innermost frame to the outermost and writes all
//! of them into one buffer ([`encode`]); nothing is unwound and nothing runs twice. To resume, [`Continuation::decode`] cuts the buffer into
//! [`SavedFrame`]s, and each function takes its own.

#[doc(hidden)]
pub mod borrowed;
mod encoding;
mod frame;
#[doc(hidden)]
pub mod generated;
#[doc(hidden)]
pub mod held;
mod iterate;
#[doc(hidden)]
pub mod moved;
mod operand;
mod pending;
mod read_back;
mod save;

pub(crate) use encoding::read_all;
pub use frame::{Continuation, Entry, Frame, Function, Live, SavedFrame, encode};
pub use held::FreeToGo;
pub use iterate::{IntoResumable, Items, Numbered, ResumableIterator, Step, Steps, StepsFrom, Strides};
#[doc(hidden)]
pub use operand::{CopyOperand, Operand, PlaceOperand};
#[doc(hidden)]
pub use pending::Pending;
pub(crate) use read_back::save as save_and_read_back;
#[doc(hidden)]
pub use save::SaveInLoop;
pub use save::{Reader, Save, Unsaved, Writer};
