//! Text files as tables: CSV and JSON, read by this crate's own readers.
//!
//! * A value is what the file says, or there is an error that names file, line and value. No type is guessed from some of the
//!   rows: all files of a table are read in full when it is first named, and a column's type is one that all its values have.
//! * Columns are found by name, in each file by its own header.
//! * NULL is nothing between two delimiters; `""` is the empty text (and NULL where a column is no text).
//! * A file that cannot be cut at line breaks (they stand in quotes, it is packed, it is one array) is read by one unit.
//!
//! | file | its thought |
//! |---|---|
//! | [`bytes`] | pieces of a file, unpacked |
//! | [`csv`], [`json`] | records and values of a text |
//! | [`values`] | what a text looks like, what it is as a value |
//! | [`columns`] | columns that are filled from texts |
//! | [`csv_file`], [`json_file`] | a file: looked at, and read |
//! | [`source`], [`table`] | what DataFusion asks for |

mod bytes;
mod columns;
mod csv;
mod csv_file;
mod json;
mod json_file;
mod source;
mod table;
mod values;

pub(crate) use bytes::Packing;
pub(crate) use source::{Format, TextSource};
pub(crate) use table::TextTable;
