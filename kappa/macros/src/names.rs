//! Which variable a name means.
//!
//! Every binding of the code that is taken apart gets an id. Two variables of the same name are two bindings. They keep their names: the generated
//! code opens and closes the scopes of the user, so that a name means there what it meant to the user, also inside a macro that nobody can look into.

mod constants;
mod lent;
mod resolver;

use constants::{Constants, may_be_variable};
use proc_macro2::{Ident, Span, TokenStream};
use resolver::Resolver;
pub(crate) use resolver::{borrows, root, takes_receiver};
use std::collections::{BTreeSet, HashMap};
use syn::visit::Visit;
use syn::{Expr, Pat};

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
    /// By what is written where it is declared, it has no destructor that anybody could see.
    pub(crate) plain: bool,
    /// Made by `cx.shared(closure)`: the closure, resolved, and what it uses.
    pub(crate) shared: Option<(TokenStream, Vars)>,
    /// Where the user wrote it: its declaration, or the expression whose value a temporary is.
    pub(crate) written: Option<String>,
    /// What it holds may borrow, or may not be `Send`.
    pub(crate) lent: bool,
    /// An `async` block.
    pub(crate) future: bool,
    /// Its pattern may mean a constant that a `use` in the body brings in.
    pub(crate) doubtful: bool,
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
    parents: Vec<Scope>,
    constants: Constants,
}

impl Names {
    pub(crate) fn new() -> Self {
        Names {
            bindings: Vec::new(),
            scopes: vec![(0, HashMap::new())],
            parents: vec![0],
            constants: Constants::default(),
        }
    }

    /// Takes note of what names in patterns may mean in this body.
    pub(crate) fn look_at(&mut self, body: &syn::Block) {
        self.constants = Constants::of(body);
    }

    pub(crate) fn enter(&mut self) {
        self.parents.push(self.scope());
        self.scopes.push((self.parents.len() - 1, HashMap::new()));
    }

    /// The innermost scope.
    pub(crate) fn scope(&self) -> Scope {
        self.scopes.last().map_or(0, |&(scope, _)| scope)
    }

    /// Whether the outer scope is open wherever the inner one is.
    pub(crate) fn encloses(&self, outer: Scope, mut inner: Scope) -> bool {
        // A scope has a greater number than the one around it.
        while inner > outer {
            inner = self.parents[inner];
        }
        inner == outer
    }

