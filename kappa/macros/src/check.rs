//! What is refused, at the place where it is written, with the way out.

mod operations;
mod types;

use crate::points::{KnownMacro, jump_in_tokens, operation, point_in_tokens};
use crate::task::{Parameter, plain_parameter, plain_type};
use proc_macro2::{Ident, Span};
use syn::spanned::Spanned;
use syn::visit::{self, Visit};
use syn::{Attribute, Block, Error, Expr, FnArg, Local, Macro, Pat, PatIdent, Result, Signature, Type};

/// Checks the signature; gives the name and type of the context and the other parameters.
pub(crate) fn signature(sig: &Signature) -> Result<(Ident, Type, Vec<Parameter>)> {
    if sig.asyncness.is_none() {
        return Err(Error::new(
            sig.fn_token.span(),
            "a task is an `async fn`: write `async fn`",
        ));
    }
    if let Some(syn::GenericParam::Lifetime(lifetime)) = sig.generics.params.first() {
        return Err(Error::new_spanned(
            lifetime,
            "a task cannot be generic, and needs no lifetime: its arguments are owned, and its context is `cx: &mut Context`",
        ));
    }
    if let Some(parameter) = sig.generics.params.first() {
        return Err(Error::new_spanned(
            parameter,
            "a task cannot be generic: any process must be able to start it by its name; write one task for each type, or a generic function that a \
             task calls",
        ));
    }
    if let Some(clause) = &sig.generics.where_clause {
        return Err(Error::new_spanned(
            clause,
            "a task cannot be generic: it has no `where` clause",
        ));
    }
    if let Some(token) = &sig.unsafety {
        return Err(Error::new(
            token.span(),
            "a task cannot be `unsafe`: nobody calls it directly",
        ));
    }
    if let Some(abi) = &sig.abi {
        return Err(Error::new_spanned(abi, "a task has no ABI: remove `extern`"));
    }
    let mut inputs = sig.inputs.iter();
    let context = match inputs.next() {
        Some(FnArg::Receiver(receiver)) => {
            return Err(Error::new_spanned(
                receiver,
                "a task is a function, not a method: it has no `self`; pass the value as an argument after `cx: &mut Context`",
            ));
        }
        Some(FnArg::Typed(typed)) => context_name(&typed.pat, &typed.ty).map(|name| (name, (*typed.ty).clone())),
        None => None,
    };
    let Some((cx, context)) = context else {
        const MESSAGE: &str = "the first parameter of a task is its context: write `cx: &mut Context` here";
        return Err(match sig.inputs.first() {
            Some(first) => Error::new_spanned(first, MESSAGE),
            None => Error::new(sig.paren_token.span.join(), MESSAGE),
        });
    };
    let mut parameters = Vec::new();
    for argument in inputs {
        let parameter = plain_parameter(argument)?;
        if let FnArg::Typed(typed) = argument
            && let Some(attribute) = typed.attrs.iter().find(|attribute| attribute.path().is_ident("cfg"))
        {
            return Err(Error::new_spanned(
                attribute,
                "a parameter of a task cannot be conditional: put `#[cfg]` on two tasks that differ in it",
            ));
        }
        types::parameter(&parameter.ty)?;
        parameters.push(parameter);
    }
    if parameters.len() > 12 {
        return Err(Error::new(
            sig.inputs.span(),
            "a task has at most 12 parameters: put some of them into a struct",
        ));
    }
    types::result(&sig.output)?;
    Ok((cx, context, parameters))
}

fn context_name(pattern: &Pat, ty: &Type) -> Option<Ident> {
    let (Pat::Ident(pattern), Type::Reference(reference)) = (pattern, plain_type(ty)) else {
        return None;
    };
    let Type::Path(path) = plain_type(&reference.elem) else {
        return None;
    };
    let is_context = path
        .path
        .segments
        .last()
        .is_some_and(|segment| segment.ident == "Context");
    (is_context && reference.mutability.is_some() && pattern.by_ref.is_none()).then(|| pattern.ident.clone())
}

