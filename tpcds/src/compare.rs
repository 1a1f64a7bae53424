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

mod pairs;
#[cfg(test)]
mod tests;
mod values;

use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::{Field, SchemaRef};
use datafusion::arrow::error::ArrowError;
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};
use pairs::{Both, Unmatched};
use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use values::{Converter, close, plain};

/// As many rows as a reader will look at.
const ROWS_SHOWN: usize = 5;

/// What a difference says that may be none.
const APPROXIMATE: &str =
    " (approximately: too many rows differ in nothing but floating-point numbers to try all ways of pairing them off)";

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
        let unmatched = both.unmatched(0..actual.num_rows(), offset..offset + expected);
        return Ok(Verdict::Different(Difference::of_rows(
            summary, &actual, reference, &unmatched,
        )));
    }

    let segments = segments(&reference.rows, columns)?;
    let mut tie = false;
    for segment in segments {
        let inside = segment.start.max(offset)..segment.end.min(offset + expected);
        if inside.is_empty() {
            continue;
        }
        let unmatched = both.unmatched(inside.start - offset..inside.end - offset, segment.clone());
        let all_there = unmatched.missing.is_empty() || inside.len() < segment.len();
        if unmatched.unexpected.is_empty() && all_there {
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
        let only_misplaced = whole.unexpected.is_empty();
        let summary = match only_misplaced {
            true => format!("the right rows in the wrong order: {rows} should be others"),
            false => format!("wrong rows: {rows}"),
        };
        return Ok(Verdict::Different(Difference::of_rows(
            summary, &actual, reference, &unmatched,
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

impl Difference {
    fn of_rows(mut summary: String, actual: &RecordBatch, reference: &Reference, unmatched: &Unmatched) -> Self {
        if unmatched.is_approximate {
            summary.push_str(APPROXIMATE);
        }
        Difference {
            summary,
            missing: print_rows(&reference.rows, reference.columns(), &unmatched.missing),
            unexpected: print_rows(actual, actual.num_columns(), &unmatched.unexpected),
        }
    }
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
