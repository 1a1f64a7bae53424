//! Many constructs in one function each, as they meet in real programs.

use crate::twin::{same, twins};
use kappa::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Tree {
    Leaf(i64),
    Node(Box<Tree>, Box<Tree>),
}
const LOW: i64 = 2;
static HIGH: i64 = 5;
fn push_all(into: &mut Vec<i64>, x: i64) -> usize {
    into.push(x);
    into.len()
}
macro_rules! add {
    ($a:expr) => {
        $a + 1
    };
}
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct P {
    x: i64,
    name: String,
    inner: Option<Box<P>>,
}

twins! {
    async fn echo(cx, value: i64) -> i64 { cx.checkpoint().await; value }
    async fn small(cx, value: u8) -> u8 { cx.checkpoint().await; value }

    async fn tree_sum(cx, tree: Tree) -> i64 {
        match tree {
            Tree::Leaf(x) => { cx.checkpoint().await; x }
            Tree::Node(left, right) => cx.call(tree_sum(*left)).await + cx.call(tree_sum(*right)).await,
        }
    }
    async fn dequeued_in_tuples_and_matches(cx, n: i64) -> i64 {
        let q = cx.queue::<i64>(10).await;
        cx.enqueue_all(&q, [1, 2, n]).await;
        let mut v = vec![10, 20];
        let mut sum = 0;
        while let (Some(a), Some(b)) = (v.pop(), cx.dequeue(&q).await) { sum += a * b; }
        let x = loop { match cx.dequeue(&q).await { Some(v) if v > 2 => break v, Some(_) => continue, None => return -sum } };
        sum + x
    }
    async fn jumps_inside_operands(cx, n: i64) -> i64 {
        let mut sum = 0;
        for i in 0..n {
            sum += if i == 3 { break } else { cx.call(echo(i)).await };
            sum += 'v: { if i == 1 { break 'v cx.call(echo(7)).await; } 3 } * 2;
            sum -= match i { LOW => { continue } x @ 0..=1 => cx.call(echo(x)).await, x if x == HIGH => return 9, _ => unreachable!("{i}") };
        }
        sum
    }
    async fn places_in_grids_and_boxes(cx, n: i64) -> i64 {
        let mut grid = [[1, 2], [3, 4]];
        let (i, mut j) = (1_usize, 0); let mut j2 = 1_usize;
        grid[i][j2 - 1] += cx.call(echo(n)).await;
        grid[j2][i] = cx.call(echo({ j2 = 0; 5 })).await;
        let mut p = P { inner: Some(Box::new(P::default())), ..P::default() };
        if let Some(inner) = &mut p.inner { inner.x += 3; }
        p.inner.as_mut().unwrap().x += 4;
        (p.x, grid[0][0]) = (cx.call(echo(8)).await, p.inner.as_ref().unwrap().x);
        P { x: j, .. } = P { x: 4, ..P::default() };
        grid.iter().flatten().sum::<i64>() * 100 + p.x * 10 + j as i64
    }
    async fn values_of_many_types(cx, n: i64) -> (i64, i64) {
        let mut x = 0;
        x += cx.call(small(200)).await;
        x = x.wrapping_add(100);
        let _ = cx.call(echo(1)).await;
        _ = cx.call(echo(1)).await;
        let c = 'x';
        let big = i128::MAX;
        let f = f64::NAN;
        cx.checkpoint().await;
        (x as i64 + i64::from(f.is_nan()), (c as i64) + (big >> 100) as i64)
    }
    async fn borrows_and_macros_between_points(cx, n: i64) -> i64 {
        macro_rules! twice { ($a:expr) => { $a * 2 }; }
        let mut v = vec![n];
        let a = push_all(&mut v, cx.call(echo(3)).await);
        { let r = &mut v; r.push(5); }
        let b = { let r = &mut v; r.push(1); r.len() };
        cx.checkpoint().await;
        #[allow(unused)]
        let c = add!(twice!(v.len() as i64));
        let show = |n: i64| format!("{n}{c}{}", v.iter().map(|n| n + c).sum::<i64>());
        let text = show(4);
        cx.checkpoint().await;
        (a + b) as i64 + c + text.len() as i64 + const { 3 }
    }
    async fn conditions_of_many_parts(cx, n: i64) -> i64 {
        let mut i = 0;
        let mut sum = 0;
        while i < 3 && { i += 1; cx.call(echo(i)).await < n } { sum += i; if i == 2 { continue; } sum *= 3; }
        let mut list = vec![1, 2, 3, 9, 4];
        list.reverse();
        while let Some(x) = list.pop() && x < 5 && cx.call(echo(x)).await == x { sum += x; }
        if let Some(x) = list.pop() && let Some(y) = list.pop() { sum += x * y; } else if let [a, ..] = &list[..] && cx.call(echo(1)).await == 1 { sum += 1; } else { sum -= 1; }
        let ok = cx.call(echo(n)).await.checked_sub(1).is_none() || list.is_empty();
        sum + i64::from(ok)
    }
    async fn question_marks_in_closures_and_blocks(cx, n: i64) -> Result<i64> {
        let parsed: Vec<i64> = ["1", "2"].iter().map(|t| t.parse::<i64>()).collect::<std::result::Result<_, _>>()?;
        let opt = (|| { let x = parsed.first()?; Some(x + n) })();
        let Some(y) = opt else { loop { cx.checkpoint().await; return Ok(1); } };
        let z = async { y + 1 }.await + async move { n }.await;
        cx.checkpoint().await;
        let w = Some(z).map(|z| z + y).ok_or_else(|| Error::msg("none"))?;
        if w > 100 { return Err(Error::msg(format!("{w} > {y}"))); }
        Ok(w + cx.call(echo(w)).await)
    }
    async fn returns_nothing(cx, n: i64) -> () {
        if n > 0 { cx.checkpoint().await; return; }
        for _ in 0..2 { cx.checkpoint().await; }
    }
    async fn taken_apart_and_bound_again(cx, n: i64) -> i64 {
        let p = P { name: "abc".into(), x: n, inner: None };
        let P { name, x, inner: _inner } = p;
        let f = move |k: i64| k + x;
        let used = f(1) + name.len() as i64;
        cx.checkpoint().await;
        let total = used + x;
        let pair @ (a, _) = (total, 2);
        cx.checkpoint().await;
        pair.0 + a + name.len() as i64
    }
    async fn borrowed_text_on_the_way_through_branches(cx, text: String) -> i64 {
        // Borrowed between two points, on the way through a branch that suspends.
        let words: Vec<&str> = text.split(' ').collect();
        let longest = words.iter().map(|w| w.len()).max().unwrap_or(0);
        let n = if longest > 3 { cx.call(echo(longest as i64)).await } else { 0 };
        let first = text.split(' ').next().map(str::to_owned);
        match first.as_deref() { Some("one") => { cx.checkpoint().await; n + 1 } Some(other) => { let l = other.len(); cx.checkpoint().await; n + l as i64 } None => n }
    }
    async fn types_that_become_known_later(cx, n: i64) -> i64 {
        let mut best = None;
        let mut list = Vec::new();
        let mut map = std::collections::HashMap::new();
        for i in 0..n {
            if best.is_none_or(|b| b < i) { best = Some(i); }
            list.push((i, Default::default()));
            *map.entry(i % 3).or_insert(0) += 1;
            cx.checkpoint().await;
            list[0].1 = i;
        }
        let x: i64 = list.iter().map(|(a, b): &(i64, i64)| a + b).sum();
        x + best.unwrap_or(0) + map.len() as i64
    }
    async fn blocks_as_operands(cx, n: i64) -> i64 {
        let v = vec![1, 2, 3];
        let r = { let t = &v; t.len() as i64 } + cx.call(echo(n)).await + if v.is_empty() { return 0 } else { v[0] };
        let s = (cx.call(echo(1)).await, { let q = r * 2; q }, [r; 2], -r, !r, &r == &n).1;
        let t = -{ cx.call(echo(s)).await } as i64;
        (|| t + 1)() + cx.call(echo(t)).await
    }
}
#[test]
fn constructs_that_meet() {
    let leaf = |x| Box::new(Tree::Leaf(x));
    let tree = Tree::Node(leaf(1), Box::new(Tree::Node(leaf(2), leaf(3))));
    same!(tree_sum(tree.clone()), 3);
    for n in 0..8 {
        same!(dequeued_in_tuples_and_matches(n), 3);
        same!(jumps_inside_operands(n), n.min(6) as usize);
        same!(places_in_grids_and_boxes(n), 3);
        same!(values_of_many_types(n), 4);
        same!(borrows_and_macros_between_points(n), 3);
        same!(conditions_of_many_parts(n), 4);
        same!(question_marks_in_closures_and_blocks(n * 20), 1);
        same!(returns_nothing(n), 1);
        same!(taken_apart_and_bound_again(n), 2);
        same!(types_that_become_known_later(n), n as usize);
        same!(blocks_as_operands(n), 4);
    }
    for text in ["one two three", "a b", "", "one"] {
        same!(borrowed_text_on_the_way_through_branches(text.to_string()), 0);
    }
}
