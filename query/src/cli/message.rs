//! What a person reads when something is wrong: what, where, and what to do.
//!
//! ```text
//! syntax error at line 2, column 1: expected an expression, found: FORM
//!   FORM orders
//!   ^
//! ```

use crate::cli::statements::Origin;
use crate::error::QueryError;
use datafusion::common::SchemaError;
use datafusion::common::utils::datafusion_strsim::normalized_levenshtein;
use datafusion::error::DataFusionError;
use datafusion::sql::sqlparser::parser::ParserError;
use kappa::{Failure, RunError, TaskError};
use unicode_width::UnicodeWidthStr;

/// How many columns or tables a message lists at most.
const LISTED: usize = 30;
/// How much of a long line of SQL is shown on either side of the place that is meant.
const SHOWN: usize = 60;

/// The message for an error of the text `sql`, in a session with these tables.
pub(crate) fn of_error(error: &QueryError, sql: &str, origin: &Origin, tables: &[String]) -> String {
    match error {
        QueryError::Sql(error) => of_sql_error(error.find_root(), sql, origin, tables),
        QueryError::Run(error) => of_run_error(error),
        other => without_backtrace(&other.to_string()).trim_end().to_owned(),
    }
}

/// A run that has only stopped: what happened, for whoever says how to go on.
pub(crate) fn of_stopped_run(error: &RunError) -> String {
    error.without_advice()
}

/// Who runs a query wants to know what is wrong with it, not through which tasks that was passed on.
fn of_run_error(error: &RunError) -> String {
    match error {
        RunError::Failed(TaskError {
            kind: Failure::Returned(text),
            ..
        }) => {
            format!("the query failed: {}", without_layers(without_tasks(text)))
        }
        RunError::Failed(error) => format!("the query failed: {error}"),
        other => other.to_string(),
    }
}

/// `task 1 (stage) failed: task 2 (unit) failed: what happened` without the tasks that only pass it on.
fn without_tasks(text: &str) -> &str {
    let passed_on = text.strip_prefix("task ").and_then(|rest| {
        let (number, rest) = rest.split_once(" (")?;
        let (_, what) = rest.split_once(") failed: ")?;
        number.bytes().all(|digit| digit.is_ascii_digit()).then_some(what)
    });
    passed_on.map_or(text, without_tasks)
}

/// `Arrow error: Divide by zero error: Divide by zero error`: once is enough, and it does not matter which library saw it.
fn without_layers(text: &str) -> String {
    const LAYERS: [&str; 9] = [
        "Arrow error",
        "External error",
        "Execution error",
        "Error during planning",
        "Parquet error",
        "Object Store error",
        "IO error",
        "Context",
        "Internal error",
    ];
    let mut text = without_backtrace(text).trim_end();
    // Only what stands in front is a layer's: further inside, the same words may be somebody's data.
    while let Some((first, rest)) = text.split_once(": ") {
        let is_doubled = rest
            .strip_prefix(first)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(": "));
        if !LAYERS.contains(&first) && !is_doubled {
            break;
        }
        text = rest;
    }
    text.to_owned()
}

fn of_sql_error(error: &DataFusionError, sql: &str, origin: &Origin, tables: &[String]) -> String {
    match error {
        DataFusionError::SQL(error, _) => of_parser_error(error, sql, origin),
        DataFusionError::Diagnostic(_, error) | DataFusionError::Context(_, error) => {
            of_sql_error(error.find_root(), sql, origin, tables)
        }
        DataFusionError::SchemaError(error, _) => of_schema_error(error),
        DataFusionError::Plan(message) => match missing_table(message) {
            Some(name) => of_missing_table(name, tables),
            None => without_backtrace(message).to_owned(),
        },
        DataFusionError::Collection(errors) => {
            let messages: Vec<String> = errors
                .iter()
                .map(|error| of_sql_error(error.find_root(), sql, origin, tables))
                .collect();
            messages.join("\n")
        }
        DataFusionError::NotImplemented(message) => format!("not supported: {}", without_backtrace(message)),
        DataFusionError::Execution(message)
        | DataFusionError::ResourcesExhausted(message)
        | DataFusionError::Configuration(message) => without_backtrace(message).to_owned(),
        DataFusionError::ArrowError(error, _) => error.to_string(),
        DataFusionError::ParquetError(error) => error.to_string(),
        DataFusionError::ObjectStore(error) => error.to_string(),
        DataFusionError::IoError(error) => error.to_string(),
        DataFusionError::External(error) => error.to_string(),
        other => other.strip_backtrace(),
    }
}

