//! `min` and `max` of floats by the order that all else has: -0.0 equals 0.0, and NaN, whatever its sign, is the greatest.
//!
//! They are computed as whole numbers that are in the same order as the floats.

use super::converted::{Conversion, Converted, ConvertedGroups};
use datafusion::arrow::array::{ArrayRef, AsArray, Float64Array, Int64Array};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Float64Type, Int64Type};
use datafusion::common::{Result, ScalarValue};
use datafusion::functions_aggregate::min_max::{max_udaf, min_udaf};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::{AggregateOrderSensitivity, format_state_name};
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, GroupsAccumulator, ReversedUDAF, SetMonotonicity, Signature,
    StatisticsArgs,
};
use std::sync::Arc;

/// The two functions.
pub(crate) fn extremes() -> [AggregateUDF; 2] {
    [min_udaf(), max_udaf()].map(|inner| AggregateUDF::from(Extreme { inner }))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Extreme {
    inner: Arc<AggregateUDF>,
}

/// Floats as whole numbers in the same order.
#[derive(Debug, Clone)]
struct InOrder {
    float: DataType,
}

/// A number with all bits but the sign flipped if it is negative: turns the bits of a float into its place, and back.
fn flipped(bits: i64) -> i64 {
    if bits < 0 { bits ^ i64::MAX } else { bits }
}

impl Conversion for InOrder {
    fn value(&self, values: &ArrayRef) -> Result<ArrayRef> {
        let values = cast(values, &DataType::Float64)?;
        let places: Int64Array = values.as_primitive::<Float64Type>().unary(|float| {
            let float = if float.is_nan() { f64::NAN.abs() } else { float + 0.0 };
            flipped(float.to_bits().cast_signed())
        });
        Ok(Arc::new(places))
    }

    fn result(&self, places: &ArrayRef) -> Result<ArrayRef> {
        let floats: Float64Array = places
            .as_primitive::<Int64Type>()
            .unary(|place| f64::from_bits(flipped(place).cast_unsigned()));
        let floats: ArrayRef = Arc::new(floats);
        Ok(cast(&floats, &self.float)?)
    }
}

fn in_order(data_type: &DataType) -> Option<InOrder> {
    data_type.is_floating().then(|| InOrder {
        float: data_type.clone(),
    })
}

fn of_places(args: AccumulatorArgs<'_>) -> AccumulatorArgs<'_> {
    AccumulatorArgs {
        return_field: Arc::new(args.return_field.as_ref().clone().with_data_type(DataType::Int64)),
        ..args
    }
}

impl AggregateUDFImpl for Extreme {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        self.inner.return_type(arg_types)
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        self.inner.coerce_types(arg_types)
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>> {
        match in_order(args.return_type()) {
            None => self.inner.state_fields(args),
            Some(_) => {
                let name = format_state_name(args.name, "value");
                Ok(vec![Arc::new(Field::new(name, DataType::Int64, true))])
            }
        }
    }

    fn accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        let Some(conversion) = in_order(args.return_type()) else {
            return self.inner.accumulator(args);
        };
        let inner = self.inner.accumulator(of_places(args))?;
        Ok(Box::new(Converted { inner, conversion }))
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs<'_>) -> bool {
        match in_order(args.return_type()) {
            None => self.inner.groups_accumulator_supported(args),
            Some(_) => self.inner.groups_accumulator_supported(of_places(args)),
        }
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn GroupsAccumulator>> {
        let Some(conversion) = in_order(args.return_type()) else {
            return self.inner.create_groups_accumulator(args);
        };
        let inner = self.inner.create_groups_accumulator(of_places(args))?;
        Ok(Box::new(ConvertedGroups { inner, conversion }))
    }

    fn create_sliding_accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        let Some(conversion) = in_order(args.return_type()) else {
            return self.inner.create_sliding_accumulator(args);
        };
        let inner = self.inner.create_sliding_accumulator(of_places(args))?;
        Ok(Box::new(Converted { inner, conversion }))
    }

    fn is_descending(&self) -> Option<bool> {
        self.inner.is_descending()
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        self.inner.order_sensitivity()
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        ReversedUDAF::Identical
    }

    fn set_monotonicity(&self, data_type: &DataType) -> SetMonotonicity {
        self.inner.inner().set_monotonicity(data_type)
    }

    fn value_from_stats(&self, statistics: &StatisticsArgs<'_>) -> Option<ScalarValue> {
        // Statistics know nothing of NaN.
        match statistics.return_type.is_floating() {
            true => None,
            false => self.inner.value_from_stats(statistics),
        }
    }
}
