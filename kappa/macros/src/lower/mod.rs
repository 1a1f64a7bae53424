//! From syntax to the control-flow graph.
//!
//! Guarantees Rust's order of evaluation: whatever is evaluated before a suspension point inside an expression goes into a temporary first, unless
//! evaluating it later makes no difference (a constant, a variable that nothing changes meanwhile, a borrow of a place).
//!
//! Only what must be taken apart is: an expression that holds a suspension point, or a `break` or `continue` of a loop that was taken apart.

mod control;
mod expr;
mod operands;

use crate::graph::{Atom, Block, BlockId, End};
use crate::names::{Found, Names, Var};
use crate::points::{Finder, must_split};
use proc_macro2::{Ident, Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;
use syn::visit::Visit;
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
}

impl<'a> Lower<'a> {
    pub(crate) fn new(cx: &'a Ident, names: Names) -> Self {
        let mut lower = Lower {
            cx,
            names,
            blocks: Vec::new(),
            current: 0,
            targets: Vec::new(),
            items: Vec::new(),
            points: Vec::new(),
            errors: Vec::new(),
            started: 0,
        };
        let entry = lower.block(None);
        lower.start(entry);
        lower
    }

    /// The whole body of the function.
    pub(crate) fn body(&mut self, body: syn::Block) {
        let end = body.brace_token.span.close();
        self.block_into(body, Dest::Return);
        if matches!(self.blocks[self.current].end, End::Open) {
            self.emit(quote_spanned!(end=> return;), Found::default());
            self.end(End::Stop);
        }
    }

    fn block(&mut self, after: Option<BlockId>) -> BlockId {
        self.blocks.push(Block {
            atoms: Vec::new(),
            end: End::Open,
            after,
            order: usize::MAX,
        });
        self.blocks.len() - 1
    }

    /// What follows goes into this block.
    fn start(&mut self, block: BlockId) {
        self.blocks[block].order = self.started;
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
    fn deferred(&mut self, span: Span, ty: Option<&Type>) -> Var {
        let var = self.names.temporary(span);
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
    fn temporary(&mut self, mut value: Expr) -> Expr {
        let found = self.names.resolve_expr(&mut value);
        let var = self.names.temporary(value.span());
        let ident = self.names.bindings[var].ident.clone();
        self.emit_let(quote!(let mut #ident = #value;), found, vec![var]);
        self.path(var)
    }

    fn path(&self, var: Var) -> Expr {
        let ident = &self.names.bindings[var].ident;
        syn::parse_quote!(#ident)
    }

    fn error(&mut self, span: Span, message: &str) {
        self.errors.push(syn::Error::new(span, message));
    }

    /// A native expression, evaluated here.
    fn emit_value(&mut self, mut value: Expr, dest: Dest) {
        let stops = stops(&value);
        if stops {
            self.scope_ends(self.names.visible());
        }
        let mut found = self.names.resolve_expr(&mut value);
        match dest {
            Dest::Discard => self.emit(quote!(#value;), found),
            Dest::Temporary(var) => {
                let ident = &self.names.bindings[var].ident;
                let code = quote!(#ident = #value;);
                found.assigned.insert(var);
                found.mentions.insert(var);
                self.emit(code, found);
            }
            Dest::Return => {
                self.scope_ends(self.names.visible());
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
        for (at, stmt) in stmts.into_iter().enumerate() {
            let is_last = at + 1 == count;
            self.refuse_conditional(&stmt);
            match stmt {
                Stmt::Local(local) => self.local(local),
                Stmt::Expr(expr, semi) => {
                    if is_last && (semi.is_none() || stops(&expr)) {
                        has_value = true;
                        self.into(expr, if semi.is_some() { Dest::Discard } else { dest });
                    } else if is_last && !matches!(dest, Dest::Discard) && !must_split(&expr, self.cx) {
                        // Whether it ever gets to its end is for rustc to say: `{ exit(1); }` is a value of any type.
                        has_value = true;
                        self.emit_value(syn::parse_quote!({ #expr; }), dest);
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
        }
        let vars = self.names.leave();
        self.scope_ends(vars);
        if !has_value {
            self.unit(dest);
        }
    }

    /// What is taken apart must be there: `#[cfg]` on it would be forgotten.
    fn refuse_conditional(&mut self, stmt: &Stmt) {
        struct Search(Option<Span>);
        impl<'ast> Visit<'ast> for Search {
            fn visit_attribute(&mut self, attribute: &'ast syn::Attribute) {
                if attribute.path().is_ident("cfg") || attribute.path().is_ident("cfg_attr") {
                    self.0 = self.0.or(Some(attribute.span()));
                }
            }
            // Its statements are looked at one by one.
            fn visit_block(&mut self, _: &'ast syn::Block) {}
        }
        let mut finder = Finder::new(self.cx);
        finder.visit_stmt(stmt);
        if finder.point.is_some() || finder.escapes {
            let mut search = Search(None);
            search.visit_stmt(stmt);
            if let Some(span) = search.0 {
                self.error(span, "a statement with a suspension point cannot be conditional; put `#[cfg]` on a whole task, or use `if cfg!(..)`");
            }
        }
    }

    /// The scope of these variables ends here.
    fn scope_ends(&mut self, vars: Vec<Var>) {
        let held: Vec<Var> = vars.into_iter().filter(|&var| self.names.is_guard(var)).collect();
        if !held.is_empty() {
            self.blocks[self.current].atoms.push(Atom {
                held,
                ..Atom::new(TokenStream::new(), Found::default())
            });
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

    fn local(&mut self, local: Local) {
        let Local {
            attrs, mut pat, init, ..
        } = local;
        let Some(init) = init else {
            let declares = self.names.declare_pattern(&mut pat, true);
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
            if must_split(&value, self.cx) {
                value = self.value_of_type(value, ty.as_ref());
            }
            let found = self.names.resolve_expr(&mut value);
            let declares = self.names.declare_pattern(&mut pat, true);
            if let (Some(shared), [var]) = (shared, declares.as_slice()) {
                self.names.bindings[*var].shared = Some(shared);
            }
            self.emit_let(quote!(#(#attrs)* let #pat = #value;), found, declares);
            return;
        };
        if !must_split(&value, self.cx) && !must_split(&diverge, self.cx) {
            let mut diverge = *diverge;
            let found = self
                .names
                .resolve_expr(&mut value)
                .and(self.names.resolve_expr(&mut diverge));
            let declares = self.names.declare_pattern(&mut pat, false);
            self.emit_let(quote!(#(#attrs)* let #pat = #value else #diverge;), found, declares);
            return;
        }
        value = self.value_of_type(value, ty.as_ref());
        let found = self.names.resolve_expr(&mut value);
        let (next, other) = (self.block(None), self.block(None));
        let from = self.current;
        self.start(other);
        self.into(*diverge, Dest::Discard);
        let binds = self.names.declare_pattern(&mut pat, false);
        self.blocks[from].end = End::LetElse {
            pattern: quote!(#pat),
            value: quote!(#value),
            found,
            binds,
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
        let mut value = value.clone();
        let found = self.names.resolve_expr(&mut value);
        Some((quote!(#value), found.mentions))
    }
}

/// Whether an expression by its form never gets to its end.
fn stops(expr: &Expr) -> bool {
    match expr {
        Expr::Return(_) => true,
        Expr::Macro(call) => call.mac.path.segments.last().is_some_and(|segment| {
            ["panic", "unreachable", "todo", "unimplemented", "bail"]
                .iter()
                .any(|name| segment.ident == name)
        }),
        _ => false,
    }
}
