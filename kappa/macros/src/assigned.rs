//! Which variables a piece of code that stays as it is assigns as a whole on every way through: what they held before is not needed.

use crate::names::{Names, Vars};
use syn::{Block, Expr, Stmt};

/// `None` stands for "never gets to its end", which assigns everything.
type Assigned = Option<Vars>;

fn all() -> Assigned {
    None
}

fn none() -> Assigned {
    Some(Vars::new())
}

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
    assigned(expr, names).unwrap_or_default()
}

fn in_stmt(stmt: &Stmt, names: &Names) -> Assigned {
    match stmt {
        Stmt::Expr(expr, _) => assigned(expr, names),
        Stmt::Local(local) => match &local.init {
            Some(init) => assigned(&init.expr, names),
            None => none(),
        },
        Stmt::Item(_) | Stmt::Macro(_) => none(),
    }
}

fn in_block(block: &Block, names: &Names) -> Assigned {
    let mut result = none();
    let mut shadowed = Vec::new();
    for stmt in &block.stmts {
        let mut next = in_stmt(stmt, names);
        if let Some(vars) = &mut next {
            vars.retain(|var| !shadowed.contains(var));
        }
        result = both(result, next);
        if let Stmt::Local(local) = stmt {
            struct Shadows<'a>(&'a Names, &'a mut Vec<usize>);
            impl<'ast> syn::visit::Visit<'ast> for Shadows<'_> {
                fn visit_pat_ident(&mut self, pattern: &'ast syn::PatIdent) {
                    self.1.extend(self.0.lookup(&pattern.ident.to_string()));
                    syn::visit::visit_pat_ident(self, pattern);
                }
            }
            syn::visit::Visit::visit_pat(&mut Shadows(names, &mut shadowed), &local.pat);
        }
    }
    result
}

fn assigned(expr: &Expr, names: &Names) -> Assigned {
    match expr {
        Expr::Assign(assign) => {
            let right = assigned(&assign.right, names);
            let left = match &*assign.left {
                Expr::Path(path) => path.path.get_ident().and_then(|ident| names.lookup(&ident.to_string())),
                _ => None,
            };
            both(right, Some(left.into_iter().collect()))
        }
        Expr::Block(block) if block.label.is_none() => in_block(&block.block, names),
        Expr::Unsafe(block) => in_block(&block.block, names),
        Expr::If(branch) => {
            let cond = assigned(&branch.cond, names);
            let then = in_block(&branch.then_branch, names);
            let other = match &branch.else_branch {
                Some((_, other)) => assigned(other, names),
                None => none(),
            };
            both(cond, either(then, other))
        }
        Expr::Match(choice) => {
            let arms = choice
                .arms
                .iter()
                .map(|arm| assigned(&arm.body, names))
                .fold(all(), either);
            both(assigned(&choice.expr, names), arms)
        }
        Expr::Paren(inner) => assigned(&inner.expr, names),
        Expr::Group(inner) => assigned(&inner.expr, names),
        Expr::Return(_) | Expr::Break(_) | Expr::Continue(_) => all(),
        _ => none(),
    }
}
