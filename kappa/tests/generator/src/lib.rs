//! `random_programs!(seed, count)`: random nests of control flow, each as a task and as its plain twin, and `fn all()` that compares them.
//! `random_programs!(seed, count, auto)` makes tasks with `#[kappa::task(auto)]`.
//!
//! `KAPPA_SEED=n` makes other programs, `KAPPA_PROGRAMS=n` another number of them.

mod program;

use proc_macro::TokenStream;
use std::fmt::Write;

/// `random_programs!(seed, count)` or `random_programs!(seed, count, auto)`.
#[proc_macro]
pub fn random_programs(input: TokenStream) -> TokenStream {
    let mut settings = input.to_string();
    let auto = if settings.contains("auto") { "auto:" } else { "" };
    settings.retain(|c| c.is_ascii_digit() || c == ',');
    let mut settings = settings.split(',').map(|text| text.parse::<u64>().unwrap_or(1));
    let seed = setting("KAPPA_SEED").or(settings.next()).unwrap_or(1);
    let count = setting("KAPPA_PROGRAMS").or(settings.next()).unwrap_or(100);
    let mut tasks = String::new();
    let mut all = String::new();
    for number in 0..count {
        tasks.push_str(&program::program(
            &format!("p{number}"),
            seed.wrapping_mul(1_000_003).wrapping_add(number),
        ));
        let _ = writeln!(
            all,
            "    for (a, b) in [(0, 1), (7, -3), (-12, 6)] {{ same!(p{number}(a, b), 0); }}"
        );
    }
    let source = format!(
        "twins! {{ {auto}
            async fn echo(cx, value: i64) -> i64 {{ cx.checkpoint().await; value }}
            async fn fallible(cx, value: i64) -> Result<i64> {{
                cx.checkpoint().await;
                if value % 11 == 7 {{ Err(Error::msg(\"seven\")) }} else {{ Ok(value) }}
            }}
            {tasks}
        }}
        fn all() {{ {all} }}
        const SOURCE: &str = {tasks:?};"
    );
    match source.parse() {
        Ok(tokens) => tokens,
        Err(error) => format!("::core::compile_error!({:?});", error.to_string())
            .parse()
            .unwrap_or_default(),
    }
}

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}
