//! How large relations are, as far as that can be guessed: row counts of tables, guesses for filters and groups.

use super::{Chain, Leaves, inner_join, leaves_below};
use crate::deep::deep;
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{BinaryExpr, Distinct, Expr, JoinType, LogicalPlan, Operator};
use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::{Arc, RwLock};

/// The row counts of a session's tables, by name.
#[derive(Debug, Clone, Default)]
pub(crate) struct RowCounts(Arc<RwLock<HashMap<String, f64>>>);

impl RowCounts {
    /// What is assumed of tables that nothing is known about.
    const UNKNOWN: f64 = 10_000.0;

    pub(crate) fn set(&self, table: &str, rows: f64) {
        // A poisoned lock holds a whole map: insertions do not leave it half done.
        self.0
            .write()
            .unwrap_or_else(|e| e.into_inner())
            .insert(table.to_owned(), rows.max(1.0));
    }

    fn get(&self, table: &str) -> f64 {
        let counts = self.0.read().unwrap_or_else(|e| e.into_inner());
        counts.get(table).copied().unwrap_or(Self::UNKNOWN)
    }
}

/// An estimate of a relation.
#[derive(Clone, Copy)]
pub(super) struct Size {
    /// Its rows.
    pub(super) rows: f64,
    /// Its rows without filters: how many values a key of it may have.
    pub(super) base: f64,
}

/// Estimates plans, from the row counts of their tables and guesses for everything else.
///
/// A plan is estimated once, however many chains it is below: the estimate of a chain asks for its leaves', in which there may be chains
/// again. (Asked for twice on each level, a chain of 30 tables took longer than anybody waits.)
pub(super) struct Sizes<'a> {
    rows: &'a RowCounts,
    /// Each with the plan itself, so that no other comes to lie in its place.
    known: RefCell<HashMap<*const LogicalPlan, (Arc<LogicalPlan>, Size)>>,
    /// How many plans were estimated.
    #[cfg(test)]
    pub(super) estimated: std::cell::Cell<usize>,
}

