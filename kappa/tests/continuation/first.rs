use crate::harness::everywhere;
use kappa::prelude::*;

#[kappa::task]
async fn sum_to(cx: &mut Context, n: u64) -> u64 {
    let mut acc = 0;
    for i in 0..n {
        acc += i;
        cx.checkpoint().await;
    }
    acc
}

#[kappa::task]
async fn outer(cx: &mut Context, k: u64) -> Vec<u64> {
    let mut v = Vec::new();
    let mut j = 1;
    while j <= k {
        let s = cx.call(sum_to(j)).await;
        v.push(s);
        j += 1;
    }
    v
}

#[kappa::task]
async fn grep(cx: &mut Context, chunks: Vec<String>, word: String) -> Result<u64> {
    let tasks = cx.spawn_all(chunks.into_iter().map(|c| count(c, word.clone()))).await;
    let mut total = 0;
    for task in tasks {
        total += cx.wait(&task).await?;
    }
    Ok(total)
}

#[kappa::task]
async fn count(cx: &mut Context, chunk: String, word: String) -> Result<u64> {
    let mut hits = 0;
    for line in chunk.lines().map(String::from).collect::<Vec<_>>() {
        hits += line.matches(&word).count() as u64;
        cx.checkpoint_if_due().await;
    }
    Ok(hits)
}

#[test]
fn the_sketch() {
    assert_eq!(everywhere(outer(5)), (Ok(vec![0, 1, 3, 6, 10]), 15));
}

#[test]
fn grep_counts() {
    let (end, _) = everywhere(grep(vec!["a b a".into(), "b\na".into()], "a".into()));
    assert_eq!(end, Ok(3));
}
