//! Which variable a name means.
//!
//! Every binding of the code that is taken apart gets an id. Two variables of the same name are two bindings; the one that shadows the other, and
//! any whose name is also used for something that is not a variable, gets a name of its own in the generated code, because there scopes are flat.

mod resolver;

use proc_macro2::{Ident, Span, TokenStream};
use resolver::Resolver;
use std::collections::{BTreeSet, HashMap, HashSet};
use syn::visit_mut::{self, VisitMut};
use syn::{Block, Expr, FieldPat, Pat, PatIdent};

/// A variable of the code that is taken apart, or a temporary of the compiler.
pub(crate) type Var = usize;
pub(crate) type Vars = BTreeSet<Var>;

/// What is known of a variable.
pub(crate) struct Binding {
    /// Its name in the generated code, with the span of its declaration.
    pub(crate) ident: Ident,
    pub(crate) mutable: bool,
    /// A temporary of the compiler: what it holds, for messages.
    pub(crate) temporary: bool,
    /// Made by `cx.shared(closure)`: the closure, resolved, and what it uses.
    pub(crate) shared: Option<(TokenStream, Vars)>,
}

/// Bindings and the scopes in which their names are visible.
pub(crate) struct Names {
    pub(crate) bindings: Vec<Binding>,
    scopes: Vec<HashMap<String, Var>>,
    /// Names that mean something else than a variable somewhere in the function.
    free: HashSet<String>,
    taken: HashSet<String>,
}

impl Names {
    pub(crate) fn new(body: &Block, parameters: &[Ident]) -> Self {
        let mut names = Names {
            bindings: Vec::new(),
            scopes: vec![HashMap::new()],
            free: HashSet::new(),
            taken: HashSet::new(),
        };
        let mut collector = Resolver::new(&names, parameters);
        collector.visit_block_mut(&mut body.clone());
        let (found, all) = collector.into_found();
        names.free = found.free;
        names.taken = all;
        names
    }

    pub(crate) fn enter(&mut self) {
        self.scopes.push(HashMap::new());
    }

    /// Leaves a scope; gives what was declared in it.
    pub(crate) fn leave(&mut self) -> Vec<Var> {
        let mut vars: Vec<Var> = self.scopes.pop().unwrap_or_default().into_values().collect();
        vars.sort_unstable();
        vars
    }

    /// Every variable that has a name here.
    pub(crate) fn visible(&self) -> Vec<Var> {
        self.scopes.iter().flat_map(|scope| scope.values().copied()).collect()
    }

    /// Whether the variable may be there only to be dropped at the end of its scope, by its name: `_guard`.
    pub(crate) fn is_guard(&self, var: Var) -> bool {
        let binding = &self.bindings[var];
        !binding.temporary && binding.ident.to_string().starts_with('_')
    }

    pub(crate) fn lookup(&self, name: &str) -> Option<Var> {
        self.scopes.iter().rev().find_map(|scope| scope.get(name)).copied()
    }

    pub(crate) fn temporary(&mut self, span: Span) -> Var {
        let var = self.bindings.len();
        let ident = Ident::new(&format!("__value{var}"), span);
        self.bindings.push(Binding {
            ident: ident.clone(),
            mutable: true,
            temporary: true,
            shared: None,
        });
        // Temporaries are visible wherever the compiler mentions them.
        self.scopes[0].insert(ident.to_string(), var);
        var
    }

    pub(crate) fn declare(&mut self, name: &Ident, mutable: bool) -> Var {
        let text = name.to_string();
        let var = self.bindings.len();
        let ident = if self.lookup(&text).is_some() || self.free.contains(&text) {
            let plain = text.trim_start_matches("r#");
            let renamed = (2..)
                .map(|n| format!("{plain}_{n}"))
                .find(|candidate| !self.taken.contains(candidate))
                .unwrap_or_else(|| format!("{plain}_{var}"));
            Ident::new(&renamed, name.span())
        } else {
            name.clone()
        };
        self.taken.insert(ident.to_string());
        if let Some(scope) = self.scopes.last_mut() {
            scope.insert(text, var);
            scope.insert(ident.to_string(), var);
        }
        self.bindings.push(Binding {
            ident,
            mutable,
            temporary: false,
            shared: None,
        });
        var
    }

