//! Values in a form in which equal ones are equal: whatever type an engine holds them in, and up to rounding if they are floating-point numbers.

use datafusion::arrow::array::{ArrayRef, AsArray, RecordBatch, RecordBatchOptions};
use datafusion::arrow::compute::{cast, concat_batches};
use datafusion::arrow::datatypes::{
    DECIMAL128_MAX_PRECISION, DECIMAL256_MAX_PRECISION, DataType, Field, Float64Type, Schema, SchemaRef,
};
use datafusion::arrow::error::ArrowError;
use datafusion::arrow::row::{RowConverter, Rows, SortField};
use std::sync::Arc;

/// Two numbers are equal if they differ by less than this share of the larger one.
const RELATIVE_TOLERANCE: f64 = 1e-9;
/// Sums that cancel out leave a residue that is no share of anything.
const ABSOLUTE_TOLERANCE: f64 = 1e-12;

/// One batch, in which equal values have equal types: how wide a string's offsets or a decimal's digits are in memory differs from engine to
/// engine (and, in some plans, from what the engine itself announced), and is not part of the answer.
pub(super) fn plain(schema: &SchemaRef, batches: &[RecordBatch]) -> Result<RecordBatch, ArrowError> {
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
pub(super) struct Comparable {
    pub(super) exact: Option<Rows>,
    pub(super) floats: Vec<Vec<Option<f64>>>,
}

impl Comparable {
    pub(super) fn exact(&self, row: usize) -> &[u8] {
        self.exact.as_ref().map_or(&[], |rows| rows.row(row).data())
    }
}

/// Makes [`Comparable`]s that can be compared with one another: all columns given must have the same types.
pub(super) struct Converter {
    rows: Option<RowConverter>,
    is_float: Vec<bool>,
}

impl Converter {
    pub(super) fn new(types: &[DataType]) -> Result<Self, ArrowError> {
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

    pub(super) fn convert(&self, columns: &[ArrayRef]) -> Result<Comparable, ArrowError> {
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

pub(super) fn close(left: Option<f64>, right: Option<f64>) -> bool {
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
