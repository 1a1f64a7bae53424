//! The store `redis:` as any other store.

use crate::servers::{Server, Servers};
use async_trait::async_trait;
use bytes::Bytes;
use kappa::store::{RedisStore, Store, StoreError, conformance, open};
use std::sync::Arc;

#[tokio::test(flavor = "multi_thread")]
async fn the_redis_store_conforms_on_one_server() {
    let servers = Servers::start(1);
    let store = open(&servers.url()).expect("a store");
    conformance::check(store).await;
    assert_eq!(
        servers.0[0].values(),
        Vec::<String>::new(),
        "the suite deletes what it put"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_redis_store_conforms_on_two_servers() {
    let servers = Servers::start(2);
    let store = open(&servers.url()).expect("a store");
    conformance::check(store).await;
    for server in &servers.0 {
        assert_eq!(server.values(), Vec::<String>::new(), "the suite deletes what it put");
        let staged: Vec<String> = server.ask(&["KEYS", "kappa:staged:*"]);
        assert_eq!(staged, Vec::<String>::new(), "nothing lies beside its key");
    }
}

/// What one server has.
struct Values(redis::Client);

impl Values {
    const ID_BYTES: usize = 16;

    fn value(&self, key: &str) -> Vec<u8> {
        let mut connection = self.0.get_connection().expect("a connection");
        let get = redis::cmd("GET").arg(format!("kappa:o:{key}")).query(&mut connection);
        get.expect("a value")
    }
}

#[async_trait]
impl conformance::BackDoor for Values {
    async fn stored(&self, key: &str) -> Vec<u8> {
        self.value(key).split_off(Self::ID_BYTES)
    }

    async fn replace(&self, key: &str, stored: Vec<u8>) {
        let mut value = self.value(key);
        value.truncate(Self::ID_BYTES);
        value.extend(stored);
        let mut connection = self.0.get_connection().expect("a connection");
        let set = redis::cmd("SET")
            .arg(format!("kappa:o:{key}"))
            .arg(value)
            .query(&mut connection);
        let () = set.expect("it is set");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_redis_store_notices_whatever_a_server_changes() {
    let servers = Servers::start(1);
    let store = open(&servers.url()).expect("a store");
    let client = redis::Client::open(servers.url()).expect("an address");
    conformance::check_damage(store, &Values(client)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_opens_the_same_store_by_its_url() {
    let servers = Servers::start(2);
    let store = open(&servers.url()).expect("a store");
    store.put("a/b", Bytes::from_static(b"seen")).await.expect("put");
    let other = open(&store.url()).expect("the same");
    assert_eq!(other.get("a/b").await.expect("get"), "seen");
    other.put("a/c", Bytes::from_static(b"too")).await.expect("put");
    assert_eq!(store.get("a/c").await.expect("get"), "too");
}

#[tokio::test(flavor = "multi_thread")]
async fn passwords_and_databases_are_used_and_never_shown() {
    let servers = [0, 1].map(|_| Server::start(&["--requirepass", "hid:den@1"]));
    let [one, two] = [servers[0].address(), servers[1].address()];
    let url = format!("redis://:hid%3Aden%401@{one},{two}/3");
    let store = RedisStore::open(&url).expect("a store");
    store.put("a", Bytes::from_static(b"x")).await.expect("put");
    let exists = store.put("a", Bytes::new()).await.expect_err("taken");
    assert!(
        !format!("{exists} {exists:?} {store:?}").contains("hid"),
        "{exists:?} {store:?}"
    );
    let shown = exists.to_string();
    assert!(shown.contains(&one) && shown.contains("/3"), "{shown}");
    let worker = open(&store.url()).expect("the password is passed on to workers");
    assert_eq!(worker.get("a").await.expect("get"), "x");

    let client = redis::Client::open(format!("redis://:hid%3Aden%401@{one}/3")).expect("an address");
    let mut connection = client.get_connection().expect("a connection");
    let keys: Vec<String> = redis::cmd("KEYS")
        .arg("kappa:o:*")
        .query(&mut connection)
        .expect("keys");
    assert_eq!(keys, ["kappa:o:a"]);

    let refused = open(&format!("redis://:wr%3Aong@{one}")).expect_err("the wrong password");
    let shown = format!("{refused} {refused:?}");
    assert!(
        shown.contains("WRONGPASS") || shown.to_lowercase().contains("password"),
        "{shown}"
    );
    assert!(!shown.contains("wr:ong") && !shown.contains("wr%3Aong"), "{shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_redis_does_not_take_is_refused_with_the_limit() {
    let servers = Servers::start(1);
    let store = open(&servers.url()).expect("a store");
    let refused = store
        .put("big", Bytes::from(vec![0; 512 << 20]))
        .await
        .expect_err("too long");
    assert!(!refused.is_retryable());
    assert!(matches!(refused, StoreError::TooLong { .. }), "{refused}");
    assert!(refused.to_string().contains("at most 532676608"), "{refused}");
    assert!(matches!(store.get("big").await, Err(StoreError::NotFound { .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_server_says_so_and_stays_in_use() {
    let servers = Servers(vec![Server::start(&["--maxmemory", "8mb"]), Server::start(&[])]);
    let store = open(&servers.url()).expect("a store");
    store.put("small", Bytes::from_static(b"x")).await.expect("put");
    let full = store
        .put("large", Bytes::from(vec![1; 20 << 20]))
        .await
        .expect_err("full");
    assert!(full.to_string().contains("maxmemory"), "{full}");
    assert!(!full.is_retryable());
    assert_eq!(store.get("small").await.expect("get"), "x");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_by_prefix_does_not_block_the_server() {
    let servers = Servers::start(1);
    let store: Arc<dyn Store> = open(&servers.url()).expect("a store");
    // Not by the store: that would take a while.
    let client = redis::Client::open(format!("redis://{}", servers.0[0].address())).expect("an address");
    let mut connection = client.get_connection().expect("a connection");
    for group in 0..100 {
        let mut pipeline = redis::pipe();
        for number in 0..1000 {
            let key = format!("kappa:o:runs/{}/x/{group}-{number}", group % 2);
            pipeline.cmd("SET").arg(key).arg("0123456789abcdef, and more").ignore();
        }
        pipeline.exec(&mut connection).expect("set");
    }
    let _: () = servers.0[0].ask(&["CONFIG", "RESETSTAT"]);
    let _: () = servers.0[0].ask(&["CONFIG", "SET", "slowlog-log-slower-than", "20000"]);
    store.delete_prefix("runs/1").await.expect("delete");
    assert_eq!(servers.0[0].values().len(), 50_000);
    let slow: u64 = servers.0[0].ask(&["SLOWLOG", "LEN"]);
    // The look at all keys just now is slow.
    assert!(slow <= 1, "{slow} commands took longer than 20 ms");
}