    /// Declares the variables of a pattern and gives them their names in it.
    pub(crate) fn declare_pattern(&mut self, pattern: &mut Pat, plain_let: bool) -> Vec<Var> {
        let mut idents = Vec::new();
        collect_bindings(pattern, plain_let, &mut idents);
        let mut declared: HashMap<String, Var> = HashMap::new();
        let mut vars = Vec::new();
        for (ident, mutable) in idents {
            let name = ident.to_string();
            if let std::collections::hash_map::Entry::Vacant(entry) = declared.entry(name) {
                let var = self.declare(&ident, mutable);
                entry.insert(var);
                vars.push(var);
            }
        }
        let mut renamer = PatternRenamer {
            names: self,
            declared: &declared,
        };
        renamer.visit_pat_mut(pattern);
        vars
    }

    /// Resolves code that stays as it is: renames what has to be, and says which variables it touches.
    pub(crate) fn resolve_expr(&self, expr: &mut Expr) -> Found {
        let assigned = crate::assigned::by_expr(expr, self);
        let mut resolver = Resolver::new(self, &[]);
        resolver.visit_expr_mut(expr);
        let (found, _) = resolver.into_found();
        Found { assigned, ..found }
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
    free: HashSet<String>,
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

/// Whether an identifier in a pattern is a new variable and not a constant.
fn binds(pattern: &PatIdent, plain_let: bool) -> bool {
    plain_let
        || pattern.by_ref.is_some()
        || pattern.mutability.is_some()
        || pattern.subpat.is_some()
        || !pattern.ident.to_string().starts_with(|c: char| c.is_uppercase())
}

fn collect_bindings(pattern: &Pat, plain_let: bool, into: &mut Vec<(Ident, bool)>) {
    struct Collector<'a> {
        into: &'a mut Vec<(Ident, bool)>,
    }
    impl<'ast> syn::visit::Visit<'ast> for Collector<'_> {
        fn visit_pat_ident(&mut self, pattern: &'ast PatIdent) {
            if binds(pattern, false) {
                self.into.push((pattern.ident.clone(), pattern.mutability.is_some()));
            }
            syn::visit::visit_pat_ident(self, pattern);
        }
        fn visit_expr(&mut self, _: &'ast Expr) {}
    }
    match pattern {
        Pat::Ident(single) if plain_let && single.subpat.is_none() => {
            into.push((single.ident.clone(), single.mutability.is_some()));
        }
        Pat::Type(typed) => collect_bindings(&typed.pat, plain_let, into),
        _ => syn::visit::Visit::visit_pat(&mut Collector { into }, pattern),
    }
}

struct PatternRenamer<'a> {
    names: &'a Names,
    declared: &'a HashMap<String, Var>,
}

impl VisitMut for PatternRenamer<'_> {
    fn visit_field_pat_mut(&mut self, field: &mut FieldPat) {
        let before = match &*field.pat {
            Pat::Ident(pattern) => Some(pattern.ident.clone()),
            _ => None,
        };
        visit_mut::visit_field_pat_mut(self, field);
        if field.colon_token.is_none()
            && let (Some(before), Pat::Ident(pattern)) = (before, &*field.pat)
            && before != pattern.ident
        {
            field.colon_token = Some(Default::default());
        }
    }

    fn visit_pat_ident_mut(&mut self, pattern: &mut PatIdent) {
        if let Some(&var) = self.declared.get(&pattern.ident.to_string()) {
            let span = pattern.ident.span();
            pattern.ident = self.names.bindings[var].ident.clone();
            pattern.ident.set_span(span);
        }
        visit_mut::visit_pat_ident_mut(self, pattern);
    }

    fn visit_expr_mut(&mut self, _: &mut Expr) {}
}
