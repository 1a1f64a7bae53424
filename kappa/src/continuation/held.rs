//! Values that are in scope across a suspension point only to be dropped where their scope ends.
//!
//! Guarantees that the destructor of a value that is not mentioned any more runs where Rust would run it, also after a resume, or that the task does
//! not compile. What only frees memory goes at the suspension point. All else with a destructor, of its own or inside, is held here and saved; what
//! cannot be saved is refused. Which it is, generated code finds out by the order of traits below: a method called on `&&&&&&&&probe` is that of the
//! first trait that the type fits. Whether a type that no trait knows has a destructor inside, a constant tells (`needs_drop`).

use super::read_back;
use super::save::{Reader, Save, Unsaved, Writer};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap, HashSet, LinkedList, VecDeque};
use std::fmt;
use std::marker::PhantomData;
use std::rc::Rc;
use std::sync::Arc;

trait HeldValue: Send + Sync {
    fn write(&self, to: &mut Writer) -> Result<(), Unsaved>;
}

impl<T: Save + Send + Sync> HeldValue for T {
    fn write(&self, to: &mut Writer) -> Result<(), Unsaved> {
        read_back::save(self, to).map_err(|cause| cause.at(&"a variable that is kept to the end of its scope"))
    }
}

/// The values that a function holds, each with its number: a greater one has been declared later and is dropped earlier.
#[derive(Default)]
pub struct Held(BTreeMap<u32, Box<dyn HeldValue>>);

impl Held {
    /// None yet.
    pub fn new() -> Self {
        Held::default()
    }

    /// Drops the value of this number.
    pub fn end(&mut self, number: u32) {
        self.0.remove(&number);
    }

    /// Takes out the values of these numbers, to be dropped with a scope.
    pub fn take(&mut self, first: u32, last: u32) -> Held {
        if self.0.is_empty() {
            return Held::new();
        }
        let mut taken = self.0.split_off(&first);
        if let Some(next) = last.checked_add(1) {
            self.0.extend(taken.split_off(&next));
        }
        Held(taken)
    }

    /// Takes back what [`Held::take`] gave.
    pub fn put_back(&mut self, mut others: Held) {
        self.0.append(&mut others.0);
    }

    /// Appends all values.
    ///
    /// # Errors
    /// A value that cannot be serialised.
    pub fn save(&self, to: &mut Writer) -> Result<(), Unsaved> {
        (self.0.len() as u32).save(to)?;
        for (number, value) in &self.0 {
            number.save(to)?;
            value.write(to)?;
        }
        Ok(())
    }

    /// Reads what [`Held::save`] wrote; `read` knows the type of each number.
    ///
    /// # Errors
    /// Another program or damaged bytes.
    pub fn restore(
        &mut self,
        from: &mut Reader<'_>,
        read: impl Fn(u32, &mut Reader<'_>, &mut Held) -> Result<(), Unsaved>,
    ) -> Result<(), Unsaved> {
        for _ in 0..u32::restore(from)? {
            read(u32::restore(from)?, from, self)?;
        }
        Ok(())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        while let Some((_, value)) = self.0.pop_last() {
            drop(value);
        }
    }
}

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// A number that no held value of the function has.
pub fn unknown(number: u32) -> Unsaved {
    Unsaved {
        what: format!("the checkpoint holds value {number}, which this function does not"),
    }
}

/// The type of a value that may have to be held.
#[derive(Debug)]
pub struct Probe<T>(PhantomData<fn() -> T>);

impl<T> Probe<T> {
    /// Of this value.
    pub fn of(_: &T) -> Self {
        Probe(PhantomData)
    }

    /// Of a type that inference finds.
    pub const fn new() -> Self {
        Probe(PhantomData)
    }
}

impl<T> Default for Probe<T> {
    fn default() -> Self {
        Probe::new()
    }
}

/// Nothing implements it for what has a destructor and cannot be held.
#[diagnostic::on_unimplemented(
    message = "`{Self}` has a destructor, which would run at the suspension point and not at the end of its scope",
    label = "this variable is in scope across a suspension point, but is not mentioned behind it",
    note = "write `drop(..)` before the suspension point, or end its scope there with a block `{{ .. }}`; if it is needed for as long, make what it \
            guards with `cx.shared(|| ..)` or in a task of its own"
)]
pub trait EndsBefore {}

