//! Intervals that may have months are not compared: is a month more than 30 days? A time between two timestamps is.
//!
//! DataFusion compares intervals by months, then days, then nanoseconds, and makes an interval of nanoseconds of what is between
//! two timestamps, so that 24 hours are less than a day, and not equal to it. Here a day has 24 hours:
//!
//! ```text
//!   CAST(t2 - t1 AS interval) > interval '1 day'     becomes     t2 - t1 > duration of 86400 s
//! ```
//!
//! Everything else that would compare intervals is refused.

use datafusion::arrow::datatypes::{DataType, IntervalUnit, TimeUnit};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::common::{DFSchema, Result, ScalarValue, plan_err};
use datafusion::logical_expr::expr::{AggregateFunctionParams, InList, WindowFunctionParams};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{
    Between, BinaryExpr, Cast, Distinct, Expr, ExprSchemable, LogicalPlan, Operator, SortExpr, lit,
};
use datafusion::optimizer::AnalyzerRule;

/// The rule; it comes after types have been made to match.
#[derive(Debug)]
pub(crate) struct Intervals;

impl AnalyzerRule for Intervals {
    fn name(&self) -> &str {
        "kappa_intervals"
    }

    fn analyze(&self, plan: LogicalPlan, _config: &ConfigOptions) -> Result<LogicalPlan> {
        plan.transform_up_with_subqueries(|node| {
            let schema = merge_schema(&node.inputs());
            check_node(&node, &schema)?;
            let names = NamePreserver::new(&node);
            node.map_expressions(|expr| {
                let name = names.save(&expr);
                let expr = expr.transform_up(|part| compared(part, &schema))?;
                Ok(expr.update_data(|expr| name.restore(expr)))
            })
        })
        .data()
    }
}

/// # Errors
/// If the node puts rows in an order or together by an interval.
fn check_node(node: &LogicalPlan, schema: &DFSchema) -> Result<()> {
    match node {
        LogicalPlan::Sort(sort) => refuse_keys(&sort.expr, schema),
        LogicalPlan::Distinct(Distinct::All(input)) => {
            match input
                .schema()
                .fields()
                .iter()
                .find(|field| has_interval(field.data_type()))
            {
                Some(field) => refused(field.name()),
                None => Ok(()),
            }
        }
        LogicalPlan::Distinct(Distinct::On(on)) => {
            refuse_keys(on.sort_expr.as_deref().unwrap_or_default(), schema)?;
            refuse_all(&on.on_expr, schema)
        }
        LogicalPlan::Aggregate(aggregate) => refuse_all(&aggregate.group_expr, schema),
        LogicalPlan::Join(join) => join.on.iter().try_for_each(|(left, right)| {
            refuse(left, join.left.schema())?;
            refuse(right, join.right.schema())
        }),
        _ => Ok(()),
    }
}

fn compared(part: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    match part {
        Expr::BinaryExpr(BinaryExpr { left, op, right }) if compares(op) => {
            let [left, right] = match comparable([*left, *right], schema)? {
                Transformed {
                    data,
                    transformed: false,
                    ..
                } => {
                    let [left, right] = data;
                    let same = BinaryExpr::new(Box::new(left), op, Box::new(right));
                    return Ok(Transformed::no(Expr::BinaryExpr(same)));
                }
                changed => changed.data,
            };
            let compared = BinaryExpr::new(Box::new(left), op, Box::new(right));
            Ok(Transformed::yes(Expr::BinaryExpr(compared)))
        }
        Expr::Between(between) => {
            let operands = [*between.expr, *between.low, *between.high];
            Ok(comparable(operands, schema)?.update_data(|[expr, low, high]| {
                Expr::Between(Between::new(
                    Box::new(expr),
                    between.negated,
                    Box::new(low),
                    Box::new(high),
                ))
            }))
        }
        Expr::InList(InList { expr, list, negated }) => {
            let operands: Vec<Expr> = std::iter::once(*expr).chain(list).collect();
            Ok(comparable_all(operands, schema)?.update_data(|mut operands| {
                let expr = operands.remove(0);
                Expr::InList(InList::new(Box::new(expr), operands, negated))
            }))
        }
        part => {
            check_part(&part, schema)?;
            Ok(Transformed::no(part))
        }
    }
}

