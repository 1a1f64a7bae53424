//! `x IN (SELECT y ..)` as a value: TRUE, FALSE, or NULL if x is NULL or, where x is not found, some y is.
//!
//! ```text
//!   SELECT x IN (SELECT y FROM s) FROM t
//!
//!   =  SELECT CASE WHEN hit THEN true WHEN rows = 0 THEN false WHEN x IS NULL OR rows <> known THEN NULL ELSE false END
//!      FROM t LEFT JOIN (SELECT DISTINCT y, true AS hit FROM s WHERE y IS NOT NULL) ON x = y
//!           CROSS JOIN (SELECT count(*) AS rows, count(y) AS known FROM s)
//! ```
//!
//! DataFusion makes a join of it that knows only TRUE and FALSE. That is enough where a filter is told nothing but whether a row
//! stays: as a condition of its own, and below AND and OR. There it is left alone.

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, Result, ScalarValue, plan_err};
use datafusion::functions_aggregate::expr_fn::count;
use datafusion::logical_expr::expr::InSubquery;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::{conjunction, split_conjunction_owned};
use datafusion::logical_expr::{
    BinaryExpr, Expr, Filter, JoinType, LogicalPlan, LogicalPlanBuilder, Operator, lit, not, when,
};
use datafusion::optimizer::AnalyzerRule;

/// The rule; it comes after types have been made to match.
#[derive(Debug)]
pub(crate) struct Membership;

impl AnalyzerRule for Membership {
    fn name(&self) -> &str {
        "kappa_membership"
    }

    fn analyze(&self, plan: LogicalPlan, _config: &ConfigOptions) -> Result<LogicalPlan> {
        let mut number = 0;
        plan.transform_up_with_subqueries(|node| as_values(node, &mut number))
            .data()
    }
}

fn as_values(node: LogicalPlan, number: &mut usize) -> Result<Transformed<LogicalPlan>> {
    match node {
        LogicalPlan::Filter(filter) => of_filter(filter, number),
        node @ (LogicalPlan::Projection(_) | LogicalPlan::Aggregate(_)) => {
            let mut values = Values::over(node.inputs()[0].clone(), number);
            let names = NamePreserver::new(&node);
            let changed = node.map_expressions(|expr| {
                let name = names.save(&expr);
                Ok(values.replace(expr)?.update_data(|expr| name.restore(expr)))
            })?;
            if !changed.transformed {
                return Ok(changed);
            }
            let expressions = changed.data.expressions();
            let node = changed.data.with_new_exprs(expressions, vec![values.input])?;
            Ok(Transformed::yes(node))
        }
        node => Ok(Transformed::no(node)),
    }
}

fn of_filter(filter: Filter, number: &mut usize) -> Result<Transformed<LogicalPlan>> {
    let mut values = Values::over(filter.input.as_ref().clone(), number);
    let columns: Vec<Expr> = filter.input.schema().columns().into_iter().map(Expr::Column).collect();
    let mut is_changed = false;
    let mut conditions = Vec::new();
    for condition in split_conjunction_owned(filter.predicate.clone()) {
        let condition = match is_in(&condition) {
            true => Transformed::no(condition),
            false => values.replace_in_condition(condition)?,
        };
        is_changed |= condition.transformed;
        conditions.push(condition.data);
    }
    let (true, Some(predicate)) = (is_changed, conjunction(conditions)) else {
        return Ok(Transformed::no(LogicalPlan::Filter(filter)));
    };
    let plan = LogicalPlanBuilder::from(values.input)
        .filter(predicate)?
        .project(columns)?;
    Ok(Transformed::yes(plan.build()?))
}

/// `IN` or `NOT IN` as a whole condition: DataFusion has joins for both.
fn is_in(condition: &Expr) -> bool {
    match condition {
        Expr::InSubquery(_) => true,
        Expr::Not(inner) => matches!(inner.as_ref(), Expr::InSubquery(_)),
        _ => false,
    }
}

/// Adds to an input what the values are computed from.
struct Values<'a> {
    input: LogicalPlan,
    number: &'a mut usize,
}

impl<'a> Values<'a> {
    fn over(input: LogicalPlan, number: &'a mut usize) -> Values<'a> {
        Values { input, number }
    }

    /// A part of a condition that keeps a row if it is TRUE and not if it is FALSE or NULL.
    fn replace_in_condition(&mut self, expr: Expr) -> Result<Transformed<Expr>> {
        match expr {
            Expr::BinaryExpr(BinaryExpr {
                left,
                op: op @ (Operator::And | Operator::Or),
                right,
            }) => {
                let left = self.replace_in_condition(*left)?;
                let right = self.replace_in_condition(*right)?;
                let is_changed = left.transformed || right.transformed;
                let both = BinaryExpr::new(Box::new(left.data), op, Box::new(right.data));
                Ok(Transformed::new(
                    Expr::BinaryExpr(both),
                    is_changed,
                    TreeNodeRecursion::Continue,
                ))
            }
            Expr::InSubquery(InSubquery { negated: false, .. }) => Ok(Transformed::no(expr)),
            other => self.replace(other),
        }
    }

    fn replace(&mut self, expr: Expr) -> Result<Transformed<Expr>> {
        expr.transform_up(|part| match part {
            Expr::InSubquery(membership) => Ok(Transformed::yes(self.value(membership)?)),
            part => Ok(Transformed::no(part)),
        })
    }

    fn value(
        &mut self,
        InSubquery {
            expr,
            subquery,
            negated,
        }: InSubquery,
    ) -> Result<Expr> {
        if !subquery.outer_ref_columns.is_empty() {
            return plan_err!(
                "IN with a correlated subquery is not supported here, where it may be NULL; write EXISTS, or use it as a condition of its own"
            );
        }
        *self.number += 1;
        let name = |what: &str| format!("in {} {what}", self.number);
        let column = |what: &str| Expr::Column(Column::from_name(name(what)));
        let inner = subquery.subquery.as_ref().clone();
        let Some(y) = inner.schema().columns().into_iter().next().map(Expr::Column) else {
            return plan_err!("IN needs a subquery with a column");
        };
        let keys = LogicalPlanBuilder::from(inner.clone())
            .filter(y.clone().is_not_null())?
            .project([y.clone().alias(name("key"))])?
            .distinct()?
            .project([column("key"), lit(true).alias(name("hit"))])?
            .build()?;
        let counts = LogicalPlanBuilder::from(inner)
            .aggregate(
                Vec::<Expr>::new(),
                [count(lit(1)).alias(name("rows")), count(y).alias(name("known"))],
            )?
            .build()?;
        let input = std::mem::take(&mut self.input);
        self.input = LogicalPlanBuilder::from(input)
            .join_on(keys, JoinType::Left, [expr.as_ref().clone().eq(column("key"))])?
            .cross_join(counts)?
            .build()?;
        let is_unknown = expr.is_null().or(column("rows").not_eq(column("known")));
        let value = when(column("hit").is_not_null(), lit(true))
            .when(column("rows").eq(lit(0_i64)), lit(false))
            .when(is_unknown, lit(ScalarValue::Boolean(None)))
            .otherwise(lit(false))?;
        Ok(if negated { not(value) } else { value })
    }
}
