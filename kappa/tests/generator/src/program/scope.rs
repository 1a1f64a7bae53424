//! What is visible, of which type, and whether it has a value.

use super::Writer;

/// Types of variables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Type {
    Int,
    Text,
    Token,
    Cursor,
    Array,
    List,
    Record,
    Pair,
    Shape,
    Tokens,
    Inclusive,
    Range,
    /// One of the types with serde's attributes.
    Saved(usize),
}

#[derive(Clone, Debug)]
pub(super) struct Variable {
    pub(super) name: String,
    pub(super) ty: Type,
    pub(super) mutable: bool,
    /// It has a value on every path.
    pub(super) whole: bool,
    /// How many loops are around its declaration.
    pub(super) loops: usize,
}

impl Variable {
    pub(super) fn new(name: &str, ty: Type, mutable: bool) -> Self {
        Variable {
            name: name.to_string(),
            ty,
            mutable,
            whole: true,
            loops: 0,
        }
    }
}

#[derive(Clone, Copy)]
pub(super) struct Loop {
    pub(super) label: usize,
    pub(super) kind: Kind,
}

#[derive(Clone, Copy, PartialEq)]
pub(super) enum Kind {
    Plain,
    /// A `loop`, so that `break` has a value.
    Valued,
    /// A labelled block with a value.
    Block,
}

impl Writer {
    /// Begins a scope: what is outside of it.
    pub(super) fn enter(&self) -> Vec<Variable> {
        self.scope.clone()
    }

    /// Ends a scope. What was moved inside is gone on some path; what was assigned inside need not be.
    pub(super) fn leave_scope(&mut self, outside: Vec<Variable>) {
        let inside = std::mem::replace(&mut self.scope, outside);
        for (variable, after) in self.scope.iter_mut().zip(inside) {
            variable.whole &= after.whole;
        }
    }

    /// The numbers in `scope` of what is not shadowed.
    fn visible(&self) -> Vec<usize> {
        let shadowed = |at: usize| {
            self.scope[at + 1..]
                .iter()
                .any(|later| later.name == self.scope[at].name)
        };
        (0..self.scope.len()).filter(|at| !shadowed(*at)).collect()
    }

    fn choose(&mut self, wanted: impl Fn(&Self, &Variable) -> bool) -> Option<usize> {
        let found: Vec<usize> = self
            .visible()
            .into_iter()
            .filter(|at| wanted(self, &self.scope[*at]))
            .collect();
        match found.len() {
            0 => None,
            length => Some(found[self.random.below(length)]),
        }
    }

    fn is_free(&self, variable: &Variable) -> bool {
        !self.locked.contains(&variable.name)
    }

    /// A variable of the type that can be read.
    pub(super) fn readable(&mut self, ty: Type) -> Option<String> {
        let at = self.choose(|this, variable| variable.ty == ty && variable.whole && this.is_free(variable))?;
        Some(self.scope[at].name.clone())
    }

    /// A variable of the type that methods can change.
    pub(super) fn changeable(&mut self, ty: Type) -> Option<String> {
        let at = self.choose(|this, variable| {
            variable.ty == ty && variable.whole && variable.mutable && this.is_free(variable)
        })?;
        Some(self.scope[at].name.clone())
    }

    /// A variable of the type that can be assigned, whether it has a value or not. It has one afterwards.
    pub(super) fn assign(&mut self, ty: Type) -> Option<String> {
        let at = self.choose(|this, variable| variable.ty == ty && variable.mutable && this.is_free(variable))?;
        self.scope[at].whole = true;
        Some(self.scope[at].name.clone())
    }

    /// A variable of the type that can be moved out of: no loop may come by a second time. It is gone afterwards.
    pub(super) fn movable(&mut self, ty: Type) -> Option<String> {
        let loops = self.depth_of_loops();
        let at = self.choose(|this, variable| {
            variable.ty == ty && variable.whole && variable.loops == loops && this.is_free(variable)
        })?;
        self.scope[at].whole = false;
        Some(self.scope[at].name.clone())
    }

    pub(super) fn depth_of_loops(&self) -> usize {
        self.loops.iter().filter(|around| around.kind != Kind::Block).count()
    }

    /// Borrowed until `unlock`.
    pub(super) fn lock(&mut self, name: &str) {
        self.locked.push(name.to_string());
    }

    pub(super) fn unlock(&mut self) {
        self.locked.pop();
    }

    pub(super) fn fresh(&mut self) -> String {
        self.random.of(&["v0", "v1", "v2", "v3", "value", "N"]).to_string()
    }

    /// Declares a variable of a name that is often one that is there already.
    pub(super) fn declare(&mut self, ty: Type, value: &str) -> String {
        let name = self.fresh();
        let mutable = !self.random.one_in(3);
        self.line(&format!("let {}{name} = {value};", if mutable { "mut " } else { "" }));
        self.see(&name, ty, mutable);
        name
    }

    /// A variable is visible from here on.
    pub(super) fn see(&mut self, name: &str, ty: Type, mutable: bool) {
        let loops = self.depth_of_loops();
        self.scope.push(Variable {
            loops,
            ..Variable::new(name, ty, mutable)
        });
    }

    /// The value of a variable is seen.
    pub(super) fn show(&mut self) {
        if let Some(at) = self.choose(|this, variable| variable.whole && this.is_free(variable)) {
            let name = self.scope[at].name.clone();
            self.line(&format!("log(format!(\"{{:?}}\", {name}));"));
        }
    }

    /// Every visible variable counts: a value that was lost or mixed up shows.
    pub(super) fn show_all(&mut self) {
        for at in self.visible() {
            if self.scope[at].whole && self.is_free(&self.scope[at]) {
                let name = self.scope[at].name.clone();
                self.line(&format!("log(format!(\"{name} {{:?}}\", {name}));"));
            }
        }
    }
}