/// Nothing implements it for what has a destructor and may have been moved away.
#[diagnostic::on_unimplemented(
    message = "`{Self}` has a destructor, and whether this variable still holds its value at the suspension point is not known",
    label = "this variable is in scope across a suspension point, but is not mentioned behind it",
    note = "write `drop(..)` before the suspension point, or put what comes before it into a block `{{ .. }}` or a function of its own; or mention it at \
            the end of its scope"
)]
pub trait IsMoved {}

/// Nothing implements it for what has a destructor and is a temporary value.
#[diagnostic::on_unimplemented(
    message = "`{Self}` has a destructor, which would run at the suspension point and not at the end of the statement",
    label = "this temporary value lives until the end of the statement, `match`, `if let` or loop, which holds a suspension point",
    note = "give it a name before: `let value = ..;`"
)]
pub trait IsNoTemporary {}

/// A type whose destructor nobody can see: it frees memory, or does nothing.
///
/// A variable of such a type that is not mentioned behind a suspension point goes there, and is not saved. Implemented for a type of your own, it is a
/// promise that it does not matter when a value of it is dropped.
pub trait FreeToGo {}

macro_rules! free_to_go {
    ($([$($parameter:tt)*] $ty:ty;)*) => {$(impl<$($parameter)*> FreeToGo for $ty {})*};
}

free_to_go! {
    [] (); [] bool; [] char; [] str; [] String;
    [] u8; [] u16; [] u32; [] u64; [] u128; [] usize;
    [] i8; [] i16; [] i32; [] i64; [] i128; [] isize; [] f32; [] f64;
    [] std::time::Duration; [] std::time::Instant; [] std::time::SystemTime;
    [] std::path::Path; [] std::path::PathBuf; [] std::ffi::OsStr; [] std::ffi::OsString; [] std::ffi::CString; [] std::io::Error; [] crate::Error;
    [] crate::TaskError; [] crate::Failure; [] bytes::Bytes; [] bytes::BytesMut; [] serde_json::Value; [] serde_json::Map<String, serde_json::Value>; [] serde_json::Error;
    [] std::process::Output; [] std::fs::DirEntry; [] std::fs::ReadDir;
    [] dyn std::error::Error; [] dyn std::error::Error + Send; [] dyn std::error::Error + Send + Sync;
    [] std::sync::atomic::AtomicBool; [] std::sync::atomic::AtomicU32; [] std::sync::atomic::AtomicU64; [] std::sync::atomic::AtomicUsize;
    [] std::sync::atomic::AtomicI32; [] std::sync::atomic::AtomicI64;
    [T: ?Sized] &T; [T: ?Sized] &mut T; [T: FreeToGo + ?Sized] Arc<T>; [T: FreeToGo + ?Sized] Rc<T>; [T: ?Sized] PhantomData<T>;
    [T: FreeToGo + ?Sized] std::sync::Mutex<T>; [T: FreeToGo + ?Sized] std::sync::RwLock<T>; [T: FreeToGo] std::sync::OnceLock<T>;
    [T: FreeToGo] std::cell::RefCell<T>; [T: FreeToGo] std::cell::Cell<T>;
    [T] crate::Task<T>; [T] crate::Queue<T>;
    [T] std::thread::JoinHandle<T>; [T] tokio::task::JoinHandle<T>;
    [T: FreeToGo] Option<T>; [T: FreeToGo] Vec<T>; [T: FreeToGo + ?Sized] Box<T>; [T: FreeToGo] VecDeque<T>; [T: FreeToGo] LinkedList<T>;
    [T: FreeToGo] BinaryHeap<T>; [T: FreeToGo] BTreeSet<T>; [T: FreeToGo, S] HashSet<T, S>; [T: FreeToGo] [T]; [T: FreeToGo] std::vec::IntoIter<T>;
    [T: FreeToGo] std::cmp::Reverse<T>; [T: FreeToGo] std::iter::Enumerate<T>; [T: FreeToGo] std::iter::Rev<T>;
    [T: FreeToGo] std::collections::vec_deque::IntoIter<T>; [T: FreeToGo] std::collections::btree_set::IntoIter<T>;
    [T: FreeToGo] super::Items<T>;
    [K: FreeToGo, V: FreeToGo] BTreeMap<K, V>; [K: FreeToGo, V: FreeToGo, S] HashMap<K, V, S>;
    [K: FreeToGo, V: FreeToGo] std::collections::btree_map::IntoIter<K, V>; [K: FreeToGo, V: FreeToGo] std::collections::hash_map::IntoIter<K, V>;
    [T: FreeToGo, E: FreeToGo] Result<T, E>; [T: FreeToGo, const N: usize] [T; N]; [T: FreeToGo, const N: usize] std::array::IntoIter<T, N>;
    [A: FreeToGo] (A,); [A: FreeToGo, B: FreeToGo] (A, B); [A: FreeToGo, B: FreeToGo, C: FreeToGo] (A, B, C);
    [A: FreeToGo, B: FreeToGo, C: FreeToGo, D: FreeToGo] (A, B, C, D);
    [A: FreeToGo, B: FreeToGo, C: FreeToGo, D: FreeToGo, E: FreeToGo] (A, B, C, D, E);
    [A: FreeToGo, B: FreeToGo, C: FreeToGo, D: FreeToGo, E: FreeToGo, F: FreeToGo] (A, B, C, D, E, F);
}

