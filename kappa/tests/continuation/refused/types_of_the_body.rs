use kappa::prelude::*;

#[kappa::task]
async fn part(cx: &mut Context, n: u64) -> u64 {
    cx.checkpoint().await;
    n
}

#[kappa::task]
async fn errors_are_shown_once(cx: &mut Context, n: u64) -> u64 {
    let a: u32 = n;
    let task = cx.spawn(part("five")).await;
    let b = n.parse::<u64>()?;
    a.lenght() + missing + cx.wait(&task).await.unwrap_or(b)
}

#[kappa::task]
async fn what_is_not_mut(cx: &mut Context, n: u64) -> u64 {
    let list = vec![n];
    let sum = 0;
    for i in 0..n {
        sum += cx.call(part(i)).await;
        list.push(i);
    }
    sum
}

fn main() {}
