//! Whether a name in a pattern is a new variable or a constant, which only rustc knows for certain.

use proc_macro2::{Ident, TokenStream, TokenTree};
use quote::ToTokens;
use std::collections::{BTreeMap, BTreeSet};
use syn::visit::{self, Visit};
use syn::{Block, Expr, Item, Pat, PatIdent, UseTree};

/// Whether a constant could not stand there.
fn can_only_bind(pattern: &PatIdent, plain_let: bool) -> bool {
    plain_let || pattern.by_ref.is_some() || pattern.mutability.is_some() || pattern.subpat.is_some()
}

/// Whether an identifier in a pattern is a new variable, by what it looks like.
pub(super) fn may_be_variable(pattern: &PatIdent, plain_let: bool) -> bool {
    let name = pattern.ident.to_string();
    can_only_bind(pattern, plain_let) || !name.starts_with(char::is_uppercase) || name.chars().count() == 1
}

/// What is known of the names in a body.
#[derive(Default)]
pub(super) struct Constants {
    /// Declared in the body as a constant.
    declared: BTreeSet<String>,
    /// Brought in by a `use` in the body, as whatever it is.
    used: BTreeSet<String>,
    /// How often each word occurs.
    words: BTreeMap<String, usize>,
}

impl Constants {
    pub(super) fn of(body: &Block) -> Self {
        struct Items(Constants);
        impl<'ast> Visit<'ast> for Items {
            fn visit_item(&mut self, item: &'ast Item) {
                match item {
                    Item::Const(item) => _ = self.0.declared.insert(item.ident.to_string()),
                    Item::Static(item) => _ = self.0.declared.insert(item.ident.to_string()),
                    Item::Use(item) => names_of_use(&item.tree, &mut self.0.used),
                    _ => {}
                }
            }
        }
        let mut items = Items(Constants::default());
        items.visit_block(body);
        let mut constants = items.0;
        count(body.to_token_stream(), &mut constants.words);
        constants
    }

    /// Whether the name is that of something that a `use` in the body brings in, which may be a constant.
    pub(super) fn is_doubtful(&self, name: &Ident) -> bool {
        self.used.contains(&name.to_string())
    }

    /// Whether an identifier in a pattern is a new variable and not a constant: where a constant could not stand, and by its name elsewhere. One
    /// capital letter is a variable if anything mentions it; a wrong guess does not compile.
    fn binds(&self, pattern: &PatIdent, plain_let: bool) -> bool {
        let name = pattern.ident.to_string();
        let is_mentioned = || self.words.get(&name).is_some_and(|&count| count > 1);
        let may_bind = !self.declared.contains(&name) && (!name.starts_with(char::is_uppercase) || is_mentioned());
        can_only_bind(pattern, plain_let) || (may_bind && may_be_variable(pattern, plain_let))
    }

    /// The variables of a pattern, and whether they are `mut`; `is_variable` says whether there is a variable of a name already.
    pub(super) fn collect_bindings(
        &self,
        pattern: &Pat,
        plain_let: bool,
        is_variable: &dyn Fn(&str) -> bool,
        into: &mut Vec<(Ident, bool)>,
    ) {
        struct Collector<'a> {
            constants: &'a Constants,
            plain_let: bool,
            is_variable: &'a dyn Fn(&str) -> bool,
            into: &'a mut Vec<(Ident, bool)>,
        }
        impl<'ast> Visit<'ast> for Collector<'_> {
            fn visit_pat_ident(&mut self, pattern: &'ast PatIdent) {
                if self.constants.binds(pattern, self.plain_let) || (self.is_variable)(&pattern.ident.to_string()) {
                    self.into.push((pattern.ident.clone(), pattern.mutability.is_some()));
                }
                visit::visit_pat_ident(self, pattern);
            }
            // Of its alternatives each can be refuted.
            fn visit_pat_or(&mut self, pattern: &'ast syn::PatOr) {
                let plain_let = std::mem::replace(&mut self.plain_let, false);
                visit::visit_pat_or(self, pattern);
                self.plain_let = plain_let;
            }
            fn visit_expr(&mut self, _: &'ast Expr) {}
        }
        Collector {
            constants: self,
            plain_let,
            is_variable,
            into,
        }
        .visit_pat(pattern);
    }
}

fn names_of_use(tree: &UseTree, into: &mut BTreeSet<String>) {
    match tree {
        UseTree::Path(path) => names_of_use(&path.tree, into),
        UseTree::Name(name) => _ = into.insert(name.ident.to_string()),
        UseTree::Rename(rename) => _ = into.insert(rename.rename.to_string()),
        UseTree::Group(group) => group.items.iter().for_each(|tree| names_of_use(tree, into)),
        UseTree::Glob(_) => {}
    }
}

fn count(tokens: TokenStream, into: &mut BTreeMap<String, usize>) {
    for tree in tokens {
        match tree {
            TokenTree::Ident(ident) => *into.entry(ident.to_string()).or_default() += 1,
            TokenTree::Group(group) => count(group.stream(), into),
            // `{N}` in a format string.
            TokenTree::Literal(literal) => {
                let text = literal.to_string();
                let words = text.split(|c: char| !c.is_alphanumeric() && c != '_');
                words.for_each(|word| *into.entry(word.to_string()).or_default() += 1);
            }
            TokenTree::Punct(_) => {}
        }
    }
}
