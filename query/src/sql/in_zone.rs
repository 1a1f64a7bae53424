//! `to_timestamp` and its relatives give what they promise: times with the session's zone, also of a column of texts, of which DataFusion's give
//! times without one.

use datafusion::arrow::array::{Array, make_array};
use datafusion::arrow::datatypes::{DataType, FieldRef};
use datafusion::common::Result;
use datafusion::common::config::ConfigOptions;
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
};
use std::sync::Arc;

/// Functions that stand for those of a session.
pub(crate) fn in_zone<'a>(functions: impl Iterator<Item = &'a Arc<ScalarUDF>>) -> Vec<ScalarUDF> {
    functions
        .filter(|function| function.name().starts_with("to_timestamp"))
        .map(|function| wrapped(function.as_ref().clone()))
        .collect()
}

fn wrapped(inner: ScalarUDF) -> ScalarUDF {
    ScalarUDF::from(InZone { inner })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct InZone {
    inner: ScalarUDF,
}

impl ScalarUDFImpl for InZone {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn aliases(&self) -> &[String] {
        self.inner.aliases()
    }

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        self.inner.return_type(arg_types)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        self.inner.return_field_from_args(args)
    }

    fn with_updated_config(&self, config: &ConfigOptions) -> Option<ScalarUDF> {
        self.inner.inner().with_updated_config(config).map(wrapped)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let promised = args.return_field.data_type().clone();
        // The implementation itself: what is around it refuses the type.
        let times = self.inner.inner().invoke_with_args(args)?;
        match (times, &promised) {
            // They are moments already; all that is missing is the zone's name.
            (ColumnarValue::Array(times), DataType::Timestamp(unit, Some(_)))
                if *times.data_type() == DataType::Timestamp(*unit, None) =>
            {
                let data = times.to_data().into_builder().data_type(promised).build()?;
                Ok(ColumnarValue::Array(make_array(data)))
            }
            (times, _) => Ok(times),
        }
    }
}
