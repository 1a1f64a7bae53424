//! Task functions, call values, handles, the registry.
//!
//! `#[kappa::task] async fn f(cx: &mut Context, a: A) -> R` becomes a function `f(a: A) -> TaskCall<..>` and a type that implements
//! [`TaskFunction`] and is registered under its full name, so that any process of the same program can start and resume it.

mod call;
mod function;
mod handle;
mod registry;

#[doc(hidden)]
pub use call::MadeByItself;
pub use call::{Constructor, TaskCall};
#[doc(hidden)]
pub use function::Sent;
pub use function::{Arguments, Returned, Sendable, TaskFunction};
pub use handle::{Queue, Task};
pub(crate) use registry::check;
#[cfg(feature = "aws")]
pub(crate) use registry::fingerprint;
pub use registry::{Registration, SameName, check_names, find};
