//! The right answer to a query, with what is needed to compare another answer with it.
//!
//! A comparison needs to know which rows may change places: those with equal sort keys. The keys are taken from the query itself, from the
//! `ORDER BY` at the top of its plan. The query is then run on plain DataFusion with the keys as further columns,
//!
//! ```text
//! Limit                           Limit (or not)
//!   [Projection: drop columns]      Sort: k0, k1, ...
//!     Sort: keys           ==>        Projection: answer as c0, c1, ..., keys as k0, k1, ...
//!       input                           input
//! ```
//!
//! with the limit for a first comparison, and without it if a tie at the limit's edge was broken in another way.

use crate::compare::{Extent, Reference};
use crate::engine::PlainEngine;
use datafusion::common::{Column, DataFusionError, plan_err};
use datafusion::logical_expr::{Expr, FetchType, LogicalPlan, LogicalPlanBuilder, SkipType, SortExpr, col};
use std::sync::Arc;
use std::time::Duration;

/// A query, taken apart.
#[derive(Clone, Debug)]
pub struct ReferenceQuery {
    /// All rows, sorted, with the sort keys as further columns.
    everything: LogicalPlan,
    names: Vec<String>,
    keys: usize,
    offset: usize,
    limit: Option<usize>,
}

impl ReferenceQuery {
    /// Plans a query on `engine` and takes it apart.
    pub async fn new(engine: &PlainEngine, sql: &str) -> anyhow::Result<Self> {
        Ok(Self::take_apart(engine.plan(sql).await?)?)
    }

    /// The names of the answer's columns.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Runs the query as it is. Returns the answer and how long it took.
    pub async fn window(&self, engine: &PlainEngine) -> anyhow::Result<(Reference, Duration)> {
        let plan = match (self.offset, self.limit) {
            (0, None) => self.everything.clone(),
            (offset, limit) => LogicalPlanBuilder::from(self.everything.clone())
                .limit(offset, limit)?
                .build()?,
        };
        let answer = engine.execute(plan).await?;
        let extent = Extent::Window {
            skipped: self.offset > 0,
            limited: self.limit == Some(answer.rows()),
        };
        let reference = Reference::new(&answer.schema, &answer.batches, self.keys, extent)?;
        Ok((reference, answer.elapsed))
    }

    /// Runs the query without its limit and offset.
    pub async fn everything(&self, engine: &PlainEngine) -> anyhow::Result<Reference> {
        let answer = engine.execute(self.everything.clone()).await?;
        let extent = Extent::Everything {
            offset: self.offset,
            limit: self.limit,
        };
        Ok(Reference::new(&answer.schema, &answer.batches, self.keys, extent)?)
    }

    fn take_apart(plan: LogicalPlan) -> Result<Self, DataFusionError> {
        let names = plan
            .schema()
            .fields()
            .iter()
            .map(|field| field.name().clone())
            .collect();
        let (offset, limit, plan) = take_limit(plan)?;
        let (answer, keys, input) = take_order(&plan);
        let numbered =
            |prefix: &'static str| move |(index, expr): (usize, Expr)| expr.alias(format!("{prefix}{index}"));
        let answer = answer.into_iter().enumerate().map(numbered("c"));
        let expressions = keys.iter().map(|key| key.expr.clone()).enumerate().map(numbered("k"));
        let sorted_by: Vec<_> = keys
            .iter()
            .enumerate()
            .map(|(index, key)| SortExpr::new(col(format!("k{index}")), key.asc, key.nulls_first))
            .collect();

        let everything = LogicalPlanBuilder::from(input).project(answer.chain(expressions))?;
        let everything = if keys.is_empty() {
            everything
        } else {
            everything.sort(sorted_by)?
        };
        Ok(ReferenceQuery {
            everything: everything.build()?,
            names,
            keys: keys.len(),
            offset,
            limit,
        })
    }
}

/// Splits off `LIMIT` and `OFFSET`.
fn take_limit(plan: LogicalPlan) -> Result<(usize, Option<usize>, LogicalPlan), DataFusionError> {
    let LogicalPlan::Limit(limit) = plan else {
        return Ok((0, None, plan));
    };
    match (limit.get_skip_type()?, limit.get_fetch_type()?) {
        (SkipType::Literal(offset), FetchType::Literal(count)) => {
            Ok((offset, count, Arc::unwrap_or_clone(limit.input)))
        }
        _ => plan_err!("the LIMIT or OFFSET is not a number, so ties at it cannot be compared"),
    }
}

/// Splits off `ORDER BY`: the answer's columns and the sort keys as expressions of what is left.
fn take_order(plan: &LogicalPlan) -> (Vec<Expr>, Vec<SortExpr>, LogicalPlan) {
    match plan {
        LogicalPlan::Sort(sort) => (columns(&sort.input), sort.expr.clone(), sort.input.as_ref().clone()),
        // The planner puts this projection there if a key is not among the answer's columns.
        LogicalPlan::Projection(projection) => match projection.input.as_ref() {
            LogicalPlan::Sort(sort) => (projection.expr.clone(), sort.expr.clone(), sort.input.as_ref().clone()),
            _ => (columns(plan), Vec::new(), plan.clone()),
        },
        _ => (columns(plan), Vec::new(), plan.clone()),
    }
}

