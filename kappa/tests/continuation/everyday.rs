//! Plain programs that rustc accepts: types that become known only later, references and boxes that are made on one of two ways, variables with capital
//! letters, closures that take what they use.

#![allow(non_snake_case, non_upper_case_globals)]

use crate::twin::{same, twins};
use kappa::{Error, Result};
use std::collections::{BTreeSet, HashMap};

trait Shape {
    fn area(&self) -> i64;
}

struct Point;
struct Square(i64);

impl Shape for Point {
    fn area(&self) -> i64 {
        1
    }
}

impl Shape for Square {
    fn area(&self) -> i64 {
        self.0 * self.0
    }
}

fn area(shape: Box<dyn Shape>) -> i64 {
    shape.area()
}

fn first(list: Option<&[i64]>) -> i64 {
    list.map_or(0, |list| list[0])
}

struct View<'a> {
    list: &'a [i64],
}

twins! {
    async fn echo(cx, value: i64) -> i64 {
        cx.checkpoint().await;
        value
    }

    async fn words(cx, n: i64) -> Vec<String> {
        cx.checkpoint().await;
        (0..n).map(|n| n.to_string()).collect()
    }

    async fn what_a_map_holds_is_said_in_a_loop_before(cx, n: i64) -> i64 {
        let mut map = HashMap::new();
        for i in 0..n {
            let key = cx.call(echo(i % 2)).await;
            map.entry(key).or_insert_with(Vec::new).push(i);
        }
        let total = map.values().map(|list| list.iter().sum::<i64>() * list.len() as i64).sum();
        cx.checkpoint().await;
        total
    }

    async fn what_a_list_holds_is_said_in_a_loop_before(cx, n: i64) -> i64 {
        let mut memo = vec![None; 10];
        for i in 0..n as usize {
            if memo[i].is_none() {
                memo[i] = Some(cx.call(echo(i as i64)).await);
            }
        }
        let done = memo.into_iter().flatten().map(|x| x.pow(2)).sum::<i64>();
        cx.checkpoint().await;
        done
    }

    async fn results_of_the_first_that_ends(cx, n: i64) -> Result<Vec<String>> {
        let mut tasks = vec![];
        for i in 0..n {
            tasks.push(cx.spawn(words(i)).await);
        }
        let mut all = Vec::new();
        while !tasks.is_empty() {
            let (at, done) = cx.wait_any(&tasks).await;
            let done = done.map_err(Error::new)?;
            tasks.remove(at);
            all.extend(done);
        }
        all.sort();
        cx.checkpoint().await;
        all.dedup();
        Ok(all)
    }

    async fn two_at_once(cx, n: i64) -> Result<i64> {
        let (a, b) = (cx.spawn(words(n)).await, cx.spawn(words(n + 1)).await);
        let (a, b) = (cx.wait(&a).await, cx.wait(&b).await);
        let b = b.map_err(|error| Error::msg(error.to_string()))?;
        let a = a?;
        cx.checkpoint().await;
        Ok((a.len() * 10 + b.len()) as i64)
    }

    async fn lists_and_options_that_are_filled_later(cx, n: i64) -> i64 {
        let mut all = Vec::new();
        let mut found = None;
        let (mut left, mut right) = (Vec::new(), Vec::new());
        let mut seen = BTreeSet::new();
        if n > 1 {
            cx.checkpoint().await;
        }
        found = Some(n);
        all.push(1);
        for i in 0..n {
            if !seen.insert(i % 3) {
                continue;
            }
            if i % 2 == 0 {
                left.push(cx.call(echo(i)).await);
            } else {
                right.push(i);
            }
        }
        let (small, large): (Vec<_>, Vec<_>) = left.into_iter().partition(|x| *x < 1);
        cx.checkpoint().await;
        let mut rest = Default::default();
        if small.len() > 9 {
            rest = cx.call(echo(n)).await;
        }
        found.unwrap_or(0) + rest + (right.len() * 10 + large.len() * 100 + small.len() * 1000) as i64
    }

    async fn a_reference_that_is_made_on_one_of_two_ways(cx, n: i64) -> i64 {
        let v = vec![n, 5];
        let w = vec![1];
        let r = if n > 2 { cx.checkpoint().await; &v[0] } else { &v[1] };
        let part: &[i64] = match *r {
            0 => { cx.checkpoint().await; &v }
            3 => &w,
            _ => { let k = cx.call(echo(n)).await; if k > 3 { &v[1..] } else { &w } }
        };
        let sum = part.iter().sum::<i64>();
        let again = cx.call(echo(sum)).await;
        again + v.len() as i64 + w[0]
    }

    async fn references_into_a_map_in_a_loop(cx, n: i64) -> i64 {
        let mut map: HashMap<i64, String> = HashMap::new();
        let mut total = 0;
        for i in 0..n {
            let i = i % 3;
            let text = match map.get(&i) {
                Some(text) => text,
                None => {
                    let x = cx.call(echo(i * 1000)).await;
                    map.insert(i, x.to_string());
                    map.get(&i).unwrap()
                }
            };
            total += text.len() as i64;
            let shown = if text.len() > 3 { text.as_str() } else { cx.checkpoint().await; "none" };
            total += shown.len() as i64 * 10;
        }
        total
    }

    async fn a_reference_that_is_assigned(cx, n: i64) -> i64 {
        let a = String::from(" a b");
        let mut r = &a[..];
        if n > 1 { cx.checkpoint().await; r = a.trim(); }
        let length = r.len();
        let part;
        if n > 2 { cx.checkpoint().await; part = a.split(' ').next(); } else { part = Some("abc"); }
        (part.unwrap_or("").len() * 10 + length) as i64
    }

    async fn boxes_of_what_is_not_named(cx, n: i64) -> i64 {
        let v = vec![1, 2, 3];
        let f: Box<dyn Fn(i64) -> i64> = if n > 2 { cx.checkpoint().await; Box::new(|x| x + 1) } else { Box::new(|x| x * 2) };
        let mut sum = f(n);
        let it: Box<dyn Iterator<Item = &i64>> = if n > 1 { cx.checkpoint().await; Box::new(v.iter().rev()) } else { Box::new(v.iter()) };
        for x in it {
            if *x > n { break; }
            sum = sum * 10 + x;
        }
        sum + area(if n > 1 { cx.checkpoint().await; Box::new(Point) } else { Box::new(Square(n)) })
    }

    async fn what_is_coerced_to_what_is_expected(cx, n: i64) -> i64 {
        let v = vec![5, 6];
        let a = first(Some(if n > 0 { cx.checkpoint().await; &v } else { &[9] }));
        let view = View { list: if n > 1 { cx.checkpoint().await; &v } else { &[1, 2, 3] } };
        let b = view.list.len() as i64;
        let c = cx.call(echo(a)).await + b;
        cx.checkpoint().await;
        c
    }

    async fn a_lock_that_is_taken_on_one_of_two_ways(cx, n: i64) -> i64 {
        let total = std::sync::Mutex::new(n);
        let mut guard = if n > 1 { cx.checkpoint().await; total.lock().unwrap() } else { total.lock().unwrap() };
        *guard += 1;
        let now = *guard;
        drop(guard);
        now
    }

    async fn capital_letters(cx, n: i64) -> i64 {
        let mut sum = 0;
        for N in 0..n { cx.checkpoint().await; sum += N; }
        let mut list = vec![n];
        while let Some(N) = list.pop() { cx.checkpoint().await; sum += N * 10; }
        let result: std::result::Result<i64, i64> = Ok(n);
        let (Ok(M) | Err(M)) = result;
        cx.checkpoint().await;
        sum += M * 100;
        if let Some(N) = n.checked_add(1) { cx.checkpoint().await; sum += N * 1000; }
        sum += match n { N @ 2..=3 => { cx.checkpoint().await; N * 10_000 } _ => 0 };
        let Some(K) = n.checked_sub(1) else { return 0 };
        cx.checkpoint().await;
        sum + K * 100_000
    }

    async fn constants_in_patterns(cx, n: i64) -> String {
        const zero: i64 = 0;
        const N: i64 = 1;
        let name = match n {
            zero => { cx.checkpoint().await; format!("zero {n}") }
            N => { cx.checkpoint().await; format!("one {N}") }
            i64::MAX => String::new(),
            _ => { cx.checkpoint().await; "more".to_string() }
        };
        cx.checkpoint().await;
        name
    }

    async fn closures_that_take_what_they_use(cx, n: i64) -> i64 {
        let text = String::from("abc");
        let add = move |x: i64| text.len() as i64 + x;
        let a = add(n);
        cx.checkpoint().await;
        let list = vec![a, n];
        let sum = { let list = list; move || list.iter().sum::<i64>() };
        let b = sum();
        cx.checkpoint().await;
        a * 100 + b
    }

    async fn a_value_that_ends_early_is_none(cx, n: i64) -> i64 {
        let x = if n > 3 { cx.checkpoint().await; return -1 } else { n };
        cx.checkpoint().await;
        if n == 2 { return x; }
        x + 1
    }
}

