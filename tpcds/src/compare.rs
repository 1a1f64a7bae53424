//! Whether two engines gave the same answer: as SQL defines "same", no stricter and no laxer.
//!
//! * Rows are a *multiset*: a doubled row is a difference, the order of rows that `ORDER BY` leaves open is not.
//! * Rows are cut into *segments* of equal sort keys. Each segment has its place in the result; within it any order is right.
//! * A `LIMIT` may cut through the last segment (an `OFFSET` through the first). Which of its rows are returned is open, but they must be among
//!   that segment's rows in the answer without the limit. [`compare`] then needs that answer, and says so with [`Verdict::TieAtTheEdge`].
//! * Integers, decimals, dates and strings are equal or not. Floating-point numbers may differ by one part in 10⁹, because sums of them
//!   depend on the order of adding; NaN equals NaN, null equals null.
//!
//! Sort keys that are floating-point numbers may thus be swapped where they are nearly equal, so neighbours within the tolerance share a segment.

use datafusion::arrow::array::{Array, ArrayRef, AsArray, RecordBatch, RecordBatchOptions};
use datafusion::arrow::compute::{cast, concat_batches};
use datafusion::arrow::datatypes::{
    DECIMAL128_MAX_PRECISION, DECIMAL256_MAX_PRECISION, DataType, Field, Float64Type, Schema, SchemaRef,
};
use datafusion::arrow::error::ArrowError;
use datafusion::arrow::row::{RowConverter, Rows, SortField};
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};
use std::cmp::Ordering;
use std::collections::HashMap;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

/// Two numbers are equal if they differ by less than this share of the larger one.
const RELATIVE_TOLERANCE: f64 = 1e-9;
/// Sums that cancel out leave a residue that is no share of anything.
const ABSOLUTE_TOLERANCE: f64 = 1e-12;
/// As many rows as a reader will look at.
const ROWS_SHOWN: usize = 5;
/// As many pairs of rows as are looked at one by one.
const MOST_PAIRS: usize = 10_000_000;

/// The right answer, from the engine that is trusted.
#[derive(Clone, Debug)]
pub struct Reference {
    /// The answer's columns, then the sort keys; the rows in order.
    rows: RecordBatch,
    /// How many of the columns are sort keys.
    keys: usize,
    extent: Extent,
}

/// Which part of the ordered rows a [`Reference`] has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// What the query returns. The edges tell whether there may be further rows before the first or after the last.
    Window {
        /// The query has an `OFFSET`.
        skipped: bool,
        /// The query's `LIMIT` was reached.
        limited: bool,
    },
    /// All rows: the query returns `limit` of them after the first `offset`.
    Everything {
        /// Rows that the query passes over.
        offset: usize,
        /// The most rows that the query returns.
        limit: Option<usize>,
    },
}

/// The outcome of a comparison.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The same answer.
    Equal,
    /// The same so far, but a tie at the edge of the answer was broken in another way: compare with [`Extent::Everything`].
    TieAtTheEdge,
    /// Not the same.
    Different(Difference),
}

/// What is not the same: one sentence and a few rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// In a sentence.
    pub summary: String,
    /// Rows that should be there and are not.
    pub missing: Vec<String>,
    /// Rows that should not be there, or not as often.
    pub unexpected: Vec<String>,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.summary)?;
        for (sign, rows) in [('-', &self.missing), ('+', &self.unexpected)] {
            for row in rows.iter().take(ROWS_SHOWN) {
                write!(f, "\n  {sign} {row}")?;
            }
            if rows.len() > ROWS_SHOWN {
                write!(f, "\n  {sign} ... and {} more", rows.len() - ROWS_SHOWN)?;
            }
        }
        Ok(())
    }
}

impl Reference {
    /// `batches` hold the answer's columns followed by `keys` columns with the sort keys, in the order of the keys.
    pub fn new(schema: &SchemaRef, batches: &[RecordBatch], keys: usize, extent: Extent) -> Result<Self, ArrowError> {
        Ok(Reference {
            rows: plain(schema, batches)?,
            keys,
            extent,
        })
    }

    fn columns(&self) -> usize {
        self.rows.num_columns() - self.keys
    }
}

