//! Iteration that survives a suspension: what a `for` loop with a suspension point in its body needs.

use super::save::{Reader, Save, Unsaved, Writer};
use serde::{Deserialize, Serialize};
use std::collections::{
    BTreeMap, BTreeSet, BinaryHeap, HashMap, HashSet, LinkedList, VecDeque, btree_map, btree_set, hash_map, hash_set,
    vec_deque,
};
use std::iter::{Chain, Enumerate, Rev, Skip, StepBy, Take, Zip};
use std::ops::{Range, RangeFrom, RangeInclusive};
use std::str::{Bytes, CharIndices, Chars};
use std::{array, vec};

/// An iterator whose state can be saved between two items: it also has to be [`Save`], which every `Serialize + DeserializeOwned` type is.
///
/// Implement it for your own iterators: `#[derive(Serialize, Deserialize)]` and the same `next` as for [`Iterator`].
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a resumable iterator",
    label = "its state cannot be saved while the loop's body is suspended"
)]
pub trait ResumableIterator {
    /// What it gives.
    type Item;

    /// The next item, or `None` at the end; after the end it is not called again.
    fn next(&mut self) -> Option<Self::Item>;
}

/// What a `for` loop with a suspension point in its body can go over.
#[diagnostic::on_unimplemented(
    message = "a `for` loop with a suspension point in its body cannot go over `{Self}`",
    label = "the state of this iteration cannot be saved",
    note = "go over an integer range, a collection by value (`vec`, `vec.clone()`), an index (`for i in 0..vec.len()`), what an iterator gives, \
            collected (`.map(..).collect::<Vec<_>>()`), or implement `kappa::continuation::ResumableIterator`",
    note = "in a `#[kappa::task(auto)]`, every loop has a suspension point: move this one into a closure or a function of its own, or leave out `auto` \
            and write `cx.checkpoint_if_due().await` into the loops that need it"
)]
pub trait IntoResumable {
    /// What the loop's pattern is matched with.
    type Item;
    /// The iteration's state.
    type Iterator: ResumableIterator<Item = Self::Item>;

    /// Starts the iteration.
    fn into_resumable(self) -> Self::Iterator;
}

#[diagnostic::do_not_recommend]
impl<I: ResumableIterator> IntoResumable for I {
    type Item = I::Item;
    type Iterator = I;

    fn into_resumable(self) -> I {
        self
    }
}

/// An integer or a character that a range can step over.
pub trait Step: Copy + PartialOrd + Save {
    /// The next greater value, if there is one.
    fn up(self) -> Option<Self>;
    /// The next smaller value, if there is one.
    fn down(self) -> Option<Self>;
    /// How far it is up to a value that is not smaller.
    fn distance(self, to: Self) -> u128;
    /// The value that far up; there is one.
    fn forward(self, distance: u128) -> Self;
}

macro_rules! steps {
    ($($integer:ty as $unsigned:ty,)*) => {$(
        impl Step for $integer {
            #[inline]
            fn up(self) -> Option<Self> {
                self.checked_add(1)
            }

            #[inline]
            fn down(self) -> Option<Self> {
                self.checked_sub(1)
            }

            // Two's complement: wrapping is what makes the distance between a negative and a positive value right.
            fn distance(self, to: Self) -> u128 {
                to.wrapping_sub(self) as $unsigned as u128
            }

            #[inline]
            fn forward(self, distance: u128) -> Self {
                self.wrapping_add(distance as $integer)
            }
        }
    )*};
}

steps!(
    u8 as u8,
    u16 as u16,
    u32 as u32,
    u64 as u64,
    u128 as u128,
    usize as usize,
    i8 as u8,
    i16 as u16,
    i32 as u32,
    i64 as u64,
    i128 as u128,
    isize as usize,
);

/// The characters leave out the code points of surrogates.
const SURROGATES: std::ops::Range<u32> = 0xd800..0xe000;

fn number_of(character: char) -> u32 {
    let number = u32::from(character);
    if number < SURROGATES.start {
        number
    } else {
        number - SURROGATES.len() as u32
    }
}

fn character(number: u32) -> Option<char> {
    let behind = if number < SURROGATES.start {
        0
    } else {
        SURROGATES.len() as u32
    };
    char::from_u32(number.checked_add(behind)?)
}

