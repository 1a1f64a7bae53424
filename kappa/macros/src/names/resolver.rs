//! What code that is not taken apart does with the variables around it: its names are found, also in macros and in the texts of `format!`.

use super::{Found, Moves, Names, Part, Var};
use crate::points::{KnownMacro, MacroUse};
use proc_macro2::{Delimiter, Literal, TokenStream, TokenTree};
use quote::ToTokens;
use std::collections::HashSet;
use syn::visit::{self, Visit};
use syn::{Block, Expr, ExprPath, LitStr, Macro, Pat};

/// Walks code that stays as it is, with the scopes that it opens itself.
pub(super) struct Resolver<'a> {
    names: &'a Names,
    inner: Vec<HashSet<String>>,
    /// Inside a closure or an `async` block: whatever is assigned there is captured, so it must be there already.
    captured: bool,
    /// Inside something that may be evaluated never, or more than once.
    conditional: bool,
    found: Found,
}

impl<'a> Resolver<'a> {
    pub(super) fn new(names: &'a Names) -> Self {
        Resolver {
            names,
            inner: vec![HashSet::new()],
            captured: false,
            conditional: false,
            found: Found::default(),
        }
    }

    /// What the code does with the variables around it.
    pub(super) fn into_found(self) -> Found {
        self.found
    }

    fn scoped(&mut self, visit: impl FnOnce(&mut Self)) {
        self.inner.push(HashSet::new());
        visit(self);
        self.inner.pop();
    }

    fn is_inner(&self, name: &str) -> bool {
        self.inner.iter().any(|scope| scope.contains(name))
    }

    fn declare(&mut self, pattern: &Pat, plain_let: bool) {
        let mut idents = Vec::new();
        let is_variable = |name: &str| self.is_inner(name) || self.names.lookup(name).is_some();
        self.names
            .constants
            .collect_bindings(pattern, plain_let, &is_variable, &mut idents);
        if let Some(scope) = self.inner.last_mut() {
            scope.extend(idents.iter().map(|(ident, _)| ident.to_string()));
        }
    }

    /// The variable of the surrounding code that this name means here.
    fn mention(&mut self, name: &str) -> Option<Var> {
        if self.is_inner(name) {
            return None;
        }
        let var = self.names.lookup(name)?;
        self.found.mentions.insert(var);
        Some(var)
    }

    fn uses(&mut self, var: Var) {
        self.found.uses.insert(var);
        if let Some((_, captured)) = &self.names.bindings[var].shared {
            self.found.uses.extend(captured);
        }
    }

    fn conditionally(&mut self, visit: impl FnOnce(&mut Self)) {
        let before = std::mem::replace(&mut self.conditional, true);
        visit(self);
        self.conditional = before;
    }

    /// With `move`, whatever the code mentions is moved into the closure or block, be it a part of a variable or the whole.
    fn capturing(&mut self, by_move: bool, code: &TokenStream, visit: impl FnOnce(&mut Self)) {
        if !by_move {
            return visit(self);
        }
        let outside = std::mem::take(&mut self.found);
        visit(self);
        let inside = std::mem::replace(&mut self.found, outside);
        for &var in &inside.mentions {
            if has_field_of(code, &self.names.bindings[var].ident) {
                self.found.unclear.insert(var);
            } else {
                self.moves(var);
            }
        }
        self.found = std::mem::take(&mut self.found).and(inside);
    }

    /// The variable is moved or copied.
    fn moves(&mut self, var: Var) {
        if self.conditional {
            self.found.unclear.insert(var);
        } else {
            self.found.moved.insert(var);
        }
    }

    /// A place that is borrowed, compared or changed, but not moved.
    pub(super) fn place(&mut self, place: &Expr) {
        match place {
            Expr::Path(path) if plain_name(path).is_some() => {
                if let Some(var) = plain_name(path).and_then(|name| self.mention(&name)) {
                    self.uses(var);
                }
            }
            Expr::Field(field) => self.place(&field.base),
            Expr::Index(index) => {
                self.place(&index.expr);
                self.visit_expr(&index.index);
            }
            Expr::Unary(unary) if matches!(unary.op, syn::UnOp::Deref(_)) => self.place(&unary.expr),
            Expr::Paren(inner) => self.place(&inner.expr),
            Expr::Group(inner) => self.place(&inner.expr),
            other => self.visit_expr(other),
        }
    }

