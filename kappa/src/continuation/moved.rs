//! What must be copied where a task is taken apart, because it is needed once more.
//!
//! rustc would say that a value is used after it has been moved, at a place that the user has not written. What is here says it before.

/// What can be copied out of a variable that is still needed as a whole.
#[diagnostic::on_unimplemented(
    message = "this `{Self}` has been moved out of a variable that is needed as a whole behind a suspension point",
    label = "moved here; what is live across a suspension point is stored, so nothing of it may be missing",
    note = "leave another value there by `std::mem::take(&mut ..)` or `std::mem::replace(&mut .., ..)`, or `.clone()` the field, or take the whole \
            variable apart before: `let Struct {{ field, other }} = variable;`"
)]
pub trait CopiedField {}

#[diagnostic::do_not_recommend]
impl<T: Copy> CopiedField for T {}

/// Says at the right place if a field is not copied.
pub const fn copied_field<T: CopiedField>(_: &T) {}

/// What a pattern may bind whose guard holds a suspension point.
#[diagnostic::on_unimplemented(
    message = "this pattern moves a `{Self}` out of what is matched, and its guard holds a suspension point",
    label = "if the guard says no, the patterns below it must find this value",
    note = "write the guard as an `if` inside the arm, or match a reference: `match &value {{ .. }}`"
)]
pub trait BoundForGuard {}

#[diagnostic::do_not_recommend]
impl<T: Copy> BoundForGuard for T {}

/// Says at the right place if what a pattern has bound is not copied.
pub const fn bound_for_guard<T: BoundForGuard>(_: &T) {}

/// What a plain name may bind whose guard holds a suspension point.
#[diagnostic::on_unimplemented(
    message = "this name takes a `{Self}`, and its guard holds a suspension point",
    label = "if the guard says no, the patterns below it must find this value, so it must be `Clone`",
    note = "write the guard as an `if` inside the arm"
)]
pub trait CloneForGuard: Sized {
    /// The value for the guard and the arm.
    fn clone_for_guard(&self) -> Self;
}

#[diagnostic::do_not_recommend]
impl<T: Clone> CloneForGuard for T {
    fn clone_for_guard(&self) -> Self {
        self.clone()
    }
}

/// The value for a guard and its arm.
pub fn clone_for_guard<T: CloneForGuard>(value: &T) -> T {
    value.clone_for_guard()
}
