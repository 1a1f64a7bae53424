//! The user's code once more, as it is written, in code that is never reached: types are inferred there.
//!
//! The arms of the state machine do not stand in the order of the text, and a variable has several declarations, so that rustc would meet
//! `list.first()` before the `list.push(1)` that says what the list holds. It infers types from front to back; here it meets them in the user's
//! order, with every variable that has a slot tied to it.

mod closures;

use crate::emit::Emitter;
use crate::names::{Binding, Var};
use crate::points::{KnownMacro, Rules, must_split, operation};
use closures::Closures;
use proc_macro2::{Ident, Span, TokenStream};
use quote::quote_spanned;
use std::collections::HashMap;
use syn::spanned::Spanned;
use syn::visit::{self, Visit};
use syn::visit_mut::{self, VisitMut};
use syn::{Block, Expr, Pat, PatIdent, Stmt};

/// A name for a place in the source text; none outside of rustc.
pub(crate) fn place(span: Span) -> Option<String> {
    proc_macro::is_available().then(|| format!("{:?}", span.unwrap()))
}

/// The place of an expression that is taken apart and has a value.
pub(crate) fn place_of_value(value: &Expr) -> Option<String> {
    let kind = match value {
        Expr::If(_) => "if",
        Expr::Match(_) => "match",
        Expr::Block(_) => "block",
        Expr::Loop(_) => "loop",
        _ => return None,
    };
    place(value.span()).map(|place| format!("{kind} {place}"))
}

/// The code of a body, tied to the slots of the emitter; nothing if that could not be done without declaring an item twice.
pub(crate) fn code(block: &Block, rules: Rules<'_>, bindings: &[Binding], emitter: &Emitter<'_>) -> TokenStream {
    if !is_possible(block, rules) {
        return TokenStream::new();
    }
    let mut by_place: HashMap<String, Option<Var>> = HashMap::new();
    for (var, binding) in bindings.iter().enumerate() {
        if let Some(place) = &binding.written {
            let name = if binding.temporary {
                String::new()
            } else {
                binding.ident.to_string()
            };
            // What a `macro_rules!` repeats may have several types.
            by_place
                .entry(format!("{place} {name}"))
                .and_modify(|var| *var = None)
                .or_insert(Some(var));
        }
    }
    let mut block = block.clone();
    let closures = Closures::of(&block);
    Original {
        rules,
        by_place,
        emitter,
        closures,
    }
    .visit_block_mut(&mut block);
    quote_spanned! {Span::mixed_site()=>
        #[allow(unused, clippy::all, clippy::pedantic)]
        {
            loop {
                break;
                return #block;
            }
        }
    }
}

/// Whether the code of a body can stand there a second time.
pub(crate) fn is_possible(block: &Block, rules: Rules<'_>) -> bool {
    proc_macro::is_available() && !has_items(block, rules)
}

/// Whether code that is not taken apart declares items: twice, they would be two.
fn has_items(block: &Block, rules: Rules<'_>) -> bool {
    struct Items<'a> {
        rules: Rules<'a>,
        native: bool,
        found: bool,
    }
    impl<'ast> Visit<'ast> for Items<'_> {
        fn visit_expr(&mut self, expr: &'ast Expr) {
            let outside = self.native;
            self.native |= !must_split(expr, self.rules);
            visit::visit_expr(self, expr);
            self.native = outside;
        }
        fn visit_item(&mut self, item: &'ast syn::Item) {
            self.found |= self.native && !matches!(item, syn::Item::Use(_));
        }
    }
    let mut items = Items {
        rules,
        native: false,
        found: false,
    };
    items.visit_block(block);
    items.found
}

struct Original<'a> {
    rules: Rules<'a>,
    /// The variable that is declared at a place of the text.
    by_place: HashMap<String, Option<Var>>,
    emitter: &'a Emitter<'a>,
    closures: Closures,
}

