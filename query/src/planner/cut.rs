//! Pass 7: exchanges become stage boundaries.
//!
//! ```text
//!   in the plan                          in the fragment           a new stage
//!
//!   RepartitionExec: Hash([a], n)        ShuffleReader             child ──Hash([a], n)──>
//!     child
//!   CoalescePartitionsExec               ShuffleReader             child ──Gather──>
//!     child (n > 1 partitions)
//!   SortPreservingMergeExec: [a]         ShuffleReader             child ──Merge([a])──>
//!     child (n > 1 partitions)
//!   Coalesce, Merge over 1 partition     child
//!   join that collects its left side,    join                      left ──Broadcast──>
//!   over a right side of n > 1             ShuffleReader
//!     left                                 right
//!     right
//!   ScalarSubqueryExec                   ScalarSubqueryExec        subquery ──Gather──>
//!     input                                input
//!     subquery                             ShuffleReader
//! ```
//!
//! A limit below an exchange is applied twice: by every producing unit to its own rows, which is always safe, and by the
//! one consumer that reads them all, which is what counts. A scalar subquery's value is read by every unit of every
//! fragment whose expressions use it, each through a `ScalarSubqueryExec` of its own: the error for more than one row stays
//! where it was.

use std::sync::Arc;

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::physical_planning_context::{ScalarSubqueryResults, SubqueryIndex};
use datafusion::physical_expr::scalar_subquery::ScalarSubqueryExpr;
use datafusion::physical_expr::{LexOrdering, PhysicalExpr};
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::empty::EmptyExec;
use datafusion::physical_plan::joins::{CrossJoinExec, HashJoinExec, NestedLoopJoinExec, PartitionMode};
use datafusion::physical_plan::limit::{GlobalLimitExec, LocalLimitExec};
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::scalar_subquery::{ScalarSubqueryExec, ScalarSubqueryLink};
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::sorts::sort_preserving_merge::SortPreservingMergeExec;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties, Partitioning};

use super::order;
use crate::error::{QueryError, Result};
use crate::plan::codec::Encoded;
use crate::plan::{Equivalences, ShuffleReaderExec};
use crate::stage::{Exchange, Stage, StageGraph, StageId};

/// Cuts a plan whose operators share nothing but its exchanges.
///
/// # Errors
/// If an exchange cannot be one between stages.
pub(super) fn cut(plan: &Arc<dyn ExecutionPlan>) -> Result<StageGraph> {
    let mut cutter = Cutter::default();
    let fragment = cutter.cut(plan)?;
    let schema = plan.schema();
    if !cutter.is_result_of_last_stage(&fragment) {
        cutter.close(fragment, Exchange::Gather)?;
    }
    Ok(StageGraph {
        stages: cutter.stages,
        schema,
    })
}

/// The stages of the fragments in `plan`, each once, in ascending order.
pub(super) fn inputs_of(plan: &Arc<dyn ExecutionPlan>) -> Result<Vec<StageId>> {
    let mut inputs = Vec::new();
    plan.apply(|node| {
        inputs.extend(node.downcast_ref::<ShuffleReaderExec>().map(ShuffleReaderExec::stage));
        Ok(TreeNodeRecursion::Continue)
    })?;
    inputs.sort();
    inputs.dedup();
    Ok(inputs)
}

#[derive(Default)]
struct Cutter {
    /// The closed stages: every one reads only from those before it.
    stages: Vec<Stage>,
    /// The scalar subqueries that expressions around here may use.
    subqueries: Option<Subqueries>,
}

/// The scalar subqueries of one level of the query.
#[derive(Clone)]
struct Subqueries {
    values: Vec<ScalarSubqueryLink>,
    results: ScalarSubqueryResults,
}

impl Cutter {
    fn cut(&mut self, node: &Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
        if let Some(exchange) = node.downcast_ref::<RepartitionExec>() {
            return self.repartition(exchange);
        }
        if let Some(exchange) = node.downcast_ref::<CoalescePartitionsExec>() {
            let child = self.cut(exchange.input())?;
            return self.gather(child, exchange.fetch());
        }
        if let Some(exchange) = node.downcast_ref::<SortPreservingMergeExec>() {
            return self.merge(node, exchange);
        }
        if let Some(subqueries) = node.downcast_ref::<ScalarSubqueryExec>() {
            return self.scalar_subqueries(subqueries);
        }
        let children = node
            .children()
            .into_iter()
            .map(|child| self.cut(child))
            .collect::<Result<Vec<_>>>()?;
        let children = if collects_left(node) {
            self.broadcast_left(children)?
        } else {
            children
        };
        Ok(order::with_children(node, children)?)
    }

