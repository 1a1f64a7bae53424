//! `if`, `match`, loops, labels, `break`, `continue`, `return`, `?`, scopes.

use crate::twin::{same, twins};
use kappa::prelude::*;

fn parse(text: &str) -> Result<i64> {
    Ok(text.parse::<i64>()?)
}

twins! {
    async fn echo(cx, value: i64) -> i64 {
        cx.checkpoint().await;
        value
    }

    async fn if_else(cx, n: i64) -> i64 {
        let x = if n > 3 {
            cx.call(echo(n)).await + 1
        } else if n > 1 {
            cx.checkpoint().await;
            n * 10
        } else {
            n * 100
        };
        cx.checkpoint().await;
        x + n
    }

    async fn if_without_else(cx, n: i64) -> i64 {
        let mut total = 0;
        if n > 1 {
            cx.checkpoint().await;
            total += n;
        }
        total += 1;
        if n > 2 { total *= cx.call(echo(2)).await; }
        total
    }

    async fn if_let_chain(cx, a: Option<i64>, b: Option<i64>) -> i64 {
        let mut seen = 0;
        if let Some(x) = a && x > 1 && let Some(y) = b {
            seen = x * 10;
            cx.checkpoint().await;
            seen += y + x;
        } else if let Some(x) = a {
            seen = cx.call(echo(x)).await;
        }
        if let Some(x) = a && cx.call(echo(x)).await > 1 && let Some(y) = b && cx.call(echo(y)).await > x {
            seen += x * y;
        } else {
            seen -= 1;
        }
        seen
    }

    async fn match_with_guards(cx, n: i64) -> Vec<String> {
        let mut out = Vec::new();
        for i in 0..n {
            let word = match i {
                0 => "zero".to_string(),
                x if x % 3 == 0 => format!("three {}", cx.call(echo(x)).await),
                x @ (1 | 2) => {
                    cx.checkpoint().await;
                    format!("small {x}")
                }
                _ if i > 6 => { out.push("skip".to_string()); continue }
                _ => "other".into(),
            };
            out.push(word);
        }
        out
    }

    async fn match_with_a_suspended_guard(cx, n: i64) -> Vec<String> {
        let mut out = Vec::new();
        for i in 0..n {
            let pair = (i, i * 2);
            out.push(match pair {
                (0, _) => "zero".to_string(),
                (a, b) if cx.call(echo(a + b)).await == 6 => format!("six {a} {b}"),
                (3, b) if b == cx.call(echo(6)).await => format!("three {b}"),
                (a, _) if a > 4 => "big".to_string(),
                (a, b) => format!("{a}/{b}"),
            });
        }
        out
    }

    async fn match_on_a_suspension(cx, n: i64) -> i64 {
        match cx.call(echo(n)).await {
            0 => -1,
            x @ 1..=5 => x * cx.call(echo(x)).await,
            x => { cx.checkpoint().await; x }
        }
    }

    async fn loop_with_value(cx, n: i64) -> i64 {
        let mut i = 0;
        let found = loop {
            i += 1;
            if i * i > n { break i; }
            cx.checkpoint().await;
            if i > 100 { break cx.call(echo(-1)).await; }
        };
        found * 2 + i
    }

    async fn labels(cx, n: i64) -> Vec<i64> {
        let mut out = vec![];
        'outer: for i in 0..n {
            let mut j = 0;
            'inner: loop {
                j += 1;
                if j == 2 { continue 'inner; }
                if (i + j) % 5 == 0 { continue 'outer; }
                if j > 4 { break; }
                if i == 4 { break 'outer; }
                cx.checkpoint().await;
                out.push(i * 10 + j);
            }
            out.push(-i);
        }
        out
    }

    async fn labelled_block(cx, n: i64) -> i64 {
        let mut trace = 1;
        let value = 'done: {
            if n == 0 { break 'done 7; }
            cx.checkpoint().await;
            trace += 1;
            if n == 1 { break 'done cx.call(echo(8)).await; }
            for i in 0..n {
                cx.checkpoint().await;
                if i == 2 { break 'done i * 100; }
            }
            9
        };
        value + trace
    }

    async fn while_with_continue(cx, n: i64) -> i64 {
        let (mut i, mut odd, mut even) = (0, 0, 0);
        while i < n {
            i += 1;
            if i % 2 == 0 { even += i; continue; }
            odd += i;
            cx.checkpoint().await;
        }
        odd * 1000 + even
    }

    async fn while_condition_suspends(cx, n: i64) -> i64 {
        let mut i = 0;
        while cx.call(echo(i)).await < n && i < 5 { i += 2; }
        while i > 0 || cx.call(echo(i)).await == 0 { i -= 1; if i < -2 { break; } }
        i
    }

    async fn while_let_dequeue(cx, n: i64) -> Vec<i64> {
        let q = cx.queue::<i64>(10).await;
        for i in 0..n { cx.enqueue(&q, i * i).await; }
        cx.close(&q).await;
        let mut out = Vec::new();
        while let Some(x) = cx.dequeue(&q).await {
            if x == 4 { continue; }
            out.push(x);
        }
        out
    }

    async fn question_marks(cx, texts: Vec<String>) -> Result<i64> {
        let mut sum = 0;
        for text in texts {
            let base = cx.call(parsed(text.clone())).await?;
            let tail: i64 = text.parse()?;
            sum += base + tail + cx.call(parsed(text)).await.map_err(|e| e.context("again"))?;
        }
        Ok(sum)
    }

    async fn parsed(cx, text: String) -> Result<i64> {
        cx.checkpoint().await;
        parse(&text)
    }

    async fn early_return(cx, n: i64) -> i64 {
        if n == 0 { return -1; }
        cx.checkpoint().await;
        for i in 0..n {
            if i == 3 { return cx.call(echo(i * 7)).await; }
            cx.checkpoint().await;
        }
        return n;
    }

    async fn return_from_everywhere(cx, n: i64) -> i64 {
        let x: i64 = match n {
            0 => return 10,
            1 => { cx.checkpoint().await; return 11 }
            2 => if cx.call(echo(n)).await == 2 { return 12 } else { 0 },
            _ => 5,
        };
        let y = loop { cx.checkpoint().await; if x > 3 { break x } else { return 13 } };
        x + y
    }

    async fn let_else(cx, items: Vec<Option<i64>>) -> Vec<i64> {
        let mut out = Vec::new();
        for item in items {
            let Some(x) = item else { out.push(-1); continue };
            let Some(y) = Some(cx.call(echo(x)).await).filter(|y| *y > 1) else {
                cx.checkpoint().await;
                out.push(-2);
                continue;
            };
            let (1 | 2 | 3) = y else { break };
            out.push(x * y);
        }
        out
    }

    async fn nothing_but_a_checkpoint(cx) -> () {
        cx.checkpoint().await;
    }

    async fn no_suspension(_cx, a: i64, b: i64) -> i64 {
        a - b
    }

    async fn zero_times(cx, n: i64) -> i64 {
        for _ in 0..0 { cx.checkpoint().await; }
        while false { cx.checkpoint().await; }
        for x in Vec::<i64>::new() { cx.call(echo(x)).await; }
        n
    }

    async fn over_everything(cx, n: u8) -> Vec<String> {
        use std::collections::{BTreeMap, BTreeSet, VecDeque};
        let mut out = vec![];
        for x in 250..=255_u8 { cx.checkpoint().await; out.push(format!("a{x}")); }
        for x in (0..n).rev() { cx.checkpoint().await; out.push(format!("b{x}")); }
        for (x, y) in BTreeMap::from([(1, "x".to_string()), (2, "y".to_string())]) { cx.checkpoint().await; out.push(format!("{x}{y}")); }
        for x in BTreeSet::from([3, 1]) { cx.checkpoint().await; out.push(format!("c{x}")); }
        for x in VecDeque::from([3, 1]) { cx.checkpoint().await; out.push(format!("d{x}")); }
        for x in [7, 8] { cx.checkpoint().await; out.push(format!("e{x}")); }
        for x in Option::Some(9) { cx.checkpoint().await; out.push(format!("f{x}")); }
        for (i, x) in vec!['p', 'q'].into_iter().enumerate() { cx.checkpoint().await; out.push(format!("{i}{x}")); }
        for c in "höl".chars() { cx.checkpoint().await; out.push(c.to_string()); }
        out
    }

    async fn unsuspended_inner_loops(cx, n: i64) -> Vec<i64> {
        let mut out = vec![1, 2, 3];
        'rounds: for round in 0..n {
            for x in &mut out {
                *x += round;
                if *x > 40 { break 'rounds; }
            }
            let mut longest = 0;
            for (i, x) in out.iter().enumerate() {
                if *x % 7 == 0 { continue 'rounds; }
                longest = longest.max(i);
            }
            cx.checkpoint().await;
            out.push(longest as i64);
        }
        out
    }

    async fn blocks_as_values(cx, n: i64) -> i64 {
        let a = {
            let n = n + 1;
            let inner = { cx.checkpoint().await; n * 2 };
            inner + n
        };
        let b = { { cx.call(echo(a)).await } };
        a + b + n
    }

    async fn diverging_blocks(cx, n: i64) -> Result<i64> {
        let x = if n > 0 { cx.call(echo(n)).await } else { kappa_test_bail(n)?; unreachable!("bailed out") };
        let y: i64 = match x {
            1 => { cx.checkpoint().await; panic_free(); return Err(Error::msg("one")); }
            other => { cx.checkpoint().await; other }
        };
        Ok(x + y)
    }

    async fn nested_three_deep(cx, n: i64) -> i64 {
        let mut acc = 0;
        for i in 0..n {
            let mut j = i;
            while j > 0 {
                for k in vec![j; 2] {
                    if k == 2 { break; }
                    acc += cx.call(echo(k)).await;
                    acc += match k { 1 => { cx.checkpoint().await; 100 } _ => 1 };
                }
                j -= 1;
            }
        }
        acc
    }

    async fn struct_literals_in_conditions(cx, n: u64) -> u64 {
        if (Countdown { left: cx.call(echo(n as i64)).await as u64 }) == (Countdown { left: 3 }) { return 1; }
        match (Countdown { left: cx.call(echo(n as i64)).await as u64 + 1 }) {
            Countdown { left: 3 } => { cx.checkpoint().await; 2 }
            Countdown { left } => left,
        }
    }

    async fn over_an_iterator_of_the_users(cx, from: u64) -> Vec<u64> {
        let mut out = vec![];
        for x in (Countdown { left: from }) {
            if x == 2 { continue; }
            cx.checkpoint().await;
            out.push(x);
        }
        out
    }

    async fn if_due_at_the_end(cx, n: i64) -> i64 {
        let mut acc = 0;
        for i in 0..n { acc += i; cx.checkpoint_if_due().await; }
        acc
    }

    async fn items_inside(cx, n: i64) -> i64 {
        fn double(x: i64) -> i64 { x * FACTOR }
        const FACTOR: i64 = 2;
        cx.checkpoint().await;
        { fn triple(x: i64) -> i64 { x * 3 } cx.checkpoint().await; return triple(double(n)); }
    }

    async fn closures(cx, n: i64) -> i64 {
        let add = 5;
        let sum: i64 = (0..n).map(|x| x + add).filter(|x| x % 2 == 0).sum();
        cx.checkpoint().await;
        let mut calls = 0;
        let mut count = || { calls += 1; calls };
        count();
        count();
        cx.call(echo(sum + calls)).await
    }

    async fn ordinary_awaits(cx, n: i64) -> i64 {
        let a = std::future::ready(n).await;
        let b = cx.call(echo(a)).await + std::future::ready(a * 2).await;
        let c = async { a + b }.await;
        cx.checkpoint().await;
        a + b + c
    }
}

#[derive(Clone, PartialEq, serde::Serialize, serde::Deserialize)]
struct Countdown {
    left: u64,
}

impl Iterator for Countdown {
    type Item = u64;

    fn next(&mut self) -> Option<u64> {
        self.left = self.left.checked_sub(1)?;
        Some(self.left)
    }
}

impl kappa::continuation::ResumableIterator for Countdown {
    type Item = u64;

    fn next(&mut self) -> Option<u64> {
        Iterator::next(self)
    }
}

fn kappa_test_bail(n: i64) -> Result<()> {
    Err(Error::msg(format!("bail {n}")))
}

fn panic_free() {}

#[test]
fn ifs() {
    for n in 0..6 {
        same!(if_else(n), 1);
        same!(if_without_else(n), 0);
    }
    for a in [None, Some(1), Some(2)] {
        for b in [None, Some(1), Some(5)] {
            same!(if_let_chain(a, b), 0);
        }
    }
}

#[test]
fn matches() {
    same!(match_with_guards(9), 3);
    same!(match_with_a_suspended_guard(7), 6);
    for n in [0, 3, 9] {
        same!(match_on_a_suspension(n), 1);
    }
}

#[test]
fn loops() {
    for n in [0, 1, 50, 20_000] {
        same!(loop_with_value(n), 0);
    }
    same!(labels(7), 5);
    for n in 0..5 {
        same!(labelled_block(n), 0);
        same!(while_with_continue(n), 0);
        same!(while_condition_suspends(n), 1);
        same!(nested_three_deep(n), 0);
    }
    same!(while_let_dequeue(5), 10);
    same!(zero_times(3), 0);
    same!(over_everything(3), 23);
    same!(unsuspended_inner_loops(9), 1);
    for n in 1..4 {
        same!(struct_literals_in_conditions(n), 1);
    }
    same!(over_an_iterator_of_the_users(5), 4);
    same!(if_due_at_the_end(9), 0);
}

#[test]
fn ways_out() {
    same!(question_marks(vec!["1".to_string(), "20".to_string()]), 4);
    same!(question_marks(vec!["1".to_string(), "x".to_string()]), 3);
    for n in 0..6 {
        same!(early_return(n), 0);
        same!(return_from_everywhere(n), 0);
        same!(diverging_blocks(n), 0);
    }
    same!(let_else(vec![Some(2), None, Some(1), Some(3), Some(9), Some(2)]), 3);
}

#[test]
fn scopes_and_the_rest() {
    same!(nothing_but_a_checkpoint(), 1);
    same!(no_suspension(5, 3), 0);
    same!(blocks_as_values(4), 2);
    same!(items_inside(4), 2);
    same!(closures(6), 2);
    same!(ordinary_awaits(6), 2);
}
