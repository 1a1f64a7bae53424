//! Clauses that the parser knows and DataFusion passes over are refused: the answer would be that of another query.
//!
//! What is taken apart here is taken apart whole: a clause that the parser learns does not compile until it is decided upon.

use datafusion::common::{Result, plan_err};
use datafusion::sql::sqlparser::ast::{
    Expr, Function, FunctionArguments, GroupByExpr, Join, JoinConstraint, JoinOperator, Query, Select, TableAlias,
    TableFactor,
};

fn refused<T>(clause: &str, instead: &str) -> Result<T> {
    plan_err!("{clause} is not supported; {instead}")
}

/// # Errors
/// For the first clause that would be passed over.
pub(super) fn check_query(query: &Query) -> Result<()> {
    let Query {
        with: _,
        body: _,
        order_by: _,
        limit_clause: _,
        fetch: _,
        // Nothing is written here, so nothing has to be locked.
        locks: _,
        for_clause,
        settings,
        format_clause,
        pipe_operators: _,
    } = query;
    if for_clause.is_some() {
        return refused("FOR XML, JSON or BROWSE", "`--format` says how rows are written");
    }
    if settings.is_some() {
        return refused("SETTINGS", "write SET before the query");
    }
    if format_clause.is_some() {
        return refused("FORMAT", "`--format` says how rows are written");
    }
    Ok(())
}

/// # Errors
/// As [`check_query`].
pub(super) fn check_select(select: &Select) -> Result<()> {
    let Select {
        select_token: _,
        // They say how, not what.
        optimizer_hints: _,
        distinct: _,
        select_modifiers: _,
        top: _,
        top_before_distinct: _,
        projection: _,
        exclude,
        into: _,
        from,
        lateral_views: _,
        prewhere,
        selection: _,
        connect_by,
        group_by,
        cluster_by: _,
        distribute_by,
        sort_by: _,
        having: _,
        named_window: _,
        qualify: _,
        window_before_qualify: _,
        value_table_mode,
        flavor: _,
    } = select;
    if exclude.is_some() {
        return refused(
            "EXCLUDE behind the columns",
            "write it behind the star, as in * EXCLUDE (a)",
        );
    }
    if prewhere.is_some() {
        return refused("PREWHERE", "write WHERE");
    }
    if !connect_by.is_empty() {
        return refused("CONNECT BY", "write out its steps as joins");
    }
    let (GroupByExpr::All(modifiers) | GroupByExpr::Expressions(_, modifiers)) = group_by;
    if !modifiers.is_empty() {
        return refused(
            "WITH behind GROUP BY",
            "write GROUP BY ROLLUP (..), CUBE (..) or GROUPING SETS (..)",
        );
    }
    if !distribute_by.is_empty() {
        return refused("DISTRIBUTE BY", "leave it out: the planner decides");
    }
    if value_table_mode.is_some() {
        return refused("SELECT AS STRUCT or VALUE", "write SELECT struct(..)");
    }
    for join in from.iter().flat_map(|from| &from.joins) {
        check_join(join)?;
    }
    Ok(())
}

fn check_join(join: &Join) -> Result<()> {
    let constraint = match &join.join_operator {
        JoinOperator::Join(constraint)
        | JoinOperator::Inner(constraint)
        | JoinOperator::Left(constraint)
        | JoinOperator::LeftOuter(constraint)
        | JoinOperator::Right(constraint)
        | JoinOperator::RightOuter(constraint)
        | JoinOperator::FullOuter(constraint) => constraint,
        _ => return Ok(()),
    };
    match constraint {
        JoinConstraint::None => refused(
            &format!("{join} without ON or USING"),
            "write CROSS JOIN if every row is to meet every other",
        ),
        _ => Ok(()),
    }
}

/// # Errors
/// As [`check_query`].
pub(super) fn check_table(table: &TableFactor) -> Result<()> {
    const WHOLE: &str = "all rows are read; write WHERE random() < 0.1 for some of them";
    let sample = match table {
        TableFactor::Table {
            name: _,
            alias,
            args,
            // They say how, not what.
            with_hints: _,
            version,
            with_ordinality,
            partitions,
            json_path,
            sample,
            index_hints: _,
        } => {
            check_alias(alias.as_ref())?;
            if args.as_ref().is_some_and(|args| args.settings.is_some()) {
                return refused("SETTINGS", "write SET before the query");
            }
            if version.is_some() {
                return refused("a table as it was at another time", "a file is read as it is");
            }
            check_ordinality(*with_ordinality)?;
            if !partitions.is_empty() {
                return refused("PARTITION", "write WHERE");
            }
            if json_path.is_some() {
                return refused("a path behind a table", "write it behind a column, as in a['b']");
            }
            sample
        }
        TableFactor::Derived {
            lateral: _,
            subquery: _,
            alias,
            sample,
        } => {
            check_alias(alias.as_ref())?;
            sample
        }
        TableFactor::Function {
            lateral: _,
            name: _,
            args: _,
            with_ordinality,
            alias,
        } => {
            check_alias(alias.as_ref())?;
            check_ordinality(*with_ordinality)?;
            &None
        }
        TableFactor::NestedJoin {
            table_with_joins,
            alias,
        } => {
            check_alias(alias.as_ref())?;
            for join in &table_with_joins.joins {
                check_join(join)?;
            }
            &None
        }
        _ => &None,
    };
    match sample {
        Some(_) => refused("TABLESAMPLE", WHOLE),
        None => Ok(()),
    }
}

fn check_ordinality(with_ordinality: bool) -> Result<()> {
    match with_ordinality {
        true => refused("WITH ORDINALITY", "write row_number() OVER ()"),
        false => Ok(()),
    }
}

fn check_alias(alias: Option<&TableAlias>) -> Result<()> {
    match alias.and_then(|alias| alias.at.as_ref()) {
        Some(at) => refused(&format!("AT {at}"), "write row_number() OVER ()"),
        None => Ok(()),
    }
}

/// # Errors
/// As [`check_query`].
pub(super) fn check_expr(expr: &Expr) -> Result<()> {
    let Expr::Function(function) = expr else {
        return Ok(());
    };
    let Function {
        name,
        uses_odbc_syntax: _,
        parameters,
        args: _,
        filter: _,
        null_treatment: _,
        over: _,
        within_group: _,
    } = function;
    match parameters {
        FunctionArguments::None => Ok(()),
        parameters => refused(
            &format!("{name}{parameters}(..)"),
            "write all arguments in one pair of brackets",
        ),
    }
}