impl Step for char {
    fn up(self) -> Option<Self> {
        character(number_of(self) + 1)
    }

    fn down(self) -> Option<Self> {
        number_of(self).checked_sub(1).and_then(character)
    }

    fn distance(self, to: Self) -> u128 {
        u128::from(number_of(to).saturating_sub(number_of(self)))
    }

    fn forward(self, distance: u128) -> Self {
        let number = u32::try_from(u128::from(number_of(self)).saturating_add(distance)).unwrap_or(u32::MAX);
        character(number).unwrap_or(char::MAX)
    }
}

/// A range that is being gone over: the first and the last value that are left; `None` once there are no more.
///
/// `std`'s ranges are not stored as they are, because a `RangeInclusive` forgets when it is serialised that it is exhausted.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Steps<A> {
    left: Option<(A, A)>,
    descending: bool,
}

impl<A: Step> Steps<A> {
    fn over(first: A, last: A) -> Self {
        Steps {
            left: (first <= last).then_some((first, last)),
            descending: false,
        }
    }

    fn below(first: A, end: A) -> Self {
        // Nothing is below the smallest value.
        match end.down() {
            Some(last) if first < end => Steps::over(first, last),
            _ => Steps {
                left: None,
                descending: false,
            },
        }
    }

    fn reversed(self) -> Self {
        Steps {
            descending: !self.descending,
            ..self
        }
    }
}

impl<A: Step> ResumableIterator for Steps<A> {
    type Item = A;

    #[inline]
    fn next(&mut self) -> Option<A> {
        let (first, last) = self.left?;
        if self.descending {
            self.left = if last > first {
                last.down().map(|last| (first, last))
            } else {
                None
            };
            Some(last)
        } else {
            self.left = if first < last {
                first.up().map(|first| (first, last))
            } else {
                None
            };
            Some(first)
        }
    }
}

impl<A: Step> IntoResumable for Range<A> {
    type Item = A;
    type Iterator = Steps<A>;

    fn into_resumable(self) -> Steps<A> {
        Steps::below(self.start, self.end)
    }
}

impl<A: Step> IntoResumable for RangeInclusive<A> {
    type Item = A;
    type Iterator = Steps<A>;

    fn into_resumable(self) -> Steps<A> {
        if self.is_empty() {
            Steps {
                left: None,
                descending: false,
            }
        } else {
            Steps::over(*self.start(), *self.end())
        }
    }
}

impl<A: Step> IntoResumable for Rev<Range<A>>
where
    Range<A>: DoubleEndedIterator<Item = A>,
{
    type Item = A;
    type Iterator = Steps<A>;

    fn into_resumable(self) -> Steps<A> {
        let mut ends = self;
        match (ends.next(), ends.next_back()) {
            (Some(last), Some(first)) => Steps::over(first, last).reversed(),
            (Some(only), None) => Steps::over(only, only),
            _ => Steps {
                left: None,
                descending: true,
            },
        }
    }
}

impl<A: Step> IntoResumable for Rev<RangeInclusive<A>>
where
    RangeInclusive<A>: DoubleEndedIterator<Item = A>,
{
    type Item = A;
    type Iterator = Steps<A>;

    fn into_resumable(self) -> Steps<A> {
        let mut ends = self;
        match (ends.next(), ends.next_back()) {
            (Some(last), Some(first)) => Steps::over(first, last).reversed(),
            (Some(only), None) => Steps::over(only, only),
            _ => Steps {
                left: None,
                descending: true,
            },
        }
    }
}

/// `start..`: overflows as `std`'s does, with a panic.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StepsFrom<A> {
    next: Option<A>,
}

impl<A: Step> ResumableIterator for StepsFrom<A> {
    type Item = A;

    fn next(&mut self) -> Option<A> {
        let next = self.next.take();
        assert!(
            next.is_some(),
            "a range without an end went past the largest value of its type"
        );
        self.next = next.and_then(Step::up);
        next
    }
}

impl<A: Step> IntoResumable for RangeFrom<A> {
    type Item = A;
    type Iterator = StepsFrom<A>;

    fn into_resumable(self) -> StepsFrom<A> {
        StepsFrom { next: Some(self.start) }
    }
}

