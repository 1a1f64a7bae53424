//! `<<` and `>>` fail where DataFusion's would shift by another number than was written, or lose bits.

use super::rewritten;
use datafusion::arrow::array::{ArrayRef, AsArray, PrimitiveArray};
use datafusion::arrow::compute::kernels::arity::try_binary;
use datafusion::arrow::datatypes::{
    ArrowPrimitiveType, DataType, Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type, UInt16Type, UInt32Type,
    UInt64Type,
};
use datafusion::arrow::error::ArrowError;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{Result, internal_err};
use datafusion::logical_expr::{
    BinaryExpr, ColumnarValue, Expr, LogicalPlan, Operator, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility,
};
use datafusion::optimizer::AnalyzerRule;
use std::sync::Arc;

/// The functions that shift to the left and to the right.
pub(crate) fn shifts() -> [ScalarUDF; 2] {
    [Direction::Left, Direction::Right].map(function)
}

fn function(direction: Direction) -> ScalarUDF {
    ScalarUDF::from(Shift {
        direction,
        signature: Signature::any(2, Volatility::Immutable),
    })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Direction {
    Left,
    Right,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Shift {
    direction: Direction,
    signature: Signature,
}

impl ScalarUDFImpl for Shift {
    fn name(&self) -> &str {
        match self.direction {
            Direction::Left => "shift_left",
            Direction::Right => "shift_right",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        Ok(arg_types[0].clone())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [numbers, by] = ColumnarValue::values_to_arrays(&args.args)?
            .try_into()
            .or_else(|_| internal_err!("a shift has two arguments"))?;
        let shifted = match numbers.data_type() {
            DataType::Int8 => self.all::<Int8Type>(&numbers, &by),
            DataType::Int16 => self.all::<Int16Type>(&numbers, &by),
            DataType::Int32 => self.all::<Int32Type>(&numbers, &by),
            DataType::Int64 => self.all::<Int64Type>(&numbers, &by),
            DataType::UInt8 => self.all::<UInt8Type>(&numbers, &by),
            DataType::UInt16 => self.all::<UInt16Type>(&numbers, &by),
            DataType::UInt32 => self.all::<UInt32Type>(&numbers, &by),
            DataType::UInt64 => self.all::<UInt64Type>(&numbers, &by),
            other => return internal_err!("a whole number was expected, not {other}"),
        };
        Ok(ColumnarValue::Array(shifted?))
    }
}

impl Shift {
    fn all<T>(&self, numbers: &ArrayRef, by: &ArrayRef) -> Result<ArrayRef>
    where
        T: ArrowPrimitiveType,
        T::Native: Into<i128> + TryFrom<i128>,
    {
        let bits = 8 * size_of::<T::Native>();
        let shifted: PrimitiveArray<T> =
            try_binary(numbers.as_primitive::<T>(), by.as_primitive::<T>(), |number, by| {
                let (number, by): (i128, i128) = (number.into(), by.into());
                let Some(by) = u32::try_from(by).ok().filter(|by| (*by as usize) < bits) else {
                    let said = format!(
                        "a number of {bits} bits cannot be shifted by {by}: only by 0 to {}",
                        bits - 1
                    );
                    return Err(ArrowError::ComputeError(said));
                };
                let exact = match self.direction {
                    Direction::Left => number.checked_mul(1 << by),
                    Direction::Right => Some(number >> by),
                };
                exact.and_then(|exact| T::Native::try_from(exact).ok()).ok_or_else(|| {
                    ArrowError::ComputeError(format!("overflow: {number} << {by} has more than {bits} bits"))
                })
            })?;
        Ok(Arc::new(shifted))
    }
}

/// The rule; it comes after types have been made to match.
#[derive(Debug)]
pub(crate) struct CheckShifts;

impl AnalyzerRule for CheckShifts {
    fn name(&self) -> &str {
        "kappa_check_shifts"
    }

    fn analyze(&self, plan: LogicalPlan, _config: &ConfigOptions) -> Result<LogicalPlan> {
        rewritten(plan, |part, _| Ok(checked(part)))
    }
}

fn checked(part: Expr) -> Transformed<Expr> {
    let Expr::BinaryExpr(BinaryExpr { left, op, right }) = part else {
        return Transformed::no(part);
    };
    let direction = match op {
        Operator::BitwiseShiftLeft => Direction::Left,
        Operator::BitwiseShiftRight => Direction::Right,
        _ => return Transformed::no(Expr::BinaryExpr(BinaryExpr { left, op, right })),
    };
    Transformed::yes(function(direction).call(vec![*left, *right]))
}
