//! A number that is none of the type that it is cast to fails. DataFusion makes infinity of it where that type is a float, and the last
//! moment that there is where it is a time.
//!
//! ```text
//!   CAST(x AS real)      becomes   finite(CAST(x AS real), x)
//!   to_timestamp(x)      becomes   to_timestamp(seconds(x)), if x is a float
//! ```

use super::rewritten;
use datafusion::arrow::array::{Array, ArrayRef, AsArray, StringArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Float64Type};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, Result, exec_err, internal_datafusion_err};
use datafusion::logical_expr::expr::Cast;
use datafusion::logical_expr::{
    ColumnarValue, Expr, ExprSchemable, LogicalPlan, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility,
};
use datafusion::optimizer::AnalyzerRule;

/// The functions that check.
pub(crate) fn range_checks() -> [ScalarUDF; 2] {
    [Check::Finite, Check::Seconds].map(function)
}

fn function(check: Check) -> ScalarUDF {
    let arguments = match check {
        Check::Finite => 2,
        Check::Seconds => 1,
    };
    ScalarUDF::from(InRange {
        check,
        signature: Signature::any(arguments, Volatility::Immutable),
    })
}

/// What a function is for. Each gives its first argument, or fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Check {
    /// The first is not infinite, unless the second is.
    Finite,
    /// Seconds from 1970 that nanoseconds in 64 bits can be.
    Seconds,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct InRange {
    check: Check,
    signature: Signature,
}

impl ScalarUDFImpl for InRange {
    fn name(&self) -> &str {
        match self.check {
            Check::Finite => "finite",
            Check::Seconds => "seconds",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        Ok(arg_types[0].clone())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let missing = || internal_datafusion_err!("a check has arguments");
        let checked = args.args.first().ok_or_else(missing)?.to_array(args.number_rows)?;
        let floats = cast(&checked, &DataType::Float64)?;
        let floats = floats.as_primitive::<Float64Type>();
        match self.check {
            Check::Finite => {
                let is_odd = |at: &usize| floats.is_valid(*at) && floats.value(*at).is_infinite();
                if (0..floats.len()).any(|at| is_odd(&at)) {
                    let from = args.args.get(1).ok_or_else(missing)?.to_array(args.number_rows)?;
                    let texts = texts_of(&from)?;
                    let said_so = |at: &usize| texts.value(*at).to_lowercase().contains("inf");
                    if let Some(at) = (0..floats.len()).find(|at| is_odd(at) && !said_so(at)) {
                        return exec_err!(
                            "overflow: {} is too large for {}",
                            texts.value(at),
                            match checked.data_type() {
                                DataType::Float32 => "a real; CAST to double",
                                _ => "a double; CAST to decimal(76, 0)",
                            }
                        );
                    }
                }
            }
            Check::Seconds => {
                const MOST: f64 = (i64::MAX / 1_000_000_000) as f64;
                if let Some(odd) = floats.iter().flatten().find(|float| !(-MOST..=MOST).contains(float)) {
                    return exec_err!(
                        "overflow: {odd} seconds from 1970 are no timestamp: those are from 1677 to 2262"
                    );
                }
            }
        }
        Ok(ColumnarValue::Array(checked))
    }
}

fn texts_of(from: &ArrayRef) -> Result<StringArray> {
    Ok(cast(from, &DataType::Utf8)?.as_string().clone())
}

/// The rule; it comes after types have been made to match.
#[derive(Debug)]
pub(crate) struct CheckRanges;

impl AnalyzerRule for CheckRanges {
    fn name(&self) -> &str {
        "kappa_check_ranges"
    }

    fn analyze(&self, plan: LogicalPlan, _config: &ConfigOptions) -> Result<LogicalPlan> {
        rewritten(plan, checked)
    }
}

fn checked(mut part: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    match &mut part {
        Expr::Cast(Cast { expr, field }) if may_be_infinite(&expr.get_type(schema)?, field.data_type()) => {
            let from = expr.as_ref().clone();
            Ok(Transformed::yes(function(Check::Finite).call(vec![part, from])))
        }
        Expr::ScalarFunction(call) if call.name() == "to_timestamp" => {
            let Some(seconds) = call.args.first_mut() else {
                return Ok(Transformed::no(part));
            };
            if !seconds.get_type(schema)?.is_floating() {
                return Ok(Transformed::no(part));
            }
            *seconds = function(Check::Seconds).call(vec![std::mem::take(seconds)]);
            Ok(Transformed::yes(part))
        }
        _ => Ok(Transformed::no(part)),
    }
}

/// Whether a cast makes infinity of a number.
fn may_be_infinite(from: &DataType, to: &DataType) -> bool {
    let is_wide = from.is_string() || matches!(from, DataType::Decimal256(..));
    match to {
        DataType::Float64 => from.is_string(),
        DataType::Float32 => is_wide || *from == DataType::Float64,
        _ => false,
    }
}
