//! A number ends where it ends: `1_000` is not 1 with the name `_000`, nor is `1day` 1 with the name `day`.

use crate::error::{QueryError, Result};
use datafusion::common::plan_datafusion_err;
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};

/// Checks the text of statements.
///
/// # Errors
/// For a number that something is written to without a space between.
pub(crate) fn check_numbers(sql: &str) -> Result<()> {
    // What is no text of SQL is the parser's business.
    let Ok(tokens) = Tokenizer::new(&GenericDialect {}, sql).tokenize() else {
        return Ok(());
    };
    for pair in tokens.windows(2) {
        if let [Token::Number(number, _), Token::Word(word)] = pair
            && word.quote_style.is_none()
        {
            let written = format!("{number}{word}");
            let hint = match written.replace('_', "") {
                digits if digits.bytes().all(|byte| byte.is_ascii_digit()) => format!("write {digits}"),
                _ => format!("put a space behind {number}"),
            };
            return Err(QueryError::from(plan_datafusion_err!("{written} is no number; {hint}")));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_followed_by_something_else() {
        for (sql, words) in [
            ("SELECT 1_000", "write 1000"),
            ("SELECT 12month", "put a space behind 12"),
        ] {
            let said = check_numbers(sql).unwrap_err().to_string();
            assert!(said.contains(words), "{said}");
        }
        for sql in [
            "SELECT 1e3, 1.5, .5, 5., 1 a, a1, a1_2, '1_0', \"1_0\", 1::int",
            "SELECT 'open",
        ] {
            assert!(check_numbers(sql).is_ok(), "{sql}");
        }
    }
}
