//! Floats are compared, grouped, joined and sorted as if there were one zero and one NaN, which is the greatest and equal to itself.
//!
//! DataFusion goes by their bits, and there are many NaN: that of `0.0 / 0.0` is negative on most processors, and would be less than all
//! numbers and equal to no other. So whatever two floats meet in goes through [`float_key`]; the rows themselves stay as they are.
//!
//! | of | through it go |
//! |---|---|
//! | comparisons, `IN`, `BETWEEN`, `CASE x WHEN` | both sides |
//! | `nullif`, `greatest`, `least` | the arguments |
//! | `GROUP BY`, `DISTINCT`, `UNION`, joins by `USING`, `INTERSECT`, `EXCEPT` | the keys |
//! | `ORDER BY`, `PARTITION BY`, `DISTINCT ON`, orders within aggregates | the keys |
//! | aggregates of `DISTINCT` values, medians and percentiles | the arguments |
//!
//! What cannot be -0.0 or NaN, a whole number as a float for example, stays as it is, and can be pruned by.

use super::float_key::{NAME, float_key};
use super::named;
use datafusion::arrow::datatypes::DataType;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult};
use datafusion::common::{DFSchema, JoinConstraint, Result, ScalarValue};
use datafusion::logical_expr::expr::{Cast, InSubquery, WindowFunction};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{
    Aggregate, BinaryExpr, Distinct, Expr, ExprSchemable, GroupingSet, Join, LogicalPlan, Operator, Projection,
    SortExpr, Subquery,
};
use datafusion::optimizer::AnalyzerRule;
use std::sync::Arc;

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
    let names = NamePreserver::new(&plan);
    let mut within = plan.map_expressions(|expr| named(expr, &names, &|part| keys_within(part, &schema)))?;
    let (plan, is_changed) = keys_of(within.data, &schema)?;
    within.transformed |= is_changed;
    within.data = plan;
    Ok(within)
}

/// The node with its own keys replaced, and whether there are any.
fn keys_of(plan: LogicalPlan, schema: &DFSchema) -> Result<(LogicalPlan, bool)> {
    Ok(match plan {
        LogicalPlan::Sort(mut sort) => {
            let is_changed = replace_order(&mut sort.expr, schema)?;
            (LogicalPlan::Sort(sort), is_changed)
        }
        LogicalPlan::Distinct(Distinct::On(mut on)) => {
            let mut is_changed = replace_all(&mut on.on_expr, schema)?;
            if let Some(keys) = &mut on.sort_expr {
                is_changed |= replace_order(keys, schema)?;
            }
            (LogicalPlan::Distinct(Distinct::On(on)), is_changed)
        }
        LogicalPlan::Distinct(Distinct::All(input)) => match columns_as_keys(&input)? {
            Some(keys) => (LogicalPlan::Distinct(Distinct::All(Arc::new(keys))), true),
            None => (LogicalPlan::Distinct(Distinct::All(input)), false),
        },
        LogicalPlan::Aggregate(aggregate) => of_groups(aggregate, schema)?,
        LogicalPlan::Join(join) => of_join(join)?,
        plan => (plan, false),
    })
}

fn of_groups(aggregate: Aggregate, schema: &DFSchema) -> Result<(LogicalPlan, bool)> {
    let mut groups = aggregate.group_expr.clone();
    let mut is_changed = false;
    for group in &mut groups {
        is_changed |= replace_group(group, schema)?;
    }
    if !is_changed {
        return Ok((LogicalPlan::Aggregate(aggregate), false));
    }
    let aggregate = Aggregate::try_new(aggregate.input, groups, aggregate.aggr_expr)?;
    Ok((LogicalPlan::Aggregate(aggregate), true))
}

fn replace_group(group: &mut Expr, schema: &DFSchema) -> Result<bool> {
    let mut is_changed = false;
    match group {
        Expr::GroupingSet(GroupingSet::Rollup(groups) | GroupingSet::Cube(groups)) => {
            for group in groups {
                is_changed |= replace_group(group, schema)?;
            }
        }
        Expr::GroupingSet(GroupingSet::GroupingSets(sets)) => {
            for group in sets.iter_mut().flatten() {
                is_changed |= replace_group(group, schema)?;
            }
        }
        // Whoever reads the group asks for it by its name.
        group => {
            let name = NamePreserver::new_for_projection().save(group);
            if replace(group, schema)? {
                *group = name.restore(std::mem::take(group));
                is_changed = true;
            }
        }
    }
    Ok(is_changed)
}

fn of_join(mut join: Join) -> Result<(LogicalPlan, bool)> {
    let mut is_changed = false;
    for (left, right) in &mut join.on {
        is_changed |= replace(left, join.left.schema())?;
        is_changed |= replace(right, join.right.schema())?;
    }
    if is_changed {
        // The keys are no columns any more.
        join.join_constraint = JoinConstraint::On;
    }
    Ok((LogicalPlan::Join(join), is_changed))
}

/// The plan with its floats as keys under the names that they have; `None` if it has none.
fn columns_as_keys(plan: &Arc<LogicalPlan>) -> Result<Option<LogicalPlan>> {
    let schema = plan.schema();
    if !schema.fields().iter().any(|field| is_float(field.data_type())) {
        return Ok(None);
    }
    let columns = schema.iter().map(|(qualifier, field)| {
        let column = Expr::from((qualifier, field));
        match is_float(field.data_type()) {
            true => float_key()
                .call(vec![column])
                .alias_qualified(qualifier.cloned(), field.name()),
            false => column,
        }
    });
    let projection = Projection::try_new(columns.collect(), Arc::clone(plan))?;
    Ok(Some(LogicalPlan::Projection(projection)))
}

