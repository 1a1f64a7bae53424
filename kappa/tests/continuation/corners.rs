//! Where taking code apart could show: types of variables that are assigned anew, names in strings and macros, values that are settled before or
//! after a suspension point, items inside blocks.

use crate::twin::{same, twins};
use serde::{Deserialize, Serialize};

fn small() -> u8 {
    7
}

const FACTOR: i64 = 2;

/// Copied like a number, and changed in place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Tally {
    x: i64,
    y: i64,
}

impl Tally {
    fn add(&mut self, n: i64) -> i64 {
        self.x += n;
        self.x
    }

    fn plus(self, n: i64) -> i64 {
        self.x * 100 + n
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Named {
    name: String,
    tally: Tally,
}

fn named(name: &str) -> Named {
    Named {
        name: name.to_string(),
        tally: Tally { x: 1, y: 2 },
    }
}

fn both(a: Option<&String>, b: i64) -> i64 {
    a.map_or(0, |a| a.len() as i64) * 10 + b
}

fn part(list: &[i64], n: i64) -> i64 {
    list.iter().sum::<i64>() * 10 + n
}

fn length((text, n): (&str, i64), more: i64) -> i64 {
    text.len() as i64 + n + more
}

fn ends(message: &str) -> ! {
    panic!("{message}")
}

twins! {
    async fn echo(cx, value: i64) -> i64 {
        cx.checkpoint().await;
        value
    }

    async fn a_variable_keeps_its_type_when_it_is_assigned_anew(cx, n: i64) -> i64 {
        let mut x = small();
        let mut y = 0.5_f32;
        let z: u8;
        let mut total = i64::from(x) + y as i64;
        cx.checkpoint().await;
        // Without their types, these would be an `i32` and an `f64`.
        x = 255;
        y = 0.1;
        cx.checkpoint().await;
        total += (x << 1) as i64;
        total += (y as f64 * 1e12) as i64;
        if n > 1 { z = 255; } else { z = 254; }
        cx.checkpoint().await;
        total + (z << 1) as i64
    }

    async fn a_variable_keeps_its_type_without_being_live_anywhere(cx, n: i64) -> i64 {
        let mut x = small();
        let mut total = n + i64::from(x);
        cx.checkpoint().await;
        x = 255;
        total += (x << 1) as i64;
        cx.checkpoint().await;
        (x, _) = (128, ());
        total + (x << 1) as i64
    }

    async fn an_argument_keeps_its_type(cx, n: u8) -> i64 {
        let mut n = n;
        let first = i64::from(n);
        cx.checkpoint().await;
        n = 255;
        cx.checkpoint().await;
        first + (n << 1) as i64
    }

    async fn strings_that_are_no_format_strings(cx, x: i64) -> Vec<String> {
        let mut out = vec![];
        {
            let x = format!("inner{x}");
            cx.checkpoint().await;
            out.push(x.clone());
            out.extend(vec!["{x}".to_string(), format!("{x}"), format!("{}", "{x}")]);
            assert_eq!("{x}".len(), 3, "{x}");
            assert!("{x}".starts_with('{'), "{x}");
            out.push(format!("{x:?} {x } {x:>1$} {0}{y}{x:.prec$}", "", 12, y = x, prec = 3));
            out.push(format!("{x}", x = 5));
        }
        out.push(format!("{x} {0:x$}", 1, x = x as usize));
        out
    }

    async fn raw_names_in_strings(cx, r#type: i64) -> String {
        let r#match = r#type + 1;
        cx.checkpoint().await;
        format!("{type} {match}")
    }

    async fn literals_in_macros(cx, x: i64) -> Vec<i64> {
        let mut out = vec![];
        {
            let (x, y) = (x + 1, x + 2);
            cx.checkpoint().await;
            out.extend(vec![Tally { x, y }.add(1), Tally { x: 1, y }.add(2), std::cmp::max(x, y)]);
            let max = 4;
            out.push(i64::from(matches!(Some(x), Some(y) if std::cmp::max(y, max) == y)));
        }
        out.push(x);
        out
    }

    async fn r05_a_receiver_that_is_changed_in_place(cx, n: i64) -> (i64, i64) {
        let mut tally = Tally { x: n, y: 0 };
        // A copy of `tally` would be changed if mentioning it were taken for changing it.
        let after = tally.add({ println!("{tally:?}"); cx.call(echo(5)).await });
        let list = [Tally::default(); 3];
        let mut nested = (list, 1_usize);
        nested.0[nested.1].add(cx.call(echo(7)).await);
        (after * 100 + tally.x, nested.0[1].x)
    }

    async fn r05_a_receiver_that_is_copied_first(cx, n: i64) -> i64 {
        let mut tally = Tally { x: n, y: 0 };
        let first = tally.plus({ tally.x = 9; cx.call(echo(5)).await });
        let second = tally.plus({ tally = Tally::default(); cx.call(echo(tally.x)).await });
        let mut m = n;
        let third = m.wrapping_sub({ m += 10; cx.call(echo(m)).await });
        let fourth = m.wrapping_sub({ assert!({ m -= 3; true }); cx.call(echo(m)).await });
        first * 1_000_000 + second * 1000 + third * 10 + fourth
    }

    async fn r05_what_is_printed_is_not_moved(cx, n: i64) -> (String, i64) {
        let text = format!("text{n}");
        let equal = text == cx.call(text_of({ println!("{text}"); n })).await;
        let mut list = vec![n];
        list.push({ assert_eq!(list.len(), 1); cx.call(echo(5)).await });
        (text, list[1] + i64::from(equal))
    }

    async fn text_of(cx, n: i64) -> String {
        cx.checkpoint().await;
        format!("text{n}")
    }

    async fn r05_a_computed_index_of_a_number(cx, n: i64) -> Vec<i64> {
        let mut list = vec![1, 2, 3, 4];
        let mut i = 0;
        // The right side of a primitive `+=` comes first, so it sees and sets the old index.
        list[{ i += 1; i }] += cx.call(echo(10)).await * i as i64 + { i += 1; 100 };
        list[i] -= cx.call(echo({ i += 1; 1 })).await;
        list[cx.call(echo(0)).await as usize] *= { i = 0; n };
        list.push(i as i64);
        list
    }

    async fn r05_a_settled_index_of_a_string(cx, n: i64) -> Vec<String> {
        let mut list = vec![String::from("a"), String::from("b")];
        let i = n as usize % 2;
        list[i] += &cx.call(text_of(n)).await;
        list[1 - i] += &cx.call(text_of(i as i64)).await;
        let mut named = named("x");
        named.name += &cx.call(text_of(3)).await;
        list.push(named.name);
        list
    }

    async fn parts_of_values_that_are_not_in_variables(cx, n: i64) -> i64 {
        let a = length((&named("xy").name, 1), cx.call(echo(n)).await);
        let b = named("abc").name.len().max(cx.call(echo(2)).await as usize) as i64;
        let text = String::from("four");
        let c = both(Some(&text), cx.call(echo(n)).await);
        let list = vec![1, 2, 3];
        let d = part(&list[..], cx.call(echo(n)).await) + part(&list[1..], cx.call(echo(1)).await);
        let e = part(&[text.len() as i64, 1], cx.call(echo(n)).await);
        a + b * 10 + c * 100 + d * 1000 + e * 10_000
    }

    async fn an_item_behind_a_reference_is_copied_before(cx, list: Vec<i64>) -> i64 {
        let rest = &list[1..];
        // `rest` cannot be saved, and need not be.
        let sum = rest[0] + cx.call(echo(list[0])).await;
        let last = list.iter().max().unwrap_or(&0);
        sum * 100 + (*last - cx.call(echo(1)).await)
    }

    async fn assigned_in_a_closure(cx, list: Vec<i64>) -> i64 {
        let mut last = 7;
        let mut count = 0;
        cx.checkpoint().await;
        let mut ignored = 0;
        cx.checkpoint().await;
        list.iter().for_each(|x| { last = *x; count += 1; ignored = *x; });
        cx.checkpoint().await;
        last * 10 + count
    }

    async fn assigned_under_a_name_that_is_shadowed(cx, value: Option<i64>) -> i64 {
        let mut x = 5;
        let mut y = 6;
        cx.checkpoint().await;
        match value { Some(mut x) if x > 3 => { x = 1; y += x; } Some(_) => { y = 2; } None => { x = 3; } }
        if let Some(mut y) = value { y = 9; x += y; } else { y = 8; }
        let Some(_) = value else { x = 4; return x * 100 + y };
        cx.checkpoint().await;
        x * 10 + y
    }

    async fn only_a_namesake_is_assigned(cx, value: Option<i64>) -> i64 {
        let (mut x, mut y, mut z) = (5, 6, 7);
        let mut sum = 0;
        cx.checkpoint().await;
        match value { Some(mut x) => { x = 1; sum += x; } None => { x = 3; } }
        if let Some(mut y) = value { y = 9; sum += y; } else { y = 8; }
        if value.is_some() { let mut z; z = 4; sum += z; } else { z = 2; }
        cx.checkpoint().await;
        sum * 1000 + x * 100 + y * 10 + z
    }

    async fn assigned_on_every_way(cx, n: i64) -> i64 {
        let a; let b; let c; let d; let e; let f;
        cx.checkpoint().await;
        (a, b) = (n, n + 1);
        loop { if n > 1 { c = 1; break; } c = 2; break; }
        if n < 100 { d = n; } else { panic!("too much"); }
        if n < 100 { e = n; } else { ends("too much") }
        f = 'found: { if n == 2 { break 'found 5; } 6 };
        cx.checkpoint().await;
        a + b * 10 + c * 100 + d * 1000 + e * 10_000 + f * 100_000
    }