fn without_backtrace(message: &str) -> &str {
    message.split(DataFusionError::BACK_TRACE_SEP).next().unwrap_or(message)
}

/// The planner says `table 'catalog.schema.name' not found`; there is no type for it.
fn missing_table(message: &str) -> Option<&str> {
    let name = without_backtrace(message)
        .strip_prefix("table '")?
        .strip_suffix("' not found")?;
    Some(name.strip_prefix("kappa.public.").unwrap_or(name))
}

/// There is no such table; these are.
pub(crate) fn of_missing_table(name: &str, tables: &[String]) -> String {
    let mut message = format!("there is no table {name:?}");
    if tables.is_empty() {
        message.push_str(", nor any other: name the folder of your data with --data DIR");
        return message;
    }
    if let Some(near) = nearest(name, tables) {
        message.push_str(&format!("; did you mean {}?", quoted_if_needed(near)));
    }
    let names: Vec<String> = tables.iter().map(|table| quoted_if_needed(table)).collect();
    message.push_str(&format!("\ntables: {}", listed(&names)));
    message
}

fn of_schema_error(error: &SchemaError) -> String {
    let SchemaError::FieldNotFound { field, valid_fields } = error else {
        return error.to_string();
    };
    let mut message = format!("there is no column {}", field.quoted_flat_name());
    let names: Vec<String> = valid_fields.iter().map(|field| field.name().to_owned()).collect();
    if let Some(near) = nearest(field.name(), &names) {
        message.push_str(&format!("; did you mean {}?", quoted_if_needed(near)));
    }
    if !valid_fields.is_empty() {
        let fields: Vec<String> = valid_fields.iter().map(|field| field.quoted_flat_name()).collect();
        message.push_str(&format!("\ncolumns: {}", listed(&fields)));
    }
    message
}

fn of_parser_error(error: &ParserError, sql: &str, origin: &Origin) -> String {
    let text = match error {
        ParserError::TokenizerError(text) | ParserError::ParserError(text) => text.as_str(),
        ParserError::RecursionLimitExceeded => {
            return format!(
                "the SQL{} is nested too deeply: brackets, calls and subqueries go a few hundred deep; give the inner part a name by \
                 WITH name AS (SELECT ..)",
                in_file(origin)
            );
        }
    };
    let (what, line, column) = match located(text) {
        Some(found) => found,
        None => {
            // Nothing is where something was expected: the place is the end.
            let (line, column) = end_of(sql);
            (text, line, column)
        }
    };
    let place = match &origin.file {
        Some(file) => format!("in {file}, line {}, column {column}", line + origin.first_line - 1),
        None => format!("at line {}, column {column}", line + origin.first_line - 1),
    };
    let what = what
        .strip_prefix("Expected: ")
        .map_or_else(|| what.to_owned(), |rest| format!("expected {rest}"));
    let mut message = format!("syntax error {place}: {what}");
    if let Some(excerpt) = excerpt(sql, line, column) {
        message.push('\n');
        message.push_str(&excerpt);
    }
    message
}

fn in_file(origin: &Origin) -> String {
    origin
        .file
        .as_ref()
        .map(|file| format!(" in {file}"))
        .unwrap_or_default()
}

