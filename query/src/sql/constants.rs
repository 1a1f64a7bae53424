//! Arithmetic on constants is checked before DataFusion folds it: it folds with numbers that wrap around.
//!
//! Some constants meet only when plans are rewritten, as in `SELECT v + 1 FROM (SELECT 9223372036854775807 AS v)`. So it is done
//! once for the query as it is written, and before each time that DataFusion may fold.

use crate::deep::deep;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Result, ScalarValue, plan_err};
use datafusion::logical_expr::{BinaryExpr, Cast, Expr, LogicalPlan, Operator};
use datafusion::optimizer::{AnalyzerRule, OptimizerConfig, OptimizerRule};

/// The rule: of the analyzer, after types have been made to match, and of the optimizer.
#[derive(Debug)]
pub(crate) struct CheckConstants;

impl AnalyzerRule for CheckConstants {
    fn name(&self) -> &str {
        "kappa_check_constants"
    }

    fn analyze(&self, plan: LogicalPlan, _config: &ConfigOptions) -> Result<LogicalPlan> {
        check_all(&plan)?;
        Ok(plan)
    }
}

impl OptimizerRule for CheckConstants {
    fn name(&self) -> &str {
        "kappa_check_constants"
    }

    fn supports_rewrite(&self) -> bool {
        true
    }

    fn rewrite(&self, plan: LogicalPlan, _config: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        check_all(&plan)?;
        Ok(Transformed::no(plan))
    }
}

/// # Errors
/// If constants are combined somewhere in the plan to what is no value of their type.
fn check_all(plan: &LogicalPlan) -> Result<()> {
    plan.apply_with_subqueries(|node| {
        node.apply_expressions(|expr| {
            value(expr)?;
            Ok(TreeNodeRecursion::Continue)
        })
    })?;
    Ok(())
}

/// A whole number of a type with limits, if it is a constant. Looks at every part once.
///
/// # Errors
/// If constants are combined somewhere in it to what is no value of their type.
fn value(expr: &Expr) -> Result<Option<(i128, ScalarValue)>> {
    deep(|| value_of(expr))
}

fn value_of(expr: &Expr) -> Result<Option<(i128, ScalarValue)>> {
    let (exact, literal) = match expr {
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
            Some((number, literal)) => (Some(-number), literal),
            None => return Ok(None),
        },
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            let (Some((a, literal)), Some((b, _))) = (value(left)?, value(right)?) else {
                return Ok(None);
            };
            // Two numbers of 64 bits can have a product of 128, without a bit for the sign.
            let exact = match op {
                Operator::Plus => a.checked_add(b),
                Operator::Minus => a.checked_sub(b),
                Operator::Multiply => a.checked_mul(b),
                _ => return Ok(None),
            };
            (exact, literal)
        }
        other => {
            other.apply_children(|part| {
                value(part)?;
                Ok(TreeNodeRecursion::Continue)
            })?;
            return Ok(None);
        }
    };
    let data_type = literal.data_type();
    let found = exact.and_then(|number| {
        let found = ScalarValue::try_from_string(number.to_string(), &data_type).ok()?;
        Some((number, found))
    });
    match found {
        Some(found) => Ok(Some(found)),
        None => plan_err!("overflow: {expr} is no {data_type}; write CAST(.. AS decimal(38, 0))"),
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
