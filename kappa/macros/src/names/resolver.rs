//! What code that is not taken apart does with the variables around it: its names are found, also in macros and in the texts of `format!`, and those that the
//! generated code calls otherwise are renamed.

use super::{Found, Names, Var, collect_bindings};
use crate::points::KnownMacro;
use proc_macro2::{Ident, Literal, TokenStream, TokenTree};
use quote::ToTokens;
use std::collections::HashSet;
use syn::visit_mut::{self, VisitMut};
use syn::{Block, Expr, ExprPath, FieldValue, LitStr, Macro, Pat};

/// Walks code that stays as it is, with the scopes that it opens itself.
pub(super) struct Resolver<'a> {
    names: &'a Names,
    inner: Vec<HashSet<String>>,
    /// Inside a closure or an `async` block: whatever is assigned there is captured, so it must be there already.
    captured: bool,
    found: Found,
    /// Every identifier seen, so that new names can avoid them.
    all: HashSet<String>,
}

impl<'a> Resolver<'a> {
    /// Around the code there are these parameters, and what `names` has.
    pub(super) fn new(names: &'a Names, parameters: &[Ident]) -> Self {
        Resolver {
            names,
            inner: vec![parameters.iter().map(Ident::to_string).collect()],
            captured: false,
            found: Found::default(),
            all: HashSet::new(),
        }
    }

    /// What the code does with the variables around it, and every identifier in it.
    pub(super) fn into_found(self) -> (Found, HashSet<String>) {
        (self.found, self.all)
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
        for (ident, _) in idents {
            self.all.insert(ident.to_string());
            if let Some(scope) = self.inner.last_mut() {
                scope.insert(ident.to_string());
            }
        }
    }

    /// The variable of the surrounding code that this name means here.
    fn outer(&mut self, name: &str) -> Option<Var> {
        self.all.insert(name.to_string());
        if self.is_inner(name) {
            return None;
        }
        let var = self.names.lookup(name);
        match var {
            Some(var) => {
                self.found.mentions.insert(var);
            }
            None => {
                self.found.free.insert(name.to_string());
            }
        }
        var
    }

    fn mention(&mut self, ident: &mut Ident) -> Option<Var> {
        let var = self.outer(&ident.to_string())?;
        let span = ident.span();
        *ident = self.names.bindings[var].ident.clone();
        ident.set_span(span);
        Some(var)
    }

    fn uses(&mut self, var: Var) {
        self.found.uses.insert(var);
        if let Some((_, captured)) = &self.names.bindings[var].shared {
            for &var in captured {
                self.found.uses.insert(var);
            }
        }
    }

    /// The left side of an assignment: what a variable held before is not needed if it is assigned as a whole.
    fn assign(&mut self, place: &mut Expr) {
        match place {
            Expr::Path(path) if path.qself.is_none() && path.path.get_ident().is_some() => {
                if let Some(var) = self.mention(&mut path.path.segments[0].ident) {
                    self.found.changed.insert(var);
                    if self.captured {
                        self.uses(var);
                    }
                }
            }
            Expr::Paren(inner) => self.assign(&mut inner.expr),
            Expr::Group(inner) => self.assign(&mut inner.expr),
            Expr::Tuple(tuple) => tuple.elems.iter_mut().for_each(|part| self.assign(part)),
            Expr::Array(array) => array.elems.iter_mut().for_each(|part| self.assign(part)),
            Expr::Call(call) => call.args.iter_mut().for_each(|part| self.assign(part)),
            Expr::Struct(literal) => literal.fields.iter_mut().for_each(|field| {
                Self::without_shorthand(field, |place| self.assign(place));
            }),
            Expr::Range(_) | Expr::Infer(_) => {}
            other => self.visit_expr_mut(other),
        }
    }

    /// `Point { x }` becomes `Point { x: x_2 }` if the variable gets another name.
    fn without_shorthand(field: &mut FieldValue, visit: impl FnOnce(&mut Expr)) {
        let before = match &field.expr {
            Expr::Path(path) => path.path.get_ident().cloned(),
            _ => None,
        };
        visit(&mut field.expr);
        if field.colon_token.is_none()
            && let (Some(before), Expr::Path(path)) = (before, &field.expr)
            && !path.path.is_ident(&before)
        {
            field.colon_token = Some(Default::default());
        }
    }

