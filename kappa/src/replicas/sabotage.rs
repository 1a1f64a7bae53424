//! Each guarantee of the replicas, broken on purpose: only within the crate's own tests, which show that the simulation notices it.
//!
//! In a program [`is`] is a constant: nothing of this is there.

/// A guarantee that does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sabotage {
    /// Some of three servers or more are left out without a majority.
    NoMajority,
    /// The next view is made without a vote.
    NoVote,
    /// A server that was emptied is taken for what it was.
    TrustsEmptied,
    /// A server that has been started again is taken for the same.
    TrustsRestarted,
    /// A server that returns is a member before it has been given what it lacks.
    GivesNothing,
}

#[cfg(test)]
thread_local! {
    static NOW: std::cell::Cell<Option<Sabotage>> = const { std::cell::Cell::new(None) };
}

/// Breaks a guarantee on this thread, or none.
#[cfg(test)]
pub(super) fn set(sabotage: Option<Sabotage>) {
    NOW.set(sabotage);
}

/// Whether this is broken.
#[cfg(test)]
pub(super) fn is(sabotage: Sabotage) -> bool {
    NOW.get() == Some(sabotage)
}

/// Nothing is broken.
#[cfg(not(test))]
pub(super) const fn is(_: Sabotage) -> bool {
    false
}
