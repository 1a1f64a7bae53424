//! `#[kappa::task]`: the continuation compiler.
//!
//! Guarantees that a task resumed from any of its checkpoints goes on exactly as it would have, or does not compile.
//!
//! | step | module |
//! |---|---|
//! | refuse what cannot work | `check`, `points` |
//! | tell variables apart | `names`, `assigned` |
//! | take apart what holds a suspension point | `lower` |
//! | find what is live where | `graph` |
//! | write the state machine | `emit`, `task` |

mod assigned;
mod check;
mod emit;
mod graph;
mod lower;
mod names;
mod points;
mod task;

/// Makes an `async fn` a task function: a function of the same name that takes the arguments without `cx` and gives a call value, for `cx.call`,
/// `cx.spawn` and `Kappa::run`.
#[proc_macro_attribute]
pub fn task(attribute: proc_macro::TokenStream, item: proc_macro::TokenStream) -> proc_macro::TokenStream {
    if let Some(option) = proc_macro2::TokenStream::from(attribute).into_iter().next() {
        return syn::Error::new(option.span(), "`#[kappa::task]` takes no options")
            .into_compile_error()
            .into();
    }
    let function = syn::parse_macro_input!(item as syn::ItemFn);
    task::expand(function)
        .unwrap_or_else(syn::Error::into_compile_error)
        .into()
}
