//! A rule for DataFusion's logical optimiser: chains of inner joins in an order that keeps what is between them small.
//!
//! DataFusion joins in the order of the text and only chooses which side is built. On one machine its dynamic filters make
//! up for that: a small side, once built, thins out the scans of the other. Across stages there are none, and a large
//! join written first is shuffled whole. (TPC-DS query 72 at scale 1, as written: half a thousand million rows.)
//!
//! ```text
//!   before                                     after
//!
//!   ((sales ⋈ inventory) ⋈ item) ⋈ σ(dates)    ((sales ⋈ σ(dates)) ⋈ item) ⋈ inventory
//! ```
//!
//! **How.** The leaves and conditions of a chain are collected. The size of a join of some of the leaves is estimated
//! from row counts of tables, guesses for filters, and the rule of containment: columns that are joined to each other
//! have no more values than the smallest table among them has rows ([`size`]). From each leaf as a start, the join that grows least
//! is taken next; the cheapest of these orders, by the sum of all intermediate sizes, wins. The estimates are crude, so
//! the order of the text is kept unless the other is better by [`CLEARLY_BETTER`].
//!
//! **Why it is right.** Inner joins commute and associate; every condition of the chain is applied exactly once, at the
//! first join where all its columns are there; a projection gives the columns in their old order.

mod size;

pub(crate) use size::RowCounts;

use size::{Size, size_of};
use std::collections::BTreeSet;
use std::sync::Arc;

use datafusion::common::tree_node::Transformed;
use datafusion::common::{Column, JoinType, NullEquality, Result};
use datafusion::logical_expr::utils::{conjunction, split_conjunction};
use datafusion::logical_expr::{BinaryExpr, Expr, Join, LogicalPlan, Operator, Projection};
use datafusion::optimizer::{OptimizerConfig, OptimizerRule};

/// How many times smaller the estimated cost of an order must be to be preferred to the order of the text.
const CLEARLY_BETTER: f64 = 4.0;

/// Longer chains are left as they are: the work grows with the cube of the length.
const LONGEST_CHAIN: usize = 40;

/// The rule.
#[derive(Debug)]
pub(crate) struct JoinOrder {
    pub(crate) rows: RowCounts,
}

impl OptimizerRule for JoinOrder {
    fn name(&self) -> &str {
        "kappa_join_order"
    }

    fn rewrite(&self, plan: LogicalPlan, _config: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        plan.transform_down_with_subqueries(|node| match Chain::of(&node, &self.rows) {
            Some(chain) => match chain.better_order() {
                Some(order) => Ok(Transformed::yes(chain.join_in(&order, &node)?)),
                None => Ok(Transformed::no(node)),
            },
            None => Ok(Transformed::no(node)),
        })
    }
}

/// Leaves and conditions of a tree of inner joins.
struct Chain {
    leaves: Vec<Leaf>,
    conditions: Vec<Condition>,
    /// Classes of joined expressions: the leaves they are of, and how many values they have at most.
    classes: Vec<(BTreeSet<usize>, f64)>,
    /// The sum of the intermediate sizes in the order of the text.
    cost: f64,
}

struct Leaf {
    plan: Arc<LogicalPlan>,
    size: Size,
}

struct Condition {
    expr: Either,
    /// The leaves whose columns it uses.
    leaves: BTreeSet<usize>,
}

enum Either {
    Equal(Expr, Expr),
    Other(Expr),
}

impl Chain {
    /// The chain with `root` on top, if that is an inner join of at least three leaves.
    fn of(root: &LogicalPlan, rows: &RowCounts) -> Option<Chain> {
        let mut chain = Chain {
            leaves: vec![],
            conditions: vec![],
            classes: vec![],
            cost: 0.0,
        };
        inner_join(root)?;
        let mut joins = Vec::new();
        let mut pending = Vec::new();
        chain.collect(root, rows, &mut joins, &mut pending);
        if chain.leaves.len() < 3 || chain.leaves.len() > LONGEST_CHAIN {
            return None;
        }
        for expr in pending {
            let condition = chain.condition(expr)?;
            chain.conditions.push(condition);
        }
        chain.classes = chain.classes_of_equals();
        // The last join is the same in every order.
        let whole = chain.leaves.len();
        chain.cost = joins
            .iter()
            .filter(|leaves| leaves.len() < whole)
            .map(|leaves| chain.rows_of(leaves))
            .sum();
        Some(chain)
    }

