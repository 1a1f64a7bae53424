//! SQL that DataFusion would answer wrongly, or not at all, put right: one rule per file.
//!
//! | rule | works on | without it |
//! |---|---|---|
//! | [`fetch`] | the text's syntax tree | `FETCH FIRST` is not known |
//! | [`numbers`] | the text | `1_000` is the number 1, called `_000` |
//! | [`passed_over`] | the syntax tree | `TABLESAMPLE`, `PREWHERE`, `WITH ROLLUP` and others are passed over |
//! | [`operators`] | the syntax tree | `^` is no power; `a IS DISTINCT FROM b AND c` is `a IS DISTINCT FROM (b AND c)` |
//! | [`patterns`] | the syntax tree | `SIMILAR TO` matches a part of the text; `ESCAPE` is not known |
//! | [`rows`] | the syntax tree | in `(a, b) < (c, d)` NULL is a value |
//! | [`literals`] | the syntax tree | numbers of many digits lose some |
//! | [`bags`] | the syntax tree, then the plan | `INTERSECT ALL`, `EXCEPT ALL` forget how often a row is there |
//! | [`merged_keys`] | the syntax tree, then the plan | the key of `FULL JOIN .. USING` is NULL where only the right side has it |
//! | [`zones`] | the plan | a text with a zone is moved to UTC where it is cast to a type without one |
//! | [`in_zone`](mod@in_zone) | `to_timestamp` and others | of a column of texts they have another type than they promise |
//! | [`shifts`](mod@shifts) | the plan | `1 << 64` is 1 |
//! | [`frames`] | functions of floats | over a sliding window, 1e300 takes the small numbers with it when it leaves |
//! | [`ranges`] | the plan | 1e300 is infinity as a real, and 1e18 seconds the year 2262 |
//! | [`sum`] | the function `sum` | a sum that does not fit its type wraps around |
//! | [`constants`] | the plan, whenever constants are folded next | so does arithmetic on constants |
//! | [`membership`] | the plan | `k IN (SELECT ..)` as a value is never NULL |
//! | [`float_keys`] | the plan | there are several NaN, equal to themselves only, first or last in an order by their sign |
//! | [`extremes`](mod@extremes) | the functions `min`, `max` | NaN counts or does not, by how the plan was made |
//! | [`decimals`] | the plan | decimals of 39 digits lose the last |
//! | [`intervals`] | the plan | intervals are compared by months first, and 24 hours are less than a day |
//! | [`refused`] | the plan | correlated subqueries of aggregates lose their row |
//! | [`nan_pruning`] | the physical plan | row groups with NaN are left out by statistics that NaN is not in |
//!
//! Arithmetic on columns is checked where plans are read from bytes: `plan/converter.rs`.

mod bags;
mod constants;
mod converted;
mod decimals;
mod extremes;
mod fetch;
mod float_key;
mod float_keys;
mod frames;
mod in_zone;
mod intervals;
mod literals;
mod membership;
mod merged_keys;
mod nan_pruning;
mod numbers;
mod operators;
mod passed_over;
mod patterns;
mod ranges;
mod refused;
mod rows;
mod shifts;
mod sum;
mod zones;

pub(crate) use constants::CheckConstants;
pub(crate) use decimals::{CheckDecimals, checked_decimal};
pub(crate) use extremes::extremes;
pub(crate) use float_key::float_key;
pub(crate) use float_keys::FloatKeys;
pub(crate) use frames::framed_functions;
pub(crate) use in_zone::in_zone;
pub(crate) use intervals::Intervals;
pub(crate) use membership::Membership;
pub(crate) use nan_pruning::NanPruning;
pub(crate) use numbers::check_numbers;
pub(crate) use ranges::{CheckRanges, range_checks};
pub(crate) use refused::Refused;
pub(crate) use shifts::{CheckShifts, shifts};
pub(crate) use sum::CheckedSum;
pub(crate) use zones::{Zones, without_zone};

use crate::error::Result;
use datafusion::common::Result as DataFusionResult;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeContainer};
use datafusion::common::{DFSchema, DataFusionError};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::planner::{RelationPlanner, RelationPlannerContext, RelationPlanning};
use datafusion::logical_expr::utils::merge_schema;
use datafusion::logical_expr::{Expr as LogicalExpr, GroupingSet, LogicalPlan};
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::{Expr, Query, Select, SetExpr, TableFactor, VisitMut, VisitorMut};
use std::ops::ControlFlow;

/// Rewrites a statement's syntax tree, and marks what [`Relations`] plans.
///
/// # Errors
/// For what cannot be put right; the message says what to write instead.
pub(crate) fn rewrite(statement: &mut Statement) -> Result<()> {
    let inner = match statement {
        Statement::Statement(statement) => statement.as_mut(),
        Statement::Explain(explain) => return rewrite(&mut explain.statement),
        _ => return Ok(()),
    };
    match VisitMut::visit(inner, &mut Rewrite { choices: 0 }) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(error.into()),
    }
}

