//! What has no destructor that anybody could see, by what is written: for such variables, less code is generated.

use crate::names::Names;
use crate::task::plain_type;
use syn::{BinOp, Expr, Type};

/// Numbers, texts, and collections of them.
pub(crate) fn is_plain_type(ty: &Type) -> bool {
    const NAMES: [&str; 17] = [
        "bool", "char", "u8", "u16", "u32", "u64", "u128", "usize", "i8", "i16", "i32", "i64", "i128", "isize", "f32",
        "f64", "String",
    ];
    const AROUND: [&str; 4] = ["Vec", "Option", "VecDeque", "BTreeMap"];
    match plain_type(ty) {
        Type::Tuple(tuple) => tuple.elems.iter().all(is_plain_type),
        Type::Array(array) => is_plain_type(&array.elem),
        Type::Reference(_) => true,
        Type::Path(path) => path.path.segments.last().is_some_and(|last| match &last.arguments {
            syn::PathArguments::None => NAMES.iter().any(|name| last.ident == name),
            syn::PathArguments::AngleBracketed(arguments) => {
                let is_plain = |argument: &syn::GenericArgument| match argument {
                    syn::GenericArgument::Type(ty) => is_plain_type(ty),
                    _ => false,
                };
                AROUND.iter().any(|name| last.ident == name) && arguments.args.iter().all(is_plain)
            }
            syn::PathArguments::Parenthesized(_) => false,
        }),
        _ => false,
    }
}

/// Literals, what is computed of plain variables, and texts.
pub(crate) fn is_plain_value(value: &Expr, names: &Names) -> bool {
    match value {
        Expr::Lit(_) => true,
        Expr::Paren(inner) => is_plain_value(&inner.expr, names),
        Expr::Group(inner) => is_plain_value(&inner.expr, names),
        Expr::Path(path) => {
            let var = path.path.get_ident().and_then(|name| names.lookup(&name.to_string()));
            var.is_some_and(|var| names.bindings[var].plain)
        }
        Expr::Unary(unary) if !matches!(unary.op, syn::UnOp::Deref(_)) => is_plain_value(&unary.expr, names),
        Expr::Binary(binary) => match binary.op {
            BinOp::Eq(_)
            | BinOp::Ne(_)
            | BinOp::Lt(_)
            | BinOp::Le(_)
            | BinOp::Gt(_)
            | BinOp::Ge(_)
            | BinOp::And(_)
            | BinOp::Or(_) => true,
            _ => is_plain_value(&binary.left, names) && is_plain_value(&binary.right, names),
        },
        Expr::Cast(cast) => is_plain_type(&cast.ty),
        Expr::Macro(call) => call.mac.path.is_ident("format"),
        Expr::Call(call) => {
            matches!(&*call.func, Expr::Path(path) if path.path.segments.first().is_some_and(|first| first.ident == "String"))
        }
        _ => false,
    }
}
