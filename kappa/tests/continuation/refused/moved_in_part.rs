use kappa::prelude::*;

#[derive(serde::Serialize, serde::Deserialize)]
struct Names {
    first: String,
    last: String,
}

#[kappa::task]
async fn longer(cx: &mut Context, name: String) -> String {
    cx.checkpoint().await;
    name + "!"
}

#[kappa::task]
async fn assigned_again(cx: &mut Context, n: u64) -> String {
    let mut names = Names {
        first: n.to_string(),
        last: String::new(),
    };
    names.first = cx.call(longer(names.first)).await;
    names.first + &names.last
}

#[kappa::task]
async fn the_other_one_is_needed(cx: &mut Context, n: u64) -> String {
    let names = Names {
        first: n.to_string(),
        last: String::new(),
    };
    let first = names.first;
    cx.checkpoint().await;
    first + &names.last
}

fn main() {}
