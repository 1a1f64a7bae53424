//! Each guarantee, broken on purpose: only within the crate's own tests, which show that the simulation notices it.
//!
//! In a program [`is`] is a constant: nothing of this is there.

/// A guarantee of the [coordinator](super) that does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sabotage {
    /// 1: a call that comes twice takes effect twice.
    Repeats,
    /// 1: an invocation that was given up may go on calling.
    Unfenced,
    /// 2: things are done before they are recorded.
    DoesBeforeRecording,
    /// 2: a call takes effect without its checkpoint.
    LosesCheckpoint,
    /// 2: of calls that belong together only the last takes effect.
    HalvesGroups,
    /// 2: what was decided is done in another order.
    ReordersActions,
    /// 2: an object is put to its place without asking whether the run is still this coordinator's.
    DoesNotAsk,
    /// 1: after a recovery invocations are numbered as if the journal knew all that were before.
    RepeatsIncarnations,
    /// 2: nobody waits for the disk.
    SkipsSync,
    /// 3: an item that was taken is forgotten when its taker is lost.
    ForgetsAnswers,
    /// 3: an item's object is deleted as soon as it is handed out.
    DeletesTaken,
    /// 4: the last item comes first.
    LastInFirstOut,
    /// 4: whoever waits for room loses the last item of what he still has to put in.
    LosesWaiting,
    /// 5: a blocked invocation is kept.
    KeepsBlocked,
    /// 6: failures count for ever.
    NeverForgives,
    /// 6: a store that is away is taken for a fault of the program.
    BlamesStore,
    /// 6: a coordinator believes its own clock, though the one before had another.
    BelievesClock,
    /// 6: nobody notices that everybody waits.
    MissesDeadlocks,
    /// 7: nothing is deleted before the run's end.
    KeepsGarbage,
}

#[cfg(test)]
thread_local! {
    static NOW: std::cell::Cell<Option<Sabotage>> = const { std::cell::Cell::new(None) };
}

/// Breaks a guarantee on this thread, or none.
#[cfg(test)]
pub(crate) fn set(sabotage: Option<Sabotage>) {
    NOW.set(sabotage);
}

/// Whether this is broken.
#[cfg(test)]
pub(crate) fn is(sabotage: Sabotage) -> bool {
    NOW.get() == Some(sabotage)
}

/// Nothing is broken.
#[cfg(not(test))]
pub(crate) const fn is(_: Sabotage) -> bool {
    false
}
