//! Operations of the context that are not awaited, or where they are not seen to be: `cx.<operation>(..)` without `.await` does nothing.

use crate::points::OPERATIONS;
use proc_macro2::{Delimiter, Ident, Span, TokenStream, TokenTree};
use syn::{Expr, ExprAwait, ExprMethodCall, Local, Pat};

/// The macros and functions that wait for more than one thing.
const WAITING: [&str; 10] = [
    "select",
    "select_all",
    "select_biased",
    "join",
    "join_all",
    "try_join",
    "try_join_all",
    "race",
    "timeout",
    "timeout_at",
];

/// Whether this name is that of something that waits for more than one thing.
pub(super) fn waits(name: &str) -> bool {
    WAITING.contains(&name)
}

/// What to say of an operation in something that waits for more than one thing.
pub(super) fn waiting(name: &str, cx: &Ident) -> String {
    format!(
        "`{name}` cannot wait for an operation of `{cx}`: a task that is suspended is not there to wait. Start tasks by `{cx}.spawn(..)`, and wait for \
         the first by `{cx}.wait_any(&tasks).await` (one that only does `{cx}.sleep(..)` is a time limit), for all by `{cx}.wait_all(&tasks).await`"
    )
}

/// What to say of an operation that is not awaited.
pub(super) fn unawaited(cx: &Ident) -> String {
    format!(
        "an operation of `{cx}` does nothing until it is awaited, which only works where it is written, in one expression: add `.await`"
    )
}

/// What to say of an operation that is not written as one.
pub(super) fn hidden(cx: &Ident, operation: &Ident) -> String {
    format!(
        "a suspension point is written with the task's context by its name, in one expression, or it is not one: `{cx}.{operation}(..).await`"
    )
}

/// The operation of a chain of method calls that begins with one of the context.
pub(super) fn operation_of<'a>(expr: &'a Expr, is_context: &dyn Fn(&Expr) -> bool) -> Option<&'a Ident> {
    match expr {
        Expr::MethodCall(call) => operation_of_call(call, is_context),
        Expr::Paren(inner) => operation_of(&inner.expr, is_context),
        Expr::Group(inner) => operation_of(&inner.expr, is_context),
        _ => None,
    }
}

/// The same of the last call of the chain.
pub(super) fn operation_of_call<'a>(call: &'a ExprMethodCall, is_context: &dyn Fn(&Expr) -> bool) -> Option<&'a Ident> {
    if is_context(&call.receiver) {
        OPERATIONS
            .iter()
            .any(|name| call.method == name)
            .then_some(&call.method)
    } else {
        operation_of(&call.receiver, is_context)
    }
}

/// Whether it is the variable of this name.
pub(super) fn is_variable(expr: &Expr, name: &Ident) -> bool {
    match expr {
        Expr::Path(path) => path.path.is_ident(name),
        Expr::Paren(inner) => is_variable(&inner.expr, name),
        Expr::Group(inner) => is_variable(&inner.expr, name),
        _ => false,
    }
}

/// The operation in `Context::operation(cx, ..).await`.
pub(super) fn by_path(awaited: &ExprAwait) -> Option<&Ident> {
    let Expr::Call(call) = &*awaited.base else { return None };
    let Expr::Path(path) = &*call.func else { return None };
    let mut segments = path.path.segments.iter().rev();
    let (operation, ty) = (&segments.next()?.ident, &segments.next()?.ident);
    (ty == "Context" && OPERATIONS.iter().any(|name| operation == name)).then_some(operation)
}

/// The variable that becomes another name of the context: `let other = &mut *cx;`.
pub(super) fn another_name<'a>(local: &'a Local, is_context: &dyn Fn(&Expr) -> bool) -> Option<&'a Ident> {
    fn through(expr: &Expr) -> &Expr {
        match expr {
            Expr::Reference(inner) => through(&inner.expr),
            Expr::Unary(unary) if matches!(unary.op, syn::UnOp::Deref(_)) => through(&unary.expr),
            Expr::Paren(inner) => through(&inner.expr),
            Expr::Group(inner) => through(&inner.expr),
            other => other,
        }
    }
    let pattern = match &local.pat {
        Pat::Type(typed) => &*typed.pat,
        other => other,
    };
    match (pattern, &local.init) {
        (Pat::Ident(name), Some(init)) if is_context(through(&init.expr)) => Some(&name.ident),
        _ => None,
    }
}

/// Where tokens that cannot be parsed seem to hold an operation, awaited or not: the context's name.
pub(super) fn in_tokens(tokens: &TokenStream, cx: &Ident) -> Option<Span> {
    let trees: Vec<TokenTree> = tokens.clone().into_iter().collect();
    trees.iter().enumerate().find_map(|(at, tree)| match tree {
        TokenTree::Ident(ident) if ident == cx => match (trees.get(at + 1), trees.get(at + 2), trees.get(at + 3)) {
            (Some(TokenTree::Punct(dot)), Some(TokenTree::Ident(method)), Some(TokenTree::Group(arguments)))
                if dot.as_char() == '.'
                    && arguments.delimiter() == Delimiter::Parenthesis
                    && OPERATIONS.iter().any(|name| method == name) =>
            {
                Some(ident.span())
            }
            _ => None,
        },
        TokenTree::Group(group) => in_tokens(&group.stream(), cx),
        _ => None,
    })
}
