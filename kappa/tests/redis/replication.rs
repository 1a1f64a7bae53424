//! What becomes of objects while servers are lost and return.

use crate::servers::{Servers, wait_until};
use bytes::Bytes;
use kappa::runtime::Condition;
use kappa::store::{RedisStore, Store, StoreError};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

fn open(url: &str) -> RedisStore {
    RedisStore::open(url).expect("a store")
}

async fn put(store: &RedisStore, key: &str, value: &str) {
    store.put(key, Bytes::from(value.to_string())).await.expect(key);
}

async fn get(store: &RedisStore, key: &str) -> String {
    String::from_utf8(store.get(key).await.expect(key).to_vec()).expect("text")
}

async fn is_missing(store: &RedisStore, key: &str) -> bool {
    matches!(store.get(key).await, Err(StoreError::NotFound { .. }))
}

fn conditions(store: &RedisStore) -> Vec<Condition> {
    store.replicas().into_iter().map(|status| status.condition).collect()
}

#[track_caller]
fn until_all_serve(store: &RedisStore) {
    wait_until("all servers have everything", || {
        conditions(store)
            .iter()
            .all(|condition| *condition == Condition::Serving)
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn an_acknowledged_object_is_on_every_server() {
    let servers = Servers::start(3);
    let store = open(&servers.url());
    put(&store, "a", "1").await;
    put(&store, "b", &"x".repeat(200_000)).await;
    for server in &servers.0 {
        assert_eq!(server.values(), ["kappa:o:a", "kappa:o:b"]);
    }
    assert_eq!(conditions(&store), [Condition::Serving; 3]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_server_is_survived_reported_and_given_what_it_missed_when_it_returns() {
    for lost in 0..2 {
        let mut servers = Servers::start(2);
        let store = open(&servers.url());
        put(&store, "before", "1").await;
        put(&store, "deleted", "1").await;
        servers.0[lost].kill();
        assert_eq!(get(&store, "before").await, "1");
        put(&store, "after", "2").await;
        put(&store, "large", &"y".repeat(3_000_000)).await;
        store.delete("deleted").await.expect("delete");
        assert_eq!(conditions(&store)[lost], Condition::Lost);
        let status = store.replicas().remove(lost);
        assert!(status.problem.is_some_and(|problem| problem.contains("refused")));

        // Its files are still there, with what was deleted and without what was put.
        servers.0[lost].restart();
        until_all_serve(&store);
        assert_eq!(
            servers.0[lost].values(),
            ["kappa:o:after", "kappa:o:before", "kappa:o:large"]
        );
        // Now the other one goes, and nothing is missing, and nothing is there again.
        servers.0[1 - lost].kill();
        assert_eq!(get(&store, "after").await, "2");
        assert_eq!(get(&store, "large").await.len(), 3_000_000);
        assert!(is_missing(&store, "deleted").await);
        put(&store, "last", "3").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_emptied_server_is_filled_again_before_anything_is_read_from_it() {
    let mut servers = Servers::start(2);
    let store = open(&servers.url());
    for number in 0..500 {
        put(&store, &format!("n/{number}"), &number.to_string()).await;
    }
    servers.0[0].empty();
    servers.0[0].restart();
    for number in 0..500 {
        assert_eq!(get(&store, &format!("n/{number}")).await, number.to_string());
    }
    until_all_serve(&store);
    servers.0[1].kill();
    for number in 0..500 {
        assert_eq!(get(&store, &format!("n/{number}")).await, number.to_string());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_server_holds_nobody_up_for_long_and_its_old_view_is_not_believed() {
    let servers = Servers::start(2);
    let store = open(&servers.url());
    put(&store, "before", "1").await;
    servers.0[0].pause();
    let started = Instant::now();
    put(&store, "while", "2").await;
    assert!(started.elapsed() < Duration::from_secs(12), "{:?}", started.elapsed());
    store.delete("before").await.expect("delete");
    servers.0[0].go_on();
    // It has not noticed anything, and is asked first by those who have not either.
    let newcomer = open(&servers.url());
    assert!(is_missing(&newcomer, "before").await);
    assert_eq!(get(&newcomer, "while").await, "2");
    until_all_serve(&store);
    assert_eq!(servers.0[0].values(), ["kappa:o:while"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_and_deletions_while_a_server_is_being_filled_are_not_lost_and_not_undone() {
    let mut servers = Servers::start(2);
    let store = open(&servers.url());
    for number in 0..3000 {
        put(&store, &format!("old/{number}"), "x").await;
    }
    servers.0[1].empty();
    put(&store, "noticed", "x").await;
    servers.0[1].restart();
    let is_over = Arc::new(AtomicBool::new(false));
    let busy = {
        let (store, is_over) = (store.clone(), is_over.clone());
        tokio::spawn(async move {
            let mut number = 0;
            while !is_over.load(Ordering::Relaxed) {
                put(&store, &format!("new/{number}"), "y").await;
                if number % 2 == 0 {
                    store.delete(&format!("new/{number}")).await.expect("delete");
                }
                if number < 3000 {
                    store.delete(&format!("old/{number}")).await.expect("delete");
                }
                number += 1;
            }
            number
        })
    };
    let watched = store.clone();
    tokio::task::spawn_blocking(move || until_all_serve(&watched))
        .await
        .expect("healed");
    is_over.store(true, Ordering::Relaxed);
    let count = busy.await.expect("nothing fails meanwhile");
    assert!(count > 50, "only {count} while it was filled");
    assert_eq!(servers.0[0].values(), servers.0[1].values());
    let expected = (0..count).filter(|number| number % 2 == 1).count() + 3000 - count.min(3000) + 1;
    assert_eq!(servers.0[0].values().len(), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn when_all_servers_are_lost_it_says_so_and_goes_on_when_they_are_back() {
    let mut servers = Servers::start(2);
    let store = open(&servers.url());
    put(&store, "a", "1").await;
    servers.0[0].kill();
    put(&store, "b", "2").await;
    servers.0[1].kill();
    let lost = store
        .put("c", Bytes::from_static(b"3"))
        .await
        .expect_err("all are gone");
    assert!(lost.is_retryable(), "{lost}");
    let message = lost.to_string();
    assert!(
        message.contains("no server can be reached") && message.contains("refused"),
        "{message}"
    );
    // The first one to return has missed b, and is not asked.
    servers.0[0].restart();
    let lost = store.get("b").await.expect_err("only the second one has it");
    assert!(lost.to_string().contains(&servers.0[1].address()), "{lost}");
    servers.0[1].restart();
    assert_eq!(get(&store, "b").await, "2");
    assert_eq!(get(&store, "a").await, "1");
    until_all_serve(&store);
    assert_eq!(servers.0[0].values(), ["kappa:o:a", "kappa:o:b"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn emptied_servers_are_an_error_and_no_new_beginning() {
    let mut servers = Servers::start(1);
    let store = open(&servers.url());
    put(&store, "a", "1").await;
    servers.0[0].empty();
    servers.0[0].restart();
    let lost = store.get("a").await.expect_err("gone");
    assert!(lost.to_string().contains("emptied") && !lost.is_retryable(), "{lost}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newcomer_does_not_go_on_with_what_may_be_out_of_date() {
    let mut servers = Servers::start(2);
    {
        let store = open(&servers.url());
        put(&store, "a", "1").await;
        servers.0[0].kill();
        put(&store, "b", "2").await;
    }
    servers.0[1].kill();
    servers.0[0].restart();
    // The one that is there does not know that it was left out.
    let url = servers.url();
    let refused = RedisStore::open(&url).expect_err("it may lack something");
    let message = refused.to_string();
    assert!(
        message.contains(&servers.0[1].address()) && message.contains("missing=lost"),
        "{message}"
    );
    // Whoever knows that the other one is lost for good may go on.
    let store = open(&format!("{url}?missing=lost"));
    assert_eq!(get(&store, "a").await, "1");
    assert!(is_missing(&store, "b").await);
    put(&store, "c", "3").await;
    // Then that one must not come back with what it had.
    servers.0[1].restart();
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(servers.0[0].values(), ["kappa:o:a", "kappa:o:c"]);
    let refused = RedisStore::open(&url).expect_err("they have gone on without each other");
    assert!(refused.to_string().contains("without each other"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_server_being_away_does_not_keep_a_newcomer_out_if_it_was_left_out_before() {
    let mut servers = Servers::start(2);
    let store = open(&servers.url());
    put(&store, "a", "1").await;
    servers.0[1].kill();
    put(&store, "b", "2").await;
    drop(store);
    let store = open(&servers.url());
    assert_eq!(get(&store, "b").await, "2");
    assert_eq!(conditions(&store), [Condition::Serving, Condition::Lost]);
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_that_hold_different_things_are_not_put_together() {
    let servers = Servers::start(2);
    for server in &servers.0 {
        let store = open(&format!("redis://{}", server.address()));
        put(&store, "a", &server.address()).await;
    }
    let refused = RedisStore::open(&servers.url()).expect_err("different things");
    assert!(refused.to_string().contains("different things"), "{refused}");
    let twice = format!(
        "redis://{0},localhost:{1}",
        servers.0[0].address(),
        servers.0[0].address().split_once(':').expect("a port").1
    );
    let refused = RedisStore::open(&twice).expect_err("the same server");
    assert!(refused.to_string().contains("the same server"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_of_three_servers_does_not_go_on_alone_though_the_others_refuse_connections() {
    let mut servers = Servers::start(3);
    let store = open(&servers.url());
    put(&store, "a", "1").await;
    servers.0[1].kill();
    put(&store, "b", "2").await;
    servers.0[2].kill();
    let refused = store
        .put("c", Bytes::from_static(b"3"))
        .await
        .expect_err("others may reach those two");
    let message = refused.to_string();
    assert!(refused.is_retryable() && message.contains("missing=lost"), "{message}");
    // Whoever names one server only does not get round it.
    let alone = format!("redis://{}", servers.0[0].address());
    let refused = RedisStore::open(&alone).expect_err("there are three").to_string();
    assert!(refused.contains("3 servers, of which 1"), "{refused}");
    servers.0[2].restart();
    put(&store, "d", "4").await;
    assert_eq!(get(&store, "b").await, "2");
    // Whoever knows that they are lost for good may say so.
    servers.0[2].kill();
    drop(store);
    let store = open(&format!("{}?missing=lost", servers.url()));
    put(&store, "e", "5").await;
    assert_eq!(get(&store, "d").await, "4");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_takes_nothing_any_more_is_left_out_like_one_that_is_gone() {
    let servers = Servers::start(2);
    let store = open(&servers.url());
    put(&store, "a", "1").await;
    for one in 0..2 {
        // Somebody has made it the replica of a server that is not there: it answers, and refuses writes.
        let _: String = servers.0[one].ask(&["REPLICAOF", "127.0.0.1", "1"]);
        let started = Instant::now();
        put(&store, &format!("while/{one}"), "2").await;
        assert!(started.elapsed() < Duration::from_secs(12), "{:?}", started.elapsed());
        let status = store.replicas().remove(one);
        assert_eq!(status.condition, Condition::Lost);
        assert!(
            status
                .problem
                .as_ref()
                .is_some_and(|problem| problem.contains("read only replica")),
            "{status:?}"
        );
        let _: String = servers.0[one].ask(&["REPLICAOF", "NO", "ONE"]);
        until_all_serve(&store);
    }
    assert_eq!(servers.0[0].values(), servers.0[1].values());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_returns_and_does_not_take_what_the_other_has_keeps_nobody_from_writing() {
    for (setting, small, enough, problem) in [
        ("maxmemory", "3mb", "0", "OOM"),
        ("proto-max-bulk-len", "1mb", "512mb", "proto-max-bulk-len"),
    ] {
        let mut servers = Servers::start(2);
        let store = open(&servers.url());
        put(&store, "a", "1").await;
        servers.0[1].kill();
        put(&store, "large", &"x".repeat(8_000_000)).await;
        servers.0[1].restart_with(&[&format!("--{setting}"), small]);
        let started = Instant::now();
        let mut number = 0;
        // It is tried, and given up; what is written meanwhile and after that is acknowledged each time.
        let is_told = |store: &RedisStore| {
            let status = store.replicas().remove(1);
            status.problem.is_some_and(|told| told.contains(problem))
        };
        while !is_told(&store) || number < 50 {
            assert!(started.elapsed() < Duration::from_secs(30), "{:?}", store.replicas());
            put(&store, &format!("small/{number}"), "2").await;
            number += 1;
        }
        put(&store, "large-again", &"y".repeat(8_000_000)).await;
        assert_ne!(conditions(&store)[1], Condition::Serving);
        let _: String = servers.0[1].ask(&["CONFIG", "SET", setting, enough]);
        if setting == "proto-max-bulk-len" {
            // What a server takes is asked when a connection is made.
            servers.0[1].restart_with(&["--proto-max-bulk-len", enough]);
        }
        until_all_serve(&store);
        assert_eq!(servers.0[0].values(), servers.0[1].values());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_who_put_at_once_exactly_one_wins_while_servers_are_killed() {
    let mut servers = Servers::start(3);
    let [a, b, c] = [0, 1, 2].map(|n: usize| servers.0[n].address());
    // Clients that have been told of the servers in different orders.
    let stores = [
        open(&format!("redis://{a},{b},{c}")),
        open(&format!("redis://{c},{a},{b}")),
        open(&format!("redis://{b},{c},{a}")),
    ];
    let mut acknowledged = Vec::new();
    for round in 0..60 {
        match round {
            20 => servers.0[1].kill(),
            30 => {
                servers.0[1].restart();
                stores.iter().for_each(until_all_serve);
            }
            40 => servers.0[0].kill(),
            _ => {}
        }
        let key = format!("race/{round}");
        let puts = (0..9u8).map(|n| {
            let (store, key) = (stores[n as usize % 3].clone(), key.clone());
            tokio::spawn(async move { (n, store.put(&key, Bytes::from(vec![n; 50_000])).await) })
        });
        let mut winners = Vec::new();
        for put in futures::future::join_all(puts).await {
            match put {
                Ok((n, Ok(()))) => winners.push(n),
                Ok((_, Err(StoreError::AlreadyExists { .. }))) => {}
                other => panic!("a put in round {round} gave {other:?}"),
            }
        }
        assert_eq!(winners.len(), 1, "winners of round {round}: {winners:?}");
        acknowledged.push((key, winners[0]));
        for store in &stores {
            let (key, winner) = &acknowledged[round];
            assert!(
                store.get(key).await.expect("get") == vec![*winner; 50_000],
                "round {round}"
            );
        }
    }
    for (key, winner) in acknowledged {
        assert!(stores[1].get(&key).await.expect("get") == vec![winner; 50_000], "{key}");
    }
}
