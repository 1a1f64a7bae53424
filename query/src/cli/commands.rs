//! The commands that start with a backslash, at the prompt and in statements from a pipe.

use crate::cli::message::of_missing_table;
use crate::cli::output::Format;
use crate::cli::say;
use crate::cli::shell::{Shell, Stop};
use crate::engine::QueryResult;
use clap::ValueEnum;
use datafusion::arrow::array::{ArrayRef, RecordBatch, StringArray};
use datafusion::arrow::datatypes::{DataType, Field, Schema};
use datafusion::common::TableReference;
use std::sync::Arc;

/// What the commands are.
const HELP: &str = "\
\\d               the tables
\\d NAME          the columns of a table
\\timing [on|off] says how long each statement takes
\\format NAME     how results are written: table, csv, json
\\q               leaves (as Ctrl-D does)
\\?               this text
A statement ends with `;` and may take several lines. Ctrl-C clears the line, or cancels the running query.";

/// A command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    /// List the tables.
    Tables,
    /// List the columns of this table.
    Columns(String),
    /// Switch timing on or off, or over.
    Timing(Option<bool>),
    /// Choose a format, or say which one it is.
    Format(Option<Format>),
    /// Leave.
    Quit,
    /// Explain the commands.
    Help,
}

/// Whether to go on with the next line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Read on.
    GoOn,
    /// Leave.
    Leave,
}

/// Whether the line is a command and no SQL.
pub(crate) fn is_command(line: &str) -> bool {
    line.trim_start().starts_with('\\')
}

impl Command {
    /// Reads a line. The error says what would be right.
    pub(crate) fn parse(line: &str) -> Result<Command, String> {
        let line = line.trim().trim_end_matches(';').trim_end();
        let (name, argument) = match line.split_once(char::is_whitespace) {
            Some((name, argument)) => (name, Some(argument.trim())),
            None => (line, None),
        };
        match (name, argument) {
            ("\\d", None) => Ok(Command::Tables),
            ("\\d", Some(table)) => Ok(Command::Columns(unquoted(table))),
            ("\\timing", None) => Ok(Command::Timing(None)),
            ("\\timing", Some("on")) => Ok(Command::Timing(Some(true))),
            ("\\timing", Some("off")) => Ok(Command::Timing(Some(false))),
            ("\\timing", Some(other)) => Err(format!("\\timing is on or off, not {other:?}")),
            ("\\format", None) => Ok(Command::Format(None)),
            ("\\format", Some(format)) => match Format::from_str(format, true) {
                Ok(format) => Ok(Command::Format(Some(format))),
                Err(_) => Err(format!("\\format is table, csv or json, not {format:?}")),
            },
            ("\\q", None) => Ok(Command::Quit),
            ("\\?" | "\\h" | "\\help", None) => Ok(Command::Help),
            ("\\q" | "\\?", Some(_)) => Err(format!("{name} takes no argument")),
            _ => Err(format!("there is no command {name}; \\? lists the commands")),
        }
    }

    /// Does it.
    pub(crate) async fn run(self, shell: &mut Shell) -> Result<Next, Stop> {
        match self {
            Command::Tables => {
                let tables = shell.tables();
                shell.show(&texts(&["table"], vec![tables]))?;
            }
            Command::Columns(name) => {
                let context = shell.engine.session().context();
                let found = context.table_provider(TableReference::bare(name.as_str())).await;
                let schema = found
                    .map_err(|_| Stop::Failed(of_missing_table(&name, &shell.tables())))?
                    .schema();
                let fields = || schema.fields().iter();
                let names = fields().map(|field| field.name().clone()).collect();
                let types = fields().map(|field| field.data_type().to_string()).collect();
                let nulls = fields()
                    .map(|field| if field.is_nullable() { "yes" } else { "no" }.to_owned())
                    .collect();
                shell.show(&texts(&["column", "type", "nullable"], vec![names, types, nulls]))?;
            }
            Command::Timing(wanted) => {
                shell.with_timing = wanted.unwrap_or(!shell.with_timing);
                say(format_args!(
                    "timing is {}",
                    if shell.with_timing { "on" } else { "off" }
                ));
            }
            Command::Format(Some(format)) => shell.format = format,
            Command::Format(None) => {
                let name = shell
                    .format
                    .to_possible_value()
                    .map(|value| value.get_name().to_owned());
                say(format_args!("the format is {}", name.unwrap_or_default()));
            }
            Command::Quit => return Ok(Next::Leave),
            Command::Help => say(HELP),
        }
        Ok(Next::GoOn)
    }
}

/// Unquoted names are lower case, as in SQL.
fn unquoted(name: &str) -> String {
    match name.strip_prefix('"').and_then(|name| name.strip_suffix('"')) {
        Some(name) => name.replace("\"\"", "\""),
        None => name.to_lowercase(),
    }
}

/// A result of columns of texts.
fn texts(names: &[&str], columns: Vec<Vec<String>>) -> QueryResult {
    let fields: Vec<Field> = names
        .iter()
        .map(|name| Field::new(*name, DataType::Utf8, false))
        .collect();
    let schema = Arc::new(Schema::new(fields));
    let arrays = columns
        .into_iter()
        .map(|values| Arc::new(StringArray::from(values)) as ArrayRef)
        .collect();
    // Texts in columns of texts, all of one length: this cannot fail, and no rows would be the answer if it did.
    let batches = RecordBatch::try_new(schema.clone(), arrays).into_iter().collect();
    QueryResult {
        schema,
        batches,
        stats: None,
        cost: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_understood() {
        let parse = |line| Command::parse(line).unwrap();
        assert_eq!(parse("\\d"), Command::Tables);
        assert_eq!(parse(" \\d;"), Command::Tables);
        assert_eq!(parse("\\d  Orders"), Command::Columns("orders".into()));
        assert_eq!(
            parse("\\d \"My \"\"own\"\" table\""),
            Command::Columns("My \"own\" table".into())
        );
        assert_eq!(parse("\\timing"), Command::Timing(None));
        assert_eq!(parse("\\timing off"), Command::Timing(Some(false)));
        assert_eq!(parse("\\format JSON"), Command::Format(Some(Format::Json)));
        assert_eq!(parse("\\format"), Command::Format(None));
        assert_eq!(parse("\\q"), Command::Quit);
        assert_eq!(parse("\\?"), Command::Help);
    }

    #[test]
    fn a_wrong_command_says_what_would_be_right() {
        for (line, expected) in [
            ("\\dt", "there is no command \\dt; \\? lists the commands"),
            ("\\format xml", "\\format is table, csv or json, not \"xml\""),
            ("\\timing maybe", "\\timing is on or off, not \"maybe\""),
            ("\\q now", "\\q takes no argument"),
        ] {
            assert_eq!(Command::parse(line).unwrap_err(), expected);
        }
    }

    #[test]
    fn texts_become_rows() {
        let one = |values: &[&str]| vec![values.iter().map(|value| (*value).to_owned()).collect()];
        assert_eq!(texts(&["table"], one(&["a", "b"])).rows(), 2);
        assert_eq!(texts(&["table"], one(&[])).rows(), 0);
        let two = vec![vec!["a".to_owned()], vec!["b".to_owned()]];
        assert_eq!(texts(&["x", "y"], two).batches[0].num_columns(), 2);
    }
}
