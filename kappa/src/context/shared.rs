//! Values that are rebuilt after a resume instead of being stored.

use std::fmt;
use std::ops::{Deref, DerefMut};

/// A value made by [`Context::shared`](super::Context::shared): an open file, a parsed plan, a connection.
pub struct Shared<T>(pub(super) T);

impl<T> Shared<T> {
    /// The value itself.
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl<T> Deref for Shared<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> DerefMut for Shared<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.0
    }
}

impl<T: fmt::Debug> fmt::Debug for Shared<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
