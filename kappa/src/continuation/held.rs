//! Values that are in scope across a suspension point only to be dropped where their scope ends.
//!
//! Guarantees that the destructor of a value that is not mentioned any more runs where Rust would run it, also after a resume, or that the task does
//! not compile. A type with a destructor of its own is held here and saved; one that cannot be saved is refused; one that only frees memory, or whose
//! destructor is that of a part of it, goes at the suspension point. Which it is, generated code finds out by the order of traits below: a method
//! called on `&&&&&&&&probe` is that of the first trait that the type fits.

use super::read_back;
use super::save::{Reader, Save, Unsaved, Writer};
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
    note = "write `drop(..)` before the suspension point, or put what comes before it into a block `{{ .. }}` or a function of its own"
)]
pub trait IsMoved {}

/// Nothing implements it for what has a destructor and is a temporary value.
#[diagnostic::on_unimplemented(
    message = "`{Self}` has a destructor, which would run at the suspension point and not at the end of the `match`",
    label = "this temporary value lives until the end of the `match`, which holds a suspension point",
    note = "put what is matched into a variable before: `let value = ..; match value {{ .. }}`"
)]
pub trait IsNoTemporary {}

/// A type whose destructor nobody can see: it frees memory, or does nothing.
pub trait FreeToGo {}

macro_rules! free_to_go {
    ($([$($parameter:tt)*] $ty:ty;)*) => {$(impl<$($parameter)*> FreeToGo for $ty {})*};
}

free_to_go! {
    [] (); [] bool; [] char; [] str; [] String;
    [] u8; [] u16; [] u32; [] u64; [] u128; [] usize;
    [] i8; [] i16; [] i32; [] i64; [] i128; [] isize; [] f32; [] f64;
    [] std::time::Duration; [] std::time::Instant; [] std::time::SystemTime;
    [] std::path::PathBuf; [] std::ffi::OsString; [] std::io::Error; [] crate::Error; [] bytes::Bytes; [] serde_json::Value;
    [T: ?Sized] &T; [T: ?Sized] &mut T; [T: ?Sized] Arc<T>; [T: ?Sized] Rc<T>; [T: ?Sized] PhantomData<T>;
    [T] crate::Task<T>; [T] crate::Queue<T>;
    [T: FreeToGo] Option<T>; [T: FreeToGo] Vec<T>; [T: FreeToGo + ?Sized] Box<T>; [T: FreeToGo] VecDeque<T>; [T: FreeToGo] LinkedList<T>;
    [T: FreeToGo] BinaryHeap<T>; [T: FreeToGo] BTreeSet<T>; [T: FreeToGo, S] HashSet<T, S>; [T: FreeToGo] [T]; [T: FreeToGo] std::vec::IntoIter<T>;
    [K: FreeToGo, V: FreeToGo] BTreeMap<K, V>; [K: FreeToGo, V: FreeToGo, S] HashMap<K, V, S>;
    [T: FreeToGo, E: FreeToGo] Result<T, E>; [T: FreeToGo, const N: usize] [T; N];
    [A: FreeToGo] (A,); [A: FreeToGo, B: FreeToGo] (A, B); [A: FreeToGo, B: FreeToGo, C: FreeToGo] (A, B, C);
    [A: FreeToGo, B: FreeToGo, C: FreeToGo, D: FreeToGo] (A, B, C, D);
}

/// What is done with a value that goes at the suspension point.
#[derive(Clone, Copy, Debug)]
pub struct Go;

impl Go {
    /// Drops the value.
    pub fn hold<T>(self, value: T, _number: u32, _held: &mut Held) {
        drop(value);
    }

    /// Nobody can see whether it has been moved.
    pub fn unclear<T>(self, _probe: &Probe<T>) {}

    /// Nobody can see when it is dropped.
    pub fn temporary<T>(self, _probe: &Probe<T>) {}

    /// No checkpoint holds one.
    ///
    /// # Errors
    /// Always.
    pub fn read<T>(self, _: &Probe<T>, number: u32, _: &mut Reader<'_>, _: &mut Held) -> Result<(), Unsaved> {
        Err(unknown(number))
    }
}

/// What is done with a value that is held and saved.
#[derive(Clone, Copy, Debug)]
pub struct Keep;

impl Keep {
    /// Holds the value.
    pub fn hold<T: Save + Send + Sync + 'static>(self, value: T, number: u32, held: &mut Held) {
        held.0.insert(number, Box::new(value));
    }

    /// It would have to be known whether it has been moved.
    pub fn unclear<T: IsMoved>(self, _probe: &Probe<T>) {}

    /// Does not compile: it would have to be held.
    pub fn temporary<T: IsNoTemporary>(self, _probe: &Probe<T>) {}

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

