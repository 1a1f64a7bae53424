//! Arithmetic on constants is checked before DataFusion folds it: it folds with numbers that wrap around.

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::common::{Result, ScalarValue, plan_err};
use datafusion::logical_expr::{BinaryExpr, Cast, Expr, LogicalPlan, Operator};
use datafusion::optimizer::AnalyzerRule;

/// The rule; it comes after types have been made to match.
#[derive(Debug)]
pub(crate) struct CheckConstants;

impl AnalyzerRule for CheckConstants {
    fn name(&self) -> &str {
        "kappa_check_constants"
    }

    fn analyze(&self, plan: LogicalPlan, _config: &ConfigOptions) -> Result<LogicalPlan> {
        for_all_expressions(plan)
    }
}

fn for_all_expressions(plan: LogicalPlan) -> Result<LogicalPlan> {
    plan.transform_up_with_subqueries(|node| {
        node.apply_expressions(|expr| {
            expr.apply(|part| {
                check(part)?;
                Ok(datafusion::common::tree_node::TreeNodeRecursion::Continue)
            })
        })?;
        Ok(Transformed::no(node))
    })
    .data()
}

/// # Errors
/// If constants are combined to what is no value of their type.
fn check(expr: &Expr) -> Result<()> {
    match expr {
        Expr::BinaryExpr(BinaryExpr {
            op: Operator::Plus | Operator::Minus | Operator::Multiply,
            ..
        })
        | Expr::Negative(_) => value(expr).map(drop),
        _ => Ok(()),
    }
}

/// A whole number of a type with limits, if it is a constant.
fn value(expr: &Expr) -> Result<Option<(i128, ScalarValue)>> {
    let exact = match expr {
        Expr::Literal(literal, _) => return Ok(whole(literal).map(|number| (number, literal.clone()))),
        Expr::Alias(alias) => return value(&alias.expr),
        Expr::Cast(Cast { expr, field }) => {
            let Some((number, literal)) = value(expr)? else {
                return Ok(None);
            };
            let Ok(cast) = literal.cast_to(field.data_type()) else {
                return Ok(None);
            };
            return Ok(whole(&cast).filter(|cast| *cast == number).map(|number| (number, cast)));
        }
        Expr::Negative(inner) => match value(inner)? {
            Some((number, literal)) => (-number, literal),
            None => return Ok(None),
        },
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            let (Some((a, literal)), Some((b, _))) = (value(left)?, value(right)?) else {
                return Ok(None);
            };
            // Of 64 bits each: 128 are enough.
            let exact = match op {
                Operator::Plus => a + b,
                Operator::Minus => a - b,
                Operator::Multiply => a * b,
                _ => return Ok(None),
            };
            (exact, literal)
        }
        _ => return Ok(None),
    };
    let (number, literal) = exact;
    let data_type = literal.data_type();
    match ScalarValue::try_from_string(number.to_string(), &data_type) {
        Ok(found) => Ok(Some((number, found))),
        Err(_) => plan_err!("overflow: {expr} is {number}, which is no {data_type}; write CAST(.. AS decimal(38, 0))"),
    }
}

fn whole(literal: &ScalarValue) -> Option<i128> {
    match literal {
        ScalarValue::Int8(number) => number.map(i128::from),
        ScalarValue::Int16(number) => number.map(i128::from),
        ScalarValue::Int32(number) => number.map(i128::from),
        ScalarValue::Int64(number) => number.map(i128::from),
        ScalarValue::UInt8(number) => number.map(i128::from),
        ScalarValue::UInt16(number) => number.map(i128::from),
        ScalarValue::UInt32(number) => number.map(i128::from),
        ScalarValue::UInt64(number) => number.map(i128::from),
        _ => None,
    }
}
