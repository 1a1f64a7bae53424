//! Variables that borrow what `serde` knows how to borrow.
//!
//! A `&str` is `Deserialize<'de>` for one lifetime, so that rustc finds out late that it is not [`Save`](super::Save), and says only that some
//! "implementation is not general enough". What is here is seen earlier: at the end of a task's body, when the types of all variables are known, each
//! variable's slot is probed. The probe of a type that borrows leads to a method with a bound that nothing meets; that of any other type has the methods
//! of [`NotBorrowed`]. Both are those of traits, so that a type that is not known because of another error makes no further one.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::marker::PhantomData;
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

/// A type that borrows.
#[derive(Debug)]
pub struct Refused<T>(PhantomData<fn() -> T>);

impl<T> Refused<T> {
    /// Does not compile.
    pub const fn check(self)
    where
        T: Owned,
    {
    }
}

/// A type that does not borrow.
#[derive(Clone, Copy, Debug)]
pub struct Fine;

impl Fine {
    /// It may be live.
    pub const fn check(self) {}
}

/// What the probe of a type says that does not borrow.
pub trait NotBorrowed {
    /// The type itself does not.
    fn itself(&self) -> Fine {
        Fine
    }
    /// Its first part does not.
    fn first(&self) -> Fine {
        Fine
    }
    /// Its second part does not.
    fn second(&self) -> Fine {
        Fine
    }
}

impl<T> NotBorrowed for Probe<'_, T> {}

macro_rules! borrowed {
    ($($(#[$doc:meta])* $name:ident $method:ident { $([$($parameter:tt)*] $ty:ty;)* })*) => {$(
        $(#[$doc])*
        pub trait $name {
            /// The type.
            type Type;

            /// Says so.
            fn $method(&self) -> Refused<Self::Type> {
                Refused(PhantomData)
            }
        }

        $(impl<'a, B: Lent + ?Sized, $($parameter)*> $name for &Probe<'_, $ty> {
            type Type = $ty;
        })*
    )*};
}

borrowed! {
    /// Borrows, or is full of what does.
    ItselfBorrowed itself {
        [] &'a B;
        [] Option<&'a B>;
        [] Vec<&'a B>;
        [] Option<Vec<&'a B>>;
        [] Vec<Option<&'a B>>;
        [] Vec<Vec<&'a B>>;
        [] VecDeque<&'a B>;
        [] HashSet<&'a B>;
        [] BTreeSet<&'a B>;
        [const N: usize] [&'a B; N];
    }
    /// Its first part borrows.
    FirstBorrowed first {
        [C] (&'a B, C);
        [C, D] (&'a B, C, D);
        [C] Option<(&'a B, C)>;
        [C] Vec<(&'a B, C)>;
        [C] Result<&'a B, C>;
        [C, S] HashMap<&'a B, C, S>;
        [C] BTreeMap<&'a B, C>;
    }
    /// Its second part borrows.
    SecondBorrowed second {
        [C] (C, &'a B);
        [C, D] (C, &'a B, D);
        [C] Option<(C, &'a B)>;
        [C] Vec<(C, &'a B)>;
        [C, S] HashMap<C, &'a B, S>;
        [C] BTreeMap<C, &'a B>;
    }
}
