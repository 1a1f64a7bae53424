//! What every journal must do, as one suite.

use super::Journal;
use std::sync::Arc;

/// Where a journal lies: each `open` gives the same one, as another coordinator would find it.
pub(super) trait Place {
    fn open(&self) -> Arc<dyn Journal>;
}

pub(super) async fn check<P: Place>(new: impl Fn() -> P) {
    an_empty_journal_has_nothing(&new()).await;
    records_come_back_in_order(&new()).await;
    a_snapshot_replaces_what_was_before_it(&new()).await;
    nothing_is_lost_by_reopening(&new()).await;
    large_and_empty_records_are_kept(&new()).await;
}

async fn an_empty_journal_has_nothing(place: &impl Place) {
    assert_eq!(place.open().load().await.expect("load"), (None, vec![]));
    let journal = place.open();
    journal.append(vec![]).await.expect("append nothing");
    assert_eq!(journal.load().await.expect("load"), (None, vec![]));
}

async fn records_come_back_in_order(place: &impl Place) {
    let journal = place.open();
    let mut expected = Vec::new();
    for batch in 0u8..50 {
        let records: Vec<_> = (0..batch % 4).map(|i| vec![batch, i]).collect();
        expected.extend(records.clone());
        journal.append(records).await.expect("append");
    }
    assert_eq!(journal.load().await.expect("load"), (None, expected));
}

async fn a_snapshot_replaces_what_was_before_it(place: &impl Place) {
    let journal = place.open();
    journal.append(vec![vec![1], vec![2]]).await.expect("append");
    journal.snapshot(vec![12]).await.expect("snapshot");
    assert_eq!(journal.load().await.expect("load"), (Some(vec![12]), vec![]));
    journal.append(vec![vec![3]]).await.expect("append");
    assert_eq!(journal.load().await.expect("load"), (Some(vec![12]), vec![vec![3]]));
    journal.snapshot(vec![]).await.expect("snapshot");
    assert_eq!(journal.load().await.expect("load"), (Some(vec![]), vec![]));
}

async fn nothing_is_lost_by_reopening(place: &impl Place) {
    let mut expected = Vec::new();
    for round in 0u8..6 {
        let journal = place.open();
        journal.append(vec![vec![round; 3]]).await.expect("append");
        expected.push(vec![round; 3]);
        if round == 3 {
            journal.snapshot(vec![33]).await.expect("snapshot");
            expected.clear();
        }
        drop(journal);
        let snapshot = (round >= 3).then(|| vec![33]);
        assert_eq!(place.open().load().await.expect("load"), (snapshot, expected.clone()));
    }
}

async fn large_and_empty_records_are_kept(place: &impl Place) {
    let records = vec![vec![], vec![5; 3_000_000], vec![], vec![0; 100_000]];
    let journal = place.open();
    journal.append(records.clone()).await.expect("append");
    journal.append(records.clone()).await.expect("append");
    let all = [records.clone(), records].concat();
    assert_eq!(journal.load().await.expect("load"), (None, all.clone()));
    drop(journal);
    assert_eq!(place.open().load().await.expect("load"), (None, all));
}
