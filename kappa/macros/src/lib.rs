//! `#[kappa::task]`: the continuation compiler.
//!
//! Guarantees that a task resumed from any of its checkpoints goes on exactly as it would have, or does not compile.
//!
//! | step | module |
//! |---|---|
//! | have `#[cfg]` evaluated | `configured` |
//! | refuse what cannot work | `check`, `points` |
//! | tell variables apart | `names`, `assigned` |
//! | take apart what holds a suspension point | `lower` |
//! | find what is live where | `graph` |
//! | have types inferred in the order of the text | `original` |
//! | write the state machine | `emit`, `task` |

mod assigned;
mod check;
mod configured;
mod emit;
#[cfg(test)]
mod golden;
mod graph;
mod lower;
mod names;
mod original;
mod plain;
mod points;
mod sources;
mod task;

/// Described where the crate `kappa` exports it.
#[proc_macro_attribute]
pub fn task(attribute: proc_macro::TokenStream, item: proc_macro::TokenStream) -> proc_macro::TokenStream {
    let auto = match option(attribute.into()) {
        Ok(auto) => auto,
        Err(error) => return error.into_compile_error().into(),
    };
    if configured::is_conditional(item.clone().into()) {
        return configured::evaluate(item.into(), auto).into();
    }
    let function = syn::parse_macro_input!(item as syn::ItemFn);
    task::expand(function, auto)
        .unwrap_or_else(syn::Error::into_compile_error)
        .into()
}

/// Gets a task function whose `#[cfg]`s have been evaluated; see `configured`.
#[doc(hidden)]
#[proc_macro_derive(ConfiguredTask, attributes(kappa_auto))]
pub fn configured_task(item: proc_macro::TokenStream) -> proc_macro::TokenStream {
    configured::evaluated(item.into())
        .and_then(|packed| match packed {
            Some((function, auto)) => task::expand(function, auto),
            None => Ok(proc_macro2::TokenStream::new()),
        })
        .unwrap_or_else(syn::Error::into_compile_error)
        .into()
}

/// Removes what it stands above.
#[doc(hidden)]
#[proc_macro_attribute]
pub fn removed(_: proc_macro::TokenStream, _: proc_macro::TokenStream) -> proc_macro::TokenStream {
    proc_macro::TokenStream::new()
}

/// Whether the attribute says `auto`.
fn option(attribute: proc_macro2::TokenStream) -> syn::Result<bool> {
    let mut tokens = attribute.into_iter();
    let Some(first) = tokens.next() else { return Ok(false) };
    let is_auto = matches!(&first, proc_macro2::TokenTree::Ident(ident) if ident == "auto");
    match (is_auto, tokens.next()) {
        (true, None) => Ok(true),
        (true, Some(more)) => Err(syn::Error::new(
            more.span(),
            "nothing can follow `auto`: write `#[kappa::task(auto)]`",
        )),
        (false, _) => Err(syn::Error::new(
            first.span(),
            "`#[kappa::task]` has one option, `auto`, which puts `checkpoint_if_due` at the back edge of every loop",
        )),
    }
}
