//! Arithmetic on decimals of 38 digits fails where its result has more: 128 bits hold some numbers of 39 digits, which would be
//! shown without their last.

use super::rewritten;
use datafusion::arrow::array::AsArray;
use datafusion::arrow::datatypes::{DECIMAL128_MAX_PRECISION, DataType, Decimal128Type};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, Result, exec_datafusion_err};
use datafusion::logical_expr::{
    BinaryExpr, ColumnarValue, Expr, ExprSchemable, LogicalPlan, Operator, ScalarFunctionArgs, ScalarUDF,
    ScalarUDFImpl, Signature, Volatility,
};
use datafusion::optimizer::AnalyzerRule;

/// The function that gives its argument, or fails if that has more than 38 digits.
pub(crate) fn checked_decimal() -> ScalarUDF {
    ScalarUDF::from(CheckedDecimal {
        signature: Signature::any(1, Volatility::Immutable),
    })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct CheckedDecimal {
    signature: Signature,
}

impl ScalarUDFImpl for CheckedDecimal {
    fn name(&self) -> &str {
        "checked_decimal"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        Ok(arg_types[0].clone())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let value = args.args.into_iter().next();
        let value = value.ok_or_else(|| exec_datafusion_err!("checked_decimal has one argument"))?;
        let array = value.to_array(args.number_rows)?;
        if let Some(decimals) = array.as_primitive_opt::<Decimal128Type>() {
            decimals.validate_decimal_precision(DECIMAL128_MAX_PRECISION).map_err(|_| {
                exec_datafusion_err!("overflow: a decimal has more than {DECIMAL128_MAX_PRECISION} digits; CAST to double or to fewer digits first")
            })?;
        }
        Ok(value)
    }
}

/// The rule; it comes after types have been made to match.
#[derive(Debug)]
pub(crate) struct CheckDecimals;

impl AnalyzerRule for CheckDecimals {
    fn name(&self) -> &str {
        "kappa_check_decimals"
    }

    fn analyze(&self, plan: LogicalPlan, _config: &ConfigOptions) -> Result<LogicalPlan> {
        rewritten(plan, |part, schema| Ok(checked(part, schema)))
    }
}

fn checked(part: Expr, schema: &DFSchema) -> Transformed<Expr> {
    let Expr::BinaryExpr(BinaryExpr {
        op: Operator::Plus | Operator::Minus | Operator::Multiply | Operator::Divide,
        ..
    }) = &part
    else {
        return Transformed::no(part);
    };
    match part.get_type(schema) {
        Ok(DataType::Decimal128(DECIMAL128_MAX_PRECISION, _)) => Transformed::yes(checked_decimal().call(vec![part])),
        _ => Transformed::no(part),
    }
}
