//! What goes wrong, how often, and a record of where it did.

use super::dice::Dice;
use std::collections::BTreeSet;

/// A kind of misfortune. Each seed has its own mixture of them: some kinds often, some never.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// An invocation ends before its time.
    Death,
    /// An invocation that was given up goes on.
    Zombie,
    /// A message is lost, late or doubled.
    Message,
    /// The store cannot put or get.
    Store,
    /// The store cannot delete.
    Deletion,
    /// The coordinator dies.
    Coordinator,
}

const CLASSES: usize = 6;

/// What goes wrong in one simulation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Profile {
    /// The chance at each place where a misfortune of the class could happen.
    rates: [f64; CLASSES],
    /// So many in all; then the rest of the program runs in peace.
    pub(crate) most: u64,
}

impl Profile {
    /// Nothing goes wrong.
    pub(crate) const CALM: Profile = Profile {
        rates: [0.0; CLASSES],
        most: 0,
    };

    pub(crate) fn random(dice: &Dice) -> Self {
        if dice.chance(0.05) {
            return Profile::CALM;
        }
        let mut rates = [0.0; CLASSES];
        for (class, rate) in rates.iter_mut().enumerate() {
            // Places where the coordinator could die are many more than the others, and many invocations end before their fate comes.
            let scale = match class {
                _ if class == Class::Coordinator as usize => 0.3,
                _ if class == Class::Death as usize => 2.0,
                _ => 1.0,
            };
            *rate = scale * dice.one(&[0.0, 0.01, 0.03, 0.1, 0.25]);
        }
        Profile {
            rates,
            most: dice.one(&[1, 3, 10, 40, 40, 150]),
        }
    }

    pub(crate) fn rate(&self, class: Class) -> f64 {
        self.rates[class as usize]
    }
}

/// A time during which the store is away, in virtual microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Outage {
    pub(crate) from: u64,
    pub(crate) until: u64,
    /// It does not refuse, but answers nobody.
    pub(crate) is_silent: bool,
}

impl Outage {
    /// From a second, which any invocation survives, to longer than anybody waits.
    pub(crate) fn random(dice: &Dice) -> Option<Self> {
        dice.chance(0.25).then(|| {
            let from = dice.number(0..200_000);
            Outage {
                from,
                until: from + dice.one(&[1_000_000, 10_000_000, 400_000_000]),
                is_silent: dice.chance(0.3),
            }
        })
    }
}

/// What has gone wrong so far.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    pub(crate) faults: u64,
    /// Distinct places and what happened there.
    pub(crate) points: BTreeSet<(String, &'static str)>,
}
