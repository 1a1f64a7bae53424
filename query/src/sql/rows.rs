//! Rows are compared column by column: `(a, b) < (c, d)` is `a < c OR a = c AND b < d`. DataFusion compares them as structs, in which NULL is a
//! value.

use datafusion::common::{Result, plan_err};
use datafusion::sql::sqlparser::ast::{BinaryOperator, Expr, UnaryOperator};

/// # Errors
/// If the rows are of different lengths.
pub(super) fn rewrite(expr: &mut Expr) -> Result<()> {
    let compared = match expr {
        Expr::BinaryOp { left, op, right } => match (columns(left), columns(right)) {
            (Some(left), Some(right)) => comparison(left, op, right)?,
            _ => None,
        },
        Expr::InList { expr, list, negated } => match columns(expr) {
            Some(row) => Some(membership(row, list, *negated)?),
            None => None,
        },
        Expr::Between {
            expr,
            negated,
            low,
            high,
        } => match (columns(expr), columns(low), columns(high)) {
            (Some(row), Some(low), Some(high)) => {
                let from = comparison(row, &BinaryOperator::GtEq, low)?;
                let to = comparison(row, &BinaryOperator::LtEq, high)?;
                from.zip(to)
                    .map(|(from, to)| negated_if(*negated, both(from, BinaryOperator::And, to)))
            }
            _ => None,
        },
        _ => None,
    };
    if let Some(compared) = compared {
        *expr = compared;
    }
    Ok(())
}

fn columns(expr: &Expr) -> Option<&[Expr]> {
    match expr {
        Expr::Tuple(columns) => Some(columns),
        Expr::Nested(inner) => columns(inner),
        _ => None,
    }
}

fn comparison(left: &[Expr], op: &BinaryOperator, right: &[Expr]) -> Result<Option<Expr>> {
    use BinaryOperator::{Eq, Gt, GtEq, Lt, LtEq, NotEq};
    if !matches!(op, Eq | NotEq | Lt | LtEq | Gt | GtEq) {
        return Ok(None);
    }
    if left.len() != right.len() {
        return plan_err!(
            "a row of {} columns is compared with one of {}",
            left.len(),
            right.len()
        );
    }
    let pairs = left.iter().zip(right);
    let each = |op: &BinaryOperator, (left, right): (&Expr, &Expr)| both(left.clone(), op.clone(), right.clone());
    let of_all = |op: &BinaryOperator, joined: BinaryOperator| {
        let pairs = left.iter().zip(right).map(|pair| each(op, pair));
        pairs.reduce(|all, pair| both(all, joined.clone(), pair))
    };
    let strict = match op {
        Eq => return Ok(of_all(op, BinaryOperator::And)),
        NotEq => return Ok(of_all(op, BinaryOperator::Or)),
        Lt | LtEq => Lt,
        _ => Gt,
    };
    // From the last column, of which equality may be enough, to the first.
    let mut compared = None;
    for pair in pairs.rev() {
        compared = Some(match compared {
            None => each(op, pair),
            Some(rest) => {
                let equal = both(each(&Eq, pair), BinaryOperator::And, rest);
                both(each(&strict, pair), BinaryOperator::Or, equal)
            }
        });
    }
    Ok(compared)
}

fn membership(row: &[Expr], list: &[Expr], is_negated: bool) -> Result<Expr> {
    let mut any = None;
    for other in list {
        let Some(other) = columns(other) else {
            return plan_err!("a row of {} columns is compared with {other}", row.len());
        };
        if let Some(equal) = comparison(row, &BinaryOperator::Eq, other)? {
            any = Some(match any {
                None => equal,
                Some(any) => both(any, BinaryOperator::Or, equal),
            });
        }
    }
    match any {
        Some(any) => Ok(negated_if(is_negated, any)),
        None => plan_err!("IN needs something to compare with"),
    }
}

fn both(left: Expr, op: BinaryOperator, right: Expr) -> Expr {
    Expr::Nested(Box::new(Expr::BinaryOp {
        left: Box::new(left),
        op,
        right: Box::new(right),
    }))
}

fn negated_if(is_negated: bool, expr: Expr) -> Expr {
    match is_negated {
        true => Expr::UnaryOp {
            op: UnaryOperator::Not,
            expr: Box::new(expr),
        },
        false => expr,
    }
}
