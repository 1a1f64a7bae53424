//! Rows as text: an aligned table, CSV or JSON lines.
//!
//! * Every format writes in one pass over the rows, the [`table`] in two (widths first); no cell is kept.
//! * CSV tells NULL (nothing) from an empty string (`""`), so that what was written can be read back.
//! * JSON is one object per line, NULL as `null`, decimals as numbers with all their digits.

mod table;

use datafusion::arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::arrow::error::ArrowError;
use datafusion::arrow::json::WriterBuilder;
use datafusion::arrow::json::writer::LineDelimited;
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};
use std::collections::HashSet;
use std::io::{self, Write};
use std::sync::Arc;

/// How rows are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// Aligned columns, for people.
    Table,
    /// A header and comma-separated values (RFC 4180); NULL is nothing, an empty string is "".
    Csv,
    /// One JSON object per line.
    Json,
}

/// Why rows could not be written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OutputError {
    /// The destination did not take them.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// A value has no form in this format.
    #[error("the result cannot be written in this format: {0}")]
    Value(ArrowError),
}

impl From<ArrowError> for OutputError {
    fn from(error: ArrowError) -> Self {
        match error {
            ArrowError::IoError(_, error) => OutputError::Io(error),
            error => OutputError::Value(error),
        }
    }
}

/// Writes a result. A statement without columns (`CREATE VIEW`) writes nothing.
pub(crate) fn write_rows(
    format: Format,
    schema: &SchemaRef,
    batches: &[RecordBatch],
    to: &mut dyn Write,
) -> Result<(), OutputError> {
    if schema.fields().is_empty() {
        return Ok(());
    }
    match format {
        Format::Table => table::write(schema, batches, to),
        Format::Csv => write_csv(schema, batches, to),
        Format::Json => write_json(schema, batches, to),
    }
}

/// One formatter per column; a value that cannot be shown is an error, not a text in the result.
fn formatters<'a>(
    batch: &'a RecordBatch,
    options: &'a FormatOptions<'a>,
) -> Result<Vec<ArrayFormatter<'a>>, OutputError> {
    let formatter = |column| ArrayFormatter::try_new(column, options).map_err(OutputError::from);
    batch
        .columns()
        .iter()
        .map(|column| formatter(column.as_ref()))
        .collect()
}

/// Puts the text of a value in place of what the buffer holds.
fn show(formatter: &ArrayFormatter<'_>, row: usize, text: &mut String) -> Result<(), OutputError> {
    text.clear();
    formatter.value(row).write(text)?;
    Ok(())
}

fn write_csv(schema: &SchemaRef, batches: &[RecordBatch], to: &mut dyn Write) -> Result<(), OutputError> {
    // The NULLs of a list or a struct: those of a column are nothing.
    let options = FormatOptions::new().with_display_error(false).with_null("NULL");
    for (position, field) in schema.fields().iter().enumerate() {
        write_csv_cell(position, field.name(), to)?;
    }
    to.write_all(b"\n")?;
    let mut text = String::new();
    for batch in batches {
        let formatters = formatters(batch, &options)?;
        for row in 0..batch.num_rows() {
            for (position, (column, formatter)) in batch.columns().iter().zip(&formatters).enumerate() {
                // The logical null of a dictionary lies in its values.
                let is_null = column.is_nullable() && column.logical_nulls().is_some_and(|nulls| nulls.is_null(row));
                if is_null {
                    to.write_all(if position == 0 { b"" } else { b"," })?;
                } else {
                    show(formatter, row, &mut text)?;
                    write_csv_cell(position, &text, to)?;
                }
            }
            to.write_all(b"\n")?;
        }
    }
    Ok(())
}

fn write_csv_cell(position: usize, text: &str, to: &mut dyn Write) -> io::Result<()> {
    if position > 0 {
        to.write_all(b",")?;
    }
    if text.is_empty() || text.contains(['"', ',', '\n', '\r']) {
        write!(to, "\"{}\"", text.replace('"', "\"\""))
    } else {
        to.write_all(text.as_bytes())
    }
}

fn write_json(schema: &SchemaRef, batches: &[RecordBatch], to: &mut dyn Write) -> Result<(), OutputError> {
    let schema = for_json(schema);
    let mut writer = WriterBuilder::new()
        .with_explicit_nulls(true)
        .build::<_, LineDelimited>(to);
    for batch in batches {
        let columns = batch.columns().iter().map(without_dictionary);
        let rows = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        writer.write(&RecordBatch::try_new_with_options(
            schema.clone(),
            columns.collect::<Result<_, _>>()?,
            &rows,
        )?)?;
    }
    writer.finish()?;
    Ok(())
}

