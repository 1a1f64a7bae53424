//! What a suspension point is, where one hides in a syntax tree, and which macros can be looked into.
//!
//! A suspension point is `cx.<operation>(..).await`, possibly with further method calls before `.await`, where `cx` is the name of the task's
//! context parameter. Every other `.await` is ordinary. With `#[kappa::task(auto)]`, the way back to the head of every loop is one too.

use proc_macro2::{Ident, Span, TokenStream, TokenTree};
use syn::parse::Parser;
use syn::punctuated::Punctuated;
use syn::spanned::Spanned;
use syn::visit::{self, Visit};
use syn::{Expr, ExprAwait, ExprMethodCall, Lifetime, Macro, Token};

/// The methods of `Context` that give an operation. (`cx.store()` and the like do not.)
pub(crate) const OPERATIONS: [&str; 16] = [
    "call",
    "cancel",
    "checkpoint",
    "checkpoint_if_due",
    "close",
    "dequeue",
    "enqueue",
    "enqueue_all",
    "put_object",
    "queue",
    "sleep",
    "spawn",
    "spawn_all",
    "wait",
    "wait_all",
    "wait_any",
];

/// The operation's name if this `.await` is a suspension point.
pub(crate) fn operation<'a>(awaited: &'a ExprAwait, cx: &Ident) -> Option<&'a Ident> {
    let mut base = &*awaited.base;
    loop {
        match base {
            Expr::MethodCall(call) => {
                if is_context(&call.receiver, cx) {
                    return OPERATIONS
                        .iter()
                        .any(|name| call.method == name)
                        .then_some(&call.method);
                }
                base = &call.receiver;
            }
            Expr::Paren(inner) => base = &inner.expr,
            Expr::Group(inner) => base = &inner.expr,
            _ => return None,
        }
    }
}

fn is_context(expr: &Expr, cx: &Ident) -> bool {
    match expr {
        Expr::Path(path) => path.path.is_ident(cx),
        Expr::Paren(inner) => is_context(&inner.expr, cx),
        Expr::Group(inner) => is_context(&inner.expr, cx),
        _ => false,
    }
}

/// What makes a suspension point in one task.
#[derive(Clone, Copy)]
pub(crate) struct Rules<'a> {
    /// The name of the context.
    pub(crate) cx: &'a Ident,
    /// `#[kappa::task(auto)]`: every loop has one at its back edge.
    pub(crate) auto: bool,
}

/// Looks for something in the code that belongs to the function itself: not in closures, `async` blocks or items inside it.
pub(crate) struct Finder<'a> {
    rules: Rules<'a>,
    /// Span of the first suspension point.
    pub(crate) point: Option<Span>,
    /// Whether a `break` or `continue` leaves the code that was visited.
    pub(crate) escapes: bool,
    loops: usize,
    labels: Vec<Lifetime>,
}

impl<'a> Finder<'a> {
    pub(crate) fn new(rules: Rules<'a>) -> Self {
        Finder {
            rules,
            point: None,
            escapes: false,
            loops: 0,
            labels: Vec::new(),
        }
    }

    fn within(&mut self, label: Option<&syn::Label>, is_loop: bool, visit: impl FnOnce(&mut Self)) {
        self.loops += usize::from(is_loop);
        self.labels.extend(label.map(|label| label.name.clone()));
        visit(self);
        self.loops -= usize::from(is_loop);
        if label.is_some() {
            self.labels.pop();
        }
    }

    /// With `auto`, a loop is a suspension point.
    fn found_loop(&mut self, span: Span) {
        if self.rules.auto {
            self.point = self.point.or(Some(span));
        }
    }

    fn jump(&mut self, label: Option<&Lifetime>) {
        self.escapes |= match label {
            Some(label) => !self.labels.iter().any(|inner| inner.ident == label.ident),
            None => self.loops == 0,
        };
    }
}

