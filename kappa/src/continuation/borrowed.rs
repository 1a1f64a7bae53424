//! Variables that borrow what `serde` knows how to borrow.
//!
//! A `&str` is `Deserialize<'de>` for one lifetime, so that rustc finds out late that it is not [`Save`](super::Save), and says only that some
//! "implementation is not general enough". What is here is seen earlier: at the end of a task's body, when the types of all variables are known, each
//! variable's slot is probed. The probe of a type that borrows has a method of its own, with a bound that nothing meets; that of any other type has the
//! one from [`NotBorrowed`].

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::path::Path;

/// What nothing that borrows is.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is live across a suspension point, but it cannot be saved",
    label = "this variable is needed after a suspension point, and borrows",
    note = "what is live across a `cx.<operation>(..).await` is stored, and what it borrows, be it a literal, may be elsewhere when the task goes on",
    note = "keep an owned value instead (`.to_string()`, `.to_vec()`, `.to_path_buf()`), or an index, or make the reference again after the suspension point"
)]
pub trait Owned {}

/// What `serde` can lend from the bytes that it reads.
pub trait Lent {}
impl Lent for str {}
impl Lent for [u8] {}
impl Lent for Path {}

/// Looks at the type of a slot.
#[derive(Debug)]
pub struct Probe<'s, T>(#[expect(dead_code, reason = "only the type matters")] &'s Option<T>);

/// Looks at the type of a slot; never called.
pub const fn probe<T>(slot: &Option<T>) -> Probe<'_, T> {
    Probe(slot)
}

/// What the probe of a type says that does not borrow.
pub trait NotBorrowed {
    /// The type itself does not.
    fn itself(&self) {}
    /// Its first part does not.
    fn first(&self) {}
    /// Its second part does not.
    fn second(&self) {}
}

impl<T> NotBorrowed for Probe<'_, T> {}

macro_rules! borrowed {
    ($($method:ident: [$($parameter:ident)*] $ty:ty;)*) => {$(
        impl<'a, B: Lent + ?Sized $(, $parameter)*> Probe<'_, $ty> {
            #[doc(hidden)]
            pub const fn $method(&self)
            where
                $ty: Owned,
            {
            }
        }
    )*};
}

borrowed! {
    itself: [] &'a B;
    itself: [] Option<&'a B>;
    itself: [] Vec<&'a B>;
    itself: [] Option<Vec<&'a B>>;
    itself: [] Vec<Option<&'a B>>;
    itself: [] Vec<Vec<&'a B>>;
    itself: [] VecDeque<&'a B>;
    itself: [] HashSet<&'a B>;
    itself: [] BTreeSet<&'a B>;
    first: [C] (&'a B, C);
    first: [C D] (&'a B, C, D);
    first: [C] Option<(&'a B, C)>;
    first: [C] Vec<(&'a B, C)>;
    first: [C] Result<&'a B, C>;
    first: [C S] HashMap<&'a B, C, S>;
    first: [C] BTreeMap<&'a B, C>;
    second: [C] (C, &'a B);
    second: [C D] (C, &'a B, D);
    second: [C] Option<(C, &'a B)>;
    second: [C] Vec<(C, &'a B)>;
    second: [C S] HashMap<C, &'a B, S>;
    second: [C] BTreeMap<C, &'a B>;
}

macro_rules! borrowed_arrays {
    ($($ty:ty)*) => {$(
        impl<'a, B: Lent + ?Sized, const N: usize> Probe<'_, $ty> {
            #[doc(hidden)]
            pub const fn itself(&self)
            where
                $ty: Owned,
            {
            }
        }
    )*};
}

borrowed_arrays!([&'a B; N]);
