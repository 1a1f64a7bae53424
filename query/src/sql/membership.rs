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
//! stays: as a condition of its own, and below AND and OR. There it is left alone, but for two kinds of `NOT IN`:
//!
//! * `5 NOT IN (SELECT ..)`: without a column of the row DataFusion's join has no key, and does not look for NULL. It is a value.
//! * if it is correlated, it is `NOT EXISTS` of a row that is equal or may be:
//!
//! ```text
//!   x NOT IN (SELECT y FROM s WHERE ..)  =  NOT EXISTS (SELECT 1 FROM s WHERE .. AND (x = y OR x IS NULL OR y IS NULL))
//! ```
//!
//! In the condition of an inner join it is as in a filter above that. In an outer join's it is a value of the side that x is of.

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, ExprSchema, Result, ScalarValue, plan_err};
use datafusion::functions_aggregate::expr_fn::count;
use datafusion::logical_expr::expr::{Exists, InSubquery};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::{conjunction, split_conjunction_owned};
use datafusion::logical_expr::{
    BinaryExpr, Expr, Filter, Join, JoinType, LogicalPlan, LogicalPlanBuilder, Operator, Subquery, lit, not, when,
};
use datafusion::optimizer::AnalyzerRule;
use std::sync::Arc;

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
        LogicalPlan::Join(join) if join.filter.as_ref().is_some_and(has_membership) => of_join(join, number),
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
        let condition = values.replace_conjunct(condition)?;
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

fn of_join(mut join: Join, number: &mut usize) -> Result<Transformed<LogicalPlan>> {
    let conditions = join.filter.take().map(split_conjunction_owned).unwrap_or_default();
    let (memberships, others): (Vec<Expr>, Vec<Expr>) = conditions.into_iter().partition(has_membership);
    if join.join_type == JoinType::Inner {
        join.filter = conjunction(others);
        let joined = LogicalPlan::Join(join);
        return match conjunction(memberships) {
            Some(above) => Ok(Transformed::yes(
                of_filter(Filter::try_new(above, Arc::new(joined))?, number)?.data,
            )),
            None => Ok(Transformed::no(joined)),
        };
    }
    let columns: Vec<Expr> = join.schema.columns().into_iter().map(Expr::Column).collect();
    let (left, memberships) = with_values_of_side(&join.left, memberships, number)?;
    let (right, memberships) = with_values_of_side(&join.right, memberships, number)?;
    if memberships.iter().any(has_membership) {
        return plan_err!(
            "IN (SELECT ..) that compares columns of both sides in the ON of an outer join is not supported; compute it before the join, in a subquery in FROM"
        );
    }
    let filter = conjunction(others.into_iter().chain(memberships));
    let joined = Join::try_new(
        Arc::new(left),
        Arc::new(right),
        join.on,
        filter,
        join.join_type,
        join.join_constraint,
        join.null_equality,
        join.null_aware,
    )?;
    let plan = LogicalPlanBuilder::from(LogicalPlan::Join(joined)).project(columns)?;
    Ok(Transformed::yes(plan.build()?))
}

/// Each row of a side has its value: those that are told by a side's columns alone.
fn with_values_of_side(
    side: &LogicalPlan,
    conditions: Vec<Expr>,
    number: &mut usize,
) -> Result<(LogicalPlan, Vec<Expr>)> {
    let mut values = Values::over(side.clone(), number);
    let replaced = conditions.into_iter().map(|condition| {
        let replaced = condition.transform_up(|part| match part {
            Expr::InSubquery(membership)
                if membership
                    .expr
                    .column_refs()
                    .into_iter()
                    .all(|column| side.schema().has_column(column)) =>
            {
                Ok(Transformed::yes(values.value(membership)?))
            }
            part => Ok(Transformed::no(part)),
        });
        Ok(replaced?.data)
    });
    let replaced = replaced.collect::<Result<_>>()?;
    Ok((values.input, replaced))
}

fn has_membership(expr: &Expr) -> bool {
    // Nothing in it fails.
    expr.exists(|part| Ok(matches!(part, Expr::InSubquery(_))))
        .unwrap_or(true)
}

