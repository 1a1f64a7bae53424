//! What every store must do. A backend is done when [`check`] passes on it.

use super::{Store, StoreError};
use bytes::Bytes;
use std::sync::Arc;

/// Runs the whole suite. It works below the prefix `conformance` and leaves nothing there.
///
/// # Panics
/// At the first thing that the store does wrong.
pub async fn check(store: Arc<dyn Store>) {
    an_object_is_read_as_it_was_put(&store).await;
    empty_and_big_objects_are_objects(&store).await;
    an_object_is_never_replaced(&store).await;
    of_many_who_put_at_once_exactly_one_wins(&store).await;
    ranges_come_in_the_order_asked(&store).await;
    a_range_past_the_end_is_an_error(&store).await;
    what_is_not_there_is_not_found(&store).await;
    a_deleted_object_is_gone_and_deleting_it_again_is_fine(&store).await;
    a_prefix_is_deleted_by_whole_segments(&store).await;
    an_object_may_be_named_like_the_prefix_of_others(&store).await;
    malformed_keys_are_refused(&store).await;
    puts_and_a_prefix_deletion_at_once_do_no_harm(&store).await;
    delete_prefix(&store, "conformance").await;
}

async fn put(store: &Arc<dyn Store>, key: &str, bytes: impl Into<Bytes>) {
    if let Err(cause) = store.put(key, bytes.into()).await {
        panic!("put {key}: {cause}");
    }
}

async fn get(store: &Arc<dyn Store>, key: &str) -> Bytes {
    match store.get(key).await {
        Ok(bytes) => bytes,
        Err(cause) => panic!("get {key}: {cause}"),
    }
}

async fn is_missing(store: &Arc<dyn Store>, key: &str) -> bool {
    matches!(store.get(key).await, Err(StoreError::NotFound { .. }))
}

async fn delete_prefix(store: &Arc<dyn Store>, prefix: &str) {
    if let Err(cause) = store.delete_prefix(prefix).await {
        panic!("delete prefix {prefix}: {cause}");
    }
}

async fn an_object_is_read_as_it_was_put(store: &Arc<dyn Store>) {
    put(store, "conformance/plain/A-z_0.9", "hello").await;
    assert_eq!(get(store, "conformance/plain/A-z_0.9").await, "hello");
}

async fn empty_and_big_objects_are_objects(store: &Arc<dyn Store>) {
    put(store, "conformance/size/empty", Bytes::new()).await;
    assert_eq!(get(store, "conformance/size/empty").await, Bytes::new());
    match store
        .get_ranges("conformance/size/empty", std::slice::from_ref(&(0..0)))
        .await
    {
        Ok(parts) => assert_eq!(parts, vec![Bytes::new()]),
        Err(cause) => panic!("the empty range of an empty object: {cause}"),
    }
    let big: Bytes = (0..24 << 20).map(|n: u32| (n ^ (n >> 8) ^ (n >> 16)) as u8).collect();
    put(store, "conformance/size/big", big.clone()).await;
    assert!(
        get(store, "conformance/size/big").await == big,
        "24 MiB came back different"
    );
    delete_prefix(store, "conformance/size").await;
}

async fn an_object_is_never_replaced(store: &Arc<dyn Store>) {
    put(store, "conformance/once", "first").await;
    let second = store.put("conformance/once", Bytes::from_static(b"second")).await;
    assert!(
        matches!(second, Err(StoreError::AlreadyExists { .. })),
        "the second put gave {second:?}"
    );
    assert_eq!(get(store, "conformance/once").await, "first");
}

async fn of_many_who_put_at_once_exactly_one_wins(store: &Arc<dyn Store>) {
    for round in 0..8 {
        let key = format!("conformance/race/{round}/object");
        let puts = (0..16u8).map(|n| {
            let (store, key) = (store.clone(), key.clone());
            tokio::spawn(async move { (n, store.put(&key, Bytes::from(vec![n; 10_000])).await) })
        });
        let mut winners = Vec::new();
        for put in futures::future::join_all(puts).await {
            match put {
                Ok((n, Ok(()))) => winners.push(n),
                Ok((_, Err(StoreError::AlreadyExists { .. }))) => {}
                other => panic!("a put in a race gave {other:?}"),
            }
        }
        assert_eq!(winners.len(), 1, "winners of one key: {winners:?}");
        assert!(
            get(store, &key).await == vec![winners[0]; 10_000],
            "the object is not the winner's"
        );
    }
}

