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

use size::{Size, Sizes};
use std::collections::BTreeSet;
use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, JoinType, NullEquality, Result};
use datafusion::logical_expr::utils::{conjunction, split_conjunction};
use datafusion::logical_expr::{BinaryExpr, Expr, Join, LogicalPlan, Operator, Projection};
use datafusion::optimizer::{OptimizerConfig, OptimizerRule};

use crate::deep::deep;

/// How many times smaller the estimated cost of an order must be to be preferred to the order of the text.
const CLEARLY_BETTER: f64 = 4.0;

/// Longer chains are left as they are: the work grows with the fourth power of the length. At most 64, the bits of [`Leaves`].
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
        ordered(plan, &Sizes::new(&self.rows))
    }
}

/// The plan with its chains in a better order. Each chain is looked at once: as a whole, not again without its last table, and so on.
fn ordered(plan: LogicalPlan, sizes: &Sizes) -> Result<Transformed<LogicalPlan>> {
    deep(|| {
        if inner_join(&plan).is_some() {
            return ordered_chain(plan, sizes);
        }
        plan.map_children(|input| ordered(input, sizes))?
            .transform_data(|plan| plan.map_subqueries(|subquery| ordered(subquery, sizes)))
    })
}

fn ordered_chain(plan: LogicalPlan, sizes: &Sizes) -> Result<Transformed<LogicalPlan>> {
    let better = Chain::of(&plan, sizes).and_then(|chain| chain.better_order().map(|order| (chain, order)));
    let plan = match better {
        Some((chain, order)) => Transformed::yes(chain.join_in(&order, &plan)?),
        None => Transformed::no(plan),
    };
    plan.transform_data(|plan| below_chain(plan, sizes))
}

/// The same for what is below the joins on top of the plan.
fn below_chain(plan: LogicalPlan, sizes: &Sizes) -> Result<Transformed<LogicalPlan>> {
    deep(|| {
        let is_on_top = matches!(plan, LogicalPlan::Projection(_)) || inner_join(&plan).is_some();
        if !is_on_top {
            return ordered(plan, sizes);
        }
        let below = |input: LogicalPlan| match inner_join(&input).is_some() {
            true => below_chain(input, sizes),
            false => ordered(input, sizes),
        };
        plan.map_children(below)?
            .transform_data(|plan| plan.map_subqueries(|subquery| ordered(subquery, sizes)))
    })
}

/// Leaves and conditions of a tree of inner joins.
struct Chain {
    leaves: Vec<Leaf>,
    conditions: Vec<Condition>,
    /// Classes of joined expressions: the leaves they are of, and how many values they have at most.
    classes: Vec<(Leaves, f64)>,
    /// The sum of the intermediate sizes in the order of the text.
    cost: f64,
}

/// A set of leaves of a chain, one bit for each: a chain has no more than [`LONGEST_CHAIN`].
#[derive(Clone, Copy, PartialEq, Eq)]
struct Leaves(u64);

impl Leaves {
    const NONE: Leaves = Leaves(0);

    fn one(leaf: usize) -> Leaves {
        Leaves(1 << leaf)
    }

    fn and(self, other: Leaves) -> Leaves {
        Leaves(self.0 | other.0)
    }

    fn both(self, other: Leaves) -> Leaves {
        Leaves(self.0 & other.0)
    }

    fn has(self, leaf: usize) -> bool {
        self.0 >> leaf & 1 == 1
    }

    fn is_within(self, other: Leaves) -> bool {
        self.0 & !other.0 == 0
    }

    fn count(self) -> usize {
        self.0.count_ones() as usize
    }

    fn iter(self) -> impl Iterator<Item = usize> {
        (0..LONGEST_CHAIN).filter(move |leaf| self.has(*leaf))
    }
}

struct Leaf {
    plan: Arc<LogicalPlan>,
    size: Size,
}

struct Condition {
    expr: Either,
    /// The leaves whose columns it uses.
    leaves: Leaves,
}

enum Either {
    Equal(Expr, Expr),
    Other(Expr),
}

/// What is directly below a tree of inner joins, in the order of the text.
fn leaves_below<'a>(root: &'a Join, leaves: &mut Vec<&'a Arc<LogicalPlan>>) {
    let mut pending = vec![&root.right, &root.left];
    while let Some(plan) = pending.pop() {
        match inner_join(plan) {
            Some(join) => pending.extend([&join.right, &join.left]),
            None => leaves.push(plan),
        }
    }
}

impl Chain {
    /// The chain with `root` on top, if that is an inner join of at least three leaves, and not too many.
    fn of(root: &LogicalPlan, sizes: &Sizes) -> Option<Chain> {
        let mut below = Vec::new();
        leaves_below(inner_join(root)?, &mut below);
        if below.len() < 3 || below.len() > LONGEST_CHAIN {
            return None;
        }
        let leaf = |plan: &Arc<LogicalPlan>| Leaf {
            plan: Arc::clone(plan),
            size: sizes.of(plan),
        };
        let mut chain = Chain {
            leaves: below.into_iter().map(leaf).collect(),
            conditions: vec![],
            classes: vec![],
            cost: 0.0,
        };
        let (mut joins, mut pending) = (Vec::new(), Vec::new());
        collect(root, &mut 0, &mut joins, &mut pending);
        for expr in pending {
            let condition = chain.condition(expr)?;
            chain.conditions.push(condition);
        }
        chain.classes = chain.classes_of_equals();
        // The last join is the same in every order.
        let whole = chain.leaves.len();
        chain.cost = joins
            .iter()
            .filter(|leaves| leaves.count() < whole)
            .map(|leaves| chain.rows_of(*leaves))
            .sum();
        Some(chain)
    }

