//! A volatile common table expression that is read more than once is refused.
//!
//! `WITH c AS (SELECT random() AS r) SELECT .. FROM c AS a, c AS b`: whoever reads `c` twice reads the same rows twice. DataFusion puts the
//! text of `c` in both places, and draws twice. For what is not volatile that is the same.

use std::collections::HashSet;
use std::ops::ControlFlow;

use datafusion::execution::SessionState;
use datafusion::logical_expr::Volatility;
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::{Expr, Query, Visit, Visitor, visit_expressions, visit_relations};

use crate::error::{QueryError, Result};

/// # Errors
/// [`QueryError::Unsupported`] if a common table expression of the statement is volatile and read more than once.
pub(super) fn check(statement: &Statement, state: &SessionState) -> Result<()> {
    let statement = match statement {
        Statement::Explain(explain) => return check(&explain.statement, state),
        Statement::Statement(statement) => statement,
        _ => return Ok(()),
    };
    let mut queries = Queries {
        state,
        volatile: HashSet::new(),
    };
    match statement.visit(&mut queries) {
        ControlFlow::Break(name) => Err(QueryError::unsupported(
            format!("reading the common table expression {name} more than once"),
            "it calls a function that gives something else each time, random() or the like, and each reader would get other rows; \
             read it once, or write what it computes into a file first",
        )),
        ControlFlow::Continue(()) => Ok(()),
    }
}

struct Queries<'a> {
    state: &'a SessionState,
    /// The common table expressions so far that are volatile, by name.
    volatile: HashSet<String>,
}

impl Visitor for Queries<'_> {
    /// The name of the expression.
    type Break = String;

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<String> {
        for cte in query.with.iter().flat_map(|with| &with.cte_tables) {
            let name = cte.alias.name.value.to_lowercase();
            if !self.is_volatile(&cte.query) {
                continue;
            }
            self.volatile.insert(name.clone());
            if self.readings(query, &name) > 1 {
                return ControlFlow::Break(cte.alias.name.to_string());
            }
        }
        ControlFlow::Continue(())
    }
}

impl Queries<'_> {
    fn readings(&self, query: &Query, name: &str) -> usize {
        let mut readings = 0;
        let _: ControlFlow<()> = visit_relations(query, |relation| {
            readings += usize::from(relation.to_string().trim_matches('"').to_lowercase() == *name);
            ControlFlow::Continue(())
        });
        readings
    }

    fn is_volatile(&self, query: &Query) -> bool {
        let calls = visit_expressions(query, |expr| match expr {
            Expr::Function(function) if self.is_volatile_function(&function.name.to_string().to_lowercase()) => {
                ControlFlow::Break(())
            }
            _ => ControlFlow::Continue(()),
        });
        let reads = visit_relations(query, |relation| {
            let name = relation.to_string().trim_matches('"').to_lowercase();
            match self.volatile.contains(&name) || self.is_volatile_view(&name) {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            }
        });
        calls.is_break() || reads.is_break()
    }

    fn is_volatile_function(&self, name: &str) -> bool {
        let state = self.state;
        let scalar = state.scalar_functions().get(name).map(|f| f.signature().volatility);
        let aggregate = state.aggregate_functions().get(name).map(|f| f.signature().volatility);
        let window = state.window_functions().get(name).map(|f| f.signature().volatility);
        [scalar, aggregate, window].contains(&Some(Volatility::Volatile))
    }

    /// Whether it is a view whose query is volatile.
    fn is_volatile_view(&self, name: &str) -> bool {
        let defaults = &self.state.config_options().catalog;
        let catalog = self.state.catalog_list().catalog(&defaults.default_catalog);
        let Some(schema) = catalog.and_then(|catalog| catalog.schema(&defaults.default_schema)) else {
            return false;
        };
        // Tables are in memory: nothing is waited for.
        let table = futures::FutureExt::now_or_never(schema.table(name));
        let Some(Ok(Some(table))) = table else { return false };
        let Some(plan) = table.get_logical_plan() else {
            return false;
        };
        plan_is_volatile(&plan)
    }
}

fn plan_is_volatile(plan: &datafusion::logical_expr::LogicalPlan) -> bool {
    use datafusion::common::tree_node::TreeNodeRecursion;
    let mut is_volatile = false;
    let walked = plan.apply_with_subqueries(|node| {
        node.apply_expressions(|expr| {
            is_volatile |= expr.is_volatile();
            Ok(TreeNodeRecursion::Continue)
        })
    });
    is_volatile || walked.is_err()
}
