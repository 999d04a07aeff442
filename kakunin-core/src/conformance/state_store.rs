//! [`StateStore`].

use std::sync::Arc;

use super::at_once;
use crate::log::entry::LogId;
use crate::store::state::{Change, Kind, StateStore};

/// Every property but surviving a restart, which needs [`acknowledged_is_present_after_reopening`]. The
/// store must be empty.
pub async fn all(store: &dyn StateStore) {
    applying_is_idempotent_by_index(store).await;
    putting_is_not_bound_to_an_index(store).await;
    scanning_is_ordered_and_paged(store).await;
    tenants_and_kinds_are_apart(store).await;
    a_view_is_of_one_moment(store).await;
    sixty_four_writers_at_once(store).await;
    of_swaps_that_expect_the_same_one_is_done(store).await;
}

fn log(name: &str) -> LogId {
    LogId::Tenant(name.parse().unwrap())
}

fn set(kind: Kind, key: &[u8], value: &[u8]) -> Change {
    Change { kind, key: key.to_vec(), value: Some(value.to_vec()) }
}

/// What was applied up to an index is not applied again; what comes after it is.
pub async fn applying_is_idempotent_by_index(store: &dyn StateStore) {
    let log = log("apply");
    assert_eq!(store.applied(&log).await.unwrap(), 0);
    store.apply(&log, 5, &[set(Kind::Agent, b"k", b"1")]).await.unwrap();
    for index in [5, 3] {
        store.apply(&log, index, &[set(Kind::Agent, b"k", b"2")]).await.unwrap();
    }
    assert_eq!(store.get(&log, Kind::Agent, b"k").await.unwrap().unwrap(), b"1");
    assert_eq!(store.applied(&log).await.unwrap(), 5);
    store.apply(&log, 6, &[Change { kind: Kind::Agent, key: b"k".to_vec(), value: None }]).await.unwrap();
    assert_eq!(store.get(&log, Kind::Agent, b"k").await.unwrap(), None);
    store.apply(&log, 7, &[]).await.unwrap();
    assert_eq!(store.applied(&log).await.unwrap(), 7);
}

/// Putting sets, whatever was applied, and does not count as applying.
pub async fn putting_is_not_bound_to_an_index(store: &dyn StateStore) {
    let log = log("put");
    for value in [b"1", b"2"] {
        store.put(&log, &[set(Kind::Vault, b"k", value)]).await.unwrap();
        assert_eq!(store.get(&log, Kind::Vault, b"k").await.unwrap().unwrap(), value);
    }
    assert_eq!(store.applied(&log).await.unwrap(), 0);
}

/// A swap sets what is there as it expects, and nothing else; of many at once one is done.
pub async fn of_swaps_that_expect_the_same_one_is_done(store: &dyn StateStore) {
    let log = log("swap");
    let done = at_once(16, |i| {
        let log = &log;
        async move {
            let change = set(Kind::Cursor, b"k", &[u8::try_from(i).unwrap()]);
            store.swap(log, None, &change).await.unwrap()
        }
    });
    assert_eq!(done.iter().filter(|done| **done).count(), 1);
    let winner = [u8::try_from(done.iter().position(|done| *done).unwrap()).unwrap()];
    assert_eq!(store.get(&log, Kind::Cursor, b"k").await.unwrap().unwrap(), winner);
    let next = set(Kind::Cursor, b"k", b"next");
    for wrong in [None, Some(b"other".as_slice()), Some(b"".as_slice())] {
        assert!(!store.swap(&log, wrong, &next).await.unwrap());
    }
    assert!(!store.swap(&log, Some(b""), &set(Kind::Cursor, b"none", b"x")).await.unwrap());
    assert!(store.swap(&log, Some(&winner), &next).await.unwrap());
    let gone = Change { value: None, ..next };
    assert!(store.swap(&log, Some(b"next"), &gone).await.unwrap());
    assert_eq!(store.get(&log, Kind::Cursor, b"k").await.unwrap(), None);
}

/// Rows come in the order of their keys, a page after another, none twice and none left out.
pub async fn scanning_is_ordered_and_paged(store: &dyn StateStore) {
    let log = log("scan");
    let keys: Vec<Vec<u8>> = vec![vec![], vec![0], vec![0, 1], vec![1], vec![0xff], vec![0xff, 0xff]];
    let changes: Vec<_> = keys.iter().rev().map(|k| set(Kind::Inbox, k, k)).collect();
    store.put(&log, &changes).await.unwrap();
    let mut seen: Vec<Vec<u8>> = Vec::new();
    loop {
        let page = store.scan(&log, Kind::Inbox, seen.last().map(Vec::as_slice), 2).await.unwrap();
        assert!(page.len() <= 2 && page.iter().all(|(key, value)| key == value));
        if page.is_empty() {
            break;
        }
        seen.extend(page.into_iter().map(|(key, _)| key));
    }
    assert_eq!(seen, keys);
}

