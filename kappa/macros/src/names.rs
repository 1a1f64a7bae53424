//! Which variable a name means.
//!
//! Every binding of the code that is taken apart gets an id. Two variables of the same name are two bindings. They keep their names: the generated
//! code opens and closes the scopes of the user, so that a name means there what it meant to the user, also inside a macro that nobody can look into.

mod resolver;

use proc_macro2::{Ident, Span, TokenStream};
use resolver::Resolver;
use std::collections::{BTreeSet, HashMap};
use syn::visit::Visit;
use syn::{Expr, Pat, PatIdent};

/// A variable of the code that is taken apart, or a temporary of the compiler.
pub(crate) type Var = usize;
pub(crate) type Vars = BTreeSet<Var>;

/// A scope: its place in [`Names::parents`].
pub(crate) type Scope = usize;

/// What is known of a variable.
pub(crate) struct Binding {
    /// Its name, with the span of its declaration.
    pub(crate) ident: Ident,
    /// Where it is declared.
    pub(crate) scope: Scope,
    pub(crate) mutable: bool,
    /// A temporary of the compiler: what it holds, for messages.
    pub(crate) temporary: bool,
    /// Made by `cx.shared(closure)`: the closure, resolved, and what it uses.
    pub(crate) shared: Option<(TokenStream, Vars)>,
}

impl Binding {
    /// What an error at run time calls it.
    pub(crate) fn shown(&self) -> String {
        if self.temporary {
            "a value that is kept while the rest of its expression is evaluated".to_string()
        } else {
            format!("the variable `{}`", self.ident)
        }
    }
}

/// Bindings and the scopes in which their names are visible.
pub(crate) struct Names {
    pub(crate) bindings: Vec<Binding>,
    scopes: Vec<(Scope, HashMap<String, Var>)>,
    /// The scope around each scope.
    pub(crate) parents: Vec<Scope>,
}

impl Names {
    pub(crate) fn new() -> Self {
        Names {
            bindings: Vec::new(),
            scopes: vec![(0, HashMap::new())],
            parents: vec![0],
        }
    }

    pub(crate) fn enter(&mut self) {
        self.parents.push(self.scope());
        self.scopes.push((self.parents.len() - 1, HashMap::new()));
    }

    /// The innermost scope.
    pub(crate) fn scope(&self) -> Scope {
        self.scopes.last().map_or(0, |&(scope, _)| scope)
    }

    /// Leaves a scope; gives what was declared in it.
    pub(crate) fn leave(&mut self) -> Vec<Var> {
        let left = self.scopes.pop().map_or(0, |(scope, _)| scope);
        let is_inside = |&var: &Var| self.bindings[var].scope == left;
        (0..self.bindings.len()).filter(is_inside).collect()
    }

    /// Every variable that has a name here.
    pub(crate) fn visible(&self) -> Vec<Var> {
        let names = self.scopes.iter().flat_map(|(_, names)| names.values().copied());
        names.collect()
    }

    /// Whether the variable may be there only to be dropped at the end of its scope, by its name: `_guard`.
    pub(crate) fn is_guard(&self, var: Var) -> bool {
        let binding = &self.bindings[var];
        !binding.temporary && binding.ident.to_string().starts_with('_')
    }

    pub(crate) fn lookup(&self, name: &str) -> Option<Var> {
        self.scopes.iter().rev().find_map(|(_, names)| names.get(name)).copied()
    }

    pub(crate) fn temporary(&mut self, span: Span) -> Var {
        let var = self.bindings.len();
        let ident = Ident::new(&format!("{TEMPORARY}{var}"), span.resolved_at(Span::mixed_site()));
        self.bindings.push(Binding {
            ident: ident.clone(),
            scope: self.scope(),
            mutable: true,
            temporary: true,
            shared: None,
        });
        // Temporaries are visible wherever the compiler mentions them.
        self.scopes[0].1.insert(ident.to_string(), var);
        var
    }

    pub(crate) fn declare(&mut self, name: &Ident, mutable: bool) -> Var {
        let var = self.bindings.len();
        self.bindings.push(Binding {
            ident: name.clone(),
            scope: self.scope(),
            mutable,
            temporary: false,
            shared: None,
        });
        if let Some((_, names)) = self.scopes.last_mut() {
            names.insert(name.to_string(), var);
        }
        var
    }

    /// Declares the variables of a pattern.
    pub(crate) fn declare_pattern(&mut self, pattern: &Pat, plain_let: bool) -> Vec<Var> {
        let mut idents = Vec::new();
        collect_bindings(pattern, plain_let, &mut idents);
        let mut declared = BTreeSet::new();
        let mut vars = Vec::new();
        for (ident, mutable) in idents {
            // An or-pattern has each name once in each alternative.
            if declared.insert(ident.to_string()) {
                vars.push(self.declare(&ident, mutable));
            }
        }
        vars
    }

    /// Says which variables code touches that stays as it is.
    pub(crate) fn resolve_expr(&self, expr: &Expr) -> Found {
        let assigned = crate::assigned::by_expr(expr, self);
        let mut resolver = Resolver::new(self);
        resolver.visit_expr(expr);
        Found {
            assigned,
            ..resolver.into_found()
        }
    }
}

/// What a piece of code does with the variables around it.
#[derive(Default, Clone)]
pub(crate) struct Found {
    /// Read, borrowed, moved or changed in part.
    pub(crate) uses: Vars,
    /// Assigned as a whole on every way through.
    pub(crate) assigned: Vars,
    /// Mentioned in any way.
    pub(crate) mentions: Vars,
    /// Assigned as a whole somewhere.
    pub(crate) changed: Vars,
}

impl Found {
    pub(crate) fn using(var: Var) -> Self {
        Found {
            uses: Vars::from([var]),
            mentions: Vars::from([var]),
            ..Found::default()
        }
    }

    pub(crate) fn and(mut self, other: Found) -> Self {
        self.uses.extend(other.uses);
        self.mentions.extend(other.mentions);
        self.assigned.extend(other.assigned);
        self.changed.extend(other.changed);
        self
    }
}

/// What the names of temporaries begin with.
const TEMPORARY: &str = "__kappa_value";

/// Whether this is the name of a temporary.
pub(crate) fn is_temporary(ident: &Ident) -> bool {
    ident.to_string().starts_with(TEMPORARY)
}

/// Whether an identifier in a pattern is a new variable and not a constant: where a constant could not stand, and by its first letter elsewhere.
fn binds(pattern: &PatIdent, plain_let: bool) -> bool {
    plain_let
        || pattern.by_ref.is_some()
        || pattern.mutability.is_some()
        || pattern.subpat.is_some()
        || !pattern.ident.to_string().starts_with(|c: char| c.is_uppercase())
}

fn collect_bindings(pattern: &Pat, plain_let: bool, into: &mut Vec<(Ident, bool)>) {
    struct Collector<'a> {
        plain_let: bool,
        into: &'a mut Vec<(Ident, bool)>,
    }
    impl<'ast> syn::visit::Visit<'ast> for Collector<'_> {
        fn visit_pat_ident(&mut self, pattern: &'ast PatIdent) {
            if binds(pattern, self.plain_let) {
                self.into.push((pattern.ident.clone(), pattern.mutability.is_some()));
            }
            syn::visit::visit_pat_ident(self, pattern);
        }
        fn visit_expr(&mut self, _: &'ast Expr) {}
    }
    Collector { plain_let, into }.visit_pat(pattern);
}
