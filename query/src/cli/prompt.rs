//! The prompt: lines edited and remembered, statements of several lines, and the names of tables completed.

use crate::cli::commands::{Command, Next, is_command};
use crate::cli::message::quoted_if_needed;
use crate::cli::say;
use crate::cli::shell::{Shell, Stop};
use crate::cli::statements::{Origin, is_blank, is_complete};
use rustyline::completion::Completer;
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::FileHistory;
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{Config, Editor, Helper};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use tokio::runtime::Runtime;

const PROMPT: &str = "kappa> ";

/// Words of SQL worth completing: those longer than what is typed to complete them.
const KEYWORDS: &[&str] = &[
    "BETWEEN",
    "CREATE VIEW",
    "DESCRIBE",
    "DISTINCT",
    "EXCEPT",
    "EXISTS",
    "EXPLAIN",
    "FROM",
    "GROUP BY",
    "HAVING",
    "INTERSECT",
    "JOIN",
    "LEFT JOIN",
    "LIMIT",
    "ORDER BY",
    "PARTITION BY",
    "SELECT",
    "UNION ALL",
    "VALUES",
    "WHERE",
    "WITH",
];

/// The editor of lines.
pub(crate) struct Prompt {
    editor: Editor<SqlHelper, FileHistory>,
}

impl Prompt {
    /// Takes over the terminal. To be called before anybody [listens for signals](crate::cli::interrupt): the editor takes SIGINT for itself, and
    /// whoever comes after it passes the signal on, but not the other way round.
    pub(crate) fn open() -> Result<Self, Stop> {
        let config = Config::builder().auto_add_history(false).max_history_size(10_000);
        let editor = config.and_then(|config| Editor::with_config(config.build()));
        Ok(Prompt {
            editor: editor.map_err(unusable)?,
        })
    }
}

fn unusable(error: ReadlineError) -> Stop {
    Stop::Failed(format!("the terminal cannot be used: {error}"))
}

/// Reads and runs statements until the person leaves. An error is shown, and the next statement read.
///
/// Ctrl-C is a key while a line is typed. While a statement runs it is a signal, and the [`Shell`] cancels the statement.
pub(crate) fn run(runtime: &Runtime, shell: &mut Shell, prompt: Prompt) -> Result<(), Stop> {
    let Prompt { mut editor } = prompt;
    let history = history_file(std::env::var_os("XDG_STATE_HOME"), std::env::var_os("HOME"));
    if let Some(history) = &history {
        // Without a history, or with one that cannot be read, the prompt works as well.
        let _ = history.parent().map(std::fs::create_dir_all);
        let _ = editor.load_history(history);
    }
    say(format_args!(
        "kappa-sql {}: \\d lists the tables, \\? the commands; Ctrl-D leaves",
        env!("CARGO_PKG_VERSION")
    ));
    loop {
        editor.set_helper(Some(SqlHelper { tables: shell.tables() }));
        let text = match editor.readline(PROMPT) {
            Ok(text) => text,
            Err(ReadlineError::Interrupted) => continue,
            Err(ReadlineError::Eof) => return Ok(()),
            Err(error) => return Err(unusable(error)),
        };
        if text.trim().is_empty() {
            continue;
        }
        remember(&mut editor, history.as_deref(), &text);
        shell.interrupts.clear();
        let done = if is_command(&text) {
            match Command::parse(&text) {
                Ok(command) => runtime.block_on(command.run(shell)),
                Err(message) => Err(Stop::Failed(message)),
            }
        } else if is_blank(&text) {
            Ok(Next::GoOn)
        } else {
            runtime
                .block_on(shell.run_text(&text, &Origin::command_line()))
                .map(|()| Next::GoOn)
        };
        match done {
            Ok(Next::GoOn) => {}
            Ok(Next::Leave) => return Ok(()),
            Err(Stop::Failed(message) | Stop::Misused(message)) => say(message),
            Err(Stop::Interrupted(_, None)) => say("cancelled"),
            Err(Stop::Interrupted(_, Some(resume))) => say(format_args!("interrupted; go on with: {resume}")),
            Err(Stop::ReaderLeft) => return Err(Stop::ReaderLeft),
        }
    }
}

