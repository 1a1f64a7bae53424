//! `sum` that does not wrap: it counts in a wider type, and a sum that is no value of its own type is an error.
//!
//! | sum of | counts as | |
//! |---|---|---|
//! | `bigint`, `bigint unsigned` | decimal of 128 bits | 2⁶³ numbers fit |
//! | decimals whose sum has 38 digits | decimal of 256 bits | |
//! | anything else | DataFusion's own | |

use datafusion::arrow::array::{ArrayRef, BooleanArray};
use datafusion::arrow::compute::{CastOptions, cast_with_options};
use datafusion::arrow::datatypes::{DECIMAL128_MAX_PRECISION, DECIMAL256_MAX_PRECISION, DataType, Field, FieldRef};
use datafusion::common::{Result, ScalarValue, exec_datafusion_err};
use datafusion::functions_aggregate::sum::Sum;
use datafusion::logical_expr::expr::AggregateFunction;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::AggregateOrderSensitivity;
use datafusion::logical_expr::{
    Accumulator, AggregateUDFImpl, EmitTo, Expr, GroupsAccumulator, Operator, ReversedUDAF, SetMonotonicity, Signature,
};
use std::sync::Arc;

/// The function.
#[derive(Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct CheckedSum {
    inner: Sum,
}

/// What sums of a type are counted in, if its own may be too narrow.
fn wide(sum: &DataType) -> Option<DataType> {
    match sum {
        DataType::Int64 | DataType::UInt64 => Some(DataType::Decimal128(DECIMAL128_MAX_PRECISION, 0)),
        DataType::Decimal128(DECIMAL128_MAX_PRECISION, scale) => {
            Some(DataType::Decimal256(DECIMAL256_MAX_PRECISION, *scale))
        }
        _ => None,
    }
}

fn converted(array: &ArrayRef, to: &DataType) -> Result<ArrayRef> {
    let options = CastOptions {
        safe: false,
        ..CastOptions::default()
    };
    Ok(cast_with_options(array, to, &options)?)
}

fn narrowed(array: &ArrayRef, to: &DataType) -> Result<ArrayRef> {
    converted(array, to).map_err(|_| {
        let written = match to {
            DataType::Int64 => "bigint".to_owned(),
            DataType::UInt64 => "bigint unsigned".to_owned(),
            DataType::Decimal128(precision, scale) => format!("decimal({precision}, {scale})"),
            other => other.to_string(),
        };
        exec_datafusion_err!(
            "overflow: a sum is no {written} any more; sum a wider type, as in sum(CAST(.. AS decimal(38, 0)))"
        )
    })
}

impl CheckedSum {
    fn wide_args<'a>(args: AccumulatorArgs<'a>, wide: &DataType) -> AccumulatorArgs<'a> {
        AccumulatorArgs {
            return_field: Arc::new(args.return_field.as_ref().clone().with_data_type(wide.clone())),
            ..args
        }
    }
}

impl AggregateUDFImpl for CheckedSum {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        self.inner.return_type(arg_types)
    }

    fn accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        let sum = args.return_type().clone();
        let Some(wide) = wide(&sum) else {
            return self.inner.accumulator(args);
        };
        let inner = self.inner.accumulator(Self::wide_args(args, &wide))?;
        Ok(Box::new(Wide { inner, wide, sum }))
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>> {
        let Some(wide) = wide(args.return_type()) else {
            return self.inner.state_fields(args);
        };
        let return_field: FieldRef = Arc::new(Field::new(args.name, wide, true));
        self.inner.state_fields(StateFieldsArgs { return_field, ..args })
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs<'_>) -> bool {
        self.inner.groups_accumulator_supported(args)
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn GroupsAccumulator>> {
        let sum = args.return_type().clone();
        let Some(wide) = wide(&sum) else {
            return self.inner.create_groups_accumulator(args);
        };
        let inner = self.inner.create_groups_accumulator(Self::wide_args(args, &wide))?;
        Ok(Box::new(WideGroups { inner, wide, sum }))
    }

    fn create_sliding_accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        let sum = args.return_type().clone();
        let Some(wide) = wide(&sum).filter(|_| !args.is_distinct) else {
            return self.inner.create_sliding_accumulator(args);
        };
        let inner = self.inner.create_sliding_accumulator(Self::wide_args(args, &wide))?;
        Ok(Box::new(Wide { inner, wide, sum }))
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        self.inner.reverse_expr()
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        self.inner.order_sensitivity()
    }

    fn set_monotonicity(&self, data_type: &DataType) -> SetMonotonicity {
        self.inner.set_monotonicity(data_type)
    }

    fn simplify_expr_op_literal(
        &self,
        function: &AggregateFunction,
        arg: &Expr,
        op: Operator,
        literal: &Expr,
        arg_is_left: bool,
    ) -> Result<Option<Expr>> {
        self.inner
            .simplify_expr_op_literal(function, arg, op, literal, arg_is_left)
    }
}

/// Counts in a wide type, for one group.
#[derive(Debug)]
struct Wide {
    inner: Box<dyn Accumulator>,
    wide: DataType,
    sum: DataType,
}

impl Accumulator for Wide {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let values = values.iter().map(|values| converted(values, &self.wide));
        self.inner.update_batch(&values.collect::<Result<Vec<_>>>()?)
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let values = values.iter().map(|values| converted(values, &self.wide));
        self.inner.retract_batch(&values.collect::<Result<Vec<_>>>()?)
    }

    fn supports_retract_batch(&self) -> bool {
        self.inner.supports_retract_batch()
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let sum = self.inner.evaluate()?.to_array()?;
        ScalarValue::try_from_array(&narrowed(&sum, &self.sum)?, 0)
    }

    fn size(&self) -> usize {
        self.inner.size()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        self.inner.state()
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.inner.merge_batch(states)
    }
}

/// Counts in a wide type, for many groups.
struct WideGroups {
    inner: Box<dyn GroupsAccumulator>,
    wide: DataType,
    sum: DataType,
}

impl GroupsAccumulator for WideGroups {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        count: usize,
    ) -> Result<()> {
        let values = values.iter().map(|values| converted(values, &self.wide));
        let values = values.collect::<Result<Vec<_>>>()?;
        self.inner.update_batch(&values, groups, filter, count)
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        narrowed(&self.inner.evaluate(emit_to)?, &self.sum)
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        self.inner.state(emit_to)
    }

    fn merge_batch(&mut self, values: &[ArrayRef], groups: &[usize], count: usize) -> Result<()> {
        self.inner.merge_batch(values, groups, count)
    }

    fn convert_to_state(&self, values: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let values = values.iter().map(|values| converted(values, &self.wide));
        self.inner
            .convert_to_state(&values.collect::<Result<Vec<_>>>()?, filter)
    }

    fn size(&self) -> usize {
        self.inner.size()
    }
}