    async fn assigned_again_in_a_loop_with_a_way_out(cx, n: i64) -> i64 {
        let mut x = 1;
        let mut rounds = 0;
        cx.checkpoint().await;
        // `x` is needed at the first `break`.
        loop { rounds += 1; if n == 0 { break; } x = 2; if rounds > n { break; } }
        while rounds < 10 { if n == 1 { break; } x += 1; rounds += 5; }
        cx.checkpoint().await;
        x * 100 + rounds
    }

    async fn let_else_that_assigns_and_leaves(cx, value: Option<i64>) -> i64 {
        let mut x = 1;
        cx.checkpoint().await;
        for _ in 0..2 { let Some(y) = value else { x = 2; break }; x += y; }
        cx.checkpoint().await;
        x
    }

    async fn items_of_blocks(cx, n: i64) -> i64 {
        let a = FACTOR * n;
        let b = {
            const INNER: i64 = 3;
            fn inner_sum(x: i64) -> i64 { x + INNER }
            use std::cmp::min as inner_min;
            cx.checkpoint().await;
            inner_min(inner_sum(n), 5)
        };
        // Not taken apart, so it stays where it is.
        let c = { const FACTOR: i64 = 5; FACTOR };
        a + b * 10 + c * 100
    }

    async fn a_temporary_value_lives_as_long_as_the_loop_over_it(cx, text: String) -> Vec<String> {
        let mut out = vec![];
        let table = std::sync::Mutex::new(vec![1, 2, 3]);
        'rounds: for round in 0..3 {
            for word in text.to_uppercase().split(' ') {
                if word.len() == round { continue 'rounds; }
                out.push(word.to_string());
            }
            for x in table.lock().unwrap().iter() { if *x > 2 { break; } out.push(x.to_string()); }
            out.push("end".to_string());
        }
        drop(table);
        cx.checkpoint().await;
        'again: loop {
            for line in text.replace(' ', "\n").lines() { if line == "b" { break 'again; } out.push(line.into()); }
            cx.checkpoint().await;
            break;
        }
        out
    }

    async fn a_guard_looks_at_a_part(cx, n: i64) -> i64 {
        let pairs = vec![(n, 1), (5, 2)];
        let mut state = (named("x"), 3);
        let first = match pairs[0] { (a, b) if cx.call(echo(a)).await > 2 => a * 10 + b, (a, _) => a };
        let second = match state.0.tally { tally if cx.call(echo(tally.x)).await > 4 => 1, Tally { x, .. } => x * 7 };
        let mut stack = vec![n, 9];
        let mut at = 0;
        let popped = match stack.pop() { Some(x) if cx.call(echo(x)).await > n * 3 => x, Some(x) if x > 8 => -x, _ => 0 };
        let indexed = match pairs[{ at += 1; at - 1 }] { (a, _) if cx.call(echo(a)).await > 7 => 1, (a, b) => a + b };
        state.1 += popped + indexed + at as i64 + stack.len() as i64;
        state.1 += match state.1 { m if cx.call(echo(m)).await == 3 => m, _ => 100 };
        first * 1000 + second * 100 + state.1
    }

    async fn is_long(cx, text: String) -> bool {
        cx.checkpoint().await;
        text.len() > 3
    }

    async fn r03_a_guard_says_no_and_the_value_is_still_there(cx, text: String, n: i64) -> (String, i64) {
        let text = match text {
            text if text.is_empty() => "empty".to_string(),
            text if cx.call(is_long(text.clone())).await => text + "!",
            mut other if n > 2 && cx.call(is_long(other.repeat(2))).await => { other.push('?'); other }
            text => text + ".",
        };
        let mut n = n;
        let m = match n { 1 => 7, n if cx.call(echo(n)).await > 2 => n * 10, _ => { n += 1; n } };
        (text, m * 100 + n)
    }

    async fn shared_values_made_of_one_another(cx, text: String, n: i64) -> i64 {
        let words = cx.shared(|| text.split(' ').map(str::to_string).collect::<Vec<_>>());
        let lengths = cx.shared(|| words.iter().map(|word| word.len() as i64).collect::<Vec<_>>());
        let total = cx.shared(|| lengths.iter().sum::<i64>());
        let mut sum = 0;
        for i in 0..n { cx.checkpoint().await; sum += *total + i; }
        sum
    }

    async fn a_shared_value_needs_what_its_parts_are_made_of(cx, text: String) -> i64 {
        let words = cx.shared(|| text.split(' ').map(str::to_string).collect::<Vec<_>>());
        let lengths = cx.shared(|| words.iter().map(|word| word.len() as i64).collect::<Vec<_>>());
        let total = cx.shared(|| lengths.iter().sum::<i64>());
        let double = cx.shared(|| *total * 2);
        cx.checkpoint().await;
        *double
    }

    async fn moved_and_assigned_in_one_branch(cx, n: i64) -> Vec<String> {
        let mut text = format!("n{n}");
        let mut out = vec![];
        for i in 0..n {
            if i % 2 == 0 { out.push(text); text = loop { if i > 5 { break "big".to_string(); } break format!("i{i}"); }; }
            cx.checkpoint().await;
            out.push(text.clone());
        }
        out
    }
}

#[test]
fn types_stay_what_they_are() {
    for n in [1, 2] {
        same!(a_variable_keeps_its_type_when_it_is_assigned_anew(n), 3);
        same!(a_variable_keeps_its_type_without_being_live_anywhere(n), 2);
    }
    same!(an_argument_keeps_its_type(3), 2);
}

#[test]
fn names_in_strings_and_macros() {
    same!(strings_that_are_no_format_strings(4), 1);
    same!(raw_names_in_strings(4), 1);
    same!(literals_in_macros(4), 1);
}

#[test]
fn r05_receivers_and_places() {
    same!(r05_a_receiver_that_is_changed_in_place(4), 2);
    same!(r05_a_receiver_that_is_copied_first(4), 4);
    same!(r05_what_is_printed_is_not_moved(4), 2);
    same!(r05_a_computed_index_of_a_number(4), 3);
    same!(r05_a_settled_index_of_a_string(4), 3);
    same!(an_item_behind_a_reference_is_copied_before(vec![1, 2, 3]), 2);
    same!(parts_of_values_that_are_not_in_variables(4), 6);
    for text in ["", "ab", "c", "long"] {
        for n in 0..4 {
            same!(r03_a_guard_says_no_and_the_value_is_still_there(text.to_string(), n), 0);
        }
    }
    for n in [1, 2, 4] {
        same!(a_guard_looks_at_a_part(n), 3);
    }
}

#[test]
fn assignments() {
    for list in [vec![], vec![1, 2]] {
        same!(assigned_in_a_closure(list.clone()), 2);
    }
    for value in [None, Some(1), Some(5)] {
        same!(assigned_under_a_name_that_is_shadowed(value), 1);
        same!(only_a_namesake_is_assigned(value), 2);
        same!(let_else_that_assigns_and_leaves(value), 2);
    }
    for n in 0..4 {
        same!(assigned_on_every_way(n), 2);
        same!(assigned_again_in_a_loop_with_a_way_out(n), 2);
        same!(moved_and_assigned_in_one_branch(n + 5), 5);
    }
}

#[test]
fn scopes_of_items_and_temporary_values() {
    same!(items_of_blocks(4), 1);
    same!(
        a_temporary_value_lives_as_long_as_the_loop_over_it("a b cc".to_string()),
        1
    );
    same!(shared_values_made_of_one_another("one two three".to_string(), 3), 3);
    same!(
        a_shared_value_needs_what_its_parts_are_made_of("one two".to_string()),
        1
    );
}
