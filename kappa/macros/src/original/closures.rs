//! Variables that may hold a closure: each time a closure is written it is another type, so they are not tied to anything.

use proc_macro2::{Ident, TokenStream, TokenTree};
use quote::ToTokens;
use std::collections::BTreeSet;
use syn::visit::{self, Visit};
use syn::{Block, Expr, Pat, PatIdent};

/// The names of the variables that may hold a closure, by all that is assigned to variables of that name.
pub(super) struct Closures(BTreeSet<String>);

/// The methods whose results are no closures, whatever their receivers and arguments hold.
const CONSUMING: [&str; 41] = [
    "all",
    "any",
    "await",
    "collect",
    "concat",
    "contains",
    "count",
    "err",
    "expect",
    "find",
    "find_map",
    "fold",
    "get",
    "is_some_and",
    "iter",
    "join",
    "last",
    "len",
    "map_err",
    "max",
    "max_by",
    "max_by_key",
    "min",
    "min_by",
    "min_by_key",
    "next",
    "nth",
    "ok",
    "ok_or",
    "ok_or_else",
    "or_else",
    "partition",
    "position",
    "product",
    "shared",
    "sum",
    "to_string",
    "try_fold",
    "unwrap",
    "unwrap_or",
    "unwrap_or_else",
];

impl Closures {
    pub(super) fn of(block: &Block) -> Self {
        let mut closures = Closures(BTreeSet::new());
        loop {
            let before = closures.0.len();
            Search(&mut closures).visit_block(block);
            if closures.0.len() == before {
                return closures;
            }
        }
    }

    /// Whether the variable may hold one.
    pub(super) fn may_be(&self, variable: &Ident) -> bool {
        self.0.contains(&variable.to_string())
    }

    /// Whether a value may hold one.
    fn gives(&self, value: &Expr) -> bool {
        match value {
            Expr::Closure(_) | Expr::Async(_) => true,
            Expr::MethodCall(call) if CONSUMING.iter().any(|name| call.method == name) => false,
            Expr::MethodCall(call) => {
                self.gives(&call.receiver) || call.args.iter().any(|argument| self.gives(argument))
            }
            Expr::Binary(_) | Expr::Lit(_) | Expr::Cast(_) | Expr::Await(_) => false,
            Expr::Try(inner) => self.gives(&inner.expr),
            Expr::If(branch) => {
                self.in_block(&branch.then_branch)
                    || branch.else_branch.as_ref().is_some_and(|(_, other)| self.gives(other))
            }
            Expr::Match(choice) => choice.arms.iter().any(|arm| self.gives(&arm.body)),
            Expr::Block(block) => self.in_block(&block.block),
            Expr::Loop(_) | Expr::Unsafe(_) | Expr::Macro(_) => self.in_tokens(value.to_token_stream()),
            Expr::Call(call) => call.args.iter().any(|argument| self.gives(argument)),
            Expr::Struct(literal) => literal.fields.iter().any(|field| self.gives(&field.expr)),
            Expr::Tuple(tuple) => tuple.elems.iter().any(|part| self.gives(part)),
            Expr::Array(array) => array.elems.iter().any(|part| self.gives(part)),
            Expr::Path(path) => path.path.get_ident().is_some_and(|name| self.may_be(name)),
            Expr::Field(field) => self.gives(&field.base),
            Expr::Index(index) => self.gives(&index.expr),
            Expr::Reference(reference) => self.gives(&reference.expr),
            Expr::Unary(unary) => self.gives(&unary.expr),
            Expr::Paren(inner) => self.gives(&inner.expr),
            Expr::Group(inner) => self.gives(&inner.expr),
            other => self.in_tokens(other.to_token_stream()),
        }
    }

    fn in_block(&self, block: &Block) -> bool {
        match block.stmts.last() {
            Some(syn::Stmt::Expr(value, None)) => self.gives(value),
            Some(syn::Stmt::Macro(call)) => self.in_tokens(call.mac.tokens.clone()),
            _ => false,
        }
    }

    fn in_tokens(&self, tokens: TokenStream) -> bool {
        tokens.into_iter().any(|tree| match tree {
            TokenTree::Punct(punct) => punct.as_char() == '|',
            TokenTree::Ident(ident) => ident == "async" || self.may_be(&ident),
            TokenTree::Group(group) => self.in_tokens(group.stream()),
            TokenTree::Literal(_) => false,
        })
    }
}

/// Adds the variables that a closure goes into.
struct Search<'a>(&'a mut Closures);

impl Search<'_> {
    fn goes(&mut self, value: &Expr, pattern: &Pat) {
        struct Names<'a>(&'a mut Closures);
        impl<'ast> Visit<'ast> for Names<'_> {
            fn visit_pat_ident(&mut self, pattern: &'ast PatIdent) {
                self.0.0.insert(pattern.ident.to_string());
                visit::visit_pat_ident(self, pattern);
            }
        }
        if self.0.gives(value) {
            Names(self.0).visit_pat(pattern);
        }
    }
}

impl<'ast> Visit<'ast> for Search<'_> {
    fn visit_local(&mut self, local: &'ast syn::Local) {
        if let Some(init) = &local.init {
            self.goes(&init.expr, &local.pat);
        }
        visit::visit_local(self, local);
    }

    fn visit_expr_let(&mut self, binding: &'ast syn::ExprLet) {
        self.goes(&binding.expr, &binding.pat);
        visit::visit_expr_let(self, binding);
    }

    fn visit_expr_match(&mut self, choice: &'ast syn::ExprMatch) {
        for arm in &choice.arms {
            self.goes(&choice.expr, &arm.pat);
        }
        visit::visit_expr_match(self, choice);
    }

    fn visit_expr_for_loop(&mut self, expr: &'ast syn::ExprForLoop) {
        // The items of `iterator.map(|x| ..)` are what the closure gives.
        if matches!(
            &*expr.expr,
            Expr::Array(_) | Expr::Path(_) | Expr::Reference(_) | Expr::Macro(_)
        ) {
            self.goes(&expr.expr, &expr.pat);
        }
        visit::visit_expr_for_loop(self, expr);
    }

    fn visit_expr_assign(&mut self, assign: &'ast syn::ExprAssign) {
        if let Some(name) = crate::names::root(&assign.left)
            && self.0.gives(&assign.right)
        {
            self.0.0.insert(name);
        }
        visit::visit_expr_assign(self, assign);
    }

    /// `list.push(|x| ..)`
    fn visit_expr_method_call(&mut self, call: &'ast syn::ExprMethodCall) {
        const STORING: [&str; 7] = [
            "extend",
            "get_or_insert",
            "insert",
            "push",
            "push_back",
            "push_front",
            "replace",
        ];
        if STORING.iter().any(|name| call.method == name)
            && let Some(name) = crate::names::root(&call.receiver)
            && call.args.iter().any(|argument| self.0.gives(argument))
        {
            self.0.0.insert(name);
        }
        visit::visit_expr_method_call(self, call);
    }
}
