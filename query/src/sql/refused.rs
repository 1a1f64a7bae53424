//! What would be answered wrongly and is refused, and what can be said without an answer.
//!
//! * `EXISTS` of an aggregate without groups is TRUE: it has one row. With `HAVING`, and as the subquery of `IN`, it is refused
//!   if it is correlated: the join that is made of it has no row where nothing is counted.
//! * `EXISTS` with `OFFSET` is refused if it is correlated: each row outside would skip its own.
//! * A subquery that calls `random()` and is written twice would be computed once.
//! * A correlated condition is made one of the join around the subquery. Below a window function, an outer join that has its
//!   other side's rows all the same, and an aggregate without groups that is not the subquery's own, it says something else there.

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{JoinType, Result, plan_err};
use datafusion::logical_expr::expr::{Exists, InSubquery};
use datafusion::logical_expr::{Expr, LogicalPlan, Subquery, lit};
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
            if let LogicalPlan::Subquery(subquery) = &node {
                check_correlation(&subquery.subquery, true)?;
            }
            node.map_expressions(|expr| expr.transform_up(checked))
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

fn checked(part: Expr) -> Result<Transformed<Expr>> {
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

fn is_correlated(subquery: &Subquery) -> bool {
    !subquery.outer_ref_columns.is_empty()
}

/// # Errors
/// If a condition on columns outside is below what it cannot be taken out of.
fn check_correlation(plan: &LogicalPlan, is_top: bool) -> Result<()> {
    if plan.all_out_ref_exprs().is_empty() {
        return Ok(());
    }
    let has_outside = |side: &LogicalPlan| !side.all_out_ref_exprs().is_empty();
    let what = match plan {
        LogicalPlan::Window(window) if has_outside(&window.input) => Some("a window function"),
        LogicalPlan::Aggregate(aggregate) if aggregate.group_expr.iter().any(is_grouping_set) => {
            Some("GROUPING SETS, ROLLUP or CUBE")
        }
        LogicalPlan::Aggregate(aggregate) if aggregate.group_expr.is_empty() && !is_top => {
            Some("an aggregate without GROUP BY inside")
        }
        LogicalPlan::Join(join) => match join.join_type {
            JoinType::Left if has_outside(&join.right) => Some("an outer join"),
            JoinType::Right if has_outside(&join.left) => Some("an outer join"),
            JoinType::Full => Some("an outer join"),
            _ => None,
        },
        _ => None,
    };
    if let Some(what) = what {
        return plan_err!(
            "a correlated subquery with {what} over the correlated rows is not supported: each row outside would need its own; join with it instead, grouped or partitioned by what it is correlated with"
        );
    }
    let is_still_top = is_top
        && matches!(
            plan,
            LogicalPlan::Projection(_)
                | LogicalPlan::SubqueryAlias(_)
                | LogicalPlan::Filter(_)
                | LogicalPlan::Sort(_)
                | LogicalPlan::Limit(_)
        );
    plan.inputs()
        .into_iter()
        .try_for_each(|input| check_correlation(input, is_still_top))
}

fn is_grouping_set(expr: &Expr) -> bool {
    matches!(expr, Expr::GroupingSet(_))
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
