//! What is live where, and which variable a name means (traps r01, r02, r03).

use crate::twin::{same, twins};
use kappa::Context;
use std::collections::BTreeMap;

fn count() -> i64 {
    40
}

twins! {
    async fn echo(cx, value: i64) -> i64 {
        cx.checkpoint().await;
        value
    }

    async fn r01_the_loop_may_run_zero_times(cx, n: i64) -> i64 {
        let mut x = 1;
        cx.checkpoint().await;
        let mut i = 0;
        while i < n { x = 2; i += 1; }
        x
    }

    async fn r01_the_suspended_loop_may_run_zero_times(cx, n: i64) -> i64 {
        let mut x = 1;
        cx.checkpoint().await;
        let mut i = 0;
        while i < n { x = 2; cx.checkpoint().await; i += 1; }
        x
    }

    async fn r02_what_the_head_needs_after_continue(cx, n: i64) -> Vec<i64> {
        let mut out = vec![];
        let mut step = 1;
        let mut i = 0;
        while i < n {
            i += step;
            cx.checkpoint().await;
            if i == 2 { step = 3; continue; }
            if i > 6 { break; }
            step = 1;
            out.push(i);
        }
        out.push(step);
        out
    }

    async fn r02_break_needs_what_comes_after(cx, n: i64) -> i64 {
        let mut last = 0;
        let mut limit = 10;
        loop {
            last += 1;
            cx.checkpoint().await;
            if last == n { limit = 5; break; }
            if last > limit { limit = 7; break; }
        }
        limit * 100 + last
    }

    async fn r03_two_variables_of_one_name(cx, x: i64) -> i64 {
        let y = x;
        let x = x * 2;
        cx.checkpoint().await;
        let x = {
            let x = x + 1;
            cx.checkpoint().await;
            if x > 3 { let x = "text".to_string(); cx.checkpoint().await; x.len() as i64 } else { x }
        } + x;
        for x in 0..x { cx.checkpoint().await; if x > 1 { break; } }
        x * 10 + y
    }

    async fn r03_shadowing_in_macros(cx, x: i64) -> Vec<String> {
        let mut out = vec![];
        {
            let x = format!("inner{x}");
            cx.checkpoint().await;
            out.push(format!("{x} {x:?} {0}", x));
            let width = 12;
            out.push(format!("{x:>width$}"));
        }
        cx.checkpoint().await;
        out.push(format!("{x} {{x}} {}", matches!(Some(x), Some(x) if x > 1)));
        out
    }

    async fn r03_a_variable_named_like_a_function(cx, n: i64) -> i64 {
        let total = {
            let count = n;
            cx.checkpoint().await;
            count + 1
        };
        total + count()
    }

    async fn shadowed_by_patterns(cx, value: Option<i64>) -> i64 {
        let mut sum = 0;
        if let Some(value) = value {
            cx.checkpoint().await;
            sum += value;
        }
        match value {
            Some(sum) if sum > 2 => { cx.checkpoint().await; return sum; }
            Some(value) => { cx.checkpoint().await; sum += value * 100; }
            None => sum -= 1,
        }
        sum += [1, 2].iter().map(|value| { let sum = value * 2; sum }).sum::<i64>();
        sum + value.unwrap_or(7)
    }

    async fn deferred(cx, n: i64) -> i64 {
        let x;
        let y: i64;
        if n > 1 { x = cx.call(echo(n)).await; } else { x = 1; }
        cx.checkpoint().await;
        if n > 2 { y = 5; } else { y = 6; }
        cx.checkpoint().await;
        let z;
        loop { cx.checkpoint().await; if n > -1 { z = n; break; } }
        x * 100 + y * 10 + z
    }

    async fn moved_and_made_again(cx, n: i64) -> Vec<String> {
        let mut all = vec![];
        let mut part = String::new();
        for i in 0..n {
            part.push_str(&i.to_string());
            cx.checkpoint().await;
            if i % 2 == 1 {
                all.push(part);
                part = String::from("-");
            }
        }
        drop(part);
        cx.checkpoint().await;
        part = "end".into();
        all.push(part);
        all
    }

    async fn references_between_two_points(cx, n: i64) -> i64 {
        let mut map = BTreeMap::from([(1, vec![1, 2, 3]), (2, vec![4])]);
        let mut sum = 0;
        for key in 0..n {
            if let Some(list) = map.get(&key) && list.len() > 1 {
                let first = &list[0];
                sum += cx.call(echo(*first)).await;
            } else if let Some(list) = map.get_mut(&key) {
                list.push(9);
                let last = list.last().copied().unwrap_or(0);
                cx.checkpoint().await;
                sum += last;
            } else {
                sum -= 1;
            }
            let longest = map.values().map(Vec::len).max();
            let shown = match &longest { Some(length) if *length > 2 => length, _ => &0 };
            if *shown > 5 { cx.checkpoint().await; continue; }
            sum += *shown as i64;
        }
        map.insert(5, vec![]);
        sum * 10 + map.len() as i64
    }

    async fn not_storable_between_two_points(cx, n: i64) -> i64 {
        let shared = std::sync::Mutex::new(n);
        let mut held = { let guard = shared.lock().unwrap(); *guard };
        if held > 1 {
            let guard = shared.lock().unwrap();
            held += *guard;
        }
        cx.checkpoint().await;
        { let again = std::sync::Mutex::new(held); if held > 2 { let guard = again.lock().unwrap(); held += *guard; } held += *again.lock().unwrap(); }
        held
    }

    async fn scopes_end_where_they_end(cx, n: i64) -> i64 {
        let mutex = std::sync::Mutex::new(n);
        let mut sum = 0;
        loop {
            {
                let mut guard = mutex.lock().unwrap();
                *guard += 1;
                if *guard > 5 { break; }
                sum += *guard;
            }
            if let Ok(guard) = mutex.try_lock() { sum += *guard; if sum > 1000 { break; } }
            let guard = mutex.lock().unwrap();
            sum += *guard;
        }
        let end = mutex.try_lock().map(|guard| *guard).unwrap_or(-1);
        cx.checkpoint().await;
        sum * 100 + end
    }

    async fn partly_used(cx, pair: (String, i64)) -> (String, i64) {
        let (text, number) = pair;
        cx.checkpoint().await;
        let nested = ((text, 1), [number, 2, 3]);
        cx.checkpoint().await;
        let ((text, one), [a, rest @ ..]) = nested;
        cx.checkpoint().await;
        (text, one + a + rest.len() as i64)
    }

    async fn underscores(cx, _unused: i64, n: i64) -> i64 {
        let _kept = n;
        let _ = n + 1;
        for _ in 0..2 { cx.checkpoint().await; }
        for _i in 0..2 { let _x = n; cx.checkpoint().await; }
        n
    }

    async fn one_block_after_another(cx, n: i64) -> Vec<i64> {
        let mut out = vec![];
        { let a = n; cx.checkpoint().await; out.push(a); }
        { let a = n + 1; out.push(a); cx.checkpoint().await; }
        { let a = vec![n + 2]; cx.checkpoint().await; out.extend(a); }
        let a = "a".len() as i64;
        out.push(a);
        out
    }

    async fn r#raw_names(cx, r#type: i64) -> i64 {
        let r#match = r#type + 1;
        cx.checkpoint().await;
        r#match * r#type
    }
}