    pub(crate) fn leave(&mut self) {
        self.scopes.pop();
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
            plain: false,
            shared: None,
            written: None,
            lent: false,
            future: false,
            doubtful: false,
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
            plain: false,
            shared: None,
            written: crate::original::place(name.span()),
            lent: false,
            future: false,
            doubtful: false,
        });
        if let Some((_, names)) = self.scopes.last_mut() {
            names.insert(name.to_string(), var);
        }
        var
    }

    /// Declares the variables of a pattern.
    pub(crate) fn declare_pattern(&mut self, pattern: &Pat, plain_let: bool) -> Vec<Var> {
        let mut idents = Vec::new();
        // A variable cannot have the name of a constant that is in scope with it.
        let is_variable = |name: &str| self.lookup(name).is_some();
        self.constants
            .collect_bindings(pattern, plain_let, &is_variable, &mut idents);
        let mut declared = BTreeSet::new();
        let mut vars = Vec::new();
        for (ident, mutable) in idents {
            // An or-pattern has each name once in each alternative.
            if declared.insert(ident.to_string()) {
                let var = self.declare(&ident, mutable);
                self.bindings[var].doubtful = !plain_let && self.constants.is_doubtful(&ident);
                vars.push(var);
            }
        }
        vars
    }

    /// Takes note of a value that these variables get, or parts of it.
    pub(crate) fn flows(&mut self, value: &Expr, into: &[Var]) {
        let is_future = match value {
            Expr::Async(_) => true,
            Expr::Path(_) => root(value)
                .and_then(|name| self.lookup(&name))
                .is_some_and(|var| self.bindings[var].future),
            _ => false,
        };
        if is_future {
            into.iter().for_each(|&var| self.bindings[var].future = true);
        }
        if lent::lends(value, self) {
            into.iter().for_each(|&var| self.bindings[var].lent = true);
        }
    }

    /// Says which variables code touches that stays as it is.
    pub(crate) fn resolve_expr(&self, expr: &Expr) -> Found {
        self.resolve(expr, |resolver| resolver.visit_expr(expr))
    }

    /// As [`Names::resolve_expr`], for what one of these patterns is matched with. What the pattern that fits does with a variable, [`Names::effect`]
    /// says.
    pub(crate) fn resolve_scrutinee<'p>(&self, expr: &Expr, patterns: impl Iterator<Item = &'p Pat>) -> Found {
        let moves_nothing = patterns
            .into_iter()
            .all(|pattern| Moves::of(pattern, false) == Moves::Nothing);
        let moves = if moves_nothing { Moves::Nothing } else { Moves::Unclear };
        self.resolve(expr, |resolver| match self.matched(expr) {
            Some(_) => resolver.place(expr),
            None => resolver.scrutinee(expr, moves),
        })
    }

    /// As [`Names::resolve_expr`], for the value of a `let` with this pattern.
    pub(crate) fn resolve_let(&self, expr: &Expr, pattern: &Pat, plain_let: bool) -> Found {
        self.resolve(expr, |resolver| resolver.scrutinee(expr, Moves::of(pattern, plain_let)))
    }

    /// As [`Names::resolve_expr`], for what may be moved in part.
    pub(crate) fn resolve_perhaps_moved(&self, expr: &Expr) -> Found {
        self.resolve(expr, |resolver| resolver.scrutinee(expr, Moves::Unclear))
    }

    /// The variable that is matched, if that is all that is matched.
    fn matched(&self, expr: &Expr) -> Option<Var> {
        match expr {
            Expr::Path(path) => path.path.get_ident().and_then(|name| self.lookup(&name.to_string())),
            Expr::Paren(inner) => self.matched(&inner.expr),
            Expr::Group(inner) => self.matched(&inner.expr),
            _ => None,
        }
    }

    /// What it does with the variable that is matched that a pattern fits.
    pub(crate) fn effect(&self, expr: &Expr, pattern: &Pat) -> Option<(Var, Moves)> {
        let moves = Moves::of(pattern, false);
        (moves != Moves::Nothing).then(|| self.matched(expr).map(|var| (var, moves)))?
    }

    fn resolve(&self, expr: &Expr, visit: impl FnOnce(&mut Resolver<'_>)) -> Found {
        let assigned = crate::assigned::by_expr(expr, self);
        let mut resolver = Resolver::new(self);
        visit(&mut resolver);
        let mut found = resolver.into_found();
        found.inside = found.changed.clone();
        if let Expr::Assign(assign) = expr
            && let Expr::Path(place) = &*assign.left
            && let Some(var) = place.path.get_ident().and_then(|name| self.lookup(&name.to_string()))
        {
            found.inside.remove(&var);
        }
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
    /// Moved or copied as a whole on every way through.
    pub(crate) moved: Vars,
    /// Perhaps moved, as a whole or in part.
    pub(crate) unclear: Vars,
    /// What becomes of fields, in this order.
    pub(crate) parts: Vec<Part>,
    /// Taken apart by a pattern that binds all of it: gone, if its type has no destructor of its own.
    pub(crate) taken: Vars,
    /// What is behind it was moved or copied: gone, if it is a `Box`.
    pub(crate) emptied: Vars,
    /// The receiver of a method that takes it: gone, if its type is one of `std`'s.
    pub(crate) received: Vars,
    /// Of `changed`, what is assigned perhaps, or somewhere in the middle: not if the code is an assignment and nothing else.
    pub(crate) inside: Vars,
}

/// What becomes of a field of a variable.
#[derive(Clone)]
pub(crate) enum Part {
    /// It is moved or copied on every way through: the place as text and as code.
    Taken(Var, String, TokenStream),
    /// It may be assigned.
    Assigned(Var, String),
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
        self.moved.extend(other.moved);
        self.unclear.extend(other.unclear);
        self.parts.extend(other.parts);
        self.taken.extend(other.taken);
        self.emptied.extend(other.emptied);
        self.received.extend(other.received);
        self.inside.extend(other.inside);
        self
    }
}

