//! From syntax to the control-flow graph.
//!
//! Guarantees Rust's order of evaluation: whatever is evaluated before a suspension point inside an expression goes into a temporary first, unless
//! evaluating it later makes no difference (a constant, a variable that nothing changes meanwhile, a borrow of a place).
//!
//! Only what must be taken apart is: an expression that holds a suspension point, or a `break` or `continue` of a loop that was taken apart.

mod control;
mod expr;
mod operands;
mod temporaries;

use crate::graph::{Atom, Block, BlockId, End};
use crate::names::{Found, Names, Var, Vars, root, takes_whole};
use crate::plain::{is_plain_type, is_plain_value};
use crate::points::{Rules, must_split, never_returns};
use proc_macro2::{Ident, Span, TokenStream, TokenTree};
use quote::{ToTokens, quote, quote_spanned};
use std::collections::{HashMap, HashSet};
use syn::spanned::Spanned;
use syn::{Expr, Item, Lifetime, Local, Pat, Stmt, Type};

/// Where the value of an expression goes.
#[derive(Clone, Copy)]
pub(crate) enum Dest {
    Discard,
    Temporary(Var),
    Return,
}

/// A loop or labelled block that is taken apart.
struct Target {
    label: Option<Lifetime>,
    is_loop: bool,
    break_to: BlockId,
    continue_to: Option<BlockId>,
    dest: Dest,
}

pub(crate) struct Lower<'a> {
    cx: &'a Ident,
    rules: Rules<'a>,
    pub(crate) names: Names,
    pub(crate) blocks: Vec<Block>,
    current: BlockId,
    targets: Vec<Target>,
    /// Items inside the body: visible everywhere in it.
    pub(crate) items: Vec<Item>,
    /// The suspension points, in the order of the source text.
    pub(crate) points: Vec<BlockId>,
    pub(crate) errors: Vec<syn::Error>,
    started: usize,
    /// The temporary values of the statement that is being taken apart which have got names; `None` where they would not live to its end.
    hoisted: Option<Vec<Var>>,
    /// How many blocks of the user are open.
    depth: usize,
    /// What is being taken apart will be evaluated more than once.
    repeated: bool,
    /// The user's code stands in front of what is generated, as it is; see `original`.
    is_said_before: bool,
    /// How often each identifier occurs in the function.
    occurrences: HashMap<String, usize>,
}

impl<'a> Lower<'a> {
    pub(crate) fn new(rules: Rules<'a>, names: Names) -> Self {
        let mut lower = Lower {
            cx: rules.cx,
            rules,
            names,
            blocks: Vec::new(),
            current: 0,
            targets: Vec::new(),
            items: Vec::new(),
            points: Vec::new(),
            errors: Vec::new(),
            started: 0,
            hoisted: None,
            depth: 0,
            repeated: false,
            is_said_before: false,
            occurrences: HashMap::new(),
        };
        let entry = lower.block(None);
        lower.start(entry);
        lower
    }

