//! Numbers in the text keep their digits: one that a double would change is a decimal.

use datafusion::sql::sqlparser::ast::{CastKind, DataType, ExactNumberInfo, Expr, Value, ValueWithSpan};

/// How many digits a decimal has at most.
const MOST_DIGITS: usize = 38;

/// From so many digits on, a double may not have all of them.
const SAFE_DIGITS: usize = 15;

/// A fraction's last digits are not missed in a small number.
const LARGE: usize = 10;

pub(super) fn rewrite(expr: &mut Expr) {
    let Expr::Value(ValueWithSpan {
        value: Value::Number(text, _),
        span,
    }) = expr
    else {
        return;
    };
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let is_plain = whole.bytes().chain(fraction.bytes()).all(|byte| byte.is_ascii_digit());
    let digits = whole.len() + fraction.len();
    let is_exact = match text.contains('.') {
        true => digits <= SAFE_DIGITS || whole.len() < LARGE,
        false => text.parse::<u64>().is_ok(),
    };
    if !is_plain || is_exact || digits > MOST_DIGITS {
        return;
    }
    let written = Value::SingleQuotedString(text.clone());
    let info = ExactNumberInfo::PrecisionAndScale(digits as u64, fraction.len() as i64);
    *expr = Expr::Cast {
        kind: CastKind::Cast,
        expr: Box::new(Expr::Value(ValueWithSpan {
            value: written,
            span: *span,
        })),
        data_type: DataType::Decimal(info),
        array: false,
        format: None,
    };
}