    /// The condition with the leaves it uses; `None` if a column is of none of them.
    fn condition(&self, expr: Either) -> Option<Condition> {
        let expr = match expr {
            // A filter that was pushed into a join, not yet one of its keys.
            Either::Other(Expr::BinaryExpr(BinaryExpr {
                left,
                op: Operator::Eq,
                right,
            })) => match (self.leaves_of(&left)?.count(), self.leaves_of(&right)?.count()) {
                (1, 1) => Either::Equal(*left, *right),
                _ => Either::Other(equal(&left, &right)),
            },
            other => other,
        };
        let leaves = match &expr {
            Either::Equal(left, right) => self.leaves_of(left)?.and(self.leaves_of(right)?),
            Either::Other(expr) => self.leaves_of(expr)?,
        };
        Some(Condition { expr, leaves })
    }

    fn leaves_of(&self, expr: &Expr) -> Option<Leaves> {
        let mut leaves = Leaves::NONE;
        for column in expr.column_refs() {
            leaves = leaves.and(Leaves::one(self.leaf_of(column)?));
        }
        Some(leaves)
    }

    fn leaf_of(&self, column: &Column) -> Option<usize> {
        self.leaves
            .iter()
            .position(|leaf| leaf.plan.schema().has_column(column))
    }

    fn classes_of_equals(&self) -> Vec<(Leaves, f64)> {
        let mut classes: Vec<(BTreeSet<String>, Leaves)> = Vec::new();
        for condition in &self.conditions {
            let Either::Equal(left, right) = &condition.expr else {
                continue;
            };
            let mut names = BTreeSet::from([left.to_string(), right.to_string()]);
            let mut leaves = condition.leaves;
            classes.retain(|(other_names, other_leaves)| {
                let is_same = !names.is_disjoint(other_names);
                if is_same {
                    names.extend(other_names.iter().cloned());
                    leaves = leaves.and(*other_leaves);
                }
                !is_same
            });
            classes.push((names, leaves));
        }
        let values = |leaves: Leaves| {
            leaves
                .iter()
                .map(|leaf| self.leaves[leaf].size.base)
                .fold(f64::INFINITY, f64::min)
                .max(1.0)
        };
        classes
            .into_iter()
            .map(|(_, leaves)| (leaves, values(leaves)))
            .collect()
    }

    /// The estimated rows of the join of some leaves.
    fn rows_of(&self, leaves: Leaves) -> f64 {
        let product: f64 = leaves.iter().map(|leaf| self.leaves[leaf].size.rows).product();
        let matching = self.classes.iter().map(|(members, values)| {
            let here = members.both(leaves).count();
            // Cannot overflow: there are at most `LONGEST_CHAIN`.
            values.powi(1 - here.max(1) as i32)
        });
        let others = self
            .conditions
            .iter()
            .filter(|condition| matches!(condition.expr, Either::Other(_)) && condition.leaves.is_within(leaves));
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
        let mut joined = Leaves::one(first);
        let mut cost = 0.0;
        while order.len() < self.leaves.len() {
            let candidates = (0..self.leaves.len()).filter(|leaf| !joined.has(*leaf)).map(|leaf| {
                let rows = self.rows_of(joined.and(Leaves::one(leaf)));
                // Without a condition it is a product: only when nothing else is left.
                (!self.is_connected(leaf, joined), rows, leaf)
            });
            let next = candidates.min_by(|a, b| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)));
            let Some((_, rows, leaf)) = next else { break };
            joined = joined.and(Leaves::one(leaf));
            order.push(leaf);
            if order.len() < self.leaves.len() {
                cost += rows;
            }
        }
        (cost, order)
    }

    fn is_connected(&self, leaf: usize, joined: Leaves) -> bool {
        self.conditions.iter().any(|condition| {
            matches!(condition.expr, Either::Equal(..))
                && condition.leaves.has(leaf)
                && condition.leaves.is_within(joined.and(Leaves::one(leaf)))
        })
    }

    /// The joins in this order, with the columns of `before`.
    fn join_in(&self, order: &[usize], before: &LogicalPlan) -> Result<LogicalPlan> {
        let mut applied = vec![false; self.conditions.len()];
        let mut joined = Leaves::NONE;
        let mut plan: Option<Arc<LogicalPlan>> = None;
        for leaf in order {
            joined = joined.and(Leaves::one(*leaf));
            let right = Arc::clone(&self.leaves[*leaf].plan);
            let Some(left) = plan else {
                plan = Some(right);
                continue;
            };
            let (mut on, mut others) = (vec![], vec![]);
            for (condition, applied) in self.conditions.iter().zip(&mut applied) {
                if *applied || !condition.leaves.is_within(joined) {
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

/// Collects the conditions of the joins on top of `plan`, and the leaves of each; the first of them is `next`.
fn collect(plan: &LogicalPlan, next: &mut usize, joins: &mut Vec<Leaves>, conditions: &mut Vec<Either>) -> Leaves {
    let Some(join) = inner_join(plan) else {
        *next += 1;
        return Leaves::one(*next - 1);
    };
    let left = collect(&join.left, next, joins, conditions);
    let leaves = left.and(collect(&join.right, next, joins, conditions));
    let equal = |(left, right): &(Expr, Expr)| Either::Equal(left.clone(), right.clone());
    conditions.extend(join.on.iter().map(equal));
    let others = join.filter.iter().flat_map(|filter| split_conjunction(filter));
    conditions.extend(others.map(|other| Either::Other(other.clone())));
    joins.push(leaves);
    leaves
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
