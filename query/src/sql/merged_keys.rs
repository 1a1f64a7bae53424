//! The key of `FULL JOIN .. USING (k)` is the key of whichever side has the row (SQL:1992, 7.5).
//!
//! ```text
//!   a FULL JOIN b USING (k)   =   SELECT coalesce(a.k, b.k) AS k, the other columns of a, the other columns of b
//!                                 FROM a FULL JOIN b ON a.k = b.k
//! ```
//!
//! DataFusion takes `k` for the left side's, which is NULL where only the right side has a row. The same goes for `RIGHT` and
//! `NATURAL` joins, and for all that are joined to one of them by `USING`. The keys of the two sides are no longer to be had
//! by `a.k` and `b.k`.
//!
//! From the third table on, `k` would be ambiguous to DataFusion whatever the joins are. There the keys are merged, too, unless the query names
//! that of a table.

use datafusion::common::{Column, DFSchema, JoinType, Result, plan_err};
use datafusion::functions::expr_fn::coalesce;
use datafusion::logical_expr::planner::{PlannedRelation, RelationPlannerContext};
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder};
use datafusion::sql::sqlparser::ast::{
    Expr as AstExpr, Join, JoinConstraint, JoinOperator, Select, SelectItem, TableFactor, TableWithJoins, Visit,
    Visitor,
};
use std::collections::BTreeSet;
use std::ops::ControlFlow;

/// Puts brackets around each join that merges keys: what is in brackets can be planned here.
pub(super) fn mark(select: &mut Select) -> Result<()> {
    let mut is_marked = false;
    let has_qualified_wildcard = select
        .projection
        .iter()
        .any(|item| matches!(item, SelectItem::QualifiedWildcard(..)));
    let names = (!has_qualified_wildcard).then(|| names_in(select));
    for from in &mut select.from {
        let is_long = names.as_ref().is_some_and(|names| is_long(from, names));
        is_marked |= mark_joins(from, is_long);
    }
    if is_marked && has_qualified_wildcard {
        return plan_err!(
            "`table.*` beside a RIGHT or FULL JOIN with USING or NATURAL is not supported, as the merged key is of neither table; write the columns"
        );
    }
    Ok(())
}

/// The columns that are written with the name of their table, as that name and theirs.
fn names_in(select: &Select) -> BTreeSet<(String, String)> {
    struct Names(BTreeSet<(String, String)>);
    impl Visitor for Names {
        type Break = ();

        fn pre_visit_expr(&mut self, expr: &AstExpr) -> ControlFlow<()> {
            if let AstExpr::CompoundIdentifier(parts) = expr
                && let [.., table, column] = parts.as_slice()
            {
                self.0.insert((table.value.to_lowercase(), column.value.to_lowercase()));
            }
            ControlFlow::Continue(())
        }
    }
    let mut names = Names(BTreeSet::new());
    // It never breaks.
    let _ = Visit::visit(select, &mut names);
    names.0
}

/// Whether more than two tables are joined by keys with one name each, and no key is asked for with the name of its table.
fn is_long(from: &TableWithJoins, names: &BTreeSet<(String, String)>) -> bool {
    let merging = from.joins.iter().filter_map(|join| {
        let (_, constraint) = kind_of(join)?;
        merges_keys(constraint).then_some(constraint)
    });
    let merging: Vec<&JoinConstraint> = merging.collect();
    let relations = std::iter::once(&from.relation).chain(from.joins.iter().map(|join| &join.relation));
    let tables: Option<Vec<String>> = relations.map(name_of).collect();
    let Some(tables) = tables.filter(|_| merging.len() > 1) else {
        return false;
    };
    let is_key = |column: &String| {
        merging.iter().any(|constraint| match constraint {
            JoinConstraint::Using(keys) => keys.iter().any(|key| key.to_string().to_lowercase() == *column),
            // Its keys are not known yet.
            _ => true,
        })
    };
    !names.iter().any(|(of, column)| tables.contains(of) && is_key(column))
}

fn name_of(relation: &TableFactor) -> Option<String> {
    let name = match relation {
        TableFactor::Table { alias: Some(alias), .. } | TableFactor::Derived { alias: Some(alias), .. } => &alias.name,
        TableFactor::Table { name, .. } => name.0.last()?.as_ident()?,
        _ => return None,
    };
    Some(name.value.to_lowercase())
}

fn mark_joins(from: &mut TableWithJoins, is_long: bool) -> bool {
    let mut is_marked = mark_within(&mut from.relation);
    for join in &mut from.joins {
        is_marked |= mark_within(&mut join.relation);
    }
    let merges = from.joins.iter().any(
        |join| matches!(kind_of(join), Some((JoinType::Right | JoinType::Full, constraint)) if merges_keys(constraint)),
    );
    if !merges && !is_marked && !is_long {
        return false;
    }
    // ((a FULL JOIN b USING (k)) JOIN c ON ..) FULL JOIN d USING (k): brackets from the left.
    for join in std::mem::take(&mut from.joins) {
        let is_merging = kind_of(&join).is_some_and(|(_, constraint)| merges_keys(constraint));
        from.joins.push(join);
        if is_merging {
            let joined = std::mem::replace(from, nothing());
            from.relation = bracketed(joined);
        }
    }
    merges || is_marked
}

fn mark_within(relation: &mut TableFactor) -> bool {
    match relation {
        TableFactor::NestedJoin { table_with_joins, .. } => mark_joins(table_with_joins, false),
        _ => false,
    }
}

fn nothing() -> TableWithJoins {
    let relation = TableFactor::UNNEST {
        alias: None,
        array_exprs: vec![],
        with_offset: false,
        with_offset_alias: None,
        with_ordinality: false,
    };
    TableWithJoins {
        relation,
        joins: vec![],
    }
}

