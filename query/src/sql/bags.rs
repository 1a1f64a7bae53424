//! `INTERSECT ALL` and `EXCEPT ALL` count: of `m` and `n` equal rows they leave the smaller number, and the difference.
//!
//! ```text
//!   a EXCEPT ALL b     =     the rows of a with numbers 1, 2, .. for equal ones, EXCEPT the rows of b with numbers
//! ```
//!
//! The numbers make the rows of each side different from one another, so that the operations on sets do it.

use datafusion::common::{Column, DataFusionError, Result, plan_err};
use datafusion::functions_window::expr_fn::row_number;
use datafusion::logical_expr::planner::{PlannedRelation, RelationPlannerContext};
use datafusion::logical_expr::{Expr, ExprFunctionExt, LogicalPlan, LogicalPlanBuilder};
use datafusion::sql::sqlparser::ast::{Query, SetExpr, SetOperator, SetQuantifier, TableFactor, TableWithJoins};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::parser::Parser;

/// The column of numbers.
const NUMBER: &str = "kappa row number";

/// `a EXCEPT ALL b` becomes `SELECT * FROM (a EXCEPT ALL b)`: relations can be planned here, operations on sets cannot.
pub(super) fn mark(body: &mut SetExpr) -> Result<()> {
    if !is_bag(body) {
        return Ok(());
    }
    let all = Parser::new(&GenericDialect {})
        .try_with_sql("SELECT *")
        .and_then(|mut text| text.parse_select());
    let mut all = all.map_err(|error| DataFusionError::SQL(Box::new(error), None))?;
    all.from = vec![TableWithJoins {
        relation: derived(body.clone()),
        joins: vec![],
    }];
    *body = SetExpr::Select(Box::new(all));
    Ok(())
}

fn derived(body: SetExpr) -> TableFactor {
    TableFactor::Derived {
        lateral: false,
        subquery: Box::new(query_of(body)),
        alias: None,
        sample: None,
    }
}

fn is_bag(body: &SetExpr) -> bool {
    matches!(
        body,
        SetExpr::SetOperation {
            op: SetOperator::Intersect | SetOperator::Except | SetOperator::Minus,
            set_quantifier: SetQuantifier::All,
            ..
        }
    )
}

/// The plan of a marked relation.
pub(super) fn plan(
    relation: &TableFactor,
    context: &mut dyn RelationPlannerContext,
) -> Result<Option<PlannedRelation>> {
    let TableFactor::Derived {
        subquery, alias: None, ..
    } = relation
    else {
        return Ok(None);
    };
    let SetExpr::SetOperation { op, left, right, .. } = subquery.body.as_ref() else {
        return Ok(None);
    };
    if !is_bag(&subquery.body) {
        return Ok(None);
    }
    let mut side = |side: &SetExpr| numbered(context.plan(derived(side.clone()))?);
    let (left, right) = (side(left)?, side(right)?);
    if left.schema().fields().len() != right.schema().fields().len() {
        return plan_err!("{op} queries have different number of columns");
    }
    let sets = match op {
        SetOperator::Intersect => LogicalPlanBuilder::intersect(left, right, true)?,
        _ => LogicalPlanBuilder::except(left, right, true)?,
    };
    let columns = sets.schema().columns().into_iter();
    let columns: Vec<Expr> = columns
        .filter(|column| column.name != NUMBER)
        .map(Expr::Column)
        .collect();
    let plan = LogicalPlanBuilder::from(sets).project(columns)?.build()?;
    Ok(Some(PlannedRelation::new(plan, None)))
}

fn numbered(plan: LogicalPlan) -> Result<LogicalPlan> {
    let columns: Vec<Expr> = plan.schema().columns().into_iter().map(Expr::Column).collect();
    let number = row_number().partition_by(columns.clone()).build()?;
    let name = number.schema_name().to_string();
    let mut all = columns;
    all.push(Expr::Column(Column::from_name(name)).alias(NUMBER));
    LogicalPlanBuilder::from(plan).window([number])?.project(all)?.build()
}

fn query_of(body: SetExpr) -> Query {
    Query {
        with: None,
        body: Box::new(body),
        order_by: None,
        limit_clause: None,
        fetch: None,
        locks: vec![],
        for_clause: None,
        settings: None,
        format_clause: None,
        pipe_operators: vec![],
    }
}
