//! `if`, `match`, loops, blocks, `break` and `continue`.

use super::{Dest, Lower, Target};
use crate::graph::{BlockId, Choice, End};
use crate::names::{Found, Moves, Var};
use crate::points::{must_split, must_split_block, suspends};
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{
    BinOp, Expr, ExprBreak, ExprContinue, ExprForLoop, ExprIf, ExprLoop, ExprMatch, ExprWhile, Label, Lifetime, Pat,
    UnOp,
};

impl Lower<'_> {
    pub(super) fn if_into(&mut self, branch: ExprIf, dest: Dest) {
        let (then, other) = (self.block(None), self.block(None));
        let after = self.block(Some(self.current));
        self.names.enter();
        let lives = must_split_block(&branch.then_branch, self.rules);
        self.condition(*branch.cond, then, other, lives);
        self.start(then);
        self.block_into(branch.then_branch, dest);
        self.names.leave();
        self.jump(after);
        self.start(other);
        match branch.else_branch {
            Some((_, other)) => self.into(*other, dest),
            None => self.unit(dest),
        }
        self.jump(after);
        self.start(after);
    }

    /// Goes to `then` or `other`; the variables that the condition binds are declared for `then`. `lives`: what its `let`s look at lives across a
    /// suspension point.
    pub(super) fn condition(&mut self, condition: Expr, then: BlockId, other: BlockId, lives: bool) {
        if !(must_split(&condition, self.rules) || (lives && has_let(&condition))) {
            let mut binds = Vec::new();
            let effect = match &condition {
                Expr::Let(binding) => self.names.effect(&binding.expr, &binding.pat),
                _ => None,
            };
            let found = match &condition {
                Expr::Let(binding) => {
                    let patterns = std::iter::once(&*binding.pat);
                    let found = self.names.resolve_scrutinee(&binding.expr, patterns);
                    binds = self.names.declare_pattern(&binding.pat, false);
                    found
                }
                _ => self.native_condition(&condition, &mut binds),
            };
            self.end(End::Branch {
                condition: quote!(#condition),
                found,
                binds,
                effect,
                then,
                other,
            });
            return;
        }
        match condition {
            Expr::Paren(inner) => self.condition(*inner.expr, then, other, lives),
            Expr::Group(inner) => self.condition(*inner.expr, then, other, lives),
            Expr::Binary(binary) if matches!(binary.op, BinOp::And(_)) => {
                let middle = self.block(None);
                let lives_on = lives || must_split(&binary.right, self.rules);
                self.condition(*binary.left, middle, other, lives_on);
                self.start(middle);
                self.condition(*binary.right, then, other, lives);
            }
            Expr::Binary(binary) if matches!(binary.op, BinOp::Or(_)) => {
                let middle = self.block(None);
                self.condition(*binary.left, then, middle, false);
                self.start(middle);
                self.condition(*binary.right, then, other, false);
            }
            Expr::Unary(unary) if matches!(unary.op, UnOp::Not(_)) => self.condition(*unary.expr, other, then, false),
            Expr::Let(binding) => {
                let mut scrutinee = self.value(*binding.expr);
                let pattern = *binding.pat;
                if lives {
                    self.check_scrutinee(&mut scrutinee, std::iter::once(&pattern));
                }
                let found = self.names.resolve_scrutinee(&scrutinee, std::iter::once(&pattern));
                let effect = self.names.effect(&scrutinee, &pattern);
                let binds = self.names.declare_pattern(&pattern, false);
                self.names.flows(&scrutinee, &binds);
                self.end(End::Branch {
                    condition: quote!(let #pattern = #scrutinee),
                    found,
                    binds,
                    effect,
                    then,
                    other,
                });
            }
            value => {
                let value = self.value(value);
                let found = self.names.resolve_expr(&value);
                self.end(End::Branch {
                    condition: quote!(#value),
                    found,
                    binds: Vec::new(),
                    effect: None,
                    then,
                    other,
                });
            }
        }
    }

    /// A condition that stays whole, with the variables that its `let`s bind.
    fn native_condition(&mut self, condition: &Expr, binds: &mut Vec<Var>) -> Found {
        match condition {
            Expr::Binary(binary) if matches!(binary.op, BinOp::And(_)) => {
                let left = self.native_condition(&binary.left, binds);
                let right = self.native_condition(&binary.right, binds);
                let mut found = left.and(right);
                found.uses.retain(|var| !binds.contains(var));
                found.mentions.retain(|var| !binds.contains(var));
                found
            }
            Expr::Let(binding) => {
                // What it moves is gone also if what follows is false.
                let found = match Moves::of(&binding.pat, false) {
                    Moves::Nothing => self
                        .names
                        .resolve_scrutinee(&binding.expr, std::iter::once(&*binding.pat)),
                    _ => self.names.resolve_perhaps_moved(&binding.expr),
                };
                let declared = self.names.declare_pattern(&binding.pat, false);
                self.names.flows(&binding.expr, &declared);
                binds.extend(declared);
                found
            }
            other => self.names.resolve_expr(other),
        }
    }

    /// A guard is tried for each alternative of its pattern: an arm whose guard is taken apart becomes one arm for each.
    fn split_alternatives(&mut self, arms: Vec<syn::Arm>) -> Vec<syn::Arm> {
        let mut split = Vec::with_capacity(arms.len());
        for arm in arms {
            if !matches!(&arm.guard, Some((_, guard)) if must_split(guard, self.rules)) {
                split.push(arm);
                continue;
            }
            let patterns = alternatives(&arm.pat);
            if patterns.len() > 16 {
                self.error(
                    arm.pat.span(),
                    "the guard of this arm holds a suspension point and would have to be tried for each of more than 16 alternatives; write several \
                     arms",
                );
            }
            split.extend(patterns.into_iter().take(16).map(|pat| syn::Arm { pat, ..arm.clone() }));
        }
        split
    }

    pub(super) fn match_into(&mut self, mut choice: ExprMatch, dest: Dest) {
        choice.arms = self.split_alternatives(choice.arms);
        let after = self.block(Some(self.current));
        let mut scrutinee = self.value(*choice.expr);
        let has_guard = |arm: &syn::Arm| {
            arm.guard
                .as_ref()
                .is_some_and(|(_, guard)| must_split(guard, self.rules))
        };
        let is_taken_apart = choice.arms.iter().any(has_guard);
        let rules = self.rules;
        let lives = choice
            .arms
            .iter()
            .filter(|arm| is_taken_apart || must_split(&arm.body, rules));
        let lives: Vec<&Pat> = lives.map(|arm| &arm.pat).collect();
        self.names.enter();
        if !lives.is_empty() {
            self.check_scrutinee(&mut scrutinee, lives.into_iter());
        }
        if is_taken_apart {
            // Looked at more than once.
            let guards = choice.arms.iter().filter_map(|arm| arm.guard.as_ref());
            let guards: Vec<Expr> = guards.map(|(_, guard)| (**guard).clone()).collect();
            scrutinee = self.settle(scrutinee, &guards);
        }
        // Before the arms declare variables, which may have the same names.
        let scrutinee_found = {
            let patterns = choice.arms.iter().map(|arm| &arm.pat);
            self.names.resolve_scrutinee(&scrutinee, patterns)
        };
        // Where the user's code stands in front, it says so itself.
        if is_taken_apart && !self.is_said_before {
            // What follows has an arm for everything else; that the arms as they were written cover everything, only rustc can tell. It never runs.
            let arms = choice.arms.iter().map(|arm| {
                let (pattern, guard) = (&arm.pat, arm.guard.as_ref().map(|_| quote!(if false)));
                quote!(#pattern #guard => {})
            });
            let check = quote! {
                #[allow(unused, clippy::all)]
                { loop { break; match #scrutinee { #(#arms)* } } }
            };
            self.emit(check, scrutinee_found.clone());
        }
        let mut from = self.current;
        let mut choices = Vec::new();
        let mut is_rest = false;
        let count = choice.arms.len();
        let is_pattern = |arm: &syn::Arm| !matches!(arm.pat, Pat::Wild(_));
        let patterns_below: Vec<bool> = (0..count)
            .map(|at| choice.arms[at + 1..].iter().any(is_pattern))
            .collect();
        for (at, arm) in choice.arms.into_iter().enumerate() {
            self.names.enter();
            let pattern = arm.pat;
            let effect = self.names.effect(&scrutinee, &pattern);
            let binds = self.names.declare_pattern(&pattern, false);
            self.names.flows(&scrutinee, &binds);
            let target = self.block(None);
            match arm.guard {
                Some((_, guard)) if must_split(&guard, self.rules) => {
                    let (body, rest) = (self.block(None), self.block(None));
                    self.current = from;
                    if is_plain_name(&pattern) {
                        // If the guard says no, the scrutinee must still be there.
                        if !choices.is_empty() {
                            choices.push(Choice::otherwise(target));
                            self.end(End::Match {
                                scrutinee: quote!(#scrutinee),
                                found: scrutinee_found.clone(),
                                choices: std::mem::take(&mut choices),
                            });
                            self.start(target);
                        }
                        let copy = quote_spanned!(pattern.span()=> ::kappa::__private::clone_for_guard(&#scrutinee));
                        self.emit_let(quote!(let #pattern = #copy;), scrutinee_found.clone(), binds);
                    } else {
                        choices.push(Choice {
                            pattern: quote!(#pattern),
                            guard: None,
                            found: Found::default(),
                            binds: binds.clone(),
                            effect,
                            target,
                        });
                        let bound = binds;
                        choices.push(Choice::otherwise(rest));
                        self.end(End::Match {
                            scrutinee: quote!(#scrutinee),
                            found: scrutinee_found.clone(),
                            choices: std::mem::take(&mut choices),
                        });
                        self.start(target);
                        // If the guard says no, a pattern below must find what this one has bound.
                        if patterns_below[at] {
                            let binds = bound.iter().map(|&var| &self.names.bindings[var].ident);
                            let checks = binds.map(|ident| {
                                let span = ident.span().resolved_at(proc_macro2::Span::mixed_site());
                                quote_spanned!(span=> ::kappa::__private::bound_for_guard(&#ident);)
                            });
                            let checks = quote!(#(#checks)*);
                            self.emit(checks, Found::default());
                        }
                    }
                    self.condition(*guard, body, rest, false);
                    self.start(body);
                    self.into(*arm.body, dest);
                    self.jump(after);
                    self.names.leave();
                    self.start(rest);
                    from = rest;
                    is_rest = true;
                    if at + 1 == count {
                        self.emit(quote!(::core::unreachable!();), Found::default());
                        self.end(End::Stop);
                    }
                    continue;
                }
                guard => {
                    let (guard, found) = match guard {
                        Some((_, guard)) => {
                            let mut found = self.names.resolve_expr(&guard);
                            found.uses.retain(|var| !binds.contains(var));
                            found.mentions.retain(|var| !binds.contains(var));
                            found.assigned.clear();
                            (Some(quote!(#guard)), found)
                        }
                        None => (None, Found::default()),
                    };
                    choices.push(Choice {
                        pattern: quote!(#pattern),
                        guard,
                        found,
                        binds,
                        effect,
                        target,
                    });
                }
            }
            self.start(target);
            self.into(*arm.body, dest);
            self.jump(after);
            self.names.leave();
        }
        self.current = from;
        if is_rest && !choices.is_empty() {
            // The arms above it have been ruled out, which rustc cannot see.
            let never = self.block(None);
            choices.push(Choice::otherwise(never));
            self.start(never);
            self.emit(quote!(::core::unreachable!();), Found::default());
            self.end(End::Stop);
            self.current = from;
        }
        self.end(End::Match {
            scrutinee: quote!(#scrutinee),
            found: scrutinee_found,
            choices,
        });
        self.names.leave();
        self.start(after);
    }

    fn enter_target(&mut self, label: Option<&Label>, break_to: BlockId, continue_to: Option<BlockId>, dest: Dest) {
        let label = label.map(|label| label.name.clone());
        self.targets.push(Target {
            label,
            is_loop: continue_to.is_some(),
            break_to,
            continue_to,
            dest,
        });
    }

    pub(super) fn loop_into(&mut self, expr: ExprLoop, dest: Dest) {
        let (head, after) = (self.block(None), self.block(Some(self.current)));
        self.jump(head);
        self.start(head);
        let back = self.back_edge(head);
        self.enter_target(expr.label.as_ref(), after, Some(back), dest);
        self.block_into(expr.body, Dest::Discard);
        self.targets.pop();
        self.go_back(back, head);
        self.start(after);
    }

    /// Where the end of a loop's body and `continue` go: to the head of the loop, or with `auto` to a block before it.
    fn back_edge(&mut self, head: BlockId) -> BlockId {
        if self.rules.auto { self.block(None) } else { head }
    }

    /// The end of a loop's body, and its back edge.
    fn go_back(&mut self, back: BlockId, head: BlockId) {
        self.jump(back);
        if back != head {
            self.start(back);
            self.due_point();
            self.jump(head);
        }
    }

    pub(super) fn while_into(&mut self, expr: ExprWhile, dest: Dest) {
        let (head, body, after) = (self.block(None), self.block(None), self.block(Some(self.current)));
        self.jump(head);
        self.start(head);
        self.names.enter();
        let back = self.back_edge(head);
        self.enter_target(expr.label.as_ref(), after, Some(back), Dest::Discard);
        let lives = must_split_block(&expr.body, self.rules);
        self.condition(*expr.cond, body, after, lives);
        self.start(body);
        self.block_into(expr.body, Dest::Discard);
        self.targets.pop();
        self.names.leave();
        self.go_back(back, head);
        self.start(after);
        self.unit(dest);
    }

    pub(super) fn for_into(&mut self, expr: ExprForLoop, dest: Dest) {
        let ExprForLoop {
            label,
            pat,
            expr: iterable,
            body,
            ..
        } = expr;
        let mut iterable = self.value(*iterable);
        let span = iterable.span();
        if suspends(&body, self.rules) {
            self.check_iterable(&mut iterable);
        }
        if !self.rules.auto && !must_split_block(&body, self.rules) {
            // Only what it goes over had to be taken apart.
            let mut rest: Expr = syn::parse_quote!(#label for #pat in #iterable #body);
            if let Expr::ForLoop(rest) = &mut rest {
                rest.pat = pat;
            }
            self.emit_value(rest, dest);
            return;
        }
        let found = self.names.resolve_expr(&iterable);
        let (head, inside, after) = (self.block(None), self.block(None), self.block(Some(self.current)));
        self.names.enter();
        let iterator = self.names.temporary(span);
        let ident = self.names.bindings[iterator].ident.clone();
        let next = if suspends(&body, self.rules) || self.rules.auto {
            let start = quote_spanned!(span=> ::kappa::__private::IntoResumable::into_resumable(#iterable));
            self.emit_let(quote!(let mut #ident = #start;), found, vec![iterator]);
            self.jump(head);
            quote_spanned!(span=> ::kappa::__private::ResumableIterator::next(&mut #ident))
        } else {
            // A `match`, as in Rust's own expansion of `for`: what is borrowed from a temporary value lives as long as the loop.
            self.end(End::Match {
                scrutinee: quote_spanned!(span=> ::core::iter::IntoIterator::into_iter(#iterable)),
                found,
                choices: vec![Choice {
                    pattern: quote!(mut #ident),
                    guard: None,
                    found: Found::default(),
                    binds: vec![iterator],
                    effect: None,
                    target: head,
                }],
            });
            quote_spanned!(span=> ::core::iter::Iterator::next(&mut #ident))
        };
        self.start(head);
        self.names.enter();
        let pattern = *pat;
        let binds = self.names.declare_pattern(&pattern, true);
        self.names.flows(&iterable, &binds);
        let condition = quote!(let ::core::option::Option::Some(#pattern) = #next);
        self.end(End::Branch {
            condition,
            found: Found::using(iterator),
            binds,
            effect: None,
            then: inside,
            other: after,
        });
        self.start(inside);
        let back = self.back_edge(head);
        self.enter_target(label.as_ref(), after, Some(back), Dest::Discard);
        self.block_into(body, Dest::Discard);
        self.targets.pop();
        self.names.leave();
        self.go_back(back, head);
        self.names.leave();
        self.start(after);
        self.unit(dest);
    }

    pub(super) fn scope_into(&mut self, label: Option<&Label>, block: syn::Block, dest: Dest) {
        let (inside, after) = (self.block(None), self.block(Some(self.current)));
        self.jump(inside);
        self.start(inside);
        if label.is_some() {
            self.enter_target(label, after, None, dest);
        }
        self.block_into(block, dest);
        if label.is_some() {
            self.targets.pop();
        }
        self.jump(after);
        self.start(after);
    }

    fn find_target(&self, label: Option<&Lifetime>) -> Option<usize> {
        self.targets.iter().rposition(|target| match label {
            Some(label) => target.label.as_ref().is_some_and(|own| own.ident == label.ident),
            None => target.is_loop,
        })
    }

    pub(super) fn break_out(&mut self, jump: ExprBreak) {
        let Some(at) = self.find_target(jump.label.as_ref()) else {
            self.error(jump.span(), "`break` outside of a loop or labelled block");
            return;
        };
        let (to, dest) = (self.targets[at].break_to, self.targets[at].dest);
        match jump.expr {
            Some(value) => self.into(*value, dest),
            None => self.unit(dest),
        }
        self.jump(to);
        self.dead();
    }

    pub(super) fn go_on(&mut self, jump: &ExprContinue) {
        match self
            .find_target(jump.label.as_ref())
            .and_then(|at| self.targets[at].continue_to)
        {
            Some(to) => self.jump(to),
            None => self.error(jump.span(), "`continue` outside of a loop"),
        }
        self.dead();
    }
}

/// Whether a condition binds variables.
fn has_let(condition: &Expr) -> bool {
    match condition {
        Expr::Let(_) => true,
        Expr::Binary(binary) if matches!(binary.op, BinOp::And(_)) => has_let(&binary.left) || has_let(&binary.right),
        Expr::Paren(inner) => has_let(&inner.expr),
        Expr::Group(inner) => has_let(&inner.expr),
        _ => false,
    }
}

/// The pattern once for each choice of its alternatives, in the order in which Rust tries them.
fn alternatives(pattern: &Pat) -> Vec<Pat> {
    /// Replaces the first or-pattern by one of its cases; gives how many it has.
    struct First {
        case: usize,
        found: Option<usize>,
    }
    impl syn::visit_mut::VisitMut for First {
        fn visit_pat_mut(&mut self, pattern: &mut Pat) {
            if self.found.is_some() {
                return;
            }
            match pattern {
                Pat::Or(or) => {
                    self.found = Some(or.cases.len());
                    if let Some(case) = or.cases.iter().nth(self.case) {
                        *pattern = case.clone();
                    }
                }
                Pat::Paren(inner) if matches!(*inner.pat, Pat::Or(_)) => {
                    let mut inner = (*inner.pat).clone();
                    self.visit_pat_mut(&mut inner);
                    *pattern = inner;
                }
                other => syn::visit_mut::visit_pat_mut(self, other),
            }
        }
    }
    let mut patterns = Vec::new();
    let mut case = 0;
    loop {
        let mut first = First { case, found: None };
        let mut one = pattern.clone();
        syn::visit_mut::VisitMut::visit_pat_mut(&mut first, &mut one);
        match first.found {
            None => return vec![one],
            Some(count) if case < count => patterns.extend(alternatives(&one)),
            Some(_) => return patterns,
        }
        case += 1;
    }
}

/// Whether a pattern is a new variable for the whole value. (One that begins with a capital letter may be a constant.)
fn is_plain_name(pattern: &Pat) -> bool {
    matches!(pattern, Pat::Ident(name) if name.by_ref.is_none() && name.subpat.is_none() && !name.ident.to_string().starts_with(char::is_uppercase))
}