    /// A place of which a part may be moved, or the whole.
    fn perhaps_moved(&mut self, place: &Expr) {
        if let Some(var) = root(place).and_then(|name| self.mention(&name)) {
            self.found.unclear.insert(var);
        }
        self.place(place);
    }

    /// What a pattern is matched with that moves so much of it.
    pub(super) fn scrutinee(&mut self, expr: &Expr, moves: Moves) {
        match (root(expr), moves) {
            (None, _) => self.visit_expr(expr),
            (Some(_), Moves::Nothing) => self.place(expr),
            (Some(_), Moves::Whole) if matches!(expr, Expr::Path(_)) => self.visit_expr(expr),
            (Some(name), Moves::Parts) if matches!(expr, Expr::Path(_)) && !self.conditional => {
                if let Some(var) = self.mention(&name) {
                    self.found.taken.insert(var);
                }
                self.place(expr);
            }
            (Some(_), _) => self.perhaps_moved(expr),
        }
    }

    /// The left side of an assignment: what a variable held before is not needed if it is assigned as a whole.
    fn assign(&mut self, place: &Expr) {
        match place {
            Expr::Path(path) if path.qself.is_none() && path.path.get_ident().is_some() => {
                if let Some(var) = self.mention(&path.path.segments[0].ident.to_string()) {
                    self.found.changed.insert(var);
                    if self.captured {
                        self.uses(var);
                    }
                }
            }
            Expr::Paren(inner) => self.assign(&inner.expr),
            Expr::Group(inner) => self.assign(&inner.expr),
            Expr::Tuple(tuple) => tuple.elems.iter().for_each(|part| self.assign(part)),
            Expr::Array(array) => array.elems.iter().for_each(|part| self.assign(part)),
            Expr::Call(call) => call.args.iter().for_each(|part| self.assign(part)),
            Expr::Struct(literal) => literal.fields.iter().for_each(|field| self.assign(&field.expr)),
            Expr::Range(_) | Expr::Infer(_) => {}
            Expr::Field(field) => {
                if let Some(var) = root(place).and_then(|name| self.mention(&name)) {
                    let text = field.to_token_stream().to_string();
                    self.found.parts.push(Part::Assigned(var, text));
                }
                self.place(place);
            }
            other => self.visit_expr(other),
        }
    }

    /// A macro whose arguments are expressions.
    fn known_macro(&mut self, known: &KnownMacro) {
        let name_of = |value: &Expr| match value {
            Expr::Assign(named) => named.left.to_token_stream().to_string(),
            _ => String::new(),
        };
        let own_names: Vec<String> = known.values.iter().map(name_of).collect();
        for (at, value) in known.values.iter().enumerate() {
            match value {
                Expr::Lit(literal) if known.format == Some(at) => {
                    if let syn::Lit::Str(text) = &literal.lit {
                        self.format_string(&text.value(), &own_names);
                    }
                }
                // `name = value` in a format macro.
                Expr::Assign(named) if known.format.is_some() => self.place(&named.right),
                value if known.mode == MacroUse::Borrow => self.place(value),
                value => self.visit_expr(value),
            }
        }
    }

