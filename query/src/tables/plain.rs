//! The types that columns of files have in tables, where those of the files would not survive a shuffle.
//!
//! * An 8- or 16-bit dictionary is full soon: those of several files, each right by itself, do not fit into one when rows of all come
//!   together (TRAPS q29). Tables have 32-bit dictionaries.
//! * Views of strings and bytes drag whole buffers through a shuffle (TRAPS q15); a setting keeps the reader from making some, but not files
//!   from saying that theirs are. Tables have plain strings and bytes.

use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Fields, Schema};
use std::sync::Arc;

/// The schema with types that survive a shuffle.
pub(super) fn plain(schema: &Schema) -> Schema {
    Schema::new_with_metadata(plain_fields(schema.fields()), schema.metadata().clone())
}

fn plain_fields(fields: &Fields) -> Fields {
    fields.iter().map(plain_field).collect()
}

fn plain_field(field: &FieldRef) -> FieldRef {
    let data_type = plain_type(field.data_type());
    match data_type == *field.data_type() {
        true => Arc::clone(field),
        false => Arc::new(Field::clone(field).with_data_type(data_type)),
    }
}

fn plain_type(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Utf8View => DataType::Utf8,
        DataType::BinaryView => DataType::Binary,
        DataType::Dictionary(key, value) => {
            let key = match **key {
                DataType::Int8 | DataType::Int16 | DataType::UInt8 | DataType::UInt16 => DataType::Int32,
                _ => key.as_ref().clone(),
            };
            DataType::Dictionary(Box::new(key), Box::new(plain_type(value)))
        }
        DataType::List(field) => DataType::List(plain_field(field)),
        DataType::LargeList(field) => DataType::LargeList(plain_field(field)),
        DataType::FixedSizeList(field, length) => DataType::FixedSizeList(plain_field(field), *length),
        DataType::Struct(fields) => DataType::Struct(plain_fields(fields)),
        DataType::Map(field, is_sorted) => DataType::Map(plain_field(field), *is_sorted),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn views_and_small_dictionaries_are_found_at_every_depth_and_nothing_else_is_changed() {
        let dictionary = |key: DataType| DataType::Dictionary(Box::new(key), Box::new(DataType::Utf8View));
        let inner = Fields::from(vec![
            Field::new("a", DataType::Utf8View, false),
            Field::new("b", dictionary(DataType::UInt8), true),
            Field::new("c", DataType::Int64, true),
        ]);
        let list = DataType::List(Arc::new(Field::new("item", DataType::Struct(inner), true)));
        let made = plain(&Schema::new(vec![
            Field::new("x", list, true),
            Field::new("y", DataType::BinaryView, true),
            Field::new("z", dictionary(DataType::Int64), true),
        ]));
        let text = format!("{made:?}");
        assert!(!text.contains("View") && !text.contains("UInt8"), "{text}");
        assert!(
            text.contains("Dictionary(Int32, Utf8)") && text.contains("Dictionary(Int64, Utf8)"),
            "{text}"
        );
        assert_eq!(plain(&made), made);
    }
}
