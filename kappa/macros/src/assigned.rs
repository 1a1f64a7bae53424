//! Which variables a piece of code that stays as it is assigns as a whole on every way through: what they held before is not needed.
//!
//! It may miss some, but never names one too many.

use crate::names::{Names, Var, Vars};
use syn::visit::{self, Visit};
use syn::{Block, Expr, Lifetime, Pat, PatIdent, Stmt};

/// `None` stands for "never gets to its end", which assigns everything.
type Assigned = Option<Vars>;

fn both(first: Assigned, second: Assigned) -> Assigned {
    Some(first?.union(&second?).copied().collect())
}

fn either(first: Assigned, second: Assigned) -> Assigned {
    match (first, second) {
        (None, other) | (other, None) => other,
        (Some(first), Some(second)) => Some(first.intersection(&second).copied().collect()),
    }
}

pub(crate) fn by_expr(expr: &Expr, names: &Names) -> Vars {
    let mut walk = Walk {
        names,
        shadowed: Vec::new(),
        loops: Vec::new(),
    };
    walk.expr(expr).unwrap_or_default()
}

/// A loop or labelled block around the code that is looked at.
struct Loop {
    label: Option<Lifetime>,
    is_loop: bool,
    /// What has been assigned wherever a `break` leaves it.
    at_breaks: Assigned,
}

struct Walk<'a> {
    names: &'a Names,
    /// Names that mean a variable of the code itself here.
    shadowed: Vec<String>,
    loops: Vec<Loop>,
}