/// Compares the rows of `actual` with the right answer. The names of columns are not looked at.
pub fn compare(schema: &SchemaRef, actual: &[RecordBatch], reference: &Reference) -> Result<Verdict, ArrowError> {
    let actual = plain(schema, actual)?;
    if let Some(difference) = compare_types(&actual, reference) {
        return Ok(Verdict::Different(difference));
    }
    let columns = reference.columns();
    let answer = &reference.rows.columns()[..columns];
    let both = Both::new(actual.columns(), answer, actual.num_rows(), reference.rows.num_rows())?;

    let available = reference.rows.num_rows();
    let (offset, limit) = match reference.extent {
        Extent::Window { .. } => (0, None),
        Extent::Everything { offset, limit } => (offset.min(available), limit),
    };
    let expected = (available - offset).min(limit.unwrap_or(usize::MAX));
    if actual.num_rows() != expected {
        let summary = format!("{} rows instead of {expected}", actual.num_rows());
        let (unexpected, missing) = both.unmatched(0..actual.num_rows(), offset..offset + expected);
        return Ok(Verdict::Different(both.describe(
            summary,
            &actual,
            reference,
            &unexpected,
            &missing,
        )));
    }

    let segments = segments(&reference.rows, columns)?;
    let mut tie = false;
    for segment in segments {
        let inside = segment.start.max(offset)..segment.end.min(offset + expected);
        if inside.is_empty() {
            continue;
        }
        let (unexpected, missing) = both.unmatched(inside.start - offset..inside.end - offset, segment.clone());
        let all_there = missing.is_empty() || inside.len() < segment.len();
        if unexpected.is_empty() && all_there {
            continue;
        }
        let may_go_on = matches!(reference.extent, Extent::Window { skipped, limited }
            if (skipped && segment.start == 0) || (limited && segment.end == available));
        if may_go_on {
            tie = true;
            continue;
        }
        let rows = describe_range(&inside, offset);
        let whole = both.unmatched(0..expected, 0..available);
        let only_misplaced = whole.0.is_empty();
        let summary = match only_misplaced {
            true => format!("the right rows in the wrong order: {rows} should be others"),
            false => format!("wrong rows: {rows}"),
        };
        return Ok(Verdict::Different(both.describe(
            summary,
            &actual,
            reference,
            &unexpected,
            &missing,
        )));
    }
    Ok(if tie { Verdict::TieAtTheEdge } else { Verdict::Equal })
}

fn describe_range(inside: &Range<usize>, offset: usize) -> String {
    let (first, last) = (inside.start - offset + 1, inside.end - offset);
    if first == last {
        format!("row {first}")
    } else {
        format!("among rows {first} to {last}")
    }
}

fn compare_types(actual: &RecordBatch, reference: &Reference) -> Option<Difference> {
    let types =
        |fields: &[Arc<Field>]| -> Vec<String> { fields.iter().map(|field| field.data_type().to_string()).collect() };
    let got = types(actual.schema().fields());
    let wanted = types(&reference.rows.schema().fields()[..reference.columns()]);
    let summary = match got == wanted {
        true => return None,
        false if got.len() != wanted.len() => format!("{} columns instead of {}", got.len(), wanted.len()),
        false => {
            let column = got
                .iter()
                .zip(&wanted)
                .position(|(got, wanted)| got != wanted)
                .unwrap_or_default();
            format!("column {} is {} instead of {}", column + 1, got[column], wanted[column])
        }
    };
    Some(Difference {
        summary,
        missing: Vec::new(),
        unexpected: Vec::new(),
    })
}

/// One batch, in which equal values have equal types: how wide a string's offsets or a decimal's digits are in memory differs from engine to
/// engine (and, in some plans, from what the engine itself announced), and is not part of the answer.
fn plain(schema: &SchemaRef, batches: &[RecordBatch]) -> Result<RecordBatch, ArrowError> {
    let actual = batches.first().map_or_else(|| Arc::clone(schema), RecordBatch::schema);
    let plain_field = |field: &Arc<Field>| Field::new(field.name(), plain_type(field.data_type()), true);
    let plain_schema = Arc::new(Schema::new(actual.fields().iter().map(plain_field).collect::<Vec<_>>()));
    let convert = |batch: &RecordBatch| {
        let columns = batch
            .columns()
            .iter()
            .map(|column| cast(column, &plain_type(column.data_type())));
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        RecordBatch::try_new_with_options(Arc::clone(&plain_schema), columns.collect::<Result<_, _>>()?, &options)
    };
    let batches: Vec<_> = batches.iter().map(convert).collect::<Result<_, _>>()?;
    concat_batches(&plain_schema, &batches)
}