impl<'a> Sizes<'a> {
    pub(super) fn new(rows: &'a RowCounts) -> Sizes<'a> {
        Sizes {
            rows,
            known: RefCell::default(),
            #[cfg(test)]
            estimated: std::cell::Cell::new(0),
        }
    }

    pub(super) fn of(&self, plan: &Arc<LogicalPlan>) -> Size {
        let key = Arc::as_ptr(plan);
        if let Some((_, size)) = self.known.borrow().get(&key) {
            return *size;
        }
        let size = deep(|| self.estimate(plan));
        self.known.borrow_mut().insert(key, (Arc::clone(plan), size));
        size
    }

    fn estimate(&self, plan: &LogicalPlan) -> Size {
        #[cfg(test)]
        self.estimated.set(self.estimated.get() + 1);
        match plan {
            LogicalPlan::TableScan(scan) => {
                let rows = self.rows.get(scan.table_name.table());
                Size { rows, base: rows }
            }
            LogicalPlan::Filter(filter) => {
                let Size { rows, base } = self.of(&filter.input);
                Size {
                    rows: (rows * share_passing(&filter.predicate)).max(1.0),
                    base,
                }
            }
            // Groups are fewer than rows; a key of the result is as good as unique.
            LogicalPlan::Aggregate(aggregate) => fewer(self.of(&aggregate.input)),
            LogicalPlan::Distinct(Distinct::All(input)) => fewer(self.of(input)),
            LogicalPlan::Distinct(Distinct::On(distinct)) => fewer(self.of(&distinct.input)),
            LogicalPlan::Join(join) if matches!(join.join_type, JoinType::LeftSemi | JoinType::LeftAnti) => {
                let Size { rows, base } = self.of(&join.left);
                Size {
                    rows: (rows * 0.5).max(1.0),
                    base,
                }
            }
            LogicalPlan::Join(join) => match Chain::of(plan, self) {
                Some(chain) => {
                    let all = (0..chain.leaves.len()).fold(Leaves::NONE, |all, leaf| all.and(Leaves::one(leaf)));
                    let rows = chain.rows_of(all);
                    Size { rows, base: rows }
                }
                None => {
                    let mut inputs = vec![];
                    match inner_join(plan) {
                        Some(join) => leaves_below(join, &mut inputs),
                        None => inputs.extend([&join.left, &join.right]),
                    }
                    largest(inputs.into_iter().map(|input| self.of(input)))
                }
            },
            LogicalPlan::Union(union) => {
                let rows = union.inputs.iter().map(|input| self.of(input).rows).sum();
                Size { rows, base: rows }
            }
            LogicalPlan::Projection(projection) => self.of(&projection.input),
            LogicalPlan::SubqueryAlias(alias) => self.of(&alias.input),
            LogicalPlan::Sort(sort) => self.of(&sort.input),
            LogicalPlan::Limit(limit) => self.of(&limit.input),
            LogicalPlan::Window(window) => self.of(&window.input),
            LogicalPlan::Repartition(repartition) => self.of(&repartition.input),
            _ => largest(plan.inputs().into_iter().map(|input| deep(|| self.estimate(input)))),
        }
    }
}

fn largest(sizes: impl Iterator<Item = Size>) -> Size {
    let nothing = Size { rows: 1.0, base: 1.0 };
    sizes.fold(nothing, |a, b| if b.rows > a.rows { b } else { a })
}

fn fewer(input: Size) -> Size {
    let rows = (input.rows * 0.2).max(1.0);
    Size { rows, base: rows }
}

/// A guess at the share of rows that pass a filter.
fn share_passing(predicate: &Expr) -> f64 {
    let share = split_conjunction(predicate).into_iter().map(|part| match part {
        Expr::BinaryExpr(BinaryExpr {
            left,
            op: Operator::Or,
            right,
        }) => (share_passing(left) + share_passing(right)).min(1.0),
        Expr::BinaryExpr(BinaryExpr { op: Operator::Eq, .. }) => 0.05,
        Expr::BinaryExpr(BinaryExpr {
            op: Operator::NotEq, ..
        })
        | Expr::IsNotNull(_) => 1.0,
        Expr::InList(list) if !list.negated => (0.05 * list.list.len() as f64).min(0.5),
        Expr::IsNull(_) => 0.1,
        _ => 0.3,
    });
    share.product::<f64>().max(1e-4)
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::arrow::datatypes::{DataType, Field, Schema};
    use datafusion::logical_expr::{LogicalPlanBuilder, col, table_scan};

    /// A chain of joins, with a projection over each if `is_interrupted`.
    fn chain(tables: usize, is_interrupted: bool) -> Arc<LogicalPlan> {
        let schema = Schema::new(vec![Field::new("k", DataType::Int32, true)]);
        let table = |number: usize| {
            let name = format!("t{number}");
            table_scan(Some(name.as_str()), &schema, None).unwrap()
        };
        let mut plan = table(0);
        for number in 1..tables {
            let on = (vec![format!("t{}.k", number - 1)], vec![format!("t{number}.k")]);
            plan = plan
                .join(table(number).build().unwrap(), JoinType::Inner, on, None)
                .unwrap();
            if is_interrupted {
                plan = LogicalPlanBuilder::from(plan.build().unwrap())
                    .project(vec![col(format!("t{number}.k"))])
                    .unwrap();
            }
        }
        Arc::new(plan.build().unwrap())
    }

    /// TRAPS q27: the cost of estimating must not double with each join.
    #[test]
    fn q27_each_part_of_a_plan_is_estimated_once() {
        let rows = RowCounts::default();
        for (tables, is_interrupted) in [(30, false), (30, true), (60, false), (60, true), (2000, true)] {
            let sizes = Sizes::new(&rows);
            sizes.of(&chain(tables, is_interrupted));
            let parts = if is_interrupted { 3 * tables } else { 2 * tables };
            assert!(
                sizes.estimated.get() <= parts,
                "{} estimates for {tables} tables",
                sizes.estimated.get()
            );
            let sizes = Sizes::new(&rows);
            let plan = Arc::unwrap_or_clone(chain(tables, is_interrupted));
            super::super::ordered(plan, &sizes).unwrap();
            assert!(
                sizes.estimated.get() <= parts,
                "{} estimates for {tables} tables",
                sizes.estimated.get()
            );
        }
    }
}
