//! Frames, recursion, children, queues, values that are rebuilt, and what must not be resumed.

use crate::twin::{same, twins};
use kappa::prelude::*;

twins! {
    async fn fibonacci(cx, n: u64) -> u64 {
        if n < 2 {
            cx.checkpoint().await;
            return n;
        }
        cx.call(fibonacci(n - 1)).await + cx.call(fibonacci(n - 2)).await
    }

    async fn is_even(cx, n: u64) -> bool {
        if n == 0 { cx.checkpoint().await; true } else { cx.call(is_odd(n - 1)).await }
    }

    async fn is_odd(cx, n: u64) -> bool {
        if n == 0 { return false; }
        !!cx.call(is_even(n - 1)).await
    }

    async fn square(cx, n: i64) -> i64 {
        cx.checkpoint().await;
        n * n
    }

    async fn divided(cx, a: i64, b: i64) -> Result<i64> {
        cx.checkpoint().await;
        a.checked_div(b).ok_or_else(|| Error::msg("divided by zero"))
    }

    async fn children(cx, n: i64) -> Result<i64> {
        let first = cx.spawn(square(n)).await;
        let tasks = cx.spawn_all((0..n).map(|i| square(i))).await;
        let mut sum = cx.wait(&first).await?;
        for value in cx.wait_all(&tasks).await? { sum += value; }
        if !tasks.is_empty() {
            let (index, value) = cx.wait_any(&tasks).await;
            sum += index as i64 + value?;
        }
        for task in tasks { sum += cx.wait(&task).await?; }
        Ok(sum)
    }

    async fn r14_a_failed_child_can_be_handled(cx, n: i64) -> i64 {
        let task = cx.spawn(divided(n, 0)).await;
        match cx.wait(&task).await {
            Ok(value) => value,
            Err(error) if error.to_string().contains("divided by zero") => { cx.checkpoint().await; -1 }
            Err(_) => -2,
        }
    }

    async fn pipeline(cx, n: i64) -> Vec<i64> {
        let q = cx.queue::<(i64, String)>(3).await;
        cx.enqueue_all(&q, (0..n).map(|i| (i, format!("item {i}")))).await;
        cx.enqueue(&q, (n, String::new())).await;
        cx.close(&q).await;
        let mut lengths = vec![];
        while let Some((number, text)) = cx.dequeue(&q).await {
            lengths.push(number * 100 + text.len() as i64);
        }
        lengths
    }

    async fn rebuilt(cx, text: String, n: i64) -> i64 {
        let bonus = n * 2;
        let words = cx.shared(|| text.split(' ').map(str::len).map(|length| length as i64 + bonus).collect::<std::rc::Rc<[i64]>>().to_vec());
        let mut sum = 0;
        for i in 0..n {
            cx.checkpoint().await;
            sum += words[i as usize % words.len()];
        }
        sum + words.len() as i64
    }

    async fn large_values(cx, n: i64) -> Vec<u8> {
        let mut big = vec![7_u8; 100_000];
        let copy = cx.call(same_bytes(big.clone())).await;
        big[5] = copy.len() as u8;
        let task = cx.spawn(same_bytes(big)).await;
        let mut back = cx.wait(&task).await.unwrap();
        back.truncate(n as usize);
        back
    }

    async fn same_bytes(cx, bytes: Vec<u8>) -> Vec<u8> {
        cx.checkpoint().await;
        bytes
    }
}

#[test]
fn recursion() {
    same!(fibonacci(6), 10);
    same!(is_even(5), 0);
    same!(is_even(6), 1);
    same!(square(6), 1);
}

#[test]
fn children_and_their_failures() {
    same!(children(0), 3);
    same!(children(4), 8);
    same!(r14_a_failed_child_can_be_handled(4), 3);
    same!(divided(4, 0), 1);
    same!(divided(4, 2), 1);
}

#[test]
fn queues() {
    same!(pipeline(4), 9);
}

#[test]
fn shared_values_are_rebuilt() {
    same!(rebuilt("one two three four".to_string(), 5), 5);
}

#[test]
fn what_is_too_long_for_a_message_goes_through_the_store() {
    same!(large_values(9), 3);
}
