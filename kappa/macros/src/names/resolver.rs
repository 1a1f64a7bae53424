//! What code that is not taken apart does with the variables around it: its names are found, also in macros and in the texts of `format!`.

use super::{Found, Names, Var, collect_bindings};
use crate::points::KnownMacro;
use proc_macro2::{Literal, TokenStream, TokenTree};
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
    found: Found,
}

impl<'a> Resolver<'a> {
    pub(super) fn new(names: &'a Names) -> Self {
        Resolver {
            names,
            inner: vec![HashSet::new()],
            captured: false,
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
        collect_bindings(pattern, plain_let, &mut idents);
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
                Expr::Assign(named) if known.format.is_some() => self.visit_expr(&named.right),
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
        if path.qself.is_none() && path.path.leading_colon.is_none() && path.path.segments.len() == 1 {
            let segment = &path.path.segments[0];
            if segment.arguments.is_none() {
                if let Some(var) = self.mention(&segment.ident.to_string()) {
                    self.uses(var);
                }
                return;
            }
        }
        visit::visit_expr_path(self, path);
    }

    fn visit_expr_assign(&mut self, assign: &'ast syn::ExprAssign) {
        self.visit_expr(&assign.right);
        self.assign(&assign.left);
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
            self.visit_expr(&init.expr);
            if let Some((_, diverge)) = &init.diverge {
                plain_let = false;
                self.visit_expr(diverge);
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
            this.visit_expr(&closure.body);
            this.captured = captured;
        });
    }

    fn visit_expr_async(&mut self, block: &'ast syn::ExprAsync) {
        let captured = std::mem::replace(&mut self.captured, true);
        self.visit_block(&block.block);
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
            this.visit_block(&expr.body);
        });
    }

    fn visit_expr_if(&mut self, expr: &'ast syn::ExprIf) {
        self.scoped(|this| {
            this.visit_expr(&expr.cond);
            this.visit_block(&expr.then_branch);
        });
        if let Some((_, other)) = &expr.else_branch {
            self.visit_expr(other);
        }
    }

    fn visit_expr_while(&mut self, expr: &'ast syn::ExprWhile) {
        self.scoped(|this| {
            this.visit_expr(&expr.cond);
            this.visit_block(&expr.body);
        });
    }

    fn visit_expr_let(&mut self, expr: &'ast syn::ExprLet) {
        self.visit_expr(&expr.expr);
        self.declare(&expr.pat, false);
    }

    fn visit_macro(&mut self, call: &'ast Macro) {
        match KnownMacro::parse(call) {
            Some(known) => self.known_macro(&known),
            // `matches!(x, Some(x) if ..)` and the like cannot be told from expressions.
            None => self.tokens(call.tokens.clone()),
        }
    }

    fn visit_item(&mut self, _: &'ast syn::Item) {}

    fn visit_type(&mut self, _: &'ast syn::Type) {}

    fn visit_pat(&mut self, _: &'ast Pat) {}
}
