//! Operands in Rust's order: those before the last suspension point are evaluated before it.

use super::Lower;
use crate::points::must_split;
use proc_macro2::{TokenStream, TokenTree};
use quote::ToTokens;
use syn::visit::{self, Visit};
use syn::{BinOp, Expr, UnOp};

/// How an operand is used by what it belongs to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// Moved or copied.
    Value,
    /// As a place: borrowed, compared, or the receiver of a method.
    Borrow,
}

impl Lower<'_> {
    /// Takes operands apart, in their order of evaluation. Afterwards, evaluating them here gives their values.
    pub(super) fn operands(&mut self, mut operands: Vec<(&mut Expr, Mode)>) {
        let Some(last) = operands.iter().rposition(|(operand, _)| must_split(operand, self.cx)) else {
            return;
        };
        for at in 0..=last {
            let later: Vec<Expr> = operands[at + 1..=last]
                .iter()
                .map(|(operand, _)| (**operand).clone())
                .collect();
            let (operand, mode) = &mut operands[at];
            let value = self.value((**operand).clone());
            **operand = if at == last {
                value
            } else {
                self.fix(value, *mode, &later)
            };
        }
    }

    /// Makes the value of an operand independent of what the later ones do.
    fn fix(&mut self, operand: Expr, mode: Mode, later: &[Expr]) -> Expr {
        match operand {
            Expr::Lit(_) | Expr::Closure(_) => operand,
            Expr::Paren(inner) => self.fix(*inner.expr, mode, later),
            Expr::Group(inner) => self.fix(*inner.expr, mode, later),
            Expr::Reference(mut reference) => {
                if is_place(&reference.expr) {
                    reference.expr = Box::new(self.fix_place(*reference.expr, later));
                } else {
                    reference.expr = Box::new(self.fix(*reference.expr, Mode::Value, later));
                }
                Expr::Reference(reference)
            }
            place if is_place(&place) => {
                let Some(root) = self.root(&place) else { return place };
                let changed = match mode {
                    Mode::Value => later.iter().any(|expr| mentions(&expr.to_token_stream(), &root)),
                    Mode::Borrow => later.iter().any(|expr| assigns(expr, &root)),
                };
                let is_copy = mode == Mode::Value && matches!(place, Expr::Index(_) | Expr::Unary(_));
                if changed || is_copy {
                    self.temporary(place)
                } else {
                    self.fix_place(place, later)
                }
            }
            value => self.temporary(value),
        }
    }

    /// A place stays a place; what is computed inside it goes into temporaries.
    fn fix_place(&mut self, place: Expr, later: &[Expr]) -> Expr {
        match place {
            Expr::Field(mut field) => {
                field.base = Box::new(self.fix_base(*field.base, later));
                Expr::Field(field)
            }
            Expr::Index(mut index) => {
                index.expr = Box::new(self.fix_base(*index.expr, later));
                index.index = Box::new(self.fix(*index.index, Mode::Value, later));
                Expr::Index(index)
            }
            Expr::Unary(mut deref) => {
                deref.expr = Box::new(self.fix_base(*deref.expr, later));
                Expr::Unary(deref)
            }
            Expr::Paren(inner) => self.fix_place(*inner.expr, later),
            Expr::Group(inner) => self.fix_place(*inner.expr, later),
            other => other,
        }
    }

    fn fix_base(&mut self, base: Expr, later: &[Expr]) -> Expr {
        if is_place(&base) {
            self.fix_place(base, later)
        } else {
            self.fix(base, Mode::Value, later)
        }
    }

    /// The variable that a place is or belongs to.
    fn root(&self, place: &Expr) -> Option<String> {
        match place {
            Expr::Path(path) => {
                let name = path.path.get_ident()?.to_string();
                self.names.lookup(&name).map(|_| name)
            }
            Expr::Field(field) => self.root(&field.base),
            Expr::Index(index) => self.root(&index.expr).or_else(|| Some(String::new())),
            Expr::Unary(deref) => self.root(&deref.expr).or_else(|| Some(String::new())),
            Expr::Paren(inner) => self.root(&inner.expr),
            Expr::Group(inner) => self.root(&inner.expr),
            _ => Some(String::new()),
        }
    }
}

fn is_place(expr: &Expr) -> bool {
    match expr {
        Expr::Path(_) | Expr::Index(_) => true,
        Expr::Field(field) => is_place(&field.base),
        Expr::Unary(unary) => matches!(unary.op, UnOp::Deref(_)),
        Expr::Paren(inner) => is_place(&inner.expr),
        Expr::Group(inner) => is_place(&inner.expr),
        _ => false,
    }
}

fn mentions(tokens: &TokenStream, name: &str) -> bool {
    tokens.clone().into_iter().any(|tree| match tree {
        TokenTree::Ident(ident) => ident == name,
        TokenTree::Group(group) => mentions(&group.stream(), name),
        TokenTree::Literal(literal) => literal.to_string().contains(name),
        TokenTree::Punct(_) => false,
    })
}

/// Whether code may change a variable that is used as a place at the same time. Rust forbids it for anything borrowed, so only plain assignments and
/// `&mut` of values that are copied are left.
fn assigns(expr: &Expr, name: &str) -> bool {
    struct Search<'a> {
        name: &'a str,
        found: bool,
    }
    impl<'ast> Visit<'ast> for Search<'_> {
        fn visit_expr_assign(&mut self, assign: &'ast syn::ExprAssign) {
            self.found |= mentions(&assign.left.to_token_stream(), self.name);
            visit::visit_expr_assign(self, assign);
        }
        fn visit_expr_binary(&mut self, binary: &'ast syn::ExprBinary) {
            if !matches!(binary.op, BinOp::Eq(_)) && super::expr::is_assignment(&binary.op) {
                self.found |= mentions(&binary.left.to_token_stream(), self.name);
            }
            visit::visit_expr_binary(self, binary);
        }
        fn visit_expr_reference(&mut self, reference: &'ast syn::ExprReference) {
            self.found |= reference.mutability.is_some() && mentions(&reference.expr.to_token_stream(), self.name);
            visit::visit_expr_reference(self, reference);
        }
        fn visit_macro(&mut self, call: &'ast syn::Macro) {
            self.found |= mentions(&call.tokens, self.name);
        }
    }
    let mut search = Search { name, found: false };
    search.visit_expr(expr);
    search.found
}