impl Walk<'_> {
    /// With the names of a pattern meaning its variables.
    fn scoped<T>(&mut self, pattern: Option<&Pat>, walk: impl FnOnce(&mut Self) -> T) -> T {
        let outside = self.shadowed.len();
        if let Some(pattern) = pattern {
            self.shadow(pattern);
        }
        let result = walk(self);
        self.shadowed.truncate(outside);
        result
    }

    fn shadow(&mut self, pattern: &Pat) {
        struct Names<'a>(&'a mut Vec<String>);
        impl<'ast> Visit<'ast> for Names<'_> {
            fn visit_pat_ident(&mut self, pattern: &'ast PatIdent) {
                self.0.push(pattern.ident.to_string());
                visit::visit_pat_ident(self, pattern);
            }
        }
        Names(&mut self.shadowed).visit_pat(pattern);
    }

    fn variable(&self, name: &str) -> Option<Var> {
        match self.shadowed.iter().any(|inner| inner == name) {
            true => None,
            false => self.names.lookup(name),
        }
    }

    /// One after the other.
    fn sequence<'e>(&mut self, exprs: impl IntoIterator<Item = &'e Expr>) -> Assigned {
        let mut result = Some(Vars::new());
        for expr in exprs {
            let before = result.clone();
            let next = self.after(before, |this| this.expr(expr));
            result = both(result, next);
        }
        result
    }

    /// What is found at the `break`s inside `walk` includes what has been assigned before it.
    fn after(&mut self, before: Assigned, walk: impl FnOnce(&mut Self) -> Assigned) -> Assigned {
        let outside: Vec<Assigned> = self
            .loops
            .iter_mut()
            .map(|around| std::mem::take(&mut around.at_breaks))
            .collect();
        let result = walk(self);
        for (around, outside) in self.loops.iter_mut().zip(outside) {
            let inside = std::mem::take(&mut around.at_breaks);
            around.at_breaks = either(outside, both(before.clone(), inside));
        }
        result
    }

    /// The targets of an assignment.
    fn targets(&self, place: &Expr, into: &mut Vars) {
        match place {
            Expr::Path(path) => into.extend(
                path.path
                    .get_ident()
                    .and_then(|ident| self.variable(&ident.to_string())),
            ),
            Expr::Paren(inner) => self.targets(&inner.expr, into),
            Expr::Group(inner) => self.targets(&inner.expr, into),
            Expr::Tuple(tuple) => tuple.elems.iter().for_each(|part| self.targets(part, into)),
            Expr::Array(array) => array.elems.iter().for_each(|part| self.targets(part, into)),
            Expr::Call(call) => call.args.iter().for_each(|part| self.targets(part, into)),
            Expr::Struct(literal) => literal.fields.iter().for_each(|field| self.targets(&field.expr, into)),
            _ => {}
        }
    }

    fn stmt(&mut self, stmt: &Stmt) -> Assigned {
        match stmt {
            Stmt::Expr(expr, _) => self.expr(expr),
            Stmt::Local(local) => match &local.init {
                Some(init) => {
                    let value = self.expr(&init.expr);
                    if let Some((_, diverge)) = &init.diverge {
                        self.after(value.clone(), |this| this.expr(diverge));
                    }
                    value
                }
                None => Some(Vars::new()),
            },
            Stmt::Item(_) => Some(Vars::new()),
            Stmt::Macro(call) => self.call(&call.mac),
        }
    }

    fn call(&self, call: &syn::Macro) -> Assigned {
        match crate::points::never_returns(call) {
            true => None,
            false => Some(Vars::new()),
        }
    }

    fn block(&mut self, block: &Block) -> Assigned {
        self.scoped(None, |this| {
            let mut result = Some(Vars::new());
            for stmt in &block.stmts {
                let before = result.clone();
                let next = this.after(before, |this| this.stmt(stmt));
                result = both(result, next);
                if let Stmt::Local(local) = stmt {
                    this.shadow(&local.pat);
                }
            }
            result
        })
    }

    /// A loop or labelled block; gives what is assigned at its end, and what is wherever a `break` leaves it.
    fn breakable(&mut self, label: Option<&syn::Label>, is_loop: bool, body: &Block) -> (Assigned, Assigned) {
        self.loops.push(Loop {
            label: label.map(|label| label.name.clone()),
            is_loop,
            at_breaks: None,
        });
        let end = self.block(body);
        let at_breaks = self.loops.pop().and_then(|inner| inner.at_breaks);
        (end, at_breaks)
    }

    fn expr(&mut self, expr: &Expr) -> Assigned {
        match expr {
            Expr::Assign(assign) => {
                let right = self.expr(&assign.right);
                let mut targets = Vars::new();
                self.targets(&assign.left, &mut targets);
                both(right, Some(targets))
            }
            Expr::Block(block) => match &block.label {
                Some(label) => {
                    let (end, at_breaks) = self.breakable(Some(label), false, &block.block);
                    either(end, at_breaks)
                }
                None => self.block(&block.block),
            },
            Expr::Unsafe(block) => self.block(&block.block),
            Expr::If(branch) => {
                let cond = self.condition(&branch.cond);
                let then = self.scoped(None, |this| {
                    this.shadow_condition(&branch.cond);
                    this.after(cond.clone(), |this| this.block(&branch.then_branch))
                });
                let other = match &branch.else_branch {
                    Some((_, other)) => self.after(cond.clone(), |this| this.expr(other)),
                    None => Some(Vars::new()),
                };
                both(cond, either(then, other))
            }
            Expr::Match(choice) => {
                let scrutinee = self.expr(&choice.expr);
                let mut arms = None;
                for arm in &choice.arms {
                    let body = self.scoped(Some(&arm.pat), |this| {
                        this.after(scrutinee.clone(), |this| this.expr(&arm.body))
                    });
                    arms = either(arms, body);
                }
                both(scrutinee, arms)
            }
            Expr::Loop(expr) => self.breakable(expr.label.as_ref(), true, &expr.body).1,
            Expr::While(expr) => {
                let cond = self.condition(&expr.cond);
                // The body may not run; its `break`s are behind the condition.
                self.scoped(None, |this| {
                    this.shadow_condition(&expr.cond);
                    this.after(cond.clone(), |this| {
                        this.breakable(expr.label.as_ref(), true, &expr.body).0
                    });
                });
                cond
            }
            Expr::ForLoop(expr) => {
                let iterable = self.expr(&expr.expr);
                self.scoped(Some(&expr.pat), |this| {
                    this.after(iterable.clone(), |this| {
                        this.breakable(expr.label.as_ref(), true, &expr.body).0
                    });
                });
                iterable
            }
            Expr::Break(jump) => {
                let value = match &jump.expr {
                    Some(value) => self.expr(value),
                    None => Some(Vars::new()),
                };
                if let Some(around) = self.target(jump.label.as_ref()) {
                    around.at_breaks = either(around.at_breaks.take(), value);
                }
                None
            }
            Expr::Return(jump) => {
                if let Some(value) = &jump.expr {
                    self.leaves(value);
                }
                None
            }
            Expr::Continue(_) => None,
            Expr::Macro(call) => {
                if let Some(known) = crate::points::KnownMacro::parse(&call.mac) {
                    known.values.iter().for_each(|value| self.leaves(value));
                }
                self.call(&call.mac)
            }
            Expr::Paren(inner) => self.expr(&inner.expr),
            Expr::Group(inner) => self.expr(&inner.expr),
            Expr::Try(inner) => self.expr(&inner.expr),
            Expr::Unary(inner) => self.expr(&inner.expr),
            Expr::Cast(inner) => self.expr(&inner.expr),
            Expr::Field(inner) => self.expr(&inner.base),
            Expr::Reference(inner) => self.expr(&inner.expr),
            Expr::Call(call) => self.sequence(std::iter::once(&*call.func).chain(&call.args)),
            Expr::MethodCall(call) => self.sequence(std::iter::once(&*call.receiver).chain(&call.args)),
            Expr::Tuple(tuple) => self.sequence(&tuple.elems),
            Expr::Array(array) => self.sequence(&array.elems),
            other => {
                self.leaves(other);
                Some(Vars::new())
            }
        }
    }

    /// Code that is not followed further may leave the loops around it before anything has been assigned.
    fn leaves(&mut self, expr: &Expr) {
        struct Breaks(Vec<Option<Lifetime>>);
        impl<'ast> Visit<'ast> for Breaks {
            fn visit_expr_break(&mut self, jump: &'ast syn::ExprBreak) {
                self.0.push(jump.label.clone());
                visit::visit_expr_break(self, jump);
            }
            fn visit_expr_closure(&mut self, _: &'ast syn::ExprClosure) {}
            fn visit_expr_async(&mut self, _: &'ast syn::ExprAsync) {}
            fn visit_item(&mut self, _: &'ast syn::Item) {}
        }
        let mut breaks = Breaks(Vec::new());
        breaks.visit_expr(expr);
        for label in breaks.0 {
            if let Some(around) = self.target(label.as_ref()) {
                around.at_breaks = Some(Vars::new());
            }
        }
    }

    fn target(&mut self, label: Option<&Lifetime>) -> Option<&mut Loop> {
        self.loops.iter_mut().rev().find(|around| match label {
            Some(label) => around.label.as_ref().is_some_and(|own| own.ident == label.ident),
            None => around.is_loop,
        })
    }

    /// What is assigned in a condition whatever it gives: the right side of `&&` may not be evaluated.
    fn condition(&mut self, condition: &Expr) -> Assigned {
        match condition {
            Expr::Let(binding) => self.expr(&binding.expr),
            Expr::Binary(binary) if matches!(binary.op, syn::BinOp::And(_)) => self.condition(&binary.left),
            other => self.expr(other),
        }
    }

    fn shadow_condition(&mut self, condition: &Expr) {
        match condition {
            Expr::Let(binding) => self.shadow(&binding.pat),
            Expr::Binary(binary) => {
                self.shadow_condition(&binary.left);
                self.shadow_condition(&binary.right);
            }
            _ => {}
        }
    }
}
