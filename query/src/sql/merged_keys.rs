//! The key of `FULL JOIN .. USING (k)` is the key of whichever side has the row (SQL:1992, 7.5).
//!
//! ```text
//!   a FULL JOIN b USING (k)   =   SELECT coalesce(a.k, b.k) AS k, the other columns of a, the other columns of b
//!                                 FROM a FULL JOIN b ON a.k = b.k
//! ```
//!
//! DataFusion takes `k` for the left side's, which is NULL where only the right side has a row. The same goes for `RIGHT` and
//! `NATURAL` joins, and for all that are joined to one of them by `USING`. The keys of the two sides are no longer to be had
//! by `a.k` and `b.k`: the merged key is of a relation of its own, so that other tables may have a column of its name.
//!
//! From the third table on, `k` would be ambiguous to DataFusion whatever the joins are. There the keys are merged, too, unless the query names
//! that of a table. All other joins are left to DataFusion.

use datafusion::common::{Column, DFSchema, JoinType, Result, TableReference, plan_err};
use datafusion::functions::expr_fn::coalesce;
use datafusion::logical_expr::planner::{PlannedRelation, RelationPlannerContext};
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder};
use datafusion::sql::sqlparser::ast::{
    Expr as AstExpr, Join, JoinConstraint, JoinOperator, ObjectName, Select, SelectItem,
    SelectItemQualifiedWildcardKind, TableAlias, TableFactor, TableWithJoins, Visit, Visitor,
};
use std::collections::{BTreeSet, HashSet};
use std::ops::ControlFlow;

/// The relation of a merged key is called this, and after it its sides.
const MERGED: &str = "merged key of ";

/// Puts brackets around each join that merges keys: what is in brackets can be planned here.
pub(super) fn mark(select: &mut Select) -> Result<()> {
    let mut sides = Sides::default();
    let is_wildcard = |item: &SelectItem| matches!(item, SelectItem::QualifiedWildcard(..));
    let names = (!select.projection.iter().any(is_wildcard)).then(|| names_in(select));
    for from in &mut select.from {
        let is_long = names.as_ref().is_some_and(|names| is_long(from, names));
        mark_joins(from, &mut sides, is_long);
    }
    for item in &select.projection {
        let SelectItem::QualifiedWildcard(SelectItemQualifiedWildcardKind::ObjectName(name), _) = item else {
            continue;
        };
        if sides.have(&last_of(name)) {
            return plan_err!(
                "`{name}.*` beside a RIGHT or FULL JOIN with USING or NATURAL is not supported, as the merged key is of neither table; write the columns"
            );
        }
    }
    Ok(())
}

/// The names of the tables whose keys have been merged.
#[derive(Default)]
struct Sides {
    names: Vec<String>,
}

impl Sides {
    fn have(&self, name: &str) -> bool {
        self.names.iter().any(|side| side.eq_ignore_ascii_case(name))
    }

    fn add_all(&mut self, from: &TableWithJoins) {
        let relations = std::iter::once(&from.relation).chain(from.joins.iter().map(|join| &join.relation));
        for relation in relations {
            match (relation, alias_of(relation)) {
                (_, Some(alias)) => self.names.push(alias.name.value.clone()),
                (TableFactor::NestedJoin { table_with_joins, .. }, None) => self.add_all(table_with_joins),
                (TableFactor::Table { name, .. }, None) => self.names.push(last_of(name)),
                _ => {}
            }
        }
    }
}

fn last_of(name: &ObjectName) -> String {
    let last = name.0.last().and_then(|part| part.as_ident());
    last.map(|ident| ident.value.clone()).unwrap_or_default()
}

fn alias_of(relation: &TableFactor) -> Option<&TableAlias> {
    match relation {
        TableFactor::Table { alias, .. }
        | TableFactor::Derived { alias, .. }
        | TableFactor::Function { alias, .. }
        | TableFactor::TableFunction { alias, .. }
        | TableFactor::UNNEST { alias, .. }
        | TableFactor::NestedJoin { alias, .. } => alias.as_ref(),
        _ => None,
    }
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

/// Whether there was something to mark.
fn mark_joins(from: &mut TableWithJoins, sides: &mut Sides, is_long: bool) -> bool {
    let mut is_marked = mark_within(&mut from.relation, sides);
    for join in &mut from.joins {
        is_marked |= mark_within(&mut join.relation, sides);
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
            sides.add_all(from);
            let joined = std::mem::replace(from, nothing());
            from.relation = bracketed(joined);
        }
    }
    true
}

