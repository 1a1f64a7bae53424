//! The narrowest type that has all values of two types, if there is one that loses nothing.

use datafusion::arrow::datatypes::{
    DECIMAL128_MAX_PRECISION, DECIMAL256_MAX_PRECISION, DataType, Field, Fields, TimeUnit,
};
use std::sync::Arc;

/// The type for values of both; `None` if some would be changed.
pub(super) fn widened(a: &DataType, b: &DataType) -> Option<DataType> {
    use DataType::{
        Binary, Date32, Date64, Decimal32, Decimal64, Decimal128, Decimal256, Dictionary, Float16, Float32, Float64,
        LargeBinary, LargeList, LargeUtf8, List, Null, Struct, Timestamp, Utf8,
    };
    if a == b {
        return Some(a.clone());
    }
    if let (Some(a), Some(b)) = (integer(a), integer(b)) {
        return of_integers(a, b);
    }
    match (a, b) {
        (Null, other) | (other, Null) => Some(other.clone()),
        // Dictionaries of two kinds become what they are of.
        (Dictionary(_, a), Dictionary(_, b)) => widened(a, b),
        (Dictionary(_, values), other) | (other, Dictionary(_, values)) => widened(values, other),
        (Float16, Float32) | (Float32, Float16) => Some(Float32),
        (Float16 | Float32, Float64) | (Float64, Float16 | Float32) => Some(Float64),
        (float @ (Float32 | Float64), whole) | (whole, float @ (Float32 | Float64)) if integer(whole).is_some() => {
            // Doubles have all whole numbers of 53 bits, floats those of 24.
            let (_, bits) = integer(whole)?;
            match (float, bits) {
                (Float32, ..=16) => Some(Float32),
                (_, ..=32) => Some(Float64),
                _ => None,
            }
        }
        (
            Decimal32(..) | Decimal64(..) | Decimal128(..) | Decimal256(..),
            Decimal32(..) | Decimal64(..) | Decimal128(..) | Decimal256(..),
        ) => of_decimals(decimal(a)?, decimal(b)?),
        (whole, other) | (other, whole) if integer(whole).is_some() && decimal(other).is_some() => {
            let (_, bits) = integer(whole)?;
            let digits = match bits {
                0..=8 => 3,
                9..=16 => 5,
                17..=32 => 10,
                _ => 20,
            };
            of_decimals((digits, 0), decimal(other)?)
        }
        (Timestamp(a, a_zone), Timestamp(b, b_zone)) if a_zone.is_some() == b_zone.is_some() => {
            // An instant is the same in every zone; nanoseconds end in 2262, so they are no wider than others.
            match (a.max(b), a == b) {
                (unit, true) => Some(Timestamp(*unit, a_zone.clone())),
                (TimeUnit::Nanosecond, false) => None,
                (unit, false) => Some(Timestamp(*unit, a_zone.clone())),
            }
        }
        (Date32, Date64) | (Date64, Date32) => Some(Date64),
        (Date32, Timestamp(unit, None)) | (Timestamp(unit, None), Date32) if *unit != TimeUnit::Nanosecond => {
            Some(Timestamp(*unit, None))
        }
        (Utf8, LargeUtf8) | (LargeUtf8, Utf8) => Some(LargeUtf8),
        (Binary, LargeBinary) | (LargeBinary, Binary) => Some(LargeBinary),
        (List(a), List(b)) => Some(List(of_items(a, b)?)),
        (LargeList(a), LargeList(b)) => Some(LargeList(of_items(a, b)?)),
        (Struct(a), Struct(b)) => Some(Struct(of_fields(a, b)?)),
        _ => None,
    }
}

fn of_items(a: &Field, b: &Field) -> Option<Arc<Field>> {
    let data_type = widened(a.data_type(), b.data_type())?;
    Some(Arc::new(Field::new(a.name(), data_type, true)))
}

/// Fields by name, those of the first before those that only the second has.
fn of_fields(a: &Fields, b: &Fields) -> Option<Fields> {
    let mut fields: Vec<Field> = Vec::new();
    for field in a {
        let data_type = match b.iter().find(|other| other.name() == field.name()) {
            Some(other) => widened(field.data_type(), other.data_type())?,
            None => field.data_type().clone(),
        };
        fields.push(Field::new(field.name(), data_type, true));
    }
    for field in b {
        if !a.iter().any(|known| known.name() == field.name()) {
            fields.push(Field::new(field.name(), field.data_type().clone(), true));
        }
    }
    Some(fields.into())
}

