use kappa::prelude::*;

macro_rules! todo {
    ($text:expr) => {
        println!("{}", $text)
    };
}

#[kappa::task]
async fn mentions_a_variable(cx: &mut Context, n: u64) -> u64 {
    let k = n + 1;
    macro_rules! twice {
        () => {
            k * 2
        };
    }
    cx.checkpoint().await;
    twice!() + k
}

#[kappa::task]
async fn is_called_like_one_that_never_returns(cx: &mut Context, n: u64) -> u64 {
    todo!("later");
    cx.checkpoint().await;
    n
}

fn main() {}
