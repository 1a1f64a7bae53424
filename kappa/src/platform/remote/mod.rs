//! What the platforms have in common whose workers are elsewhere: behind an HTTP endpoint, in AWS Lambda.
//!
//! # What it guarantees
//!
//! * An invocation is one [`Order`] to a worker and one [`Report`] from it. Both are bounded by what the platform can carry: what is longer goes
//!   through the run's store, and the run's secret never does. Both name their version; a worker of another build is told from nonsense.
//! * A worker ends by itself before its time limit, the invocation's or that of the place where it runs: from a moment on it leaves with the next
//!   call that is committed, so that nothing is lost; shortly before the limit it leaves even so.
//! * A worker that has no way to the coordinator ends with its request in hand, which its report carries.
//! * Of two workers that were given the same order one counts, by its calls and by its report: what the other reports is not believed.
//! * Before a report is given, everything of the invocation is dropped: nothing of it runs between two orders, when such a place is frozen.
//! * A worker serves one order after the other, whatever became of the one before; the connections to store and coordinator stay.
//!
//! | file | its thought |
//! |---|---|
//! | `message` | what is said, its version and its bounds |
//! | `orders` | the platform's side: from an invocation to an order, from a report to an outcome |
//! | `worker` | the worker's side: from an order to a report |

mod message;
mod orders;
#[cfg(test)]
mod tests;
mod worker;

pub(crate) use message::{End, NoMessage, Order, Report, decode, encode};
#[cfg(feature = "aws")]
pub(crate) use message::{other_program, program};
pub(crate) use orders::{Orders, Written};
pub(crate) use worker::OrderWorker;