/// Checks the attributes below `#[kappa::task]`: they go to the function that makes calls.
pub(crate) fn attributes(attributes: &[Attribute]) -> Result<()> {
    for attribute in attributes {
        let Some(name) = attribute.path().segments.last().map(|segment| &segment.ident) else {
            continue;
        };
        if name == "task" {
            return Err(Error::new_spanned(
                attribute,
                "this is a task already: write `#[kappa::task]` once",
            ));
        }
        if name == "instrument" {
            return Err(Error::new_spanned(
                attribute,
                format!(
                    "`#[{name}]` would see the function that describes a call, not the body of the task, which runs in pieces: enter a span between two \
                     suspension points"
                ),
            ));
        }
    }
    Ok(())
}

/// Checks the body for suspension points where the task could not be resumed.
pub(crate) fn body(block: &Block, cx: &Ident) -> Result<()> {
    let mut checker = Checker {
        cx,
        inside: None,
        names: Vec::new(),
        errors: Vec::new(),
    };
    checker.visit_block(block);
    match checker.errors.into_iter().reduce(|mut all, error| {
        all.combine(error);
        all
    }) {
        Some(error) => Err(error),
        None => Ok(()),
    }
}

struct Checker<'a> {
    cx: &'a Ident,
    /// The closure or `async` block that is being visited.
    inside: Option<&'static str>,
    /// Other variables that are the context.
    names: Vec<Ident>,
    errors: Vec<Error>,
}

impl Checker<'_> {
    fn error(&mut self, span: Span, message: String) {
        self.errors.push(Error::new(span, message));
    }

    /// The operation that a chain of method calls of the context begins with.
    fn operation_of<'e>(&self, expr: &'e Expr) -> Option<&'e Ident> {
        operations::operation_of(expr, &|expr| operations::is_variable(expr, self.cx))
    }

    /// Visits an operation that is awaited, or of which an error says enough: what it is given.
    fn visit_operation(&mut self, expr: &Expr) {
        match expr {
            Expr::MethodCall(call) => {
                self.visit_operation(&call.receiver);
                call.args.iter().for_each(|argument| self.visit_expr(argument));
            }
            Expr::Paren(inner) => self.visit_operation(&inner.expr),
            Expr::Group(inner) => self.visit_operation(&inner.expr),
            other => self.visit_expr(other),
        }
    }

    fn within(&mut self, what: &'static str, visit: impl FnOnce(&mut Self)) {
        let before = self.inside.replace(what);
        visit(self);
        self.inside = before;
    }
}

