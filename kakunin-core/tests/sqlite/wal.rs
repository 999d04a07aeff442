//! The WAL: copied beside commits, bounded, and nothing is lost with that.

use kakunin_core::conformance::audit_sink;
use kakunin_core::log::entry::LogId;
use kakunin_core::store::audit::{AuditSink, Head};
use kakunin_core::store::sqlite::SqliteStore;
use pollster::block_on;

#[test]
fn the_wal_stays_small_while_much_is_written_and_all_of_it_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let (path, wal) = (dir.path().join("k.db"), dir.path().join("k.db-wal"));
    let log = LogId::Tenant("acme".parse().unwrap());
    let store = SqliteStore::open(&path).unwrap();
    // A megabyte each, from one who waits for nothing but the answer.
    let leaves = vec![&[7; 400][..]; 1_000];
    let (mut head, mut most) = (Head::default(), 0);
    for _ in 0..100 {
        let append = audit_sink::append(log.clone(), &head, &leaves);
        head = append.next.clone();
        block_on(store.append(vec![append])).unwrap();
        most = most.max(std::fs::metadata(&wal).unwrap().len());
    }
    assert!(most < 40 << 20, "{most} octets of WAL");
    assert!(std::fs::metadata(&path).unwrap().len() > 60 << 20, "it is copied");
    drop(store);
    assert!(!wal.exists(), "whoever closes last leaves none");
    let store = SqliteStore::open(&path).unwrap();
    assert_eq!(block_on(store.head(&log)).unwrap().0, head);
    let last = block_on(AuditSink::read(&store, &log, 99_990, 100)).unwrap();
    assert_eq!((last.len(), last[9].leaf.as_slice()), (10, leaves[0]));
}