struct Rewrite {
    /// How many choices there are around an expression.
    choices: usize,
}

impl VisitorMut for Rewrite {
    type Break = DataFusionError;

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<DataFusionError> {
        self.choices += usize::from(operators::is_choice(expr));
        broken_off(operators::check_choices(self.choices))
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<DataFusionError> {
        self.choices -= usize::from(operators::is_choice(expr));
        literals::rewrite(expr);
        let checked = operators::check(expr).and_then(|()| passed_over::check_expr(expr));
        broken_off(
            checked
                .and_then(|()| patterns::rewrite(expr))
                .and_then(|()| rows::rewrite(expr)),
        )
    }

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<DataFusionError> {
        broken_off(passed_over::check_query(query))
    }

    fn pre_visit_select(&mut self, select: &mut Select) -> ControlFlow<DataFusionError> {
        broken_off(passed_over::check_select(select))
    }

    fn pre_visit_table_factor(&mut self, table: &mut TableFactor) -> ControlFlow<DataFusionError> {
        broken_off(passed_over::check_table(table))
    }

    // From the inside outwards, so that what a rule makes is not rewritten again.
    fn post_visit_query(&mut self, query: &mut Query) -> ControlFlow<DataFusionError> {
        broken_off(rewrite_query(query))
    }
}

fn broken_off(result: DataFusionResult<()>) -> ControlFlow<DataFusionError> {
    match result {
        Ok(()) => ControlFlow::Continue(()),
        Err(error) => ControlFlow::Break(error),
    }
}

fn rewrite_query(query: &mut Query) -> DataFusionResult<()> {
    fetch::rewrite(query)?;
    rewrite_body(&mut query.body)
}

fn rewrite_body(body: &mut SetExpr) -> DataFusionResult<()> {
    match body {
        SetExpr::SetOperation { left, right, .. } => {
            rewrite_body(left)?;
            rewrite_body(right)?;
            bags::mark(body)
        }
        SetExpr::Select(select) => merged_keys::mark(select),
        _ => Ok(()),
    }
}

/// Rewrites all expressions of a plan, each part with the schema that it is computed on; all keep the names that others know them by.
fn rewritten(
    plan: LogicalPlan,
    rewrite: impl Fn(LogicalExpr, &DFSchema) -> DataFusionResult<Transformed<LogicalExpr>>,
) -> DataFusionResult<LogicalPlan> {
    plan.transform_up_with_subqueries(|node| {
        let schema = merge_schema(&node.inputs());
        let names = NamePreserver::new(&node);
        node.map_expressions(|expr| named(expr, &names, &|part| rewrite(part, &schema)))
    })
    .data()
}

/// Rewrites an expression of a node from the inside outwards; it keeps the name that others know it by.
fn named(
    expr: LogicalExpr,
    names: &NamePreserver,
    rewrite: &impl Fn(LogicalExpr) -> DataFusionResult<Transformed<LogicalExpr>>,
) -> DataFusionResult<Transformed<LogicalExpr>> {
    let each = |group: LogicalExpr| named(group, names, rewrite);
    match expr {
        // It has no name; each of its groups has one.
        LogicalExpr::GroupingSet(sets) => Ok(match sets {
            GroupingSet::Rollup(groups) => groups
                .map_elements(each)?
                .update_data(|groups| LogicalExpr::GroupingSet(GroupingSet::Rollup(groups))),
            GroupingSet::Cube(groups) => groups
                .map_elements(each)?
                .update_data(|groups| LogicalExpr::GroupingSet(GroupingSet::Cube(groups))),
            GroupingSet::GroupingSets(sets) => sets
                .map_elements(each)?
                .update_data(|sets| LogicalExpr::GroupingSet(GroupingSet::GroupingSets(sets))),
        }),
        expr => {
            let name = names.save(&expr);
            let expr = expr.transform_up(rewrite)?;
            Ok(expr.update_data(|expr| name.restore(expr)))
        }
    }
}

/// Plans the relations that the rules have marked.
#[derive(Debug)]
pub(crate) struct Relations;

impl RelationPlanner for Relations {
    fn plan_relation(
        &self,
        relation: TableFactor,
        context: &mut dyn RelationPlannerContext,
    ) -> DataFusionResult<RelationPlanning> {
        if let Some(planned) = bags::plan(&relation, context)? {
            return Ok(RelationPlanning::Planned(Box::new(planned)));
        }
        if let Some(planned) = merged_keys::plan(&relation, context)? {
            return Ok(RelationPlanning::Planned(Box::new(planned)));
        }
        Ok(RelationPlanning::Original(Box::new(relation)))
    }
}
