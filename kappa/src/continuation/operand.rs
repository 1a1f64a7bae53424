//! An operand in front of one that holds a suspension point: what Rust copies is copied, what it borrows is borrowed.

use serde::{Deserialize, Serialize};
use std::ops::{Deref, DerefMut};

/// A place whose type decides whether it is copied before the later operands are evaluated. `(&Operand(&place)).copied()` calls the method of
/// [`CopyOperand`] if the type is `Copy`, and that of [`PlaceOperand`] otherwise.
#[derive(Debug)]
pub struct Operand<'a, T: ?Sized>(pub &'a T);

/// Of a type that is copied.
pub trait CopyOperand<T> {
    /// The value as it is now.
    fn copied(&self) -> Copied<T>;
}

impl<T: Copy> CopyOperand<T> for Operand<'_, T> {
    fn copied(&self) -> Copied<T> {
        Copied(*self.0)
    }
}

/// Of a type that is not copied: nothing can change it while it is borrowed.
pub trait PlaceOperand {
    /// Nothing: the place itself is used.
    fn copied(&self) -> InPlace;
}

impl<T: ?Sized> PlaceOperand for &Operand<'_, T> {
    fn copied(&self) -> InPlace {
        InPlace
    }
}

/// A value that has been copied.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Copied<T>(T);

impl<T> Copied<T> {
    /// The value.
    pub fn of(self, _place: &T) -> CopiedRef<T> {
        CopiedRef(self.0)
    }

    /// The value where it is read, and the place where it is changed: a method that takes `&mut self` means the place, which no later operand can
    /// have changed.
    pub fn of_mut(self, place: &mut T) -> CopiedMut<'_, T> {
        CopiedMut { copy: self.0, place }
    }
}

/// See [`Copied::of`].
#[derive(Debug)]
pub struct CopiedRef<T>(T);

impl<T> Deref for CopiedRef<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

/// See [`Copied::of_mut`].
#[derive(Debug)]
pub struct CopiedMut<'a, T> {
    copy: T,
    place: &'a mut T,
}

impl<T> Deref for CopiedMut<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.copy
    }
}

impl<T> DerefMut for CopiedMut<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.place
    }
}

/// The place itself.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct InPlace;

impl InPlace {
    /// The place.
    pub fn of<T: ?Sized>(self, place: &T) -> &T {
        place
    }

    /// The place.
    pub fn of_mut<T: ?Sized>(self, place: &mut T) -> &mut T {
        place
    }
}

// How many references stand in front decides which trait is found.
#[cfg(test)]
#[allow(clippy::needless_borrow)]
mod tests {
    use super::*;

    #[test]
    fn what_is_copy_is_as_it_was_and_what_is_not_is_the_place() {
        let mut number = 1;
        let before = (&Operand(&number)).copied();
        number += 1;
        assert_eq!(*before.of_mut(&mut number), 1);
        *before.of_mut(&mut number) = 7;
        assert_eq!(number, 7);
        let mut text = "a".to_string();
        let before = (&Operand(&text)).copied();
        before.of_mut(&mut text).push('b');
        assert_eq!(*before.of(&text), "ab");
    }
}
