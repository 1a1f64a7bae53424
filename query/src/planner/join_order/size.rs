//! How large relations are, as far as that can be guessed: row counts of tables, guesses for filters and groups.

use super::Chain;
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{BinaryExpr, Expr, JoinType, LogicalPlan, Operator};
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

/// The estimate for a plan, from the row counts of its tables and guesses for everything else.
pub(super) fn size_of(plan: &LogicalPlan, rows: &RowCounts) -> Size {
    let of_inputs = || plan.inputs().into_iter().map(|input| size_of(input, rows));
    let largest = || {
        let nothing = Size { rows: 1.0, base: 1.0 };
        of_inputs().fold(nothing, |a, b| if b.rows > a.rows { b } else { a })
    };
    match plan {
        LogicalPlan::TableScan(scan) => {
            let rows = rows.get(scan.table_name.table());
            Size { rows, base: rows }
        }
        LogicalPlan::Filter(filter) => {
            let Size { rows, base } = size_of(&filter.input, rows);
            Size {
                rows: (rows * share_passing(&filter.predicate)).max(1.0),
                base,
            }
        }
        // Groups are fewer than rows; a key of the result is as good as unique.
        LogicalPlan::Aggregate(_) | LogicalPlan::Distinct(_) => {
            let rows = (largest().rows * 0.2).max(1.0);
            Size { rows, base: rows }
        }
        LogicalPlan::Join(join) if matches!(join.join_type, JoinType::LeftSemi | JoinType::LeftAnti) => {
            let Size { rows, base } = size_of(&join.left, rows);
            Size {
                rows: (rows * 0.5).max(1.0),
                base,
            }
        }
        LogicalPlan::Join(_) => match Chain::of(plan, rows) {
            Some(chain) => {
                let rows = chain.rows_of(&(0..chain.leaves.len()).collect());
                Size { rows, base: rows }
            }
            None => largest(),
        },
        LogicalPlan::Union(_) => {
            let rows = of_inputs().map(|input| input.rows).sum();
            Size { rows, base: rows }
        }
        _ => largest(),
    }
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
