//! Suspension points anywhere in an expression, in Rust's order of evaluation (trap r05).

use crate::twin::{same, twins};
use kappa::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Default)]
pub(crate) struct Point {
    x: i64,
    y: i64,
    name: String,
}

impl Point {
    fn moved(&mut self, by: i64) -> &mut Self {
        self.x += by;
        self
    }
    fn plus(self, other: i64) -> i64 {
        self.x + self.y + other
    }
}

/// Leaves a trace of when it was evaluated.
fn note(log: &mut Vec<String>, name: &str, value: i64) -> i64 {
    log.push(name.to_string());
    value
}

fn three(a: i64, b: i64, c: i64) -> i64 {
    a * 100 + b * 10 + c
}

twins! {
    async fn echo(cx, value: i64) -> i64 {
        cx.checkpoint().await;
        value
    }

    async fn operands(cx, n: i64) -> (Vec<String>, i64) {
        let mut log = vec![];
        let x = note(&mut log, "a", n) - cx.call(echo(note(&mut log, "b", 2))).await * note(&mut log, "c", 3)
            + cx.call(echo(note(&mut log, "d", 4))).await;
        (log, x)
    }

    async fn arguments(cx, n: i64) -> (Vec<String>, i64) {
        let mut log = vec![];
        let x = three(note(&mut log, "a", n), cx.call(echo(note(&mut log, "b", 2))).await, note(&mut log, "c", 3));
        let y = three(cx.call(echo(1)).await, note(&mut log, "d", 2), cx.call(echo(3)).await);
        (log, x * 1000 + y)
    }

    async fn r05_a_variable_is_read_before_the_suspension_on_its_right(cx, n: i64) -> (i64, i64) {
        let mut a = n;
        let x = a + { a += 10; cx.call(echo(a)).await } + a;
        (x, a)
    }

    async fn r05_compound_assignment(cx, n: i64) -> (i64, i64, i64) {
        let mut p = Point { x: n, y: 2, name: String::new() };
        p.x += cx.call(echo({ p.x += 100; p.y })).await;
        let mut v = vec![1, 2, 3];
        let mut i = 0;
        v[{ i += 1; i }] += cx.call(echo(5)).await;
        v[i] *= cx.call(echo(v[1])).await;
        (p.x, v[1], i as i64)
    }

    async fn short_circuit(cx, n: i64) -> (Vec<String>, i64) {
        let mut log = vec![];
        let a = note(&mut log, "a", n) > 1 && cx.call(echo(note(&mut log, "b", 2))).await == 2 && note(&mut log, "c", 0) == 0;
        let b = note(&mut log, "d", n) > 1 || cx.call(echo(note(&mut log, "e", n))).await == 1 || note(&mut log, "f", 0) == 1;
        let c = !(cx.call(echo(n)).await == 1) && (n > 0 || cx.call(echo(n)).await == 0);
        (log, i64::from(a) + 2 * i64::from(b) + 4 * i64::from(c))
    }

    async fn receivers(cx, n: i64) -> (Vec<i64>, i64) {
        let mut v = vec![n];
        v.push(cx.call(echo(v.len() as i64)).await);
        v.extend([cx.call(echo(7)).await, v[0]]);
        let mut p = Point::default();
        p.moved(cx.call(echo(1)).await).moved(2).x += 1;
        let total = cx.call(list(n)).await.into_iter().map(|x| x + 1).sum::<i64>();
        let q = p.clone().plus(cx.call(echo(total)).await);
        v.insert(v.len() - 1, cx.call(echo(q)).await);
        (v, p.x)
    }

    async fn list(cx, n: i64) -> Vec<i64> {
        cx.checkpoint().await;
        (0..n).collect()
    }

    async fn literals(cx, n: i64) -> Vec<i64> {
        let mut log = vec![];
        let p = Point { y: note(&mut log, "y", 1), x: cx.call(echo(2)).await, name: format!("n{}", note(&mut log, "n", 3)) };
        let x = 5;
        let q = Point { x, name: cx.call(named(n)).await, ..p.clone() };
        let t = (note(&mut log, "t", 1), cx.call(echo(2)).await, note(&mut log, "u", 3));
        let a = [cx.call(echo(1)).await, n, cx.call(echo(3)).await];
        let r = [cx.call(echo(4)).await; 2];
        vec![p.x, p.y, q.x, q.y, q.name.len() as i64, t.0, t.1, t.2, a[0], a[1], a[2], r[1], log.join("").len() as i64]
    }

    async fn named(cx, n: i64) -> String {
        cx.checkpoint().await;
        format!("name {n}")
    }

    async fn macros(cx, n: i64) -> Vec<String> {
        let name = "x".to_string();
        let mut out = vec![format!("{name}: {} {:>4} {last}", n, cx.call(echo(n)).await, last = cx.call(named(1)).await)];
        println!("{} {}", cx.call(echo(n)).await, out.len());
        assert_eq!(cx.call(echo(n)).await, n, "never seen {}", out.len());
        assert!(cx.call(echo(n)).await == n);
        out.extend(vec![cx.call(named(2)).await, name.clone(), cx.call(named(3)).await]);
        out.extend(vec![cx.call(named(4)).await; 2]);
        out
    }

    async fn indexing(cx, n: i64) -> Vec<i64> {
        let mut v = cx.call(list(n)).await;
        let first = cx.call(list(n)).await[cx.call(echo(1)).await as usize];
        v[cx.call(echo(0)).await as usize] = cx.call(echo(9)).await + v[1];
        let i = 2;
        let sum = v[i] + cx.call(echo(10)).await + v[cx.call(echo(1)).await as usize];
        let range: Vec<i64> = (cx.call(echo(1)).await..cx.call(echo(4)).await).collect();
        vec![first, v[0], sum, range.len() as i64]
    }

    async fn unary_and_casts(cx, n: i64) -> i64 {
        let small = -cx.call(echo(n)).await as i32;
        let reference = &cx.call(named(n)).await;
        let length = reference.len();
        let boxed = Box::new(cx.call(echo(3)).await);
        (small as i64) + length as i64 + *boxed + !cx.call(echo(0)).await + (cx.call(point()).await).x
    }

    async fn point(cx) -> PointValue {
        cx.checkpoint().await;
        Point { x: 1, y: 2, name: "p".into() }
    }

    async fn comparison_does_not_move(cx, n: i64) -> (String, i64) {
        let mine = format!("name {n}");
        let equal = mine == cx.call(named(n)).await;
        let less = cx.call(named(0)).await < mine;
        (mine, i64::from(equal) + 2 * i64::from(less))
    }

    async fn borrowed_arguments(cx, n: i64) -> i64 {
        let text = format!("text {n}");
        let longer = |a: &str, b: i64, c: &str| a.len() as i64 + b + c.len() as i64;
        let a = longer(&text, 1, "x");
        let b = std::cmp::max(&text, &cx.call(named(n)).await).len() as i64;
        let mut v = vec![1, 2, 3];
        std::mem::swap(&mut v, &mut cx.call(list(n)).await);
        a + b + v.len() as i64
    }

    async fn assignments(cx, n: i64) -> (i64, i64) {
        let (mut a, mut b) = (1, 2);
        (a, b) = (cx.call(echo(b)).await, a);
        let mut p = Point::default();
        p.x = cx.call(echo(a)).await;
        _ = cx.call(echo(1)).await;
        [p.y, _] = [cx.call(echo(n)).await, 5];
        (a * 10 + b, p.x * 10 + p.y)
    }

    async fn deep_chain(cx, n: i64) -> i64 {
        cx.call(echo(cx.call(echo(cx.call(echo(n)).await + 1)).await * cx.call(echo(2)).await)).await
            - (if cx.call(echo(n)).await > 1 { cx.call(echo(5)).await } else { 6 })
    }

    async fn try_and_chain(cx, n: i64) -> Result<i64> {
        let value = cx.call(fallible(n)).await?.checked_add(cx.call(fallible(n + 1)).await?).ok_or_else(|| Error::msg("overflow"))?;
        Ok(value + cx.call(fallible(value)).await.unwrap_or(-1))
    }

    async fn fallible(cx, n: i64) -> Result<i64> {
        cx.checkpoint().await;
        if n > 2 { Err(Error::msg(format!("{n} is too much")).context("no")) } else { Ok(n) }
    }
}

type PointValue = Point;

impl crate::twin::PlainEnd for Point {
    type Value = Point;
    fn plain_end(self) -> std::result::Result<Point, String> {
        Ok(self)
    }
}

#[test]
fn r05_order_of_evaluation() {
    same!(operands(5), 2);
    same!(arguments(5), 3);
    same!(r05_a_variable_is_read_before_the_suspension_on_its_right(5), 1);
    same!(r05_compound_assignment(5), 3);
    for n in 0..3 {
        same!(short_circuit(n), 1);
    }
}

#[test]
fn everywhere_in_an_expression() {
    same!(receivers(4), 6);
    same!(literals(4), 6);
    same!(macros(4), 8);
    same!(indexing(4), 9);
    same!(unary_and_casts(4), 5);
    same!(point(), 1);
    same!(comparison_does_not_move(4), 2);
    same!(borrowed_arguments(4), 2);
    same!(assignments(4), 4);
    same!(deep_chain(4), 6);
    for n in 0..4 {
        same!(try_and_chain(n), 1);
    }
}
