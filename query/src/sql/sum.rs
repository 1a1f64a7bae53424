//! `sum` that does not wrap: it counts in a wider type, and a sum that is no value of its own type is an error.
//!
//! | sum of | counts as | |
//! |---|---|---|
//! | `bigint`, `bigint unsigned` | decimal of 128 bits | 2⁶³ numbers fit |
//! | decimals whose sum has 38 digits | decimal of 256 bits | |
//! | anything else | DataFusion's own | |

use super::converted::{Conversion, Converted, ConvertedGroups};
use super::frames::framed;
use datafusion::arrow::array::ArrayRef;
use datafusion::arrow::compute::{CastOptions, cast_with_options};
use datafusion::arrow::datatypes::{DECIMAL128_MAX_PRECISION, DECIMAL256_MAX_PRECISION, DataType, Field, FieldRef};
use datafusion::common::{Result, exec_datafusion_err, plan_err};
use datafusion::functions_aggregate::sum::Sum;
use datafusion::logical_expr::expr::AggregateFunction;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::AggregateOrderSensitivity;
use datafusion::logical_expr::{
    Accumulator, AggregateUDFImpl, Expr, GroupsAccumulator, Operator, ReversedUDAF, SetMonotonicity, Signature,
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

/// Counts in a wide type.
#[derive(Debug, Clone)]
struct Widened {
    wide: DataType,
    sum: DataType,
}

fn cast(array: &ArrayRef, to: &DataType) -> Result<ArrayRef> {
    let options = CastOptions {
        safe: false,
        ..CastOptions::default()
    };
    Ok(cast_with_options(array, to, &options)?)
}

impl Conversion for Widened {
    fn value(&self, values: &ArrayRef) -> Result<ArrayRef> {
        cast(values, &self.wide)
    }

    fn result(&self, sums: &ArrayRef) -> Result<ArrayRef> {
        cast(sums, &self.sum).map_err(|_| {
            let written = match &self.sum {
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
        let sum = self.inner.return_type(arg_types)?;
        match sum {
            DataType::Decimal256(DECIMAL256_MAX_PRECISION, _) => plan_err!(
                "the sum of decimals of so many digits may have more than {DECIMAL256_MAX_PRECISION}; CAST them to fewer digits first, \
                 as in sum(CAST(.. AS decimal(60, 0)))"
            ),
            sum => Ok(sum),
        }
    }

    fn accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        let sum = args.return_type().clone();
        let Some(wide) = wide(&sum) else {
            return self.inner.accumulator(args);
        };
        let inner = self.inner.accumulator(Self::wide_args(args, &wide))?;
        let conversion = Widened { wide, sum };
        Ok(Box::new(Converted { inner, conversion }))
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
        let conversion = Widened { wide, sum };
        Ok(Box::new(ConvertedGroups { inner, conversion }))
    }

    fn create_sliding_accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        if let Some(frame) = framed(&args, |args| Sum::default().accumulator(args)) {
            return Ok(frame);
        }
        let sum = args.return_type().clone();
        let Some(wide) = wide(&sum).filter(|_| !args.is_distinct) else {
            return self.inner.create_sliding_accumulator(args);
        };
        let inner = self.inner.create_sliding_accumulator(Self::wide_args(args, &wide))?;
        let conversion = Widened { wide, sum };
        Ok(Box::new(Converted { inner, conversion }))
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
