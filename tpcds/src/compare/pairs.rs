//! Pairing off the rows of two answers, each with one other at most.

use super::values::{Comparable, Converter, close};
use datafusion::arrow::array::ArrayRef;
use datafusion::arrow::error::ArrowError;
use std::cmp::Ordering;
use std::collections::HashMap;
use std::ops::Range;

/// As many pairs of rows as are looked at one by one: to find the best pairing of 300 rows with 300 others takes a
/// moment, of 3000 with 3000 it can take minutes.
const MOST_PAIRS: usize = 100_000;

/// What finds no partner when rows are paired off.
pub(super) struct Unmatched {
    /// Rows of the answer.
    pub(super) unexpected: Vec<usize>,
    /// Rows of the reference.
    pub(super) missing: Vec<usize>,
    /// There were too many rows to try all pairings, and among those that were not tried there may be a better one.
    pub(super) is_approximate: bool,
}

/// The rows of both answers, in a form in which they can be matched.
pub(super) struct Both {
    actual: Comparable,
    reference: Comparable,
}

impl Both {
    pub(super) fn new(
        actual: &[ArrayRef],
        reference: &[ArrayRef],
        actual_rows: usize,
        reference_rows: usize,
    ) -> Result<Self, ArrowError> {
        let types: Vec<_> = reference.iter().map(|column| column.data_type().clone()).collect();
        let converter = Converter::new(&types)?;
        let both = Both {
            actual: converter.convert(actual)?,
            reference: converter.convert(reference)?,
        };
        debug_assert!(
            both.actual
                .exact
                .as_ref()
                .is_none_or(|rows| rows.num_rows() == actual_rows)
        );
        debug_assert!(
            both.reference
                .exact
                .as_ref()
                .is_none_or(|rows| rows.num_rows() == reference_rows)
        );
        Ok(both)
    }

    /// Pairs off equal rows, each with one other at most, and returns what is left over on either side.
    pub(super) fn unmatched(&self, actual: Range<usize>, reference: Range<usize>) -> Unmatched {
        let mut groups: HashMap<&[u8], (Vec<usize>, Vec<usize>)> = HashMap::new();
        for row in actual {
            groups.entry(self.actual.exact(row)).or_default().0.push(row);
        }
        for row in reference {
            groups.entry(self.reference.exact(row)).or_default().1.push(row);
        }
        let mut all = Unmatched {
            unexpected: Vec::new(),
            missing: Vec::new(),
            is_approximate: false,
        };
        for (actual, reference) in groups.into_values() {
            let of_group = self.unmatched_in_group(actual, reference);
            all.unexpected.extend(of_group.unexpected);
            all.missing.extend(of_group.missing);
            all.is_approximate |= of_group.is_approximate;
        }
        all.unexpected.sort_unstable();
        all.missing.sort_unstable();
        all
    }

    /// The same for rows that are equal but for their floating-point numbers.
    fn unmatched_in_group(&self, mut actual: Vec<usize>, mut reference: Vec<usize>) -> Unmatched {
        let exactly = |(unexpected, missing)| Unmatched {
            unexpected,
            missing,
            is_approximate: false,
        };
        if self.reference.floats.is_empty() {
            let pairs = actual.len().min(reference.len());
            return exactly((actual.split_off(pairs), reference.split_off(pairs)));
        }
        sort_by_floats(&mut actual, &self.actual.floats);
        sort_by_floats(&mut reference, &self.reference.floats);
        let in_order = actual
            .iter()
            .zip(&reference)
            .all(|(actual, reference)| self.close_rows(*actual, *reference));
        if in_order && actual.len() == reference.len() {
            return exactly((Vec::new(), Vec::new()));
        }
        if actual.len().saturating_mul(reference.len()) > MOST_PAIRS {
            return self.unmatched_in_order(&actual, &reference);
        }
        exactly(Matching::of(&actual, &reference, &|actual, reference| {
            self.close_rows(actual, reference)
        }))
    }