/// Items that are all there already and are given one by one; what is left is what is stored.
#[derive(Clone, Debug)]
pub struct Items<T>(std::vec::IntoIter<T>);

impl<T> Items<T> {
    fn of(items: impl Iterator<Item = T>) -> Self {
        Items(items.collect::<Vec<T>>().into_iter())
    }
}

// Each item by its own `Save`, which keeps more than `serde` does.
impl<T: Save> Save for Items<T> {
    fn save(&self, to: &mut Writer) -> Result<(), Unsaved> {
        let items = self.0.as_slice();
        items.len().save(to)?;
        items.iter().try_for_each(|item| item.save(to))
    }

    fn restore(from: &mut Reader<'_>) -> Result<Self, Unsaved> {
        let length = usize::restore(from)?;
        // What is damaged may say any length.
        let mut items = Vec::with_capacity(length.min(from.bytes.len()));
        for _ in 0..length {
            items.push(T::restore(from)?);
        }
        Ok(Items(items.into_iter()))
    }
}

impl<T> ResumableIterator for Items<T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        Iterator::next(&mut self.0)
    }
}

/// What can be collected without a difference that anyone could see: `std`'s collections by value, and adaptors of them.
macro_rules! items {
    ($([$($parameter:tt)*] $collection:ty => $item:ty;)*) => {$(
        impl<$($parameter)*> IntoResumable for $collection {
            type Item = $item;
            type Iterator = Items<$item>;

            fn into_resumable(self) -> Items<$item> {
                Items::of(self.into_iter())
            }
        }
    )*};
}

items! {
    [T] Vec<T> => T;
    [T] Box<[T]> => T;
    [T] VecDeque<T> => T;
    [T] LinkedList<T> => T;
    [T] BinaryHeap<T> => T;
    [T, const N: usize] [T; N] => T;
    [T] Option<T> => T;
    [T, E] Result<T, E> => T;
    [T, S] HashSet<T, S> => T;
    [T] BTreeSet<T> => T;
    [K, V, S] HashMap<K, V, S> => (K, V);
    [K, V] BTreeMap<K, V> => (K, V);
    [T] vec::IntoIter<T> => T;
    [T] Rev<vec::IntoIter<T>> => T;
    [T] Enumerate<vec::IntoIter<T>> => (usize, T);
    [T] Skip<vec::IntoIter<T>> => T;
    [T] Take<vec::IntoIter<T>> => T;
    [A, B] Zip<vec::IntoIter<A>, vec::IntoIter<B>> => (A, B);
    [T] vec::Drain<'_, T> => T;
    [T, const N: usize] array::IntoIter<T, N> => T;
    [T, const N: usize] Rev<array::IntoIter<T, N>> => T;
    [T, const N: usize] Enumerate<array::IntoIter<T, N>> => (usize, T);
    [T] vec_deque::IntoIter<T> => T;
    [T] Rev<vec_deque::IntoIter<T>> => T;
    [T] Enumerate<vec_deque::IntoIter<T>> => (usize, T);
    [K, V] hash_map::IntoIter<K, V> => (K, V);
    [K, V] hash_map::IntoKeys<K, V> => K;
    [K, V] hash_map::IntoValues<K, V> => V;
    [K, V] btree_map::IntoIter<K, V> => (K, V);
    [K, V] Rev<btree_map::IntoIter<K, V>> => (K, V);
    [K, V] Enumerate<btree_map::IntoIter<K, V>> => (usize, (K, V));
    [K, V] btree_map::IntoKeys<K, V> => K;
    [K, V] btree_map::IntoValues<K, V> => V;
    [T] btree_set::IntoIter<T> => T;
    [T] Rev<btree_set::IntoIter<T>> => T;
    [T] Enumerate<btree_set::IntoIter<T>> => (usize, T);
    [T] hash_set::IntoIter<T> => T;
    [T] Chain<vec::IntoIter<T>, vec::IntoIter<T>> => T;
    [T] StepBy<vec::IntoIter<T>> => T;
    [T] Rev<Enumerate<vec::IntoIter<T>>> => (usize, T);
    [T] Enumerate<Rev<vec::IntoIter<T>>> => (usize, T);
    [] Chars<'_> => char;
    [] Rev<Chars<'_>> => char;
    [] Enumerate<Chars<'_>> => (usize, char);
    [] CharIndices<'_> => (usize, char);
    [] Bytes<'_> => u8;
}