impl<'ast> Visit<'ast> for Checker<'_> {
    fn visit_expr_await(&mut self, awaited: &'ast syn::ExprAwait) {
        if let (Some(what), Some(_)) = (self.inside, operation(awaited, self.cx)) {
            self.errors.push(Error::new_spanned(
                awaited,
                format!(
                    "a suspension point in {what}: the task could not be resumed here; write a loop in the body of the task instead, or move the \
                     code into a task of its own and `cx.call` it"
                ),
            ));
            return;
        }
        if operation(awaited, self.cx).is_some() {
            return self.visit_operation(&awaited.base);
        }
        let is_other_name = |expr: &Expr| self.names.iter().any(|name| operations::is_variable(expr, name));
        let hidden = operations::operation_of(&awaited.base, &is_other_name).or_else(|| operations::by_path(awaited));
        if let Some(operation) = hidden {
            let error = Error::new_spanned(awaited, operations::hidden(self.cx, operation));
            self.errors.push(error);
            return;
        }
        visit::visit_expr_await(self, awaited);
    }

    fn visit_expr_method_call(&mut self, call: &'ast syn::ExprMethodCall) {
        let operation = operations::operation_of_call(call, &|expr| operations::is_variable(expr, self.cx));
        // Inside a closure, it is enough to say that the context is not there.
        if self.inside.is_none() && operation.is_some() {
            self.errors
                .push(Error::new_spanned(call, operations::unawaited(self.cx)));
            return;
        }
        visit::visit_expr_method_call(self, call);
    }

    fn visit_expr_call(&mut self, call: &'ast syn::ExprCall) {
        if let Expr::Path(path) = &*call.func
            && let Some(name) = path.path.segments.last().map(|segment| segment.ident.to_string())
            && operations::waits(&name)
            && let Some(argument) = call.args.iter().find(|argument| self.operation_of(argument).is_some())
        {
            self.errors
                .push(Error::new_spanned(argument, operations::waiting(&name, self.cx)));
            return;
        }
        visit::visit_expr_call(self, call);
    }

    fn visit_local(&mut self, local: &'ast Local) {
        let is_context = |expr: &Expr| {
            operations::is_variable(expr, self.cx) || self.names.iter().any(|name| operations::is_variable(expr, name))
        };
        if let Some(name) = operations::another_name(local, &is_context) {
            self.names.push(name.clone());
        }
        visit::visit_local(self, local);
    }

    fn visit_expr_closure(&mut self, closure: &'ast syn::ExprClosure) {
        self.within("a closure", |this| visit::visit_expr_closure(this, closure));
    }

    fn visit_expr_async(&mut self, block: &'ast syn::ExprAsync) {
        self.within("an `async` block", |this| visit::visit_expr_async(this, block));
    }

    fn visit_expr_path(&mut self, path: &'ast syn::ExprPath) {
        if let Some(what) = self.inside
            && path.path.is_ident(self.cx)
        {
            let cx = self.cx;
            self.error(
                path.span(),
                format!(
                    "{what} cannot use `{cx}`: only the body of the task can; put what it needs into a variable before"
                ),
            );
        }
    }

    fn visit_pat_ident(&mut self, pattern: &'ast PatIdent) {
        if pattern.ident == *self.cx {
            let cx = self.cx;
            self.error(
                pattern.span(),
                format!("`{cx}` is the task's context; give this variable another name"),
            );
        }
        visit::visit_pat_ident(self, pattern);
    }

    fn visit_expr_unsafe(&mut self, block: &'ast syn::ExprUnsafe) {
        self.within("an `unsafe` block", |this| visit::visit_expr_unsafe(this, block));
    }

    fn visit_macro(&mut self, call: &'ast Macro) {
        if let Some(known) = KnownMacro::parse(call) {
            for value in &known.values {
                match value {
                    // `name = value` in a format macro.
                    Expr::Assign(named) => self.visit_expr(&named.right),
                    value => self.visit_expr(value),
                }
            }
            return;
        }
        let name = call
            .path
            .segments
            .last()
            .map(|segment| segment.ident.to_string())
            .unwrap_or_default();
        let operation = operations::in_tokens(&call.tokens, self.cx);
        if let Some(span) = operation.filter(|_| operations::waits(&name)) {
            self.error(span, operations::waiting(&format!("{name}!"), self.cx));
        } else if let Some(span) = point_in_tokens(&call.tokens, self.cx) {
            self.error(
                span,
                format!(
                    "a suspension point inside `{name}!`: what that macro makes of it is not known; put the result into a variable before and \
                     use that"
                ),
            );
        } else if let Some(span) = operation {
            let cx = self.cx;
            self.error(
                span,
                format!(
                    "an operation of `{cx}` inside `{name}!`: what that macro makes of it is not known; write `{cx}.<operation>(..).await` outside of it"
                ),
            );
        } else if let Some(span) = jump_in_tokens(&call.tokens) {
            self.error(span, format!("a `break` or `continue` inside `{name}!`: where it would go is not known; write it outside of the macro"));
        }
    }

    /// A scope of its own, in which the context is not visible.
    fn visit_item(&mut self, _: &'ast syn::Item) {}
}
