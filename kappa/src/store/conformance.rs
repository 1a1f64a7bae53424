//! What every store must do. A backend is done when [`check`] passes on it and, if others can reach what it keeps, [`check_damage`].

use super::{Store, StoreError};
use async_trait::async_trait;
use bytes::Bytes;
use std::sync::Arc;

/// Runs the whole suite. It works below the prefix `conformance` and leaves nothing there.
///
/// # Panics
/// At the first thing that the store does wrong.
pub async fn check(store: Arc<dyn Store>) {
    an_object_is_read_as_it_was_put(&store).await;
    empty_and_big_objects_are_objects(&store).await;
    lengths_around_powers_of_two_make_no_difference(&store).await;
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

/// A way to what is stored for objects that does not lead through the store: to a file, a value, an object of a bucket.
#[async_trait]
pub trait BackDoor: Sync {
    /// What is stored for the object of this key.
    async fn stored(&self, key: &str) -> Vec<u8>;

    /// Puts something else in its place.
    async fn replace(&self, key: &str, stored: Vec<u8>);
}

/// What every store must do whose bytes can change: notice it. Works below the prefix `conformance` and leaves nothing there.
///
/// # Panics
/// At the first change that is not noticed.
pub async fn check_damage(store: Arc<dyn Store>, back_door: &dyn BackDoor) {
    let key = "conformance/damage/object";
    for length in [0, 1, 100, 4096, 10_000_u64] {
        let whole: Bytes = (0..length).map(|n| (n * 7 % 253) as u8).collect();
        put(&store, key, whole.clone()).await;
        let stored = back_door.stored(key).await;
        let end = stored.len() - 1;
        let places = [0, 1, end / 3, end / 2, end - 13, end - 9, end - 2, end];
        let mut changes = Vec::new();
        for (place, bit) in places.into_iter().zip(0..) {
            let mut changed = stored.clone();
            changed[place] ^= 1 << bit;
            changes.push((format!("bit {bit} of byte {place}"), changed));
        }
        changes.push(("its last byte, which is gone".to_string(), stored[..end].to_vec()));
        changes.push(("its second half, which is gone".to_string(), stored[..end / 2].to_vec()));
        changes.push(("a byte behind it".to_string(), [&stored[..], b"x"].concat()));
        changes.push(("all of it, which is zeros".to_string(), vec![0; stored.len()]));
        for (what, changed) in changes {
            back_door.replace(key, changed).await;
            let read = store.get(key).await;
            let is_noticed = matches!(&read, Err(cause @ StoreError::Damaged { .. }) if cause.needs_repair());
            assert!(is_noticed, "of {length} bytes, changed was {what}: {read:?}");
            let ranges = [0..length, 0..length / 2, length..length];
            for range in &ranges {
                match store.get_ranges(key, std::slice::from_ref(range)).await {
                    Err(StoreError::Damaged { .. }) => {}
                    // The change is elsewhere.
                    Ok(parts) => {
                        let right = &whole[range.start as usize..range.end as usize];
                        assert!(parts == [right], "{range:?} of {length} bytes, changed was {what}");
                    }
                    other => panic!("{range:?} of {length} bytes, changed was {what}: {other:?}"),
                }
            }
        }
        back_door.replace(key, stored).await;
        assert!(get(&store, key).await == whole, "mended, it is another one");
        delete_prefix(&store, "conformance/damage").await;
    }
    // Another object is no substitute, though it is whole.
    put(&store, key, "one").await;
    put(&store, "conformance/damage/other", "two").await;
    let other = back_door.stored("conformance/damage/other").await;
    back_door.replace(key, other).await;
    let read = store.get(key).await;
    assert!(matches!(read, Err(StoreError::Damaged { .. })), "{read:?}");
    delete_prefix(&store, "conformance/damage").await;
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

/// Stores that keep objects in blocks must not show it.
async fn lengths_around_powers_of_two_make_no_difference(store: &Arc<dyn Store>) {
    for power in [10, 12, 13, 16] {
        for length in [(1 << power) - 1, 1 << power, (1 << power) + 1_u64] {
            let key = format!("conformance/length/{length}");
            let whole: Bytes = (0..length).map(|n| (n * 7 % 253) as u8).collect();
            put(store, &key, whole.clone()).await;
            assert!(get(store, &key).await == whole, "{length} bytes came back different");
            let half = length / 2;
            let ranges = [
                0..1,
                half..half + 2,
                0..length,
                length - 1..length,
                length..length,
                1..length - 1,
            ];
            let read = match store.get_ranges(&key, &ranges).await {
                Ok(read) => read,
                Err(cause) => panic!("get ranges of {length} bytes: {cause}"),
            };
            for (range, part) in ranges.iter().zip(read) {
                assert!(
                    part == whole[range.start as usize..range.end as usize],
                    "{range:?} of {length} came back different"
                );
            }
            let beyond = store.get_ranges(&key, std::slice::from_ref(&(half..length + 1))).await;
            assert!(matches!(beyond, Err(StoreError::OutOfRange { .. })), "{beyond:?}");
        }
    }
    delete_prefix(store, "conformance/length").await;
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
