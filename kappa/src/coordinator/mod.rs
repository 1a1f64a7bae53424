//! Owns a run's tasks, queues and results, and the order of calls: the only place where state changes.
//!
//! Split in two. [`state`] decides: a pure, synchronous state machine, in which every guarantee can be tested without a thread or a clock.
//! [`driver`] does: it takes events from workers, platforms and timers, lets the state decide, has the journal record the events, and only
//! then performs the actions.

pub mod driver;
#[cfg(test)]
mod mutations;
pub(crate) mod sabotage;
pub mod state;