/// A range that is gone over in larger steps: the next value, how far it is from one to the next, and how many are left.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Strides<A> {
    next: Option<A>,
    stride: u128,
    left: u64,
}

impl<A: Step> ResumableIterator for Strides<A> {
    type Item = A;

    #[inline]
    fn next(&mut self) -> Option<A> {
        let next = self.next?;
        // A damaged checkpoint may say anything.
        self.left = self.left.saturating_sub(1);
        self.next = (self.left > 0).then(|| next.forward(self.stride));
        Some(next)
    }
}

macro_rules! strides {
    ($($range:ty)*) => {$(
        impl<A: Step> IntoResumable for StepBy<$range>
        where
            StepBy<$range>: Iterator<Item = A>,
        {
            type Item = A;
            type Iterator = Strides<A>;

            fn into_resumable(self) -> Strides<A> {
                let mut ends = self;
                let (first, second) = (ends.next(), ends.next());
                // The hint is exact for integers. More than it can say nobody lives to go over.
                let more = ends.size_hint().0 as u64;
                let known = u64::from(first.is_some()) + u64::from(second.is_some());
                Strides {
                    next: first,
                    stride: first.zip(second).map_or(0, |(first, second)| first.distance(second)),
                    left: more.saturating_add(known),
                }
            }
        }
    )*};
}

strides!(Range<A> RangeInclusive<A>);

/// A range that is being gone over, with the number of each value.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Numbered<A> {
    number: usize,
    steps: Steps<A>,
}

impl<A: Step> ResumableIterator for Numbered<A> {
    type Item = (usize, A);

    #[inline]
    fn next(&mut self) -> Option<(usize, A)> {
        let value = self.steps.next()?;
        let number = self.number;
        // As in `std`, only what nobody lives to go over has more.
        self.number = number.wrapping_add(1);
        Some((number, value))
    }
}

macro_rules! numbered {
    ($($range:ty)*) => {$(
        impl<A: Step> IntoResumable for Enumerate<$range>
        where
            Enumerate<$range>: Iterator<Item = (usize, A)>,
        {
            type Item = (usize, A);
            type Iterator = Numbered<A>;

            fn into_resumable(self) -> Numbered<A> {
                let mut rest = self;
                match rest.next() {
                    Some((number, first)) => Numbered {
                        number,
                        // The hint is exact, as above.
                        steps: Steps::over(first, first.forward(rest.size_hint().0 as u128)),
                    },
                    None => Numbered {
                        number: 0,
                        steps: Steps {
                            left: None,
                            descending: false,
                        },
                    },
                }
            }
        }
    )*};
}

numbered!(Range<A> RangeInclusive<A>);

#[cfg(test)]
mod tests {
    use super::*;

    /// Goes over something, storing and restoring the state before every item.
    fn through<C: IntoResumable<Iterator: Save>>(collection: C) -> Vec<C::Item> {
        let mut iterator = collection.into_resumable();
        let mut items = Vec::new();
        loop {
            let mut writer = crate::continuation::Writer::default();
            iterator.save(&mut writer).unwrap();
            let mut reader = crate::continuation::Reader { bytes: &writer.bytes };
            iterator = Save::restore(&mut reader).unwrap();
            match iterator.next() {
                Some(item) => items.push(item),
                None => return items,
            }
        }
    }