fn is_correlated(subquery: &Subquery) -> bool {
    !subquery.outer_ref_columns.is_empty()
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

    /// One of the conditions that must all be TRUE: DataFusion has joins for `IN` and for `NOT IN` in this place.
    fn replace_conjunct(&mut self, condition: Expr) -> Result<Transformed<Expr>> {
        let membership = match &condition {
            Expr::InSubquery(membership) => Some((membership, membership.negated)),
            Expr::Not(inner) => match inner.as_ref() {
                Expr::InSubquery(membership) => Some((membership, !membership.negated)),
                _ => None,
            },
            _ => None,
        };
        match membership {
            None => self.replace_in_condition(condition),
            Some((_, false)) => Ok(Transformed::no(condition)),
            Some((membership, true)) if is_correlated(&membership.subquery) => {
                Ok(Transformed::yes(self.no_row_is_equal(membership.clone())?))
            }
            Some((membership, true)) if membership.expr.column_refs().is_empty() => self.replace(condition),
            Some((_, true)) => Ok(Transformed::no(condition)),
        }
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
        if is_correlated(&subquery) {
            return plan_err!(
                "IN with a correlated subquery is not supported here, where it may be NULL; write EXISTS, or use it as a condition of its own"
            );
        }
        let inner = subquery.subquery.as_ref().clone();
        if let Some(what) = what_changes(&inner)? {
            return plan_err!(
                "IN of a subquery with {what} is not supported here: it is read twice, and each time its rows may be others; join with it, or write it into a file first"
            );
        }
        *self.number += 1;
        let number = *self.number;
        let name = |what: &str| format!("in {number} {what}");
        let column = |what: &str| Expr::Column(Column::from_name(name(what)));
        let y = first_column(&inner)?;
        let x = self.as_column(*expr, name("value"))?;
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
            .join_on(keys, JoinType::Left, [x.clone().eq(column("key"))])?
            .cross_join(counts)?
            .build()?;
        let is_unknown = x.is_null().or(column("rows").not_eq(column("known")));
        let value = when(column("hit").is_not_null(), lit(true))
            .when(column("rows").eq(lit(0_i64)), lit(false))
            .when(is_unknown, lit(ScalarValue::Boolean(None)))
            .otherwise(lit(false))?;
        Ok(if negated { not(value) } else { value })
    }

    /// Whether no row of a correlated subquery is equal to a value, or may be.
    fn no_row_is_equal(&mut self, InSubquery { expr, subquery, .. }: InSubquery) -> Result<Expr> {
        let inner = subquery.subquery.as_ref().clone();
        if inner.exists(|node| Ok(matches!(node, LogicalPlan::Limit(_))))? {
            return plan_err!(
                "NOT IN with a correlated subquery with LIMIT or OFFSET is not supported; write NOT EXISTS, or join with row_number() OVER (PARTITION BY ..)"
            );
        }
        *self.number += 1;
        let (value, key) = (format!("in {} value", self.number), format!("in {} key", self.number));
        // A column with a name that is nowhere in the subquery.
        let input = std::mem::take(&mut self.input);
        self.input = with_column(input, *expr, &value)?;
        let x = Column::from_name(value);
        let x = Expr::OuterReferenceColumn(self.input.schema().field_from_column(&x)?.clone(), x);
        let y = first_column(&inner)?.alias(&key);
        let key = Expr::Column(Column::from_name(key));
        let may_be_equal = x.clone().eq(key.clone()).or(x.is_null()).or(key.is_null());
        let rows = LogicalPlanBuilder::from(inner)
            .project([y])?
            .filter(may_be_equal)?
            .build()?;
        Ok(Expr::Exists(Exists {
            subquery: Subquery {
                outer_ref_columns: rows.all_out_ref_exprs(),
                subquery: Arc::new(rows),
                spans: subquery.spans,
            },
            negated: true,
        }))
    }

    /// A column of the input that has the value of an expression, which is computed once.
    fn as_column(&mut self, expr: Expr, name: String) -> Result<Expr> {
        if matches!(expr, Expr::Column(_)) {
            return Ok(expr);
        }
        let input = std::mem::take(&mut self.input);
        self.input = with_column(input, expr, &name)?;
        Ok(Expr::Column(Column::from_name(name)))
    }
}

fn with_column(input: LogicalPlan, expr: Expr, name: &str) -> Result<LogicalPlan> {
    let has_subquery = expr.exists(|part| Ok(matches!(part, Expr::ScalarSubquery(_))))?;
    if has_subquery && expr.column_refs().is_empty() && !expr.contains_outer() {
        // One value for all rows; as a column of a projection it would become a key of the join, which the writer of a shuffle
        // does not know.
        let value = LogicalPlanBuilder::empty(true).project([expr.alias(name)])?.build()?;
        return LogicalPlanBuilder::from(input).cross_join(value)?.build();
    }
    let mut columns: Vec<Expr> = input.schema().columns().into_iter().map(Expr::Column).collect();
    columns.push(expr.alias(name));
    LogicalPlanBuilder::from(input).project(columns)?.build()
}

fn first_column(plan: &LogicalPlan) -> Result<Expr> {
    match plan.schema().columns().into_iter().next() {
        Some(column) => Ok(Expr::Column(column)),
        None => plan_err!("IN needs a subquery with a column"),
    }
}

/// What makes the rows of a plan others each time, if anything does.
fn what_changes(plan: &LogicalPlan) -> Result<Option<&'static str>> {
    let mut found = None;
    plan.apply_with_subqueries(|node| {
        node.apply_expressions(|expr| {
            if expr.is_volatile() {
                found = Some("random() or the like");
            }
            Ok(TreeNodeRecursion::Continue)
        })?;
        if let LogicalPlan::Limit(limit) = node
            && !is_sorted(&limit.input)
        {
            found = Some("LIMIT and without ORDER BY");
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(found)
}

fn is_sorted(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Sort(_) => true,
        LogicalPlan::Projection(projection) => is_sorted(&projection.input),
        LogicalPlan::SubqueryAlias(alias) => is_sorted(&alias.input),
        LogicalPlan::Limit(limit) => is_sorted(&limit.input),
        _ => false,
    }
}