    /// Collects the tree under `plan`; returns its leaves.
    fn collect(
        &mut self,
        plan: &LogicalPlan,
        rows: &RowCounts,
        joins: &mut Vec<BTreeSet<usize>>,
        pending: &mut Vec<Either>,
    ) -> BTreeSet<usize> {
        let Some(join) = inner_join(plan) else {
            self.leaves.push(Leaf {
                plan: Arc::new(plan.clone()),
                size: size_of(plan, rows),
            });
            return BTreeSet::from([self.leaves.len() - 1]);
        };
        let mut leaves = self.collect(&join.left, rows, joins, pending);
        leaves.extend(self.collect(&join.right, rows, joins, pending));
        pending.extend(
            join.on
                .iter()
                .map(|(left, right)| Either::Equal(left.clone(), right.clone())),
        );
        let others = join.filter.iter().flat_map(|filter| split_conjunction(filter));
        pending.extend(others.map(|other| Either::Other(other.clone())));
        joins.push(leaves.clone());
        leaves
    }

    /// The condition with the leaves it uses; `None` if a column is of none of them.
    fn condition(&self, expr: Either) -> Option<Condition> {
        let expr = match expr {
            // A filter that was pushed into a join, not yet one of its keys.
            Either::Other(Expr::BinaryExpr(BinaryExpr {
                left,
                op: Operator::Eq,
                right,
            })) => match (self.leaves_of(&left)?.len(), self.leaves_of(&right)?.len()) {
                (1, 1) => Either::Equal(*left, *right),
                _ => Either::Other(equal(&left, &right)),
            },
            other => other,
        };
        let leaves = match &expr {
            Either::Equal(left, right) => self.leaves_of(left)?.union(&self.leaves_of(right)?).copied().collect(),
            Either::Other(expr) => self.leaves_of(expr)?,
        };
        Some(Condition { expr, leaves })
    }

    fn leaves_of(&self, expr: &Expr) -> Option<BTreeSet<usize>> {
        expr.column_refs()
            .into_iter()
            .map(|column| self.leaf_of(column))
            .collect()
    }

    fn leaf_of(&self, column: &Column) -> Option<usize> {
        self.leaves
            .iter()
            .position(|leaf| leaf.plan.schema().has_column(column))
    }

    fn classes_of_equals(&self) -> Vec<(BTreeSet<usize>, f64)> {
        let mut classes: Vec<(BTreeSet<String>, BTreeSet<usize>)> = Vec::new();
        for condition in &self.conditions {
            let Either::Equal(left, right) = &condition.expr else {
                continue;
            };
            let mut names = BTreeSet::from([left.to_string(), right.to_string()]);
            let mut leaves = condition.leaves.clone();
            classes.retain(|(other_names, other_leaves)| {
                let is_same = !names.is_disjoint(other_names);
                if is_same {
                    names.extend(other_names.iter().cloned());
                    leaves.extend(other_leaves);
                }
                !is_same
            });
            classes.push((names, leaves));
        }
        let values = |leaves: &BTreeSet<usize>| {
            leaves
                .iter()
                .map(|leaf| self.leaves[*leaf].size.base)
                .fold(f64::INFINITY, f64::min)
                .max(1.0)
        };
        classes
            .into_iter()
            .map(|(_, leaves)| {
                let values = values(&leaves);
                (leaves, values)
            })
            .collect()
    }

    /// The estimated rows of the join of some leaves.
    fn rows_of(&self, leaves: &BTreeSet<usize>) -> f64 {
        let product: f64 = leaves.iter().map(|leaf| self.leaves[*leaf].size.rows).product();
        let matching = self.classes.iter().map(|(members, values)| {
            let here = members.intersection(leaves).count();
            values.powi(1 - i32::try_from(here.max(1)).unwrap_or(i32::MAX))
        });
        let others = self
            .conditions
            .iter()
            .filter(|condition| matches!(condition.expr, Either::Other(_)) && condition.leaves.is_subset(leaves));
        (product * matching.product::<f64>() * 0.5_f64.powi(others.count() as i32)).max(1.0)
    }