    /// Merges two sorted groups: an approximation for groups that are too large to look at every pair.
    fn unmatched_in_order(&self, actual: &[usize], reference: &[usize]) -> Unmatched {
        let (mut unexpected, mut missing) = (Vec::new(), Vec::new());
        let (mut left, mut right) = (actual.iter().peekable(), reference.iter().peekable());
        while let (Some(&&actual), Some(&&reference)) = (left.peek(), right.peek()) {
            if self.close_rows(actual, reference) {
                left.next();
                right.next();
            } else if compare_floats((&self.actual.floats, actual), (&self.reference.floats, reference)).is_lt() {
                unexpected.extend(left.next());
            } else {
                missing.extend(right.next());
            }
        }
        unexpected.extend(left);
        missing.extend(right);
        Unmatched {
            // No pairing is better than one that leaves nothing over on one side.
            is_approximate: !unexpected.is_empty() && !missing.is_empty(),
            unexpected,
            missing,
        }
    }

    fn close_rows(&self, actual: usize, reference: usize) -> bool {
        self.actual
            .floats
            .iter()
            .zip(&self.reference.floats)
            .all(|(left, right)| close(left[actual], right[reference]))
    }
}

fn sort_by_floats(rows: &mut [usize], columns: &[Vec<Option<f64>>]) {
    rows.sort_by(|&left, &right| compare_floats((columns, left), (columns, right)));
}

fn compare_floats(left: (&[Vec<Option<f64>>], usize), right: (&[Vec<Option<f64>>], usize)) -> Ordering {
    let by_column = left.0.iter().zip(right.0).map(|(left_column, right_column)| {
        match (left_column[left.1], right_column[right.1]) {
            (Some(left), Some(right)) => left.total_cmp(&right),
            (left, right) => left.is_some().cmp(&right.is_some()),
        }
    });
    by_column.fold(Ordering::Equal, Ordering::then)
}

/// A largest set of pairs (Kuhn's algorithm): the closeness of floating-point numbers is not transitive, so first come, first served would
/// refuse answers that are right.
pub(super) struct Matching<'a> {
    actual: &'a [usize],
    reference: &'a [usize],
    is_close: &'a dyn Fn(usize, usize) -> bool,
    /// For each reference row, the actual row it is paired with.
    partner: Vec<Option<usize>>,
}

impl<'a> Matching<'a> {
    /// Returns the rows without a partner.
    pub(super) fn of(
        actual: &'a [usize],
        reference: &'a [usize],
        is_close: &'a dyn Fn(usize, usize) -> bool,
    ) -> (Vec<usize>, Vec<usize>) {
        let mut matching = Matching {
            actual,
            reference,
            is_close,
            partner: vec![None; reference.len()],
        };
        let mut lonely = Vec::new();
        for (position, row) in actual.iter().enumerate() {
            if !matching.find_partner(position) {
                lonely.push(*row);
            }
        }
        let missing = matching
            .partner
            .iter()
            .zip(reference)
            .filter(|(partner, _)| partner.is_none());
        (lonely, missing.map(|(_, row)| *row).collect())
    }

    /// Pairs off one more row, rearranging earlier pairs along an alternating path if need be.
    fn find_partner(&mut self, row: usize) -> bool {
        let mut came_from: Vec<Option<usize>> = vec![None; self.reference.len()];
        let mut seen = vec![false; self.reference.len()];
        let mut open = vec![row];
        while let Some(actual) = open.pop() {
            for reference in 0..self.reference.len() {
                if seen[reference] || !(self.is_close)(self.actual[actual], self.reference[reference]) {
                    continue;
                }
                seen[reference] = true;
                came_from[reference] = Some(actual);
                match self.partner[reference] {
                    Some(taken_by) => open.push(taken_by),
                    None => {
                        self.rearrange(reference, row, &came_from);
                        return true;
                    }
                }
            }
        }
        false
    }

    /// Walks back from a free reference row to `row`, handing every reference row on the way to the row that reached it.
    fn rearrange(&mut self, free: usize, row: usize, came_from: &[Option<usize>]) {
        let mut reference = free;
        while let Some(actual) = came_from[reference] {
            let given_up = self.partner.iter().position(|partner| *partner == Some(actual));
            self.partner[reference] = Some(actual);
            match given_up {
                Some(previous) if actual != row => reference = previous,
                _ => return,
            }
        }
    }
}
