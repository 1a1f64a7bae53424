//! SQL text: is it complete, and where does it come from.
//!
//! Statements are told apart by the parser's own tokenizer, so that a `;` in a text, a comment or a quoted name ends nothing.

use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};

/// Where a text of SQL comes from, for messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    /// The file's name; `None` for the command line and the prompt, where everyone sees the text.
    pub(crate) file: Option<String>,
    /// The number of its first line in that file.
    pub(crate) first_line: usize,
}

impl Origin {
    /// A text that has no file.
    pub(crate) fn command_line() -> Origin {
        Origin {
            file: None,
            first_line: 1,
        }
    }

    /// A text that starts at this line of the file.
    pub(crate) fn file(name: impl Into<String>, first_line: usize) -> Origin {
        Origin {
            file: Some(name.into()),
            first_line,
        }
    }
}

/// A text without the byte order mark that some editors put before it: it is no part of the text.
pub(crate) fn without_mark(text: &str) -> &str {
    text.strip_prefix('\u{feff}').unwrap_or(text)
}

/// Whether nothing but white space and comments is there.
pub(crate) fn is_blank(sql: &str) -> bool {
    match Tokenizer::new(&GenericDialect, sql).tokenize() {
        Ok(tokens) => tokens
            .iter()
            .all(|token| matches!(token, Token::Whitespace(_) | Token::SemiColon)),
        Err(_) => false,
    }
}

/// Whether the last statement of the text has been ended by `;`, or can no longer become right.
pub(crate) fn is_complete(sql: &str) -> bool {
    // Most lines of a long statement hold no `;`: they need not be looked at again.
    if !sql.contains(';') {
        return false;
    }
    match Tokenizer::new(&GenericDialect, sql).tokenize() {
        Ok(tokens) => {
            let last = tokens.iter().rev().find(|token| !matches!(token, Token::Whitespace(_)));
            matches!(last, Some(Token::SemiColon))
        }
        Err(error) => !is_open(&error.message),
    }
}

/// The tokenizer's words for a text, a name or a comment that the next line may close.
fn is_open(message: &str) -> bool {
    ["Unterminated", "Unexpected EOF", "before EOF"]
        .iter()
        .any(|words| message.contains(words))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_is_complete_at_its_semicolon_and_nowhere_else() {
        let complete = [
            "select 1;",
            "select 1; ",
            "select ';';",
            "select 1; -- done",
            "select 1; select 2;",
            ";",
        ];
        let open = [
            "",
            "select 1",
            "select ';",
            "select 1 -- ;",
            "select /* ; */",
            "select /* ;",
            "select \";",
            "select 1; select 2",
            "select 'it''s;",
        ];
        for sql in complete {
            assert!(is_complete(sql), "{sql}");
        }
        for sql in open {
            assert!(!is_complete(sql), "{sql}");
        }
    }

    #[test]
    fn comments_and_semicolons_are_no_statement() {
        for sql in ["", " \n", ";;", "-- nothing\n", "/* nothing */;"] {
            assert!(is_blank(sql), "{sql:?}");
        }
        for sql in ["select 1", "'", "-- x\nselect"] {
            assert!(!is_blank(sql), "{sql:?}");
        }
    }
}
