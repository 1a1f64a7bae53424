//! Floats are in an order in which -0.0 equals 0.0 and NaN is the greatest, whatever its sign.
//!
//! DataFusion sorts them by their bits. Keys of orders and of windows' partitions go through [`float_key`], which makes one
//! zero and one NaN of them; the rows stay as they are.

use datafusion::arrow::array::{Array, ArrayRef, AsArray};
use datafusion::arrow::datatypes::{DataType, Float32Type, Float64Type};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::common::{DFSchema, Result, internal_err};
use datafusion::logical_expr::expr::WindowFunction;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{
    ColumnarValue, Distinct, Expr, ExprSchemable, LogicalPlan, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    SortExpr, Volatility,
};
use datafusion::optimizer::AnalyzerRule;
use std::sync::Arc;

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
        "float_key"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        Ok(arg_types[0].clone())
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

/// The rule; it comes after types have been made to match.
#[derive(Debug)]
pub(crate) struct FloatKeys;

impl AnalyzerRule for FloatKeys {
    fn name(&self) -> &str {
        "kappa_float_keys"
    }

    fn analyze(&self, plan: LogicalPlan, _config: &ConfigOptions) -> Result<LogicalPlan> {
        plan.transform_up_with_subqueries(with_keys).data()
    }
}

fn with_keys(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    let schema = merge_schema(&plan.inputs());
    match plan {
        LogicalPlan::Sort(mut sort) => {
            let is_changed = replace_all(&mut sort.expr, &schema)?;
            Ok(transformed(LogicalPlan::Sort(sort), is_changed))
        }
        LogicalPlan::Distinct(Distinct::On(mut on)) => {
            let is_changed = match &mut on.sort_expr {
                Some(keys) => replace_all(keys, &schema)?,
                None => false,
            };
            Ok(transformed(LogicalPlan::Distinct(Distinct::On(on)), is_changed))
        }
        plan => {
            let names = NamePreserver::new(&plan);
            plan.map_expressions(|expr| {
                let name = names.save(&expr);
                let expr = expr.transform_up(|part| keys_within(part, &schema))?;
                Ok(expr.update_data(|expr| name.restore(expr)))
            })
        }
    }
}

fn transformed<T>(data: T, is_changed: bool) -> Transformed<T> {
    match is_changed {
        true => Transformed::yes(data),
        false => Transformed::no(data),
    }
}

fn replace_all(order: &mut [SortExpr], schema: &DFSchema) -> Result<bool> {
    let mut is_changed = false;
    for key in order {
        is_changed |= replace(&mut key.expr, schema)?;
    }
    Ok(is_changed)
}

fn keys_within(mut part: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let mut is_changed = false;
    match &mut part {
        Expr::WindowFunction(window) => {
            let WindowFunction { params, .. } = window.as_mut();
            is_changed |= replace_all(&mut params.order_by, schema)?;
            for key in &mut params.partition_by {
                is_changed |= replace(key, schema)?;
            }
        }
        Expr::AggregateFunction(function) => {
            is_changed |= replace_all(&mut function.params.order_by, schema)?;
            // The keys of `array_agg(DISTINCT x ORDER BY x)` must be arguments: of equal floats it has one, this one.
            if is_changed && function.params.distinct {
                for argument in &mut function.params.args {
                    replace(argument, schema)?;
                }
            }
        }
        // It compares by bits, too.
        Expr::ScalarFunction(function) if function.name() == "nullif" => {
            for value in &mut function.args {
                is_changed |= replace(value, schema)?;
            }
        }
        _ => {}
    }
    Ok(transformed(part, is_changed))
}

fn replace(key: &mut Expr, schema: &DFSchema) -> Result<bool> {
    let is_float = matches!(key.get_type(schema)?, DataType::Float32 | DataType::Float64);
    if is_float {
        *key = float_key().call(vec![std::mem::take(key)]);
    }
    Ok(is_float)
}
