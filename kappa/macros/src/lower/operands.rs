//! Operands in Rust's order: those before the last suspension point are evaluated before it.

use super::Lower;
use crate::names::is_temporary;
use crate::points::{KnownMacro, must_split};
use proc_macro2::{Delimiter, Ident, Span, TokenStream, TokenTree};
use quote::{ToTokens, quote, quote_spanned};
use syn::spanned::Spanned;
use syn::visit::{self, Visit};
use syn::{Expr, UnOp};

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
        let Some(last) = operands
            .iter()
            .rposition(|(operand, _)| must_split(operand, self.rules))
        else {
            return;
        };
        for at in 0..=last {
            let later: Vec<Expr> = operands[at + 1..=last]
                .iter()
                .map(|(operand, _)| (**operand).clone())
                .collect();
            let (operand, mode) = &mut operands[at];
            let mut value = self.value((**operand).clone());
            **operand = if at == last {
                value
            } else {
                self.check_operand(&mut value);
                self.fix(value, *mode, &later)
            };
        }
    }

    /// Makes the value of an operand independent of what the later ones do.
    fn fix(&mut self, operand: Expr, mode: Mode, later: &[Expr]) -> Expr {
        match operand {
            Expr::Lit(_) => operand,
            Expr::Paren(inner) if is_once(&inner.expr) => Expr::Paren(inner),
            Expr::Closure(closure) if !copies_what_changes(&closure, later) => Expr::Closure(closure),
            Expr::Paren(inner) => self.fix(*inner.expr, mode, later),
            Expr::Group(inner) => self.fix(*inner.expr, mode, later),
            Expr::Reference(mut reference) => {
                reference.expr = Box::new(if is_place(&reference.expr) || is_projection(&reference.expr) {
                    self.fix_place(*reference.expr, later)
                } else {
                    self.fix(*reference.expr, Mode::Value, later)
                });
                Expr::Reference(reference)
            }
            // Making one of these does nothing but hold its parts, which may be references.
            Expr::Range(mut range) => {
                range.start = range.start.map(|end| Box::new(self.fix(*end, Mode::Value, later)));
                range.end = range.end.map(|end| Box::new(self.fix(*end, Mode::Value, later)));
                Expr::Range(range)
            }
            Expr::Tuple(mut tuple) => {
                let parts = std::mem::take(&mut tuple.elems).into_iter();
                tuple.elems = parts.map(|part| self.fix(part, Mode::Value, later)).collect();
                Expr::Tuple(tuple)
            }
            Expr::Array(mut array) => {
                let parts = std::mem::take(&mut array.elems).into_iter();
                array.elems = parts.map(|part| self.fix(part, Mode::Value, later)).collect();
                Expr::Array(array)
            }
            Expr::Call(mut call) if is_constructor(&call.func) => {
                let parts = std::mem::take(&mut call.args).into_iter();
                call.args = parts.map(|part| self.fix(part, Mode::Value, later)).collect();
                Expr::Call(call)
            }
            place if is_place(&place) || (mode == Mode::Borrow && is_projection(&place)) => {
                let changed = match self.root(&place) {
                    Root::Fixed => return place,
                    Root::Variable(name) => match mode {
                        Mode::Value => later.iter().any(|expr| mentions(&expr.to_token_stream(), &name)),
                        Mode::Borrow => later.iter().any(|expr| assigns(expr, &name)),
                    },
                    Root::Computed => mode == Mode::Value,
                };
                let is_copy = mode == Mode::Value && matches!(place, Expr::Index(_) | Expr::Unary(_));
                if mode == Mode::Borrow {
                    self.fix_borrowed(place, changed, later)
                } else if changed || is_copy {
                    let var = self.temporary(place);
                    self.once(var)
                } else {
                    self.fix_place(place, later)
                }
            }
            value => {
                let var = self.temporary(value);
                self.once(var)
            }
        }
    }

    /// A place that is compared, or whose method is called. If it is of a type that is `Copy`, Rust may copy it before the later operands are evaluated;
    /// if it is borrowed, they cannot change it. By its type, generated code decides: `kappa::__private::Operand`.
    fn fix_borrowed(&mut self, place: Expr, changed: bool, later: &[Expr]) -> Expr {
        let is_mutable = match self.root(&place) {
            Root::Variable(name) => self
                .names
                .lookup(&name)
                .is_some_and(|var| self.names.bindings[var].mutable),
            Root::Fixed | Root::Computed => false,
        };
        let has_index = has_index(&place);
        let place = self.fix_place(place, later);
        let span = place.span().resolved_at(Span::call_site());
        if changed {
            let copied = quote_spanned!(span=> (&::kappa::__private::Operand(&#place)).copied());
            let var = self.temporary(syn::Expr::Verbatim(copied.clone()));
            // `Verbatim` is not looked into.
            let found = self.names.resolve_expr(&place);
            if let Some(atom) = self.blocks[self.current].atoms.last_mut() {
                atom.found.uses.extend(found.uses);
                atom.found.mentions.extend(found.mentions);
            }
            let copy = self.path(var);
            let reference = is_mutable.then(|| quote!(mut));
            let method = Ident::new(if is_mutable { "of_mut" } else { "of" }, span);
            return syn::parse2(quote_spanned!(span=> (*#copy.#method(&#reference #place)))).unwrap_or(place);
        }
        if has_index {
            // An index that is out of bounds panics before the later operands are evaluated.
            let found = self.names.resolve_expr(&place);
            self.emit(quote_spanned!(span=> _ = &#place;), found);
        }
        place
    }

    /// Takes the left side of an assignment or the scrutinee of a `match` as a place that can be evaluated more than once.
    pub(super) fn settle(&mut self, place: Expr, later: &[Expr]) -> Expr {
        self.repeated = true;
        let settled = self.fix_base_or(place, later);
        self.repeated = false;
        settled
    }

    fn fix_base_or(&mut self, place: Expr, later: &[Expr]) -> Expr {
        if is_place(&place) || is_projection(&place) {
            self.fix_place(place, later)
        } else {
            let var = self.temporary(place);
            self.path(var)
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
        if is_place(&base) || is_projection(&base) {
            self.fix_place(base, later)
        } else {
            self.fix(base, Mode::Value, later)
        }
    }

    /// What a place is or belongs to.
    fn root(&self, place: &Expr) -> Root {
        match place {
            Expr::Path(path) => match path.path.get_ident().map(ToString::to_string) {
                Some(name) if self.names.lookup(&name).is_some() => Root::Variable(name),
                _ => Root::Fixed,
            },
            Expr::Field(field) => self.root(&field.base),
            Expr::Index(index) => self.root(&index.expr).computed(),
            Expr::Unary(deref) => self.root(&deref.expr).computed(),
            Expr::Paren(inner) => self.root(&inner.expr),
            Expr::Group(inner) => self.root(&inner.expr),
            _ => Root::Computed,
        }
    }
}

enum Root {
    /// A constant or a function.
    Fixed,
    Variable(String),
    /// What an expression gives.
    Computed,
}

impl Root {
    /// Of a place inside, that something must be evaluated for.
    fn computed(self) -> Root {
        match self {
            Root::Fixed => Root::Computed,
            other => other,
        }
    }
}

/// Whether the left side of a compound assignment is the same place before and after its right side has been evaluated.
pub(super) fn is_settled(place: &Expr, right: &Expr) -> bool {
    match place {
        Expr::Path(_) => true,
        Expr::Field(field) => is_settled(&field.base, right),
        Expr::Unary(deref) if matches!(deref.op, UnOp::Deref(_)) => is_settled(&deref.expr, right),
        Expr::Index(index) => is_settled(&index.expr, right) && is_constant(&index.index, right),
        Expr::Paren(inner) => is_settled(&inner.expr, right),
        Expr::Group(inner) => is_settled(&inner.expr, right),
        _ => false,
    }
}

/// Whether an index is the same before and after something else has been evaluated.
fn is_constant(index: &Expr, other: &Expr) -> bool {
    match index {
        Expr::Lit(_) => true,
        Expr::Path(path) => match path.path.get_ident() {
            Some(name) => !assigns(other, &name.to_string()),
            None => true,
        },
        Expr::Field(field) => is_constant(&field.base, other),
        Expr::Cast(cast) => is_constant(&cast.expr, other),
        Expr::Reference(reference) => is_constant(&reference.expr, other),
        Expr::Binary(binary) => is_constant(&binary.left, other) && is_constant(&binary.right, other),
        Expr::Paren(inner) => is_constant(&inner.expr, other),
        Expr::Group(inner) => is_constant(&inner.expr, other),
        _ => false,
    }
}

/// Whether this is a temporary of the compiler where it is used: its value is there already.
fn is_once(expr: &Expr) -> bool {
    let Expr::Block(block) = expr else { return false };
    let [syn::Stmt::Expr(Expr::Path(path), None)] = block.block.stmts.as_slice() else {
        return false;
    };
    path.path.get_ident().is_some_and(is_temporary)
}

/// Whether a call is that of a tuple struct or variant, which does nothing but hold its arguments.
pub(super) fn is_constructor(function: &Expr) -> bool {
    let Expr::Path(path) = function else { return false };
    let last = path.path.segments.last();
    // `NOTE` may be a constant that is a function.
    let is_type = |name: &str| name.starts_with(char::is_uppercase) && name.contains(char::is_lowercase);
    last.is_some_and(|segment| is_type(&segment.ident.to_string()))
}

fn has_index(place: &Expr) -> bool {
    match place {
        Expr::Index(_) => true,
        Expr::Field(field) => has_index(&field.base),
        Expr::Unary(unary) => has_index(&unary.expr),
        Expr::Paren(inner) => has_index(&inner.expr),
        Expr::Group(inner) => has_index(&inner.expr),
        _ => false,
    }
}

/// Whether a closure copies a variable that is changed before the closure is used.
fn copies_what_changes(closure: &syn::ExprClosure, later: &[Expr]) -> bool {
    fn any(tokens: TokenStream, later: &[Expr]) -> bool {
        tokens.into_iter().any(|tree| match tree {
            TokenTree::Ident(ident) => later.iter().any(|expr| assigns(expr, &ident.to_string())),
            TokenTree::Group(group) => any(group.stream(), later),
            _ => false,
        })
    }
    closure.capture.is_some() && any(closure.body.to_token_stream(), later)
}

/// Whether this is a part of something, or behind a reference.
pub(super) fn is_projection(expr: &Expr) -> bool {
    match expr {
        Expr::Field(_) | Expr::Index(_) => true,
        Expr::Unary(unary) => matches!(unary.op, UnOp::Deref(_)),
        Expr::Paren(inner) => is_projection(&inner.expr),
        Expr::Group(inner) => is_projection(&inner.expr),
        _ => false,
    }
}

pub(super) fn is_place(expr: &Expr) -> bool {
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

/// Whether code may change a variable that is used as a place at the same time: by an assignment, through `&mut`, or by a method, of which nobody
/// knows here whether it takes `&mut self`.
fn assigns(expr: &Expr, name: &str) -> bool {
    struct Search<'a> {
        name: &'a str,
        found: bool,
    }
    impl Search<'_> {
        fn changed(&mut self, place: &Expr) {
            self.found |= match place {
                Expr::Path(path) => path.path.is_ident(self.name),
                Expr::Field(field) => return self.changed(&field.base),
                Expr::Index(index) => return self.changed(&index.expr),
                Expr::Unary(deref) => return self.changed(&deref.expr),
                Expr::Paren(inner) => return self.changed(&inner.expr),
                Expr::Group(inner) => return self.changed(&inner.expr),
                // Several at once: `(a, b) = ..`.
                other => mentions(&other.to_token_stream(), self.name),
            };
        }
    }
    impl Search<'_> {
        /// The receiver of a method.
        fn called(&mut self, receiver: &Expr) {
            match receiver {
                Expr::Path(path) => self.found |= path.path.is_ident(self.name),
                Expr::Field(field) => self.called(&field.base),
                Expr::Index(index) => self.called(&index.expr),
                Expr::Unary(deref) => self.called(&deref.expr),
                Expr::Paren(inner) => self.called(&inner.expr),
                Expr::Group(inner) => self.called(&inner.expr),
                // Others are visited on their own.
                _ => {}
            }
        }
    }
    impl<'ast> Visit<'ast> for Search<'_> {
        fn visit_expr_assign(&mut self, assign: &'ast syn::ExprAssign) {
            self.changed(&assign.left);
            visit::visit_expr_assign(self, assign);
        }
        fn visit_expr_binary(&mut self, binary: &'ast syn::ExprBinary) {
            if crate::points::is_assignment(&binary.op) {
                self.changed(&binary.left);
            }
            visit::visit_expr_binary(self, binary);
        }
        fn visit_expr_reference(&mut self, reference: &'ast syn::ExprReference) {
            if reference.mutability.is_some() {
                self.changed(&reference.expr);
            }
            visit::visit_expr_reference(self, reference);
        }
        fn visit_expr_method_call(&mut self, call: &'ast syn::ExprMethodCall) {
            self.called(&call.receiver);
            visit::visit_expr_method_call(self, call);
        }
        fn visit_macro(&mut self, call: &'ast syn::Macro) {
            match KnownMacro::parse(call) {
                Some(known) => known.values.iter().for_each(|value| match value {
                    // `name = value` in a format macro.
                    Expr::Assign(named) => self.visit_expr(&named.right),
                    value => self.visit_expr(value),
                }),
                None => self.found |= assigned_in_tokens(&call.tokens, self.name),
            }
        }
    }
    let mut search = Search { name, found: false };
    search.visit_expr(expr);
    search.found
}

/// Whether tokens that cannot be parsed seem to hold `name = ..`, `name.field += ..`, `&mut name` or `name.method()`.
fn assigned_in_tokens(tokens: &TokenStream, name: &str) -> bool {
    let trees: Vec<TokenTree> = tokens.clone().into_iter().collect();
    let punct = |at: usize| match trees.get(at) {
        Some(TokenTree::Punct(punct)) => Some(punct.as_char()),
        _ => None,
    };
    trees.iter().enumerate().any(|(at, tree)| match tree {
        TokenTree::Group(group) => assigned_in_tokens(&group.stream(), name),
        TokenTree::Ident(ident) if ident == name => {
            let is_mut = |tree: &TokenTree| matches!(tree, TokenTree::Ident(ident) if ident == "mut");
            if at > 0 && is_mut(&trees[at - 1]) {
                return true;
            }
            let mut next = at + 1;
            loop {
                match trees.get(next) {
                    Some(TokenTree::Punct(dot)) if dot.as_char() == '.' => next += 2,
                    // A method.
                    Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Parenthesis && next > at + 1 => {
                        return true;
                    }
                    Some(TokenTree::Group(_)) => next += 1,
                    _ => break,
                }
            }
            let operator = (next..).map_while(punct).collect::<String>();
            let operator = operator.split_at_checked(operator.find('=').map_or(0, |at| at + 1));
            match operator {
                Some((head, tail)) => match head {
                    "=" => !tail.starts_with(['=', '>']),
                    "" | "<=" | ">=" | "!=" => false,
                    _ => true,
                },
                None => false,
            }
        }
        _ => false,
    })
}