    #[test]
    #[expect(
        clippy::reversed_empty_ranges,
        reason = "a range that is empty because its ends are the wrong way round is a case of its own"
    )]
    fn ranges_give_the_same_as_in_std() {
        assert_eq!(through(0..5), [0, 1, 2, 3, 4]);
        assert_eq!(through(5..5), [0_i32; 0]);
        assert_eq!(through(7..5), [0_i32; 0]);
        assert_eq!(through(i8::MIN..i8::MIN), [0_i8; 0]);
        assert_eq!(through((2..6_u64).rev()), [5, 4, 3, 2]);
        assert_eq!(through((2..3_u64).rev()), [2]);
        assert_eq!(through((2..2_u64).rev()), [0_u64; 0]);
        assert_eq!(through((2..=4_u8).rev()), [4, 3, 2]);
        assert_eq!(through((0..10).step_by(4)), [0, 4, 8]);
        assert_eq!(through((0..=8).step_by(4)), [0, 4, 8]);
        assert_eq!(through((3..4).step_by(9)), [3]);
        assert_eq!(through((3..3).step_by(9)), [0_i32; 0]);
        assert_eq!(through((-100..=100_i8).step_by(100)), [-100, 0, 100]);
        assert_eq!(through((i8::MIN..=i8::MAX).step_by(255)), [i8::MIN, i8::MAX]);
        assert_eq!(through((0..=u64::MAX).step_by(usize::MAX)), [0, u64::MAX]);
    }

    #[test]
    fn ranges_of_characters_and_numbered_ranges_give_the_same_as_in_std() {
        assert_eq!(through('a'..='e'), ['a', 'b', 'c', 'd', 'e']);
        assert_eq!(through('a'..'c'), ['a', 'b']);
        assert_eq!(
            through('\u{d7fe}'..='\u{e001}'),
            ['\u{d7fe}', '\u{d7ff}', '\u{e000}', '\u{e001}']
        );
        assert_eq!(
            through(('\u{d7fe}'..='\u{e001}').rev()),
            ['\u{e001}', '\u{e000}', '\u{d7ff}', '\u{d7fe}']
        );
        assert_eq!(through(('\u{d7fe}'..='\u{e001}').step_by(2)), ['\u{d7fe}', '\u{e000}']);
        assert_eq!(through(char::MAX..=char::MAX), [char::MAX]);
        assert_eq!(through('\0'..'\0'), ['\0'; 0]);
        assert_eq!(through((5..8).enumerate()), [(0, 5), (1, 6), (2, 7)]);
        assert_eq!(through((254..=255_u8).enumerate()), [(0, 254), (1, 255)]);
        assert_eq!(through((5..5).enumerate()), [(0_usize, 0_i32); 0]);
        let mut started = (1..=4).enumerate();
        started.next();
        assert_eq!(through(started), [(1, 2), (2, 3), (3, 4)]);
    }

    #[test]
    fn an_inclusive_range_stays_exhausted_at_the_end_of_its_type() {
        assert_eq!(through(253..=255_u8), [253, 254, 255]);
        assert_eq!(through(0..=0_u8), [0]);
        let mut exhausted = 1..=2;
        exhausted.by_ref().for_each(drop);
        assert_eq!(through(exhausted), [0_i32; 0]);
    }

    #[test]
    fn collections_give_what_they_hold() {
        assert_eq!(through(vec!["a".to_string(), "b".to_string()]), ["a", "b"]);
        assert_eq!(through([1, 2, 3]), [1, 2, 3]);
        assert_eq!(through(Some(4)), [4]);
        assert_eq!(through(BTreeMap::from([(2, 'b'), (1, 'a')])), [(1, 'a'), (2, 'b')]);
        assert_eq!(through("äb".chars()), ['ä', 'b']);
        assert_eq!(through(vec![5, 6].into_iter().enumerate()), [(0, 5), (1, 6)]);
        assert_eq!(through(Ok::<_, String>(4)), [4]);
        assert_eq!(through("ab".bytes()), [b'a', b'b']);
        assert_eq!(through("äb".char_indices()), [(0, 'ä'), (2, 'b')]);
        assert_eq!(through(vec![5, 6].into_iter().rev().enumerate()), [(0, 6), (1, 5)]);
        assert_eq!(through(VecDeque::from([1, 2]).into_iter().rev()), [2, 1]);
        assert_eq!(through(BTreeMap::from([(2, 'b'), (1, 'a')]).into_values()), ['a', 'b']);
        assert_eq!(through(vec![1, 2, 3].drain(1..)), [2, 3]);
    }

    #[test]
    fn a_long_range_in_steps_is_not_collected() {
        let mut steps = (0..u64::MAX).step_by(2).into_resumable();
        assert_eq!((steps.next(), steps.next()), (Some(0), Some(2)));
        let mut writer = crate::continuation::Writer::default();
        steps.save(&mut writer).unwrap();
        assert!(writer.bytes.len() < 64, "{} bytes", writer.bytes.len());
    }
}
