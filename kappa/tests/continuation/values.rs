//! Values that `serde` does not keep whole: they come back as they were, or the task fails at once and says why.

use crate::harness::everywhere;
use crate::twin::{same, twins};
use kappa::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap};
use std::ffi::OsString;
use std::ops::RangeInclusive;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Job {
    name: String,
    ids: RangeInclusive<i64>,
}

twins! {
    async fn range_in_a_variable(cx, n: u64) -> Vec<u64> {
        let mut ids = 1..=n;
        let mut out = Vec::new();
        while let Some(id) = ids.next() {
            cx.checkpoint().await;
            out.push(id);
            if out.len() > 20 {
                break;
            }
        }
        out
    }

    async fn range_from_both_ends(cx, n: i8) -> Vec<i64> {
        let mut ids = i8::MAX - n..=i8::MAX;
        let mut out = Vec::new();
        while let (Some(id), false) = (ids.next_back(), out.len() > 20) {
            out.push(i64::from(id));
            cx.checkpoint().await;
            out.extend(ids.next().map(i64::from));
            cx.checkpoint().await;
        }
        out
    }


    async fn ranges_inside_of_other_values(cx, n: i64) -> Vec<i64> {
        let mut option = Some(0..=n);
        let mut list = vec![n..=n, 5..=n + 5];
        let mut pair = ("text".to_string(), 'a'..='c', 7..=7_u8);
        let mut job = Job { name: "x".into(), ids: n..=n + 1 };
        let mut out = Vec::new();
        for _ in 0..n + 3 {
            out.extend(option.as_mut().and_then(Iterator::next));
            out.extend(list.iter_mut().filter_map(Iterator::next));
            out.extend(pair.1.next().map(|c| c as i64));
            out.extend(pair.2.next().map(i64::from));
            out.extend(job.ids.next());
            cx.checkpoint().await;
        }
        out.push(list.iter().filter(|range| range.is_empty()).count() as i64);
        out
    }

    async fn ranges_that_are_gone_over(cx, n: i64) -> Vec<i64> {
        let mut started = vec![0..=n, n..=n, n..=n];
        started[1].next();
        let mut out = Vec::new();
        for range in started {
            for id in range {
                cx.checkpoint().await;
                out.push(id);
            }
        }
        out
    }

    async fn json(cx, n: u64) -> String {
        let value = serde_json::json!({ "a": n, "b": [0.1, -1, null, "text"], "c": {} });
        let fields = value.as_object().cloned();
        cx.checkpoint().await;
        format!("{value} {fields:?}")
    }
}

#[test]
fn an_inclusive_range_stays_exhausted() {
    same!(range_in_a_variable(3), 3);
    same!(range_in_a_variable(0), 0);
    same!(range_from_both_ends(0), 2);
    same!(range_from_both_ends(3), 4);
    same!(ranges_inside_of_other_values(0), 3);
    same!(ranges_inside_of_other_values(2), 5);
    same!(ranges_that_are_gone_over(2), 4);
}

#[test]
fn json_is_kept() {
    same!(json(u64::MAX), 1);
}

fn path(bytes: &[u8]) -> PathBuf {
    OsString::from_vec(bytes.to_vec()).into()
}

#[kappa::task]
async fn lengths(cx: &mut Context, first: PathBuf, job: Value, ids: RangeInclusive<u8>) -> Vec<usize> {
    let mut paths = vec![first, path(b"/\xfe")];
    let last = Some(path(b"\xff\xff\xff"));
    cx.checkpoint().await;
    let mut lengths = vec![ids.count(), job.to_string().len()];
    paths.extend(last);
    for path in paths {
        cx.checkpoint().await;
        lengths.push(path.as_os_str().as_bytes().len());
    }
    lengths
}

