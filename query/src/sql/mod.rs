//! SQL that DataFusion would answer wrongly, or not at all, put right: one rule per file.
//!
//! | rule | works on | without it |
//! |---|---|---|
//! | [`fetch`] | the text's syntax tree | `FETCH FIRST` is not known |
//! | [`bags`] | the syntax tree, then the plan | `INTERSECT ALL`, `EXCEPT ALL` forget how often a row is there |
//! | [`merged_keys`] | the syntax tree, then the plan | the key of `FULL JOIN .. USING` is NULL where only the right side has it |
//! | [`sum`] | the function `sum` | a sum that does not fit its type wraps around |
//! | [`constants`] | the plan, before constants are folded | so does arithmetic on constants |
//! | [`nan_pruning`] | the physical plan | row groups with NaN are left out by statistics that NaN is not in |
//!
//! Arithmetic on columns is checked where plans are read from bytes: `plan/converter.rs`.

mod bags;
mod constants;
mod fetch;
mod merged_keys;
mod nan_pruning;
mod sum;

pub(crate) use constants::CheckConstants;
pub(crate) use nan_pruning::NanPruning;
pub(crate) use sum::CheckedSum;

use crate::error::Result;
use datafusion::common::DataFusionError;
use datafusion::common::Result as DataFusionResult;
use datafusion::logical_expr::planner::{RelationPlanner, RelationPlannerContext, RelationPlanning};
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::{Query, SetExpr, TableFactor, VisitMut, VisitorMut};
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
