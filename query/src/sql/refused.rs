//! What would be answered wrongly and is refused, and what can be said without an answer.
//!
//! * `EXISTS` of an aggregate without groups is TRUE: it has one row. With `HAVING`, and as the subquery of `IN`, it is refused
//!   if it is correlated: the join that is made of it has no row where nothing is counted.
//! * `EXISTS` with `OFFSET` is refused if it is correlated: each row outside would skip its own.
//! * A subquery that calls `random()` and is written twice would be computed once.
//! * Intervals of months and days have no order, and equality neither: is a month more than 30 days, or a day 24 hours?

use datafusion::arrow::datatypes::DataType;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, Result, plan_err};
use datafusion::logical_expr::expr::{Exists, InSubquery};
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{BinaryExpr, Expr, ExprSchemable, LogicalPlan, Operator, Subquery, lit};
use datafusion::optimizer::AnalyzerRule;
use std::sync::Arc;

/// The rule.
#[derive(Debug)]
pub(crate) struct Refused;

impl AnalyzerRule for Refused {
    fn name(&self) -> &str {
        "kappa_refused"
    }

    fn analyze(&self, plan: LogicalPlan, _config: &ConfigOptions) -> Result<LogicalPlan> {
        check_draws(&plan)?;
        plan.transform_up_with_subqueries(|node| {
            let schema = merge_schema(&node.inputs());
            node.map_expressions(|expr| expr.transform_up(|part| checked(part, &schema)))
        })
        .data()
    }
}

/// `(SELECT random())` that is written twice is drawn twice; DataFusion takes the two for one.
fn check_draws(plan: &LogicalPlan) -> Result<()> {
    let mut drawn: Vec<Arc<LogicalPlan>> = Vec::new();
    plan.apply_with_subqueries(|node| {
        node.apply_expressions(|expr| {
            expr.apply(|part| {
                if let Expr::ScalarSubquery(subquery) = part
                    && is_volatile(&subquery.subquery)?
                {
                    if drawn.contains(&subquery.subquery) {
                        return plan_err!(
                            "the same subquery that calls random() or the like twice is not supported; make the two different, as in \
                             random() + 0"
                        );
                    }
                    drawn.push(Arc::clone(&subquery.subquery));
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })
    })?;
    Ok(())
}

fn is_volatile(plan: &LogicalPlan) -> Result<bool> {
    let mut found = false;
    plan.apply_with_subqueries(|node| {
        node.apply_expressions(|expr| {
            found |= expr.is_volatile();
            Ok(TreeNodeRecursion::Continue)
        })
    })?;
    Ok(found)
}

fn checked(part: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    match &part {
        Expr::Exists(Exists { subquery, .. }) if is_correlated(subquery) && skips_rows(&subquery.subquery) => {
            plan_err!(
                "EXISTS of a correlated subquery with OFFSET is not supported; compare a count, as in (SELECT count(*) ..) > 3"
            )
        }
        Expr::Exists(Exists { subquery, negated }) => match rows_of(subquery) {
            Rows::One => Ok(Transformed::yes(lit(!negated))),
            Rows::OneOrNone if is_correlated(subquery) => plan_err!(
                "EXISTS of a correlated aggregate with a condition is not supported; compare the aggregate itself, as in (SELECT count(*) ..) > 1"
            ),
            Rows::OneOrNone | Rows::Any => Ok(Transformed::no(part)),
        },
        Expr::InSubquery(InSubquery { subquery, .. }) if is_correlated(subquery) => match rows_of(subquery) {
            Rows::Any => Ok(Transformed::no(part)),
            Rows::One | Rows::OneOrNone => plan_err!(
                "IN with a correlated aggregate is not supported; it has one row: compare with it, as in x = (SELECT count(*) ..)"
            ),
        },
        Expr::BinaryExpr(BinaryExpr { left, op, right }) if compares(*op) => {
            match is_interval(left, schema) && is_interval(right, schema) {
                true => plan_err!(
                    "intervals cannot be compared, as months and days have no length; compare the dates, as in a + {right} > b"
                ),
                false => Ok(Transformed::no(part)),
            }
        }
        _ => Ok(Transformed::no(part)),
    }
}

/// Whether there is an OFFSET in it.
fn skips_rows(plan: &LogicalPlan) -> bool {
    let has_offset = |node: &LogicalPlan| match node {
        LogicalPlan::Limit(limit) => Ok(limit.skip.is_some()),
        _ => Ok(false),
    };
    plan.exists(has_offset).unwrap_or(true)
}

fn compares(op: Operator) -> bool {
    use Operator::{Eq, Gt, GtEq, IsDistinctFrom, IsNotDistinctFrom, Lt, LtEq, NotEq};
    matches!(
        op,
        Eq | NotEq | Lt | LtEq | Gt | GtEq | IsDistinctFrom | IsNotDistinctFrom
    )
}

fn is_interval(expr: &Expr, schema: &DFSchema) -> bool {
    matches!(expr.get_type(schema), Ok(DataType::Interval(_)))
}

fn is_correlated(subquery: &Subquery) -> bool {
    !subquery.outer_ref_columns.is_empty()
}

/// How many rows a subquery has.
enum Rows {
    One,
    OneOrNone,
    Any,
}

fn rows_of(subquery: &Subquery) -> Rows {
    let mut plan = subquery.subquery.as_ref();
    let mut has_condition = false;
    loop {
        plan = match plan {
            LogicalPlan::Projection(projection) => &projection.input,
            LogicalPlan::SubqueryAlias(alias) => &alias.input,
            LogicalPlan::Sort(sort) => &sort.input,
            LogicalPlan::Filter(filter) => {
                has_condition = true;
                &filter.input
            }
            LogicalPlan::Limit(limit) => {
                has_condition = true;
                &limit.input
            }
            LogicalPlan::Aggregate(aggregate) if aggregate.group_expr.is_empty() => {
                return match has_condition {
                    true => Rows::OneOrNone,
                    false => Rows::One,
                };
            }
            _ => return Rows::Any,
        }
    }
}