    /// `RepartitionExec: Hash` becomes a `Hash` exchange.
    fn repartition(&mut self, exchange: &RepartitionExec) -> Result<Arc<dyn ExecutionPlan>> {
        let child = self.cut(exchange.input())?;
        match exchange.partitioning() {
            Partitioning::Hash(keys, partitions) => {
                if uses_scalar_subquery(keys.iter())? {
                    return Err(QueryError::unsupported(
                        "a join or grouping by a scalar subquery's value",
                        "rows are sent by their key, and the value is not known then; compute the key in a subquery",
                    ));
                }
                self.exchange(
                    child,
                    Exchange::Hash {
                        keys: keys.clone(),
                        partitions: *partitions,
                    },
                )
            }
            other => Err(QueryError::unsupported(
                format!("the partitioning {other}"),
                "rows are sent to units by the hash of keys only; leave the session's settings as they are",
            )),
        }
    }

    /// All rows of `child` in one partition, cut off after `fetch`.
    fn gather(&mut self, child: Arc<dyn ExecutionPlan>, fetch: Option<usize>) -> Result<Arc<dyn ExecutionPlan>> {
        if child.output_partitioning().partition_count() == 1 {
            return Ok(at_most(child, fetch));
        }
        let reader = self.exchange(locally_at_most(child, fetch), Exchange::Gather)?;
        Ok(at_most(reader, fetch))
    }

    /// `SortPreservingMergeExec` becomes a `Merge` exchange.
    fn merge(
        &mut self,
        node: &Arc<dyn ExecutionPlan>,
        exchange: &SortPreservingMergeExec,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let (ordering, fetch) = (exchange.expr().clone(), exchange.fetch());
        let child = self.cut(exchange.input())?;
        if uses_scalar_subquery(ordering.iter().map(|key| &key.expr))? {
            // Whoever reads the merge does not know the value; sort again where it is known.
            let rows = self.gather(child, None)?;
            return Ok(Arc::new(SortExec::new(ordering, rows).with_fetch(fetch)));
        }
        let child = self.sorted(node, child, &ordering)?;
        if child.output_partitioning().partition_count() == 1 {
            return Ok(at_most(child, fetch));
        }
        self.exchange(locally_at_most(child, fetch), Exchange::Merge { ordering, fetch })
    }

    /// `child` with its partitions sorted as `node` requires, which is by `ordering`.
    fn sorted(
        &self,
        node: &Arc<dyn ExecutionPlan>,
        child: Arc<dyn ExecutionPlan>,
        ordering: &LexOrdering,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let sorted = order::as_required(node, vec![child])?;
        match <[_; 1]>::try_from(sorted) {
            Ok([child]) => Ok(child),
            Err(children) => Err(QueryError::unsupported(
                format!("a merge by [{ordering}] of {} inputs", children.len()),
                "it has one input",
            )),
        }
    }

    /// Subqueries become stages; what reads their values is wrapped by [`Self::close`], or here if it is still open.
    fn scalar_subqueries(&mut self, node: &ScalarSubqueryExec) -> Result<Arc<dyn ExecutionPlan>> {
        let outer = self.subqueries.take();
        let mut values = Vec::with_capacity(node.subqueries().len());
        for link in node.subqueries() {
            let plan = self.cut(&link.plan)?;
            // One row or none, whatever it took to compute: consumers only read it.
            let plan = if self.is_result_of_last_stage(&plan) {
                plan
            } else {
                self.exchange(plan, Exchange::Gather)?
            };
            values.push(ScalarSubqueryLink {
                plan,
                index: link.index,
            });
        }
        values.sort_by_key(|link| link.index.as_usize());
        self.subqueries = Some(Subqueries {
            values,
            results: node.results().clone(),
        });
        let input = self.cut(node.input())?;
        let input = self.with_subqueries(input)?;
        self.subqueries = outer;
        Ok(input)
    }

    /// The fragment with a node that computes the scalar subqueries its expressions use, if any.
    fn with_subqueries(&self, fragment: Arc<dyn ExecutionPlan>) -> Result<Arc<dyn ExecutionPlan>> {
        let Some(Subqueries { values, results }) = &self.subqueries else {
            return Ok(fragment);
        };
        let used = Encoded::of(&fragment)?.scalar_subqueries;
        if used.is_empty() {
            return Ok(fragment);
        }
        // Slots are found by position, so those that are not used are there too; reading them would cost something.
        let values = values.iter().enumerate().map(|(slot, link)| {
            let plan = match used.contains(&slot) {
                true => Arc::clone(&link.plan),
                false => Arc::new(EmptyExec::new(link.plan.schema())),
            };
            ScalarSubqueryLink {
                plan,
                index: SubqueryIndex::new(slot),
            }
        });
        Ok(Arc::new(ScalarSubqueryExec::new(
            fragment,
            values.collect(),
            results.clone(),
        )))
    }

