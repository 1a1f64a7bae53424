//! `LIKE .. ESCAPE` and `SIMILAR TO` by patterns that DataFusion knows.
//!
//! ```text
//!   s LIKE 'a!%b' ESCAPE '!'       s LIKE 'a\%b'
//!   s SIMILAR TO 'a%|b_'           s ~ '^(?s:a.*|b.)$'         DataFusion looks for it anywhere, and takes % and _ for themselves
//! ```

use datafusion::common::{Result, plan_datafusion_err};
use datafusion::sql::sqlparser::ast::{BinaryOperator, Expr, UnaryOperator, Value, ValueWithSpan};

/// What escapes if nothing else is said.
const BACKSLASH: char = '\\';

/// # Errors
/// If a pattern cannot be written otherwise; the message says what to write instead.
pub(super) fn rewrite(expr: &mut Expr) -> Result<()> {
    match expr {
        Expr::Like {
            pattern, escape_char, ..
        }
        | Expr::ILike {
            pattern, escape_char, ..
        } => {
            let Some(escape) = escape(escape_char.as_ref())? else {
                return Ok(());
            };
            if escape != Some(BACKSLASH) {
                let text = text_of(pattern, "LIKE with ESCAPE")?;
                *text = with_backslashes(text, escape)?;
            }
            *escape_char = None;
            Ok(())
        }
        Expr::SimilarTo {
            negated,
            expr: value,
            pattern,
            escape_char,
        } => {
            let escape = escape(escape_char.as_ref())?.unwrap_or(Some(BACKSLASH));
            let text = text_of(pattern, "SIMILAR TO")?;
            *text = regular(text, escape)?;
            let matches = Expr::BinaryOp {
                left: Box::new(Expr::Nested(value.clone())),
                op: BinaryOperator::PGRegexMatch,
                right: pattern.clone(),
            };
            let matches = Expr::Nested(Box::new(matches));
            *expr = match negated {
                true => Expr::UnaryOp {
                    op: UnaryOperator::Not,
                    expr: Box::new(matches),
                },
                false => matches,
            };
            Ok(())
        }
        _ => Ok(()),
    }
}

/// What escapes: `None` if nothing is said of it, `Some(None)` if nothing does.
fn escape(written: Option<&ValueWithSpan>) -> Result<Option<Option<char>>> {
    let Some(written) = written else { return Ok(None) };
    let wrong = || plan_datafusion_err!("ESCAPE {written} must be one character, as in ESCAPE '!'");
    let Value::SingleQuotedString(text) = &written.value else {
        return Err(wrong());
    };
    let mut characters = text.chars();
    match (characters.next(), characters.next()) {
        (escape, None) => Ok(Some(escape)),
        _ => Err(wrong()),
    }
}

/// The text of a pattern that is written in the query.
fn text_of<'a>(pattern: &'a mut Expr, what: &str) -> Result<&'a mut String> {
    match pattern {
        Expr::Value(ValueWithSpan {
            value: Value::SingleQuotedString(text) | Value::EscapedStringLiteral(text),
            ..
        }) => Ok(text),
        Expr::Nested(inner) => text_of(inner, what),
        other => Err(plan_datafusion_err!(
            "{what} is supported with a pattern that is written as a text, not with {other}; use a regular expression: x ~ pattern"
        )),
    }
}

fn at_the_end(pattern: &str) -> datafusion::common::DataFusionError {
    plan_datafusion_err!("the pattern '{pattern}' must not end with its escape character")
}

fn with_backslashes(pattern: &str, escape: Option<char>) -> Result<String> {
    let mut written = String::with_capacity(pattern.len());
    let mut characters = pattern.chars();
    while let Some(character) = characters.next() {
        if Some(character) == escape {
            let escaped = characters.next().ok_or_else(|| at_the_end(pattern))?;
            if matches!(escaped, '%' | '_' | BACKSLASH) {
                written.push(BACKSLASH);
            }
            written.push(escaped);
        } else {
            if character == BACKSLASH {
                written.push(BACKSLASH);
            }
            written.push(character);
        }
    }
    Ok(written)
}

/// The regular expression of a pattern of `SIMILAR TO` (SQL:2016, 8.6): all of the text is matched, `%` is anything and `_` one character; of
/// the others `| * + ? { } ( ) [ ] ^` mean what they mean there, and `.` and `$` stand for themselves.
fn regular(pattern: &str, escape: Option<char>) -> Result<String> {
    let mut written = String::from("^(?s:");
    let mut is_in_brackets = false;
    let mut characters = pattern.chars();
    while let Some(character) = characters.next() {
        if Some(character) == escape {
            let escaped = characters.next().ok_or_else(|| at_the_end(pattern))?;
            push_itself(&mut written, escaped);
            continue;
        }
        match character {
            '[' if !is_in_brackets => is_in_brackets = true,
            ']' => is_in_brackets = false,
            _ => {}
        }
        match character {
            '%' if !is_in_brackets => written.push_str(".*"),
            '_' if !is_in_brackets => written.push('.'),
            '(' if !is_in_brackets => written.push_str("(?:"),
            '.' | '$' | BACKSLASH => push_itself(&mut written, character),
            '^' if !is_in_brackets => push_itself(&mut written, character),
            '&' | '~' | '#' | ' ' => push_itself(&mut written, character),
            other => written.push(other),
        }
    }
    written.push_str(")$");
    Ok(written)
}

fn push_itself(written: &mut String, character: char) {
    if character.is_ascii_punctuation() {
        written.push(BACKSLASH);
    }
    written.push(character);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_escape_character_becomes_a_backslash() {
        for (pattern, escape, expected) in [
            ("a!%b!_c%", Some('!'), r"a\%b\_c%"),
            ("a!!b", Some('!'), "a!b"),
            (r"a\b", Some('!'), r"a\\b"),
            (r"a\%", None, r"a\\%"),
            ("ä%%", Some('%'), r"ä\%"),
        ] {
            assert_eq!(with_backslashes(pattern, escape).unwrap(), expected, "{pattern}");
        }
        assert!(with_backslashes("a!", Some('!')).is_err());
    }

    #[test]
    fn a_pattern_of_similar_to_becomes_a_regular_expression_of_the_whole_text() {
        for (pattern, expected) in [
            ("(a|Ä)", "^(?s:(?:a|Ä))$"),
            ("a%_c", "^(?s:a.*.c)$"),
            ("a.c$", r"^(?s:a\.c\$)$"),
            ("[%_.]+", r"^(?s:[%_\.]+)$"),
            (r"a\%", r"^(?s:a\%)$"),
        ] {
            assert_eq!(regular(pattern, Some('\\')).unwrap(), expected, "{pattern}");
        }
        assert_eq!(regular("a!_", Some('!')).unwrap(), r"^(?s:a\_)$");
    }
}
