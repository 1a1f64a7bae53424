//! What a task function becomes: its call constructor, its type, its registration, and its body as a state machine.

use crate::emit::{Emitter, here};
use crate::graph::{Block, Graph};
use crate::lower::Lower;
use crate::names::{Binding, Names, Vars};
use crate::points::Rules;
use crate::{check, original, points};
use proc_macro2::{Ident, TokenStream, TokenTree};
use quote::{ToTokens, format_ident, quote, quote_spanned};
use std::collections::BTreeMap;
use syn::spanned::Spanned;
use syn::visit_mut::{self, VisitMut};
use syn::{FnArg, ItemFn, Pat, Result, ReturnType, Type};

/// A parameter after the context.
pub(crate) struct Parameter {
    pub(crate) ident: Ident,
    pub(crate) mutable: bool,
    pub(crate) ty: Type,
}

pub(crate) fn expand(function: ItemFn, auto: bool) -> Result<TokenStream> {
    check::attributes(&function.attrs)?;
    let (cx, context, parameters) = check::signature(&function.sig)?;
    let checked = check::body(&function.block, &cx);
    let rules = Rules { cx: &cx, auto };
    let fingerprint = fingerprint(function.to_token_stream(), auto);
    let sources = crate::sources::hash();

    let ItemFn {
        attrs,
        vis,
        sig,
        mut block,
    } = function;
    Awaits { cx: &cx }.visit_block_mut(&mut block);
    let name = &sig.ident;
    let task = format_ident!("__{}", name, span = name.span());
    let configured: Vec<_> = attrs.iter().filter(|attr| attr.path().is_ident("cfg")).collect();
    let is_lint = |attr: &&syn::Attribute| {
        ["allow", "expect", "warn", "deny", "forbid"]
            .iter()
            .any(|name| attr.path().is_ident(name))
    };
    let lints: Vec<_> = attrs.iter().filter(is_lint).collect();
    let attrs: Vec<_> = attrs.iter().filter(|attr| !attr.path().is_ident("expect")).collect();
    let (idents, types): (Vec<_>, Vec<_>) = parameters.iter().map(|p| (&p.ident, &p.ty)).unzip();
    let texts = idents
        .iter()
        .map(|ident| ident.to_string().trim_start_matches("r#").to_string());
    let plain_name = name.to_string();
    let plain_name = plain_name.trim_start_matches("r#");
    let (output, output_span) = match &sig.output {
        ReturnType::Default => (quote!(()), name.span()),
        ReturnType::Type(_, ty) => (quote!(#ty), ty.span()),
    };
    let (value, conclude) = if is_result(&sig.output) {
        (
            quote_spanned!(output_span=> <#output as ::kappa::__private::Returned>::Value),
            quote_spanned!(output_span=> ::kappa::__private::Returned::conclude(output)),
        )
    } else {
        (
            output.clone(),
            quote_spanned!(output_span=> ::core::result::Result::Ok(output)),
        )
    };
    let arguments_span = types.first().map_or(name.span(), |ty| ty.span());
    let arguments = quote_spanned!(arguments_span=> (#(#types,)*));
    // An error of this type alone, say that it is private, belongs to the parameters.
    let arguments_type = quote_spanned!(arguments_span=> type Arguments = #arguments;);
    // A body with errors leaves a function that can be named, so that nothing else fails because of it.
    let is_whole = checked.is_ok() && !points::suspends(&block, rules);
    let Body { code: body, unused } = checked
        .and_then(|()| body(*block, rules, &parameters))
        .unwrap_or_else(|error| {
            let error = error.into_compile_error();
            Body {
                code: quote!(#error ::core::unreachable!()),
                unused: Vec::new(),
            }
        });
    let value_type = quote_spanned!(output_span=> type Value = <#value as ::kappa::__private::Sent>::Itself;);
    // Errors of the result's type belong to it, and the same error twice at one place is shown once.
    let conclude = quote_spanned! {output_span=>
        fn conclude(output: Self::Output) -> ::core::result::Result<Self::Value, ::kappa::__private::Failed> {
            #conclude
        }
    };
    // Lints see a body that is not taken apart as it was written.
    let taken_apart = if is_whole {
        quote!(#[allow(clippy::needless_pass_by_ref_mut, clippy::too_many_arguments, clippy::unused_async)])
    } else {
        quote! {
            #[allow(
                clippy::all,
                clippy::pedantic,
                path_statements,
                unreachable_code,
                unused_assignments,
                unused_braces,
                unused_labels,
                unused_mut,
                unused_parens,
                unused_variables
            )]
        }
    };
    // Names of the compiler: a variable of the user never means one of them.
    let (caller, entry) = (Ident::new("__caller", here()), Ident::new("__entry", here()));
    Ok(quote! {
        #(#attrs)*
        #[allow(clippy::too_many_arguments)]
        #vis fn #name(#(#idents: #types),*) -> ::kappa::__private::TaskCall<#task> {
            ::kappa::__private::TaskCall::new((#(#idents,)*))
        }

        #(#configured)*
        #[doc(hidden)]
        #[allow(dead_code, missing_copy_implementations, missing_debug_implementations, non_camel_case_types, unreachable_pub)]
        #vis struct #task {}

        #(#configured)*
        const _: () = {
            const __FUNCTION: ::kappa::__private::Function = <#task as ::kappa::__private::TaskFunction>::FUNCTION;

            impl ::kappa::__private::TaskFunction for #task {
                #arguments_type
                type Output = #output;
                #value_type

                const NAME: &'static str = ::core::concat!(::core::module_path!(), "::", #plain_name);
                const PARAMETERS: &'static [&'static str] = &[#(#texts),*];
                const FINGERPRINT: u64 = #fingerprint;
                const SOURCES: u64 = #sources;

                fn run<'a>(
                    cx: &'a mut ::kappa::__private::Context,
                    caller: ::core::option::Option<&'a ::kappa::__private::Frame<'a>>,
                    entry: ::kappa::__private::Entry<Self::Arguments>,
                ) -> ::core::pin::Pin<::std::boxed::Box<dyn ::core::future::Future<Output = Self::Output> + ::core::marker::Send + 'a>> {
                    ::std::boxed::Box::pin(__kappa__body(cx, caller, entry))
                }

                #conclude
            }

            ::kappa::__private::inventory::submit! { ::kappa::__private::Registration::of::<#task>() }

            #[allow(unused_imports)]
            use ::kappa::__private::{AsFuture as _, CopyOperand as _, PlaceOperand as _};
            #[allow(unused_imports)]
            use ::kappa::__private::held::{
                EmptiedBox as _, EmptiedFree as _, EmptiedOther as _, MovedFree as _, MovedIterator as _, MovedKnown as _, MovedOther as _, OfCollection as _, OfCopy as _, OfDrop as _, OfFree as _, OfKept as _,
                OfOther as _, OfSaved as _, OfSavedCollection as _,
            };

            #(#lints)*
            #[allow(clippy::all, clippy::pedantic, dead_code)]
            fn __kappa__unused() {
                #(let #unused = ();)*
            }

            #(#lints)*
            #taken_apart
            async fn __kappa__body(
                #cx: #context,
                #caller: ::core::option::Option<&::kappa::__private::Frame<'_>>,
                #entry: ::kappa::__private::Entry<#arguments>,
            ) -> #output {
                #body
            }
        };
    })
}

/// Hands what every other `.await` awaits through a function. Where it cannot be awaited, rustc then does not offer to remove the `.await`: of a call
/// that nobody makes, nothing would be left.
struct Awaits<'a> {
    cx: &'a Ident,
}

impl VisitMut for Awaits<'_> {
    fn visit_expr_await_mut(&mut self, awaited: &mut syn::ExprAwait) {
        visit_mut::visit_expr_await_mut(self, awaited);
        if points::operation(awaited, self.cx).is_none() {
            let base = &awaited.base;
            let span = awaited.await_token.span.resolved_at(here());
            *awaited.base = syn::parse_quote_spanned!(span=> ::kappa::__private::Awaited(#base).future());
        }
    }

    fn visit_item_mut(&mut self, _: &mut syn::Item) {}
}

/// What a body becomes.
struct Body {
    code: TokenStream,
    /// Its variables that nothing mentions: in `code`, rustc does not see that.
    unused: Vec<Ident>,
}

fn body(block: syn::Block, rules: Rules<'_>, parameters: &[Parameter]) -> Result<Body> {
    let cx = rules.cx;
    if !points::suspends(&block, rules) {
        let parameters = parameters.iter().map(|Parameter { ident, mutable, .. }| {
            let mutable = mutable.then(|| quote!(mut));
            quote!(#mutable #ident)
        });
        let code = quote_spanned! {here()=>
            let (#(#parameters,)*) = match __entry {
                ::kappa::__private::Entry::Begin(__arguments) => __arguments,
                ::kappa::__private::Entry::Resume => {
                    #cx.unusable(__FUNCTION.name, "the checkpoint is inside a function that has no suspension point").await
                }
            };
            #block
        };
        return Ok(Body {
            code,
            unused: Vec::new(),
        });
    }
    let words = Words::of(block.to_token_stream());
    let mut lower = Lower::new(rules, Names::new());
    let variables: Vec<_> = parameters
        .iter()
        .map(|parameter| {
            let var = lower.names.declare(&parameter.ident, parameter.mutable);
            lower.names.bindings[var].plain = crate::plain::is_plain_type(&parameter.ty);
            var
        })
        .collect();
    lower.body(block.clone());
    let Lower {
        names,
        blocks,
        items,
        points,
        errors,
        ..
    } = lower;
    if let Some(error) = errors.into_iter().reduce(|mut all, error| {
        all.combine(error);
        all
    }) {
        return Err(error);
    }
    let unused = unused(&blocks, &names.bindings, &words);
    let graph = Graph::new(blocks, &names, &variables);
    let emitter = Emitter::new(&graph, &names, cx, &points);
    if let Some(var) = emitter.doubtful() {
        let ident = &names.bindings[var].ident;
        return Err(syn::Error::new(
            ident.span(),
            format!(
                "`{ident}` may be a constant or a new variable here, because a `use` in this function brings that name in, and a variable would have to be \
                 kept until another part of the function; give it another name, or write the `use` outside of the function"
            ),
        ));
    }
    if let Some(var) = emitter.future_in_scope() {
        let ident = &names.bindings[var].ident;
        return Err(syn::Error::new(
            ident.span(),
            format!(
                "`{ident}` is an `async` block that is in scope across a suspension point, where it would be dropped, and not at the end of its scope: end \
                 its scope before, with a block `{{ .. }}` around what needs it, or write `{ident}.await` where it is moved"
            ),
        ));
    }
    let original = original::code(&block, rules, &names.bindings, &emitter);
    let machine = emitter.body(&variables, &quote!(__FUNCTION.name), &original);
    Ok(Body {
        code: quote!(#(#items)* #machine),
        unused,
    })
}

/// The words of a task's text, to be sure that a variable which is reported as unused is mentioned nowhere, in no macro and no format string.
#[derive(Default)]
struct Words {
    idents: BTreeMap<String, usize>,
    literals: Vec<String>,
}

impl Words {
    fn of(tokens: TokenStream) -> Self {
        let mut words = Words::default();
        words.add(tokens);
        words
    }

    fn add(&mut self, tokens: TokenStream) {
        for token in tokens {
            match token {
                TokenTree::Group(group) => self.add(group.stream()),
                TokenTree::Ident(ident) => *self.idents.entry(ident.to_string()).or_default() += 1,
                TokenTree::Literal(literal) => self.literals.push(literal.to_string()),
                TokenTree::Punct(_) => {}
            }
        }
    }

    /// Whether the name stands at its declaration at most.
    fn has_only_the_declaration(&self, name: &str) -> bool {
        self.idents.get(name).is_none_or(|&count| count <= 1)
            && !self.literals.iter().any(|literal| literal.contains(name))
    }
}

/// The variables that nothing mentions.
fn unused(blocks: &[Block], bindings: &[Binding], words: &Words) -> Vec<Ident> {
    let mut used = Vars::new();
    for block in blocks {
        used.extend(block.end_found().mentions);
        for atom in &block.atoms {
            used.extend(atom.found.mentions.iter().chain(&atom.found.assigned));
        }
    }
    used.extend(
        bindings
            .iter()
            .flat_map(|binding| &binding.shared)
            .flat_map(|(_, uses)| uses),
    );
    let all = bindings.iter().enumerate();
    all.filter(|(var, binding)| !binding.temporary && !used.contains(var))
        .filter(|(_, binding)| words.has_only_the_declaration(&binding.ident.to_string()))
        .map(|(_, binding)| binding.ident.clone())
        .collect()
}

fn is_result(output: &ReturnType) -> bool {
    match output {
        ReturnType::Type(_, ty) => match plain_type(ty) {
            Type::Path(path) => path
                .path
                .segments
                .last()
                .is_some_and(|segment| segment.ident == "Result"),
            _ => false,
        },
        ReturnType::Default => false,
    }
}

/// The type without parentheses, and without the invisible ones around what a `macro_rules!` macro passed on.
pub(crate) fn plain_type(ty: &Type) -> &Type {
    match ty {
        Type::Group(inner) => plain_type(&inner.elem),
        Type::Paren(inner) => plain_type(&inner.elem),
        other => other,
    }
}

/// The version of what the compiler makes of a text. It goes up whenever the same text gets other suspension points or other frames.
const COMPILER: u64 = 3;

/// FNV-1a over the function's tokens, and whatever else decides about the layout of its frames. White space, comments and the place in the file do
/// not count.
fn fingerprint(tokens: TokenStream, auto: bool) -> u64 {
    fn text(hash: u64, text: &str) -> u64 {
        text.bytes().chain([0]).fold(hash, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        })
    }
    fn walk(mut hash: u64, tokens: TokenStream) -> u64 {
        let mut after_hash_sign = false;
        for tree in tokens {
            let is_hash_sign = matches!(&tree, TokenTree::Punct(punct) if punct.as_char() == '#');
            hash = match tree {
                // A doc comment.
                TokenTree::Group(group) if after_hash_sign && group.stream().to_string().starts_with("doc") => hash,
                TokenTree::Group(group) => {
                    let open = text(hash, &format!("{:?}", group.delimiter()));
                    text(walk(open, group.stream()), "end")
                }
                TokenTree::Ident(ident) => text(hash, &ident.to_string()),
                TokenTree::Literal(literal) => text(hash, &literal.to_string()),
                TokenTree::Punct(punct) if punct.as_char() == '#' => hash,
                TokenTree::Punct(punct) => text(hash, &punct.as_char().to_string()),
            };
            after_hash_sign = is_hash_sign;
        }
        hash
    }
    let start = text(0xcbf2_9ce4_8422_2325, &format!("{COMPILER} {auto}"));
    walk(start, tokens)
}

/// The name and mutability of a parameter that is a plain variable.
pub(crate) fn plain_parameter(argument: &FnArg) -> Result<Parameter> {
    let FnArg::Typed(typed) = argument else {
        return Err(syn::Error::new_spanned(
            argument,
            "a task is a function, not a method: it has no `self`; pass the value as an argument",
        ));
    };
    match &*typed.pat {
        Pat::Ident(pattern) if pattern.by_ref.is_none() && pattern.subpat.is_none() => Ok(Parameter {
            ident: pattern.ident.clone(),
            mutable: pattern.mutability.is_some(),
            ty: (*typed.ty).clone(),
        }),
        other => Err(syn::Error::new_spanned(
            other,
            "a task's parameter must be a plain name: its name is the key under which a caller gives the argument; take it apart with `let` in the body",
        )),
    }
}
