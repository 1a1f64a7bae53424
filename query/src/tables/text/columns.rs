//! Columns of values that are made from texts, one by one. A text that is no value of its column's type is an error.

use super::values;
use datafusion::arrow::array::{
    ArrayRef, BooleanBuilder, Date32Builder, Decimal128Builder, Float64Builder, Int64Builder, StringBuilder,
    TimestampMicrosecondBuilder, TimestampNanosecondBuilder,
};
use datafusion::arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::{Result, exec_err};
use std::sync::Arc;

/// A column that is being filled.
pub(super) enum Column {
    Boolean(BooleanBuilder),
    Integer(Int64Builder),
    Double(Float64Builder),
    Decimal(Decimal128Builder, u8),
    Date(Date32Builder),
    Micros(TimestampMicrosecondBuilder, bool),
    Nanos(TimestampNanosecondBuilder, bool),
    Text(StringBuilder),
}

impl Column {
    /// An empty column of a type that [`Looks`](values::Looks) may find.
    ///
    /// # Errors
    /// For any other type.
    pub(super) fn new(data_type: &DataType) -> Result<Column> {
        Ok(match data_type {
            DataType::Boolean => Column::Boolean(BooleanBuilder::new()),
            DataType::Int64 => Column::Integer(Int64Builder::new()),
            DataType::Float64 => Column::Double(Float64Builder::new()),
            DataType::Decimal128(_, scale) if *scale >= 0 => Column::Decimal(
                Decimal128Builder::new().with_data_type(data_type.clone()),
                scale.unsigned_abs(),
            ),
            DataType::Date32 => Column::Date(Date32Builder::new()),
            DataType::Timestamp(TimeUnit::Microsecond, zone) => Column::Micros(
                TimestampMicrosecondBuilder::new().with_data_type(data_type.clone()),
                zone.is_some(),
            ),
            DataType::Timestamp(TimeUnit::Nanosecond, zone) => Column::Nanos(
                TimestampNanosecondBuilder::new().with_data_type(data_type.clone()),
                zone.is_some(),
            ),
            DataType::Utf8 => Column::Text(StringBuilder::new()),
            other => return exec_err!("a file of texts has no column of type {other}"),
        })
    }

    /// What its values are, for people.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Column::Boolean(_) => "true or false",
            Column::Integer(_) => "a whole number of 64 bits",
            Column::Double(_) => "a number that a double holds",
            Column::Decimal(..) => "a decimal number of at most 38 digits",
            Column::Date(_) => "a date",
            Column::Micros(..) | Column::Nanos(..) => "a time",
            Column::Text(_) => "a text",
        }
    }

    /// Whether its values are texts, of which the empty one is a value too.
    pub(super) fn is_text(&self) -> bool {
        matches!(self, Column::Text(_))
    }

    /// Adds NULL.
    pub(super) fn add_null(&mut self) {
        match self {
            Column::Boolean(column) => column.append_null(),
            Column::Integer(column) => column.append_null(),
            Column::Double(column) => column.append_null(),
            Column::Decimal(column, _) => column.append_null(),
            Column::Date(column) => column.append_null(),
            Column::Micros(column, _) => column.append_null(),
            Column::Nanos(column, _) => column.append_null(),
            Column::Text(column) => column.append_null(),
        }
    }

    /// Adds a value; `false` if the text is none of this type.
    pub(super) fn add(&mut self, text: &str) -> bool {
        let trimmed = text.trim_matches([' ', '\t']);
        let added = match self {
            Column::Boolean(column) => values::boolean(trimmed).map(|value| column.append_value(value)),
            Column::Integer(column) => values::integer(trimmed).map(|value| column.append_value(value)),
            Column::Double(column) => values::double(trimmed).map(|value| column.append_value(value)),
            Column::Decimal(column, scale) => values::decimal(trimmed, *scale).map(|value| column.append_value(value)),
            Column::Date(column) => values::date(trimmed).map(|value| column.append_value(value)),
            Column::Micros(column, has_zone) => {
                values::timestamp(trimmed, TimeUnit::Microsecond, *has_zone).map(|value| column.append_value(value))
            }
            Column::Nanos(column, has_zone) => {
                values::timestamp(trimmed, TimeUnit::Nanosecond, *has_zone).map(|value| column.append_value(value))
            }
            Column::Text(column) => {
                column.append_value(text);
                Some(())
            }
        };
        added.is_some()
    }

    /// The values so far; the column is empty again.
    pub(super) fn finish(&mut self) -> ArrayRef {
        match self {
            Column::Boolean(column) => Arc::new(column.finish()),
            Column::Integer(column) => Arc::new(column.finish()),
            Column::Double(column) => Arc::new(column.finish()),
            Column::Decimal(column, _) => Arc::new(column.finish()),
            Column::Date(column) => Arc::new(column.finish()),
            Column::Micros(column, _) => Arc::new(column.finish()),
            Column::Nanos(column, _) => Arc::new(column.finish()),
            Column::Text(column) => Arc::new(column.finish()),
        }
    }
}