    /// What a macro makes of its tokens is not known: everything that can be a variable counts as one.
    fn tokens(&mut self, tokens: TokenStream) {
        let trees: Vec<TokenTree> = tokens.into_iter().collect();
        for at in 0..trees.len() {
            let is = |c: char, at: Option<usize>| matches!(at.and_then(|at| trees.get(at)), Some(TokenTree::Punct(punct)) if punct.as_char() == c);
            match &trees[at] {
                TokenTree::Ident(ident) => {
                    let (before, twice_before) = (at.checked_sub(1), at.checked_sub(2));
                    let is_field = is('.', before) && !is('.', twice_before);
                    let is_in_path =
                        (is(':', before) && is(':', twice_before)) || (is(':', Some(at + 1)) && is(':', Some(at + 2)));
                    let is_label = is('\'', before);
                    if !(is_field || is_in_path || is_label)
                        && let Some(var) = self.mention(&ident.to_string())
                    {
                        self.uses(var);
                        self.found.unclear.insert(var);
                    }
                }
                TokenTree::Group(group) => self.tokens(group.stream()),
                TokenTree::Literal(literal) => self.literal(literal),
                TokenTree::Punct(_) => {}
            }
        }
    }

    /// A string literal in a macro that is not known: it may be a format string.
    fn literal(&mut self, literal: &Literal) {
        if let Ok(text) = syn::parse_str::<LitStr>(&literal.to_string()) {
            self.format_string(&text.value(), &[]);
        }
    }

    /// A format string: the variables inside count as used; `own_names` are arguments.
    fn format_string(&mut self, text: &str, own_names: &[String]) {
        let mut in_argument = false;
        // Right behind `{`.
        let mut at_start = false;
        let mut rest = text;
        while let Some(c) = rest.chars().next() {
            if !in_argument && (rest.starts_with("{{") || rest.starts_with("}}")) {
                rest = &rest[2..];
                continue;
            }
            if in_argument && (c == '_' || c.is_alphabetic()) {
                let end = rest
                    .find(|c: char| c != '_' && !c.is_alphanumeric())
                    .unwrap_or(rest.len());
                let name = &rest[..end];
                let next = rest[end..].trim_start().chars().next();
                // `{name}`, `{name:..}`, and `name$` as width or precision.
                let is_variable = (at_start && matches!(next, Some('}' | ':'))) || rest[end..].starts_with('$');
                if is_variable
                    && !own_names.iter().any(|own| own == name)
                    && let Some(var) = self.mention(name).or_else(|| self.mention(&format!("r#{name}")))
                {
                    self.uses(var);
                }
                rest = &rest[end..];
                at_start = false;
                continue;
            }
            at_start = c == '{';
            in_argument = match c {
                '{' => true,
                '}' => false,
                _ => in_argument,
            };
            rest = &rest[c.len_utf8()..];
        }
    }
}