#[test]
fn paths_that_are_not_utf_8_json_and_ranges_are_kept_as_variables_arguments_results_and_items() {
    let mut exhausted = 1..=1;
    exhausted.next();
    let (direct, checkpoints) = everywhere(lengths(path(b"/\xff\xff"), json!([1, 2]), exhausted));
    assert_eq!((direct.unwrap(), checkpoints), (vec![0, 5, 3, 2, 3], 4));
    let (direct, _) = everywhere(lengths(path(b""), json!(1.5), 4..=4));
    assert_eq!(direct.unwrap(), [1, 3, 0, 2, 3]);
    assert_eq!(everywhere(relay()).0.unwrap(), (true, r#"{"n":1}"#.to_string()));
}

#[kappa::task]
async fn give(cx: &mut Context, value: Value) -> Value {
    cx.checkpoint().await;
    json!({ "n": value })
}

#[kappa::task]
async fn not_utf_8(_cx: &mut Context) -> PathBuf {
    path(b"\xff")
}

#[kappa::task]
async fn relay(cx: &mut Context) -> Result<(bool, String)> {
    let queue = cx.queue(5).await;
    cx.enqueue_all(&queue, [path(b"\xff")]).await;
    let task = cx.spawn(give(json!(1))).await;
    let value = cx.wait(&task).await?;
    let path = cx.dequeue(&queue).await;
    let other = cx.spawn(not_utf_8()).await;
    let same = path == Some(cx.wait(&other).await?);
    Ok((same, value.to_string()))
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Skips {
    #[serde(skip_serializing_if = "Option::is_none")]
    a: Option<u8>,
    b: Vec<u8>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum Untagged {
    Number(u8),
    Text(String),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind")]
enum Tagged {
    One { a: u8 },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Flat {
    a: u8,
    #[serde(flatten)]
    more: BTreeMap<String, u8>,
}

macro_rules! live {
    ($($name:ident $ty:ty = $value:expr;)*) => {$(
        #[kappa::task]
        async fn $name(cx: &mut Context) -> String {
            let value: $ty = $value;
            let (before, after) = (1_u8, vec![2_u8]);
            cx.checkpoint().await;
            format!("{before:?}{value:?}{after:?}")
        }
    )*};
}

live! {
    skips Skips = Skips { a: None, b: vec![5] };
    skips_inside Vec<(u8, Skips)> = vec![(1, Skips { a: Some(1), b: vec![] }), (2, Skips { a: None, b: vec![] })];
    untagged Untagged = Untagged::Number(1);
    untagged_text Option<Untagged> = Some(Untagged::Text("a".into()));
    tagged Tagged = Tagged::One { a: 1 };
    flat Flat = Flat { a: 1, more: BTreeMap::new() };
    json_inside (u8, Value) = (1, json!(2));
    not_utf_8_inside (u8, PathBuf) = (1, path(b"\xff"));
}

fn fails<F: kappa::task::TaskFunction<Value = String>>(call: TaskCall<F>, words: &[&str]) {
    let (end, checkpoints) = everywhere(call);
    let said = end.unwrap_err();
    assert_eq!(checkpoints, 0, "it fails before anything is stored");
    assert!(said.contains(F::NAME) && said.contains("variable `value`"), "{said}");
    for word in words {
        assert!(said.contains(word), "{word} is not in: {said}");
    }
}

#[test]
fn what_serde_does_not_keep_fails_the_task_at_once_with_the_function_the_variable_and_why() {
    fails(skips(), &["Skips", "the field `a` of `Skips`", "skip_serializing_if"]);
    fails(skips_inside(), &["the field `a` of `Skips`", "skip_serializing_if"]);
    fails(untagged(), &["Untagged", "untagged"]);
    fails(untagged_text(), &["Untagged", "untagged"]);
    fails(tagged(), &["Tagged", "tag ="]);
    fails(flat(), &["Flat", "flatten"]);
    fails(json_inside(), &["serde_json::Value"]);
    fails(not_utf_8_inside(), &["invalid UTF-8"]);
}

#[kappa::task]
async fn given(_cx: &mut Context, _n: u8, value: Skips) -> Skips {
    value
}

#[kappa::task]
async fn sends(cx: &mut Context, what: u8) -> Result<()> {
    match what {
        0 => {
            cx.spawn(given(1, Skips { a: None, b: vec![] })).await;
        }
        1 => {
            let queue = cx.queue(1).await;
            cx.enqueue(&queue, Skips { a: None, b: vec![] }).await;
        }
        _ => {
            let task = cx.spawn(makes()).await;
            cx.wait(&task).await?;
        }
    }
    Ok(())
}

#[kappa::task]
async fn makes(_cx: &mut Context) -> Skips {
    Skips { a: None, b: vec![] }
}

#[test]
fn arguments_items_and_results_that_serde_does_not_keep_fail_their_task_at_once() {
    let said = everywhere(sends(0)).0.unwrap_err();
    assert!(
        said.contains("given: the argument `value`") && said.contains("skip_serializing_if"),
        "{said}"
    );
    let said = everywhere(sends(1)).0.unwrap_err();
    assert!(
        said.contains("an item for a queue") && said.contains("skip_serializing_if"),
        "{said}"
    );
    let said = everywhere(sends(2)).0.unwrap_err();
    assert!(
        said.contains("makes: its result") && said.contains("skip_serializing_if"),
        "{said}"
    );
}

#[kappa::task]
async fn counts(cx: &mut Context, words: Vec<String>) -> usize {
    let mut counts: HashMap<String, u64> = HashMap::new();
    for word in words {
        *counts.entry(word).or_default() += 1;
        cx.checkpoint().await;
    }
    counts.len()
}

#[test]
fn a_hash_map_is_kept_though_not_its_order() {
    let words = (0..40).map(|n| (n % 20).to_string()).collect();
    assert_eq!(everywhere(counts(words)), (Ok(20), 40));
}
