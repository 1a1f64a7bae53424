//! What servers lose without being ended: everything, or one key; what they would lose, because they evict; and what they do not take.

use crate::servers::{Server, Servers, wait_until};
use bytes::Bytes;
use kappa::Kappa;
use kappa::prelude::*;
use kappa::runtime::Condition;
use kappa::store::{RedisStore, Store};
use std::time::{Duration, Instant};

fn open(url: &str) -> RedisStore {
    RedisStore::open(url).expect("a store")
}

async fn put(store: &RedisStore, key: &str, value: &str) {
    store.put(key, Bytes::from(value.to_string())).await.expect(key);
}

#[track_caller]
fn until_all_serve(store: &RedisStore) {
    wait_until("all servers have everything", || {
        let status = store.replicas();
        status.iter().all(|server| server.condition == Condition::Serving)
    });
}

/// Soon, and not after a minute of trying.
#[track_caller]
fn assert_soon(started: Instant) {
    assert!(started.elapsed() < Duration::from_secs(15), "{:?}", started.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_evicts_is_refused_at_the_start() {
    for policy in ["allkeys-lru", "volatile-ttl"] {
        let evicting = Server::start(&["--maxmemory", "50mb", "--maxmemory-policy", policy]);
        let good = Server::start(&["--maxmemory", "50mb"]);
        for url in [
            format!("redis://{}", evicting.address()),
            format!("redis://{},{}", good.address(), evicting.address()),
        ] {
            let started = Instant::now();
            let refused = RedisStore::open(&url).expect_err("it evicts").to_string();
            assert!(
                refused.contains(policy) && refused.contains(&evicting.address()) && refused.contains("noeviction"),
                "{refused}"
            );
            let refused = Kappa::builder()
                .state(&url)
                .build()
                .await
                .err()
                .expect("it evicts")
                .to_string();
            assert!(refused.contains(policy), "{refused}");
            assert_soon(started);
        }
        assert_eq!(evicting.values(), Vec::<String>::new());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_may_not_ask_for_the_configuration_is_told_of_the_policy_all_the_same() {
    let evicting = Server::start(&["--maxmemory-policy", "allkeys-lru", "--rename-command", "CONFIG", ""]);
    let refused = RedisStore::open(&format!("redis://{}", evicting.address())).expect_err("it evicts");
    assert!(refused.to_string().contains("allkeys-lru"), "{refused}");
    let good = Server::start(&["--rename-command", "CONFIG", ""]);
    let store = open(&format!("redis://{}", good.address()));
    put(&store, "a", "1").await;
    assert_eq!(store.replicas()[0].warning, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_has_lost_one_key_of_its_own_is_named_with_what_it_has_lost() {
    for lost in ["kappa:token", "kappa:view", "kappa:server"] {
        let server = Server::start(&[]);
        let url = format!("redis://{}", server.address());
        let store = open(&url);
        put(&store, "a", "1").await;
        let _: u64 = server.ask(&["DEL", lost]);
        let started = Instant::now();
        // Whoever works with it, and whoever begins to.
        wait_until("it is noticed", || {
            let asked = futures::executor::block_on(store.get("not-there"));
            asked.is_err_and(|error| error.to_string().contains(lost))
        });
        let refused = store
            .get("a")
            .await
            .expect_err("nobody knows what else is lost")
            .to_string();
        assert!(
            refused.contains(lost) && refused.contains(&server.address()),
            "{refused}"
        );
        let refused = RedisStore::open(&url)
            .expect_err("nobody knows what else is lost")
            .to_string();
        assert!(
            refused.contains(lost) && refused.contains(&server.address()),
            "{refused}"
        );
        assert_soon(started);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_servers_one_that_has_lost_a_key_or_everything_is_filled_by_the_other() {
    for lost in [
        &["DEL", "kappa:token"][..],
        &["DEL", "kappa:view"],
        &["DEL", "kappa:server"],
        &["FLUSHALL"],
    ] {
        for index in 0..2 {
            let servers = Servers::start(2);
            let store = open(&servers.url());
            for number in 0..100 {
                put(&store, &format!("n/{number}"), "x").await;
            }
            let before = servers.0[1 - index].values();
            // Values may have gone with it.
            let _: u64 = servers.0[index].ask(&["DEL", "kappa:o:n/7"]);
            let _: redis::Value = servers.0[index].ask(lost);
            wait_until("it is noticed", || {
                let status = &store.replicas()[index];
                status.condition != Condition::Serving
                    || status.problem.is_some()
                    || servers.0[index].values() == before
            });
            assert_eq!(store.get("n/7").await.expect("the other one has it"), Bytes::from("x"));
            until_all_serve(&store);
            assert_eq!(servers.0[index].values(), before, "{lost:?}");
        }
    }
}

#[kappa::task]
async fn count(cx: &mut Context, to: u64) -> Result<u64> {
    let ballast = vec![7_u8; 100_000];
    let mut done = 0;
    while done < to {
        tokio::time::sleep(Duration::from_millis(10)).await;
        done += 1;
        cx.checkpoint().await;
    }
    match ballast.iter().all(|byte| *byte == 7) {
        true => Ok(done),
        false => Err(Error::msg("the ballast has changed")),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_goes_on_when_any_one_of_its_servers_is_emptied() {
    for index in 0..2 {
        let servers = Servers::start(2);
        let kappa = Kappa::builder().state(servers.url()).build().await.expect("a place");
        let handle = kappa.start(count(300)).await.expect("a run");
        wait_until("it has begun", || handle.stats().checkpoints > 50);
        let _: String = servers.0[index].ask(&["FLUSHALL"]);
        assert_eq!(handle.wait().await.expect("nothing is lost"), 300);
        wait_until("it has everything again", || {
            kappa
                .replicas()
                .iter()
                .all(|server| server.condition == Condition::Serving)
        });
        assert_eq!(servers.0[0].values(), servers.0[1].values());
        assert!(!servers.0[index].values().is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_whose_only_server_is_emptied_says_so_and_writes_nothing_more() {
    let servers = Servers::start(1);
    let kappa = Kappa::builder().state(servers.url()).build().await.expect("a place");
    let handle = kappa.start(count(100_000)).await.expect("a run");
    wait_until("it has begun", || handle.stats().checkpoints > 50);
    let _: String = servers.0[0].ask(&["FLUSHALL"]);
    let started = Instant::now();
    let stopped = handle.wait().await.expect_err("everything is lost").to_string();
    assert!(
        stopped.contains("emptied") && stopped.contains(&servers.0[0].address()) && !stopped.contains("in use"),
        "{stopped}"
    );
    assert_soon(started);
    drop(handle);
    kappa.shutdown().await;
    let keys: Vec<String> = servers.0[0].ask(&["KEYS", "*"]);
    assert!(
        !keys.iter().any(|key| key == "kappa:view" || key == "kappa:token"),
        "{keys:?}"
    );
    assert_eq!(servers.0[0].values(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn scripts_that_a_server_has_forgotten_are_given_to_it_again() {
    let servers = Servers::start(2);
    let store = open(&servers.url());
    put(&store, "a", "1").await;
    let _: String = servers.0[0].ask(&["SCRIPT", "FLUSH"]);
    let started = Instant::now();
    put(&store, "b", "2").await;
    assert_soon(started);
    assert_eq!(servers.0[0].values(), servers.0[1].values());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_that_a_server_does_not_take_is_refused_with_its_length_and_the_limit() {
    let servers = [Server::start(&[]), Server::start(&["--proto-max-bulk-len", "1mb"])];
    let store = open(&format!("redis://{},{}", servers[0].address(), servers[1].address()));
    // What is kept is longer: 16 bytes for each 4 KiB, and 16 of the servers' own.
    put(&store, "most", &"x".repeat(1_044_380)).await;
    let started = Instant::now();
    let refused = store
        .put("more", Bytes::from(vec![7; 1_044_600]))
        .await
        .expect_err("too long");
    let message = refused.to_string();
    assert!(
        !refused.is_retryable() && message.contains("1048712") && message.contains(&servers[1].address()),
        "{message}"
    );
    assert_soon(started);
    put(&store, "after", "goes on").await;
    for server in &servers {
        assert_eq!(server.values(), ["kappa:o:after", "kappa:o:most"]);
    }
}

#[kappa::task]
async fn long(_cx: &mut Context, length: u64) -> Vec<u8> {
    vec![7; length as usize]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_whose_result_no_server_takes_comes_to_an_end() {
    let server = Server::start(&["--proto-max-bulk-len", "1mb"]);
    let url = format!("redis://{}", server.address());
    let kappa = Kappa::builder().state(&url).build().await.expect("a place");
    let started = Instant::now();
    let failed = kappa.run(long(2 << 20)).await.expect_err("it is too long").to_string();
    assert!(failed.contains("proto-max-bulk-len"), "{failed}");
    assert!(started.elapsed() < Duration::from_secs(60), "{:?}", started.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_on_a_server_with_a_password_is_removed_whatever_store_whoever_removes_it_has() {
    let server = Server::start(&["--requirepass", "secret"]);
    let url = format!("redis://:secret@{}", server.address());
    let client = redis::Client::open(url.as_str()).expect("a URL");
    let keys = || -> Vec<String> {
        let mut connection = client.get_connection().expect("a connection");
        let mut keys = redis::cmd("KEYS");
        keys.arg("kappa:[ojr]:*").query(&mut connection).expect("keys")
    };
    for other_store in [false, true] {
        let kappa = Kappa::builder().state(&url).build().await.expect("a place");
        let handle = kappa.start(long(5_000_000)).await.expect("a run");
        let run = handle.id();
        assert_eq!(handle.wait().await.expect("a result").len(), 5_000_000);
        kappa.shutdown().await;
        drop((handle, kappa));
        assert!(keys().iter().any(|key| key.starts_with("kappa:o:")), "{:?}", keys());
        let mut builder = Kappa::builder().state(&url);
        if other_store {
            builder = builder.store(kappa::store::open("memory:").expect("a store"));
        }
        let kappa = builder.build().await.expect("a place");
        kappa.remove(run).await.expect("it knows the password");
        kappa.shutdown().await;
        assert_eq!(keys(), Vec::<String>::new());
    }
}

#[kappa::task]
async fn filled(_cx: &mut Context, number: u8) -> Vec<u8> {
    // Until all of them are there, so that they end at one time.
    tokio::time::sleep(Duration::from_millis(500)).await;
    vec![number; 60_000]
}

#[kappa::task]
async fn all_filled(cx: &mut Context, count: u8) -> Result<u64> {
    let tasks = cx.spawn_all((0..count).map(filled)).await;
    let mut sum = 0;
    for task in tasks {
        sum += cx.wait(&task).await?.iter().map(|byte| u64::from(*byte)).sum::<u64>();
    }
    Ok(sum)
}

#[tokio::test(flavor = "multi_thread")]
async fn decisions_that_are_more_together_than_a_server_takes_at_once_are_recorded_one_after_the_other() {
    use kappa::platform::in_process::{InProcess, InProcessOptions};
    let server = Server::start(&["--proto-max-bulk-len", "1mb"]);
    let store: std::sync::Arc<dyn Store> = kappa::store::open("memory:").expect("a store");
    let platform = InProcess::new(InProcessOptions { workers: 25 }, store.clone()).expect("a platform");
    let kappa = Kappa::builder()
        .platform(std::sync::Arc::new(platform))
        .store(store)
        .state(format!("redis://{}", server.address()))
        .build()
        .await
        .expect("a place");
    let sum = kappa.run(all_filled(100)).await.expect("each of them fits");
    assert_eq!(sum, (0..100).sum::<u64>() * 60_000);
}