#[test]
fn types_are_inferred_in_the_order_of_the_text() {
    for n in 0..5 {
        same!(what_a_map_holds_is_said_in_a_loop_before(n), n as usize);
        same!(what_a_list_holds_is_said_in_a_loop_before(n), n as usize);
        same!(lists_and_options_that_are_filled_later(n), 1);
    }
    same!(results_of_the_first_that_ends(3), 3);
    same!(two_at_once(2), 3);
}

#[test]
fn what_cannot_be_saved_goes_on_where_two_ways_meet() {
    for n in 0..5 {
        same!(a_reference_that_is_made_on_one_of_two_ways(n), 1);
        same!(references_into_a_map_in_a_loop(n * 2), n as usize);
        same!(a_reference_that_is_assigned(n), 0);
        same!(boxes_of_what_is_not_named(n), 0);
        same!(what_is_coerced_to_what_is_expected(n), 2);
        same!(a_lock_that_is_taken_on_one_of_two_ways(n), 0);
        same!(a_value_that_ends_early_is_none(n), 0);
    }
}

#[test]
fn names_and_captures() {
    for n in 0..5 {
        same!(capital_letters(n), n as usize);
        same!(constants_in_patterns(n), 2);
        same!(closures_that_take_what_they_use(n), 2);
    }
}