/// # Errors
/// If the part compares intervals.
fn check_part(part: &Expr, schema: &DFSchema) -> Result<()> {
    match part {
        Expr::InSubquery(membership) => refuse(&membership.expr, schema),
        Expr::Case(case) => case.expr.iter().try_for_each(|expr| refuse(expr, schema)),
        Expr::ScalarFunction(function) if matches!(function.name(), "nullif" | "greatest" | "least") => {
            refuse_all(&function.args, schema)
        }
        Expr::AggregateFunction(function) => {
            let AggregateFunctionParams {
                args,
                distinct,
                order_by,
                ..
            } = &function.params;
            refuse_keys(order_by, schema)?;
            match *distinct || is_extreme(function.func.name()) {
                true => refuse_all(args, schema),
                false => Ok(()),
            }
        }
        Expr::WindowFunction(function) => {
            let WindowFunctionParams {
                args,
                distinct,
                partition_by,
                order_by,
                ..
            } = &function.params;
            refuse_keys(order_by, schema)?;
            refuse_all(partition_by, schema)?;
            match *distinct || is_extreme(function.fun.name()) {
                true => refuse_all(args, schema),
                false => Ok(()),
            }
        }
        _ => Ok(()),
    }
}

fn is_extreme(function: &str) -> bool {
    matches!(function, "min" | "max")
}

fn compares(op: Operator) -> bool {
    use Operator::{Eq, Gt, GtEq, IsDistinctFrom, IsNotDistinctFrom, Lt, LtEq, NotEq};
    matches!(
        op,
        Eq | NotEq | Lt | LtEq | Gt | GtEq | IsDistinctFrom | IsNotDistinctFrom
    )
}

fn has_interval(data_type: &DataType) -> bool {
    match data_type {
        DataType::Interval(_) => true,
        DataType::List(item) => has_interval(item.data_type()),
        DataType::Struct(fields) => fields.iter().any(|field| has_interval(field.data_type())),
        _ => false,
    }
}

fn is_interval(expr: &Expr, schema: &DFSchema) -> bool {
    expr.get_type(schema).is_ok_and(|data_type| has_interval(&data_type))
}

fn refused<T>(what: &str) -> Result<T> {
    plan_err!(
        "{what} is an interval, and intervals have no order and no equality, as months and days have no length; compare dates, as in a + interval '1 month' > b, or what is between two timestamps with an interval of days and hours"
    )
}

fn refuse(expr: &Expr, schema: &DFSchema) -> Result<()> {
    match is_interval(expr, schema) {
        true => refused(&expr.to_string()),
        false => Ok(()),
    }
}

fn refuse_all(exprs: &[Expr], schema: &DFSchema) -> Result<()> {
    exprs.iter().try_for_each(|expr| refuse(expr, schema))
}

fn refuse_keys(keys: &[SortExpr], schema: &DFSchema) -> Result<()> {
    keys.iter().try_for_each(|key| refuse(&key.expr, schema))
}

fn comparable<const N: usize>(operands: [Expr; N], schema: &DFSchema) -> Result<Transformed<[Expr; N]>> {
    let operands = comparable_all(operands.into(), schema)?;
    operands.map_data(|operands| match <[Expr; N]>::try_from(operands) {
        Ok(operands) => Ok(operands),
        Err(operands) => plan_err!("{} operands are compared instead of {N}", operands.len()),
    })
}

/// What is compared, as durations if it was intervals.
///
/// # Errors
/// If an interval is none of days and shorter times.
fn comparable_all(operands: Vec<Expr>, schema: &DFSchema) -> Result<Transformed<Vec<Expr>>> {
    let Some(interval) = operands.iter().find(|operand| is_interval(operand, schema)) else {
        return Ok(Transformed::no(operands));
    };
    let mut lengths = Vec::with_capacity(operands.len());
    for operand in &operands {
        match Length::of(operand, schema) {
            Some(length) => lengths.push(length),
            None => return refused(&interval.to_string()),
        }
    }
    // The unit of what is between timestamps, if the literals are so many of it.
    let mut units = lengths.iter().filter_map(|length| match length {
        Length::Between(_, unit) => Some(*unit),
        Length::Literal(_) => None,
    });
    let first = units.next().unwrap_or(TimeUnit::Nanosecond);
    let is_one = units.all(|unit| unit == first);
    let fits = |unit| lengths.iter().all(|length| length.is_whole(unit));
    let unit = match (is_one && fits(first), fits(TimeUnit::Nanosecond)) {
        (true, _) => first,
        (false, true) => TimeUnit::Nanosecond,
        (false, false) => return refused(&interval.to_string()),
    };
    Ok(Transformed::yes(
        lengths.into_iter().map(|length| length.in_unit(unit)).collect(),
    ))
}

