//! Every example gives what its header says, also when its workers are killed.

use crate::program::Place;
use serde_json::{Value, json};

/// What the example gives, in this process and in worker processes of which three in ten are killed.
#[track_caller]
fn gives(example: &str, input: Value, expected: Value) {
    let place = Place::new();
    let input = input.to_string();
    let run = ["run", "--input", &input];
    assert_eq!(place.run(example, &run).value(), expected);
    let rough = ["--platform", "process", "--chaos", "kill=0.3,seed=7"];
    assert_eq!(place.run(example, &[&run[..], &rough].concat()).value(), expected);
}

#[test]
fn fib_spawns_a_task_for_every_call() {
    gives("fib", json!(9), json!(34));
}

#[test]
fn map_keeps_the_order_of_its_elements_and_takes_none_too() {
    gives("map", json!({"numbers": [27, 97, 871, 1]}), json!([111, 118, 178, 0]));
    gives("map", json!({"numbers": []}), json!([]));
}

#[test]
fn the_work_queue_deals_out_every_item_once_whichever_way_it_ends() {
    for ending in ["close", "sentinel"] {
        let input = json!({"items": 230, "workers": 3, "ending": ending});
        gives("work_queue", input, json!({"items": 230, "sum": 229 * 230 / 2}));
    }
}

#[test]
fn futures_wait_for_one_another() {
    gives("futures", json!(10), json!(120));
}

#[test]
fn ping_pong_counts_every_message_once() {
    gives("ping_pong", json!(40), json!(40));
}

#[test]
fn a_large_object_makes_the_round_trip() {
    let sum: u64 = (0..2 << 20).map(|n: u64| n % 251).sum();
    gives("store_round_trip", json!({"megabytes": 2, "readers": 3}), json!(sum));
}

/// NIST SP 800-38A, appendix F.5.1: the first two blocks, there and back.
#[test]
fn aes_gives_the_published_cipher_text() {
    let text = "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51";
    let cipher_text = "874d6191b620e3261bef6864990db6ce9806f66b7970fdff8617187bb9fffdff";
    let input = |text: &str| {
        json!({
            "key": "2b7e151628aed2a6abf7158809cf4f3c",
            "counter": "f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff",
            "text": text,
        })
    };
    gives("aes", input(text), json!(cipher_text));
    gives("aes", input(cipher_text), json!(text));
}

#[test]
fn many_checkpoints_cost_no_more_than_few() {
    let place = Place::new();
    let ended = place.run("million_checkpoints", &["20000"]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let words: Vec<&str> = ended.stdout.split_whitespace().collect();
    assert_eq!(words[..2], ["20000", "checkpoints;"], "{}", ended.stdout);
    let kilobytes: u64 = words[words.len() - 2].parse().unwrap();
    assert!(kilobytes < 40_000, "20 MB were written in all: {}", ended.stdout);
}
