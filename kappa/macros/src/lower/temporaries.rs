//! Temporary values that live across a suspension point in Rust, and cannot here.
//!
//! A temporary value lives until the end of its statement, of its `match`, `if let` or loop. What is evaluated before a suspension point in one of
//! those is a statement of its own in the generated code, so its temporary values would go too early. Whether that can be seen depends on their types:
//! each place where there may be such a value is looked for here, and generated code asks its type (`kappa::continuation::held`).

use super::Lower;
use super::operands::{is_constructor, is_place, is_projection};
use crate::names::{borrows, takes_receiver, takes_whole};
use crate::points::KnownMacro;
use proc_macro2::Span;
use quote::{ToTokens, quote_spanned};
use syn::spanned::Spanned;
use syn::visit::Visit;
use syn::{Expr, Pat, UnOp};

/// How a value is used by what is around it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Use {
    /// It is moved.
    Moved,
    /// It is borrowed, or a part of it is taken: what is left is a temporary value.
    Borrowed,
    /// It is the receiver of a method that takes it whole, if the type is one of `std`'s.
    Receiver,
    /// It is the receiver of another method, which may take it or not.
    Either,
}

impl Lower<'_> {
    /// An operand of something that holds a suspension point behind it: what [`Lower::fix`] takes out of it lives as long as it should.
    pub(super) fn check_operand(&mut self, operand: &mut Expr) {
        match operand {
            Expr::Paren(inner) => self.check_operand(&mut inner.expr),
            Expr::Group(inner) => self.check_operand(&mut inner.expr),
            Expr::Reference(reference) => self.check_operand(&mut reference.expr),
            Expr::Range(range) => {
                let ends = [range.start.as_deref_mut(), range.end.as_deref_mut()];
                ends.into_iter().flatten().for_each(|end| self.check_operand(end));
            }
            Expr::Tuple(tuple) => tuple.elems.iter_mut().for_each(|part| self.check_operand(part)),
            Expr::Array(array) => array.elems.iter_mut().for_each(|part| self.check_operand(part)),
            Expr::Call(call) if is_constructor(&call.func) => {
                call.args.iter_mut().for_each(|part| self.check_operand(part));
            }
            Expr::Field(field) => self.check_operand(&mut field.base),
            Expr::Index(index) => {
                self.check_operand(&mut index.expr);
                self.check_operand(&mut index.index);
            }
            Expr::Unary(deref) if matches!(deref.op, UnOp::Deref(_)) => self.check_operand(&mut deref.expr),
            other => self.check_temporaries(other),
        }
    }

    /// A value that is moved to where it is needed. Its own temporary values would live longer.
    pub(super) fn check_temporaries(&mut self, value: &mut Expr) {
        Search::named(self).check(value, Use::Moved);
    }

    /// What a pattern is matched with, with a suspension point before the end of the construct. A value of which a pattern may leave a part gets a name.
    pub(super) fn check_scrutinee<'p>(&mut self, value: &mut Expr, mut patterns: impl Iterator<Item = &'p Pat>) {
        if is_place(value) || is_projection(value) || patterns.all(takes_whole) {
            return Search::asking().check(value, Use::Moved);
        }
        let mut search = Search::asking();
        search.check(value, Use::Moved);
        if !may_own(value) {
            return;
        }
        if search.has_asked {
            // It may borrow a temporary value.
            return ask(value, Use::Borrowed);
        }
        let var = self.temporary(value.clone());
        *value = self.path(var);
    }

    /// What a loop goes over, with a suspension point in its body.
    pub(super) fn check_iterable(&mut self, value: &mut Expr) {
        Search::asking().check(value, Use::Moved);
    }

    /// The value of a `let` behind which there is a suspension point: what it borrows may live to the end of the block.
    pub(super) fn check_let(&mut self, pattern: &Pat, value: &mut Expr) {
        if borrows_inside(pattern) {
            return Search::asking().check(value, Use::Borrowed);
        }
        match value {
            Expr::Reference(reference) if may_own(&reference.expr) => {
                let var = self.temporary((*reference.expr).clone());
                *reference.expr = self.path(var);
            }
            other => check_extended(other),
        }
    }
}