impl<'ast> Visit<'ast> for Finder<'_> {
    fn visit_expr_await(&mut self, awaited: &'ast ExprAwait) {
        if self.point.is_none() && operation(awaited, self.rules.cx).is_some() {
            self.point = Some(awaited.span());
        }
        visit::visit_expr_await(self, awaited);
    }

    fn visit_expr_break(&mut self, jump: &'ast syn::ExprBreak) {
        self.jump(jump.label.as_ref());
        visit::visit_expr_break(self, jump);
    }

    fn visit_expr_continue(&mut self, jump: &'ast syn::ExprContinue) {
        self.jump(jump.label.as_ref());
    }

    fn visit_expr_loop(&mut self, expr: &'ast syn::ExprLoop) {
        self.found_loop(expr.loop_token.span);
        self.within(expr.label.as_ref(), true, |this| this.visit_block(&expr.body));
    }

    fn visit_expr_while(&mut self, expr: &'ast syn::ExprWhile) {
        self.found_loop(expr.while_token.span);
        self.within(expr.label.as_ref(), true, |this| {
            this.visit_expr(&expr.cond);
            this.visit_block(&expr.body);
        });
    }

    fn visit_expr_for_loop(&mut self, expr: &'ast syn::ExprForLoop) {
        self.found_loop(expr.for_token.span);
        self.visit_expr(&expr.expr);
        self.within(expr.label.as_ref(), true, |this| this.visit_block(&expr.body));
    }

    fn visit_expr_block(&mut self, expr: &'ast syn::ExprBlock) {
        self.within(expr.label.as_ref(), false, |this| this.visit_block(&expr.block));
    }

    fn visit_expr_closure(&mut self, _: &'ast syn::ExprClosure) {}

    fn visit_expr_async(&mut self, _: &'ast syn::ExprAsync) {}

    fn visit_expr_unsafe(&mut self, block: &'ast syn::ExprUnsafe) {
        // Nothing in it is taken apart, so its loops are left alone.
        let auto = std::mem::replace(&mut self.rules.auto, false);
        visit::visit_expr_unsafe(self, block);
        self.rules.auto = auto;
    }

    fn visit_item(&mut self, _: &'ast syn::Item) {}

    fn visit_macro(&mut self, call: &'ast Macro) {
        if let Some(arguments) = KnownMacro::parse(call) {
            let mut inner = Finder {
                rules: self.rules,
                point: None,
                escapes: false,
                loops: self.loops,
                labels: self.labels.clone(),
            };
            for argument in &arguments.values {
                inner.visit_expr(argument);
            }
            self.point = self.point.or(inner.point);
            self.escapes |= inner.escapes;
        }
    }
}

/// Whether an expression must be taken apart: it holds a suspension point, or leaves a loop that is taken apart.
pub(crate) fn must_split(expr: &Expr, rules: Rules<'_>) -> bool {
    let mut finder = Finder::new(rules);
    finder.visit_expr(expr);
    finder.point.is_some() || finder.escapes
}

/// Whether a block must be taken apart.
pub(crate) fn must_split_block(block: &syn::Block, rules: Rules<'_>) -> bool {
    let mut finder = Finder::new(rules);
    finder.visit_block(block);
    finder.point.is_some() || finder.escapes
}

/// Whether a block holds a suspension point.
pub(crate) fn suspends(block: &syn::Block, rules: Rules<'_>) -> bool {
    let mut finder = Finder::new(rules);
    finder.visit_block(block);
    finder.point.is_some()
}

/// How a macro uses its arguments.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum MacroUse {
    /// By reference, like `println!`.
    Borrow,
    /// By value, like `vec!`.
    Move,
}

/// A call of a macro of the standard library (or of `anyhow`) whose arguments are expressions.
pub(crate) struct KnownMacro {
    /// The arguments, in order of evaluation. A named one (`name = value`) is an assignment expression.
    pub(crate) values: Vec<Expr>,
    /// How it uses them.
    pub(crate) mode: MacroUse,
    /// How many of the first arguments are always evaluated; the others are only if an assertion fails.
    pub(crate) eager: usize,
    /// What is between the arguments: `,` or (for `vec![value; count]`) `;`.
    pub(crate) repeat: bool,
    /// Which argument is the format string.
    pub(crate) format: Option<usize>,
}

impl KnownMacro {
    pub(crate) fn parse(call: &Macro) -> Option<KnownMacro> {
        let name = call.path.segments.last()?.ident.to_string();
        let (mode, eager) = match name.as_str() {
            "print" | "println" | "eprint" | "eprintln" | "format" | "write" | "writeln" | "panic" | "format_args"
            | "unreachable" | "todo" | "unimplemented" | "bail" | "anyhow" => (MacroUse::Borrow, usize::MAX),
            "assert" | "debug_assert" | "ensure" => (MacroUse::Borrow, 1),
            "assert_eq" | "assert_ne" | "debug_assert_eq" | "debug_assert_ne" => (MacroUse::Borrow, 2),
            "vec" | "dbg" => (MacroUse::Move, usize::MAX),
            _ => return None,
        };
        let format = match name.as_str() {
            "vec" | "dbg" => None,
            "write" | "writeln" => Some(1),
            _ if eager == usize::MAX => Some(0),
            // Behind what is asserted.
            _ => Some(eager),
        };
        if name == "vec" {
            let repeat = |input: syn::parse::ParseStream<'_>| {
                let value: Expr = input.parse()?;
                input.parse::<Token![;]>()?;
                let count: Expr = input.parse()?;
                Ok(vec![value, count])
            };
            if let Ok(values) = repeat.parse2(call.tokens.clone()) {
                return Some(KnownMacro {
                    values,
                    mode,
                    eager,
                    repeat: true,
                    format,
                });
            }
        }
        let values = Punctuated::<Expr, Token![,]>::parse_terminated
            .parse2(call.tokens.clone())
            .ok()?;
        Some(KnownMacro {
            values: values.into_iter().collect(),
            mode,
            eager,
            repeat: false,
            format,
        })
    }

    /// The macro's tokens with these arguments.
    pub(crate) fn tokens(&self, values: &[Expr]) -> TokenStream {
        if self.repeat {
            let (value, count) = (&values[0], &values[1]);
            quote::quote!(#value; #count)
        } else {
            quote::quote!(#(#values),*)
        }
    }
}

/// Whether a macro by its name never gets to its end.
pub(crate) fn never_returns(call: &Macro) -> bool {
    call.path.segments.last().is_some_and(|segment| {
        ["panic", "unreachable", "todo", "unimplemented", "bail"]
            .iter()
            .any(|name| segment.ident == name)
    })
}

/// Whether tokens that cannot be parsed seem to hold a suspension point; gives the span of the context's name.
pub(crate) fn point_in_tokens(tokens: &TokenStream, cx: &Ident) -> Option<Span> {
    let mut has_await = false;
    let mut found = None;
    let trees: Vec<TokenTree> = tokens.clone().into_iter().collect();
    for (at, tree) in trees.iter().enumerate() {
        match tree {
            TokenTree::Ident(ident) if ident == "await" => has_await = true,
            TokenTree::Ident(ident) if ident == cx => {
                if let (Some(TokenTree::Punct(dot)), Some(TokenTree::Ident(method))) =
                    (trees.get(at + 1), trees.get(at + 2))
                    && dot.as_char() == '.'
                    && OPERATIONS.iter().any(|name| method == name)
                {
                    found = found.or(Some(ident.span()));
                }
            }
            TokenTree::Group(group) => {
                if let Some(inner) = point_in_tokens(&group.stream(), cx) {
                    return Some(inner);
                }
            }
            _ => {}
        }
    }
    found.filter(|_| has_await)
}

/// Whether tokens hold a `break` or `continue` and no loop that it could belong to.
pub(crate) fn jump_in_tokens(tokens: &TokenStream) -> Option<Span> {
    let mut jump = None;
    for tree in tokens.clone() {
        match tree {
            TokenTree::Ident(ident) if ident == "loop" || ident == "while" || ident == "for" => return None,
            TokenTree::Ident(ident) if ident == "break" || ident == "continue" => jump = jump.or(Some(ident.span())),
            TokenTree::Group(group) => jump = jump.or(jump_in_tokens(&group.stream())),
            _ => {}
        }
    }
    jump
}

/// The calls of a chain rooted in the context, outermost last, as (method call) references.
pub(crate) fn chain_arguments(expr: &mut Expr) -> Vec<&mut Expr> {
    fn collect<'a>(expr: &'a mut Expr, into: &mut Vec<&'a mut Expr>) {
        match expr {
            Expr::MethodCall(ExprMethodCall { receiver, args, .. }) => {
                collect(receiver, into);
                into.extend(args.iter_mut());
            }
            Expr::Paren(inner) => collect(&mut inner.expr, into),
            Expr::Group(inner) => collect(&mut inner.expr, into),
            _ => {}
        }
    }
    let mut arguments = Vec::new();
    collect(expr, &mut arguments);
    arguments
}

/// Whether an operator is a compound assignment.
pub(crate) fn is_assignment(op: &syn::BinOp) -> bool {
    matches!(
        op,
        syn::BinOp::AddAssign(_)
            | syn::BinOp::SubAssign(_)
            | syn::BinOp::MulAssign(_)
            | syn::BinOp::DivAssign(_)
            | syn::BinOp::RemAssign(_)
            | syn::BinOp::BitXorAssign(_)
            | syn::BinOp::BitAndAssign(_)
            | syn::BinOp::BitOrAssign(_)
            | syn::BinOp::ShlAssign(_)
            | syn::BinOp::ShrAssign(_)
    )
}
