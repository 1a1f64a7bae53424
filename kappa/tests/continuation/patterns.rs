//! Destructuring and matching on every kind of type.

use crate::twin::{same, twins};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Shape {
    Empty,
    Circle { radius: i64 },
    Boxed(i64, Box<Shape>),
}

const LIMIT: i64 = 4;

twins! {
    async fn area(cx, shape: Shape, depth: i64) -> i64 {
        match shape {
            Shape::Empty => 0,
            Shape::Circle { radius: LIMIT } => -1,
            Shape::Circle { radius } => { cx.checkpoint().await; radius * 3 }
            Shape::Boxed(weight, inner) => weight + cx.call(area(*inner, depth + 1)).await * depth,
        }
    }

    async fn renamed_fields(cx, radius: i64) -> i64 {
        let shape = Shape::Circle { radius: radius + 1 };
        let Shape::Circle { radius } = shape.clone() else { return radius };
        cx.checkpoint().await;
        if let Shape::Circle { radius } = shape { cx.checkpoint().await; return radius * 2; }
        radius
    }

    async fn modes(cx, n: i64) -> (String, i64) {
        let mut pair = (format!("n{n}"), n);
        {
            let (text, ref mut number) = pair;
            *number += text.len() as i64;
            pair = (text, *number);
        }
        cx.checkpoint().await;
        if let (text, number @ 0..=9) = &mut pair {
            text.push('!');
            *number += 1;
            cx.checkpoint().await;
        }
        pair
    }

    async fn slices(cx, list: Vec<i64>) -> i64 {
        match list.as_slice() {
            [] => { cx.checkpoint().await; -1 }
            [only] => { let only = *only; cx.call(echo(only)).await }
            [first, .., last] => { let (a, b) = (*first, *last); cx.checkpoint().await; a * 10 + b }
        }
    }

    async fn echo(cx, value: i64) -> i64 {
        cx.checkpoint().await;
        value
    }

    async fn for_patterns(cx, pairs: Vec<(i64, Option<String>)>) -> Vec<String> {
        let mut out = vec![];
        for (number, text) in pairs {
            let (number, (Some(text), _) | (None, text)) = (number + 1, (text, "none".to_string()));
            cx.checkpoint().await;
            out.push(format!("{number}{text}"));
        }
        out
    }

    async fn while_let_stack(cx, n: i64) -> Vec<i64> {
        let mut stack = vec![n];
        let mut out = vec![];
        while let Some(top) = stack.pop() {
            out.push(top);
            if top > 1 { cx.checkpoint().await; stack.push(top / 2); stack.push(top - cx.call(echo(2)).await); }
        }
        out
    }

    async fn or_patterns(cx, n: i64) -> i64 {
        let value: std::result::Result<i64, i64> = if n > 2 { Ok(n) } else { Err(-n) };
        cx.checkpoint().await;
        let (Ok(x) | Err(x)) = value;
        cx.checkpoint().await;
        x
    }
}

#[test]
fn enums_and_structs() {
    let nested = Shape::Boxed(2, Box::new(Shape::Boxed(3, Box::new(Shape::Circle { radius: 5 }))));
    same!(area(nested.clone(), 1), 1);
    same!(area(Shape::Circle { radius: LIMIT }, 1), 0);
    same!(area(Shape::Empty, 1), 0);
    same!(renamed_fields(3), 2);
}

#[test]
fn binding_modes() {
    same!(modes(3), 2);
    for list in [vec![], vec![5], vec![1, 2, 3]] {
        same!(slices(list.clone()), 1);
    }
    same!(for_patterns(vec![(1, None), (2, Some("x".to_string()))]), 2);
    same!(while_let_stack(6), 3);
    for n in 0..5 {
        same!(or_patterns(n), 2);
    }
}
