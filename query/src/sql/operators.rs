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