impl<T: ToOwned + ?Sized> FreeToGo for Cow<'_, T> where T::Owned: FreeToGo {}

/// What is known of a type.
pub trait Kind {
    /// Whether its values may have a destructor that can be seen.
    const SEEN: bool;
}

/// Proofs, made by the compiler when it evaluates a constant, that a destructor cannot be seen.
macro_rules! proofs {
    ($($(#[$doc:meta])* $name:ident: $message:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Debug)]
        pub struct $name<K>(PhantomData<fn() -> K>);

        impl<K: Kind> $name<K> {
            /// Does not compile if there is none.
            #[expect(clippy::new_without_default, reason = "only constants of generated code make one")]
            pub const fn new() -> Self {
                assert!(!K::SEEN, $message);
                $name(PhantomData)
            }
        }
    )*};
}

proofs! {
    /// Of a variable that goes at a suspension point.
    Goes: "this variable is in scope across a suspension point, but is not mentioned behind it; its type has a destructor inside, which would run at the \
           suspension point and not at the end of its scope, and it cannot be saved. Write `drop(..)` before the suspension point, or end its scope there \
           with a block `{{ .. }}`; or let the type be `Serialize + Deserialize`, or `kappa::continuation::FreeToGo` if it does not matter when it is dropped";
    /// Of a variable that may have been moved, or a part of it.
    Unclear: "this variable is in scope across a suspension point, but is not mentioned behind it; its type has a destructor inside, and whether the \
              variable still holds its whole value there is not known. Write `drop(..)` before the suspension point, or put what comes before it into a \
              block `{{ .. }}` or a function of its own; or mention it at the end of its scope";
    /// Of a temporary value.
    Fleeting: "this temporary value lives until the end of the statement, `match`, `if let` or loop, which holds a suspension point; it has a destructor \
               inside, which would run at the suspension point. Give it a name before: `let value = ..;`";
}

/// What is done with a value that goes at the suspension point.
#[derive(Clone, Copy, Debug)]
pub struct Go;

impl Kind for Go {
    const SEEN: bool = false;
}

/// What is done with a value that is held and saved.
#[derive(Clone, Copy, Debug)]
pub struct Keep;

/// What is done with a value that can be saved: it is held if an `E`, of which it consists, has a destructor.
#[derive(Debug)]
pub struct KeepIf<E>(PhantomData<fn() -> E>);

impl<E> Kind for KeepIf<E> {
    const SEEN: bool = std::mem::needs_drop::<E>();
}

/// What is done with a value that would have to be held and cannot be saved.
#[derive(Clone, Copy, Debug)]
pub struct Refuse;

/// What is done with a value that cannot be saved: it would have to be if an `E`, of which it consists, has a destructor.
#[derive(Debug)]
pub struct RefuseIf<E>(PhantomData<fn() -> E>);

impl<E> Kind for RefuseIf<E> {
    const SEEN: bool = std::mem::needs_drop::<E>();
}

/// What is decided by evaluating a constant.
macro_rules! by_constants {
    () => {
        /// Nobody can see whether it has been moved, or it does not compile.
        pub fn unclear<T>(self, _probe: &Probe<T>, _proof: Unclear<Self>) {}

        /// Nobody can see when it is dropped, or it does not compile.
        pub fn temporary<T>(self, _probe: &Probe<T>, _proof: Fleeting<Self>) {}

        /// It has been taken apart, and nothing is left.
        pub fn taken<T>(self, _probe: &Probe<T>) {}
    };
}

/// What does not compile, because of what the type implements.
macro_rules! by_traits {
    () => {
        /// Does not compile.
        pub fn unclear<T: IsMoved>(self, _probe: &Probe<T>, _proof: Unclear<Go>) {}

        /// Does not compile.
        pub fn temporary<T: IsNoTemporary>(self, _probe: &Probe<T>, _proof: Fleeting<Go>) {}

        /// Does not compile: only copies have been taken out of it.
        pub fn taken<T: IsMoved>(self, _probe: &Probe<T>) {}
    };
}

/// What is not held.
macro_rules! never_held {
    () => {
        /// Drops the value.
        pub fn hold<T>(self, value: T, _number: u32, _held: &mut Held) {
            drop(value);
        }

        /// No checkpoint holds one.
        ///
        /// # Errors
        /// Always.
        pub fn read<T>(self, _: &Probe<T>, number: u32, _: &mut Reader<'_>, _: &mut Held) -> Result<(), Unsaved> {
            Err(unknown(number))
        }
    };
}

impl Go {
    by_constants!();
    never_held!();

    /// It may go.
    pub fn goes<T>(self, _probe: &Probe<T>, _proof: Goes<Self>) {}
}

impl<E> RefuseIf<E> {
    by_constants!();
    never_held!();

    /// It may go, or does not compile.
    pub fn goes<T>(self, _probe: &Probe<T>, _proof: Goes<Self>) {}
}

impl Refuse {
    by_traits!();
    never_held!();

    /// Does not compile.
    pub fn goes<T: EndsBefore>(self, _probe: &Probe<T>, _proof: Goes<Go>) {}
}

impl<E> KeepIf<E> {
    by_constants!();

    /// It is held.
    pub fn goes<T>(self, _probe: &Probe<T>, _proof: Goes<Go>) {}

    /// Holds the value, if it has a destructor.
    pub fn hold<T: Save + Send + Sync + 'static>(self, value: T, number: u32, held: &mut Held) {
        if Self::SEEN {
            held.0.insert(number, Box::new(value));
        }
    }

    /// Reads a held value.
    ///
    /// # Errors
    /// Damaged bytes.
    pub fn read<T: Save + Send + Sync + 'static>(
        self,
        _: &Probe<T>,
        number: u32,
        from: &mut Reader<'_>,
        held: &mut Held,
    ) -> Result<(), Unsaved> {
        held.0.insert(number, Box::new(T::restore(from)?));
        Ok(())
    }
}

