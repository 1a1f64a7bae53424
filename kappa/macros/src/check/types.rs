//! The types of a task's parameters and result, as far as their text says that they cannot be sent.

use crate::task::plain_type;
use syn::visit::{self, Visit};
use syn::{Error, GenericArgument, PathArguments, Result, ReturnType, Type, TypePath};

/// Refuses a parameter that cannot be sent.
pub(super) fn parameter(ty: &Type) -> Result<()> {
    refuse_impl(ty, "a task's parameter")?;
    refuse_reference(
        ty,
        "a task's arguments are sent to where it runs, so they cannot be references: take an owned value (`String`, `Vec<..>`, a clone)",
    )
}

/// Refuses a result that cannot be sent.
pub(super) fn result(output: &ReturnType) -> Result<()> {
    let ReturnType::Type(_, ty) = output else {
        return Ok(());
    };
    refuse_impl(ty, "a task's result")?;
    if let Some(error) = error_type(ty) {
        refuse_error(error)?;
    }
    refuse_reference(
        ty,
        "a task's result is sent to whoever waits for it, so it cannot be or hold a reference: give an owned value (`String`, `Vec<..>`, a clone)",
    )?;
    if let Type::Never(never) = plain_type(ty) {
        return Err(Error::new_spanned(
            never,
            "a task's result is sent to whoever waits for it, and `!` has no value: leave out `-> !`; a loop without an end compiles without it",
        ));
    }
    Ok(())
}

fn refuse_impl(ty: &Type, what: &str) -> Result<()> {
    struct Search(Option<syn::TypeImplTrait>);
    impl<'ast> Visit<'ast> for Search {
        fn visit_type_impl_trait(&mut self, ty: &'ast syn::TypeImplTrait) {
            self.0.get_or_insert_with(|| ty.clone());
        }
    }
    let mut search = Search(None);
    search.visit_type(ty);
    match search.0 {
        Some(found) => Err(Error::new_spanned(
            found,
            format!(
                "{what} cannot be `impl Trait`: it is sent and stored, so its type must be named; a task cannot be generic"
            ),
        )),
        None => Ok(()),
    }
}

fn refuse_reference(ty: &Type, message: &str) -> Result<()> {
    struct Search(Option<syn::TypeReference>);
    impl<'ast> Visit<'ast> for Search {
        fn visit_type_reference(&mut self, ty: &'ast syn::TypeReference) {
            self.0.get_or_insert_with(|| ty.clone());
        }

        // What only takes or stands for a reference holds none.
        fn visit_type_bare_fn(&mut self, _: &'ast syn::TypeBareFn) {}

        fn visit_path_segment(&mut self, segment: &'ast syn::PathSegment) {
            if segment.ident != "PhantomData" {
                visit::visit_path_segment(self, segment);
            }
        }
    }
    let mut search = Search(None);
    search.visit_type(ty);
    match search.0 {
        Some(found) => Err(Error::new_spanned(found, message)),
        None => Ok(()),
    }
}

/// `E` of `Result<T, E>`.
fn error_type(ty: &Type) -> Option<&Type> {
    let (name, arguments) = generic(ty)?;
    match (name.as_str(), &*arguments) {
        ("Result", [_, error]) => Some(plain_type(error)),
        _ => None,
    }
}

/// The last name in a path, and its type arguments.
fn generic(ty: &Type) -> Option<(String, Vec<&Type>)> {
    let Type::Path(TypePath { path, .. }) = plain_type(ty) else {
        return None;
    };
    let last = path.segments.last()?;
    let arguments = match &last.arguments {
        PathArguments::AngleBracketed(arguments) => arguments.args.iter().collect(),
        _ => Vec::new(),
    };
    let types = arguments
        .into_iter()
        .filter_map(|argument: &GenericArgument| match argument {
            GenericArgument::Type(ty) => Some(ty),
            _ => None,
        });
    Some((last.ident.to_string(), types.collect()))
}

/// Refuses what `?` does not turn into a `kappa::Error`.
fn refuse_error(error: &Type) -> Result<()> {
    let is_none = match error {
        Type::Reference(_) | Type::Tuple(_) | Type::TraitObject(_) => true,
        ty => match generic(ty) {
            Some((name, _)) if name == "String" => true,
            Some((name, arguments)) if name == "Box" => {
                matches!(&*arguments, [inner] if matches!(plain_type(inner), Type::TraitObject(_)))
            }
            _ => false,
        },
    };
    if is_none {
        return Err(Error::new_spanned(
            error,
            "a task's error is one that `?` turns into a `kappa::Error`: write `kappa::Result<..>`, and `.map_err(kappa::Error::msg)` where the error is \
             made (`|error| kappa::Error::msg(error.to_string())` for a `Box<dyn Error>`)",
        ));
    }
    Ok(())
}