    /// An order that is clearly better than that of the text, if there is one.
    fn better_order(&self) -> Option<Vec<usize>> {
        let orders = (0..self.leaves.len()).map(|first| self.greedy_from(first));
        let (cost, order) = orders.min_by(|(a, _), (b, _)| a.total_cmp(b))?;
        (cost * CLEARLY_BETTER < self.cost).then_some(order)
    }

    fn greedy_from(&self, first: usize) -> (f64, Vec<usize>) {
        let mut order = vec![first];
        let mut joined = BTreeSet::from([first]);
        let mut cost = 0.0;
        while order.len() < self.leaves.len() {
            let candidates = (0..self.leaves.len())
                .filter(|leaf| !joined.contains(leaf))
                .map(|leaf| {
                    let mut with = joined.clone();
                    with.insert(leaf);
                    // Without a condition it is a product: only when nothing else is left.
                    (!self.is_connected(leaf, &joined), self.rows_of(&with), leaf)
                });
            let next = candidates.min_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)));
            let Some((_, rows, leaf)) = next else { break };
            joined.insert(leaf);
            order.push(leaf);
            if order.len() < self.leaves.len() {
                cost += rows;
            }
        }
        (cost, order)
    }

    fn is_connected(&self, leaf: usize, joined: &BTreeSet<usize>) -> bool {
        self.conditions.iter().any(|condition| {
            matches!(condition.expr, Either::Equal(..))
                && condition.leaves.contains(&leaf)
                && condition
                    .leaves
                    .iter()
                    .all(|other| *other == leaf || joined.contains(other))
        })
    }

    /// The joins in this order, with the columns of `before`.
    fn join_in(&self, order: &[usize], before: &LogicalPlan) -> Result<LogicalPlan> {
        let mut applied = vec![false; self.conditions.len()];
        let mut joined = BTreeSet::new();
        let mut plan: Option<Arc<LogicalPlan>> = None;
        for leaf in order {
            joined.insert(*leaf);
            let right = Arc::clone(&self.leaves[*leaf].plan);
            let Some(left) = plan else {
                plan = Some(right);
                continue;
            };
            let (mut on, mut others) = (vec![], vec![]);
            for (condition, applied) in self.conditions.iter().zip(&mut applied) {
                if *applied || !condition.leaves.is_subset(&joined) {
                    continue;
                }
                *applied = true;
                match &condition.expr {
                    Either::Equal(a, b) => match (self.is_of(a, *leaf), self.is_of(b, *leaf)) {
                        (Side::Others, Side::Leaf) => on.push((a.clone(), b.clone())),
                        (Side::Leaf, Side::Others) => on.push((b.clone(), a.clone())),
                        _ => others.push(equal(a, b)),
                    },
                    Either::Other(expr) => others.push(expr.clone()),
                }
            }
            let join = Join::try_new(
                left,
                right,
                on,
                conjunction(others),
                JoinType::Inner,
                datafusion::common::JoinConstraint::On,
                NullEquality::NullEqualsNothing,
                false,
            )?;
            plan = Some(Arc::new(LogicalPlan::Join(join)));
        }
        debug_assert!(applied.iter().all(|applied| *applied), "every condition is applied");
        let Some(plan) = plan else { return Ok(before.clone()) };
        let columns = before.schema().columns().into_iter().map(Expr::Column).collect();
        Ok(LogicalPlan::Projection(Projection::try_new(columns, plan)?))
    }

    fn is_of(&self, expr: &Expr, leaf: usize) -> Side {
        let (mut here, mut elsewhere) = (false, false);
        for column in expr.column_refs() {
            match self.leaf_of(column) == Some(leaf) {
                true => here = true,
                false => elsewhere = true,
            }
        }
        match (here, elsewhere) {
            (true, false) => Side::Leaf,
            (false, true) => Side::Others,
            _ => Side::Mixed,
        }
    }
}

/// Whose columns an expression uses.
enum Side {
    Leaf,
    Others,
    Mixed,
}

fn equal(left: &Expr, right: &Expr) -> Expr {
    Expr::BinaryExpr(BinaryExpr::new(
        Box::new(left.clone()),
        Operator::Eq,
        Box::new(right.clone()),
    ))
}

fn inner_join(plan: &LogicalPlan) -> Option<&Join> {
    match plan {
        LogicalPlan::Join(join)
            if join.join_type == JoinType::Inner && join.null_equality == NullEquality::NullEqualsNothing =>
        {
            Some(join)
        }
        _ => None,
    }
}