impl Keep {
    by_traits!();

    /// It is held.
    pub fn goes<T>(self, _probe: &Probe<T>, _proof: Goes<Go>) {}

    /// Holds the value.
    pub fn hold<T: Save + Send + Sync + 'static>(self, value: T, number: u32, held: &mut Held) {
        held.0.insert(number, Box::new(value));
    }

    /// Reads a held value.
    ///
    /// # Errors
    /// Damaged bytes.
    pub fn read<T: Save + Send + Sync + 'static>(
        self,
        probe: &Probe<T>,
        number: u32,
        from: &mut Reader<'_>,
        held: &mut Held,
    ) -> Result<(), Unsaved> {
        KeepIf::<T>(PhantomData).read(probe, number, from, held)
    }
}

/// The traits in their order: for how many references in front of the probe, and what is done.
macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident { $([$($parameter:tt)*] $receiver:ty where [$($bound:tt)*] -> $kind:ty = $make:expr;)* })*) => {$(
        $(#[$doc])*
        pub trait $name {
            /// What is done with the value.
            type Kind;

            /// What is done with the value.
            fn kind(&self) -> Self::Kind;
        }

        $(#[allow(drop_bounds, reason = "whether the type has a destructor of its own is the question")]
        impl<$($parameter)*> $name for $receiver where $($bound)* {
            type Kind = $kind;

            fn kind(&self) -> $kind {
                $make
            }
        })*
    )*};
}

