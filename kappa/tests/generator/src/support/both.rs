//! Functions that every program may call, as tasks and as plain Rust.

macro_rules! both {
    ($(async fn $name:ident($cx:ident $(, $argument:ident : $ty:ty)*) -> $output:ty { $($body:tt)* })*) => {
        pub mod tasks {
            use crate::support::*;
            use kappa::Context;
            $(
                #[kappa::task]
                pub async fn $name($cx: &mut Context $(, $argument: $ty)*) -> $output { $($body)* }
            )*
        }

        pub mod plain {
            use crate::support::*;
            $(
                pub fn $name($($argument: $ty),*) -> Later<$output> {
                    Box::pin(async move {
                        let $cx = &mut Plain;
                        $(let $argument = $argument;)*
                        $($body)*
                    })
                }
            )*
        }
    };
}

both! {
    async fn echo(cx, value: i64) -> i64 {
        cx.checkpoint().await;
        value
    }

    async fn fallible(cx, value: i64) -> Result<i64> {
        cx.checkpoint().await;
        if value % 11 == 7 { Err(Error::msg("seven")) } else { Ok(value) }
    }

    async fn text(cx, value: i64) -> String {
        cx.checkpoint().await;
        format!("t{value}")
    }

    async fn token(cx, number: i64) -> Tok {
        cx.checkpoint().await;
        tok(number)
    }

    async fn hold(cx, held: Tok, value: i64) -> i64 {
        cx.checkpoint().await;
        held.id() ^ value
    }

    async fn record(cx, number: i64) -> Rec {
        cx.checkpoint().await;
        rec(number)
    }
}