fn keys_within(mut part: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    let mut is_changed = false;
    match &mut part {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) if compares(*op) => {
            // Only another NaN equals a NaN.
            let by_value = !matches!(op, Operator::Eq | Operator::NotEq) || (!is_number(left) && !is_number(right));
            if by_value {
                is_changed |= replace(left, schema)?;
                is_changed |= replace(right, schema)?;
            }
        }
        Expr::Between(between) => {
            for value in [&mut between.expr, &mut between.low, &mut between.high] {
                is_changed |= replace(value, schema)?;
            }
        }
        Expr::InList(list) => {
            is_changed |= replace(&mut list.expr, schema)?;
            is_changed |= replace_all(&mut list.list, schema)?;
        }
        Expr::InSubquery(InSubquery { expr, subquery, .. }) => {
            is_changed |= replace(expr, schema)?;
            is_changed |= replace_rows(subquery)?;
        }
        Expr::SetComparison(comparison) => {
            is_changed |= replace(&mut comparison.expr, schema)?;
            is_changed |= replace_rows(&mut comparison.subquery)?;
        }
        Expr::Case(case) => {
            if let Some(value) = &mut case.expr {
                is_changed |= replace(value, schema)?;
                for (when, _) in &mut case.when_then_expr {
                    is_changed |= replace(when, schema)?;
                }
            }
        }
        Expr::WindowFunction(window) => {
            let WindowFunction { params, fun } = window.as_mut();
            is_changed |= replace_order(&mut params.order_by, schema)?;
            is_changed |= replace_all(&mut params.partition_by, schema)?;
            if params.distinct || goes_by_order(fun.name()) {
                is_changed |= replace_all(&mut params.args, schema)?;
            }
        }
        Expr::AggregateFunction(function) => {
            let name = function.func.name().to_owned();
            is_changed |= replace_order(&mut function.params.order_by, schema)?;
            if function.params.distinct || goes_by_order(&name) {
                is_changed |= replace_all(&mut function.params.args, schema)?;
            }
        }
        Expr::ScalarFunction(function) if matches!(function.name(), "nullif" | "greatest" | "least") => {
            is_changed |= replace_all(&mut function.args, schema)?;
        }
        _ => {}
    }
    Ok(Transformed::new_transformed(part, is_changed))
}

fn compares(op: Operator) -> bool {
    use Operator::{Eq, Gt, GtEq, IsDistinctFrom, IsNotDistinctFrom, Lt, LtEq, NotEq};
    matches!(
        op,
        Eq | NotEq | Lt | LtEq | Gt | GtEq | IsDistinctFrom | IsNotDistinctFrom
    )
}

/// Whether an aggregate function sorts or counts its arguments' values.
fn goes_by_order(function: &str) -> bool {
    const NAMES: [&str; 6] = [
        "approx_distinct",
        "approx_median",
        "approx_percentile_cont",
        "approx_percentile_cont_with_weight",
        "median",
        "percentile_cont",
    ];
    NAMES.contains(&function)
}

/// Replaces the one column of a subquery's rows.
fn replace_rows(subquery: &mut Subquery) -> Result<bool> {
    match columns_as_keys(&subquery.subquery)? {
        Some(keys) => {
            subquery.subquery = Arc::new(keys);
            Ok(true)
        }
        None => Ok(false),
    }
}

fn replace_order(order: &mut [SortExpr], schema: &DFSchema) -> Result<bool> {
    let mut is_changed = false;
    for key in order {
        is_changed |= replace(&mut key.expr, schema)?;
    }
    Ok(is_changed)
}

fn replace_all(values: &mut [Expr], schema: &DFSchema) -> Result<bool> {
    let mut is_changed = false;
    for value in values {
        is_changed |= replace(value, schema)?;
    }
    Ok(is_changed)
}

/// Makes a key of a float that may be -0.0 or NaN.
fn replace(value: &mut Expr, schema: &DFSchema) -> Result<bool> {
    if is_number(value) || is_key(value) || !is_float(&value.get_type(schema)?) || is_whole(value, schema)? {
        return Ok(false);
    }
    *value = float_key().call(vec![std::mem::take(value)]);
    Ok(true)
}

fn is_float(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Float32 | DataType::Float64)
}

fn is_key(expr: &Expr) -> bool {
    match expr {
        Expr::ScalarFunction(function) => function.name() == NAME,
        Expr::Alias(alias) => is_key(&alias.expr),
        _ => false,
    }
}

/// Whether it is a constant that is its own key.
fn is_number(expr: &Expr) -> bool {
    match expr {
        Expr::Literal(ScalarValue::Float64(Some(float)), _) => !float.is_nan() && *float != 0.0,
        Expr::Literal(ScalarValue::Float32(Some(float)), _) => !float.is_nan() && *float != 0.0,
        _ => false,
    }
}

/// Whether it is made of a number of a type that has neither -0.0 nor NaN.
fn is_whole(expr: &Expr, schema: &DFSchema) -> Result<bool> {
    match expr {
        Expr::Cast(Cast { expr, .. }) => {
            let from = expr.get_type(schema)?;
            Ok(from.is_integer() || from.is_decimal())
        }
        _ => Ok(false),
    }
}
