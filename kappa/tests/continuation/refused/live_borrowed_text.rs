use kappa::prelude::*;
use std::collections::HashMap;
use std::path::Path;

#[kappa::task]
async fn slice(cx: &mut Context, name: String) -> String {
    let first = &name[..1];
    cx.checkpoint().await;
    format!("hello {first}")
}

#[kappa::task]
async fn in_others(cx: &mut Context, text: String) -> String {
    let (key, value) = text.split_once('=').unwrap_or(("", "none"));
    let pair = ("a", 1);
    let words: Vec<&str> = text.split(' ').collect();
    let lengths: HashMap<&str, usize> = words.iter().map(|word| (*word, word.len())).collect();
    let bytes = text.as_bytes();
    let path = Path::new(&text);
    let last = text.lines().last();
    cx.checkpoint().await;
    format!("{key}{value}{pair:?}{words:?}{lengths:?}{bytes:?}{path:?}{last:?}")
}

fn main() {}
