use kappa::prelude::*;

macro_rules! twice {
    ($e:expr) => {{
        $e;
        $e
    }};
}

#[kappa::task]
async fn f(cx: &mut Context) -> u64 {
    twice!(cx.checkpoint().await);
    1
}

fn main() {}
