//! `#[kappa::task(auto)]`: a suspension point at the back edge of every loop (trap r20).

use crate::harness::everywhere;
use crate::twin::{same, twins};
use kappa::task::TaskFunction;
use kappa::{Context, Kappa, TaskCall};
use std::time::{Duration, Instant};

fn total(list: &[i64]) -> i64 {
    let mut total = 0;
    for x in list {
        total += x;
    }
    total
}

twins! { auto:
    async fn r20_loops_without_calls(cx, n: i64) -> i64 {
        let mut sum = 0;
        for i in 0..n { sum += i; }
        let mut i = 0;
        while i < n { i += 1; sum ^= i << 3; }
        let mut stack = vec![n];
        while let Some(top) = stack.pop() { sum += top; if top > 1 { stack.push(top / 2); } }
        let found = loop { i += 1; if i % 7 == 0 { break i; } };
        sum * 100 + found
    }

    async fn r20_continue_is_a_way_back_too(cx, n: i64) -> i64 {
        let mut sum = 0;
        'rounds: for i in 0..n {
            if i % 3 == 0 { continue; }
            for j in 0..i {
                if j % 2 == 1 { continue; }
                if j == 4 { continue 'rounds; }
                sum += j * i;
            }
            let mut k = i;
            let found = loop {
                k += 1;
                if k % 2 == 0 { continue; }
                if k > 3 { break k; }
            };
            if found == 9 { break 'rounds; }
            sum += found;
        }
        sum
    }

    async fn loops_as_values_and_in_conditions(cx, n: i64) -> i64 {
        let mut m = n;
        let even = { while m > 1 { m -= 2; } m == 0 } && { let mut x = 0; loop { x += 1; if x > 3 { break; } } x == 4 };
        let added = n + loop { m += 1; if m > 4 { break m; } } * 2;
        let text = format!("{} {added}", 'out: { for i in 0..n { if i == 2 { break 'out i; } } -1 });
        i64::from(even) * 1000 + text.len() as i64 + match n { 0 => 7, 1 => loop { m += 3; if m > 9 { break m; } }, _ => m }
    }

    async fn what_a_pass_needs_is_kept(cx, words: Vec<String>) -> Vec<String> {
        let mut out: Vec<String> = vec![];
        let mut longest = String::new();
        for (i, word) in words.into_iter().enumerate() {
            let Some(first) = word.chars().next() else { continue };
            let mut reversed = String::new();
            for c in word.chars() { reversed.insert(0, c); }
            if word.len() > longest.len() { longest = word; } else { out.push(format!("{i}{first}{longest}")); }
            out.push(reversed);
        }
        out.push(longest);
        out
    }

    async fn what_is_not_its_own_is_left_alone(cx, list: Vec<i64>) -> i64 {
        fn doubled(list: &[i64]) -> i64 { let mut sum = 0; for x in list { sum += x * 2; } sum }
        let largest = || { let mut largest = 0; for x in &list { largest = (*x).max(largest); } largest };
        let a = largest();
        let b = async { let mut sum = 0; for x in &list { sum += x; } sum }.await;
        let mut c = 0;
        for _ in 0..2 { c += total(&list) + doubled(&list) + list.iter().sum::<i64>(); }
        a + b * 10 + c * 100
    }

    async fn beside_points_that_are_written(cx, n: i64) -> i64 {
        let mut sum = 0;
        for i in 0..n {
            sum += cx.call(r20_loops_without_calls(i)).await;
            let mut rest = i;
            while rest > 0 { rest -= 1; if rest == 2 { cx.checkpoint().await; } sum += rest; }
        }
        sum
    }

    async fn nothing_to_go_over(cx, n: i64) -> i64 {
        for _ in 0..0 {}
        while n > 100 {}
        loop { break; }
        for x in Vec::<i64>::new() { assert!(x < 0); }
        n
    }

    async fn no_loop(cx, n: i64) -> i64 { n + 1 }
}

#[test]
fn r20_every_pass_through_a_loop_can_be_the_last_of_an_invocation() {
    for n in 0..6 {
        same!(r20_loops_without_calls(n), 2 * n as usize);
        same!(r20_continue_is_a_way_back_too(n), n as usize);
        same!(loops_as_values_and_in_conditions(n), 1);
        same!(beside_points_that_are_written(n), n as usize);
        same!(nothing_to_go_over(n), 0);
        same!(no_loop(n), 0);
    }
    same!(r20_continue_is_a_way_back_too(12), 30);
    let words = ["a", "bcd", "", "ef", "ghijk"].map(str::to_string).to_vec();
    same!(what_a_pass_needs_is_kept(words.clone()), 16);
    same!(what_is_not_its_own_is_left_alone(vec![1, 5, 2]), 2);
}

#[kappa::task(auto)]
async fn passes(cx: &mut Context, n: u64, skipped: u64) -> u64 {
    let mut sum = 0;
    for i in 0..n {
        if i < skipped {
            continue;
        }
        sum += i;
    }
    sum
}

#[test]
fn r20_there_is_one_checkpoint_for_each_pass_and_for_each_continue() {
    assert_eq!(everywhere(passes(6, 0)), (Ok(15), 6));
    assert_eq!(everywhere(passes(6, 6)), (Ok(0), 6));
    assert_eq!(everywhere(tasks::no_loop(3)), (Ok(4), 0));
}

mod with {
    #[kappa::task(auto)]
    pub(super) async fn sum(cx: &mut kappa::Context, n: u64) -> u64 {
        let mut sum = 0;
        for i in 0..n {
            sum += i;
            cx.checkpoint().await;
        }
        sum
    }
}

mod without {
    #[kappa::task]
    pub(super) async fn sum(cx: &mut kappa::Context, n: u64) -> u64 {
        let mut sum = 0;
        for i in 0..n {
            sum += i;
            cx.checkpoint().await;
        }
        sum
    }
}

#[test]
fn a_checkpoint_made_with_auto_is_not_taken_for_one_made_without() {
    fn fingerprint<F: TaskFunction>(_: TaskCall<F>) -> u64 {
        F::FINGERPRINT
    }
    assert_ne!(fingerprint(with::sum(3)), fingerprint(without::sum(3)));
    assert_eq!(everywhere(with::sum(3)), (Ok(3), 6));
    assert_eq!(everywhere(without::sum(3)), (Ok(3), 3));
}

/// Computes for two milliseconds in each pass, without a call; gives the incarnation that got to the end.
#[kappa::task(auto)]
async fn computes(cx: &mut Context, passes: u64) -> (u64, u64) {
    let mut sum = 0;
    for pass in 0..passes {
        let started = Instant::now();
        let mut spin = pass;
        let until = move || started.elapsed() < Duration::from_millis(2);
        sum += (|| {
            while until() {
                spin = spin.wrapping_mul(3) | 1;
            }
            pass
        })();
    }
    (sum, u64::from(cx.incarnation()))
}

#[test]
fn r20_a_loop_without_calls_gets_to_its_end_under_a_time_limit_that_is_too_short_for_it() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (sum, incarnation) = runtime.block_on(async {
        let limit = Duration::from_millis(400);
        let kappa = Kappa::builder().time_limit(limit).build().await.unwrap();
        kappa.run(computes(500)).await.unwrap()
    });
    assert_eq!(sum, (0..500).sum::<u64>());
    assert!(incarnation > 0, "the whole second was computed within one time limit");
}
