//! SQL that DataFusion would answer wrongly, or not at all, put right: one rule per file.
//!
//! | rule | works on | without it |
//! |---|---|---|
//! | [`fetch`] | the text's syntax tree | `FETCH FIRST` is not known |
//! | [`literals`] | the syntax tree | numbers of many digits lose some |
//! | [`bags`] | the syntax tree, then the plan | `INTERSECT ALL`, `EXCEPT ALL` forget how often a row is there |
//! | [`merged_keys`] | the syntax tree, then the plan | the key of `FULL JOIN .. USING` is NULL where only the right side has it |
//! | [`sum`] | the function `sum` | a sum that does not fit its type wraps around |
//! | [`constants`] | the plan, whenever constants are folded next | so does arithmetic on constants |
//! | [`membership`] | the plan | `k IN (SELECT ..)` as a value is never NULL |
//! | [`float_keys`] | the plan | in an order, -0.0 comes before 0.0, and NaN first or last by its sign |
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
mod float_keys;
mod intervals;
mod literals;
mod membership;
mod merged_keys;
mod nan_pruning;
mod refused;
mod sum;

pub(crate) use constants::CheckConstants;
pub(crate) use decimals::{CheckDecimals, checked_decimal};
pub(crate) use extremes::extremes;
pub(crate) use float_keys::{FloatKeys, float_key};
pub(crate) use intervals::Intervals;
pub(crate) use membership::Membership;
pub(crate) use nan_pruning::NanPruning;
pub(crate) use refused::Refused;
pub(crate) use sum::CheckedSum;

use crate::error::Result;
use datafusion::common::DataFusionError;
use datafusion::common::Result as DataFusionResult;
use datafusion::logical_expr::planner::{RelationPlanner, RelationPlannerContext, RelationPlanning};
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::{Expr, Query, SetExpr, TableFactor, VisitMut, VisitorMut};
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
    match VisitMut::visit(inner, &mut Rewrite) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(error.into()),
    }
}

struct Rewrite;

impl VisitorMut for Rewrite {
    type Break = DataFusionError;

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<DataFusionError> {
        literals::rewrite(expr);
        ControlFlow::Continue(())
    }

    // From the inside outwards, so that what a rule makes is not rewritten again.
    fn post_visit_query(&mut self, query: &mut Query) -> ControlFlow<DataFusionError> {
        match rewrite_query(query) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => ControlFlow::Break(error),
        }
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