fn remember(editor: &mut Editor<SqlHelper, FileHistory>, history: Option<&Path>, text: &str) {
    let is_new = editor.add_history_entry(text.trim_end()).unwrap_or(false);
    if let Some(history) = history.filter(|_| is_new) {
        // Appended at once: two prompts share the file, and a killed one loses nothing.
        let _ = editor.append_history(history);
    }
}

/// Where the XDG base directory specification wants a history to be. A relative folder is to be ignored.
fn history_file(state: Option<OsString>, home: Option<OsString>) -> Option<PathBuf> {
    let state = state.map(PathBuf::from).filter(|folder| folder.is_absolute());
    let folder = state.or_else(|| Some(PathBuf::from(home?).join(".local/state")))?;
    Some(folder.join("kappa").join("sql_history"))
}

/// What the editor asks while a line is typed.
struct SqlHelper {
    tables: Vec<String>,
}

impl Validator for SqlHelper {
    fn validate(&self, context: &mut ValidationContext<'_>) -> rustyline::Result<ValidationResult> {
        let text = context.input();
        let is_done = text.trim().is_empty() || is_command(text) || is_complete(text);
        Ok(if is_done {
            ValidationResult::Valid(None)
        } else {
            ValidationResult::Incomplete
        })
    }
}

impl Completer for SqlHelper {
    type Candidate = String;

    fn complete(
        &self,
        line: &str,
        position: usize,
        _: &rustyline::Context<'_>,
    ) -> rustyline::Result<(usize, Vec<String>)> {
        Ok(self.candidates(line, position))
    }
}

impl SqlHelper {
    /// Where the word at the position starts, and what it could become.
    fn candidates(&self, line: &str, position: usize) -> (usize, Vec<String>) {
        let before = line.get(..position).unwrap_or_default();
        let start = before
            .rfind(|c: char| !(c.is_alphanumeric() || c == '_'))
            .map_or(0, |at| at + before[at..].chars().next().map_or(1, char::len_utf8));
        let word = before[start..].to_lowercase();
        if word.is_empty() {
            return (start, vec![]);
        }
        let tables = self.tables.iter().filter(|name| name.to_lowercase().starts_with(&word));
        let keywords = KEYWORDS
            .iter()
            .filter(|keyword| keyword.to_lowercase().starts_with(&word));
        let candidates = tables
            .map(|name| quoted_if_needed(name))
            .chain(keywords.map(|keyword| (*keyword).to_owned()));
        (start, candidates.collect())
    }
}

impl Hinter for SqlHelper {
    type Hint = String;
}

impl Highlighter for SqlHelper {}

impl Helper for SqlHelper {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_history_lies_in_the_state_folder() {
        let path = |state: Option<&str>, home: Option<&str>| history_file(state.map(Into::into), home.map(Into::into));
        assert_eq!(
            path(Some("/state"), Some("/home/x")),
            Some("/state/kappa/sql_history".into())
        );
        assert_eq!(
            path(None, Some("/home/x")),
            Some("/home/x/.local/state/kappa/sql_history".into())
        );
        assert_eq!(
            path(Some("relative"), Some("/home/x")),
            Some("/home/x/.local/state/kappa/sql_history".into())
        );
        assert_eq!(path(None, None), None);
    }

    #[test]
    fn names_of_tables_are_completed_before_keywords() {
        let helper = SqlHelper {
            tables: vec!["orders".into(), "Orders 2".into(), "shops".into()],
        };
        assert_eq!(
            helper.candidates("select * from or", 16),
            (14, vec!["orders".into(), "\"Orders 2\"".into(), "ORDER BY".into()])
        );
        assert_eq!(helper.candidates("é,sh", 5), (3, vec!["shops".into()]));
        assert_eq!(helper.candidates("select ", 7), (7, vec![]));
    }
}