/// Whether a pattern has a `ref`.
fn borrows_inside(pattern: &Pat) -> bool {
    struct Refs(bool);
    impl<'ast> Visit<'ast> for Refs {
        fn visit_pat_ident(&mut self, pattern: &'ast syn::PatIdent) {
            self.0 |= pattern.by_ref.is_some();
            syn::visit::visit_pat_ident(self, pattern);
        }
    }
    let mut search = Refs(false);
    search.visit_pat(pattern);
    search.0
}

/// The borrowed values that live as long as the variable.
fn check_extended(value: &mut Expr) {
    match value {
        Expr::Reference(reference) => Search::asking().check(&mut reference.expr, Use::Borrowed),
        Expr::Paren(inner) => check_extended(&mut inner.expr),
        Expr::Group(inner) => check_extended(&mut inner.expr),
        Expr::Cast(cast) => check_extended(&mut cast.expr),
        Expr::Tuple(tuple) => tuple.elems.iter_mut().for_each(check_extended),
        Expr::Array(array) => array.elems.iter_mut().for_each(check_extended),
        Expr::Struct(literal) => literal
            .fields
            .iter_mut()
            .for_each(|field| check_extended(&mut field.expr)),
        Expr::Call(call) if is_constructor(&call.func) => call.args.iter_mut().for_each(check_extended),
        Expr::Block(block) => {
            if let Some(syn::Stmt::Expr(last, None)) = block.block.stmts.last_mut() {
                check_extended(last);
            }
        }
        _ => {}
    }
}

/// Looks for temporary values in an expression, in the order in which it is evaluated.
struct Search<'l, 'a> {
    /// If what is found may get a name that lives to the end of the statement.
    lower: Option<&'l mut Lower<'a>>,
    /// Nothing that stays in the expression is evaluated before what comes.
    is_first: bool,
    has_asked: bool,
}

impl<'l, 'a> Search<'l, 'a> {
    fn named(lower: &'l mut Lower<'a>) -> Self {
        Search {
            lower: Some(lower),
            is_first: true,
            has_asked: false,
        }
    }

    fn asking() -> Self {
        Search {
            lower: None,
            is_first: true,
            has_asked: false,
        }
    }

