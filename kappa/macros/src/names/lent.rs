//! Whether a value may borrow, or may not be sent to another thread: guessed by its form, since only rustc knows types.
//!
//! A wrong guess is no wrong answer: what is said to borrow only has the code behind a join written more than once; see `graph::joins`.

use super::{Names, root};
use syn::{Block, Expr, Stmt};

/// Methods whose results hold nothing of their receivers.
const OWNED: [&str; 32] = [
    "abs",
    "all",
    "any",
    "clone",
    "cloned",
    "cmp",
    "contains",
    "contains_key",
    "copied",
    "count",
    "eq",
    "find_map",
    "fold",
    "insert",
    "join",
    "len",
    "max_value",
    "parse",
    "pop",
    "position",
    "pow",
    "product",
    "push",
    "remove",
    "repeat",
    "saturating_sub",
    "sum",
    "take",
    "wrapping_add",
    "wrapping_mul",
    "wrapping_sub",
    "checked_add",
];

/// Methods whose results usually borrow from their receivers.
const LENDING: [&str; 41] = [
    "borrow",
    "borrow_mut",
    "bytes",
    "char_indices",
    "chars",
    "chunks",
    "deref",
    "deref_mut",
    "drain",
    "entry",
    "file_name",
    "first",
    "first_mut",
    "get",
    "get_mut",
    "get_or_insert_with",
    "iter",
    "iter_mut",
    "keys",
    "last",
    "last_mut",
    "lines",
    "lock",
    "parent",
    "path",
    "peek",
    "range",
    "read",
    "rsplit",
    "split",
    "split_at",
    "split_at_mut",
    "split_whitespace",
    "strip_prefix",
    "strip_suffix",
    "trim",
    "trim_end",
    "trim_start",
    "values",
    "values_mut",
    "write",
];

/// Whether the value may borrow or not be `Send`.
pub(super) fn lends(value: &Expr, names: &Names) -> bool {
    let lends = |value: &Expr| lends(value, names);
    match value {
        Expr::Reference(_) | Expr::Closure(_) | Expr::Async(_) => true,
        Expr::Path(_) => root(value)
            .and_then(|name| names.lookup(&name))
            .is_some_and(|var| names.bindings[var].lent),
        Expr::MethodCall(call) => {
            let name = call.method.to_string();
            if OWNED.contains(&name.as_str()) || ["is_", "to_", "into_"].iter().any(|start| name.starts_with(start)) {
                return false;
            }
            LENDING.contains(&name.as_str())
                || name.starts_with("as_")
                || lends(&call.receiver)
                || call.args.iter().any(lends)
        }
        Expr::Call(call) => is_local(&call.func) || call.args.iter().any(lends),
        Expr::Struct(literal) => literal.fields.iter().any(|field| lends(&field.expr)),
        Expr::Tuple(tuple) => tuple.elems.iter().any(lends),
        Expr::Array(array) => array.elems.iter().any(lends),
        Expr::Field(field) => lends(&field.base),
        Expr::Try(inner) => lends(&inner.expr),
        Expr::Paren(inner) => lends(&inner.expr),
        Expr::Group(inner) => lends(&inner.expr),
        Expr::If(branch) => {
            in_block(&branch.then_branch, names) || branch.else_branch.as_ref().is_some_and(|(_, other)| lends(other))
        }
        Expr::Match(choice) => choice.arms.iter().any(|arm| lends(&arm.body)),
        Expr::Block(block) => in_block(&block.block, names),
        Expr::Unsafe(block) => in_block(&block.block, names),
        _ => false,
    }
}

fn in_block(block: &Block, names: &Names) -> bool {
    match block.stmts.last() {
        Some(Stmt::Expr(value, None)) => lends(value, names),
        _ => false,
    }
}

/// `Box::new`, whose value may become one of a `dyn` type, and `Rc::new`.
fn is_local(function: &Expr) -> bool {
    let Expr::Path(path) = function else { return false };
    let segments = &path.path.segments;
    segments
        .iter()
        .any(|segment| segment.ident == "Box" || segment.ident == "Rc")
}