fn plain_type(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Utf8View | DataType::LargeUtf8 => DataType::Utf8,
        DataType::BinaryView | DataType::LargeBinary => DataType::Binary,
        DataType::Dictionary(_, values) => plain_type(values),
        DataType::Float16 | DataType::Float32 => DataType::Float64,
        DataType::Decimal32(_, scale) | DataType::Decimal64(_, scale) | DataType::Decimal128(_, scale) => {
            DataType::Decimal128(DECIMAL128_MAX_PRECISION, *scale)
        }
        DataType::Decimal256(_, scale) => DataType::Decimal256(DECIMAL256_MAX_PRECISION, *scale),
        other => other.clone(),
    }
}

/// Columns in a form in which rows can be compared: those that are equal or not as bytes, the others as numbers.
struct Comparable {
    exact: Option<Rows>,
    floats: Vec<Vec<Option<f64>>>,
}

impl Comparable {
    fn exact(&self, row: usize) -> &[u8] {
        self.exact.as_ref().map_or(&[], |rows| rows.row(row).data())
    }
}

/// Makes [`Comparable`]s that can be compared with one another: all columns given must have the same types.
struct Converter {
    rows: Option<RowConverter>,
    is_float: Vec<bool>,
}

impl Converter {
    fn new(types: &[DataType]) -> Result<Self, ArrowError> {
        let is_float: Vec<_> = types.iter().map(|data_type| data_type.is_floating()).collect();
        let exact: Vec<_> = types
            .iter()
            .filter(|data_type| !data_type.is_floating())
            .cloned()
            .map(SortField::new)
            .collect();
        let rows = if exact.is_empty() {
            None
        } else {
            Some(RowConverter::new(exact)?)
        };
        Ok(Converter { rows, is_float })
    }

    fn convert(&self, columns: &[ArrayRef]) -> Result<Comparable, ArrowError> {
        let (mut exact, mut floats) = (Vec::new(), Vec::new());
        for (column, is_float) in columns.iter().zip(&self.is_float) {
            match is_float {
                true => floats.push(column.as_primitive::<Float64Type>().iter().collect()),
                false => exact.push(Arc::clone(column)),
            }
        }
        let exact = self
            .rows
            .as_ref()
            .map(|rows| rows.convert_columns(&exact))
            .transpose()?;
        Ok(Comparable { exact, floats })
    }
}

fn close(left: Option<f64>, right: Option<f64>) -> bool {
    match (left, right) {
        (None, None) => true,
        (Some(left), Some(right)) => {
            let tolerance = ABSOLUTE_TOLERANCE.max(RELATIVE_TOLERANCE * left.abs().max(right.abs()));
            left == right
                || (left.is_nan() && right.is_nan())
                || (tolerance.is_finite() && (left - right).abs() <= tolerance)
        }
        _ => false,
    }
}

/// Cuts the reference's rows where a sort key changes.
fn segments(rows: &RecordBatch, columns: usize) -> Result<Vec<Range<usize>>, ArrowError> {
    let keys = &rows.columns()[columns..];
    let types: Vec<_> = keys.iter().map(|key| key.data_type().clone()).collect();
    let keys = Converter::new(&types)?.convert(keys)?;
    let is_tie = |row: usize| {
        keys.exact(row - 1) == keys.exact(row) && keys.floats.iter().all(|column| close(column[row - 1], column[row]))
    };
    let mut segments = Vec::new();
    let mut start = 0;
    for row in 1..=rows.num_rows() {
        if row == rows.num_rows() || !is_tie(row) {
            segments.push(start..row);
            start = row;
        }
    }
    Ok(segments)
}

/// The rows of both answers, in a form in which they can be matched.
struct Both {
    actual: Comparable,
    reference: Comparable,
}

