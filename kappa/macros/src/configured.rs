//! `#[cfg]` inside a task: evaluated by rustc before anything is taken apart.
//!
//! A macro cannot ask whether a condition holds. But rustc evaluates every `#[cfg]` and `#[cfg_attr]` in what it hands to a derive macro, also in a
//! function inside the value of a variant. So a function with one of those is handed on as
//! `#[derive(ConfiguredTask)] #[removed] enum .. { A = { <the function> 0 } }`: the derive macro gets the evaluated function, and the `enum` goes away.

use proc_macro2::{TokenStream, TokenTree};
use quote::quote;
use syn::{Expr, Item, ItemEnum, ItemFn, Result, Stmt};

/// Whether a function holds a `cfg` or `cfg_attr` attribute inside its signature or body.
pub(crate) fn is_conditional(function: TokenStream) -> bool {
    let mut after_hash_sign = false;
    function.into_iter().any(|tree| {
        let was_after = std::mem::replace(
            &mut after_hash_sign,
            matches!(&tree, TokenTree::Punct(punct) if punct.as_char() == '#'),
        );
        match tree {
            TokenTree::Group(group) => {
                let first = group.stream().into_iter().next();
                let is_cfg =
                    |tree: TokenTree| matches!(tree, TokenTree::Ident(ident) if ident == "cfg" || ident == "cfg_attr");
                (was_after && first.is_some_and(is_cfg)) || is_conditional(group.stream())
            }
            _ => false,
        }
    })
}

/// Has rustc evaluate the conditions and hand the function to [`evaluated`].
pub(crate) fn evaluate(function: TokenStream, auto: bool) -> TokenStream {
    let auto = auto.then(|| quote!(#[kappa_auto]));
    quote! {
        #[derive(::kappa::__private::ConfiguredTask)]
        #[::kappa::__private::removed]
        #auto
        enum __Configured {
            A = {
                #function
                0
            },
        }
    }
}

/// The function that [`evaluate`] packed, unless its own condition does not hold, and whether it is `auto`.
pub(crate) fn evaluated(packed: TokenStream) -> Result<Option<(ItemFn, bool)>> {
    let packed: ItemEnum = syn::parse2(packed)?;
    let auto = packed.attrs.iter().any(|attr| attr.path().is_ident("kappa_auto"));
    let value = packed
        .variants
        .into_iter()
        .next()
        .and_then(|variant| variant.discriminant);
    let Some((_, Expr::Block(block))) = value else {
        return Ok(None);
    };
    Ok(block.block.stmts.into_iter().find_map(|stmt| match stmt {
        Stmt::Item(Item::Fn(function)) => Some((function, auto)),
        _ => None,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_is_seen_wherever_it_stands() {
        assert!(is_conditional(quote!(
            async fn f() {
                if x {
                    #[cfg(windows)]
                    return;
                }
            }
        )));
        assert!(is_conditional(quote!(
            async fn f(#[cfg_attr(all(), allow(unused))] x: u32) {}
        )));
        assert!(!is_conditional(quote!(
            #[allow(unused)]
            async fn f() {
                if cfg!(windows) {
                    vec![cfg]
                }
            }
        )));
    }

    #[test]
    fn a_function_comes_back_as_it_was_packed() {
        let function = quote!(
            async fn f(x: u32) -> u32 {
                x
            }
        );
        let mut packed: ItemEnum = syn::parse2(evaluate(function.clone(), true)).unwrap();
        packed.attrs.retain(|attr| attr.path().is_ident("kappa_auto"));
        let (back, auto) = evaluated(quote!(#packed)).unwrap().unwrap();
        assert_eq!((quote!(#back).to_string(), auto), (function.to_string(), true));
    }
}