    /// A macro whose arguments are expressions.
    fn known_macro(&mut self, known: &mut KnownMacro) {
        let name_of = |value: &Expr| match value {
            Expr::Assign(named) => named.left.to_token_stream().to_string(),
            _ => String::new(),
        };
        let own_names: Vec<String> = known.values.iter().map(name_of).collect();
        for (at, value) in known.values.iter_mut().enumerate() {
            match value {
                Expr::Lit(literal) if known.format == Some(at) => {
                    if let syn::Lit::Str(text) = &literal.lit
                        && let Some(renamed) = self.format_string(&text.value(), &own_names)
                    {
                        literal.lit = syn::Lit::Str(LitStr::new(&renamed, text.span()));
                    }
                }
                // `name = value` in a format macro.
                Expr::Assign(named) if known.format.is_some() => self.visit_expr_mut(&mut named.right),
                value => self.visit_expr_mut(value),
            }
        }
    }

    /// What a macro makes of its tokens is not known: everything that can be a variable counts as one.
    fn tokens(&mut self, tokens: TokenStream) -> TokenStream {
        let trees: Vec<TokenTree> = tokens.into_iter().collect();
        let mut result = Vec::with_capacity(trees.len());
        for at in 0..trees.len() {
            let is = |c: char, at: Option<usize>| matches!(at.and_then(|at| trees.get(at)), Some(TokenTree::Punct(punct)) if punct.as_char() == c);
            let tree = match trees[at].clone() {
                TokenTree::Ident(mut ident) => {
                    let (before, twice_before) = (at.checked_sub(1), at.checked_sub(2));
                    let is_field = is('.', before) && !is('.', twice_before);
                    let is_in_path =
                        (is(':', before) && is(':', twice_before)) || (is(':', Some(at + 1)) && is(':', Some(at + 2)));
                    let is_label = is('\'', before);
                    if !(is_field || is_in_path || is_label)
                        && let Some(var) = self.mention(&mut ident)
                    {
                        self.uses(var);
                    }
                    TokenTree::Ident(ident)
                }
                TokenTree::Group(group) => {
                    let mut inner = proc_macro2::Group::new(group.delimiter(), self.tokens(group.stream()));
                    inner.set_span(group.span());
                    TokenTree::Group(inner)
                }
                TokenTree::Literal(literal) => TokenTree::Literal(self.literal(literal)),
                other => other,
            };
            result.push(tree);
        }
        result.into_iter().collect()
    }

    /// A string literal in a macro that is not known: it may be a format string.
    fn literal(&mut self, literal: Literal) -> Literal {
        let Ok(text) = syn::parse_str::<LitStr>(&literal.to_string()) else {
            return literal;
        };
        match self.format_string(&text.value(), &[]) {
            Some(renamed) => {
                let mut replaced = Literal::string(&renamed);
                replaced.set_span(literal.span());
                replaced
            }
            None => literal,
        }
    }