/// Whether it has a sign, and how many bits.
fn integer(data_type: &DataType) -> Option<(bool, u8)> {
    Some(match data_type {
        DataType::Int8 => (true, 8),
        DataType::Int16 => (true, 16),
        DataType::Int32 => (true, 32),
        DataType::Int64 => (true, 64),
        DataType::UInt8 => (false, 8),
        DataType::UInt16 => (false, 16),
        DataType::UInt32 => (false, 32),
        DataType::UInt64 => (false, 64),
        _ => return None,
    })
}

fn of_integers((a_signed, a_bits): (bool, u8), (b_signed, b_bits): (bool, u8)) -> Option<DataType> {
    let bits = match (a_signed, b_signed) {
        (true, true) | (false, false) => a_bits.max(b_bits),
        (true, false) => a_bits.max(b_bits.checked_mul(2)?),
        (false, true) => b_bits.max(a_bits.checked_mul(2)?),
    };
    Some(match (a_signed || b_signed, bits) {
        (true, 8) => DataType::Int8,
        (true, 16) => DataType::Int16,
        (true, 32) => DataType::Int32,
        (true, 64) => DataType::Int64,
        (false, 8) => DataType::UInt8,
        (false, 16) => DataType::UInt16,
        (false, 32) => DataType::UInt32,
        (false, 64) => DataType::UInt64,
        // Of 64 bits with and without a sign.
        _ => DataType::Decimal128(20, 0),
    })
}

/// Digits in all, and after the point.
fn decimal(data_type: &DataType) -> Option<(u8, i8)> {
    match data_type {
        DataType::Decimal32(precision, scale)
        | DataType::Decimal64(precision, scale)
        | DataType::Decimal128(precision, scale)
        | DataType::Decimal256(precision, scale) => Some((*precision, *scale)),
        _ => None,
    }
}

fn of_decimals((a_precision, a_scale): (u8, i8), (b_precision, b_scale): (u8, i8)) -> Option<DataType> {
    let scale = a_scale.max(b_scale);
    let before = |precision: u8, scale: i8| i16::from(precision) - i16::from(scale);
    let precision = before(a_precision, a_scale).max(before(b_precision, b_scale)) + i16::from(scale);
    let precision = u8::try_from(precision).ok()?;
    if precision <= DECIMAL128_MAX_PRECISION {
        Some(DataType::Decimal128(precision, scale))
    } else if precision <= DECIMAL256_MAX_PRECISION {
        Some(DataType::Decimal256(precision, scale))
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use DataType::*;

    #[test]
    fn a_wider_type_has_every_value_of_both_or_there_is_none() {
        let micros = Timestamp(TimeUnit::Microsecond, None);
        for (a, b, expected) in [
            (Int32, Int64, Some(Int64)),
            (UInt32, Int32, Some(Int64)),
            (UInt64, Int64, Some(Decimal128(20, 0))),
            (UInt64, Int8, Some(Decimal128(20, 0))),
            (Float32, Float64, Some(Float64)),
            (Int32, Float64, Some(Float64)),
            (Int32, Float32, Some(Float64)),
            (Int64, Float64, None),
            (Decimal128(9, 2), Decimal128(18, 4), Some(Decimal128(18, 4))),
            (Decimal128(38, 0), Decimal128(38, 38), Some(Decimal256(76, 38))),
            (Int64, Decimal128(9, 2), Some(Decimal128(22, 2))),
            (
                Timestamp(TimeUnit::Millisecond, None),
                micros.clone(),
                Some(micros.clone()),
            ),
            (Timestamp(TimeUnit::Nanosecond, None), micros.clone(), None),
            (
                Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
                micros.clone(),
                None,
            ),
            (Date32, micros.clone(), Some(micros)),
            (Dictionary(Box::new(Int8), Box::new(Utf8)), Utf8, Some(Utf8)),
            (Null, Boolean, Some(Boolean)),
            (Int64, Utf8, None),
            (Boolean, Int64, None),
        ] {
            assert_eq!(widened(&a, &b), expected, "{a} and {b}");
            assert_eq!(widened(&b, &a), expected, "{b} and {a}");
        }
    }

    #[test]
    fn fields_of_structs_go_by_name() {
        let a = Struct(vec![Field::new("x", Int32, true)].into());
        let b = Struct(vec![Field::new("y", Utf8, true), Field::new("x", Int64, true)].into());
        let both = Struct(vec![Field::new("x", Int64, true), Field::new("y", Utf8, true)].into());
        assert_eq!(widened(&a, &b), Some(both.clone()));
        let lists = |item: &DataType| DataType::new_list(item.clone(), true);
        assert_eq!(widened(&lists(&a), &lists(&b)), Some(lists(&both)));
    }
}
