//! `#[kappa::task]`: the continuation compiler.

/// Makes an `async fn` a task function.
#[proc_macro_attribute]
pub fn task(_attribute: proc_macro::TokenStream, item: proc_macro::TokenStream) -> proc_macro::TokenStream {
    item
}