/// What of a value its pattern moves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Moves {
    /// It binds nothing, or by reference.
    Nothing,
    /// All that has a destructor.
    Whole,
    /// All, if its type has no destructor of its own: if it has, only copies are taken out of it.
    Parts,
    /// Some of it, perhaps.
    Unclear,
}

impl Moves {
    /// `plain_let`: of a `let` without `else`, where each name is a variable.
    pub(crate) fn of(pattern: &Pat, plain_let: bool) -> Moves {
        match pattern {
            Pat::Ident(name) if name.by_ref.is_some() => Moves::Nothing,
            Pat::Ident(name) if may_be_variable(name, plain_let) => Moves::Whole,
            // May be a constant.
            Pat::Ident(_) => Moves::Nothing,
            Pat::Type(typed) => Moves::of(&typed.pat, plain_let),
            Pat::Paren(inner) => Moves::of(&inner.pat, plain_let),
            Pat::Tuple(tuple) => Moves::all(tuple.elems.iter(), Moves::Whole, plain_let),
            Pat::Slice(slice) => Moves::all(slice.elems.iter(), Moves::Whole, plain_let),
            Pat::TupleStruct(tuple) => {
                let name = tuple.path.segments.last().map(|last| last.ident.to_string());
                let is_known = name.is_some_and(|name| ["Some", "Ok", "Err"].contains(&name.as_str()));
                Moves::all(
                    tuple.elems.iter(),
                    if is_known { Moves::Whole } else { Moves::Parts },
                    plain_let,
                )
            }
            Pat::Struct(literal) => {
                let fields = Moves::all(literal.fields.iter().map(|field| &*field.pat), Moves::Parts, plain_let);
                match (&literal.rest, fields) {
                    (Some(_), Moves::Whole | Moves::Parts) => Moves::Unclear,
                    _ => fields,
                }
            }
            Pat::Or(or) => {
                let mut cases = or.cases.iter().map(|case| Moves::of(case, false));
                let first = cases.next().unwrap_or(Moves::Nothing);
                cases.fold(first, Moves::or)
            }
            Pat::Reference(_)
            | Pat::Lit(_)
            | Pat::Range(_)
            | Pat::Const(_)
            | Pat::Path(_)
            | Pat::Wild(_)
            | Pat::Rest(_) => Moves::Nothing,
            _ => Moves::Unclear,
        }
    }

    /// Of a pattern with these inside: all of its parts, none of them, or some.
    fn all<'p>(parts: impl Iterator<Item = &'p Pat>, whole: Moves, plain_let: bool) -> Moves {
        let (mut moved, mut left) = (false, false);
        for part in parts {
            match Moves::of(part, plain_let) {
                Moves::Whole => moved = true,
                // What is equal to a constant has no destructor.
                Moves::Nothing if matches!(part, Pat::Lit(_) | Pat::Range(_) | Pat::Const(_)) => {}
                Moves::Nothing => left = true,
                Moves::Parts | Moves::Unclear => return Moves::Unclear,
            }
        }
        match (moved, left) {
            (false, _) => Moves::Nothing,
            (true, false) => whole,
            (true, true) => Moves::Unclear,
        }
    }

    /// Of one pattern or another.
    pub(crate) fn or(self, other: Moves) -> Moves {
        if self == other { self } else { Moves::Unclear }
    }
}

/// Whether a pattern takes the whole of a value: nothing with a destructor stays where it was.
pub(crate) fn takes_whole(pattern: &Pat) -> bool {
    Moves::of(pattern, false) == Moves::Whole || matches!(pattern, Pat::Lit(_) | Pat::Range(_) | Pat::Const(_))
}

/// What the names of temporaries begin with.
const TEMPORARY: &str = "__kappa_value";

/// Whether this is the name of a temporary.
pub(crate) fn is_temporary(ident: &Ident) -> bool {
    ident.to_string().starts_with(TEMPORARY)
}