impl<'ast> Visit<'ast> for Resolver<'_> {
    fn visit_expr_path(&mut self, path: &'ast ExprPath) {
        match plain_name(path) {
            Some(name) => {
                if let Some(var) = self.mention(&name) {
                    self.uses(var);
                    self.moves(var);
                }
            }
            None => visit::visit_expr_path(self, path),
        }
    }

    fn visit_expr_reference(&mut self, reference: &'ast syn::ExprReference) {
        self.place(&reference.expr);
    }

    fn visit_expr_field(&mut self, field: &'ast syn::ExprField) {
        match root(&field.base) {
            Some(name) => {
                if !self.conditional
                    && is_field_of_variable(&field.base)
                    && let Some(var) = self.mention(&name)
                {
                    let code = field.to_token_stream();
                    self.found.parts.push(Part::Taken(var, code.to_string(), code));
                }
                self.perhaps_moved(&field.base);
            }
            None => self.visit_expr(&field.base),
        }
    }

    fn visit_expr_index(&mut self, index: &'ast syn::ExprIndex) {
        self.place(&index.expr);
        self.visit_expr(&index.index);
    }

    fn visit_expr_unary(&mut self, unary: &'ast syn::ExprUnary) {
        match unary.op {
            syn::UnOp::Deref(_) if root(&unary.expr).is_some() => {
                let is_variable = matches!(*unary.expr, Expr::Path(_));
                match root(&unary.expr).and_then(|name| self.mention(&name)) {
                    Some(var) if is_variable && !self.conditional => {
                        self.found.emptied.insert(var);
                        self.place(&unary.expr);
                    }
                    _ => self.perhaps_moved(&unary.expr),
                }
            }
            _ => self.visit_expr(&unary.expr),
        }
    }

    fn visit_expr_method_call(&mut self, call: &'ast syn::ExprMethodCall) {
        if root(&call.receiver).is_none() {
            self.visit_expr(&call.receiver);
        } else if let (true, false, Expr::Path(path)) = (
            takes_receiver(&call.method.to_string()),
            self.conditional,
            &*call.receiver,
        ) {
            if let Some(var) = plain_name(path).and_then(|name| self.mention(&name)) {
                self.found.received.insert(var);
            }
            self.place(&call.receiver);
        } else if borrows(&call.method.to_string()) {
            self.place(&call.receiver);
        } else {
            self.perhaps_moved(&call.receiver);
        }
        call.args.iter().for_each(|argument| self.visit_expr(argument));
    }

    fn visit_expr_binary(&mut self, binary: &'ast syn::ExprBinary) {
        use syn::BinOp;
        match binary.op {
            BinOp::Eq(_) | BinOp::Ne(_) | BinOp::Lt(_) | BinOp::Le(_) | BinOp::Gt(_) | BinOp::Ge(_) => {
                self.place(&binary.left);
                self.place(&binary.right);
            }
            BinOp::And(_) | BinOp::Or(_) => {
                self.visit_expr(&binary.left);
                self.conditionally(|this| this.visit_expr(&binary.right));
            }
            _ if crate::points::is_assignment(&binary.op) => {
                self.visit_expr(&binary.right);
                self.place(&binary.left);
            }
            _ => {
                self.visit_expr(&binary.left);
                self.visit_expr(&binary.right);
            }
        }
    }

    fn visit_expr_match(&mut self, choice: &'ast syn::ExprMatch) {
        let moves = choice.arms.iter().map(|arm| Moves::of(&arm.pat, false));
        match moves.clone().all(|moves| moves == Moves::Nothing) {
            true => self.scrutinee(&choice.expr, Moves::Nothing),
            false => self.scrutinee(&choice.expr, Moves::Unclear),
        }
        self.conditionally(|this| choice.arms.iter().for_each(|arm| this.visit_arm(arm)));
    }

    fn visit_expr_loop(&mut self, expr: &'ast syn::ExprLoop) {
        self.conditionally(|this| this.visit_block(&expr.body));
    }

    fn visit_expr_try(&mut self, expr: &'ast syn::ExprTry) {
        self.visit_expr(&expr.expr);
    }

    fn visit_expr_assign(&mut self, assign: &'ast syn::ExprAssign) {
        match &*assign.left {
            Expr::Infer(_) => self.place(&assign.right),
            // What no part of the left side takes stays where it was.
            Expr::Tuple(_) | Expr::Array(_) | Expr::Call(_) | Expr::Struct(_) => {
                self.scrutinee(&assign.right, Moves::Unclear);
            }
            _ => self.visit_expr(&assign.right),
        }
        self.assign(&assign.left);
    }

    fn visit_expr_block(&mut self, block: &'ast syn::ExprBlock) {
        match block.label {
            // A `break` may leave it before its end.
            Some(_) => self.conditionally(|this| this.visit_block(&block.block)),
            None => self.visit_block(&block.block),
        }
    }

    fn visit_block(&mut self, block: &'ast Block) {
        self.scoped(|this| {
            for stmt in &block.stmts {
                this.visit_stmt(stmt);
            }
        });
    }

    fn visit_local(&mut self, local: &'ast syn::Local) {
        let mut plain_let = true;
        if let Some(init) = &local.init {
            match &local.pat {
                pattern if init.diverge.is_none() => self.scrutinee(&init.expr, Moves::of(pattern, true)),
                pattern => match Moves::of(pattern, false) {
                    Moves::Nothing => self.scrutinee(&init.expr, Moves::Nothing),
                    _ => self.scrutinee(&init.expr, Moves::Unclear),
                },
            }
            if let Some((_, diverge)) = &init.diverge {
                plain_let = false;
                self.conditionally(|this| this.visit_expr(diverge));
            }
        }
        self.declare(&local.pat, plain_let);
    }

    fn visit_expr_closure(&mut self, closure: &'ast syn::ExprClosure) {
        self.scoped(|this| {
            for input in &closure.inputs {
                this.declare(input, true);
            }
            let captured = std::mem::replace(&mut this.captured, true);
            this.capturing(closure.capture.is_some(), &closure.body.to_token_stream(), |this| {
                this.conditionally(|this| this.visit_expr(&closure.body));
            });
            this.captured = captured;
        });
    }

    fn visit_expr_async(&mut self, block: &'ast syn::ExprAsync) {
        let captured = std::mem::replace(&mut self.captured, true);
        self.capturing(block.capture.is_some(), &block.block.to_token_stream(), |this| {
            this.conditionally(|this| this.visit_block(&block.block));
        });
        self.captured = captured;
    }

    fn visit_arm(&mut self, arm: &'ast syn::Arm) {
        self.scoped(|this| {
            this.declare(&arm.pat, false);
            if let Some((_, guard)) = &arm.guard {
                this.visit_expr(guard);
            }
            this.visit_expr(&arm.body);
        });
    }

    fn visit_expr_for_loop(&mut self, expr: &'ast syn::ExprForLoop) {
        self.visit_expr(&expr.expr);
        self.scoped(|this| {
            this.declare(&expr.pat, true);
            this.conditionally(|this| this.visit_block(&expr.body));
        });
    }

    fn visit_expr_if(&mut self, expr: &'ast syn::ExprIf) {
        self.scoped(|this| {
            this.visit_expr(&expr.cond);
            this.conditionally(|this| this.visit_block(&expr.then_branch));
        });
        if let Some((_, other)) = &expr.else_branch {
            self.conditionally(|this| this.visit_expr(other));
        }
    }

    fn visit_expr_while(&mut self, expr: &'ast syn::ExprWhile) {
        self.scoped(|this| {
            this.conditionally(|this| {
                this.visit_expr(&expr.cond);
                this.visit_block(&expr.body);
            });
        });
    }

    fn visit_expr_let(&mut self, expr: &'ast syn::ExprLet) {
        match Moves::of(&expr.pat, false) {
            Moves::Nothing => self.scrutinee(&expr.expr, Moves::Nothing),
            _ => self.scrutinee(&expr.expr, Moves::Unclear),
        }
        self.declare(&expr.pat, false);
    }

    fn visit_macro(&mut self, call: &'ast Macro) {
        match KnownMacro::parse(call) {
            Some(known) => self.known_macro(&known),
            // `matches!(x, Some(x) if ..)` and the like cannot be told from expressions.
            None => {
                let name = call.path.segments.last().map(|last| last.ident.to_string());
                let before = self.found.unclear.clone();
                self.tokens(call.tokens.clone());
                if name.is_some_and(|name| BORROWING.contains(&name.as_str())) {
                    self.found.unclear = before;
                }
            }
        }
    }

    fn visit_item(&mut self, _: &'ast syn::Item) {}

    fn visit_type(&mut self, _: &'ast syn::Type) {}

    fn visit_pat(&mut self, _: &'ast Pat) {}
}

/// Whether a place is a variable or a field of one, and not behind a reference or an index that is written.
fn is_field_of_variable(place: &Expr) -> bool {
    match place {
        Expr::Path(_) => true,
        Expr::Field(field) => is_field_of_variable(&field.base),
        Expr::Paren(inner) => is_field_of_variable(&inner.expr),
        Expr::Group(inner) => is_field_of_variable(&inner.expr),
        _ => false,
    }
}

/// Whether tokens seem to hold `name.field`.
fn has_field_of(tokens: &TokenStream, name: &proc_macro2::Ident) -> bool {
    let trees: Vec<TokenTree> = tokens.clone().into_iter().collect();
    let is_method = |at: usize| matches!(trees.get(at), Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Parenthesis);
    trees.iter().enumerate().any(|(at, tree)| match tree {
        TokenTree::Ident(ident) if ident == name => {
            matches!(trees.get(at + 1), Some(TokenTree::Punct(dot)) if dot.as_char() == '.') && !is_method(at + 3)
        }
        TokenTree::Group(group) => has_field_of(&group.stream(), name),
        _ => false,
    })
}

/// Macros that move nothing out of a variable. (Should one do so, its use later does not compile.)
const BORROWING: [&str; 9] = [
    "matches", "trace", "debug", "info", "warn", "error", "event", "log", "json",
];

/// The name of a path that can be a variable.
fn plain_name(path: &ExprPath) -> Option<String> {
    let is_plain = path.qself.is_none() && path.path.leading_colon.is_none() && path.path.segments.len() == 1;
    let segment = path.path.segments.first().filter(|_| is_plain)?;
    segment.arguments.is_none().then(|| segment.ident.to_string())
}

/// The variable that a place is or belongs to.
pub(crate) fn root(place: &Expr) -> Option<String> {
    match place {
        Expr::Path(path) => plain_name(path),
        Expr::Field(field) => root(&field.base),
        Expr::Index(index) => root(&index.expr),
        Expr::Unary(unary) if matches!(unary.op, syn::UnOp::Deref(_)) => root(&unary.expr),
        Expr::Paren(inner) => root(&inner.expr),
        Expr::Group(inner) => root(&inner.expr),
        _ => None,
    }
}

/// Whether a method by its name takes its receiver by reference. A wrong guess is not a wrong answer: what has been moved does not compile if it is held.
pub(crate) fn borrows(method: &str) -> bool {
    const NAMES: [&str; 62] = [
        "abs",
        "all",
        "any",
        "append",
        "borrow",
        "borrow_mut",
        "clear",
        "clone",
        "clone_from",
        "cmp",
        "contains",
        "contains_key",
        "deref",
        "drain",
        "ends_with",
        "entry",
        "eq",
        "extend",
        "fetch_add",
        "fetch_sub",
        "find",
        "first",
        "flush",
        "get",
        "get_mut",
        "get_or_insert_with",
        "id",
        "insert",
        "is_empty",
        "iter",
        "iter_mut",
        "keys",
        "last",
        "len",
        "load",
        "lock",
        "name",
        "partial_cmp",
        "path",
        "peek",
        "pop",
        "push",
        "push_str",
        "read",
        "recv",
        "remove",
        "replace",
        "resize",
        "retain",
        "send",
        "set",
        "sort",
        "sort_by",
        "sort_by_key",
        "split_at",
        "starts_with",
        "store",
        "swap",
        "take",
        "truncate",
        "values",
        "write",
    ];
    [
        "as_",
        "is_",
        "to_",
        "try_lock",
        "try_read",
        "try_recv",
        "try_send",
        "try_write",
    ]
    .iter()
    .any(|start| method.starts_with(start))
        || NAMES.contains(&method)
}

/// Whether a method of this name takes its receiver whole, if it is one of `std`'s types: of `Option`, of `Result`, of a collection, or an iterator.
pub(crate) fn takes_receiver(method: &str) -> bool {
    const NAMES: [&str; 57] = [
        "and",
        "and_then",
        "chain",
        "cloned",
        "collect",
        "copied",
        "count",
        "cycle",
        "enumerate",
        "err",
        "expect",
        "expect_err",
        "filter",
        "filter_map",
        "flat_map",
        "flatten",
        "fold",
        "for_each",
        "fuse",
        "inspect",
        "into",
        "is_none_or",
        "is_ok_and",
        "is_some_and",
        "map",
        "map_err",
        "map_or",
        "map_or_else",
        "map_while",
        "max",
        "max_by",
        "max_by_key",
        "min",
        "min_by",
        "min_by_key",
        "ok",
        "ok_or",
        "ok_or_else",
        "or",
        "or_else",
        "partition",
        "peekable",
        "product",
        "reduce",
        "rev",
        "scan",
        "skip",
        "skip_while",
        "step_by",
        "sum",
        "take_while",
        "unwrap",
        "unwrap_or",
        "unwrap_or_default",
        "unwrap_or_else",
        "unzip",
        "zip",
    ];
    method.starts_with("into_") || NAMES.contains(&method)
}
