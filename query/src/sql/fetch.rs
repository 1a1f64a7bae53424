//! `FETCH FIRST n ROWS ONLY` is `LIMIT n` (SQL:2008, 7.17).

use datafusion::common::{Result, plan_err};
use datafusion::sql::sqlparser::ast::{Expr, LimitClause, Query, Value};

pub(super) fn rewrite(query: &mut Query) -> Result<()> {
    let Some(fetch) = query.fetch.take() else { return Ok(()) };
    if fetch.with_ties {
        return plan_err!(
            "FETCH .. WITH TIES is not supported; number the rows with rank() OVER (ORDER BY ..) and filter by that"
        );
    }
    if fetch.percent {
        return plan_err!("FETCH .. PERCENT is not supported; count the rows and write the number");
    }
    let one = || Expr::Value(Value::Number("1".to_owned(), false).into());
    let count = fetch.quantity.unwrap_or_else(one);
    match query.limit_clause.get_or_insert(LimitClause::LimitOffset {
        limit: None,
        offset: None,
        limit_by: vec![],
    }) {
        LimitClause::LimitOffset {
            limit: limit @ None, ..
        } => {
            *limit = Some(count);
            Ok(())
        }
        _ => plan_err!("a query has LIMIT and FETCH; write one of them"),
    }
}