    /// A format string: the variables inside count as used. Gives the string with their new names if they have others; `own_names` are arguments.
    fn format_string(&mut self, text: &str, own_names: &[String]) -> Option<String> {
        let mut renamed = String::with_capacity(text.len());
        let mut changed = false;
        let mut in_argument = false;
        // Right behind `{`.
        let mut at_start = false;
        let mut rest = text;
        while let Some(c) = rest.chars().next() {
            if !in_argument && (rest.starts_with("{{") || rest.starts_with("}}")) {
                renamed.push_str(&rest[..2]);
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
                let var = match is_variable && !own_names.iter().any(|own| own == name) {
                    true => self.outer(name).or_else(|| self.outer(&format!("r#{name}"))),
                    false => None,
                };
                match var {
                    Some(var) => {
                        self.uses(var);
                        let ident = self.names.bindings[var].ident.to_string();
                        let ident = ident.trim_start_matches("r#");
                        changed |= ident != name;
                        renamed.push_str(ident);
                    }
                    None => renamed.push_str(name),
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
            renamed.push(c);
            rest = &rest[c.len_utf8()..];
        }
        changed.then_some(renamed)
    }
}

impl VisitMut for Resolver<'_> {
    fn visit_expr_path_mut(&mut self, path: &mut ExprPath) {
        if path.qself.is_none() && path.path.leading_colon.is_none() && path.path.segments.len() == 1 {
            let segment = &mut path.path.segments[0];
            if segment.arguments.is_none() {
                if let Some(var) = self.mention(&mut segment.ident) {
                    self.uses(var);
                }
                return;
            }
        }
        if let Some(segment) = path.path.segments.first() {
            let name = segment.ident.to_string();
            self.found.free.insert(name);
        }
        visit_mut::visit_expr_path_mut(self, path);
    }

    fn visit_expr_assign_mut(&mut self, assign: &mut syn::ExprAssign) {
        self.visit_expr_mut(&mut assign.right);
        self.assign(&mut assign.left);
    }

    fn visit_field_value_mut(&mut self, field: &mut FieldValue) {
        Self::without_shorthand(field, |value| self.visit_expr_mut(value));
    }

    fn visit_block_mut(&mut self, block: &mut Block) {
        self.scoped(|this| {
            for stmt in &mut block.stmts {
                this.visit_stmt_mut(stmt);
            }
        });
    }

    fn visit_local_mut(&mut self, local: &mut syn::Local) {
        let mut plain_let = true;
        if let Some(init) = &mut local.init {
            self.visit_expr_mut(&mut init.expr);
            if let Some((_, diverge)) = &mut init.diverge {
                plain_let = false;
                self.visit_expr_mut(diverge);
            }
        }
        self.declare(&local.pat, plain_let);
    }

    fn visit_expr_closure_mut(&mut self, closure: &mut syn::ExprClosure) {
        self.scoped(|this| {
            for input in &closure.inputs {
                this.declare(input, true);
            }
            let captured = std::mem::replace(&mut this.captured, true);
            this.visit_expr_mut(&mut closure.body);
            this.captured = captured;
        });
    }

    fn visit_expr_async_mut(&mut self, block: &mut syn::ExprAsync) {
        let captured = std::mem::replace(&mut self.captured, true);
        self.visit_block_mut(&mut block.block);
        self.captured = captured;
    }

    fn visit_arm_mut(&mut self, arm: &mut syn::Arm) {
        self.scoped(|this| {
            this.declare(&arm.pat, false);
            if let Some((_, guard)) = &mut arm.guard {
                this.visit_expr_mut(guard);
            }
            this.visit_expr_mut(&mut arm.body);
        });
    }

    fn visit_expr_for_loop_mut(&mut self, expr: &mut syn::ExprForLoop) {
        self.visit_expr_mut(&mut expr.expr);
        self.scoped(|this| {
            this.declare(&expr.pat, true);
            this.visit_block_mut(&mut expr.body);
        });
    }

    fn visit_expr_if_mut(&mut self, expr: &mut syn::ExprIf) {
        self.scoped(|this| {
            this.visit_expr_mut(&mut expr.cond);
            this.visit_block_mut(&mut expr.then_branch);
        });
        if let Some((_, other)) = &mut expr.else_branch {
            self.visit_expr_mut(other);
        }
    }

    fn visit_expr_while_mut(&mut self, expr: &mut syn::ExprWhile) {
        self.scoped(|this| {
            this.visit_expr_mut(&mut expr.cond);
            this.visit_block_mut(&mut expr.body);
        });
    }

    fn visit_expr_let_mut(&mut self, expr: &mut syn::ExprLet) {
        self.visit_expr_mut(&mut expr.expr);
        self.declare(&expr.pat, false);
    }

    fn visit_macro_mut(&mut self, call: &mut Macro) {
        match KnownMacro::parse(call) {
            Some(mut known) => {
                self.known_macro(&mut known);
                call.tokens = known.tokens(&known.values);
            }
            // `matches!(x, Some(x) if ..)` and the like cannot be told from expressions.
            None => call.tokens = self.tokens(std::mem::take(&mut call.tokens)),
        }
    }

    fn visit_item_mut(&mut self, _: &mut syn::Item) {}

    fn visit_type_mut(&mut self, _: &mut syn::Type) {}

    fn visit_pat_mut(&mut self, _: &mut Pat) {}
}
