//! Chance, by the seed.

use parking_lot::Mutex;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use std::ops::Range;

/// Dice that all parts of a simulation throw in turn. On one thread the order of throws is always the same, and so are the throws.
pub(crate) struct Dice(Mutex<SmallRng>);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Dice(Mutex::new(SmallRng::seed_from_u64(seed)))
    }

    /// True with this chance.
    pub(crate) fn chance(&self, chance: f64) -> bool {
        chance > 0.0 && self.0.lock().random_bool(chance.min(1.0))
    }

    /// One of the numbers.
    pub(crate) fn number(&self, range: Range<u64>) -> u64 {
        self.0.lock().random_range(range)
    }

    /// One of these.
    pub(crate) fn one<T: Copy>(&self, choices: &[T]) -> T {
        choices[self.number(0..choices.len() as u64) as usize]
    }

    /// Microseconds of a hand-over: mostly a little, now and then much more, so that everybody is overtaken sometimes.
    pub(crate) fn delay(&self) -> u64 {
        let mut random = self.0.lock();
        match random.random_range(0..16) {
            0..=5 => 0,
            6..=12 => random.random_range(1..200),
            13..=14 => random.random_range(200..3000),
            _ => random.random_range(3000..30_000),
        }
    }
}