/// An interval of days and shorter times.
enum Length {
    /// What is between two timestamps.
    Between(Expr, TimeUnit),
    /// Nanoseconds, or NULL.
    Literal(Option<i128>),
}

impl Length {
    fn of(expr: &Expr, schema: &DFSchema) -> Option<Length> {
        match expr {
            Expr::Alias(alias) => Length::of(&alias.expr, schema),
            Expr::Negative(inner) => match Length::of(inner, schema)? {
                Length::Literal(nanoseconds) => Some(Length::Literal(nanoseconds.map(|all| -all))),
                Length::Between(..) => None,
            },
            Expr::Cast(Cast { expr, field })
                if matches!(field.data_type(), DataType::Interval(IntervalUnit::MonthDayNano)) =>
            {
                match (expr.get_type(schema), expr.as_ref()) {
                    (Ok(DataType::Duration(unit)), _) => Some(Length::Between(expr.as_ref().clone(), unit)),
                    (Ok(DataType::Interval(_)), _) => Length::of(expr, schema),
                    (Ok(DataType::Null), _) => Some(Length::Literal(None)),
                    _ => None,
                }
            }
            Expr::Literal(literal, _) => nanoseconds(literal).map(Length::Literal),
            _ => None,
        }
    }

    fn is_whole(&self, unit: TimeUnit) -> bool {
        match self {
            Length::Between(..) | Length::Literal(None) => true,
            Length::Literal(Some(all)) => all % length_of(unit) == 0 && i64::try_from(all / length_of(unit)).is_ok(),
        }
    }

    fn in_unit(self, unit: TimeUnit) -> Expr {
        match self {
            Length::Between(expr, own) if own == unit => expr,
            Length::Between(expr, _) => datafusion::logical_expr::expr_fn::cast(expr, DataType::Duration(unit)),
            Length::Literal(nanoseconds) => {
                // That it fits was asked before.
                let count = nanoseconds.and_then(|all| i64::try_from(all / length_of(unit)).ok());
                lit(match unit {
                    TimeUnit::Second => ScalarValue::DurationSecond(count),
                    TimeUnit::Millisecond => ScalarValue::DurationMillisecond(count),
                    TimeUnit::Microsecond => ScalarValue::DurationMicrosecond(count),
                    TimeUnit::Nanosecond => ScalarValue::DurationNanosecond(count),
                })
            }
        }
    }
}

/// How many nanoseconds it has.
fn length_of(unit: TimeUnit) -> i128 {
    match unit {
        TimeUnit::Second => 1_000_000_000,
        TimeUnit::Millisecond => 1_000_000,
        TimeUnit::Microsecond => 1_000,
        TimeUnit::Nanosecond => 1,
    }
}

/// The length of an interval without months, or NULL.
fn nanoseconds(literal: &ScalarValue) -> Option<Option<i128>> {
    const DAY: i128 = 86_400_000_000_000;
    match literal {
        ScalarValue::Null => Some(None),
        ScalarValue::IntervalMonthDayNano(None) | ScalarValue::IntervalDayTime(None) => Some(None),
        ScalarValue::IntervalMonthDayNano(Some(value)) if value.months == 0 => {
            Some(Some(i128::from(value.days) * DAY + i128::from(value.nanoseconds)))
        }
        ScalarValue::IntervalDayTime(Some(value)) => Some(Some(
            i128::from(value.days) * DAY + i128::from(value.milliseconds) * 1_000_000,
        )),
        _ => None,
    }
}