    /// The whole body of the function.
    pub(crate) fn body(&mut self, body: syn::Block) {
        let end = body.brace_token.span.close();
        self.occurrences = occurrences(body.to_token_stream());
        self.is_said_before = crate::original::is_possible(&body, self.rules);
        self.names.look_at(&body);
        self.block_into(body, Dest::Return);
        if matches!(self.blocks[self.current].end, End::Open) {
            // Of a result that is missing, rustc says more where it stands in the user's code.
            let value = self
                .is_said_before
                .then(|| quote_spanned!(end=> ::kappa::__private::at_end()));
            self.emit(quote_spanned!(end=> return #value;), Found::default());
            self.end(End::Stop);
        }
        self.refuse_other_shared_values();
        self.refuse_macros_with_variables();
    }

    /// A macro of a block that is taken apart is put at the function's beginning, where none of its variables are.
    fn refuse_macros_with_variables(&mut self) {
        let mut errors = Vec::new();
        for item in &self.items {
            let Item::Macro(item) = item else { continue };
            let mut own = HashSet::new();
            declared_in_tokens(item.mac.tokens.clone(), &mut own);
            let bindings = self.names.bindings.iter();
            let variables: HashSet<String> = bindings.map(|binding| binding.ident.to_string()).collect();
            if let Some(name) = mentioned_in_macro(item.mac.tokens.clone(), &variables, &own) {
                let message = format!(
                    "this macro mentions the variable `{name}`, but it is put at the function's beginning, because the block holds a suspension point; \
                     pass the variable as an argument, or use a closure"
                );
                errors.push((item.span(), message));
            }
        }
        for (span, message) in errors {
            self.error(span, &message);
        }
    }

    /// A value of `cx.shared(closure)` is what the closure gives, today and after a resume.
    fn refuse_other_shared_values(&mut self) {
        let atoms = self.blocks.iter().flat_map(|block| &block.atoms);
        let changed: Vars = atoms.flat_map(|atom| atom.found.changed.iter().copied()).collect();
        let mut errors = Vec::new();
        for (var, binding) in self.names.bindings.iter().enumerate() {
            let Some((_, made_of)) = &binding.shared else { continue };
            if changed.contains(&var) {
                errors.push((
                    binding.ident.span(),
                    "a value of `cx.shared(..)` is made again by the same closure after a resume, so nothing else can be assigned to it; use another \
                     variable"
                        .to_string(),
                ));
            }
            for part in made_of
                .iter()
                .map(|&part| &self.names.bindings[part])
                .filter(|part| part.mutable)
            {
                let name = &part.ident;
                errors.push((
                    name.span(),
                    format!(
                        "`{name}` is used by the closure of a `cx.shared(..)`, which runs again after a resume and must give the same, so it cannot \
                         change: write `let {name} = {name};` before"
                    ),
                ));
            }
        }
        for (span, message) in errors {
            self.error(span, &message);
        }
    }

    fn block(&mut self, after: Option<BlockId>) -> BlockId {
        self.blocks.push(Block {
            atoms: Vec::new(),
            end: End::Open,
            after,
            order: usize::MAX,
            scope: 0,
            origin: self.blocks.len(),
        });
        self.blocks.len() - 1
    }

    /// What follows goes into this block.
    fn start(&mut self, block: BlockId) {
        self.blocks[block].order = self.started;
        self.blocks[block].scope = self.names.scope();
        self.started += 1;
        self.current = block;
    }

    fn end(&mut self, end: End) {
        let block = &mut self.blocks[self.current];
        if matches!(block.end, End::Open) {
            block.end = end;
        }
    }

    fn jump(&mut self, target: BlockId) {
        self.end(End::Jump(target));
    }

    /// What follows is never reached.
    fn dead(&mut self) {
        let block = self.block(None);
        self.start(block);
    }

    fn emit(&mut self, code: TokenStream, found: Found) {
        self.blocks[self.current].atoms.push(Atom::new(code, found));
    }

    fn emit_let(&mut self, code: TokenStream, found: Found, declares: Vec<Var>) {
        self.blocks[self.current].atoms.push(Atom {
            declares,
            ..Atom::new(code, found)
        });
    }

    /// `let temporary;`, to be assigned on several ways.
    fn deferred(&mut self, value: &Expr, ty: Option<&Type>) -> Var {
        let var = self.names.temporary(value.span());
        self.names.bindings[var].written = crate::original::place_of_value(value);
        self.names.bindings[var].lent = ty.is_some_and(may_be_lent);
        let ident = &self.names.bindings[var].ident;
        let ty = ty.map(|ty| quote!(: #ty));
        let code = quote!(let mut #ident #ty;);
        let atom = Atom {
            declares: vec![var],
            deferred: true,
            ..Atom::new(code, Found::default())
        };
        self.blocks[self.current].atoms.push(atom);
        var
    }

    /// `let temporary = value;`
    fn temporary(&mut self, value: Expr) -> Var {
        let found = self.names.resolve_expr(&value);
        let var = self.names.temporary(value.span());
        self.names.flows(&value, &[var]);
        let ident = self.names.bindings[var].ident.clone();
        self.emit_let(quote!(let mut #ident = #value;), found, vec![var]);
        var
    }

    /// A temporary where it is used, once: it moves, so that it is dropped at the end of the statement as the value itself would be.
    fn once(&self, var: Var) -> Expr {
        if self.repeated {
            return self.path(var);
        }
        let ident = &self.names.bindings[var].ident;
        let span = ident.span();
        syn::parse_quote_spanned!(span=> ({ #ident }))
    }

    fn path(&self, var: Var) -> Expr {
        let ident = &self.names.bindings[var].ident;
        syn::parse_quote!(#ident)
    }

    fn error(&mut self, span: Span, message: &str) {
        self.errors.push(syn::Error::new(span, message));
    }

    /// A native expression, evaluated here.
    fn emit_value(&mut self, value: Expr, dest: Dest) {
        let stops = stops(&value);
        let mut found = self.names.resolve_expr(&value);
        match dest {
            Dest::Discard => {
                if let Expr::Assign(assign) = &value
                    && let Some(var) = root(&assign.left).and_then(|name| self.names.lookup(&name))
                {
                    self.names.flows(&assign.right, &[var]);
                }
                // A macro by a name such as `todo` may be another one.
                let code = match stops && matches!(value, Expr::Macro(_)) {
                    true => quote_spanned!(value.span()=> let _: ::kappa::__private::NeverReturns = { #value; };),
                    false => quote!(#value;),
                };
                self.emit(code, found);
            }
            Dest::Temporary(var) => {
                self.names.flows(&value, &[var]);
                let ident = &self.names.bindings[var].ident;
                let code = quote!(#ident = #value;);
                found.assigned.insert(var);
                found.mentions.insert(var);
                self.emit(code, found);
            }
            Dest::Return => {
                self.emit(quote!(return #value;), found);
                self.end(End::Stop);
                self.dead();
                return;
            }
        }
        if stops {
            self.end(End::Stop);
            self.dead();
        }
    }

    /// The statements of a block, its value going to `dest`.
    fn block_into(&mut self, block: syn::Block, dest: Dest) {
        self.names.enter();
        self.depth += 1;
        self.refuse_hiding_items(&block);
        let mut stmts = block.stmts;
        // Items are visible in the whole block: they come first.
        stmts.retain(|stmt| match stmt {
            Stmt::Item(item) => {
                self.items.push(item.clone());
                false
            }
            _ => true,
        });
        let count = stmts.len();
        let mut has_value = false;
        let last_split = stmts.iter().rposition(|stmt| must_split_stmt(stmt, self.rules));
        for (at, stmt) in stmts.into_iter().enumerate() {
            let is_last = at + 1 == count;
            let outer = self.hoisted.replace(Vec::new());
            match stmt {
                Stmt::Local(local) => self.local(local, last_split.is_some_and(|last| at < last)),
                Stmt::Expr(expr, semi) => {
                    if is_last && (semi.is_none() || stops(&expr)) {
                        has_value = true;
                        self.into(expr, if semi.is_some() { Dest::Discard } else { dest });
                    } else if is_last && !matches!(dest, Dest::Discard) && !must_split(&expr, self.rules) {
                        // Whether it ever gets to its end is for rustc to say: `{ exit(1); }` is a value of any type.
                        has_value = true;
                        let end = match dest {
                            Dest::Return if self.is_said_before => Some(quote!(::kappa::__private::at_end())),
                            _ => None,
                        };
                        self.emit_value(syn::parse_quote!({ #expr; #end }), dest);
                    } else {
                        self.into(expr, Dest::Discard);
                    }
                }
                Stmt::Macro(stmt) => {
                    let is_value = is_last && stmt.semi_token.is_none();
                    let expr = Expr::Macro(syn::ExprMacro {
                        attrs: stmt.attrs,
                        mac: stmt.mac,
                    });
                    has_value |= is_value || (is_last && stops(&expr));
                    self.into(expr, if is_value { dest } else { Dest::Discard });
                }
                Stmt::Item(_) => {}
            }
            let hoisted = std::mem::replace(&mut self.hoisted, outer);
            for var in hoisted.into_iter().flatten().rev() {
                self.blocks[self.current].atoms.push(Atom {
                    ends: Some(var),
                    ..Atom::new(TokenStream::new(), Found::default())
                });
            }
        }
        self.names.leave();
        self.depth -= 1;
        if !has_value {
            self.unit(dest);
        }
    }

    /// The items of a block that is taken apart are put at the function's beginning, so their names must not mean anything else outside of the block.
    fn refuse_hiding_items(&mut self, block: &syn::Block) {
        let mut names = Vec::new();
        for stmt in &block.stmts {
            let Stmt::Item(item) = stmt else { continue };
            item_names(item, &mut names);
            match item {
                Item::Use(item) if self.depth > 1 && has_glob(&item.tree) => self.error(
                    item.span(),
                    "in a block that holds a suspension point, this would bring names into the whole function; name what you use, or write the `use` \
                     outside of the function",
                ),
                _ => {}
            }
        }
        if names.is_empty() {
            return;
        }
        let inside = occurrences(block.to_token_stream());
        for name in names {
            let text = name.to_string();
            if inside.get(&text) != self.occurrences.get(&text) {
                let message = format!(
                    "`{text}` is mentioned outside of this block too, where it would mean this item, because the block holds a suspension point; give \
                     it another name, or declare it outside of the function"
                );
                self.error(name.span(), &message);
            }
        }
    }

    /// The value `()`.
    fn unit(&mut self, dest: Dest) {
        if !matches!(self.blocks[self.current].end, End::Open) {
            return;
        }
        match dest {
            Dest::Discard | Dest::Return => {}
            Dest::Temporary(_) => self.emit_value(syn::parse_quote!(()), dest),
        }
    }

    /// `lives`: there is a suspension point in what follows.
    fn local(&mut self, local: Local, lives: bool) {
        let Local { attrs, pat, init, .. } = local;
        let Some(init) = init else {
            let declares = self.names.declare_pattern(&pat, true);
            let code = quote!(#(#attrs)* let #pat;);
            let atom = Atom {
                declares,
                deferred: true,
                ..Atom::new(code, Found::default())
            };
            self.blocks[self.current].atoms.push(atom);
            return;
        };
        let ty = match &pat {
            Pat::Type(typed) => Some((*typed.ty).clone()),
            _ => None,
        };
        let mut value = *init.expr;
        let Some((_, diverge)) = init.diverge else {
            let shared = self.shared(&value);
            if must_split(&value, self.rules) {
                value = self.value_of_type(value, ty.as_ref());
            }
            if lives {
                self.check_let(&pat, &mut value);
            }
            let is_whole = takes_whole(&pat);
            let found = self.names.resolve_let(&value, &pat, true);
            let is_plain = match &ty {
                Some(ty) => is_plain_type(ty),
                None => is_whole && is_plain_value(&value, &self.names),
            };
            let declares = self.names.declare_pattern(&pat, true);
            self.names.flows(&value, &declares);
            let is_lent = ty.as_ref().is_some_and(may_be_lent);
            for &var in &declares {
                self.names.bindings[var].lent |= is_lent;
                self.names.bindings[var].plain = is_plain;
            }
            if let (Some(shared), [var]) = (shared, declares.as_slice()) {
                self.names.bindings[*var].shared = Some(shared);
            }
            self.emit_let(quote!(#(#attrs)* let #pat = #value;), found, declares);
            return;
        };
        if !must_split(&value, self.rules) && !must_split(&diverge, self.rules) {
            let diverge = *diverge;
            let mut otherwise = self.names.resolve_expr(&diverge);
            otherwise.assigned.clear();
            let found = self.names.resolve_let(&value, &pat, false).and(otherwise);
            let declares = self.names.declare_pattern(&pat, false);
            self.names.flows(&value, &declares);
            self.emit_let(quote!(#(#attrs)* let #pat = #value else #diverge;), found, declares);
            return;
        }
        value = self.value_of_type(value, ty.as_ref());
        let found = self.names.resolve_scrutinee(&value, std::iter::once(&pat));
        let effect = self.names.effect(&value, &pat);
        let (next, other) = (self.block(None), self.block(None));
        let from = self.current;
        self.start(other);
        self.into(*diverge, Dest::Discard);
        let binds = self.names.declare_pattern(&pat, false);
        self.names.flows(&value, &binds);
        self.blocks[from].end = End::LetElse {
            pattern: quote!(#pat),
            value: quote!(#value),
            found,
            binds,
            effect,
            next,
            other,
        };
        self.start(next);
    }

    /// The closure of `cx.shared(closure)` and what it uses.
    fn shared(&self, value: &Expr) -> Option<(TokenStream, crate::names::Vars)> {
        let Expr::MethodCall(call) = value else { return None };
        let Expr::Path(receiver) = &*call.receiver else {
            return None;
        };
        if !receiver.path.is_ident(self.cx) || call.method != "shared" || call.args.len() != 1 {
            return None;
        }
        let found = self.names.resolve_expr(value);
        Some((quote!(#value), found.mentions))
    }
}

/// Whether a value of this type may borrow, or may not be `Send`, by its text.
fn may_be_lent(ty: &Type) -> bool {
    fn any(tokens: TokenStream) -> bool {
        tokens.into_iter().any(|tree| match tree {
            TokenTree::Ident(ident) => ident == "dyn" || ident == "Rc",
            TokenTree::Punct(punct) => matches!(punct.as_char(), '&' | '\''),
            TokenTree::Group(group) => any(group.stream()),
            TokenTree::Literal(_) => false,
        })
    }
    any(ty.to_token_stream())
}

/// Whether a statement has to be taken apart.
fn must_split_stmt(stmt: &Stmt, rules: Rules<'_>) -> bool {
    match stmt {
        Stmt::Local(local) => local.init.as_ref().is_some_and(|init| {
            let diverge = init.diverge.as_ref();
            must_split(&init.expr, rules) || diverge.is_some_and(|(_, other)| must_split(other, rules))
        }),
        Stmt::Expr(expr, _) => must_split(expr, rules),
        Stmt::Macro(call) => must_split(
            &Expr::Macro(syn::ExprMacro {
                attrs: Vec::new(),
                mac: call.mac.clone(),
            }),
            rules,
        ),
        Stmt::Item(_) => false,
    }
}

/// The names that tokens declare with `let`, or as a parameter of their macro.
fn declared_in_tokens(tokens: TokenStream, into: &mut HashSet<String>) {
    let mut after = None;
    for tree in tokens {
        match &tree {
            TokenTree::Ident(ident) if after.take().is_some() && ident != "mut" => _ = into.insert(ident.to_string()),
            TokenTree::Ident(ident) if ident == "let" || ident == "mut" => after = Some(()),
            TokenTree::Punct(punct) => after = (punct.as_char() == '$').then_some(()),
            TokenTree::Group(group) => {
                after = None;
                declared_in_tokens(group.stream(), into);
            }
            TokenTree::Ident(_) | TokenTree::Literal(_) => after = None,
        }
    }
}

/// The first of some variables that a macro's definition mentions: by its name, or in a format string.
fn mentioned_in_macro(tokens: TokenStream, variables: &HashSet<String>, own: &HashSet<String>) -> Option<String> {
    let mut before = None;
    for tree in tokens {
        let last = before.replace(match &tree {
            TokenTree::Punct(punct) => Some(punct.as_char()),
            _ => None,
        });
        let found = match &tree {
            TokenTree::Ident(ident) => {
                let name = ident.to_string();
                let is_other = matches!(last, Some(Some('$' | '.' | '\'')));
                (!is_other && variables.contains(&name) && !own.contains(&name)).then_some(name)
            }
            TokenTree::Group(group) => mentioned_in_macro(group.stream(), variables, own),
            TokenTree::Literal(literal) => {
                let text = literal.to_string();
                let is_inside =
                    |name: &&String| text.contains(&format!("{{{name}}}")) || text.contains(&format!("{{{name}:"));
                variables
                    .iter()
                    .find(is_inside)
                    .filter(|name| !own.contains(*name))
                    .cloned()
            }
            TokenTree::Punct(_) => None,
        };
        if found.is_some() {
            return found;
        }
    }
    None
}

/// How often each identifier occurs.
fn occurrences(tokens: TokenStream) -> HashMap<String, usize> {
    fn count(tokens: TokenStream, into: &mut HashMap<String, usize>) {
        for tree in tokens {
            match tree {
                TokenTree::Ident(ident) => *into.entry(ident.to_string()).or_default() += 1,
                TokenTree::Group(group) => count(group.stream(), into),
                TokenTree::Literal(_) | TokenTree::Punct(_) => {}
            }
        }
    }
    let mut counts = HashMap::new();
    count(tokens, &mut counts);
    counts
}

/// The names that an item declares.
fn item_names(item: &Item, into: &mut Vec<Ident>) {
    fn in_use(tree: &syn::UseTree, into: &mut Vec<Ident>) {
        match tree {
            syn::UseTree::Path(path) => in_use(&path.tree, into),
            syn::UseTree::Name(name) => into.push(name.ident.clone()),
            syn::UseTree::Rename(rename) if rename.rename != "_" => into.push(rename.rename.clone()),
            syn::UseTree::Rename(_) | syn::UseTree::Glob(_) => {}
            syn::UseTree::Group(group) => group.items.iter().for_each(|tree| in_use(tree, into)),
        }
    }
    match item {
        Item::Const(item) => into.push(item.ident.clone()),
        Item::Enum(item) => into.push(item.ident.clone()),
        Item::Fn(item) => into.push(item.sig.ident.clone()),
        Item::Macro(item) => into.extend(item.ident.clone()),
        Item::Mod(item) => into.push(item.ident.clone()),
        Item::Static(item) => into.push(item.ident.clone()),
        Item::Struct(item) => into.push(item.ident.clone()),
        Item::Trait(item) => into.push(item.ident.clone()),
        Item::Type(item) => into.push(item.ident.clone()),
        Item::Union(item) => into.push(item.ident.clone()),
        Item::Use(item) => in_use(&item.tree, into),
        _ => {}
    }
}

/// Whether a `use` brings in names that are not written there.
fn has_glob(tree: &syn::UseTree) -> bool {
    match tree {
        syn::UseTree::Glob(_) => true,
        syn::UseTree::Path(path) => has_glob(&path.tree),
        syn::UseTree::Group(group) => group.items.iter().any(has_glob),
        syn::UseTree::Name(_) | syn::UseTree::Rename(_) => false,
    }
}

/// Whether an expression by its form never gets to its end.
fn stops(expr: &Expr) -> bool {
    match expr {
        Expr::Return(_) => true,
        Expr::Macro(call) => never_returns(&call.mac),
        _ => false,
    }
}
