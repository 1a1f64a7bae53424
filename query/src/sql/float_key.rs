//! The function that makes one zero and one NaN of all.

use datafusion::arrow::array::{Array, ArrayRef, AsArray};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Float32Type, Float64Type};
use datafusion::common::{Result, internal_err};
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use std::sync::Arc;

/// Its name.
pub(super) const NAME: &str = "float_key";

/// The function.
pub(crate) fn float_key() -> ScalarUDF {
    ScalarUDF::from(FloatKey {
        signature: Signature::uniform(1, vec![DataType::Float32, DataType::Float64], Volatility::Immutable),
    })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct FloatKey {
    signature: Signature,
}

impl ScalarUDFImpl for FloatKey {
    fn name(&self) -> &str {
        NAME
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        Ok(arg_types[0].clone())
    }

    // NULL where its argument is.
    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let of = &args.arg_fields[0];
        Ok(Arc::new(Field::new(NAME, of.data_type().clone(), of.is_nullable())))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let floats = args.args[0].to_array(args.number_rows)?;
        let keys: ArrayRef = match floats.data_type() {
            DataType::Float64 => Arc::new(
                floats
                    .as_primitive::<Float64Type>()
                    .unary::<_, Float64Type>(|float| if float.is_nan() { f64::NAN.abs() } else { float + 0.0 }),
            ),
            DataType::Float32 => Arc::new(
                floats
                    .as_primitive::<Float32Type>()
                    .unary::<_, Float32Type>(|float| if float.is_nan() { f32::NAN.abs() } else { float + 0.0 }),
            ),
            other => return internal_err!("a float was expected, not {other}"),
        };
        Ok(ColumnarValue::Array(keys))
    }
}