/// `… at Line: 3, Column: 8`: the parser puts the place at the end of its text.
fn located(text: &str) -> Option<(&str, usize, usize)> {
    let (what, place) = text.rsplit_once(" at Line: ")?;
    let (line, column) = place.split_once(", Column: ")?;
    let column: String = column.chars().take_while(char::is_ascii_digit).collect();
    Some((what, line.parse().ok()?, column.parse().ok()?))
}

/// Line and column behind the last word.
fn end_of(sql: &str) -> (usize, usize) {
    let sql = sql.trim_end();
    let last = sql.rsplit('\n').next().unwrap_or_default();
    (sql.split('\n').count(), last.chars().count() + 1)
}

/// The line, and a caret below the column.
fn excerpt(sql: &str, line: usize, column: usize) -> Option<String> {
    let characters: Vec<char> = sql.split('\n').nth(line.checked_sub(1)?)?.trim_end().chars().collect();
    let at = column.saturating_sub(1).min(characters.len());
    let (from, to) = (at.saturating_sub(SHOWN), (at + SHOWN).min(characters.len()));
    let clean = |part: &[char]| -> String { part.iter().map(|c| if c.is_control() { ' ' } else { *c }).collect() };
    let (before, after) = (clean(&characters[from..at]), clean(&characters[at..to]));
    let (cut_left, cut_right) = (
        if from > 0 { "…" } else { "" },
        if to < characters.len() { "…" } else { "" },
    );
    let indent = " ".repeat(cut_left.width() + before.width());
    Some(format!("  {cut_left}{before}{after}{cut_right}\n  {indent}^"))
}

/// A name as it must be written in SQL.
pub(crate) fn quoted_if_needed(name: &str) -> String {
    let mut characters = name.chars();
    let is_plain = characters.next().is_some_and(|c| c.is_ascii_lowercase() || c == '_')
        && characters.all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    if is_plain { name.to_owned() } else { quoted(name) }
}

/// A name in quotes.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn nearest<'a>(name: &str, names: &'a [String]) -> Option<&'a String> {
    let name = name.to_lowercase();
    let likeness = |other: &String| normalized_levenshtein(&name, &other.to_lowercase());
    let best = names.iter().max_by(|a, b| likeness(a).total_cmp(&likeness(b)))?;
    (likeness(best) >= 0.5).then_some(best)
}

