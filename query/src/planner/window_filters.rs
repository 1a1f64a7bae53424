//! A rule for DataFusion's logical optimiser: `FILTER` of a window aggregate becomes an argument ([`filtered`](crate::plan)).
//!
//! ```text
//!   before                                    after
//!
//!   Window: sum(x) FILTER (WHERE c) OVER w    Window: "filtered sum"(c, x) OVER w AS (the same name)
//! ```
//!
//! Window functions that are no aggregates have neither FILTER nor DISTINCT in SQL; DataFusion takes both and does nothing about them,
//! so they are refused here.

use std::sync::Arc;

use datafusion::common::tree_node::Transformed;
use datafusion::common::{DataFusionError, Result, plan_err};
use datafusion::logical_expr::expr::{Alias, WindowFunction};
use datafusion::logical_expr::{Expr, LogicalPlan, Window, WindowFunctionDefinition};
use datafusion::optimizer::{OptimizerConfig, OptimizerRule};

use crate::plan::filtered::filtered_name;

/// The rule.
#[derive(Debug)]
pub(crate) struct WindowFilters;

impl OptimizerRule for WindowFilters {
    fn name(&self) -> &str {
        "kappa_window_filters"
    }

    fn rewrite(&self, plan: LogicalPlan, config: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        plan.transform_down_with_subqueries(|node| {
            let LogicalPlan::Window(window) = &node else {
                return Ok(Transformed::no(node));
            };
            for expr in &window.window_expr {
                check(window_function(expr))?;
            }
            if !window.window_expr.iter().any(has_filter) {
                return Ok(Transformed::no(node));
            }
            let exprs = window.window_expr.iter().map(|expr| match has_filter(expr) {
                true => without_filter(expr, config),
                false => Ok(expr.clone()),
            });
            let exprs = exprs.collect::<Result<Vec<_>>>()?;
            let window = Window::try_new(exprs, Arc::clone(&window.input))?;
            Ok(Transformed::yes(LogicalPlan::Window(window)))
        })
    }
}

fn window_function(expr: &Expr) -> Option<&WindowFunction> {
    match expr {
        Expr::WindowFunction(function) => Some(function),
        Expr::Alias(Alias { expr, .. }) => window_function(expr),
        _ => None,
    }
}

fn has_filter(expr: &Expr) -> bool {
    window_function(expr).is_some_and(|function| function.params.filter.is_some())
}

fn check(function: Option<&WindowFunction>) -> Result<()> {
    let Some(WindowFunction {
        fun: WindowFunctionDefinition::WindowUDF(fun),
        params,
    }) = function
    else {
        return Ok(());
    };
    let clause = match (params.filter.is_some(), params.distinct) {
        (true, _) => "FILTER",
        (_, true) => "DISTINCT",
        _ => return Ok(()),
    };
    plan_err!(
        "{clause} is for aggregate functions, and {} is none; write the condition into its argument, with CASE",
        fun.name()
    )
}

/// The expression under its old name.
fn without_filter(expr: &Expr, config: &dyn OptimizerConfig) -> Result<Expr> {
    let (relation, name) = expr.qualified_name();
    let unfilterable = || {
        DataFusionError::Plan(format!(
            "{name}: FILTER of a window cannot be run with this function; write the condition into its argument, with CASE"
        ))
    };
    let mut function = window_function(expr).ok_or_else(unfilterable)?.clone();
    let (WindowFunctionDefinition::AggregateUDF(inner), Some(condition)) =
        (&function.fun, function.params.filter.take())
    else {
        return Err(unfilterable());
    };
    let registry = config.function_registry().ok_or_else(unfilterable)?;
    let filtered = registry
        .udaf(&filtered_name(inner.name()))
        .map_err(|_| unfilterable())?;
    function.fun = WindowFunctionDefinition::AggregateUDF(filtered);
    function.params.args.insert(0, *condition);
    Ok(Expr::WindowFunction(Box::new(function)).alias_qualified(relation, name))
}