/// The writer looks for the nulls of a dictionary among its keys only; they may lie among its values.
fn without_dictionary(column: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    match column.data_type() {
        DataType::Dictionary(_, values) => cast(column, values),
        _ => Ok(column.clone()),
    }
}

/// The columns as JSON has them. An object with two fields of one name loses one of them in most readers: `id, id` becomes `id, id_2`.
fn for_json(schema: &SchemaRef) -> SchemaRef {
    let names: HashSet<&String> = schema.fields().iter().map(|field| field.name()).collect();
    let mut taken: HashSet<String> = HashSet::new();
    let mut fields: Vec<Field> = Vec::with_capacity(schema.fields().len());
    for field in schema.fields() {
        let mut name = field.name().clone();
        let mut number = 1;
        while taken.contains(&name) || (number > 1 && names.contains(&name)) {
            number += 1;
            name = format!("{}_{number}", field.name());
        }
        taken.insert(name.clone());
        let data_type = match field.data_type() {
            DataType::Dictionary(_, values) => values.as_ref().clone(),
            other => other.clone(),
        };
        fields.push(Field::new(name, data_type, true));
    }
    Arc::new(Schema::new(fields))
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::arrow::array::{
        BooleanArray, Date32Array, Decimal128Array, DictionaryArray, Float64Array, Int64Array, StringArray,
        TimestampMicrosecondArray,
    };
    use datafusion::arrow::datatypes::Int32Type;

    fn batch(columns: Vec<(&str, ArrayRef)>) -> (SchemaRef, Vec<RecordBatch>) {
        let fields: Vec<Field> = columns
            .iter()
            .map(|(name, array)| Field::new(*name, array.data_type().clone(), true))
            .collect();
        let schema = Arc::new(Schema::new(fields));
        let arrays = columns.into_iter().map(|(_, array)| array).collect();
        (schema.clone(), vec![RecordBatch::try_new(schema, arrays).unwrap()])
    }

    fn written(format: Format, (schema, batches): &(SchemaRef, Vec<RecordBatch>)) -> String {
        let mut bytes = Vec::new();
        write_rows(format, schema, batches, &mut bytes).unwrap();
        String::from_utf8(bytes).unwrap()
    }

    fn sample() -> (SchemaRef, Vec<RecordBatch>) {
        let price = Decimal128Array::from(vec![
            Some(12_345_678_901_234_567_890_123_456_789_012_345_678),
            None,
            Some(-5),
        ])
        .with_precision_and_scale(38, 2)
        .unwrap();
        batch(vec![
            (
                "name",
                Arc::new(StringArray::from(vec![Some("Ørsted"), Some(""), None])),
            ),
            ("n", Arc::new(Int64Array::from(vec![Some(i64::MIN), Some(7), None]))),
            ("price", Arc::new(price)),
            ("day", Arc::new(Date32Array::from(vec![Some(0), Some(-1), None]))),
        ])
    }

    #[test]
    fn a_table_is_aligned_with_numbers_on_the_right() {
        let expected = "\
 name   |                    n |                                    price | day
--------+----------------------+------------------------------------------+------------
 Ørsted | -9223372036854775808 | 123456789012345678901234567890123456.78 | 1970-01-01
        |                    7 |                                     NULL | 1969-12-31
 NULL   |                 NULL |                                    -0.05 | NULL
";
        let table = written(Format::Table, &sample());
        // The widest number decides the width, not the drawing above.
        let squeeze = |text: &str| text.replace(['-', ' '], "");
        assert_eq!(squeeze(&table), squeeze(expected), "{table}");
        let widths: HashSet<usize> = table
            .lines()
            .map(|line| line.chars().position(|c| c == '|' || c == '+').unwrap())
            .collect();
        assert_eq!(widths.len(), 1, "{table}");
        assert!(table.lines().all(|line| !line.ends_with(' ')), "{table:?}");
    }

    #[test]
    fn a_table_of_wide_characters_and_several_lines_stays_aligned() {
        let data = batch(vec![
            (
                "text",
                Arc::new(StringArray::from(vec!["東京", "a\nbcd", "\u{1b}[31m\t"])),
            ),
            ("n", Arc::new(Int64Array::from(vec![1, 22, 333]))),
        ]);
        let expected = concat!(
            " text         |   n\n",
            "--------------+-----\n",
            " 東京         |   1\n",
            " a            |  22\n",
            " bcd          |\n",
            " \\x1b[31m     | 333\n",
        );
        assert_eq!(written(Format::Table, &data), expected);
    }

    #[test]
    fn csv_tells_null_from_an_empty_string_and_quotes_what_must_be_quoted() {
        let data = batch(vec![
            (
                "a,b",
                Arc::new(StringArray::from(vec![
                    Some("x\"y"),
                    Some(""),
                    None,
                    Some("two\nlines"),
                ])),
            ),
            (
                "b",
                Arc::new(BooleanArray::from(vec![Some(true), None, Some(false), None])),
            ),
        ]);
        assert_eq!(
            written(Format::Csv, &data),
            "\"a,b\",b\n\"x\"\"y\",true\n\"\",\n,false\n\"two\nlines\",\n"
        );
    }

    #[test]
    fn csv_keeps_every_digit() {
        let expected = "name,n,price,day\n\
            Ørsted,-9223372036854775808,123456789012345678901234567890123456.78,1970-01-01\n\
            \"\",7,,1969-12-31\n,,-0.05,\n";
        assert_eq!(written(Format::Csv, &sample()), expected);
    }

    #[test]
    fn the_nulls_of_a_dictionary_are_nulls() {
        let values: ArrayRef = Arc::new(StringArray::from(vec![Some("a"), None]));
        let keys = datafusion::arrow::array::Int32Array::from(vec![Some(0), Some(1), None]);
        let data = batch(vec![(
            "d",
            Arc::new(DictionaryArray::<Int32Type>::try_new(keys, values).unwrap()),
        )]);
        assert_eq!(written(Format::Csv, &data), "d\na\n\n\n");
        assert_eq!(
            written(Format::Json, &data),
            "{\"d\":\"a\"}\n{\"d\":null}\n{\"d\":null}\n"
        );
    }

    #[test]
    fn json_is_one_object_per_line_with_exact_numbers_and_explicit_nulls() {
        let expected = concat!(
            r#"{"name":"Ørsted","n":-9223372036854775808,"price":123456789012345678901234567890123456.78,"day":"1970-01-01"}"#,
            "\n",
            r#"{"name":"","n":7,"price":null,"day":"1969-12-31"}"#,
            "\n",
            r#"{"name":null,"n":null,"price":-0.05,"day":null}"#,
            "\n",
        );
        assert_eq!(written(Format::Json, &sample()), expected);
    }

    #[test]
    fn json_has_no_infinite_numbers_and_escapes_texts() {
        let data = batch(vec![
            ("x", Arc::new(Float64Array::from(vec![f64::NAN, f64::INFINITY, 0.1]))),
            ("s", Arc::new(StringArray::from(vec!["\"", "\u{1}", "é"]))),
        ]);
        let text = written(Format::Json, &data);
        let rows: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(rows[0], serde_json::json!({"x": null, "s": "\""}));
        assert_eq!(rows[1], serde_json::json!({"x": null, "s": "\u{1}"}));
        assert_eq!(rows[2], serde_json::json!({"x": 0.1, "s": "é"}));
    }

    #[test]
    fn json_keeps_both_of_two_columns_with_one_name() {
        let data = batch(vec![
            ("id", Arc::new(Int64Array::from(vec![1]))),
            ("id", Arc::new(Int64Array::from(vec![2]))),
            ("id_2", Arc::new(Int64Array::from(vec![3]))),
        ]);
        assert_eq!(written(Format::Json, &data), "{\"id\":1,\"id_3\":2,\"id_2\":3}\n");
    }

    #[test]
    fn a_result_without_rows_has_its_header() {
        let (schema, _) = sample();
        let data = (schema, vec![]);
        assert_eq!(written(Format::Csv, &data), "name,n,price,day\n");
        assert_eq!(written(Format::Json, &data), "");
        assert_eq!(
            written(Format::Table, &data),
            " name | n | price | day\n------+---+-------+-----\n"
        );
    }

    #[test]
    fn a_statement_without_columns_writes_nothing() {
        let data = (Arc::new(Schema::empty()), vec![]);
        for format in [Format::Table, Format::Csv, Format::Json] {
            assert_eq!(written(format, &data), "");
        }
    }

    #[test]
    fn timestamps_are_written_as_iso_8601() {
        let data = batch(vec![(
            "t",
            Arc::new(TimestampMicrosecondArray::from(vec![0, 1_500_000])),
        )]);
        assert_eq!(
            written(Format::Csv, &data),
            "t\n1970-01-01T00:00:00\n1970-01-01T00:00:01.500\n"
        );
    }

    #[test]
    fn a_reader_that_has_left_is_an_io_error() {
        struct Closed;
        impl Write for Closed {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let (schema, batches) = sample();
        for format in [Format::Table, Format::Csv, Format::Json] {
            let error = write_rows(format, &schema, &batches, &mut Closed).unwrap_err();
            assert!(
                matches!(&error, OutputError::Io(e) if e.kind() == io::ErrorKind::BrokenPipe),
                "{error:?}"
            );
        }
    }
}