fn listed(names: &[String]) -> String {
    match names.len().checked_sub(LISTED) {
        Some(more) if more > 0 => format!("{}, and {more} more", names[..LISTED].join(", ")),
        _ => names.join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion::common::{Column, plan_datafusion_err};
    use datafusion::sql::parser::DFParser;

    fn of_syntax(sql: &str, origin: &Origin) -> String {
        let error = DFParser::parse_sql(sql).expect_err("it must be wrong");
        of_error(&error.into(), sql, origin, &[])
    }

    #[test]
    fn a_syntax_error_says_where_and_points_there() {
        let message = of_syntax("select *\nfrom t\nwhere )", &Origin::command_line());
        let lines: Vec<&str> = message.lines().collect();
        assert_eq!(
            lines[0], "syntax error at line 3, column 7: expected an expression, found: )",
            "{message}"
        );
        assert_eq!(&lines[1..], ["  where )", "        ^"], "{message}");
    }

    #[test]
    fn the_line_of_a_syntax_error_counts_from_the_start_of_its_file() {
        let message = of_syntax("select\n(", &Origin::file("q.sql", 10));
        assert!(
            message.starts_with("syntax error in q.sql, line 11, column "),
            "{message}"
        );
    }

    #[test]
    fn a_syntax_error_at_the_end_points_behind_the_last_word() {
        let message = of_syntax("select 1 from", &Origin::command_line());
        assert!(
            message.starts_with("syntax error at line 1, column 14: expected "),
            "{message}"
        );
        assert!(message.ends_with("\n  select 1 from\n               ^"), "{message}");
    }

    #[test]
    fn an_open_text_is_pointed_at_where_it_starts() {
        let message = of_syntax("select 'abc", &Origin::command_line());
        assert_eq!(
            message,
            "syntax error at line 1, column 8: Unterminated string literal\n  select 'abc\n         ^"
        );
    }

    #[test]
    fn a_long_line_is_shown_around_the_place() {
        let sql = format!("select {} form from t", vec!["abcdefgh"; 100].join(", "));
        let message = of_syntax(&format!("{sql} where ) {}", "x".repeat(500)), &Origin::command_line());
        assert!(message.lines().all(|line| line.width() < 2 * SHOWN + 10), "{message}");
        let lines: Vec<&str> = message.lines().collect();
        let caret = lines[2].width();
        assert_eq!(lines[1].chars().nth(caret - 1), Some(')'), "{message}");
    }

    #[test]
    fn the_caret_stands_under_wide_characters_too() {
        let lines = of_syntax("select '東京' as )", &Origin::command_line());
        let lines: Vec<&str> = lines.lines().collect();
        assert_eq!(lines[2].width(), "  select '東京' as )".width(), "{lines:?}");
    }

    #[test]
    fn an_unknown_table_names_the_nearest_and_all() {
        let error: QueryError = plan_datafusion_err!("table 'kappa.public.order' not found").into();
        let tables = ["Other table".to_owned(), "orders".to_owned()];
        let message = of_error(&error, "", &Origin::command_line(), &tables);
        assert_eq!(
            message,
            "there is no table \"order\"; did you mean orders?\ntables: \"Other table\", orders"
        );
        let message = of_error(&error, "", &Origin::command_line(), &[]);
        assert!(message.ends_with("--data DIR"), "{message}");
    }

    #[test]
    fn an_unknown_column_names_the_nearest_and_some_of_the_others() {
        let valid_fields: Vec<Column> = (0..100)
            .map(|n| Column::new(Some("t"), format!("column_{n}")))
            .collect();
        let field = Box::new(Column::new_unqualified("colum_7"));
        let error = SchemaError::FieldNotFound { field, valid_fields };
        let error: QueryError = DataFusionError::SchemaError(Box::new(error), Box::new(None)).into();
        let message = of_error(&error, "", &Origin::command_line(), &[]);
        assert!(
            message.starts_with("there is no column colum_7; did you mean column_7?\ncolumns: t.column_0, "),
            "{message}"
        );
        assert!(message.ends_with("t.column_29, and 70 more"), "{message}");
    }

    #[test]
    fn a_failed_run_says_what_failed_and_not_through_which_tasks() {
        let text = "task 1 (a::b) failed: task 12 (c) failed: Arrow error: Divide by zero error: Divide by zero error";
        assert_eq!(without_layers(without_tasks(text)), "Divide by zero error");
        // Data that looks like a layer stays.
        let data = "Arrow error: Cast error: Cannot cast string 'a: a: Context: b' to value of Int64 type";
        assert_eq!(without_layers(data), data.strip_prefix("Arrow error: ").unwrap());
        let text = "task 1 (a) ran out of time 3 times";
        assert_eq!(without_tasks(text), text);
        let kind = Failure::Returned("task 7 (x) failed: no such thing: gone".into());
        let error = TaskError::new(kappa::ids::TaskId::ROOT, "f", kind);
        let error = QueryError::from(RunError::Failed(error));
        let message = of_error(&error, "", &Origin::command_line(), &[]);
        assert_eq!(message, "the query failed: no such thing: gone");
    }

    #[test]
    fn no_message_shows_the_insides() {
        for error in [
            DataFusionError::Plan("p".into()).context("while planning"),
            DataFusionError::NotImplemented("n".into()),
            DataFusionError::Execution("e".into()),
            DataFusionError::External("x".into()),
        ] {
            let message = of_error(&error.into(), "", &Origin::command_line(), &[]);
            assert!(message.len() < 20 && !message.contains("Error"), "{message}");
        }
    }
}
