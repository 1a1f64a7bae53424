//! Expressions around a suspension point.

use super::operands::{Mode, is_settled};
use super::{Dest, Lower};
use crate::graph::End;
use crate::names::Found;
use crate::points::{KnownMacro, MacroUse, chain_arguments, is_assignment, must_split, operation};
use proc_macro2::Span;
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{BinOp, Expr, ExprAwait, ExprBinary, Type};

impl Lower<'_> {
    /// Evaluates an expression into `dest`.
    pub(super) fn into(&mut self, expr: Expr, dest: Dest) {
        if !must_split(&expr, self.rules) {
            self.emit_value(expr, dest);
            return;
        }
        let is_control = match &expr {
            Expr::If(_) | Expr::Match(_) | Expr::Loop(_) | Expr::While(_) | Expr::ForLoop(_) | Expr::Block(_) => true,
            Expr::Binary(binary) => matches!(binary.op, BinOp::And(_) | BinOp::Or(_)),
            _ => false,
        };
        // The temporary values inside do not live to the end of the statement.
        let hoisted = if is_control { self.hoisted.take() } else { None };
        self.split_into(expr, dest);
        if is_control {
            self.hoisted = hoisted;
        }
    }

    fn split_into(&mut self, expr: Expr, dest: Dest) {
        match expr {
            Expr::Paren(inner) => self.into(*inner.expr, dest),
            Expr::Group(inner) => self.into(*inner.expr, dest),
            Expr::If(branch) => self.if_into(branch, dest),
            Expr::Match(choice) => self.match_into(choice, dest),
            Expr::Loop(expr) => self.loop_into(expr, dest),
            Expr::While(expr) => self.while_into(expr, dest),
            Expr::ForLoop(expr) => self.for_into(expr, dest),
            Expr::Block(block) => self.scope_into(block.label.as_ref(), block.block, dest),
            Expr::Break(jump) => self.break_out(jump),
            Expr::Continue(jump) => self.go_on(&jump),
            Expr::Return(jump) => match jump.expr {
                Some(value) => self.into(*value, Dest::Return),
                None => self.emit_value(syn::parse_quote!(return), Dest::Discard),
            },
            Expr::Binary(binary) if matches!(binary.op, BinOp::And(_) | BinOp::Or(_)) => self.lazy_into(binary, dest),
            other => {
                let value = self.value(other);
                self.emit_value(value, dest);
            }
        }
    }

    /// `&&` and `||`: the right side only if the left side does not decide.
    fn lazy_into(&mut self, binary: ExprBinary, dest: Dest) {
        let (yes, no) = (self.block(None), self.block(None));
        let after = self.block(Some(self.current));
        self.condition(Expr::Binary(binary), yes, no, false);
        self.start(yes);
        self.emit_value(syn::parse_quote!(true), dest);
        self.jump(after);
        self.start(no);
        self.emit_value(syn::parse_quote!(false), dest);
        self.jump(after);
        self.start(after);
    }

    /// Evaluates everything up to and including the last suspension point; what is given back gives the value when it is evaluated here.
    pub(super) fn value(&mut self, expr: Expr) -> Expr {
        self.value_of_type(expr, None)
    }

    pub(super) fn value_of_type(&mut self, mut expr: Expr, ty: Option<&Type>) -> Expr {
        if !must_split(&expr, self.rules) {
            return expr;
        }
        match &mut expr {
            Expr::Paren(inner) => *inner.expr = self.value_of_type((*inner.expr).clone(), ty),
            Expr::Group(inner) => *inner.expr = self.value_of_type((*inner.expr).clone(), ty),
            Expr::Await(awaited) => match operation(awaited, self.cx).cloned() {
                Some(name) => return self.suspend(awaited.clone(), &name),
                None => self.operands(vec![(&mut awaited.base, Mode::Value)]),
            },
            Expr::Try(inner) => self.operands(vec![(&mut inner.expr, Mode::Value)]),
            Expr::Unary(inner) => self.operands(vec![(&mut inner.expr, Mode::Value)]),
            Expr::Cast(inner) => self.operands(vec![(&mut inner.expr, Mode::Value)]),
            Expr::Field(inner) => self.operands(vec![(&mut inner.base, Mode::Borrow)]),
            Expr::Reference(inner) => {
                self.operands(vec![(&mut inner.expr, Mode::Borrow)]);
            }
            Expr::Binary(binary) => match binary.op {
                BinOp::And(_) | BinOp::Or(_) => return self.control_value(expr, ty),
                BinOp::Eq(_) | BinOp::Ne(_) | BinOp::Lt(_) | BinOp::Le(_) | BinOp::Gt(_) | BinOp::Ge(_) => {
                    self.operands(vec![
                        (&mut binary.left, Mode::Borrow),
                        (&mut binary.right, Mode::Borrow),
                    ]);
                }
                _ if is_assignment(&binary.op) => {
                    // For the primitive types, the right side comes first. For all others the left side does, which matters only if it is computed.
                    let is_settled = matches!(&*binary.right, Expr::Lit(_)) || is_settled(&binary.left, &binary.right);
                    self.operands(vec![(&mut binary.right, Mode::Value), (&mut binary.left, Mode::Borrow)]);
                    if !is_settled {
                        let (left, op, right) = (&binary.left, &binary.op, &binary.right);
                        let span = left.span().resolved_at(Span::call_site());
                        let place = quote_spanned!(span=> ::kappa::__private::in_place(&mut #left, &__right));
                        return syn::parse_quote!({
                            let __right = #right;
                            let __left = #place;
                            *__left #op __right;
                        });
                    }
                }
                _ => self.operands(vec![(&mut binary.left, Mode::Value), (&mut binary.right, Mode::Value)]),
            },
            Expr::Assign(assign) => {
                self.operands(vec![(&mut assign.right, Mode::Value), (&mut assign.left, Mode::Borrow)]);
            }
            Expr::Call(call) => {
                let function = std::iter::once((&mut *call.func, Mode::Value));
                let operands = function
                    .chain(call.args.iter_mut().map(|argument| (argument, Mode::Value)))
                    .collect();
                self.operands(operands);
            }
            Expr::MethodCall(call) => {
                let receiver = std::iter::once((&mut *call.receiver, Mode::Borrow));
                let operands = receiver
                    .chain(call.args.iter_mut().map(|argument| (argument, Mode::Value)))
                    .collect();
                self.operands(operands);
            }
            Expr::Index(index) => {
                self.operands(vec![(&mut index.expr, Mode::Borrow), (&mut index.index, Mode::Value)]);
            }
            Expr::Range(range) => {
                let ends = [range.start.as_deref_mut(), range.end.as_deref_mut()];
                self.operands(ends.into_iter().flatten().map(|end| (end, Mode::Value)).collect());
            }
            Expr::Tuple(tuple) => self.operands(tuple.elems.iter_mut().map(|element| (element, Mode::Value)).collect()),
            Expr::Array(array) => self.operands(array.elems.iter_mut().map(|element| (element, Mode::Value)).collect()),
            Expr::Repeat(repeat) => self.operands(vec![(&mut repeat.expr, Mode::Value)]),
            Expr::Struct(literal) => {
                for field in &mut literal.fields {
                    field.colon_token.get_or_insert_with(Default::default);
                }
                let fields = literal.fields.iter_mut().map(|field| (&mut field.expr, Mode::Value));
                let operands = fields
                    .chain(literal.rest.as_deref_mut().map(|rest| (rest, Mode::Value)))
                    .collect();
                self.operands(operands);
            }
            Expr::Macro(call) => {
                if let Some(mut known) = KnownMacro::parse(&call.mac) {
                    let late = known
                        .values
                        .iter()
                        .skip(known.eager)
                        .find(|value| must_split(value, self.rules));
                    if let Some(late) = late {
                        let span = late.span();
                        self.error(
                            span,
                            "this is evaluated only if the assertion fails, so it cannot hold a suspension point; put the result into a \
                             variable before",
                        );
                        return expr;
                    }
                    let mode = match known.mode {
                        MacroUse::Borrow => Mode::Borrow,
                        MacroUse::Move => Mode::Value,
                    };
                    let operands = known.values.iter_mut().map(|value| match value {
                        Expr::Assign(named) => (&mut *named.right, mode),
                        value => (value, mode),
                    });
                    self.operands(operands.collect());
                    call.mac.tokens = known.tokens(&known.values);
                }
            }
            Expr::If(_)
            | Expr::Match(_)
            | Expr::Loop(_)
            | Expr::While(_)
            | Expr::ForLoop(_)
            | Expr::Block(_)
            | Expr::Break(_)
            | Expr::Continue(_)
            | Expr::Return(_) => return self.control_value(expr, ty),
            _ => {
                self.error(
                    expr.span(),
                    "a suspension point is not supported inside this expression; put its result into a variable first",
                );
            }
        }
        expr
    }

    fn control_value(&mut self, expr: Expr, ty: Option<&Type>) -> Expr {
        let var = self.deferred(&expr, ty);
        self.into(expr, Dest::Temporary(var));
        self.once(var)
    }

    /// `cx.<operation>(..).await`
    fn suspend(&mut self, mut awaited: ExprAwait, name: &proc_macro2::Ident) -> Expr {
        if name == "checkpoint_if_due" {
            self.if_due(awaited, false);
            return syn::parse_quote!(());
        }
        let arguments = chain_arguments(&mut awaited.base);
        self.operands(arguments.into_iter().map(|argument| (argument, Mode::Value)).collect());
        for argument in chain_arguments(&mut awaited.base) {
            self.check_temporaries(argument);
        }
        self.point(awaited, false)
    }

    /// The suspension point that `auto` puts at a loop's back edge.
    pub(super) fn due_point(&mut self) {
        let cx = self.cx;
        self.if_due(syn::parse_quote!(#cx.checkpoint_if_due().await), true);
    }

    /// The suspension point, if it is due.
    fn if_due(&mut self, awaited: ExprAwait, auto: bool) {
        let cx = self.cx;
        let (due, after) = (self.block(None), self.block(Some(self.current)));
        self.end(End::Branch {
            condition: quote!(#cx.is_checkpoint_due()),
            found: Found::default(),
            binds: Vec::new(),
            effect: None,
            then: due,
            other: after,
        });
        self.start(due);
        self.point(awaited, auto);
        self.jump(after);
        self.start(after);
    }

    fn point(&mut self, awaited: ExprAwait, auto: bool) -> Expr {
        let span = awaited.span();
        let operation = *awaited.base;
        let found = self.names.resolve_expr(&operation);
        let (point, next) = (self.block(None), self.block(None));
        self.end(End::Suspend {
            operation: quote!(#operation),
            found,
            point,
        });
        self.start(point);
        self.points.push(point);
        let result = self.names.temporary(span);
        self.end(End::Point { result, next, auto });
        self.start(next);
        self.once(result)
    }
}