impl Original<'_> {
    /// Statements that tie the variables of a pattern to their slots.
    fn tie(&self, pattern: &Pat) -> Vec<Stmt> {
        struct Idents(Vec<Ident>);
        impl<'ast> Visit<'ast> for Idents {
            fn visit_pat_ident(&mut self, pattern: &'ast PatIdent) {
                self.0.push(pattern.ident.clone());
                visit::visit_pat_ident(self, pattern);
            }
            fn visit_expr(&mut self, _: &'ast Expr) {}
        }
        let mut idents = Idents(Vec::new());
        idents.visit_pat(pattern);
        let tied = idents.0.iter().filter(|ident| !self.closures.may_be(ident));
        let ties = tied.filter_map(|ident| {
            let place = place(ident.span())?;
            let var = self.by_place.get(&format!("{place} {ident}")).copied().flatten()?;
            self.emitter.tie(var, ident)
        });
        ties.map(|tie| syn::parse_quote!(#tie)).collect()
    }

    fn tie_in_front(&self, pattern: &Pat, block: &mut Block) {
        block.stmts.splice(0..0, self.tie(pattern));
    }

    /// Ties what the `let`s of a condition bind.
    fn tie_condition(&self, condition: &Expr, block: &mut Block) {
        match condition {
            Expr::Let(binding) => self.tie_in_front(&binding.pat, block),
            Expr::Binary(binary) if matches!(binary.op, syn::BinOp::And(_)) => {
                self.tie_condition(&binary.left, block);
                self.tie_condition(&binary.right, block);
            }
            Expr::Paren(inner) => self.tie_condition(&inner.expr, block),
            _ => {}
        }
    }
}

impl VisitMut for Original<'_> {
    fn visit_block_mut(&mut self, block: &mut Block) {
        let mut stmts = Vec::with_capacity(block.stmts.len());
        for mut stmt in std::mem::take(&mut block.stmts) {
            // Items of a block that is taken apart stand at the function's beginning.
            if matches!(stmt, Stmt::Item(_)) {
                continue;
            }
            self.visit_stmt_mut(&mut stmt);
            let ties = match &stmt {
                Stmt::Local(local) => self.tie(&local.pat),
                _ => Vec::new(),
            };
            stmts.push(stmt);
            stmts.extend(ties);
        }
        block.stmts = stmts;
    }

    fn visit_expr_mut(&mut self, expr: &mut Expr) {
        if !must_split(expr, self.rules) {
            return;
        }
        let place = place_of_value(expr);
        visit_mut::visit_expr_mut(self, expr);
        match expr {
            Expr::Await(awaited) if operation(awaited, self.rules.cx).is_some() => {
                let base = &awaited.base;
                let span = awaited.base.span().resolved_at(Span::mixed_site());
                *expr = Expr::Verbatim(quote_spanned!(span=> ::kappa::__private::output(#base)));
            }
            Expr::If(branch) => self.tie_condition(&branch.cond, &mut branch.then_branch),
            Expr::While(expr) => self.tie_condition(&expr.cond, &mut expr.body),
            Expr::ForLoop(expr) => self.tie_in_front(&expr.pat, &mut expr.body),
            Expr::Match(choice) => {
                for arm in &mut choice.arms {
                    let ties = self.tie(&arm.pat);
                    if !ties.is_empty() {
                        let body = &arm.body;
                        *arm.body = syn::parse_quote!({ #(#ties)* #body });
                        arm.comma.get_or_insert_with(Default::default);
                    }
                }
            }
            _ => {}
        }
        let value = place.and_then(|place| self.by_place.get(&format!("{place} ")).copied().flatten());
        if let Some(witness) = value.and_then(|var| self.emitter.value_witness(var)) {
            *expr = Expr::Verbatim(quote_spanned!(Span::mixed_site()=> #witness.same(#expr)));
        }
    }

    fn visit_macro_mut(&mut self, call: &mut syn::Macro) {
        if let Some(mut known) = KnownMacro::parse(call) {
            known.values.iter_mut().for_each(|value| match value {
                // `name = value` in a format macro.
                Expr::Assign(named) => self.visit_expr_mut(&mut named.right),
                value => self.visit_expr_mut(value),
            });
            call.tokens = known.tokens(&known.values);
        }
    }

    fn visit_stmt_macro_mut(&mut self, stmt: &mut syn::StmtMacro) {
        let expr = Expr::Macro(syn::ExprMacro {
            attrs: Vec::new(),
            mac: stmt.mac.clone(),
        });
        if must_split(&expr, self.rules) {
            self.visit_macro_mut(&mut stmt.mac);
        }
    }

    fn visit_expr_closure_mut(&mut self, _: &mut syn::ExprClosure) {}

    fn visit_expr_async_mut(&mut self, _: &mut syn::ExprAsync) {}

    fn visit_item_mut(&mut self, _: &mut syn::Item) {}
}
