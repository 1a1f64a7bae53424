//! Rows as a table for people: columns as wide as their widest cell, numbers on the right.
//!
//! A table cannot be made to misbehave by its data: control characters are shown, not sent to the terminal.

use super::{OutputError, formatters, show};
use datafusion::arrow::array::RecordBatch;
use datafusion::arrow::datatypes::{DataType, SchemaRef};
use datafusion::arrow::util::display::FormatOptions;
use std::fmt::Write as _;
use std::io::{self, Write};
use unicode_width::UnicodeWidthStr;

/// Writes all rows, in two passes over them.
pub(super) fn write(schema: &SchemaRef, batches: &[RecordBatch], to: &mut dyn Write) -> Result<(), OutputError> {
    let options = FormatOptions::new().with_display_error(false).with_null("NULL");
    let is_right: Vec<bool> = schema
        .fields()
        .iter()
        .map(|field| is_number(field.data_type()))
        .collect();
    let header: Vec<String> = schema.fields().iter().map(|field| printable(field.name())).collect();

    let mut widths: Vec<usize> = header.iter().map(|name| cell_width(name)).collect();
    let mut text = String::new();
    for batch in batches {
        let formatters = formatters(batch, &options)?;
        for (width, formatter) in widths.iter_mut().zip(&formatters) {
            for row in 0..batch.num_rows() {
                show(formatter, row, &mut text)?;
                *width = (*width).max(cell_width(&printable(&text)));
            }
        }
    }

    write_row(&header, &widths, &is_right, to)?;
    let rule: Vec<String> = widths.iter().map(|width| "-".repeat(width + 2)).collect();
    writeln!(to, "{}", rule.join("+"))?;
    let mut cells: Vec<String> = vec![String::new(); widths.len()];
    for batch in batches {
        let formatters = formatters(batch, &options)?;
        for row in 0..batch.num_rows() {
            for (cell, formatter) in cells.iter_mut().zip(&formatters) {
                show(formatter, row, &mut text)?;
                *cell = printable(&text);
            }
            write_row(&cells, &widths, &is_right, to)?;
        }
    }
    Ok(())
}

/// Writes one row; a cell of several lines makes the row that high.
fn write_row(cells: &[String], widths: &[usize], is_right: &[bool], to: &mut dyn Write) -> io::Result<()> {
    let height = cells.iter().map(|cell| cell.split('\n').count()).max().unwrap_or(1);
    let mut columns: Vec<_> = cells.iter().map(|cell| cell.split('\n')).collect();
    let mut line = String::new();
    for _ in 0..height {
        line.clear();
        for (position, lines) in columns.iter_mut().enumerate() {
            let text = lines.next().unwrap_or_default();
            let padding = " ".repeat(widths[position].saturating_sub(text.width()));
            line.push_str(if position == 0 { " " } else { " | " });
            if is_right[position] {
                line.push_str(&padding);
                line.push_str(text);
            } else {
                line.push_str(text);
                line.push_str(&padding);
            }
        }
        writeln!(to, "{}", line.trim_end_matches(' '))?;
    }
    Ok(())
}

fn cell_width(cell: &str) -> usize {
    cell.split('\n').map(UnicodeWidthStr::width).max().unwrap_or(0)
}

/// The text without anything a terminal would obey; lines stay lines.
fn printable(text: &str) -> String {
    let text = text.strip_suffix('\n').unwrap_or(text);
    if !text.contains(|c: char| c.is_control() && c != '\n') {
        return text.to_owned();
    }
    let mut shown = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match c {
            '\n' => shown.push('\n'),
            '\t' => shown.push_str("    "),
            '\r' => shown.push_str("\\r"),
            c if c.is_control() => {
                // Writing to a `String` cannot fail.
                let _ = write!(shown, "\\x{:02x}", u32::from(c));
            }
            c => shown.push(c),
        }
    }
    shown
}

fn is_number(data_type: &DataType) -> bool {
    match data_type {
        DataType::Dictionary(_, values) => is_number(values),
        other => other.is_numeric(),
    }
}