async fn ranges_come_in_the_order_asked(store: &Arc<dyn Store>) {
    put(store, "conformance/ranges", "0123456789").await;
    match store
        .get_ranges("conformance/ranges", &[7..10, 0..3, 5..5, 2..4, 0..10])
        .await
    {
        Ok(parts) => assert_eq!(parts, ["789", "012", "", "23", "0123456789"]),
        Err(cause) => panic!("get ranges: {cause}"),
    }
    match store.get_ranges("conformance/ranges", &[]).await {
        Ok(parts) => assert!(parts.is_empty()),
        Err(cause) => panic!("get no ranges: {cause}"),
    }
}

async fn a_range_past_the_end_is_an_error(store: &Arc<dyn Store>) {
    put(store, "conformance/short", "0123").await;
    #[allow(clippy::reversed_empty_ranges)]
    for range in [0..5, 4..5, 9..10, 3..2, 0..u64::MAX, u64::MAX..u64::MAX] {
        let read = store.get_ranges("conformance/short", &[0..1, range.clone()]).await;
        assert!(
            matches!(read, Err(StoreError::OutOfRange { .. })),
            "{range:?} gave {read:?}"
        );
    }
}

async fn what_is_not_there_is_not_found(store: &Arc<dyn Store>) {
    assert!(is_missing(store, "conformance/nothing").await);
    assert!(is_missing(store, "conformance").await, "a prefix is not an object");
    let read = store
        .get_ranges("conformance/nothing", std::slice::from_ref(&(0..1)))
        .await;
    assert!(matches!(read, Err(StoreError::NotFound { .. })), "{read:?}");
}

async fn a_deleted_object_is_gone_and_deleting_it_again_is_fine(store: &Arc<dyn Store>) {
    put(store, "conformance/deleted/x", "x").await;
    for _ in 0..2 {
        if let Err(cause) = store.delete("conformance/deleted/x").await {
            panic!("delete: {cause}");
        }
        assert!(is_missing(store, "conformance/deleted/x").await);
    }
    if let Err(cause) = store.delete("conformance/never/was/there").await {
        panic!("deleting what was never there: {cause}");
    }
}

async fn a_prefix_is_deleted_by_whole_segments(store: &Arc<dyn Store>) {
    for key in [
        "conformance/p/7/x",
        "conformance/p/7/y/z",
        "conformance/p/70/x",
        "conformance/p/7-a",
        "conformance/p/7.x",
    ] {
        put(store, key, "kept?").await;
    }
    delete_prefix(store, "conformance/p/7").await;
    for (key, gone) in [
        ("conformance/p/7/x", true),
        ("conformance/p/7/y/z", true),
        ("conformance/p/70/x", false),
        ("conformance/p/7-a", false),
        ("conformance/p/7.x", false),
    ] {
        assert_eq!(is_missing(store, key).await, gone, "{key}");
    }
    delete_prefix(store, "conformance/p/7").await;
}

async fn an_object_may_be_named_like_the_prefix_of_others(store: &Arc<dyn Store>) {
    put(store, "conformance/node", "itself").await;
    put(store, "conformance/node/leaf", "below").await;
    assert_eq!(get(store, "conformance/node").await, "itself");
    assert_eq!(get(store, "conformance/node/leaf").await, "below");
    delete_prefix(store, "conformance/node").await;
    assert!(is_missing(store, "conformance/node").await && is_missing(store, "conformance/node/leaf").await);
}

async fn malformed_keys_are_refused(store: &Arc<dyn Store>) {
    for key in [
        "",
        "/",
        "/absolute",
        "../up",
        "a/../../b",
        "a//b",
        "end/",
        "space s",
        "nul\0",
        "tilde~",
        "equals=",
    ] {
        let invalid = |refused: Option<StoreError>| matches!(refused, Some(StoreError::Invalid(_)));
        assert!(invalid(store.put(key, Bytes::new()).await.err()), "put took {key:?}");
        assert!(invalid(store.get(key).await.err()), "get took {key:?}");
        assert!(
            invalid(store.get_ranges(key, &[]).await.err()),
            "get_ranges took {key:?}"
        );
        assert!(invalid(store.delete(key).await.err()), "delete took {key:?}");
        assert!(
            invalid(store.delete_prefix(key).await.err()),
            "delete_prefix took {key:?}"
        );
    }
}

async fn puts_and_a_prefix_deletion_at_once_do_no_harm(store: &Arc<dyn Store>) {
    let putting = {
        let store = store.clone();
        tokio::spawn(async move {
            for n in 0..100 {
                put(&store, &format!("conformance/busy/a/{n}"), "x").await;
            }
        })
    };
    for _ in 0..10 {
        delete_prefix(store, "conformance/busy").await;
        tokio::task::yield_now().await;
    }
    assert!(putting.await.is_ok(), "a put failed");
    delete_prefix(store, "conformance/busy").await;
    assert!(is_missing(store, "conformance/busy/a/99").await);
}