/// The collections that have a destructor of their own, which does what those of their elements do.
macro_rules! collections {
    ($saved:ident, $other:ident: $([$($parameter:ident),*] $ty:ty => $element:ty;)*) => {
        kinds! {
            /// A collection that can be saved.
            $saved { $([$($parameter),*] &&&&&Probe<$ty> where [$ty: Save + Send + Sync + 'static] -> KeepIf<$element> = KeepIf(PhantomData);)* }
            /// A collection.
            $other { $([$($parameter),*] &&&&Probe<$ty> where [] -> RefuseIf<$element> = RefuseIf(PhantomData);)* }
        }
    };
}

kinds! {
    /// Copied, so without a destructor.
    OfCopy { [T] &&&&&&&Probe<T> where [T: Copy] -> Go = Go; }
    /// Frees memory.
    OfFree { [T] &&&&&&Probe<T> where [T: FreeToGo] -> Go = Go; }
    /// With a destructor of its own, and can be saved.
    OfKept { [T] &&&Probe<T> where [T: Drop + Save + Send + Sync + 'static] -> Keep = Keep; }
    /// With a destructor of its own.
    OfDrop { [T] &&Probe<T> where [T: Drop] -> Refuse = Refuse; }
    /// Can be saved.
    OfSaved { [T] &Probe<T> where [T: Save + Send + Sync + 'static] -> KeepIf<T> = KeepIf(PhantomData); }
    /// All others.
    OfOther { [T] Probe<T> where [] -> RefuseIf<T> = RefuseIf(PhantomData); }
}

collections! {
    OfSavedCollection, OfCollection:
    [T] Vec<T> => T;
    [T] VecDeque<T> => T;
    [T] Box<T> => T;
    [T] LinkedList<T> => T;
    [T] BinaryHeap<T> => T;
    [T] BTreeSet<T> => T;
    [T] std::vec::IntoIter<T> => T;
    [K, V] BTreeMap<K, V> => (K, V);
}

/// The type of a receiver of a method that takes it whole if the type is one of `std`'s.
#[derive(Debug)]
pub struct Receiver<T>(PhantomData<fn() -> T>);

impl<T> Receiver<T> {
    /// Of this value.
    pub fn of(_: &T) -> Self {
        Receiver(PhantomData)
    }

    /// Of a type that inference finds.
    #[expect(clippy::new_without_default, reason = "only generated code makes one")]
    pub const fn new() -> Self {
        Receiver(PhantomData)
    }
}

/// The type of a variable behind which something has been moved or copied: `*variable`.
#[derive(Debug)]
pub struct Content<T>(PhantomData<fn() -> T>);

impl<T> Content<T> {
    /// Of a type that inference finds.
    #[expect(clippy::new_without_default, reason = "only generated code makes one")]
    pub const fn new() -> Self {
        Content(PhantomData)
    }
}

/// What is asked of a type.
#[derive(Debug)]
pub struct Asked<K>(PhantomData<fn() -> K>);

impl<K: Kind> Asked<K> {
    /// Nobody can see when it is dropped, or it does not compile.
    pub fn temporary<T>(self, _probe: &Receiver<T>, _proof: Fleeting<K>) {}

    /// Nothing is left that has a destructor, or it does not compile.
    pub fn left<P>(self, _of: &P, _proof: Unclear<K>) {}
}

macro_rules! asked {
    ($method:ident: $($(#[$doc:meta])* $name:ident { $([$($parameter:tt)*] $receiver:ty where [$($bound:tt)*] -> $kind:ty;)* })*) => {$(
        $(#[$doc])*
        pub trait $name {
            /// What is known of the type.
            type Kind;

            /// What is known of the type.
            fn $method(&self) -> Asked<Self::Kind> {
                Asked(PhantomData)
            }
        }

        $(impl<$($parameter)*> $name for $receiver where $($bound)* {
            type Kind = $kind;
        })*
    )*};
}

asked! { moved:
    /// Of `std`, and the method is known.
    MovedKnown {
        [T] &&&Receiver<Option<T>> where [] -> Go; [T, E] &&&Receiver<Result<T, E>> where [] -> Go; [T] &&&Receiver<Vec<T>> where [] -> Go;
        [T] &&&Receiver<VecDeque<T>> where [] -> Go; [T] &&&Receiver<BTreeSet<T>> where [] -> Go; [T] &&&Receiver<BinaryHeap<T>> where [] -> Go;
        [K, V] &&&Receiver<BTreeMap<K, V>> where [] -> Go; [K, V, S] &&&Receiver<HashMap<K, V, S>> where [] -> Go;
        [T, S] &&&Receiver<HashSet<T, S>> where [] -> Go; [T] &&&Receiver<LinkedList<T>> where [] -> Go;
        [T, const N: usize] &&&Receiver<[T; N]> where [] -> Go;
    }
    /// An iterator.
    MovedIterator { [T] &&Receiver<T> where [T: Iterator] -> Go; }
    /// Frees memory.
    MovedFree { [T] &Receiver<T> where [T: FreeToGo] -> Go; }
    /// All others.
    MovedOther { [T] Receiver<T> where [] -> RefuseIf<T>; }
}

asked! { emptied:
    /// A `Box` gives what is in it.
    EmptiedBox { [T] &&Content<Box<T>> where [] -> Go; }
    /// Frees memory.
    EmptiedFree { [T] &Content<T> where [T: FreeToGo] -> Go; }
    /// All others: what is behind it has been copied.
    EmptiedOther { [T] Content<T> where [] -> RefuseIf<T>; }
}

// How many references stand in front decides which trait is found.
#[cfg(test)]
#[allow(clippy::needless_borrow)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    #[derive(serde::Serialize, serde::Deserialize)]
    struct Noisy(u8);

    impl Drop for Noisy {
        fn drop(&mut self) {
            LOG.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).push(self.0);
        }
    }

    static LOG: Mutex<Vec<u8>> = Mutex::new(Vec::new());

    #[test]
    fn what_has_a_destructor_inside_is_held_and_what_only_frees_memory_or_does_nothing_is_not() {
        #[derive(serde::Serialize, serde::Deserialize)]
        struct Both(Noisy, u8);
        #[derive(serde::Serialize, serde::Deserialize)]
        struct Point(u8);
        let mut held = Held::new();
        macro_rules! hold {
            ($number:literal, $value:expr) => {
                let value = $value;
                (&&&&&&&&Probe::of(&value)).kind().hold(value, $number, &mut held);
            };
        }
        hold!(0, Point(1));
        hold!(1, vec![Point(1)]);
        hold!(2, BTreeMap::from([(1_u8, vec!["text".to_string()])]));
        hold!(3, Arc::new(Mutex::new(1_u8)));
        hold!(4, Box::new(Point(1)));
        hold!(10, Both(Noisy(10), 0));
        hold!(11, vec![(1_u8, Noisy(11))]);
        hold!(12, Some(Some(Noisy(12))));
        hold!(13, BTreeMap::from([(1_u8, Noisy(13))]));
        hold!(14, Arc::new(Noisy(14)));
        hold!(15, (1_u8, 2_u8, Noisy(15)));
        assert_eq!(format!("{held:?}"), "{10, 11, 12, 13, 14, 15}");
        std::mem::forget(held);
    }

    #[test]
    fn what_has_a_destructor_is_held_saved_and_dropped_in_reverse_order() {
        let mut held = Held::new();
        let values = (
            7_u8,
            "text".to_string(),
            vec!["a".to_string()],
            Noisy(1),
            Some(Noisy(2)),
        );
        (&&&&&&&&Probe::of(&values.0)).kind().hold(values.0, 0, &mut held);
        (&&&&&&&&Probe::of(&values.1)).kind().hold(values.1, 1, &mut held);
        (&&&&&&&&Probe::of(&values.2)).kind().hold(values.2, 2, &mut held);
        (&&&&&&&&Probe::of(&values.3)).kind().hold(values.3, 3, &mut held);
        (&&&&&&&&Probe::of(&values.4)).kind().hold(values.4, 4, &mut held);
        assert_eq!(format!("{held:?}"), "{3, 4}");
        let mut writer = Writer::default();
        held.save(&mut writer).unwrap();
        drop(held);
        assert_eq!(std::mem::take(&mut *LOG.lock().unwrap()), [2, 1]);
        let mut reader = Reader { bytes: &writer.bytes };
        let mut held = Held::new();
        let (one, some) = (Probe::<Noisy>::new(), Probe::<Option<Noisy>>::new());
        let read = |number: u32, from: &mut Reader<'_>, held: &mut Held| match number {
            3 => (&&&&&&&&one).kind().read(&one, 3, from, held),
            4 => (&&&&&&&&some).kind().read(&some, 4, from, held),
            other => Err(unknown(other)),
        };
        held.restore(&mut reader, read).unwrap();
        reader.end().unwrap();
        let last = held.take(4, 9);
        assert_eq!(format!("{held:?} {last:?}"), "{3} {4}");
        held.put_back(last);
        held.end(3);
        drop(held);
        assert_eq!(std::mem::take(&mut *LOG.lock().unwrap()), [1, 2]);
    }
}