#[kappa::task]
async fn mutable_arguments(cx: &mut Context, mut n: i64, mut list: Vec<i64>) -> Vec<i64> {
    n += 1;
    cx.checkpoint().await;
    list.push(n);
    n += 1;
    cx.checkpoint().await;
    list.push(n);
    list
}

#[test]
fn r01_zero_iterations() {
    for n in 0..3 {
        same!(r01_the_loop_may_run_zero_times(n), 1);
        same!(r01_the_suspended_loop_may_run_zero_times(n), 1);
    }
}

#[test]
fn r02_break_and_continue() {
    same!(r02_what_the_head_needs_after_continue(20), 3);
    for n in [3, 99] {
        same!(r02_break_needs_what_comes_after(n), 3);
    }
}

#[test]
fn r03_shadowing() {
    for n in 0..4 {
        same!(r03_two_variables_of_one_name(n), 2);
        same!(r03_shadowing_in_macros(n), 2);
        same!(r03_a_variable_named_like_a_function(n), 1);
    }
    for value in [None, Some(1), Some(5)] {
        same!(shadowed_by_patterns(value), 0);
    }
}

#[test]
fn variables_come_and_go() {
    for n in 0..4 {
        same!(deferred(n), 3);
        same!(references_between_two_points(n), 0);
        same!(not_storable_between_two_points(n), 1);
        same!(scopes_end_where_they_end(n), 1);
    }
    assert_eq!(
        crate::harness::everywhere(mutable_arguments(1, vec![7])),
        (Ok(vec![7, 2, 3]), 2)
    );
    same!(moved_and_made_again(5), 6);
    same!(partly_used(("t".to_string(), 4)), 3);
    same!(underscores(1, 2), 4);
    same!(one_block_after_another(1), 3);
    same!(raw_names(3), 1);
}
