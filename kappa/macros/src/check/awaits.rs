//! Ordinary `.await`s.
//!
//! What is awaited passes through a function first. If it is no future, rustc then gives the words for that function's bound, which are ours, and not
//! those for `.await`, which advise to remove it: an operation, or a call of a task, that is not awaited is lost in silence.

use crate::points::operation;
use proc_macro2::Ident;
use quote::quote_spanned;
use syn::spanned::Spanned;
use syn::visit_mut::{self, VisitMut};
use syn::{Block, Expr, ExprAwait, parse_quote};

/// Lets everything that is awaited in a body pass through a function of ours, but for operations of the context.
pub(crate) fn pass(block: &mut Block, cx: &Ident) {
    Pass { cx }.visit_block_mut(block);
}

struct Pass<'a> {
    cx: &'a Ident,
}

impl VisitMut for Pass<'_> {
    fn visit_expr_await_mut(&mut self, awaited: &mut ExprAwait) {
        visit_mut::visit_expr_await_mut(self, awaited);
        if operation(awaited, self.cx).is_none() {
            let base: &Expr = &awaited.base;
            let function = quote_spanned!(base.span()=> ::kappa::__private::awaited);
            *awaited.base = parse_quote!(#function(#base));
        }
    }

    fn visit_item_mut(&mut self, _: &mut syn::Item) {}
}