/// One key is another value for another tenant and for another kind.
pub async fn tenants_and_kinds_are_apart(store: &dyn StateStore) {
    let (a, b) = (log("tenant-a"), log("tenant-b"));
    store.put(&a, &[set(Kind::Agent, b"k", b"a"), set(Kind::Dedup, b"k", b"d")]).await.unwrap();
    assert_eq!(store.get(&b, Kind::Agent, b"k").await.unwrap(), None);
    assert!(store.scan(&b, Kind::Agent, None, 9).await.unwrap().is_empty());
    store.put(&b, &[set(Kind::Agent, b"k", b"b")]).await.unwrap();
    assert_eq!(store.get(&a, Kind::Agent, b"k").await.unwrap().unwrap(), b"a");
    assert_eq!(store.scan(&a, Kind::Dedup, None, 9).await.unwrap(), [(b"k".to_vec(), b"d".to_vec())]);
    assert!(store.scan(&LogId::System, Kind::Agent, None, 9).await.unwrap().is_empty());
}

/// A view shows rows and index of one moment, whatever is written after it, and of its log alone.
pub async fn a_view_is_of_one_moment(store: &dyn StateStore) {
    let (log, other) = (log("viewed"), log("viewed-beside"));
    assert_eq!(store.view(&log).await.unwrap().applied(), 0);
    store.apply(&log, 3, &[set(Kind::Agent, b"a", b"1"), set(Kind::Agent, b"b", b"1")]).await.unwrap();
    store.put(&other, &[set(Kind::Agent, b"c", b"1")]).await.unwrap();
    let mut view = store.view(&log).await.unwrap();
    let before = view.scan(Kind::Agent, None, 1).await.unwrap();
    let gone = Change { kind: Kind::Agent, key: b"b".to_vec(), value: None };
    store.apply(&log, 5, &[set(Kind::Agent, b"a", b"2"), gone, set(Kind::Dedup, b"d", b"2")]).await.unwrap();
    assert_eq!((before, view.applied()), (vec![(b"a".to_vec(), b"1".to_vec())], 3));
    let rest = view.scan(Kind::Agent, Some(b"a"), 9).await.unwrap();
    assert_eq!(rest, [(b"b".to_vec(), b"1".to_vec())]);
    assert!(view.scan(Kind::Dedup, None, 9).await.unwrap().is_empty());
    let mut later = store.view(&log).await.unwrap();
    assert_eq!((later.applied(), later.scan(Kind::Agent, None, 9).await.unwrap().len()), (5, 1));
}

/// Many callers at once lose nothing.
pub async fn sixty_four_writers_at_once(store: &dyn StateStore) {
    let log = log("crowd");
    at_once(64, |i| {
        let log = &log;
        async move {
            let i = u8::try_from(i).unwrap();
            store.put(log, &[set(Kind::Cursor, &[i], &[i])]).await.unwrap();
        }
    });
    assert_eq!(store.scan(&log, Kind::Cursor, None, 100).await.unwrap().len(), 64);
}

/// What was applied or put is there after the store was closed and opened again, and is not applied twice.
pub async fn acknowledged_is_present_after_reopening(open: impl Fn() -> Arc<dyn StateStore>) {
    let log = log("reopened-state");
    for round in 1..4_u8 {
        let store = open();
        let before = round - 1;
        assert_eq!(store.applied(&log).await.unwrap(), u64::from(before));
        store.apply(&log, u64::from(before), &[set(Kind::Agent, b"again", b"")]).await.unwrap();
        assert_eq!(store.get(&log, Kind::Agent, b"again").await.unwrap(), None);
        store.apply(&log, u64::from(round), &[set(Kind::Agent, &[round], b"a")]).await.unwrap();
        store.put(&log, &[set(Kind::Vault, &[round], b"v")]).await.unwrap();
    }
    let store = open();
    for kind in [Kind::Agent, Kind::Vault] {
        assert_eq!(store.scan(&log, kind, None, 9).await.unwrap().len(), 3);
    }
}
