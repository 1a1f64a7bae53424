//! Operators that are read otherwise than they are meant are refused.

use datafusion::common::{Result, plan_err};
use datafusion::sql::sqlparser::ast::{BinaryOperator, Expr};

/// # Errors
/// For such an operator; the message says what to write instead.
pub(super) fn check(expr: &Expr) -> Result<()> {
    match expr {
        Expr::BinaryOp {
            left,
            op: BinaryOperator::BitwiseXor,
            right,
        } => plan_err!(
            "{left} ^ {right} is a power to some and bits to others; write power({left}, {right}), or {left} # {right} for the bits"
        ),
        // To others, all of these bind equally.
        Expr::BinaryOp { left: _, op, right } if is_of_bits(op) && is_of_other_bits(right, op) => {
            plan_err!("what {expr} is depends on who reads it; write brackets")
        }
        // The parser takes all that follows for the right side.
        Expr::IsDistinctFrom(left, right) if is_condition(right) => {
            plan_err!("what {left} IS DISTINCT FROM is not clear; write brackets: ({left} IS DISTINCT FROM ..) AND ..")
        }
        Expr::IsNotDistinctFrom(left, right) if is_condition(right) => plan_err!(
            "what {left} IS NOT DISTINCT FROM is not clear; write brackets: ({left} IS NOT DISTINCT FROM ..) AND .."
        ),
        _ => Ok(()),
    }
}

/// Whether it is one of several conditions without brackets around them.
fn is_condition(expr: &Expr) -> bool {
    use BinaryOperator::{And, Or, Xor};
    matches!(expr, Expr::BinaryOp { op: And | Or | Xor, .. })
}

fn is_of_bits(op: &BinaryOperator) -> bool {
    use BinaryOperator::{BitwiseAnd, BitwiseOr, PGBitwiseShiftLeft, PGBitwiseShiftRight, PGBitwiseXor};
    matches!(
        op,
        BitwiseAnd | BitwiseOr | PGBitwiseXor | PGBitwiseShiftLeft | PGBitwiseShiftRight
    )
}

fn is_of_other_bits(expr: &Expr, than: &BinaryOperator) -> bool {
    matches!(expr, Expr::BinaryOp { op, .. } if is_of_bits(op) && op != than)
}

/// How deep choices may be nested: planning takes twice as long for each.
const MOST_CHOICES: usize = 16;

/// Whether it is an expression that is planned as a CASE.
pub(super) fn is_choice(expr: &Expr) -> bool {
    match expr {
        Expr::Case { .. } => true,
        Expr::Function(function) => {
            let name = function.name.to_string();
            ["coalesce", "nvl", "ifnull"]
                .iter()
                .any(|choice| name.eq_ignore_ascii_case(choice))
        }
        _ => false,
    }
}

/// # Errors
/// If there are too many, one within another.
pub(super) fn check_choices(nested: usize) -> Result<()> {
    match nested > MOST_CHOICES {
        true => plan_err!(
            "CASE and coalesce are nested more than {MOST_CHOICES} deep, which takes too long to plan; write one CASE with more branches, or one \
             coalesce of more values"
        ),
        false => Ok(()),
    }
}