    /// The left side of a join that collects it becomes a `Broadcast` exchange, unless the join has a single unit.
    fn broadcast_left(&mut self, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Vec<Arc<dyn ExecutionPlan>>> {
        let Ok([left, right]) = <[_; 2]>::try_from(children) else {
            return Err(QueryError::unsupported("a join of other than two inputs", "it has two"));
        };
        if right.output_partitioning().partition_count() <= 1 {
            return Ok(vec![left, right]);
        }
        let gathered = left
            .downcast_ref::<ShuffleReaderExec>()
            .filter(|reader| *reader.exchange() == Exchange::Gather);
        let left = match gathered {
            // What was gathered for this join only is broadcast instead; it is the same stage and the same rows.
            Some(reader) => {
                self.stages[reader.stage().index()].output = Exchange::Broadcast;
                Arc::new(reader.reading(reader.stage(), Exchange::Broadcast)?)
            }
            None => self.exchange(left, Exchange::Broadcast)?,
        };
        Ok(vec![left, right])
    }

    /// Closes `fragment` and returns its reader.
    fn exchange(&mut self, fragment: Arc<dyn ExecutionPlan>, output: Exchange) -> Result<Arc<dyn ExecutionPlan>> {
        let schema = fragment.schema();
        let equivalences = Equivalences::of(fragment.equivalence_properties());
        let stage = self.close(fragment, output.clone())?;
        Ok(Arc::new(ShuffleReaderExec::try_new(
            stage,
            output,
            schema,
            equivalences,
        )?))
    }

    fn close(&mut self, fragment: Arc<dyn ExecutionPlan>, output: Exchange) -> Result<StageId> {
        let fragment = self.with_subqueries(fragment)?;
        let Ok(number) = u32::try_from(self.stages.len()) else {
            return Err(QueryError::unsupported(
                "a query of more than 2^32 stages",
                "make it smaller",
            ));
        };
        let id = StageId(number);
        let units = fragment.output_partitioning().partition_count();
        let inputs = inputs_of(&fragment)?;
        self.stages.push(Stage {
            id,
            fragment,
            units,
            output,
            inputs,
        });
        Ok(id)
    }

    /// Whether `fragment` only hands on what the last stage's output is.
    fn is_result_of_last_stage(&self, fragment: &Arc<dyn ExecutionPlan>) -> bool {
        let Some(reader) = fragment.downcast_ref::<ShuffleReaderExec>() else {
            return false;
        };
        let is_last = reader.stage().index() + 1 == self.stages.len();
        is_last && matches!(reader.exchange(), Exchange::Gather | Exchange::Merge { .. })
    }
}

/// Whether the node reads the whole of its left child in each of its partitions.
pub(super) fn collects_left(node: &Arc<dyn ExecutionPlan>) -> bool {
    match node.downcast_ref::<HashJoinExec>() {
        Some(join) => *join.partition_mode() == PartitionMode::CollectLeft,
        None => node.is::<NestedLoopJoinExec>() || node.is::<CrossJoinExec>(),
    }
}

/// The first `fetch` rows of a plan of one partition.
fn at_most(plan: Arc<dyn ExecutionPlan>, fetch: Option<usize>) -> Arc<dyn ExecutionPlan> {
    match fetch {
        Some(_) => Arc::new(GlobalLimitExec::new(plan, 0, fetch)),
        None => plan,
    }
}

/// The first `fetch` rows of each partition.
fn locally_at_most(plan: Arc<dyn ExecutionPlan>, fetch: Option<usize>) -> Arc<dyn ExecutionPlan> {
    match fetch {
        Some(fetch) if plan.fetch().is_none_or(|already| already > fetch) => Arc::new(LocalLimitExec::new(plan, fetch)),
        _ => plan,
    }
}

/// Whether an expression reads a scalar subquery's value.
pub(super) fn uses_scalar_subquery<'a>(exprs: impl Iterator<Item = &'a Arc<dyn PhysicalExpr>>) -> Result<bool> {
    for expr in exprs {
        if expr.exists(|part| Ok(part.is::<ScalarSubqueryExpr>()))? {
            return Ok(true);
        }
    }
    Ok(false)
}