/// What is done with a value that would have to be held and cannot be saved.
#[derive(Clone, Copy, Debug)]
pub struct Refuse;

impl Refuse {
    /// Does not compile.
    pub fn hold<T: EndsBefore>(self, value: T, _number: u32, _held: &mut Held) {
        drop(value);
    }

    /// Does not compile.
    pub fn unclear<T: IsMoved>(self, _probe: &Probe<T>) {}

    /// Does not compile: it would have to be held.
    pub fn temporary<T: IsNoTemporary>(self, _probe: &Probe<T>) {}

    /// No checkpoint holds one.
    ///
    /// # Errors
    /// Always.
    pub fn read<T>(self, _: &Probe<T>, number: u32, _: &mut Reader<'_>, _: &mut Held) -> Result<(), Unsaved> {
        Err(unknown(number))
    }
}

/// The traits in their order: for how many references in front of the probe, and what is done.
macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident -> $kind:ident { $([$($parameter:tt)*] $receiver:ty where [$($bound:tt)*];)* })*) => {$(
        $(#[$doc])*
        pub trait $name {
            /// What is done with the value.
            fn kind(&self) -> $kind;
        }

        $(#[allow(drop_bounds, reason = "whether the type has a destructor of its own is the question")]
        impl<$($parameter)*> $name for $receiver where $($bound)* {
            fn kind(&self) -> $kind {
                $kind
            }
        })*
    )*};
}

kinds! {
    /// Copied, so without a destructor.
    OfCopy -> Go { [T] &&&&&&&Probe<T> where [T: Copy]; }
    /// Frees memory.
    OfFree -> Go { [T] &&&&&&Probe<T> where [T: FreeToGo]; }
    /// Around a type with a destructor of its own, and can be saved.
    OfKeptParts -> Keep {
        [T] &&&&&Probe<Option<T>> where [T: Drop, Option<T>: Save + Send + Sync + 'static];
        [T] &&&&&Probe<Vec<T>> where [T: Drop, Vec<T>: Save + Send + Sync + 'static];
        [T] &&&&&Probe<VecDeque<T>> where [T: Drop, VecDeque<T>: Save + Send + Sync + 'static];
        [T] &&&&&Probe<Box<T>> where [T: Drop, Box<T>: Save + Send + Sync + 'static];
        [T] &&&&&Probe<(T,)> where [T: Drop, (T,): Save + Send + Sync + 'static];
        [T, const N: usize] &&&&&Probe<[T; N]> where [T: Drop, [T; N]: Save + Send + Sync + 'static];
        [T, E] &&&&&Probe<Result<T, E>> where [T: Drop, Result<T, E>: Save + Send + Sync + 'static];
        [A, B] &&&&&Probe<(A, B)> where [A: Drop, (A, B): Save + Send + Sync + 'static];
    }
    /// Around a type with a destructor of its own.
    OfParts -> Refuse {
        [T] &&&&Probe<Option<T>> where [T: Drop];
        [T] &&&&Probe<Vec<T>> where [T: Drop];
        [T] &&&&Probe<VecDeque<T>> where [T: Drop];
        [T] &&&&Probe<Box<T>> where [T: Drop];
        [T] &&&&Probe<(T,)> where [T: Drop];
        [T, const N: usize] &&&&Probe<[T; N]> where [T: Drop];
        [T, E] &&&&Probe<Result<T, E>> where [T: Drop];
        [A, B] &&&&Probe<(A, B)> where [A: Drop];
    }
    /// A collection of something without a destructor of its own.
    OfCollection -> Go {
        [T] &&&Probe<Vec<T>> where []; [T] &&&Probe<VecDeque<T>> where []; [T: ?Sized] &&&Probe<Box<T>> where []; [T] &&&Probe<LinkedList<T>> where []; [T] &&&Probe<std::vec::IntoIter<T>> where [];
        [K, V] &&&Probe<BTreeMap<K, V>> where []; [K, V, S] &&&Probe<HashMap<K, V, S>> where []; [T] &&&Probe<BTreeSet<T>> where []; [T, S] &&&Probe<HashSet<T, S>> where [];
        [T] &&&Probe<BinaryHeap<T>> where []; [T] &&&Probe<std::thread::JoinHandle<T>> where []; [T] &&&Probe<tokio::task::JoinHandle<T>> where [];
        [T] &&&Probe<std::io::BufReader<T>> where []; [] &&&Probe<std::fs::File> where [];
    }
    /// With a destructor of its own, and can be saved.
    OfKept -> Keep { [T] &&Probe<T> where [T: Drop + Save + Send + Sync + 'static]; }
    /// With a destructor of its own.
    OfDrop -> Refuse { [T] &Probe<T> where [T: Drop]; }
    /// All others.
    OfOther -> Go { [T] Probe<T> where []; }
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
