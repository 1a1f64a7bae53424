//! Iteration that survives a suspension: what a `for` loop with a suspension point in its body needs.

use super::save::Save;

/// An iterator whose state can be saved between two items.
///
/// Implement it for your own iterators: `#[derive(Serialize, Deserialize)]` and the same `next` as for [`Iterator`].
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a resumable iterator",
    label = "its state cannot be saved while the loop's body is suspended"
)]
pub trait ResumableIterator: Save {
    /// What it gives.
    type Item;

    /// The next item, or `None` at the end; after the end it is not called again.
    fn next(&mut self) -> Option<Self::Item>;
}

/// What a `for` loop with a suspension point in its body can go over.
#[diagnostic::on_unimplemented(
    message = "a `for` loop with a suspension point in its body cannot go over `{Self}`",
    label = "the state of this iteration cannot be saved",
    note = "go over an integer range, a collection by value (`vec`, `vec.clone()`), an index (`for i in 0..vec.len()`), or implement \
            `kappa::continuation::ResumableIterator`"
)]
pub trait IntoResumable {
    /// What the loop's pattern is matched with.
    type Item;
    /// The iteration's state.
    type Iterator: ResumableIterator<Item = Self::Item>;

    /// Starts the iteration.
    fn into_resumable(self) -> Self::Iterator;
}

impl<I: ResumableIterator> IntoResumable for I {
    type Item = I::Item;
    type Iterator = I;

    fn into_resumable(self) -> I {
        self
    }
}