fn columns(plan: &LogicalPlan) -> Vec<Expr> {
    plan.schema()
        .iter()
        .map(|(qualifier, field)| Expr::Column(Column::from((qualifier, field))))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::{Verdict, compare};
    use crate::queries;
    use datafusion::prelude::SessionContext;
    use datafusion::sql::sqlparser::ast::Statement;
    use datafusion::sql::sqlparser::dialect::GenericDialect;
    use datafusion::sql::sqlparser::parser::Parser;

    /// Two engines that differ in nothing but the order in which they happen to meet the rows.
    async fn engines() -> (PlainEngine, PlainEngine) {
        let engine = async |rows: &str| {
            let context = SessionContext::new();
            context
                .sql(&format!("create table t as select * from (values {rows}) as v(a, b)"))
                .await
                .unwrap()
                .collect()
                .await
                .unwrap();
            PlainEngine::from_context(context)
        };
        let forwards = "('u', 1), ('v', 2), ('w', 2), ('x', 2), ('y', 3), ('z', null)";
        let backwards = "('z', null), ('y', 3), ('x', 2), ('w', 2), ('v', 2), ('u', 1)";
        (engine(forwards).await, engine(backwards).await)
    }

    async fn first_verdict(sql: &str, other_sql: &str) -> Verdict {
        let (engine, other) = engines().await;
        let query = ReferenceQuery::new(&engine, sql).await.unwrap();
        let (window, _) = query.window(&engine).await.unwrap();
        let answer = other.sql(other_sql).await.unwrap();
        compare(&answer.schema, &answer.batches, &window).unwrap()
    }

    async fn last_verdict(sql: &str, other_sql: &str) -> Verdict {
        let (engine, other) = engines().await;
        let query = ReferenceQuery::new(&engine, sql).await.unwrap();
        let everything = query.everything(&engine).await.unwrap();
        let answer = other.sql(other_sql).await.unwrap();
        compare(&answer.schema, &answer.batches, &everything).unwrap()
    }

    #[tokio::test]
    async fn q22_keys_are_found_whether_or_not_they_are_in_the_answer() {
        for sql in [
            "select a, b from t order by b, a",
            "select a from t order by b",
            "select a from t order by -b desc, a limit 4",
            "select b as a, a as b from t order by a, b desc",
            "select b, count(*) from t group by b order by count(*) desc, b nulls first limit 2",
            "select distinct b from t order by b limit 2 offset 1",
            "select a from t union all select a from t order by a",
        ] {
            assert_eq!(first_verdict(sql, sql).await, Verdict::Equal, "{sql}");
            assert_eq!(last_verdict(sql, sql).await, Verdict::Equal, "{sql}");
        }
    }

    #[tokio::test]
    async fn q22_a_tie_at_the_limit_asks_for_the_full_answer_and_is_accepted_by_it() {
        let sql = "select a from t order by b limit 3";
        let other = "select a from (values ('u'), ('x'), ('w')) as v(a)";
        assert_eq!(first_verdict(sql, other).await, Verdict::TieAtTheEdge);
        assert_eq!(last_verdict(sql, other).await, Verdict::Equal);
        let doubled = "select a from (values ('u'), ('x'), ('x')) as v(a)";
        assert!(matches!(last_verdict(sql, doubled).await, Verdict::Different(_)));
    }

    #[tokio::test]
    async fn q22_the_wrong_order_is_found_even_if_the_key_is_not_in_the_answer() {
        let sql = "select a from t order by b";
        for wrong in [
            "select a from t order by b desc nulls last",
            "select a from t order by b nulls first",
        ] {
            assert!(
                matches!(first_verdict(sql, wrong).await, Verdict::Different(_)),
                "{wrong}"
            );
        }
        assert_eq!(
            first_verdict(sql, "select a from t order by b, a desc").await,
            Verdict::Equal
        );
    }

    #[tokio::test]
    async fn a_limit_without_order_accepts_any_rows_of_the_answer() {
        let sql = "select a from t limit 2";
        let others = "select a from t where a in ('w', 'z')";
        assert_eq!(first_verdict(sql, others).await, Verdict::TieAtTheEdge);
        assert_eq!(last_verdict(sql, others).await, Verdict::Equal);
        assert!(matches!(
            last_verdict(sql, "select 'other' as a from t limit 2").await,
            Verdict::Different(_)
        ));
    }

    /// Whether a statement asks for some of its rows, without saying for which.
    fn takes_any_rows(sql: &str) -> bool {
        let statements = Parser::parse_sql(&GenericDialect {}, sql).unwrap();
        let [Statement::Query(query)] = statements.as_slice() else {
            panic!("{sql}");
        };
        (query.limit_clause.is_some() || query.fetch.is_some()) && query.order_by.is_none()
    }

    #[test]
    fn only_an_order_of_the_whole_query_decides_which_rows_a_limit_leaves() {
        for any in [
            "select a from t limit 3",
            "select a, rank() over (partition by b order by a) from t limit 3",
            "select a from (select a from t order by a) as s fetch first 3 rows only",
        ] {
            assert!(takes_any_rows(any), "{any}");
        }
        for certain in [
            "select a from t",
            "select a from t order by a limit 3",
            "with s as (select a, rank() over (order by b) as r from t) select a from s order by r limit 3",
        ] {
            assert!(!takes_any_rows(certain), "{certain}");
        }
    }

    #[test]
    fn every_query_with_a_limit_has_an_order() {
        // Else any rows would do, and a comparison would prove little. These have one row: the specification limits them all the same.
        let one_row = ["23.1", "28", "32", "38", "97"];
        for statement in queries::all().iter().flat_map(queries::Query::statements) {
            assert!(
                one_row.contains(&statement.name.as_str()) || !takes_any_rows(&statement.sql),
                "query {}",
                statement.name
            );
        }
    }
}