/// All joins but the last are one bracket, the last is another around it.
fn bracketed(mut from: TableWithJoins) -> TableFactor {
    let last = from.joins.pop();
    let relation = match from.joins.is_empty() {
        true => from.relation,
        false => TableFactor::NestedJoin {
            table_with_joins: Box::new(from),
            alias: None,
        },
    };
    TableFactor::NestedJoin {
        table_with_joins: Box::new(TableWithJoins {
            relation,
            joins: last.into_iter().collect(),
        }),
        alias: None,
    }
}

fn kind_of(join: &Join) -> Option<(JoinType, &JoinConstraint)> {
    Some(match &join.join_operator {
        JoinOperator::Join(constraint) | JoinOperator::Inner(constraint) => (JoinType::Inner, constraint),
        JoinOperator::Left(constraint) | JoinOperator::LeftOuter(constraint) => (JoinType::Left, constraint),
        JoinOperator::Right(constraint) | JoinOperator::RightOuter(constraint) => (JoinType::Right, constraint),
        JoinOperator::FullOuter(constraint) => (JoinType::Full, constraint),
        _ => return None,
    })
}

fn merges_keys(constraint: &JoinConstraint) -> bool {
    matches!(constraint, JoinConstraint::Using(_) | JoinConstraint::Natural)
}

/// The plan of a marked join.
pub(super) fn plan(
    relation: &TableFactor,
    context: &mut dyn RelationPlannerContext,
) -> Result<Option<PlannedRelation>> {
    let TableFactor::NestedJoin {
        table_with_joins,
        alias,
    } = relation
    else {
        return Ok(None);
    };
    let TableWithJoins { relation: left, joins } = table_with_joins.as_ref();
    let [join] = joins.as_slice() else { return Ok(None) };
    let Some((join_type, constraint)) = kind_of(join).filter(|(_, constraint)| merges_keys(constraint)) else {
        return Ok(None);
    };
    let (left, right) = (context.plan(left.clone())?, context.plan(join.relation.clone())?);
    let keys = keys_of(constraint, left.schema(), right.schema(), context)?;
    let is_outer = matches!(join_type, JoinType::Right | JoinType::Full);
    let is_merged = |plan: &LogicalPlan| keys.iter().any(|key| plan.schema().has_column(&Column::from_name(key)));
    if !is_outer && !is_merged(&left) && !is_merged(&right) {
        return Ok(None);
    }
    let plan = merged(left, right, join_type, &keys)?;
    Ok(Some(PlannedRelation::new(plan, alias.clone())))
}

fn keys_of(
    constraint: &JoinConstraint,
    left: &DFSchema,
    right: &DFSchema,
    context: &dyn RelationPlannerContext,
) -> Result<Vec<String>> {
    let JoinConstraint::Using(names) = constraint else {
        let names = left.fields().iter().map(|field| field.name());
        let is_common = |name: &&String| right.fields().iter().any(|field| field.name() == *name);
        return Ok(names.filter(is_common).cloned().collect());
    };
    let mut keys = Vec::new();
    for name in names {
        let [part] = name.0.as_slice() else {
            return plan_err!("USING ({name}): a name of a column is expected, without that of a table");
        };
        let Some(ident) = part.as_ident() else {
            return plan_err!("USING ({name}): a name of a column is expected");
        };
        keys.push(context.normalize_ident(ident.clone()));
    }
    Ok(keys)
}

fn merged(left: LogicalPlan, right: LogicalPlan, join_type: JoinType, keys: &[String]) -> Result<LogicalPlan> {
    let (left, left_keys, left_rest) = with_renamed_keys(left, keys, "left")?;
    let (right, right_keys, right_rest) = with_renamed_keys(right, keys, "right")?;
    let pairs = || left_keys.iter().cloned().zip(right_keys.iter().cloned());
    let conditions: Vec<Expr> = pairs().map(|(left, right)| left.eq(right)).collect();
    let merged = pairs().zip(keys).map(|((left, right), key)| {
        let key_of_row = match join_type {
            JoinType::Full => coalesce(vec![left, right]),
            JoinType::Right => right,
            _ => left,
        };
        key_of_row.alias(key)
    });
    let columns: Vec<Expr> = merged.chain(left_rest).chain(right_rest).collect();
    LogicalPlanBuilder::from(left)
        .join_on(right, join_type, conditions)?
        .project(columns)?
        .build()
}

/// A side whose keys have names that occur nowhere else; its keys, and its other columns.
fn with_renamed_keys(plan: LogicalPlan, keys: &[String], side: &str) -> Result<(LogicalPlan, Vec<Expr>, Vec<Expr>)> {
    let renamed = |position: usize| format!("{side} key {position} of a join");
    let schema = plan.schema().clone();
    let mut found = Vec::new();
    for key in keys {
        // A side that has merged keys itself has one of this name.
        found.push(Column::from(schema.qualified_field_with_unqualified_name(key)?));
    }
    let mut all = Vec::new();
    let mut rest = Vec::new();
    for column in schema.columns() {
        match found.iter().position(|key| *key == column) {
            Some(position) => all.push(Expr::Column(column).alias(renamed(position))),
            None => {
                all.push(Expr::Column(column.clone()));
                rest.push(Expr::Column(column));
            }
        }
    }
    let plan = LogicalPlanBuilder::from(plan).project(all)?.build()?;
    let keys = (0..keys.len()).map(|position| Expr::Column(Column::from_name(renamed(position))));
    Ok((plan, keys.collect(), rest))
}