    fn check(&mut self, value: &mut Expr, usage: Use) {
        let is_first = self.is_first;
        match value {
            Expr::Paren(inner) if !matches!(*inner.expr, Expr::Block(_)) => return self.check(&mut inner.expr, usage),
            Expr::Group(inner) => return self.check(&mut inner.expr, usage),
            Expr::MethodCall(call) => {
                let method = call.method.to_string();
                let usage = match (takes_receiver(&method), borrows(&method)) {
                    (true, _) => Use::Receiver,
                    (false, true) => Use::Borrowed,
                    (false, false) => Use::Either,
                };
                self.check(&mut call.receiver, usage);
                call.args
                    .iter_mut()
                    .for_each(|argument| self.check(argument, Use::Moved));
            }
            Expr::Call(call) => call
                .args
                .iter_mut()
                .for_each(|argument| self.check(argument, Use::Moved)),
            Expr::Field(field) => self.check(&mut field.base, Use::Borrowed),
            Expr::Index(index) => {
                self.check(&mut index.expr, Use::Borrowed);
                self.check(&mut index.index, Use::Moved);
            }
            Expr::Reference(reference) => self.check(&mut reference.expr, Use::Borrowed),
            Expr::Unary(unary) => {
                let is_deref = matches!(unary.op, UnOp::Deref(_));
                self.check(&mut unary.expr, if is_deref { Use::Borrowed } else { Use::Moved });
            }
            Expr::Binary(binary) => {
                use syn::BinOp;
                let (left, right) = match binary.op {
                    // What is evaluated for either side goes with it.
                    BinOp::And(_) | BinOp::Or(_) => return,
                    BinOp::Eq(_) | BinOp::Ne(_) | BinOp::Lt(_) | BinOp::Le(_) | BinOp::Gt(_) | BinOp::Ge(_) => {
                        (Use::Borrowed, Use::Borrowed)
                    }
                    op if crate::points::is_assignment(&op) => (Use::Borrowed, Use::Moved),
                    _ => (Use::Moved, Use::Moved),
                };
                self.check(&mut binary.left, left);
                self.check(&mut binary.right, right);
            }
            Expr::Assign(assign) => self.check(&mut assign.right, Use::Moved),
            Expr::Cast(cast) => self.check(&mut cast.expr, Use::Moved),
            Expr::Try(inner) => self.check(&mut inner.expr, Use::Moved),
            Expr::Await(awaited) => self.check(&mut awaited.base, Use::Moved),
            Expr::Tuple(tuple) => tuple.elems.iter_mut().for_each(|part| self.check(part, Use::Moved)),
            Expr::Array(array) => array.elems.iter_mut().for_each(|part| self.check(part, Use::Moved)),
            Expr::Repeat(repeat) => self.check(&mut repeat.expr, Use::Moved),
            Expr::Range(range) => {
                let ends = [range.start.as_deref_mut(), range.end.as_deref_mut()];
                ends.into_iter().flatten().for_each(|end| self.check(end, Use::Moved));
            }
            Expr::Struct(literal) => {
                literal
                    .fields
                    .iter_mut()
                    .for_each(|field| self.check(&mut field.expr, Use::Moved));
                if let Some(rest) = literal.rest.as_deref_mut() {
                    self.check(rest, Use::Borrowed);
                }
            }
            Expr::Match(choice) => {
                let is_taken = is_place(&choice.expr)
                    || is_projection(&choice.expr)
                    || choice.arms.iter().all(|arm| takes_whole(&arm.pat));
                self.check(&mut choice.expr, if is_taken { Use::Moved } else { Use::Borrowed });
            }
            Expr::Macro(call) => {
                let name = call.mac.path.segments.last().map(|last| last.ident.to_string());
                let usage = match name.as_deref() {
                    Some("vec" | "dbg") => Use::Moved,
                    Some("write" | "writeln" | "format_args") => Use::Borrowed,
                    // Their values go with them.
                    _ => Use::Either,
                };
                if usage != Use::Either
                    && let Some(mut known) = KnownMacro::parse(&call.mac)
                {
                    for value in &mut known.values {
                        match value {
                            Expr::Assign(named) => self.check(&mut named.right, usage),
                            value => self.check(value, usage),
                        }
                    }
                    call.mac.tokens = known.tokens(&known.values);
                }
            }
            _ => {}
        }
        if usage != Use::Moved && may_own(value) {
            match &mut self.lower {
                // What comes before it in the statement has been evaluated.
                Some(lower) if usage == Use::Borrowed && is_first && lower.hoisted.is_some() => {
                    let var = lower.temporary(value.clone());
                    *value = lower.path(var);
                    lower.hoisted.get_or_insert_default().push(var);
                    self.is_first = true;
                    return;
                }
                _ => {
                    ask(value, usage);
                    self.has_asked = true;
                }
            }
        }
        self.is_first &= !may_own(value);
    }
}

/// Whether an expression that is not a place may give a value with a destructor.
fn may_own(value: &Expr) -> bool {
    match value {
        Expr::Paren(inner) => may_own(&inner.expr),
        Expr::Group(inner) => may_own(&inner.expr),
        Expr::Array(array) => array.elems.iter().any(|part| !matches!(part, Expr::Lit(_))),
        Expr::Tuple(tuple) => tuple.elems.iter().any(|part| !matches!(part, Expr::Lit(_))),
        Expr::Binary(binary) => !matches!((&*binary.left, &*binary.right), (_, Expr::Lit(_)) | (Expr::Lit(_), _)),
        Expr::Await(_)
        | Expr::Block(_)
        | Expr::Call(_)
        | Expr::If(_)
        | Expr::Macro(_)
        | Expr::Match(_)
        | Expr::MethodCall(_)
        | Expr::Repeat(_)
        | Expr::Struct(_)
        | Expr::Try(_) => true,
        _ => false,
    }
}

/// Puts a question about its type around a value.
fn ask(value: &mut Expr, usage: Use) {
    let span = value.span().resolved_at(Span::mixed_site());
    let (probe, method) = match usage {
        Use::Receiver => (quote_spanned!(span=> held::Receiver), quote_spanned!(span=> moved)),
        Use::Moved | Use::Borrowed | Use::Either => (quote_spanned!(span=> held::Probe), quote_spanned!(span=> kind)),
    };
    let inner = value.to_token_stream();
    let asked = quote_spanned! {span=>
        match (#inner) {
            __asked => {
                if false {
                    let __probe = ::kappa::__private::#probe::of(&__asked);
                    (&&&&&&&&__probe).#method().temporary(&__probe, const { ::kappa::__private::held::Fleeting::new() });
                }
                __asked
            }
        }
    };
    if let Ok(asked) = syn::parse2::<Expr>(quote_spanned!(span=> (#asked))) {
        *value = asked;
    }
}