fn mark_within(relation: &mut TableFactor, sides: &mut Sides) -> bool {
    let TableFactor::NestedJoin {
        table_with_joins,
        alias,
    } = relation
    else {
        return false;
    };
    match alias {
        // All that is within has the name that is given here.
        Some(_) => mark_joins(table_with_joins, &mut Sides::default(), false),
        None => mark_joins(table_with_joins, sides, false),
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
    let is_merged = |plan: &LogicalPlan| has_merged_key(plan.schema(), &keys) || has_several(plan.schema(), &keys);
    if !is_outer && !is_merged(&left) && !is_merged(&right) {
        return Ok(None);
    }
    let plan = merged(left, right, join_type, &keys)?;
    Ok(Some(PlannedRelation::new(plan, alias.clone())))
}

fn has_merged_key(schema: &DFSchema, keys: &[String]) -> bool {
    schema.iter().any(|(relation, field)| {
        relation.is_some_and(|relation| relation.table().starts_with(MERGED)) && keys.contains(field.name())
    })
}

/// Whether joins by USING have left two columns of a key's name.
fn has_several(schema: &DFSchema, keys: &[String]) -> bool {
    let count = |key: &String| schema.fields().iter().filter(|field| field.name() == key).count();
    keys.iter().any(|key| count(key) > 1)
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
        let mut keys: Vec<String> = Vec::new();
        for name in names.filter(is_common) {
            // A side that was joined by USING has two columns of the name.
            if !keys.contains(name) {
                keys.push(name.clone());
            }
        }
        return Ok(keys);
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
    let relation = relation_of(left.schema(), right.schema());
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
        key_of_row.alias_qualified(Some(relation.clone()), key)
    });
    let columns: Vec<Expr> = merged.chain(left_rest).chain(right_rest).collect();
    LogicalPlanBuilder::from(left)
        .join_on(right, join_type, conditions)?
        .project(columns)?
        .build()
}

/// A name that no other relation of a FROM has: those of its sides are there once.
fn relation_of(left: &DFSchema, right: &DFSchema) -> TableReference {
    let mut names: Vec<String> = Vec::new();
    for (relation, _) in left.iter().chain(right.iter()) {
        let Some(relation) = relation.map(ToString::to_string) else {
            continue;
        };
        if !relation.starts_with(MERGED) && !names.contains(&relation) {
            names.push(relation);
        }
    }
    TableReference::bare(format!("{MERGED}{}", names.join(" and ")))
}

/// A side whose keys have names that occur nowhere else; its keys, and its other columns.
fn with_renamed_keys(plan: LogicalPlan, keys: &[String], side: &str) -> Result<(LogicalPlan, Vec<Expr>, Vec<Expr>)> {
    let renamed = |position: usize| format!("{side} key {position} of a join");
    let found: Vec<Vec<Column>> = keys
        .iter()
        .map(|key| columns_of_key(&plan, key))
        .collect::<Result<_>>()?;
    let mut all = Vec::new();
    let mut rest = Vec::new();
    for column in plan.schema().columns() {
        match found.iter().position(|key| key.contains(&column)) {
            // Of columns that a join has made equal the first is the key: of an inner or left join it has all rows.
            Some(position) if found[position][0] == column => all.push(Expr::Column(column).alias(renamed(position))),
            Some(_) => {}
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

/// The columns of this name: one, or several that joins by USING have made one.
fn columns_of_key(plan: &LogicalPlan, key: &str) -> Result<Vec<Column>> {
    let named = plan.schema().columns().into_iter().filter(|column| column.name == key);
    let found: Vec<Column> = named.collect();
    let Some(first) = found.first() else {
        return plan_err!("USING ({key}): there is no column {key} on one side of the join");
    };
    let mut joined = HashSet::from([first.clone()]);
    let mut sets = plan.using_columns()?;
    while let Some(position) = sets.iter().position(|set| !set.is_disjoint(&joined)) {
        joined.extend(sets.swap_remove(position));
    }
    match found.iter().find(|column| !joined.contains(column)) {
        Some(other) => {
            plan_err!("USING ({key}): {first} and {other} are both on one side of the join; rename one in a subquery")
        }
        None => Ok(found),
    }
}