impl Both {
    fn new(
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
    fn unmatched(&self, actual: Range<usize>, reference: Range<usize>) -> (Vec<usize>, Vec<usize>) {
        let mut groups: HashMap<&[u8], (Vec<usize>, Vec<usize>)> = HashMap::new();
        for row in actual {
            groups.entry(self.actual.exact(row)).or_default().0.push(row);
        }
        for row in reference {
            groups.entry(self.reference.exact(row)).or_default().1.push(row);
        }
        let (mut unexpected, mut missing) = (Vec::new(), Vec::new());
        for (actual, reference) in groups.into_values() {
            let (left_actual, left_reference) = self.unmatched_in_group(actual, reference);
            unexpected.extend(left_actual);
            missing.extend(left_reference);
        }
        unexpected.sort_unstable();
        missing.sort_unstable();
        (unexpected, missing)
    }

    /// The same for rows that are equal but for their floating-point numbers.
    fn unmatched_in_group(&self, mut actual: Vec<usize>, mut reference: Vec<usize>) -> (Vec<usize>, Vec<usize>) {
        if self.reference.floats.is_empty() {
            let pairs = actual.len().min(reference.len());
            return (actual.split_off(pairs), reference.split_off(pairs));
        }
        sort_by_floats(&mut actual, &self.actual.floats);
        sort_by_floats(&mut reference, &self.reference.floats);
        let in_order = actual
            .iter()
            .zip(&reference)
            .all(|(actual, reference)| self.close_rows(*actual, *reference));
        if in_order && actual.len() == reference.len() {
            return (Vec::new(), Vec::new());
        }
        if actual.len().saturating_mul(reference.len()) > MOST_PAIRS {
            return self.unmatched_in_order(&actual, &reference);
        }
        Matching::of(&actual, &reference, &|actual, reference| {
            self.close_rows(actual, reference)
        })
    }

    /// Merges two sorted groups: an approximation for groups that are too large to look at every pair.
    fn unmatched_in_order(&self, actual: &[usize], reference: &[usize]) -> (Vec<usize>, Vec<usize>) {
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
        (unexpected, missing)
    }

    fn close_rows(&self, actual: usize, reference: usize) -> bool {
        self.actual
            .floats
            .iter()
            .zip(&self.reference.floats)
            .all(|(left, right)| close(left[actual], right[reference]))
    }

    fn describe(
        &self,
        summary: String,
        actual: &RecordBatch,
        reference: &Reference,
        unexpected: &[usize],
        missing: &[usize],
    ) -> Difference {
        Difference {
            summary,
            missing: print_rows(&reference.rows, reference.columns(), missing),
            unexpected: print_rows(actual, actual.num_columns(), unexpected),
        }
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

fn print_rows(batch: &RecordBatch, columns: usize, rows: &[usize]) -> Vec<String> {
    let options = FormatOptions::new().with_null("null").with_display_error(true);
    let formatters: Result<Vec<_>, _> = batch.columns()[..columns]
        .iter()
        .map(|column| ArrayFormatter::try_new(column.as_ref(), &options))
        .collect();
    let print = |row: &usize| match &formatters {
        Ok(formatters) => formatters
            .iter()
            .map(|column| column.value(*row).to_string())
            .collect::<Vec<_>>()
            .join(" | "),
        Err(error) => format!("row {} (cannot be shown: {error})", row + 1),
    };
    rows.iter().map(print).collect()
}

/// A largest set of pairs (Kuhn's algorithm): the closeness of floating-point numbers is not transitive, so first come, first served would
/// refuse answers that are right.
struct Matching<'a> {
    actual: &'a [usize],
    reference: &'a [usize],
    is_close: &'a dyn Fn(usize, usize) -> bool,
    /// For each reference row, the actual row it is paired with.
    partner: Vec<Option<usize>>,
}

impl<'a> Matching<'a> {
    /// Returns the rows without a partner.
    fn of(
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
        for row in 0..actual.len() {
            if !matching.find_partner(row) {
                lonely.push(actual[row]);
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

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::arrow::array::{Decimal128Array, Float64Array, Int32Array, StringArray, StringViewArray};

    const EXACT: Extent = Extent::Window {
        skipped: false,
        limited: false,
    };
    const LIMITED: Extent = Extent::Window {
        skipped: false,
        limited: true,
    };

    fn batch(columns: Vec<ArrayRef>) -> RecordBatch {
        let named = columns
            .into_iter()
            .enumerate()
            .map(|(index, column)| (format!("c{index}"), column));
        RecordBatch::try_from_iter_with_nullable(named.map(|(name, column)| (name, column, true))).unwrap()
    }

    fn ints(values: &[i32]) -> ArrayRef {
        Arc::new(Int32Array::from(values.to_vec()))
    }

    fn floats(values: &[f64]) -> ArrayRef {
        Arc::new(Float64Array::from(values.to_vec()))
    }

    fn decimals(values: &[i128]) -> ArrayRef {
        Arc::new(
            Decimal128Array::from(values.to_vec())
                .with_precision_and_scale(7, 2)
                .unwrap(),
        )
    }

    /// Compares answers whose reference has its first columns as the answer and `keys` further ones as sort keys.
    fn verdict(actual: Vec<ArrayRef>, reference: Vec<ArrayRef>, keys: usize, extent: Extent) -> Verdict {
        let (actual, reference) = (batch(actual), batch(reference));
        let reference = Reference::new(&reference.schema(), &[reference], keys, extent).unwrap();
        compare(&actual.schema(), &[actual], &reference).unwrap()
    }

    fn difference(verdict: Verdict) -> Difference {
        match verdict {
            Verdict::Different(difference) => difference,
            other => panic!("expected a difference, got {other:?}"),
        }
    }

    #[test]
    fn q22_without_order_by_the_order_of_rows_is_free() {
        assert_eq!(
            verdict(vec![ints(&[3, 1, 2, 1])], vec![ints(&[1, 1, 2, 3])], 0, EXACT),
            Verdict::Equal
        );
        assert_eq!(verdict(vec![ints(&[])], vec![ints(&[])], 0, EXACT), Verdict::Equal);
    }

    #[test]
    fn q22_a_doubled_row_is_found_even_if_the_count_is_right() {
        let found = difference(verdict(vec![ints(&[1, 2, 2])], vec![ints(&[1, 2])], 0, EXACT));
        assert_eq!(found.summary, "3 rows instead of 2");
        assert_eq!((found.missing.len(), found.unexpected), (0, vec!["2".to_owned()]));

        let found = difference(verdict(vec![ints(&[1, 1, 3])], vec![ints(&[1, 2, 3])], 0, EXACT));
        assert_eq!(
            (found.missing, found.unexpected),
            (vec!["2".to_owned()], vec!["1".to_owned()])
        );
    }

    #[test]
    fn q22_a_missing_row_is_found() {
        let found = difference(verdict(vec![ints(&[1, 3])], vec![ints(&[1, 2, 3])], 0, EXACT));
        assert_eq!(found.to_string(), "2 rows instead of 3\n  - 2");
    }

    #[test]
    fn q22_a_decimal_that_is_off_by_its_last_digit_is_wrong() {
        let right = vec![ints(&[1, 2]), decimals(&[1234, 99_999])];
        assert_eq!(verdict(right.clone(), right.clone(), 0, EXACT), Verdict::Equal);
        let wrong = difference(verdict(vec![ints(&[1, 2]), decimals(&[1234, 99_998])], right, 0, EXACT));
        assert_eq!(
            (wrong.missing, wrong.unexpected),
            (vec!["2 | 999.99".to_owned()], vec!["2 | 999.98".to_owned()])
        );
    }

    #[test]
    fn q22_rows_with_different_keys_must_be_in_order_and_ties_may_be_in_any() {
        let names = |values: &[&str]| -> ArrayRef { Arc::new(StringArray::from(values.to_vec())) };
        let keys = ints(&[1, 1, 2, 3]);
        let reference = || vec![names(&["a", "b", "c", "d"]), Arc::clone(&keys)];
        assert_eq!(
            verdict(vec![names(&["b", "a", "c", "d"])], reference(), 1, EXACT),
            Verdict::Equal
        );
        let wrong = difference(verdict(vec![names(&["a", "b", "d", "c"])], reference(), 1, EXACT));
        assert_eq!(
            wrong.summary,
            "the right rows in the wrong order: row 3 should be others"
        );
    }

    #[test]
    fn q22_a_tie_at_the_limit_is_settled_by_the_full_answer() {
        // select name .. order by key limit 3, where b, c and d tie for the last two places
        let names = |values: &[&str]| -> ArrayRef { Arc::new(StringArray::from(values.to_vec())) };
        let limited = || vec![names(&["a", "b", "c"]), ints(&[1, 2, 2])];
        let full = || vec![names(&["a", "b", "c", "d", "e"]), ints(&[1, 2, 2, 2, 3])];
        let everything = Extent::Everything {
            offset: 0,
            limit: Some(3),
        };

        let other_tail = || vec![names(&["a", "d", "b"])];
        assert_eq!(verdict(other_tail(), limited(), 1, LIMITED), Verdict::TieAtTheEdge);
        assert_eq!(verdict(other_tail(), full(), 1, everything), Verdict::Equal);
        for wrong in [["a", "d", "d"], ["a", "b", "e"], ["b", "c", "d"]] {
            difference(verdict(vec![names(&wrong)], full(), 1, everything));
        }
        // A wrong row before the tie needs no full answer.
        difference(verdict(vec![names(&["x", "b", "c"])], limited(), 1, LIMITED));
        // If the limit was not reached, there is nothing beyond the edge.
        difference(verdict(other_tail(), limited(), 1, EXACT));
        difference(verdict(vec![names(&["a", "b"])], full(), 1, everything));
    }

    #[test]
    fn q22_an_offset_into_a_tie_is_settled_by_the_full_answer_too() {
        let everything = Extent::Everything {
            offset: 1,
            limit: Some(2),
        };
        let full = || vec![ints(&[10, 11, 12, 13]), ints(&[1, 1, 2, 3])];
        assert_eq!(verdict(vec![ints(&[10, 12])], full(), 1, everything), Verdict::Equal);
        assert_eq!(verdict(vec![ints(&[11, 12])], full(), 1, everything), Verdict::Equal);
        difference(verdict(vec![ints(&[12, 10])], full(), 1, everything));
        difference(verdict(vec![ints(&[10, 11])], full(), 1, everything));
        let window = Extent::Window {
            skipped: true,
            limited: false,
        };
        assert_eq!(
            verdict(vec![ints(&[10, 12])], vec![ints(&[11, 12]), ints(&[1, 2])], 1, window),
            Verdict::TieAtTheEdge
        );
    }

    #[test]
    fn floats_may_differ_by_rounding_and_by_no_more() {
        let third = 1.0 / 3.0;
        let rounded = third * (1.0 + 4e-10);
        assert_eq!(
            verdict(vec![floats(&[rounded, 7e20])], vec![floats(&[7e20, third])], 0, EXACT),
            Verdict::Equal
        );
        difference(verdict(
            vec![floats(&[third * (1.0 + 3e-9)])],
            vec![floats(&[third])],
            0,
            EXACT,
        ));
        assert_eq!(
            verdict(
                vec![floats(&[f64::NAN, -0.0])],
                vec![floats(&[0.0, f64::NAN])],
                0,
                EXACT
            ),
            Verdict::Equal
        );
        difference(verdict(vec![floats(&[f64::NAN])], vec![floats(&[1.0])], 0, EXACT));
        difference(verdict(
            vec![floats(&[f64::INFINITY])],
            vec![floats(&[1e308])],
            0,
            EXACT,
        ));
        assert_eq!(
            verdict(vec![floats(&[f64::INFINITY])], vec![floats(&[f64::INFINITY])], 0, EXACT),
            Verdict::Equal
        );
    }

    #[test]
    fn floats_that_swapped_places_by_rounding_are_matched_and_doubled_ones_are_found() {
        // Sorted by the first column the second ones do not line up; a pairing exists all the same.
        let (low, high) = (1.0, 1.0 + 2e-10);
        let actual = vec![floats(&[low, high]), floats(&[5.0, 6.0])];
        assert_eq!(
            verdict(actual, vec![floats(&[low, high]), floats(&[6.0, 5.0])], 0, EXACT),
            Verdict::Equal
        );
        difference(verdict(
            vec![floats(&[1.0, 1.0, 2.0])],
            vec![floats(&[1.0, 2.0, 2.0])],
            0,
            EXACT,
        ));
        // Nearly equal keys may come in either order.
        let reference = vec![ints(&[1, 2]), floats(&[low, high])];
        assert_eq!(verdict(vec![ints(&[2, 1])], reference, 1, EXACT), Verdict::Equal);
    }

    #[test]
    fn the_matching_rearranges_earlier_pairs() {
        // 0 fits a and b, 1 fits a only, 2 fits b and c: first come, first served would leave 1 alone.
        let fits = [(0, 0), (0, 1), (1, 0), (2, 1), (2, 2)];
        let is_close = |actual: usize, reference: usize| fits.contains(&(actual, reference));
        for order in [[0, 1, 2], [2, 0, 1], [1, 2, 0], [2, 1, 0], [0, 2, 1], [1, 0, 2]] {
            assert_eq!(
                Matching::of(&order, &[0, 1, 2], &is_close),
                (vec![], vec![]),
                "{order:?}"
            );
        }
        let (lonely, missing) = Matching::of(&[1, 1], &[0, 2], &is_close);
        assert_eq!((lonely, missing), (vec![1], vec![2]));
    }

    #[test]
    fn nulls_equal_nulls_and_nothing_else() {
        let some: ArrayRef = Arc::new(Int32Array::from(vec![Some(0), None]));
        assert_eq!(
            verdict(vec![Arc::clone(&some)], vec![Arc::clone(&some)], 0, EXACT),
            Verdict::Equal
        );
        let wrong = difference(verdict(vec![ints(&[0, 0])], vec![some], 0, EXACT));
        assert_eq!(
            (wrong.missing, wrong.unexpected),
            (vec!["null".to_owned()], vec!["0".to_owned()])
        );
    }

    #[test]
    fn strings_are_the_same_however_they_are_held_and_other_types_are_not() {
        let views: ArrayRef = Arc::new(StringViewArray::from(vec!["a", "b"]));
        let plain: ArrayRef = Arc::new(StringArray::from(vec!["a", "b"]));
        assert_eq!(verdict(vec![views], vec![Arc::clone(&plain)], 0, EXACT), Verdict::Equal);
        let wrong = difference(verdict(vec![ints(&[1, 2])], vec![plain.clone()], 0, EXACT));
        assert_eq!(wrong.summary, "column 1 is Int32 instead of Utf8");
        let wrong = difference(verdict(vec![ints(&[1, 2]), plain.clone()], vec![plain], 0, EXACT));
        assert_eq!(wrong.summary, "2 columns instead of 1");
    }

    #[test]
    fn the_width_of_a_decimal_is_not_part_of_the_answer_but_its_scale_is() {
        let decimal = |value, precision, scale| -> ArrayRef {
            Arc::new(
                Decimal128Array::from(vec![value])
                    .with_precision_and_scale(precision, scale)
                    .unwrap(),
            )
        };
        assert_eq!(
            verdict(vec![decimal(150, 27, 2)], vec![decimal(150, 17, 2)], 0, EXACT),
            Verdict::Equal
        );
        difference(verdict(vec![decimal(150, 17, 3)], vec![decimal(150, 17, 2)], 0, EXACT));
    }

    #[test]
    fn batches_whose_types_differ_from_the_announced_ones_are_compared_all_the_same() {
        let announced = Arc::new(Schema::new(vec![Field::new("c0", DataType::Decimal128(17, 2), true)]));
        let rows = batch(vec![decimals(&[1, 2])]);
        let reference = Reference::new(&announced, &[rows.clone()], 0, EXACT).unwrap();
        assert_eq!(compare(&announced, &[rows], &reference).unwrap(), Verdict::Equal);
    }

    #[test]
    fn long_differences_are_cut_short() {
        let wrong = difference(verdict(
            vec![ints(&[])],
            vec![ints(&(0..100).collect::<Vec<_>>())],
            0,
            EXACT,
        ));
        assert!(wrong.to_string().ends_with("\n  - 4\n  - ... and 95 more"), "{wrong}");
    }
}
